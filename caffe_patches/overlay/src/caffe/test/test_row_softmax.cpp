#include <algorithm>
#include <cmath>
#include <vector>

#include "caffe/layers/softmax_layer.hpp"
#include "caffe/layers/softmax_loss_layer.hpp"
#include "caffe/test/test_approx_dropout_util.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "gtest/gtest.h"

namespace caffe {

namespace {

const int kRows = 5;
// Around the 256 threads that take a row, and a row of one value.
const int kColumns[] = {1, 3, 255, 256, 257, 1000};

vector<int> Shape(int rows, int columns) {
  vector<int> shape(2, rows);
  shape[1] = columns;
  return shape;
}

template <typename Dtype>
vector<double> SoftmaxOf(const Blob<Dtype>& x) {
  const int columns = x.shape(1);
  vector<double> y(x.count());
  for (int i = 0; i < x.shape(0); ++i) {
    const Dtype* row = x.cpu_data() + i * columns;
    const double largest = *std::max_element(row, row + columns);
    double sum = 0;
    for (int j = 0; j < columns; ++j) {
      sum += std::exp(row[j] - largest);
    }
    for (int j = 0; j < columns; ++j) {
      y[i * columns + j] = std::exp(row[j] - largest) / sum;
    }
  }
  return y;
}

}  // namespace

template <typename TypeParam>
class RowSoftmaxTest : public MultiDeviceTest<TypeParam> {
 protected:
  typedef typename TypeParam::Dtype Dtype;

  // Rows differ in size: exp of the second and third would be inf and 0.
  void Fill(int columns) {
    x_.Reshape(Shape(kRows, columns));
    FillGaussian(&x_);
    for (int j = 0; j < columns; ++j) {
      x_.mutable_cpu_data()[columns + j] += 1000;
      x_.mutable_cpu_data()[2 * columns + j] -= 1000;
    }
    labels_.Reshape(vector<int>(1, kRows));
    for (int i = 0; i < kRows; ++i) {
      labels_.mutable_cpu_data()[i] = i * 7 % columns;
    }
  }

  void ExpectNear(
      const vector<double>& expected, const Dtype* found, double size = 1) {
    const double tolerance = sizeof(Dtype) == 4 ? 2e-6 : 1e-14;
    for (size_t k = 0; k < expected.size(); ++k) {
      ASSERT_NEAR(expected[k], found[k], tolerance * size) << "at " << k;
    }
  }

  // The loss's gradient against probability - 1 at the label, divided by
  // `normalizer`. ignored: a label, -1 for none.
  void CheckLoss(
      int ignored, LossParameter_NormalizationMode mode, double normalizer) {
    LayerParameter param;
    param.mutable_loss_param()->set_normalization(mode);
    if (ignored >= 0) {
      param.mutable_loss_param()->set_ignore_label(ignored);
    }
    Blob<Dtype> loss;
    const vector<Blob<Dtype>*> bottom = {&x_, &labels_}, top = {&loss};
    SoftmaxWithLossLayer<Dtype> layer(param);
    layer.SetUp(bottom, top);
    const Dtype sum = layer.Forward(bottom, top);
    EXPECT_EQ(loss.cpu_data()[0], sum);
    const double weight = 0.7;
    loss.mutable_cpu_diff()[0] = weight;
    Poison(x_.mutable_cpu_diff(), x_.count());
    layer.Backward(top, {true, false}, bottom);
    // Nobody took it to the device.
    EXPECT_EQ(SyncedMemory::HEAD_AT_CPU, loss.data()->head());
    vector<double> expected = SoftmaxOf(x_);
    const int columns = x_.shape(1);
    for (int i = 0; i < kRows; ++i) {
      const int label = labels_.cpu_data()[i];
      expected[i * columns + label] -= 1;
      for (int j = 0; j < columns; ++j) {
        expected[i * columns + j] *= label == ignored ? 0 : weight / normalizer;
      }
    }
    ExpectNear(expected, x_.cpu_diff());
  }

  Blob<Dtype> x_, y_, labels_;
};

TYPED_TEST_CASE(RowSoftmaxTest, TestDtypesAndDevices);

TYPED_TEST(RowSoftmaxTest, TestAgainstLoops) {
  typedef typename TypeParam::Dtype Dtype;
  for (int columns : kColumns) {
    this->Fill(columns);
    const vector<Blob<Dtype>*> bottom(1, &this->x_), top(1, &this->y_);
    SoftmaxLayer<Dtype> layer((LayerParameter()));
    layer.SetUp(bottom, top);
    Poison(this->y_.mutable_cpu_data(), this->y_.count());
    layer.Forward(bottom, top);
    const vector<double> y = SoftmaxOf(this->x_);
    this->ExpectNear(y, this->y_.cpu_data());

    FillGaussian(&this->y_, true);
    layer.Forward(bottom, top);
    Poison(this->x_.mutable_cpu_diff(), this->x_.count());
    layer.Backward(top, vector<bool>(1, true), bottom);
    vector<double> dx(y.size());
    for (int i = 0; i < kRows; ++i) {
      const Dtype* dy = this->y_.cpu_diff() + i * columns;
      double sum = 0;
      for (int j = 0; j < columns; ++j) {
        sum += y[i * columns + j] * dy[j];
      }
      for (int j = 0; j < columns; ++j) {
        dx[i * columns + j] = y[i * columns + j] * (dy[j] - sum);
      }
    }
    this->ExpectNear(dx, this->x_.cpu_diff(), 4);
  }
}

TYPED_TEST(RowSoftmaxTest, TestInPlace) {
  typedef typename TypeParam::Dtype Dtype;
  this->Fill(257);
  const vector<double> y = SoftmaxOf(this->x_);
  const vector<Blob<Dtype>*> blob(1, &this->x_);
  SoftmaxLayer<Dtype> layer((LayerParameter()));
  layer.SetUp(blob, blob);
  layer.Forward(blob, blob);
  this->ExpectNear(y, this->x_.cpu_data());
}

TYPED_TEST(RowSoftmaxTest, TestLossGradient) {
  for (int columns : kColumns) {
    this->Fill(columns);
    this->CheckLoss(-1, LossParameter_NormalizationMode_FULL, kRows);
    this->CheckLoss(-1, LossParameter_NormalizationMode_NONE, 1);
    const int ignored = 7 % columns;  // the second row's
    int valid = 0;
    for (int i = 0; i < kRows; ++i) {
      valid += this->labels_.cpu_data()[i] != ignored;
    }
    this->CheckLoss(
        ignored, LossParameter_NormalizationMode_VALID, std::max(valid, 1));
    this->CheckLoss(ignored, LossParameter_NormalizationMode_FULL, kRows);
  }
}

}  // namespace caffe
