#include <stdexcept>
#include <string>
#include <vector>

#include "caffe/approx_dropout/solver/rank_state.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "gtest/gtest.h"

namespace caffe {

class RankStateTest : public ::testing::Test {
 protected:
  // A rank's run: hidden states of `streams` streams of two units, stream s
  // of all holding 10 s and 10 s + 1, and generators named after the rank.
  static RunState Run(int rank, int ranks, int streams) {
    RunState run;
    run.set_generator("generator " + std::to_string(rank));
    LayerState* data = run.add_layer();
    data->set_layer("data");
    data->set_records(7 + rank);
    data->set_transform_generator(run.generator());
    LayerState* lstm = run.add_layer();
    lstm->set_layer("lstm");
    BlobProto* blob = lstm->add_blob();
    const int shape[] = {1, streams, 2};
    for (int dim : shape) {
      blob->mutable_shape()->add_dim(dim);
    }
    for (int s = rank; s < streams * ranks; s += ranks) {
      blob->add_data(10 * s);
      blob->add_data(10 * s + 1);
    }
    return run;
  }

  static RunState All(int ranks, int streams) {
    RunState all = Run(0, ranks, streams);
    for (int r = 1; r < ranks; ++r) {
      AddRank(Run(r, ranks, streams).SerializeAsString(), &all);
    }
    return all;
  }
};

TEST_F(RankStateTest, TestAsManyRanks) {
  for (int r = 0; r < 3; ++r) {
    EXPECT_EQ(RunOfRank(All(3, 2), r, 3).SerializeAsString(),
        Run(r, 3, 2).SerializeAsString());
  }
}

TEST_F(RankStateTest, TestDamagedRank) {
  RunState run = Run(0, 2, 2);
  AddRank("no message", &run);
  EXPECT_EQ(NumRanks(run), 2);
  EXPECT_THROW(RunOfRank(run, 0, 1), std::runtime_error);
}

TEST_F(RankStateTest, TestDealsStreamsAnew) {
  const int kAll = 12;
  const int kRanks[] = {1, 2, 3, 4, 6, 12};
  for (int from : kRanks) {
    for (int to : kRanks) {
      for (int r = 0; r < to; ++r) {
        const RunState run = RunOfRank(All(from, kAll / from), r, to);
        EXPECT_EQ(NumRanks(run), 1);
        EXPECT_EQ(run.layer(1).SerializeAsString(),
            Run(r, to, kAll / to).layer(1).SerializeAsString())
            << from << " to " << to << " ranks, rank " << r;
      }
    }
  }
}

TEST_F(RankStateTest, TestOtherRanksDrawAnew) {
  const RunState first = RunOfRank(All(2, 6), 0, 4);
  EXPECT_EQ(first.layer(0).transform_generator(), "generator 0");
  const RunState second = RunOfRank(All(2, 6), 1, 4);
  EXPECT_FALSE(second.layer(0).has_transform_generator());
  // Where the last one stands, behind what all have read.
  EXPECT_EQ(first.layer(0).records(), 8);
  EXPECT_EQ(second.layer(0).records(), 8);
}

// What does not fit is left to the layer, which says so.
TEST_F(RankStateTest, TestStreamsThatRanksCannotShare) {
  const RunState run = RunOfRank(All(2, 3), 1, 4);
  EXPECT_EQ(run.layer(1).blob(0).shape().dim(1), 3);
}

}  // namespace caffe
