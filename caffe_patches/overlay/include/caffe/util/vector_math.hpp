#ifndef CAFFE_UTIL_VECTOR_MATH_HPP_
#define CAFFE_UTIL_VECTOR_MATH_HPP_

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

}  // namespace caffe

#endif  // CAFFE_UTIL_VECTOR_MATH_HPP_
