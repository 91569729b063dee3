#include <string>

#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

#include "caffe/approx_dropout/solver/pattern_family.hpp"
#include "caffe/caffe.hpp"
#include "caffe/layers/dropout_pattern_layer.hpp"

#include "caffe/test/test_caffe_main.hpp"

namespace caffe {

class PatternFamilyTest : public ::testing::Test {
 protected:
  static string Search(const string& param_str,
      const string& module = "approx_dropout") {
    return "layer { name: 'search' type: 'Python' top: 'k' python_param { "
        "module: '" + module + "' layer: 'PatternSearchLayer' param_str: '"
        + param_str + "' } } ";
  }

  static string Pattern(const string& param, const string& bottom = "k") {
    return "layer { name: 'pattern' type: 'DropoutPattern' bottom: '" + bottom
        + "' top: 'pattern' dropout_pattern_param { " + param + " } } ";
  }

  // The last layer after SetPatternFamilies.
  static DropoutPatternParameter Family(const string& text) {
    NetParameter net;
    CHECK(google::protobuf::TextFormat::ParseFromString(text, &net));
    SetPatternFamilies(&net);
    return net.layer(net.layer_size() - 1).dropout_pattern_param();
  }

  static void ExpectPeriod(const string& net) {
    SCOPED_TRACE(net);
    EXPECT_TRUE(Family(net).has_family());
    EXPECT_EQ(Family(net).family(), DropoutPatternParameter::PERIOD);
  }

  static void ExpectUnchanged(const string& net) {
    SCOPED_TRACE(net);
    EXPECT_FALSE(Family(net).has_family());
  }
};

const char kPeriod[] = "{\"dropout_ratio\": 0.5, \"family\": \"PERIOD\"}";

TEST_F(PatternFamilyTest, TestTravelsWithK) {
  ExpectPeriod(Search(kPeriod) + Pattern(""));
  ExpectPeriod(Search(kPeriod) + Pattern("family: PERIOD"));
  ExpectPeriod(Search(kPeriod, "approx_dropout.layers") + Pattern(""));
  // What the JSON says last counts, as in Python.
  ExpectPeriod(Search("{\"family\": \"RESIDUE\", \"family\": \"PERIOD\"}")
      + Pattern(""));
  EXPECT_EQ(Family(Search("{\"dropout_ratio\": 0.5}") + Pattern("groups: 2"))
      .family(), DropoutPatternParameter::RESIDUE);
}

TEST_F(PatternFamilyTest, TestTravelsThroughLayers) {
  ExpectPeriod(Search(kPeriod)
      + "layer { name: 's' type: 'Split' bottom: 'k' top: 'a' top: 'b' } "
      + "layer { name: 'p' type: 'Power' bottom: 'b' top: 'b' } "
      + Pattern("", "b"));
  // A blob of that name that another layer has written since.
  ExpectUnchanged(Search(kPeriod)
      + "layer { name: 'i' type: 'Input' top: 'k' } " + Pattern(""));
  // A pattern is no K.
  ExpectUnchanged(Search(kPeriod) + Pattern("")
      + "layer { name: 'q' type: 'DropoutPattern' bottom: 'pattern' top: 'q' "
      "} ");
}

TEST_F(PatternFamilyTest, TestOtherKsAreOfTheFieldsFamily) {
  ExpectUnchanged("layer { name: 'k' type: 'Input' top: 'k' } " + Pattern(""));
  ExpectUnchanged(Search(kPeriod, "my_layers") + Pattern(""));
  // Python refuses these.
  ExpectUnchanged(Search("{\"family\": ") + Pattern(""));
  ExpectUnchanged(Search("") + Pattern(""));
  ExpectUnchanged(Search("{\"family\": \"ROW\"}") + Pattern(""));
  ExpectPeriod("layer { name: 'k' type: 'Input' top: 'k' } "
      + Pattern("family: PERIOD"));
}

typedef PatternFamilyTest PatternFamilyDeathTest;

TEST_F(PatternFamilyDeathTest, TestAnotherFamily) {
  EXPECT_DEATH(Family(Search(kPeriod) + Pattern("family: RESIDUE")),
      "'pattern' has family: RESIDUE, but its K is searched by layer 'search' "
      "for family: PERIOD");
  EXPECT_DEATH(Family(Search("{}") + Pattern("family: PERIOD")),
      "'pattern' has family: PERIOD, .* by layer 'search' for family: RESIDUE");
}

}  // namespace caffe
