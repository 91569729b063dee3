#include <algorithm>
#include <vector>

#include "caffe/approx_dropout/math/parallel.hpp"
#include "caffe/approx_dropout/product/gather_scatter.hpp"

namespace caffe {

template <typename Dtype>
Dtype* CpuParts<Dtype>::Grow(shared_ptr<Blob<Dtype> >* buffer, size_t size) {
  CheckBufferSize(size);
  if (!*buffer) { buffer->reset(new Blob<Dtype>(vector<int>(1, 1))); }
  if (size > (*buffer)->count()) {
    (*buffer)->Reshape(vector<int>(1, size));
  }
  return (*buffer)->mutable_cpu_data();
}

template <typename Dtype>
void CpuParts<Dtype>::SetZero(size_t count, Dtype* data) {
  std::fill_n(data, count, Dtype(0));
}

template <typename Dtype>
void CpuParts<Dtype>::Gather(const Dtype* whole, int stride,
    const IndexList& rows, const IndexList& columns, Dtype* part) {
  const int num_rows = rows.size();
  const int num_columns = columns.size();
  const int* column = columns.index.data();
#pragma omp parallel for if (num_rows * num_columns > kParallelElements)
  for (int i = 0; i < num_rows; ++i) {
    const Dtype* from = whole + static_cast<size_t>(rows.index[i]) * stride;
    Dtype* to = part + static_cast<size_t>(i) * num_columns;
    if (!columns.runs.empty()) {
      for (size_t r = 0; r + 1 < columns.runs.size(); ++r) {
        const int begin = columns.runs[r];
        const int end = columns.runs[r + 1];
        std::copy(from + column[begin], from + column[begin] + end - begin,
            to + begin);
      }
    } else {
      for (int j = 0; j < num_columns; ++j) { to[j] = from[column[j]]; }
    }
  }
}

template <typename Dtype>
void CpuParts<Dtype>::Scatter(const Dtype* part, const IndexList& rows,
    const IndexList& columns, bool accumulate, int stride, Dtype* whole) {
  const int num_rows = rows.size();
  const int num_columns = columns.size();
  const int* column = columns.index.data();
#pragma omp parallel for if (num_rows * num_columns > kParallelElements)
  for (int i = 0; i < num_rows; ++i) {
    const Dtype* from = part + static_cast<size_t>(i) * num_columns;
    Dtype* to = whole + static_cast<size_t>(rows.index[i]) * stride;
    if (!columns.runs.empty()) {
      for (size_t r = 0; r + 1 < columns.runs.size(); ++r) {
        const int begin = columns.runs[r];
        const int end = columns.runs[r + 1];
        Dtype* run = to + column[begin] - begin;
        if (accumulate) {
          for (int j = begin; j < end; ++j) { run[j] += from[j]; }
        } else {
          std::copy(from + begin, from + end, run + begin);
        }
      }
    } else if (accumulate) {
      for (int j = 0; j < num_columns; ++j) { to[column[j]] += from[j]; }
    } else {
      for (int j = 0; j < num_columns; ++j) { to[column[j]] = from[j]; }
    }
  }
}

template <typename Dtype>
void CpuParts<Dtype>::FillRows(const Dtype* values, Dtype scale,
    const IndexList& columns, int num_rows, const PartView<Dtype>& part) {
  const int num_columns = columns.size();
  const int* column = columns.index.data();
#pragma omp parallel for if (num_rows * num_columns > kParallelElements)
  for (int i = 0; i < num_rows; ++i) {
    Dtype* to = part.data + static_cast<size_t>(i) * part.stride;
    for (int j = 0; j < num_columns; ++j) { to[j] = scale * values[column[j]]; }
  }
}

template <typename Dtype>
void CpuParts<Dtype>::AddColumnSums(const PartView<const Dtype>& part,
    int num_rows, Dtype scale, const IndexList& columns, Dtype* sums) {
  const int num_columns = columns.size();
  const int* column = columns.index.data();
  const int kChunk = 512;  // columns that one thread sums at a time
#pragma omp parallel for if (num_rows * num_columns > kParallelElements)
  for (int begin = 0; begin < num_columns; begin += kChunk) {
    const int size = std::min(kChunk, num_columns - begin);
    Dtype sum[kChunk] = {};
    for (int i = 0; i < num_rows; ++i) {
      const Dtype* from = part.data + begin
          + static_cast<size_t>(i) * part.stride;
      for (int j = 0; j < size; ++j) { sum[j] += from[j]; }
    }
    for (int j = 0; j < size; ++j) {
      sums[column[begin + j]] += scale * sum[j];
    }
  }
}

template <>
void CpuParts<float>::Gemm(CBLAS_TRANSPOSE trans_a, CBLAS_TRANSPOSE trans_b,
    int M, int N, int K, float alpha, const float* A, int lda,
    const float* B, int ldb, float beta, float* C, int ldc) {
  // BLAS wants leading dimensions above 0, also of operands without elements.
  cblas_sgemm(CblasRowMajor, trans_a, trans_b, M, N, K, alpha, A,
      std::max(lda, 1), B, std::max(ldb, 1), beta, C, std::max(ldc, 1));
}

template <>
void CpuParts<double>::Gemm(CBLAS_TRANSPOSE trans_a,
    CBLAS_TRANSPOSE trans_b, int M, int N, int K, double alpha,
    const double* A, int lda, const double* B, int ldb, double beta,
    double* C, int ldc) {
  cblas_dgemm(CblasRowMajor, trans_a, trans_b, M, N, K, alpha, A,
      std::max(lda, 1), B, std::max(ldb, 1), beta, C, std::max(ldc, 1));
}

INSTANTIATE_CLASS(CpuParts);

}  // namespace caffe
