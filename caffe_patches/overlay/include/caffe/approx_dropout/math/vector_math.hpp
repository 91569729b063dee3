#ifndef CAFFE_APPROX_DROPOUT_MATH_VECTOR_MATH_HPP_
#define CAFFE_APPROX_DROPOUT_MATH_VECTOR_MATH_HPP_

namespace caffe {

/**
 * Elementary functions over arrays, on the CPU, with the widest vectors that
 * the machine has: AVX-512, AVX2, or what the compiler's target has. All are
 * for float and double, may work in place (y == x), and use the calling thread
 * only.
 *
 * Errors are in units in the last place of the exact result, for every input,
 * denormal results included:
 *
 *                        exp   sigmoid   tanh
 *            at most     1.5         3      3
 *
 * Infinite inputs give the limits, NaN gives NaN. sigmoid and tanh never
 * leave [0, 1] and [-1, 1].
 */

/// @brief Bytes of the vectors that are used: 64 (AVX-512), 32 (AVX2 with
///        FMA) or 16.
int vector_bytes();

/// @brief y[i] = e^x[i].
template <typename Dtype>
void vector_exp(int n, const Dtype* x, Dtype* y);

/// @brief y[i] = 1 / (1 + e^-x[i]).
template <typename Dtype>
void vector_sigmoid(int n, const Dtype* x, Dtype* y);

/// @brief y[i] = tanh(x[i]).
template <typename Dtype>
void vector_tanh(int n, const Dtype* x, Dtype* y);

/// @brief y[i] = e^(x[i] - m) / (the sum of e^(x[j] - m) over j), with m the
///        largest x[j]; n >= 1.
template <typename Dtype>
void vector_softmax(int n, const Dtype* x, Dtype* y);

/// @brief y[i] = max(x[i], 0) + slope min(x[i], 0), exactly as Caffe's ReLU.
template <typename Dtype>
void vector_relu(int n, Dtype slope, const Dtype* x, Dtype* y);

/// @brief Its gradient: dx[i] = dy[i] where x[i] > 0, slope dy[i] where
///        x[i] <= 0, 0 times dy[i] where x[i] is NaN.
template <typename Dtype>
void vector_relu_gradient(int n, Dtype slope, const Dtype* x, const Dtype* dy,
    Dtype* dx);

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_MATH_VECTOR_MATH_HPP_
