#include <string>
#include <vector>

#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

#include "caffe/approx_dropout/solver/fuse_relu.hpp"
#include "caffe/caffe.hpp"
#include "caffe/layers/approx_dropout_inner_product_layer.hpp"
#include "caffe/layers/relu_layer.hpp"

#include "caffe/test/test_caffe_main.hpp"

namespace caffe {

// On any device: which layers are told to.
class FuseReLUTest : public ::testing::Test {
 protected:
  typedef ApproxDropoutInnerProductLayer<float> Product;

  // A net with the layers between x and z, where 'fc' is the product.
  static shared_ptr<Net<float> > MakeNet(const string& layers) {
    NetParameter param;
    CHECK(google::protobuf::TextFormat::ParseFromString(
        "layer { name: 'x' type: 'DummyData' top: 'x' dummy_data_param { "
        "shape { dim: 2 dim: 5 } } } " + layers, &param));
    return shared_ptr<Net<float> >(new Net<float>(param));
  }

  static string ReLU(const string& from, const string& to,
      const string& param = "") {
    return "layer { name: 'relu' type: 'ReLU' bottom: '" + from + "' top: '"
        + to + "' relu_param { " + param + " } } ";
  }

  static bool Fused(const Net<float>& net) {
    const bool fused = dynamic_cast<Product*>(
        net.layer_by_name("fc").get())->rectifies();
    EXPECT_EQ(fused, dynamic_cast<ReLULayer<float>*>(
        net.layer_by_name("relu").get())->done_before());
    return fused;
  }

  static bool Fuses(const string& layers) {
    const shared_ptr<Net<float> > net = MakeNet(layers);
    EXPECT_FALSE(Fused(*net));
    FuseReLU(net.get(), true);
    const bool fuses = Fused(*net);
    FuseReLU(net.get(), false);
    EXPECT_FALSE(Fused(*net));
    return fuses;
  }
};

const char kProduct[] = "layer { name: 'fc' type: 'ApproxDropoutInnerProduct' "
    "bottom: 'x' top: 'y' inner_product_param { num_output: 4 } "
    "approx_dropout_param { pattern: NONE } } ";
const char kTanH[] =
    "layer { name: 'tanh' type: 'TanH' bottom: 'y' top: 'y' } ";
const char kReader[] =
    "layer { name: 'reader' type: 'TanH' bottom: 'y' top: 'z' } ";

TEST_F(FuseReLUTest, TestInPlaceNextToTheProduct) {
  EXPECT_TRUE(Fuses(kProduct + ReLU("y", "y")));
  EXPECT_TRUE(Fuses(kProduct + ReLU("y", "y", "negative_slope: 0") + kReader));
}

TEST_F(FuseReLUTest, TestOtherLayersOnTheWay) {
  EXPECT_FALSE(Fuses(kProduct + ReLU("y", "z")));
  EXPECT_FALSE(Fuses(kProduct + ReLU("y", "y", "negative_slope: 0.1")));
  EXPECT_FALSE(Fuses(kProduct + string(kTanH) + ReLU("y", "y")));
  EXPECT_FALSE(Fuses(ReLU("x", "x") + kProduct));
}

}  // namespace caffe
