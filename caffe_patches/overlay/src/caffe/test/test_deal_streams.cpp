#include <string>

#include "caffe/approx_dropout/solver/deal_streams.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "caffe/test/test_ranks_util.hpp"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace caffe {

class DealStreamsTest : public ::testing::Test {
 protected:
  // Type of the data layer of a net whose cont comes from it, by way of a
  // layer in between.
  static string Dealt(
      const string& type, const string& reader, Phase phase = TRAIN) {
    NetParameter net;
    CHECK(google::protobuf::TextFormat::ParseFromString(
        "layer { name: 'data' type: '" + type +
            "' top: 'x' top: 'c' } "
            "layer { name: 'c2' type: 'Power' bottom: 'c' top: 'c2' } "
            "layer { name: 'h' type: '" +
            reader +
            "' bottom: 'x' bottom: 'c2' "
            "top: 'h' }",
        &net));
    net.mutable_state()->set_phase(phase);
    DealStreams(&net);
    return net.layer(0).type();
  }
};

TEST_F(DealStreamsTest, TestRecurrentNets) {
  EXPECT_EQ(Dealt("HDF5Data", "LSTM"), "HDF5Data");  // trains alone
  const WithRanks ranks(shared_ptr<Ranks>(new EqualRanks(2)));
  EXPECT_EQ(Dealt("HDF5Data", "LSTM"), "HDF5Streams");
  EXPECT_EQ(Dealt("HDF5Data", "RNN"), "HDF5Streams");
  EXPECT_EQ(Dealt("HDF5Data", "ApproxDropoutLSTM"), "HDF5Streams");
  EXPECT_EQ(Dealt("HDF5Data", "Eltwise"), "HDF5Data");
  EXPECT_EQ(Dealt("HDF5Data", "LSTM", TEST), "HDF5Data");
  EXPECT_EQ(Dealt("DummyData", "LSTM"), "DummyData");
  EXPECT_EQ(Dealt("Data", "Eltwise"), "Data");
}

TEST_F(DealStreamsTest, TestSequencesOfRecords) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  const WithRanks ranks(shared_ptr<Ranks>(new EqualRanks(2)));
  EXPECT_DEATH(Dealt("Data", "LSTM"),
      "LSTM layer 'h': its cont comes from Data layer 'data'");
}

}  // namespace caffe
