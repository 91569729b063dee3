#include <algorithm>
#include <vector>

#include "caffe/approx_dropout/math/image_columns.hpp"
#include "caffe/common.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "caffe/util/im2col.hpp"
#include "gtest/gtest.h"

namespace caffe {

namespace {

vector<ConvolutionShape> Shapes() {
  const ConvolutionShape kShapes[] = {// input, kernel, pad, stride, dilation
      {{6, 3, 1, 1, 1}, {6, 3, 1, 1, 1}}, {{7, 3, 0, 1, 1}, {5, 2, 1, 1, 1}},
      {{9, 3, 2, 2, 1}, {8, 3, 0, 3, 1}}, {{9, 3, 2, 1, 2}, {11, 2, 4, 2, 3}},
      {{5, 1, 0, 1, 1}, {4, 1, 0, 1, 1}}, {{5, 1, 2, 2, 1}, {4, 1, 3, 3, 1}},
      // Weights that meet nothing but padding.
      {{1, 5, 2, 1, 1}, {2, 5, 4, 1, 1}}, {{2, 3, 5, 4, 2}, {1, 7, 3, 1, 1}}};
  return vector<ConvolutionShape>(kShapes, kShapes + 8);
}

}  // namespace

template <typename Dtype>
class ImageColumnsTest : public ::testing::Test {
 protected:
  static const int kChannels = 3;

  static vector<Dtype> Numbers(size_t size) {
    vector<Dtype> numbers(size);
    for (size_t i = 0; i < size; ++i) {
      numbers[i] = i % 101 + 1;
    }
    return numbers;
  }

  // The rows of a matrix of Caffe's columns, in a wider one of -1.
  static vector<Dtype> Cut(const ConvolutionShape& shape,
      const vector<Dtype>& columns, const OutputRows& rows, int stride) {
    const int width = shape.width.output();
    const int num_columns = kChannels * shape.kernel_size();
    vector<Dtype> cut(num_columns * stride, Dtype(-1));
    for (int c = 0; c < num_columns; ++c) {
      const Dtype* from =
          columns.data() + c * shape.output_size() + rows.first * width;
      std::copy(from, from + rows.count * width, cut.begin() + c * stride);
    }
    return cut;
  }
};

TYPED_TEST_CASE(ImageColumnsTest, TestDtypes);

// Against Caffe's, in parts of any number of rows.
TYPED_TEST(ImageColumnsTest, TestAgainstCaffe) {
  const vector<ConvolutionShape> shapes = Shapes();
  for (int s = 0; s < shapes.size(); ++s) {
    SCOPED_TRACE(testing::Message() << "shape " << s);
    const ConvolutionShape& shape = shapes[s];
    const ConvolutionAxis& h = shape.height;
    const ConvolutionAxis& w = shape.width;
    const vector<TypeParam> image =
        this->Numbers(this->kChannels * shape.input_size());
    const vector<TypeParam> gradients = this->Numbers(
        this->kChannels * shape.kernel_size() * shape.output_size());
    vector<TypeParam> columns(gradients.size());
    vector<TypeParam> image_gradient(image.size());
    im2col_cpu(image.data(), this->kChannels, h.input, w.input, h.kernel,
        w.kernel, h.pad, w.pad, h.stride, w.stride, h.dilation, w.dilation,
        columns.data());
    col2im_cpu(gradients.data(), this->kChannels, h.input, w.input, h.kernel,
        w.kernel, h.pad, w.pad, h.stride, w.stride, h.dilation, w.dilation,
        image_gradient.data());
    for (int at_once = 1; at_once <= h.output(); ++at_once) {
      vector<TypeParam> sum(image.size());
      for (int row = 0; row < h.output(); row += at_once) {
        const OutputRows rows = {row, std::min(at_once, h.output() - row)};
        const int stride = rows.count * w.output() + 2;
        const vector<TypeParam> expected =
            this->Cut(shape, columns, rows, stride);
        vector<TypeParam> part(expected.size(), TypeParam(-1));
        ImageToColumns(
            shape, this->kChannels, image.data(), rows, stride, part.data());
        EXPECT_EQ(expected, part);
        vector<TypeParam> cut = this->Cut(shape, gradients, rows, stride);
        AddColumnsToImage(
            shape, this->kChannels, rows, stride, cut.data(), sum.data());
      }
      EXPECT_EQ(image_gradient, sum);
    }
    // As a kernel's threads do it.
    const int size = shape.output_size();
    for (int i = 0; i < columns.size(); ++i) {
      const int column = i / size;
      EXPECT_EQ(columns[i],
          ColumnValue(shape,
              image.data() + column / shape.kernel_size() * shape.input_size(),
              column % shape.kernel_size(), i % size));
    }
    for (int i = 0; i < image.size(); ++i) {
      const int channel = i / shape.input_size();
      EXPECT_EQ(image_gradient[i],
          ImageValue(shape,
              gradients.data() + channel * shape.kernel_size() * size, size,
              i % shape.input_size()));
    }
  }
}

}  // namespace caffe
