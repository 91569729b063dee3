#ifndef CAFFE_TEST_APPROX_DROPOUT_CONVOLUTION_UTIL_HPP_
#define CAFFE_TEST_APPROX_DROPOUT_CONVOLUTION_UTIL_HPP_

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "caffe/layers/conv_layer.hpp"
#include "caffe/test/test_approx_dropout_util.hpp"
#include "google/protobuf/text_format.h"

namespace caffe {

/// @brief One layer and its patterns: of the output, or none (NONE), and of
///        the input, or none (not compact_input).
struct ConvolutionCase {
  int images, inputs, height, width, outputs;
  const char* param;  // of the convolution, num_output aside
  TestPattern output, input;
  bool compact_output, bias;
};

inline vector<ConvolutionCase> ConvolutionCases() {
  const TestPattern half = MakePattern(4, 2);
  const TestPattern five = MakePattern(5, 3);
  const TestPattern third = MakePattern(3, 1);
  const TestPattern all = MakePattern(4, 4);
  const TestPattern half2 = MakePattern(4, 2, 2);
  const TestPattern third3 = MakePattern(3, 1, 3);
  const char* const kSame = "kernel_size: 3 pad: 1";
  const ConvolutionCase kCases[] = {
      {4, 8, 6, 6, 8, kSame, half, kNone, false, true},
      {4, 8, 6, 6, 8, kSame, half, half, true, true},
      {4, 8, 6, 6, 8, kSame, kNone, half, false, true},
      {3, 8, 6, 6, 8, kSame, kNone, kNone, false, false},
      {3, 8, 6, 6, 8, kSame, all, all, true, true},
      // Channels that the period does not divide, odd sizes.
      {3, 7, 9, 5, 11, kSame, five, third, true, true},
      {3, 7, 5, 9, 11, kSame, five, third, false, false},
      // Every option, by axis and for both.
      {2, 6, 7, 9, 9, "kernel_size: 3", half, third, true, true},
      {2, 6, 7, 9, 9, "kernel_size: 2 stride: 2", half, third, true, true},
      {2, 6, 8, 7, 9, "kernel_size: 5 pad: 3 stride: 3", half, third, true,
          true},
      {2, 6, 9, 8, 9, "kernel_size: 3 dilation: 2 pad: 1", half, third, true,
          true},
      {2, 6, 9, 11, 9, "kernel_size: 3 dilation: 3 stride: 2 pad: 4", half,
          third, false, true},
      {2, 6, 9, 7, 9,
          "kernel_h: 3 kernel_w: 2 pad_h: 2 pad_w: 0 stride_h: 1 "
          "stride_w: 2",
          half, third, true, true},
      {2, 6, 9, 7, 9,
          "kernel_size: 1 kernel_size: 4 pad: 0 pad: 5 stride: 2 "
          "stride: 1 dilation: 1 dilation: 2",
          half, third, true, true},
      {2, 6, 9, 7, 9, "kernel_size: 1", half, third, true, true},
      {2, 6, 9, 7, 9, "kernel_size: 1 stride: 2 pad: 1", half, third, true,
          true},
      // A kernel as large as its input, and larger than it without its padding.
      {3, 6, 4, 5, 9, "kernel_h: 4 kernel_w: 5", half, third, true, true},
      {3, 6, 1, 2, 9, "kernel_size: 5 pad: 2", half, third, true, true},
      // The convolution's own groups.
      {3, 12, 5, 6, 16, "kernel_size: 3 pad: 1 group: 2", half, third, true,
          true},
      {3, 12, 5, 6, 16, "kernel_size: 3 group: 4", half, kNone, false, true},
      {3, 16, 5, 6, 12, "kernel_size: 1 group: 4", kNone, half, false, false},
      // Depth-wise.
      {2, 4, 5, 6, 8, "kernel_size: 3 group: 4", MakePattern(2, 1), kNone, true,
          true},
      // Groups of images: on both sides, of other numbers, of one image.
      {6, 8, 5, 5, 12, kSame, half2, kNone, true, true},
      {6, 9, 5, 5, 12, kSame, half2, third3, true, true},
      {6, 9, 5, 5, 13, kSame, half2, third3, false, true},
      {6, 8, 5, 5, 12, kSame, MakePattern(6, 4, 6), half2, true, true},
      {6, 12, 5, 6, 16, "kernel_size: 3 pad: 1 group: 2", MakePattern(4, 2, 6),
          MakePattern(6, 2, 3), true, true},
      {6, 9, 5, 5, 12, kSame, MakePattern(4, 4, 3), third3, true, true},
      {6, 9, 5, 5, 10, kSame, kNone, third3, false, true},
      // Several images at a time, and parts of one.
      {37, 4, 4, 4, 8, kSame, half, half, true, true},
      {36, 4, 4, 4, 8, kSame, half2, MakePattern(2, 1, 4), true, true},
      {2, 4, 23, 31, 8, kSame, half, half, true, true},
      {1, 4, 33, 17, 8, "kernel_size: 3 stride: 1 pad: 2", half, half, false,
          true},
  };
  return vector<ConvolutionCase>(
      kCases, kCases + sizeof(kCases) / sizeof(ConvolutionCase));
}

inline LayerParameter ConvolutionParam(const ConvolutionCase& c) {
  std::ostringstream text;
  text << "name: 'conv' type: 'ApproxDropoutConvolution' "
       << "convolution_param { num_output: " << c.outputs << " " << c.param
       << " bias_term: " << (c.bias ? "true" : "false")
       << " weight_filler { type: 'gaussian' }"
       << " bias_filler { type: 'gaussian' } engine: CAFFE } "
       << "approx_dropout_param { pattern: "
       << (c.output.none() ? "NONE" : "ROW")
       << " compact_input: " << (c.input.none() ? "false" : "true")
       << " compact_output: " << (c.compact_output ? "true" : "false") << "}";
  LayerParameter param;
  CHECK(google::protobuf::TextFormat::ParseFromString(text.str(), &param));
  return param;
}

/// @brief full = stored channels where they are kept, zeros elsewhere; of
///        channels of `size` values.
template <typename Dtype>
vector<double> ExpandChannels(const TestPattern& pattern, int images,
    int channels, int size, const Dtype* stored) {
  vector<double> full(static_cast<size_t>(images) * channels * size);
  for (int n = 0; n < images; ++n) {
    const vector<int> kept = pattern.kept_units(channels, n, images);
    for (size_t j = 0; j < kept.size(); ++j, stored += size) {
      std::copy(stored, stored + size,
          full.begin() + (static_cast<size_t>(n) * channels + kept[j]) * size);
    }
  }
  return full;
}

/// @brief Stock Convolution, in double, of the values or of their magnitudes.
class StockConvolution {
 public:
  template <typename Dtype>
  StockConvolution(const LayerParameter& param, const vector<int>& x_shape,
      const vector<shared_ptr<Blob<Dtype> > >& blobs, bool magnitudes)
      : layer_(param), x_(x_shape), magnitudes_(magnitudes) {
    Caffe::set_mode(Caffe::CPU);
    bottom_.assign(1, &x_);
    top_.assign(1, &y_);
    layer_.SetUp(bottom_, top_);
    for (size_t i = 0; i < blobs.size(); ++i) {
      CHECK(layer_.blobs()[i]->shape() == blobs[i]->shape());
      Set(ToDouble(blobs[i]->cpu_data(), blobs[i]->count()),
          layer_.blobs()[i]->mutable_cpu_data());
      caffe_set(blobs[i]->count(), 0., layer_.blobs()[i]->mutable_cpu_diff());
    }
  }

  /// @brief y, before it is masked and scaled.
  vector<double> Forward(const vector<double>& x) {
    Set(x, x_.mutable_cpu_data());
    layer_.Forward(bottom_, top_);
    return ToDouble(y_.cpu_data(), y_.count());
  }
  /// @brief dx. dy: masked and scaled.
  vector<double> Backward(const vector<double>& dy) {
    Set(dy, y_.mutable_cpu_diff());
    layer_.Backward(top_, vector<bool>(1, true), bottom_);
    return ToDouble(x_.cpu_diff(), x_.count());
  }
  vector<double> gradient(int i) {
    const Blob<double>& blob = *layer_.blobs()[i];
    return ToDouble(blob.cpu_diff(), blob.count());
  }

 private:
  void Set(const vector<double>& from, double* to) const {
    for (size_t i = 0; i < from.size(); ++i) {
      to[i] = magnitudes_ ? std::abs(from[i]) : from[i];
    }
  }

  ConvolutionLayer<double> layer_;
  Blob<double> x_, y_;
  vector<Blob<double>*> bottom_, top_;
  bool magnitudes_;
};

}  // namespace caffe

#endif  // CAFFE_TEST_APPROX_DROPOUT_CONVOLUTION_UTIL_HPP_
