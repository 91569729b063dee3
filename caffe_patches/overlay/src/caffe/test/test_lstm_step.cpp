#include <algorithm>
#include <cmath>
#include <vector>

#include "caffe/approx_dropout/math/launch_graph.hpp"
#include "caffe/approx_dropout/product/lstm_step.hpp"
#include "caffe/blob.hpp"
#include "caffe/filler.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "caffe/util/math_functions.hpp"
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

#ifndef CPU_ONLY

template <typename Dtype>
class LSTMStepGPUTest : public GPUDeviceTest<Dtype> {
 protected:
  LSTMStepGPUTest() { Caffe::set_random_seed(1701); }

  void Shape(int steps, int samples, int units) {
    samples_ = samples;
    units_ = units;
    const int size = samples * units;
    weight_.Reshape(4 * units, units, 1, 1);
    cont_.Reshape(steps, samples, 1, 1);
    inputs_.Reshape(steps, size, 1, 1);
    gates_.Reshape(steps, 4 * size, 1, 1);
    cells_.Reshape(steps + 1, size, 1, 1);
    hidden_.Reshape(steps, size, 1, 1);
    FillerParameter param;
    param.set_std(1 / std::sqrt(units));
    GaussianFiller<Dtype> filler(param);
    filler.Fill(&weight_);
    caffe_set(cont_.count(), Dtype(1), cont_.mutable_cpu_data());
  }

  // What a pass begins with; what it is to write is poisoned.
  LSTMSteps<Dtype> Steps(int steps) {
    caffe_set(inputs_.count(), Dtype(NAN), inputs_.mutable_cpu_data());
    caffe_set(cells_.count(), Dtype(NAN), cells_.mutable_cpu_data());
    caffe_set(hidden_.count(), Dtype(NAN), hidden_.mutable_cpu_data());
    for (int i = 0; i < samples_ * units_; ++i) {
      inputs_.mutable_cpu_data()[i] = Dtype(i % 7 - 3) / 4;
      cells_.mutable_cpu_data()[i] = Dtype(i % 5 - 2) / 4;
    }
    for (int i = 0; i < gates_.count(); ++i) {
      gates_.mutable_cpu_data()[i] = Dtype(i % 3) / 8;
    }
    LSTMSteps<Dtype> all = {steps, samples_, units_};
    all.weight = weight_.gpu_data();
    all.cont = cont_.gpu_data();
    all.recurrent_input = inputs_.mutable_gpu_data();
    all.gates = gates_.mutable_gpu_data();
    all.cells = cells_.mutable_gpu_data();
    all.hidden = hidden_.mutable_gpu_data();
    return all;
  }

  static void Forward(const LSTMSteps<Dtype>& steps, cudaStream_t stream) {
    streams_.push_back(stream);
    LSTMForward(steps, stream);
  }

  static vector<cudaStream_t> streams_;  // of the calls
  int samples_, units_;
  Blob<Dtype> weight_, cont_, inputs_, gates_, cells_, hidden_;
};

template <typename Dtype>
vector<cudaStream_t> LSTMStepGPUTest<Dtype>::streams_;

TYPED_TEST_CASE(LSTMStepGPUTest, TestDtypes);

// So many units that two warps share them, whose columns take several stages.
TYPED_TEST(LSTMStepGPUTest, TestManyUnits) {
  const int kUnits = 796;
  this->Shape(1, 1, kUnits);
  const LSTMSteps<TypeParam> steps = this->Steps(1);
  EXPECT_EQ(2, CutForward(steps).splits);
  vector<double> sums(4 * kUnits);
  for (int row = 0; row < sums.size(); ++row) {
    sums[row] = this->gates_.cpu_data()[row];
    for (int k = 0; k < kUnits; ++k) {
      sums[row] += this->weight_.cpu_data()[row * kUnits + k] *
                   this->inputs_.cpu_data()[k];
    }
  }
  vector<double> before(
      this->cells_.cpu_data(), this->cells_.cpu_data() + kUnits);
  LSTMForward(steps, NULL);
  const double tolerance = sizeof(TypeParam) == 4 ? 1e-5 : 1e-12;
  for (int u = 0; u < kUnits; ++u) {
    double gate[4];
    for (int g = 0; g < 4; ++g) {
      const double sum = sums[g * kUnits + u];
      gate[g] = g < 3 ? 1 / (1 + std::exp(-sum)) : std::tanh(sum);
    }
    const double c = gate[1] * before[u] + gate[0] * gate[3];
    ASSERT_NEAR(gate[2] * std::tanh(c), this->hidden_.cpu_data()[u], tolerance)
        << u;
  }
}

// Several parts, passes and blocks of columns, twice: what arrived is
// forgotten.
TYPED_TEST(LSTMStepGPUTest, TestBackward) {
  const int kSteps = 4, kSamples = 23, kUnits = 150;
  this->Shape(kSteps, kSamples, kUnits);
  const int size = kSamples * kUnits;
  LSTMSteps<TypeParam> steps = this->Steps(kSteps);
  const GradientCut cut = CutGradient(steps);
  ASSERT_EQ(10, cut.parts);
  ASSERT_EQ(sizeof(TypeParam) == 4 ? 2 : 3, cut.passes.count);
  Blob<TypeParam> cell(kSamples, kUnits, 1, 1), parts(cut.parts, size, 1, 1);
  Blob<TypeParam> step_diff(2, cut.step_size(), 1, 1);
  Blob<int> arrivals(cut.num_arrivals(), 1, 1, 1);
  FillerParameter param;
  param.set_min(0.1);
  param.set_max(0.9);
  UniformFiller<TypeParam> filler(param);
  filler.Fill(&this->gates_);
  filler.Fill(&this->cells_);
  TypeParam* hidden_diff = this->hidden_.mutable_cpu_diff();
  for (int i = 0; i < kSteps * size; ++i) {
    hidden_diff[i] = TypeParam(i % 11 - 5) / 8;
  }
  for (int n = 0; n < kSamples; n += 3) {  // text begins anew
    this->cont_.mutable_cpu_data()[2 * kSamples + n] = 0;
  }
  // dgates from the last step to the first, all in double.
  const TypeParam *a = this->gates_.cpu_data(), *c = this->cells_.cpu_data();
  vector<double> expected(4 * kSteps * size), dr(size), dc(size);
  for (int t = kSteps - 1; t >= 0; --t) {
    for (int k = 0; k < size; ++k) {
      const int n = k / kUnits, u = k % kUnits;
      const double cont = this->cont_.cpu_data()[t * kSamples + n];
      const double next =
          t + 1 < kSteps ? this->cont_.cpu_data()[(t + 1) * kSamples + n] : 0;
      double gate[4];
      for (int g = 0; g < 4; ++g) {
        gate[g] = a[steps.gate(t, n, g * kUnits + u)];
      }
      const double tanh_c = std::tanh(c[(t + 1) * size + k]);
      const double dh = hidden_diff[t * size + k] + next * dr[k];
      const double d = dc[k] + dh * gate[2] * (1 - tanh_c * tanh_c);
      const double of_gates[4] = {
          d * gate[3], d * cont * c[t * size + k], dh * tanh_c, d * gate[0]};
      for (int g = 0; g < 4; ++g) {
        expected[steps.gate(t, n, g * kUnits + u)] =
            of_gates[g] *
            (g < 3 ? gate[g] * (1 - gate[g]) : 1 - gate[g] * gate[g]);
      }
      dc[k] = d * gate[1] * cont;
    }
    for (int k = 0; k < size; ++k) {
      dr[k] = 0;
      for (int row = 0; row < 4 * kUnits; ++row) {
        dr[k] += expected[steps.gate(t, k / kUnits, row)] *
                 this->weight_.cpu_data()[row * kUnits + k % kUnits];
      }
    }
  }
  steps.gates = this->gates_.mutable_gpu_data();
  steps.cells = this->cells_.mutable_gpu_data();
  steps.cont = this->cont_.gpu_data();
  steps.hidden_diff = this->hidden_.gpu_diff();
  steps.gates_diff = this->gates_.mutable_gpu_diff();
  steps.cell_diff = cell.mutable_gpu_data();
  steps.recurrent_diff = parts.mutable_gpu_data();
  steps.step_diff = step_diff.mutable_gpu_data();
  steps.arrivals = arrivals.mutable_gpu_data();
  const double tolerance = sizeof(TypeParam) == 4 ? 1e-4 : 1e-12;
  for (int pass = 0; pass < 2; ++pass) {
    caffe_set(
        this->gates_.count(), TypeParam(NAN), this->gates_.mutable_cpu_diff());
    this->gates_.mutable_gpu_diff();
    LSTMBackward(steps, NULL);
    for (int i = 0; i < expected.size(); ++i) {
      ASSERT_NEAR(expected[i], this->gates_.cpu_diff()[i], tolerance) << i;
    }
  }
}

// The same launches are captured the second time, and are then a graph, until
// the arguments change.
TYPED_TEST(LSTMStepGPUTest, TestRepeatedLaunches) {
  typedef LSTMStepGPUTest<TypeParam> Test;
  const int kSize = 2 * 5;
  this->Shape(3, 2, 5);
  Test::streams_.clear();
  RepeatedLaunches<LSTMSteps<TypeParam> > launches;
  vector<TypeParam> first;
  for (int pass = 0; pass < 6; ++pass) {
    const int steps = pass < 4 ? 3 : 1;
    launches.Run(Test::Forward, this->Steps(steps));
    const TypeParam* hidden = this->hidden_.cpu_data();
    if (pass == 0) {
      first.assign(hidden, hidden + this->hidden_.count());
    }
    for (int i = 0; i < first.size(); ++i) {
      if (i < steps * kSize) {
        EXPECT_EQ(first[i], hidden[i]) << pass;
      } else {
        EXPECT_TRUE(std::isnan(hidden[i])) << pass;
      }
    }
  }
  ASSERT_EQ(4, Test::streams_.size());
  for (int call = 0; call < 4; ++call) {
    EXPECT_EQ(call % 2 == 1, Test::streams_[call] != NULL);
  }
}

#endif  // CPU_ONLY

}  // namespace caffe
