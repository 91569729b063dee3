#include <stdint.h>

#include <cstring>

#include "caffe/approx_dropout/math/vector_math.hpp"
#include "caffe/approx_dropout/math/vector_target.hpp"

// A comparison that may trap keeps GCC from turning a choice into a blend, and
// so from using vectors at all.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("no-trapping-math")
#endif

namespace caffe {

namespace {

// e^x = 2^k e^r with k = round(x / ln 2) and |r| <= ln 2 / 2, e^r by its
// Taylor series. ln2_high has so few bits that k ln2_high is exact.
template <typename Dtype> struct ExpConstants;

template <>
struct ExpConstants<float> {
  typedef uint32_t Bits;
  static constexpr float kLowest = -106;  // below, the result is 0
  static constexpr float kHighest = 89;   // above, it is infinite
  static constexpr float kLog2e = 1.44269504088896341f;
  static constexpr float kLn2High = 0.693359375f;
  static constexpr float kLn2Low = -2.12194440054690583e-4f;
  // Adding it rounds to a whole number and leaves that in the low bits.
  static constexpr float kRound = 12582912;  // 1.5 2^23
  static constexpr int kMantissaBits = 23;
  static constexpr int kExponentBias = 127;
  static constexpr int kTerms = 7;
};

template <>
struct ExpConstants<double> {
  typedef uint64_t Bits;
  static constexpr double kLowest = -746;
  static constexpr double kHighest = 710;
  static constexpr double kLog2e = 1.44269504088896340736;
  static constexpr double kLn2High = 6.93147180369123816490e-1;
  static constexpr double kLn2Low = 1.90821492927058770002e-10;
  static constexpr double kRound = 6755399441055744;  // 1.5 2^52
  static constexpr int kMantissaBits = 52;
  static constexpr int kExponentBias = 1023;
  static constexpr int kTerms = 13;
};

const double kInverseFactorial[] = { 1., 1., 1. / 2, 1. / 6, 1. / 24,
    1. / 120, 1. / 720, 1. / 5040, 1. / 40320, 1. / 362880, 1. / 3628800,
    1. / 39916800, 1. / 479001600, 1. / 6227020800. };

template <typename To, typename From>
CAFFE_INLINE To BitCast(From from) {
  To to;
  memcpy(&to, &from, sizeof(to));  // NOLINT(caffe/alt_fn)
  return to;
}

// 2^k for a k that is a normal number's exponent.
template <typename Dtype>
CAFFE_INLINE Dtype PowerOf2(typename ExpConstants<Dtype>::Bits k) {
  typedef ExpConstants<Dtype> C;
  return BitCast<Dtype>((k + C::kExponentBias) << C::kMantissaBits);
}

// Splits x, which is in range or NaN: returns e^r - 1 and stores k in two's
// complement.
template <typename Dtype>
CAFFE_INLINE Dtype ReducedExpm1(Dtype x,
    typename ExpConstants<Dtype>::Bits* k) {
  typedef ExpConstants<Dtype> C;
  typedef typename C::Bits Bits;
  const Dtype shifted = x * C::kLog2e + C::kRound;
  *k = BitCast<Bits>(shifted) - BitCast<Bits>(C::kRound);
  const Dtype rounded = shifted - C::kRound;
  const Dtype r = (x - rounded * C::kLn2High) - rounded * C::kLn2Low;
  Dtype sum = kInverseFactorial[C::kTerms];
#pragma GCC unroll 16
  for (int i = C::kTerms - 1; i >= 2; --i) {
    sum = sum * r + static_cast<Dtype>(kInverseFactorial[i]);
  }
  return sum * (r * r) + r;
}

struct Exp {
  template <typename Dtype>
  static CAFFE_INLINE Dtype Of(Dtype x) {
    typedef ExpConstants<Dtype> C;
    typename C::Bits k;
    // NaN passes both comparisons.
    x = x > C::kHighest ? C::kHighest : x;
    x = x < C::kLowest ? C::kLowest : x;
    const Dtype power = ReducedExpm1(x, &k) + 1;
    // 2^k alone may be no normal number; k + 2 bias is never negative.
    const typename C::Bits half =
        ((k + 2 * C::kExponentBias) >> 1) - C::kExponentBias;
    return power * PowerOf2<Dtype>(half) * PowerOf2<Dtype>(k - half);
  }
};

struct Sigmoid {
  template <typename Dtype>
  static CAFFE_INLINE Dtype Of(Dtype x) {
    // e^-|x| never overflows, so that small results are exact too.
    const Dtype power = Exp::Of(x < 0 ? x : -x);
    return (x < 0 ? power : Dtype(1)) / (1 + power);
  }
};

struct Tanh {
  template <typename Dtype>
  static CAFFE_INLINE Dtype Of(Dtype x) {
    typedef ExpConstants<Dtype> C;
    typename C::Bits k;
    const Dtype kOne = 1 + C::kMantissaBits / 2;  // from here on tanh is 1
    Dtype size = x < 0 ? -x : x;
    size = size > kOne ? kOne : size;
    // tanh |x| = -a / (2 + a) with a = e^(-2 |x|) - 1.
    const Dtype reduced = ReducedExpm1(-2 * size, &k);
    const Dtype power = PowerOf2<Dtype>(k);
    const Dtype a = reduced * power + (power - 1);
    const Dtype result = -a / (2 + a);
    return x < 0 ? -result : result;
  }
};

template <typename Function, typename Dtype>
CAFFE_INLINE void MapLoop(int n, const Dtype* x, Dtype* y) {
#pragma omp simd
  for (int i = 0; i < n; ++i) { y[i] = Function::Of(x[i]); }
}

template <typename Dtype>
CAFFE_INLINE void SoftmaxLoop(int n, const Dtype* x, Dtype* y) {
  Dtype largest = x[0];
#pragma omp simd reduction(max : largest)
  for (int i = 0; i < n; ++i) { largest = x[i] > largest ? x[i] : largest; }
  Dtype sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int i = 0; i < n; ++i) {
    const Dtype power = Exp::Of(x[i] - largest);
    y[i] = power;
    sum += power;
  }
  const Dtype scale = 1 / sum;
#pragma omp simd
  for (int i = 0; i < n; ++i) { y[i] *= scale; }
}

// An operation's loop, for the instruction set of the function it is put in.
template <typename Function>
struct Map {
  template <typename Dtype>
  static CAFFE_INLINE void Run(int n, const Dtype* x, Dtype* y) {
    MapLoop<Function>(n, x, y);
  }
};

struct Softmax {
  template <typename Dtype>
  static CAFFE_INLINE void Run(int n, const Dtype* x, Dtype* y) {
    SoftmaxLoop(n, x, y);
  }
};

struct ReLU {
  template <typename Dtype>
  static CAFFE_INLINE void Run(int n, Dtype slope, const Dtype* x, Dtype* y) {
#pragma omp simd
    for (int i = 0; i < n; ++i) {
      y[i] = (x[i] < 0 ? Dtype(0) : x[i]) + slope * (0 < x[i] ? 0 : x[i]);
    }
  }
};

struct ReLUGradient {
  template <typename Dtype>
  static CAFFE_INLINE void Run(int n, Dtype slope, const Dtype* x,
      const Dtype* dy, Dtype* dx) {
#pragma omp simd
    for (int i = 0; i < n; ++i) {
      dx[i] = dy[i] * ((x[i] > 0 ? Dtype(1) : Dtype(0))
          + slope * (x[i] <= 0 ? Dtype(1) : Dtype(0)));
    }
  }
};

#ifdef CAFFE_X86_VECTORS
template <typename Operation, typename... Arguments>
__attribute__((target("avx512f,avx512dq,prefer-vector-width=512")))
void RunAvx512(Arguments... arguments) { Operation::Run(arguments...); }

template <typename Operation, typename... Arguments>
__attribute__((target("avx2,fma")))
void RunAvx2(Arguments... arguments) { Operation::Run(arguments...); }
#endif

template <typename Operation, typename... Arguments>
void Run(Arguments... arguments) {
#ifdef CAFFE_X86_VECTORS
  if (vector_bytes() == 64) { return RunAvx512<Operation>(arguments...); }
  if (vector_bytes() == 32) { return RunAvx2<Operation>(arguments...); }
#endif
  Operation::Run(arguments...);
}

}  // namespace

int vector_bytes() {
#ifdef CAFFE_X86_VECTORS
  static const int bytes =
      __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") ?
      64 : __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ?
      32 : 16;
  return bytes;
#else
  return 16;
#endif
}

template <typename Dtype>
void vector_exp(int n, const Dtype* x, Dtype* y) { Run<Map<Exp> >(n, x, y); }

template <typename Dtype>
void vector_sigmoid(int n, const Dtype* x, Dtype* y) {
  Run<Map<Sigmoid> >(n, x, y);
}

template <typename Dtype>
void vector_tanh(int n, const Dtype* x, Dtype* y) { Run<Map<Tanh> >(n, x, y); }

template <typename Dtype>
void vector_softmax(int n, const Dtype* x, Dtype* y) { Run<Softmax>(n, x, y); }

template <typename Dtype>
void vector_relu(int n, Dtype slope, const Dtype* x, Dtype* y) {
  Run<ReLU>(n, slope, x, y);
}

template <typename Dtype>
void vector_relu_gradient(int n, Dtype slope, const Dtype* x, const Dtype* dy,
    Dtype* dx) {
  Run<ReLUGradient>(n, slope, x, dy, dx);
}

#define INSTANTIATE_VECTOR_MATH(Dtype) \
  template void vector_exp<Dtype>(int, const Dtype*, Dtype*); \
  template void vector_sigmoid<Dtype>(int, const Dtype*, Dtype*); \
  template void vector_tanh<Dtype>(int, const Dtype*, Dtype*); \
  template void vector_softmax<Dtype>(int, const Dtype*, Dtype*); \
  template void vector_relu<Dtype>(int, Dtype, const Dtype*, Dtype*); \
  template void vector_relu_gradient<Dtype>(int, Dtype, const Dtype*, \
      const Dtype*, Dtype*)

INSTANTIATE_VECTOR_MATH(float);
INSTANTIATE_VECTOR_MATH(double);

}  // namespace caffe
