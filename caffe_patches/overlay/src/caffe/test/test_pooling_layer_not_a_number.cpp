#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "caffe/blob.hpp"
#include "caffe/layers/pooling_layer.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "gtest/gtest.h"

namespace caffe {

// What diverging nets have in their blobs.
template <typename TypeParam>
class PoolingLayerNotANumberTest : public MultiDeviceTest<TypeParam> {};

TYPED_TEST_CASE(PoolingLayerNotANumberTest, TestDtypesAndDevices);

// Windows of two values; each gives its gradient to one of them.
TYPED_TEST(PoolingLayerNotANumberTest, TestMaxPooling) {
  typedef typename TypeParam::Dtype Dtype;
  const Dtype kNaN = std::numeric_limits<Dtype>::quiet_NaN();
  const Dtype kInfinite = std::numeric_limits<Dtype>::infinity();
  const Dtype kValues[] = {
      kNaN, kNaN, -kInfinite, -kInfinite, kNaN, 1, 2, kNaN, -1, -2, 3, 4};
  const Dtype kMaxima[] = {kNaN, -kInfinite, kNaN, kNaN, -1, 4};
  const int kPlaces[] = {1, 2, 4, 7, 8, 11};
  const int kShape[] = {1, 1, 1, 12};
  Blob<Dtype> x(vector<int>(kShape, kShape + 4)), y, mask;
  for (int num_tops = 1; num_tops <= 2; ++num_tops) {
    LayerParameter parameters;
    PoolingParameter* pooling = parameters.mutable_pooling_param();
    pooling->set_kernel_h(1);
    pooling->set_kernel_w(2);
    pooling->set_stride_h(1);
    pooling->set_stride_w(2);
    PoolingLayer<Dtype> layer(parameters);
    const vector<Blob<Dtype>*> bottom(1, &x);
    vector<Blob<Dtype>*> top(1, &y);
    if (num_tops == 2) { top.push_back(&mask); }
    layer.SetUp(bottom, top);
    std::copy(kValues, kValues + 12, x.mutable_cpu_data());
    layer.Forward(bottom, top);
    for (int i = 0; i < 6; ++i) {
      const Dtype found = y.cpu_data()[i];
      EXPECT_TRUE(std::isnan(kMaxima[i]) ? std::isnan(found) :
          found == kMaxima[i]) << i;
      y.mutable_cpu_diff()[i] = 10 + i;
      if (num_tops == 2) { EXPECT_EQ(kPlaces[i], mask.cpu_data()[i]); }
    }
    layer.Backward(top, vector<bool>(1, true), bottom);
    for (int i = 0; i < 12; ++i) {
      EXPECT_EQ(i == kPlaces[i / 2] ? 10 + i / 2 : 0, x.cpu_diff()[i]) << i;
    }
  }
}

}  // namespace caffe
