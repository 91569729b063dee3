#include <algorithm>
#include <vector>

#include "caffe/approx_dropout/math/panels.hpp"

namespace caffe {

template <typename Dtype>
void PackSamples(const std::vector<int>& samples, int columns,
    const Dtype* from, PanelBuffer<Dtype>* panels) {
  const int kWidth = Panel<Dtype>::kWidth;
  const int num_samples = samples.size();
  const int count = Panel<Dtype>::count(num_samples);
  const size_t size = static_cast<size_t>(columns) * kWidth;
  Dtype* all = panels->Grow(count * size);
  const int kColumns = 256;  // that a thread copies at a time
#pragma omp parallel for collapse(2)
  for (int j = 0; j < count; ++j) {
    for (int begin = 0; begin < columns; begin += kColumns) {
      Dtype* panel = all + j * size;
      const int end = std::min(begin + kColumns, columns);
      const int width = std::min(kWidth, num_samples - j * kWidth);
      for (int n = 0; n < kWidth; ++n) {
        const Dtype* row = n < width ? from
            + static_cast<size_t>(samples[j * kWidth + n]) * columns : NULL;
        for (int k = begin; k < end; ++k) {
          panel[k * kWidth + n] = row ? row[k] : Dtype(0);
        }
      }
    }
  }
}

template <typename Dtype>
void PackRows(int j, int rows, int columns, const Dtype* from, int stride,
    Dtype* panels) {
  const int kWidth = Panel<Dtype>::kWidth;
  const int kColumns = 64;  // whose part of the panel fits in L1
  Dtype* panel = panels + static_cast<size_t>(j) * kWidth * columns;
  const int width = std::min(kWidth, rows - j * kWidth);
  for (int begin = 0; begin < columns; begin += kColumns) {
    const int end = std::min(begin + kColumns, columns);
    for (int n = 0; n < kWidth; ++n) {
      const Dtype* row = from + static_cast<size_t>(j * kWidth + n) * stride;
      for (int k = begin; k < end; ++k) {
        panel[k * kWidth + n] = n < width ? row[k] : Dtype(0);
      }
    }
  }
}

template <typename Dtype>
void PackColumns(int j, int rows, int columns, const Dtype* from, int stride,
    Dtype* panels) {
  const int kWidth = Panel<Dtype>::kWidth;
  Dtype* to = panels + static_cast<size_t>(j) * kWidth * rows;
  const int width = std::min(kWidth, columns - j * kWidth);
  for (int k = 0; k < rows; ++k, to += kWidth) {
    const Dtype* row = from + static_cast<size_t>(k) * stride + j * kWidth;
    std::fill(std::copy_n(row, width, to), to + kWidth, Dtype(0));
  }
}

#define INSTANTIATE_PACKING(Dtype)                                         \
  template void PackRows<Dtype>(int, int, int, const Dtype*, int, Dtype*); \
  template void PackColumns<Dtype>(int, int, int, const Dtype*, int, Dtype*)
INSTANTIATE_PACKING(float);
INSTANTIATE_PACKING(double);
template void PackSamples<float>(const std::vector<int>& samples, int columns,
    const float* from, PanelBuffer<float>* panels);
template void PackSamples<double>(const std::vector<int>& samples, int columns,
    const double* from, PanelBuffer<double>* panels);

}  // namespace caffe
