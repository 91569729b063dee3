#ifndef CPU_ONLY

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

}  // namespace caffe

#endif  // CPU_ONLY
