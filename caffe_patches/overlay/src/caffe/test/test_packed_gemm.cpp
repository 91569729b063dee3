#include <limits>
#include <vector>

#include "gtest/gtest.h"

#include "caffe/approx_dropout/math/packed_gemm.hpp"
#include "caffe/common.hpp"

#include "caffe/test/test_caffe_main.hpp"

namespace caffe {

template <typename Dtype>
class PackedGemmTest : public ::testing::Test {
 protected:
  static Dtype Value(int i) { return i * 37 % 101 / Dtype(50) - 1; }

  // Every third row or column, twice as many in the whole matrix as used.
  static vector<int> Places(int size) {
    vector<int> places(size);
    for (int i = 0; i < size; ++i) { places[i] = 3 * i / 2; }
    return places;
  }

  void Check(int M, int N, int K, bool transposed, bool accumulate) {
    SCOPED_TRACE(testing::Message() << M << " x " << N << " x " << K
        << (transposed ? " transposed" : "") << (accumulate ? " +=" : ""));
    const vector<int> ns = Places(N);
    const vector<int> ks = Places(K);
    const int stride = 2 * std::max(N, K) + 1;
    vector<Dtype> from(stride * stride);
    for (int i = 0; i < from.size(); ++i) { from[i] = Value(i); }
    const int lda = K + 2;
    const int ldc = N + 3;
    vector<Dtype> A(M * lda), C(M * ldc);
    for (int i = 0; i < A.size(); ++i) { A[i] = Value(i + 5); }
    // Without accumulate, what C held must not matter.
    for (int i = 0; i < C.size(); ++i) {
      C[i] = accumulate || i % ldc >= N ? Value(i)
          : std::numeric_limits<Dtype>::quiet_NaN();
    }
    const vector<Dtype> before = C;
    vector<Dtype> buffer(packed_size<Dtype>(N, K),
        std::numeric_limits<Dtype>::quiet_NaN());
    pack_matrix(from.data(), stride, transposed, ns, ks, buffer.data());
    packed_gemm(M, N, K, Dtype(1.5), A.data(), lda, buffer.data(), accumulate,
        C.data(), ldc);
    const double tolerance = sizeof(Dtype) == 4 ? 1e-6 : 1e-14;
    for (int m = 0; m < M; ++m) {
      for (int n = 0; n < ldc; ++n) {
        const int at = m * ldc + n;
        if (n >= N) {
          EXPECT_EQ(before[at], C[at]) << "behind row " << m;
          continue;
        }
        double sum = 0;
        for (int k = 0; k < K; ++k) {
          sum += 1.5 * A[m * lda + k] * (transposed ?
              from[ns[n] * stride + ks[k]] : from[ks[k] * stride + ns[n]]);
        }
        EXPECT_NEAR(sum + (accumulate ? before[at] : 0), C[at],
            tolerance * (10 + K)) << m << ", " << n;
      }
    }
  }
};

TYPED_TEST_CASE(PackedGemmTest, TestDtypes);

TYPED_TEST(PackedGemmTest, TestAgainstLoops) {
  const int kSizes[][3] = {{1, 1, 1}, {1, 16, 4}, {2, 17, 5}, {3, 15, 300},
      {5, 33, 256}, {7, 8, 257}, {20, 100, 75}, {13, 63, 520}, {25, 31, 1},
      {37, 5, 12}, {4, 70, 0}, {2, 130, 520}};  // the last packed by threads
  for (int i = 0; i < sizeof(kSizes) / sizeof(kSizes[0]); ++i) {
    for (int j = 0; j < 4; ++j) {
      this->Check(kSizes[i][0], kSizes[i][1], kSizes[i][2], j & 1, j & 2);
    }
  }
}

}  // namespace caffe
