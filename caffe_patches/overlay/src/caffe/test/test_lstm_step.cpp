#include <algorithm>
#include <vector>

#include "caffe/approx_dropout/product/lstm_step.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "gtest/gtest.h"

namespace caffe {

namespace {

struct StepCase {
  int units, samples, max_tile, width;
};

// Sizes that fit and that do not; each width, tile and number of splits.
vector<StepCase> StepCases() {
  const StepCase kCases[] = {{1, 1, 20, 1}, {5, 3, 20, 1}, {37, 33, 20, 1},
      {64, 20, 20, 4}, {65, 40, 20, 1}, {66, 9, 20, 2}, {132, 20, 8, 2},
      {200, 1, 20, 4}, {130, 17, 20, 2}, {530, 2, 20, 2}, {796, 1, 8, 4}};
  return vector<StepCase>(kCases, kCases + sizeof(kCases) / sizeof(StepCase));
}

}  // namespace

TEST(LSTMStepTest, TestPasses) {
  for (int max_tile = kSmallTile; max_tile <= kLargeTile; max_tile += 12) {
    for (int samples = 1; samples <= 2 * kMaxStepSamples; ++samples) {
      const SamplePasses passes = CutSamples(samples, max_tile);
      EXPECT_LE(passes.tile, max_tile) << samples;
      EXPECT_GE(passes.count * passes.tile, samples);
      EXPECT_LT(passes.first(passes.count - 1), samples);
      EXPECT_EQ((samples + max_tile - 1) / max_tile, passes.count);
    }
  }
  EXPECT_EQ(20, CutSamples(20, kLargeTile).tile);
  EXPECT_EQ(16, CutSamples(30, kLargeTile).tile);
  EXPECT_EQ(8, CutSamples(1, kLargeTile).tile);
}

// Each product of a weight and a sample's input is in one lane's sums; what
// lies beyond the last unit or sample is in those that nobody reads.
TEST(LSTMStepTest, TestForwardCutMultipliesOnce) {
  const vector<StepCase> cases = StepCases();
  for (int i = 0; i < cases.size(); ++i) {
    const StepCase& c = cases[i];
    SCOPED_TRACE(testing::Message() << "case " << i);
    const ForwardCut cut = CutForward(c.units, c.samples, c.max_tile, c.width);
    const int tile = cut.passes.tile;
    // By row and sample, how often each column.
    vector<vector<int> > times(4 * c.units * c.samples, vector<int>(c.units));
    for (int b = 0; b < cut.blocks(); ++b) {
      for (int thread = 0; thread < 32 * kForwardWarps; ++thread) {
        const int warp = thread / 32;
        const int lane = thread % 32;
        for (int r = 0; r < kWarpRows; ++r) {
          const int unit = cut.first_unit(b) + warp / cut.splits * kWarpUnits +
                           r % kWarpUnits;
          const int row = cut.row(b, warp, r);
          ASSERT_LT(row, 4 * c.units);
          if (unit >= c.units) {
            continue;
          }
          ASSERT_EQ(r / kWarpUnits * c.units + unit, row);
          for (int s = 0; s < tile / 2; ++s) {
            const int n = cut.first_sample(b) + cut.tile_sample(lane, s, tile);
            if (n >= c.samples) {
              continue;
            }
            for (int k = cut.first_column(warp, lane); k < c.units;
                 k += cut.column_stride()) {
              ASSERT_LE(k + c.width, c.units);
              for (int j = 0; j < c.width; ++j) {
                ++times[row * c.samples + n][k + j];
              }
            }
          }
        }
      }
    }
    for (int j = 0; j < times.size(); ++j) {
      ASSERT_EQ(vector<int>(c.units, 1), times[j]) << "sum " << j;
    }
  }
}

// The totals of a warp are dealt to its lanes, each to one.
TEST(LSTMStepTest, TestForwardCutDealsOnce) {
  const int kTiles[] = {kSmallTile, kMiddleTile, kLargeTile};
  for (int i = 0; i < 3; ++i) {
    const int tile = kTiles[i];
    vector<int> times(kWarpRows * tile);
    for (int lane = 0; lane < 32; ++lane) {
      for (int j = 0; j < tile / 4; ++j) {
        const int row = ForwardCut::dealt_row(lane);
        const int sample = ForwardCut::dealt_sample(lane, j, tile);
        ++times.at(row * tile + sample);
        // As DealTotals leaves them: in the order of the lane's own sums.
        const int place = lane % kRowLanes * (tile / 4) + j;
        EXPECT_EQ(place / (tile / 2), row);
        EXPECT_EQ(
            ForwardCut::tile_sample(lane, place % (tile / 2), tile), sample);
      }
    }
    EXPECT_EQ(vector<int>(kWarpRows * tile, 1), times);
  }
}

// All parts of the same columns and samples arrive at one place, others at
// others.
TEST(LSTMStepTest, TestGradientCutArrivals) {
  const vector<StepCase> cases = StepCases();
  for (int i = 0; i < cases.size(); ++i) {
    const StepCase& c = cases[i];
    const GradientCut cut =
        CutGradient(c.units, c.samples, c.max_tile, c.width);
    vector<vector<int> > arrived(cut.num_arrivals());
    for (int b = 0; b < cut.blocks(); ++b) {
      arrived.at(cut.arrival(b)).push_back(b);
    }
    for (int a = 0; a < arrived.size(); ++a) {
      ASSERT_EQ(cut.parts, arrived[a].size()) << "case " << i;
      for (int j = 0; j < cut.parts; ++j) {
        const int b = arrived[a][j];
        EXPECT_EQ(j, cut.part(b));
        EXPECT_EQ(cut.first_column(arrived[a][0]), cut.first_column(b));
        EXPECT_EQ(cut.first_sample(arrived[a][0]), cut.first_sample(b));
      }
    }
  }
}

TEST(LSTMStepTest, TestGradientCutMultipliesOnce) {
  const vector<StepCase> cases = StepCases();
  for (int i = 0; i < cases.size(); ++i) {
    const StepCase& c = cases[i];
    SCOPED_TRACE(testing::Message() << "case " << i);
    const GradientCut cut =
        CutGradient(c.units, c.samples, c.max_tile, c.width);
    EXPECT_LE(cut.blocks(),
        std::max(kMultiprocessors, cut.column_blocks() * cut.passes.count));
    // By four rows and sample, how often each column; and by part, column and
    // sample, how many blocks write it.
    vector<vector<int> > times(c.units * c.samples, vector<int>(c.units));
    vector<vector<int> > written(cut.parts * c.samples, vector<int>(c.units));
    for (int b = 0; b < cut.blocks(); ++b) {
      ASSERT_LT(cut.part(b), cut.parts);
      ASSERT_LT(cut.first_column(b), c.units);
      ASSERT_LT(cut.first_four(b), cut.end_four(b));
      for (int s = 0; s < cut.passes.tile; ++s) {
        const int n = cut.first_sample(b) + s;
        if (n >= c.samples) {
          continue;
        }
        for (int k = cut.first_column(b);
             k < c.units && k < cut.first_column(b) + 32 * c.width; ++k) {
          ++written[cut.part(b) * c.samples + n][k];
          for (int f = cut.first_four(b); f < cut.end_four(b); ++f) {
            ++times[f * c.samples + n][k];
          }
        }
      }
    }
    for (int j = 0; j < times.size(); ++j) {
      ASSERT_EQ(vector<int>(c.units, 1), times[j]) << "sum " << j;
    }
    for (int j = 0; j < written.size(); ++j) {
      ASSERT_EQ(vector<int>(c.units, 1), written[j]) << "row " << j;
    }
  }
}

// Each gradient of a step has a place of its own, a tile's side by side.
TEST(LSTMStepTest, TestGradientCutPlacesFours) {
  const vector<StepCase> cases = StepCases();
  for (int i = 0; i < cases.size(); ++i) {
    const StepCase& c = cases[i];
    const GradientCut cut =
        CutGradient(c.units, c.samples, c.max_tile, c.width);
    vector<int> times(2 * cut.step_size());
    for (int t = 6; t < 8; ++t) {
      for (int n = 0; n < c.samples; ++n) {
        const int first = n / cut.passes.tile * cut.passes.tile;
        for (int f = 0; f < c.units; ++f) {
          EXPECT_EQ(cut.four(t, first, f) + n % cut.passes.tile * 4,
              cut.four(t, n, f));
          for (int j = 0; j < 4; ++j) {
            ASSERT_EQ(1, ++times.at(cut.four(t, n, f) + j));
          }
        }
      }
    }
  }
}

TEST(LSTMStepTest, TestWidths) {
  float floats[4];
  LSTMSteps<float> steps = {};
  steps.weight = reinterpret_cast<float*>(
      (reinterpret_cast<size_t>(floats) + 15) / 16 * 16);
  const int kUnits[] = {8, 6, 5};
  for (int i = 0; i < 3; ++i) {
    steps.units = kUnits[i];
    EXPECT_EQ(4 >> i, AlignedWidth(steps));
  }
  steps.units = 8;
  steps.weight += 2;
  EXPECT_EQ(2, AlignedWidth(steps));
  ++steps.weight;
  EXPECT_EQ(1, AlignedWidth(steps));
  LSTMSteps<double> doubles = {};
  doubles.units = 6;
  EXPECT_EQ(2, AlignedWidth(doubles));
  doubles.units = 5;
  EXPECT_EQ(1, AlignedWidth(doubles));
}

}  // namespace caffe
