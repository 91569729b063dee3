#include <string>

#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

#include "caffe/common.hpp"
#include "caffe/util/upgrade_proto.hpp"

#include "caffe/test/test_caffe_main.hpp"

namespace caffe {

class UpgradeInputsDeathTest : public ::testing::Test {
 protected:
  NetParameter Upgraded(const string& text) {
    NetParameter net;
    CHECK(google::protobuf::TextFormat::ParseFromString(text, &net));
    UpgradeNetAsNeeded("net", &net);
    return net;
  }
};

TEST_F(UpgradeInputsDeathTest, TestInputsWithoutShape) {
  const string inputs = "input: 'x' input: 'y' ";
  const string dims = "input_dim: 2 input_dim: 3 input_dim: 1 input_dim: 1 ";
  const string shape = "input_shape { dim: 2 dim: 3 } ";
  const char kFault[] = "more of input than of input_shape";
  EXPECT_DEATH(Upgraded(inputs + dims), kFault);
  EXPECT_DEATH(Upgraded(inputs + dims + "input_dim: 2 "), kFault);
  EXPECT_DEATH(Upgraded(inputs + shape), kFault);
  EXPECT_EQ(Upgraded(inputs + dims + dims).layer(0).top_size(), 2);
  EXPECT_EQ(Upgraded(inputs + shape + shape).layer(0).top_size(), 2);
}

}  // namespace caffe
