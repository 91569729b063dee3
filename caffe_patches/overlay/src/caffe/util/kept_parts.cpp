#include <algorithm>
#include <vector>

#include "caffe/util/kept_parts.hpp"

namespace caffe {

namespace {

// Below this many elements a loop is not worth waking threads for.
const int kParallelElements = 1 << 14;

}  // namespace

template <typename Dtype>
Dtype* GrowBuffer(shared_ptr<Blob<Dtype> >* buffer, size_t size) {
  if (!*buffer) { buffer->reset(new Blob<Dtype>()); }
  if (size > (*buffer)->count()) {
    (*buffer)->Reshape(vector<int>(1, size));
  }
  return (*buffer)->mutable_cpu_data();
}

template <typename Dtype>
void GatherPart(const Dtype* whole, int stride, const IndexList& rows,
    const IndexList& columns, Dtype* part) {
  const int num_rows = rows.size();
  const int num_columns = columns.size();
  const int* column = columns.index.data();
#pragma omp parallel for if (num_rows * num_columns > kParallelElements)
  for (int i = 0; i < num_rows; ++i) {
    const Dtype* from = whole + static_cast<size_t>(rows.index[i]) * stride;
    Dtype* to = part + static_cast<size_t>(i) * num_columns;
    if (columns.contiguous()) {
      std::copy(from + columns.first(), from + columns.first() + num_columns,
          to);
    } else {
      for (int j = 0; j < num_columns; ++j) { to[j] = from[column[j]]; }
    }
  }
}

template <typename Dtype>
PartView<Dtype> ViewPart(const Dtype* whole, int stride,
    const IndexList& rows, const IndexList& columns,
    shared_ptr<Blob<Dtype> >* buffer) {
  PartView<Dtype> view;
  if (rows.stride > 0 && columns.contiguous()) {
    // The views that ViewPart gives are only read.
    view.data = const_cast<Dtype*>(whole) + columns.first()
        + static_cast<size_t>(rows.first()) * stride;
    view.stride = rows.stride * stride;
  } else {
    view.data = GrowBuffer(buffer,
        static_cast<size_t>(rows.size()) * columns.size());
    view.stride = columns.size();
    GatherPart(whole, stride, rows, columns, view.data);
  }
  return view;
}

template <typename Dtype>
void ScatterPart(const Dtype* part, const IndexList& rows,
    const IndexList& columns, bool accumulate, int stride, Dtype* whole) {
  const int num_rows = rows.size();
  const int num_columns = columns.size();
  const int* column = columns.index.data();
#pragma omp parallel for if (num_rows * num_columns > kParallelElements)
  for (int i = 0; i < num_rows; ++i) {
    const Dtype* from = part + static_cast<size_t>(i) * num_columns;
    Dtype* to = whole + static_cast<size_t>(rows.index[i]) * stride;
    if (columns.contiguous()) {
      to += columns.first();
      if (accumulate) {
        for (int j = 0; j < num_columns; ++j) { to[j] += from[j]; }
      } else {
        std::copy(from, from + num_columns, to);
      }
    } else if (accumulate) {
      for (int j = 0; j < num_columns; ++j) { to[column[j]] += from[j]; }
    } else {
      for (int j = 0; j < num_columns; ++j) { to[column[j]] = from[j]; }
    }
  }
}

template <typename Dtype>
void FillRows(const Dtype* values, Dtype scale, const IndexList& columns,
    int num_rows, const PartView<Dtype>& part) {
  const int num_columns = columns.size();
  const int* column = columns.index.data();
#pragma omp parallel for if (num_rows * num_columns > kParallelElements)
  for (int i = 0; i < num_rows; ++i) {
    Dtype* to = part.data + static_cast<size_t>(i) * part.stride;
    for (int j = 0; j < num_columns; ++j) { to[j] = scale * values[column[j]]; }
  }
}

template <typename Dtype>
void AddColumnSums(const PartView<Dtype>& part, int num_rows, Dtype scale,
    const IndexList& columns, Dtype* sums) {
  const int num_columns = columns.size();
  const int* column = columns.index.data();
  const int kChunk = 512;  // columns a thread sums at a time
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
void cpu_gemm_strided<float>(CBLAS_TRANSPOSE trans_a, CBLAS_TRANSPOSE trans_b,
    int M, int N, int K, float alpha, const float* A, int lda,
    const float* B, int ldb, float beta, float* C, int ldc) {
  // BLAS wants leading dimensions above 0, also of operands without elements.
  cblas_sgemm(CblasRowMajor, trans_a, trans_b, M, N, K, alpha, A,
      std::max(lda, 1), B, std::max(ldb, 1), beta, C, std::max(ldc, 1));
}

template <>
void cpu_gemm_strided<double>(CBLAS_TRANSPOSE trans_a,
    CBLAS_TRANSPOSE trans_b, int M, int N, int K, double alpha,
    const double* A, int lda, const double* B, int ldb, double beta,
    double* C, int ldc) {
  cblas_dgemm(CblasRowMajor, trans_a, trans_b, M, N, K, alpha, A,
      std::max(lda, 1), B, std::max(ldb, 1), beta, C, std::max(ldc, 1));
}

#define INSTANTIATE_KEPT_PARTS(Dtype) \
  template Dtype* GrowBuffer<Dtype>(shared_ptr<Blob<Dtype> >*, size_t); \
  template void GatherPart<Dtype>(const Dtype*, int, const IndexList&, \
      const IndexList&, Dtype*); \
  template PartView<Dtype> ViewPart<Dtype>(const Dtype*, int, \
      const IndexList&, const IndexList&, shared_ptr<Blob<Dtype> >*); \
  template void ScatterPart<Dtype>(const Dtype*, const IndexList&, \
      const IndexList&, bool, int, Dtype*); \
  template void FillRows<Dtype>(const Dtype*, Dtype, const IndexList&, int, \
      const PartView<Dtype>&); \
  template void AddColumnSums<Dtype>(const PartView<Dtype>&, int, Dtype, \
      const IndexList&, Dtype*)

INSTANTIATE_KEPT_PARTS(float);
INSTANTIATE_KEPT_PARTS(double);

}  // namespace caffe
