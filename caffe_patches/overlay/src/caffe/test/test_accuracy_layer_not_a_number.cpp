#include <algorithm>
#include <limits>
#include <vector>

#include "caffe/blob.hpp"
#include "caffe/layers/accuracy_layer.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "gtest/gtest.h"

namespace caffe {

// What diverging nets have in their blobs.
template <typename TypeParam>
class AccuracyLayerNotANumberTest : public MultiDeviceTest<TypeParam> {};

TYPED_TEST_CASE(AccuracyLayerNotANumberTest, TestDtypesAndDevices);

TYPED_TEST(AccuracyLayerNotANumberTest, TestNoLabelCountsAsRight) {
  typedef typename TypeParam::Dtype Dtype;
  const Dtype kNaN = std::numeric_limits<Dtype>::quiet_NaN();
  // Label 1 has a score in the last two only, and the largest.
  const Dtype kScores[] = {kNaN, kNaN, kNaN, 1, kNaN, 0, 1, 2, kNaN, 1, 2, 0};
  const int kShape[] = {4, 3};
  Blob<Dtype> scores(vector<int>(kShape, kShape + 2));
  Blob<Dtype> labels(vector<int>(1, 4)), accuracy, by_class;
  std::copy(kScores, kScores + 12, scores.mutable_cpu_data());
  std::fill_n(labels.mutable_cpu_data(), 4, Dtype(1));
  const vector<Blob<Dtype>*> bottom = {&scores, &labels};
  for (int num_tops = 1; num_tops <= 2; ++num_tops) {
    AccuracyLayer<Dtype> layer((LayerParameter()));
    vector<Blob<Dtype>*> top(1, &accuracy);
    if (num_tops == 2) { top.push_back(&by_class); }
    layer.SetUp(bottom, top);
    layer.Forward(bottom, top);
    EXPECT_EQ(Dtype(0.5), accuracy.cpu_data()[0]);
    if (num_tops == 2) { EXPECT_EQ(Dtype(0.5), by_class.cpu_data()[1]); }
  }
}

}  // namespace caffe
