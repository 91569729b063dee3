#include <string>

#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

#include "caffe/caffe.hpp"

#include "caffe/test/test_caffe_main.hpp"

namespace caffe {

// Nets are made, and passed through forward and backward: what is legal must
// work, what is not must be refused before the first pass.
class CompactBlobsTest : public ::testing::Test {
 protected:
  static string Pattern(const string& name) {
    return "layer { name: '" + name + "' type: 'DropoutPattern' top: '" + name
        + "' dropout_pattern_param { probability: 0 probability: 1 "
        "probability: 0 } } ";
  }

  static string Layer(const string& name, const string& type,
      const string& bottoms, const string& more = "") {
    string text = "layer { name: '" + name + "' type: '" + type + "' top: '"
        + name + "' " + more + " ";
    for (size_t i = 0; i < bottoms.size(); ++i) {
      text += string("bottom: '") + bottoms[i] + "' ";
    }
    return text + "} ";
  }

  static string Product(const string& name, const string& bottoms,
      const string& param) {
    return Layer(name, "ApproxDropoutInnerProduct", bottoms,
        "inner_product_param { num_output: 12 weight_filler { "
        "type: 'gaussian' std: 0.1 } } approx_dropout_param { " + param
        + " }");
  }

  // Names are letters: patterns p and q, and a, the 8 of 12 units of the input
  // x that p kept.
  static string Compact() {
    return "layer { name: 'x' type: 'DummyData' top: 'x' dummy_data_param { "
        "shape { dim: 6 dim: 12 } data_filler { type: 'gaussian' } } } "
        + Pattern("p") + Pattern("q")
        + Product("a", "xp", "compact_output: true");
  }

  // What reads blob b as p's units.
  static string Reader(const string& blob) {
    return Product("y", blob + "p", "pattern: NONE compact_input: true");
  }

  static void Pass(const string& layers, Phase phase = TRAIN) {
    NetParameter param;
    CHECK(google::protobuf::TextFormat::ParseFromString(Compact() + layers,
        &param));
    param.mutable_state()->set_phase(phase);
    param.set_force_backward(true);
    Caffe::set_mode(Caffe::CPU);
    Net<float> net(param);
    net.Forward();
    net.Backward();
  }
};

TEST_F(CompactBlobsTest, TestReadersThatKnow) {
  Pass(Reader("a"));
  Pass(Product("b", "aqp", "compact_input: true compact_output: true")
      + Product("y", "bq", "pattern: NONE compact_input: true"));
  Pass(Product("b", "aqp", "pattern: TILE tile_size: 2 compact_input: true"));
  // Several readers, of blob and pattern: Splits lie between.
  Pass(Reader("a") + Product("z", "app", "compact_input: true"));
}

TEST_F(CompactBlobsTest, TestLayersThatWorkOnSingleValues) {
  const char* const kTypes[] = { "AbsVal", "BNLL", "Clip", "Dropout", "ELU",
      "Exp", "Power", "ReLU", "Sigmoid", "Swish", "TanH" };
  const string kClip = "clip_param { min: -1 max: 1 }";
  for (int i = 0; i < 11; ++i) {
    SCOPED_TRACE(kTypes[i]);
    Pass(Layer("b", kTypes[i], "a", i == 2 ? kClip : "") + Reader("b"));
  }
  Pass(Layer("b", "PReLU", "a", "prelu_param { channel_shared: true }")
      + Reader("b"));
  // In place, and two of them.
  Pass(Layer("a", "ReLU", "a") + Layer("b", "Dropout", "a") + Reader("b"));
  Pass(Layer("b", "TanH", "a") + Layer("c", "Eltwise", "abb") + Reader("c"));
}

TEST_F(CompactBlobsTest, TestLayersThatOnlyLook) {
  Pass("layer { name: 's' type: 'Silence' bottom: 'a' }");
  Pass("");
}

TEST_F(CompactBlobsTest, TestLSTM) {
  const string kCont = "layer { name: 't' type: 'DummyData' top: 't' "
      "top: 'u' dummy_data_param { shape { dim: 3 dim: 2 } "
      "shape { dim: 3 dim: 2 dim: 4 } } } ";
  const string kParam = "recurrent_param { num_output: 9 weight_filler { "
      "type: 'gaussian' std: 0.1 } } approx_dropout_param { ";
  const string kFirst = kCont + Layer("h", "ApproxDropoutLSTM", "utp",
      kParam + "compact_output: true }");
  Pass(kFirst + Layer("g", "ApproxDropoutLSTM", "htqp",
      kParam + "compact_input: true }"));
  Pass(kFirst + Layer("g", "ApproxDropoutLSTM", "htp",
      kParam + "pattern: NONE compact_input: true }"));
  EXPECT_DEATH(Pass(kFirst + Layer("g", "ApproxDropoutLSTM", "htpq",
      kParam + "compact_input: true }")), "ApproxDropoutLSTM layer 'g' reads "
      "blob 'h', .* ApproxDropoutLSTM layer 'h' kept by pattern 'p', as if "
      "pattern 'q' had kept them; bottom 3");
  EXPECT_DEATH(Pass(kFirst + Layer("l", "LSTM", "ht", kParam + "}")),
      "LSTM layer 'l' reads blob 'h', .* cannot know");
}

// Names: m, 8 maps of the 12 that p kept, of the images i.
class CompactMapsTest : public CompactBlobsTest {
 protected:
  static string Convolution(
      const string& name, const string& bottoms, const string& param) {
    return Layer(name, "ApproxDropoutConvolution", bottoms,
        "convolution_param { num_output: 12 kernel_size: 3 pad: 1 "
        "weight_filler { type: 'gaussian' std: 0.1 } } approx_dropout_param "
        "{ " +
            param + " }");
  }

  static void PassMaps(const string& layers) {
    Pass(
        "layer { name: 'i' type: 'DummyData' top: 'i' dummy_data_param { "
        "shape { dim: 6 dim: 4 dim: 5 dim: 12 } data_filler { "
        "type: 'gaussian' } } } " +
        Convolution("m", "ip", "compact_output: true") + layers);
  }
};

TEST_F(CompactMapsTest, TestReaders) {
  const string kNone = "pattern: NONE compact_input: true";
  PassMaps(Layer("m", "ReLU", "m") +
           Layer("n", "Pooling", "m", "pooling_param { kernel_size: 2 }") +
           Convolution("o", "nqp", "compact_input: true compact_output: true") +
           Layer("r", "Eltwise", "oo") + Product("y", "rq", kNone));
  PassMaps(
      Layer("n", "Pooling", "m", "pooling_param { global_pooling: true }") +
      Product("y", "np", kNone));
  PassMaps(Layer("n", "ApproxDropout", "ip",
               "approx_dropout_param { unit_axis: 3 compact_output: true }") +
           Layer("y", "ApproxDropoutInnerProduct", "np",
               "inner_product_param { "
               "num_output: 3 axis: 3 } approx_dropout_param { " +
                   kNone + " }"));
}

typedef CompactMapsTest CompactMapsDeathTest;

TEST_F(CompactMapsDeathTest, TestReadersThatDoNotKnow) {
  const string kReads =
      " layer 'y' reads blob 'm', which holds only the units "
      "that ApproxDropoutConvolution layer 'm' kept by pattern 'p', ";
  EXPECT_DEATH(PassMaps(Layer("y", "PReLU", "m")),
      "PReLU" + kReads + "but has a parameter per channel");
  EXPECT_DEATH(PassMaps(Convolution("y", "mqq", "compact_input: true")),
      kReads + "as if pattern 'q' had kept them");
  EXPECT_DEATH(
      PassMaps(Convolution("y", "mq", "")), "'p'; set compact_input: true");
  EXPECT_DEATH(PassMaps(Layer("y", "Convolution", "m",
                   "convolution_param { "
                   "num_output: 3 kernel_size: 1 }")),
      "Convolution" + kReads + "and cannot");
  const char* const kTypes[] = {"BatchNorm", "Scale", "Bias", "LRN", "MVN",
      "Concat", "Slice", "Flatten", "SPP", "Deconvolution", "Im2col"};
  for (int i = 0; i < 11; ++i) {
    EXPECT_DEATH(PassMaps(Layer("y", kTypes[i], "m")),
        kTypes[i] + kReads + "and cannot know which these are");
  }
}

TEST_F(CompactMapsDeathTest, TestAnotherAxis) {
  const string kRead =
      "inner_product_param { num_output: 3 axis: 3 } "
      "approx_dropout_param { pattern: NONE compact_input: true }";
  EXPECT_DEATH(PassMaps(Layer("y", "ApproxDropoutInnerProduct", "mp", kRead)),
      "layer 'y' reads blob 'm', .* kept by pattern 'p', along axis 1, as if "
      "along axis 3");
  const string kColumns = Layer("n", "ApproxDropout", "ip",
      "approx_dropout_param { unit_axis: 3 compact_output: true }");
  EXPECT_DEATH(PassMaps(kColumns + Layer("y", "Pooling", "n",
                                       "pooling_param { kernel_size: 2 }")),
      "Pooling layer 'y' reads blob 'n', .*, not channels: they lie along axis "
      "3");
  EXPECT_DEATH(PassMaps(kColumns + Product("y", "np",
                                       "pattern: NONE compact_input: true")),
      "along axis 3, as if along axis 1");
}

typedef CompactBlobsTest CompactBlobsDeathTest;

TEST_F(CompactBlobsDeathTest, TestAnotherPattern) {
  const string kWrong = "ApproxDropoutInnerProduct layer 'y' reads blob '.', "
      "which holds only the units that ApproxDropoutInnerProduct layer 'a' "
      "kept by pattern 'p', as if pattern 'q' had kept them; bottom ";
  const string kNone = "pattern: NONE compact_input: true";
  EXPECT_DEATH(Pass(Product("y", "aq", kNone)), kWrong + "1");
  EXPECT_DEATH(Pass(Product("y", "apq", "compact_input: true")), kWrong + "2");
  EXPECT_DEATH(Pass(Layer("b", "ReLU", "a") + Product("y", "bq", kNone)),
      kWrong + "1");
  // In the TEST phase everything is kept, but the net is as wrong.
  EXPECT_DEATH(Pass(Product("y", "aq", kNone), TEST), kWrong + "1");
  // Another layer has written to p since.
  EXPECT_DEATH(Pass(Layer("p", "ReLU", "p") + Reader("a")),
      "as if pattern 'p' had kept them");
}

TEST_F(CompactBlobsDeathTest, TestReadersThatDoNotKnow) {
  const string kProduct =
      "inner_product_param { num_output: 3 }";
  const string kReads = " layer 'y' reads blob 'a', which holds only the units "
      "that ApproxDropoutInnerProduct layer 'a' kept by pattern 'p', ";
  EXPECT_DEATH(Pass(Layer("y", "InnerProduct", "a", kProduct)),
      "InnerProduct" + kReads + "and cannot know which these are");
  EXPECT_DEATH(Pass(Layer("y", "PReLU", "a")),
      "PReLU" + kReads + "but has a parameter per channel");
  EXPECT_DEATH(Pass(Product("y", "aq", "")), "'p'; set compact_input: true");
  EXPECT_DEATH(Pass(Layer("y", "ApproxDropout", "aq")),
      "ApproxDropout" + kReads + "and cannot know");
  const char* const kTypes[] = { "BatchNorm", "Scale", "Bias", "LRN", "MVN",
      "Softmax", "Reduction", "Flatten", "Reshape", "Tile", "Slice", "Concat",
      "Unheard" };
  for (int i = 0; i < 13; ++i) {
    EXPECT_DEATH(Pass(Layer("y", kTypes[i], "a")), kTypes[i] + kReads);
  }
  // As another bottom than the input, and by a loss without tops.
  EXPECT_DEATH(Pass(Product("y", "xa", "")), "y' reads blob 'a', .* cannot");
  EXPECT_DEATH(Pass("layer { name: 'y' type: 'EuclideanLoss' bottom: 'x' "
      "bottom: 'a' }"), "EuclideanLoss" + kReads);
}

TEST_F(CompactBlobsDeathTest, TestEltwise) {
  const string kOther = Product("b", "xq", "compact_output: true");
  const string kWhole = Product("b", "x", "pattern: NONE");
  EXPECT_DEATH(Pass(kOther + Layer("y", "Eltwise", "ab")),
      "Eltwise layer 'y' reads blob 'a', .* layer 'a' kept by pattern 'p', and "
      "blob 'b', which does not hold the same ones");
  EXPECT_DEATH(Pass(kWhole + Layer("y", "Eltwise", "ba")),
      "Eltwise layer 'y' reads blob 'a', .* and blob 'b', which does not");
}

}  // namespace caffe
