#ifndef CAFFE_APPROX_DROPOUT_MATH_VECTOR_TARGET_HPP_
#define CAFFE_APPROX_DROPOUT_MATH_VECTOR_TARGET_HPP_

// For code that is compiled once for each instruction set: bodies are inlined
// into functions with a target attribute, of which vector_bytes()
// (math/vector_math.hpp) chooses one when it runs.
#if defined(__GNUC__) && defined(__x86_64__)
#define CAFFE_X86_VECTORS
#endif
#ifdef __GNUC__
#define CAFFE_INLINE inline __attribute__((always_inline))
#else
#define CAFFE_INLINE inline
#endif

#endif  // CAFFE_APPROX_DROPOUT_MATH_VECTOR_TARGET_HPP_
