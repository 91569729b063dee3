#ifndef CAFFE_APPROX_DROPOUT_MATH_BLAS_KERNELS_HPP_
#define CAFFE_APPROX_DROPOUT_MATH_BLAS_KERNELS_HPP_

namespace caffe {

/**
 * @brief What OpenBLAS should be told, by OPENBLAS_CORETYPE, where it does not
 *        know this processor: a value for that variable; else, or where the
 *        user has set it, or with another BLAS, NULL.
 *
 * An OpenBLAS older than the processor takes the kernels of Prescott, of 2004
 * and without AVX: Debian 12's, 0.3.21, does so on Intel's Xeons from the fifth
 * generation on, where a product then takes five times as long.
 */
const char* MissingBlasKernels();

/// @brief If there is one, starts this program anew with that value, which
///        OpenBLAS reads when it is loaded. Does not return then.
void RestartWithBlasKernels();

/// @brief If there is one, says so in the log, once: for a library, which
///        cannot start its program anew.
void WarnOfBlasKernels();

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_MATH_BLAS_KERNELS_HPP_
