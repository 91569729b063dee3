#ifndef CPU_ONLY

#include <stdlib.h>

#include <string>
#include <vector>

#include "caffe/approx_dropout/math/device_gemm.hpp"
#include "caffe/blob.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "caffe/util/math_functions.hpp"
#include "gtest/gtest.h"

namespace caffe {

class SgemmGPUTest : public GPUDeviceTest<float> {
 protected:
  static bool Allowed() {
    const char* allowed = getenv("CAFFE_ALLOW_BF16");
    return allowed && string(allowed) == "1";
  }
};

// Factors, which TF32 holds, are rounded to 1 if and only if that is allowed;
// sums are not: they count to more than bfloat16 does.
TEST_F(SgemmGPUTest, TestBF16IsOffUnlessAllowed) {
  const int kSize = 272;
  const float kFactor = 1 + 1 / 512.f;
  const float expected = kSize * (Allowed() ? 1 : kFactor);
  Blob<float> a(vector<int>(1, 2 * kSize * kSize)), b(a.shape()), c(a.shape());
  for (int i = 0; i < a.count(); ++i) {
    a.mutable_cpu_data()[i] = kFactor;
    b.mutable_cpu_data()[i] = 1;
  }
  caffe_gpu_gemm<float>(CblasNoTrans, CblasTrans, kSize, kSize, kSize, 1,
      a.gpu_data(), b.gpu_data(), 0, c.mutable_gpu_data());
  for (int i = 0; i < kSize * kSize; ++i) {
    ASSERT_EQ(expected, c.cpu_data()[i]) << i;
  }
  typedef MatrixBatch<const float> Factors;
  for (int count = 1; count <= 2; ++count) {
    const Factors left = {a.gpu_data(), kSize, kSize * kSize};
    const Factors right = {b.gpu_data(), kSize, kSize * kSize};
    const MatrixBatch<float> result = {
        c.mutable_gpu_data(), kSize, kSize * kSize};
    DeviceGemm(CblasNoTrans, CblasTrans, kSize, kSize, kSize, 2.f, left, right,
        0.f, result, count);
    for (int i = 0; i < count * kSize * kSize; ++i) {
      ASSERT_EQ(2 * expected, c.cpu_data()[i]) << count << " " << i;
    }
  }
}

}  // namespace caffe

#endif  // CPU_ONLY
