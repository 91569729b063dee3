#include <limits>
#include <vector>

#include "caffe/test/test_caffe_main.hpp"
#include "caffe/util/check_labels.hpp"
#include "gtest/gtest.h"

namespace caffe {

template <typename Dtype>
class CheckLabelsTest : public CPUDeviceTest<Dtype> {
 protected:
  CheckLabelsTest() : labels_(vector<int>(1, 2)) { Set(0); }
  void Set(Dtype label) { labels_.mutable_cpu_data()[1] = label; }

  Blob<Dtype> labels_;
};

TYPED_TEST_CASE(CheckLabelsTest, TestDtypes);

TYPED_TEST(CheckLabelsTest, TestRange) {
  const int kIgnored = -1;
  this->Set(2);
  CheckLabels(this->labels_, 3, "loss");
  const TypeParam kInfinite = std::numeric_limits<TypeParam>::infinity();
  const TypeParam kBad[] = {-2, 3, 1e30, kInfinite, -kInfinite,
      std::numeric_limits<TypeParam>::quiet_NaN()};
  for (int i = 0; i < 6; ++i) {
    this->Set(kBad[i]);
    EXPECT_DEATH(CheckLabels(this->labels_, 3, "loss"),
        "layer 'loss': label "
        "or index 1 is .*; it must be from 0 to 2");
    EXPECT_DEATH(CheckLabels(this->labels_, 3, "loss", &kIgnored), "loss");
  }
  this->Set(-1);
  EXPECT_DEATH(CheckLabels(this->labels_, 3, "loss"), "index 1 is -1");
  CheckLabels(this->labels_, 3, "loss", &kIgnored);
}

}  // namespace caffe
