#include <algorithm>
#include <string>
#include <vector>

#include "caffe/blob.hpp"
#include "caffe/common.hpp"
#include "caffe/layer.hpp"
#include "caffe/layer_factory.hpp"
#include "caffe/test/test_approx_dropout_util.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace caffe {

namespace {

// As many elements as threads share.
const int kRows = 40;
const int kColumns = 500;

}  // namespace

// Caffe's layers whose rows threads share, against each row alone.
template <typename Dtype>
class VectorMathLayersTest : public ::testing::Test {
 protected:
  VectorMathLayersTest() : x_(vector<int>({kRows, kColumns})), dy_(x_.shape()) {
    Caffe::set_random_seed(1701);
    FillGaussian(&x_);
    FillGaussian(&dy_);
  }

  // y and, if wanted, dx of some rows.
  struct Pass {
    vector<Dtype> y, dx;
  };
  Pass Run(const string& param, bool with_labels, bool backward, int first,
      int rows) {
    LayerParameter layer_param;
    CHECK(google::protobuf::TextFormat::ParseFromString(param, &layer_param));
    Blob<Dtype> x(vector<int>({rows, kColumns})), y, labels(rows, 1, 1, 1);
    const int offset = first * kColumns;
    std::copy(x_.cpu_data() + offset, x_.cpu_data() + offset + x.count(),
        x.mutable_cpu_data());
    for (int i = 0; i < rows; ++i) {
      labels.mutable_cpu_data()[i] = (first + i) * 7 % kColumns;
    }
    vector<Blob<Dtype>*> bottom(1, &x), top(1, &y);
    if (with_labels) {
      bottom.push_back(&labels);
    }
    const shared_ptr<Layer<Dtype> > layer =
        LayerRegistry<Dtype>::CreateLayer(layer_param);
    layer->SetUp(bottom, top);
    layer->Forward(bottom, top);
    Pass pass;
    pass.y.assign(y.cpu_data(), y.cpu_data() + y.count());
    if (!backward) {
      return pass;
    }
    for (int i = 0; i < y.count(); ++i) {
      y.mutable_cpu_diff()[i] = with_labels ? 1 : dy_.cpu_data()[offset + i];
    }
    vector<bool> propagate(bottom.size());
    propagate[0] = true;
    layer->Backward(top, propagate, bottom);
    pass.dx.assign(x.cpu_diff(), x.cpu_diff() + x.count());
    return pass;
  }

  static bool HasRow(
      const vector<Dtype>& all, int row, const vector<Dtype>& alone) {
    return std::equal(
        alone.begin(), alone.end(), all.begin() + row * alone.size());
  }

  Blob<Dtype> x_, dy_;
};

TYPED_TEST_CASE(VectorMathLayersTest, TestDtypes);

TYPED_TEST(VectorMathLayersTest, TestReLU) {
  const string param = "type: 'ReLU' relu_param { negative_slope: 0.25 }";
  const auto all = this->Run(param, false, true, 0, kRows);
  for (int i = 0; i < kRows; ++i) {
    const auto alone = this->Run(param, false, true, i, 1);
    EXPECT_TRUE(this->HasRow(all.y, i, alone.y)) << i;
    EXPECT_TRUE(this->HasRow(all.dx, i, alone.dx)) << i;
  }
}

TYPED_TEST(VectorMathLayersTest, TestSoftmax) {
  const auto all = this->Run("type: 'Softmax'", false, false, 0, kRows);
  for (int i = 0; i < kRows; ++i) {
    EXPECT_TRUE(this->HasRow(
        all.y, i, this->Run("type: 'Softmax'", false, false, i, 1).y))
        << i;
  }
}

TYPED_TEST(VectorMathLayersTest, TestSoftmaxWithLoss) {
  const string param =
      "type: 'SoftmaxWithLoss' loss_weight: 1 "
      "loss_param { normalization: NONE }";
  const auto all = this->Run(param, true, true, 0, kRows);
  for (int i = 0; i < kRows; ++i) {
    EXPECT_TRUE(this->HasRow(all.dx, i, this->Run(param, true, true, i, 1).dx))
        << i;
  }
}

}  // namespace caffe
