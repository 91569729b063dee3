#include "caffe/approx_dropout/math/image_columns.hpp"

#include <algorithm>
#include <vector>

namespace caffe {

namespace {

// Of the outputs first, ..., first + count - 1 along an axis, those from the
// begin-th up to the end meet a weight inside the input, the begin-th at
// `input`.
struct Inside {
  int begin, end, input;

  bool empty() const { return begin == end; }
};

Inside InsideOf(const ConvolutionAxis& axis, int k, int first, int count) {
  const int offset = axis.offset(k) + first * axis.stride;
  const int before = offset < 0 ? (axis.stride - 1 - offset) / axis.stride : 0;
  const int until = offset < axis.input
                        ? (axis.input - offset + axis.stride - 1) / axis.stride
                        : 0;
  Inside inside;
  inside.begin = std::min(before, count);
  inside.end = std::max(inside.begin, std::min(until, count));
  inside.input = offset + inside.begin * axis.stride;
  return inside;
}

// Whether the rows of an image follow each other in the columns as they do in
// the image, but for values that padding takes the place of.
bool KeepsRows(const ConvolutionShape& shape) {
  return shape.height.stride == 1 && shape.width.stride == 1 &&
         shape.width.output() == shape.width.input;
}

// Zeros in the padding at both ends of the rows.
template <typename Dtype>
void ClearEnds(
    const Inside& down, const Inside& across, int outputs, Dtype* columns) {
  for (int i = down.begin; i < down.end; ++i) {
    Dtype* row = columns + i * outputs;
    for (int j = 0; j < across.begin; ++j) {
      row[j] = 0;
    }
    for (int j = across.end; j < outputs; ++j) {
      row[j] = 0;
    }
  }
}

// f(row of the columns, what is inside down and across, where in the image the
// first of that is), weight by weight of channel by channel.
template <typename Function>
void ForEachColumn(const ConvolutionShape& shape, int channels,
    const OutputRows& rows, const Function& f) {
  std::vector<Inside> down, across;
  for (int k = 0; k < shape.height.kernel; ++k) {
    down.push_back(InsideOf(shape.height, k, rows.first, rows.count));
  }
  for (int k = 0; k < shape.width.kernel; ++k) {
    across.push_back(InsideOf(shape.width, k, 0, shape.width.output()));
  }
  int column = 0;
  for (int c = 0; c < channels; ++c) {
    for (size_t i = 0; i < down.size(); ++i) {
      for (size_t j = 0; j < across.size(); ++j) {
        const ptrdiff_t row =
            static_cast<ptrdiff_t>(c) * shape.height.input + down[i].input;
        f(column++, down[i], across[j],
            row * shape.width.input + across[j].input);
      }
    }
  }
}

}  // namespace

template <typename Dtype>
void ImageToColumns(const ConvolutionShape& shape, int channels,
    const Dtype* image, const OutputRows& rows, int stride, Dtype* columns) {
  const int outputs = shape.width.output();
  const int step = shape.width.stride;
  const size_t row_step =
      static_cast<size_t>(shape.height.stride) * shape.width.input;
  const bool keeps_rows = KeepsRows(shape);
  ForEachColumn(shape, channels, rows,
      [&](int column, const Inside& down, const Inside& across, ptrdiff_t at) {
        Dtype* to = columns + static_cast<size_t>(column) * stride;
        if (down.empty() || across.empty()) {
          std::fill_n(to, rows.count * outputs, Dtype(0));
          return;
        }
        std::fill_n(to, down.begin * outputs, Dtype(0));
        std::fill(to + down.end * outputs, to + rows.count * outputs, Dtype(0));
        const Dtype* from = image + at;
        if (keeps_rows) {
          const int count =
              (down.end - down.begin - 1) * outputs + across.end - across.begin;
          std::copy(
              from, from + count, to + down.begin * outputs + across.begin);
        } else {
          for (int i = down.begin; i < down.end; ++i) {
            Dtype* row = to + i * outputs + across.begin;
            for (int j = 0; j < across.end - across.begin; ++j) {
              row[j] = from[j * step];
            }
            from += row_step;
          }
        }
        ClearEnds(down, across, outputs, to);
      });
}

template <typename Dtype>
void AddColumnsToImage(const ConvolutionShape& shape, int channels,
    const OutputRows& rows, int stride, Dtype* columns, Dtype* image) {
  const int outputs = shape.width.output();
  const int step = shape.width.stride;
  const size_t row_step =
      static_cast<size_t>(shape.height.stride) * shape.width.input;
  const bool keeps_rows = KeepsRows(shape);
  ForEachColumn(shape, channels, rows,
      [&](int column, const Inside& down, const Inside& across, ptrdiff_t at) {
        if (down.empty() || across.empty()) {
          return;
        }
        Dtype* from = columns + static_cast<size_t>(column) * stride;
        Dtype* to = image + at;
        if (keeps_rows) {
          ClearEnds(down, across, outputs, from);
          from += down.begin * outputs + across.begin;
          const int count =
              (down.end - down.begin - 1) * outputs + across.end - across.begin;
          for (int j = 0; j < count; ++j) {
            to[j] += from[j];
          }
          return;
        }
        for (int i = down.begin; i < down.end; ++i) {
          const Dtype* row = from + i * outputs + across.begin;
          for (int j = 0; j < across.end - across.begin; ++j) {
            to[j * step] += row[j];
          }
          to += row_step;
        }
      });
}

#define INSTANTIATE_IMAGE_COLUMNS(Dtype)                            \
  template void ImageToColumns<Dtype>(const ConvolutionShape&, int, \
      const Dtype*, const OutputRows&, int, Dtype*);                \
  template void AddColumnsToImage<Dtype>(                           \
      const ConvolutionShape&, int, const OutputRows&, int, Dtype*, Dtype*)

INSTANTIATE_IMAGE_COLUMNS(float);
INSTANTIATE_IMAGE_COLUMNS(double);

}  // namespace caffe
