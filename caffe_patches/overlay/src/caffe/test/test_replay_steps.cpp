#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "caffe/approx_dropout/math/vector_math.hpp"
#include "caffe/approx_dropout/update/replay_steps.hpp"
#include "caffe/blob.hpp"
#include "caffe/common.hpp"
#include "caffe/sgd_solvers.hpp"
#include "caffe/solver_factory.hpp"
#include "caffe/test/test_approx_dropout_util.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "caffe/test/test_update_rules_util.hpp"
#include "caffe/util/format.hpp"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace caffe {

template <typename Dtype>
class ReplayStepsTest : public ::testing::Test {
 protected:
  ReplayStepsTest() { Caffe::set_random_seed(1701); }

  static WeightArrays<Dtype> Arrays(
      Blob<Dtype>* w, Blob<Dtype>* h, Blob<Dtype>* h2) {
    const WeightArrays<Dtype> arrays = {w->mutable_cpu_diff(),
        w->mutable_cpu_data(), {h->mutable_cpu_data(), h2->mutable_cpu_data()},
        w->mutable_cpu_diff()};
    return arrays;
  }

  // A step in double, as papers and Caffe's documents have it.
  struct Weight {
    double w, h, h2, u;

    void Step(const UpdateRule<Dtype>& rule, double rate, double g) {
      const double momentum = rule.momentum, delta = rule.delta;
      const double before = h;
      const double d = g + rule.decay * (rule.l1 ? (w > 0) - (w < 0) : w);
      switch (rule.solver) {
        case SolverKind::SGD:
          u = h = momentum * h + rate * d;
          break;
        case SolverKind::NESTEROV:
          h = momentum * h + rate * d;
          u = (1 + momentum) * h - momentum * before;
          break;
        case SolverKind::ADAGRAD:
          h += d * d;
          u = rate * d / (std::sqrt(h) + delta);
          break;
        case SolverKind::RMSPROP:
          h = momentum * h + (1 - momentum) * d * d;
          u = rate * d / (std::sqrt(h) + delta);
          break;
        case SolverKind::ADADELTA:
          h = momentum * h + (1 - momentum) * d * d;
          u = d * std::sqrt((h2 + delta) / (h + delta));
          h2 = momentum * h2 + (1 - momentum) * u * u;
          u *= rate;
          break;
        case SolverKind::ADAM:
          h = momentum * h + (1 - momentum) * d;
          h2 = rule.momentum2 * h2 + (1 - rule.momentum2) * d * d;
          u = rate * h / (std::sqrt(h2) + delta);
      }
      w -= u;
    }
  };

  // A net with so many weights, and its solver.
  static shared_ptr<SGDSolver<Dtype> > MakeSolver(
      SolverKind kind, double decay, int outputs) {
    SolverParameter param;
    CHECK(google::protobuf::TextFormat::ParseFromString(
        "base_lr: 0.1 lr_policy: 'exp' gamma: 0.9 iter_size: 2 net_param { "
        "layer { name: 'x' type: 'DummyData' top: 'x' dummy_data_param { "
        "shape { dim: 1 dim: 32 } } } layer { name: 'fc' type: 'InnerProduct' "
        "bottom: 'x' top: 'y' inner_product_param { bias_term: false "
        "num_output: " +
            format_int(outputs) +
            " weight_filler { "
            "type: 'gaussian' } } } }",
        &param));
    const UpdateRule<Dtype> rule = MakeRule<Dtype>(kind, decay, false);
    param.set_type(SolverName(kind));
    param.set_weight_decay(decay);
    param.set_delta(rule.delta);
    if (kind == SolverKind::RMSPROP) {
      param.set_rms_decay(rule.momentum);
    } else {
      param.set_momentum(rule.momentum);
    }
    return shared_ptr<SGDSolver<Dtype> >(dynamic_cast<SGDSolver<Dtype>*>(
        SolverRegistry<Dtype>::CreateSolver(param)));
  }

  // How many units in the last place lie between them.
  static double Ulps(Dtype a, Dtype b) {
    const Dtype size = std::max(std::abs(a), std::abs(b));
    return a == b
               ? 0
               : std::abs(a - b) /
                     (std::nextafter(size, std::numeric_limits<Dtype>::max()) -
                         size);
  }

  // Of one step after the other by a stock solver, each also by ReplaySteps
  // from the same weights: how many values differ, and how far.
  struct Difference {
    int values, different;
    double ulps_of_history, ulps_of_update;

    void Add(Dtype stock, Dtype ours, double* ulps) {
      ++values;
      different += stock != ours;
      *ulps = std::max(*ulps, Ulps(stock, ours));
    }
  };

  static Difference AgainstStock(
      SolverKind kind, double decay, int outputs, int steps) {
    const shared_ptr<SGDSolver<Dtype> > solver =
        MakeSolver(kind, decay, outputs);
    Blob<Dtype>* stock = solver->net()->learnable_params()[0];
    const vector<shared_ptr<Blob<Dtype> > >& history = solver->history();
    const bool two = history.size() > 1;
    UpdateRule<Dtype> rule = MakeRule<Dtype>(kind, decay, false);
    rule.normalization = Dtype(1.) / 2;
    Blob<Dtype> w(stock->shape()), h(w.shape()), h2(w.shape()), g(w.shape());
    Difference difference = {};
    for (int s = 0; s < steps; ++s) {
      FillGaussian(&g);
      std::copy(
          g.cpu_data(), g.cpu_data() + g.count(), stock->mutable_cpu_diff());
      w.CopyFrom(*stock);
      w.CopyFrom(*stock, true);
      h.CopyFrom(*history[0]);
      if (two) {
        h2.CopyFrom(*history[1]);
      }
      UpdateStep<Dtype> step = {solver->GetLearningRate(), 1};
      if (kind == SolverKind::ADAM) {
        step.rate *= AdamCorrection(rule, s);
      }
      ReplaySteps(rule, &step, 1, w.count(), Arrays(&w, &h, &h2));
      solver->ApplyUpdate();
      for (int i = 0; i < w.count(); ++i) {
        difference.Add(history[0]->cpu_data()[i], h.cpu_data()[i],
            &difference.ulps_of_history);
        difference.Add(
            stock->cpu_diff()[i], w.cpu_diff()[i], &difference.ulps_of_update);
        if (two) {
          difference.Add(history[1]->cpu_data()[i], h2.cpu_data()[i],
              &difference.ulps_of_history);
        }
        // Subtracted alike.
        if (stock->cpu_diff()[i] == w.cpu_diff()[i]) {
          EXPECT_EQ(stock->cpu_data()[i], w.cpu_data()[i]);
        }
      }
    }
    LOG(INFO) << SolverName(kind) << ", " << sizeof(Dtype)
              << " bytes: " << difference.different << " of "
              << difference.values
              << " values are not stock's; histories are off by "
              << difference.ulps_of_history
              << " units in the last place, updates by "
              << difference.ulps_of_update;
    return difference;
  }
};

TYPED_TEST_CASE(ReplayStepsTest, TestDtypes);

TYPED_TEST(ReplayStepsTest, TestAgainstTheFormulas) {
  typedef typename TestFixture::Weight Weight;
  const int kCount = 37;  // not a multiple of what is done at a time
  const int kSteps = 5;
  for (UpdateRule<TypeParam> rule : AllRules<TypeParam>()) {
    if (rule.delta == 0) {
      continue;
    }
    rule.idle = IdleOf(rule);
    SCOPED_TRACE(SolverName(rule.solver));
    Blob<TypeParam> w(vector<int>(1, kCount)), h(w.shape()), h2(w.shape());
    FillGaussian(&w, true);
    FillGaussian(&w);
    FillGaussian(&h);
    FillGaussian(&h2);
    vector<Weight> weights(kCount);
    vector<double> gradient(kCount);
    for (int i = 0; i < kCount; ++i) {
      if (rule.solver != SolverKind::SGD &&
          rule.solver != SolverKind::NESTEROV) {
        h.mutable_cpu_data()[i] = std::abs(h.cpu_data()[i]);
      }
      h2.mutable_cpu_data()[i] = std::abs(h2.cpu_data()[i]);
      const Weight weight = {
          w.cpu_data()[i], h.cpu_data()[i], h2.cpu_data()[i], 0};
      weights[i] = weight;
      gradient[i] = w.cpu_diff()[i];
    }
    vector<UpdateStep<TypeParam> > steps(kSteps);
    for (int s = 0; s < kSteps; ++s) {
      steps[s].rate = 0.1 / (1 + s);
      steps[s].clip = 0.25;
    }
    ReplaySteps(rule, steps.data(), kSteps, kCount, this->Arrays(&w, &h, &h2));
    for (int i = 0; i < kCount; ++i) {
      for (int s = 0; s < kSteps; ++s) {
        weights[i].Step(rule, steps[s].rate,
            s ? 0 : gradient[i] * 0.25 * rule.normalization);
      }
      const Weight& weight = weights[i];
      ExpectNear(weight.w, w.cpu_data()[i], std::abs(weight.w), "w", i);
      ExpectNear(weight.h, h.cpu_data()[i], std::abs(weight.h), "h", i);
      ExpectNear(weight.u, w.cpu_diff()[i], std::abs(weight.u), "u", i);
      if (rule.solver == SolverKind::ADADELTA ||
          rule.solver == SolverKind::ADAM) {
        ExpectNear(weight.h2, h2.cpu_data()[i], weight.h2, "h2", i);
      }
    }
  }
}

// A step of Caffe's: the same bits, if its BLAS has fused multiply-add too, but
// where Caffe calls pow. A BLAS may do without it for the last elements of a
// number like 1003.
TYPED_TEST(ReplayStepsTest, TestStepsAreCaffes) {
  typedef typename TestFixture::Difference Difference;
  if (vector_bytes() < 32) {
    LOG(INFO) << "Not run: no fused multiply-add on this machine";
    return;
  }
  const double kDecays[] = {0, 0.01};
  for (double decay : kDecays) {
    for (SolverKind kind : kSolverKinds) {
      SCOPED_TRACE(SolverName(kind));
      const Difference difference = this->AgainstStock(kind, decay, 32, 6);
      if (kind == SolverKind::SGD || kind == SolverKind::NESTEROV) {
        EXPECT_EQ(0, difference.different);
      }
      EXPECT_LE(difference.different, 0.002 * difference.values);
      EXPECT_LE(difference.ulps_of_history, 2);
      EXPECT_LE(difference.ulps_of_update, 2);
    }
  }
}

// Whatever of a row is left over from whole vectors, several steps at a time or
// one by one.
TYPED_TEST(ReplayStepsTest, TestEveryCount) {
  const int kMost = 70, kSteps = 9;
  Blob<TypeParam> start(vector<int>(1, kMost));
  FillGaussian(&start, true);
  for (UpdateRule<TypeParam> rule : AllRules<TypeParam>()) {
    if (rule.delta == 0) {
      continue;
    }
    rule.idle = IdleOf(rule);
    SCOPED_TRACE(SolverName(rule.solver));
    vector<UpdateStep<TypeParam> > steps(kSteps);
    for (int s = 0; s < kSteps; ++s) {
      steps[s].rate = 0.1 / (1 + s);
      steps[s].clip = 0.3;
    }
    vector<TypeParam> expected;
    for (int count = kMost; count > 0; --count) {
      Blob<TypeParam> w(start.shape()), h(w.shape()), h2(w.shape());
      w.CopyFrom(start);
      w.CopyFrom(start, true);
      std::fill_n(h.mutable_cpu_data(), kMost, TypeParam(0));
      std::fill_n(h2.mutable_cpu_data(), kMost, TypeParam(0));
      WeightArrays<TypeParam> arrays = this->Arrays(&w, &h, &h2);
      if (count % 2) {
        ReplaySteps(rule, steps.data(), kSteps, count, arrays);
      } else {
        for (int s = 0; s < kSteps; ++s) {
          ReplaySteps(rule, &steps[s], 1, count, arrays);
          arrays.gradient = NULL;
        }
      }
      vector<TypeParam> values(w.cpu_data(), w.cpu_data() + count);
      values.insert(values.end(), w.cpu_diff(), w.cpu_diff() + count);
      values.insert(values.end(), h.cpu_data(), h.cpu_data() + count);
      values.insert(values.end(), h2.cpu_data(), h2.cpu_data() + count);
      if (count == kMost) {
        expected = values;
      }
      for (int i = 0; i < 4 * count; ++i) {
        ASSERT_EQ(expected[i / count * kMost + i % count], values[i])
            << count << " " << i;
      }
    }
  }
}

// Some of a row in one call: as each by itself, and nothing else is touched.
TYPED_TEST(ReplayStepsTest, TestStretches) {
  const int kCount = 150;
  for (UpdateRule<TypeParam> rule : AllRules<TypeParam>()) {
    rule.idle = IdleOf(rule);
    SCOPED_TRACE(SolverName(rule.solver));
    const UpdateStep<TypeParam> kSteps[] = {
        {TypeParam(0.1), TypeParam(0.3)}, {TypeParam(0.05), TypeParam(0)}};
    // The last begins with a step whose clip is 0.
    const Stretch<TypeParam> kStretches[] = {{3, 32, kSteps, 2, true},
        {35, 70, kSteps, 1, false}, {110, 7, kSteps + 1, 1, true}};
    // [0]: in one call, [1]: by itself. Data and diff, of w, h, h2 each.
    Blob<TypeParam> blobs[2][3];
    WeightArrays<TypeParam> arrays[2];
    for (int i = 0; i < 3; ++i) {
      for (int j = 0; j < 2; ++j) {
        blobs[j][i].Reshape(vector<int>(1, kCount));
      }
      FillGaussian(&blobs[0][i], true);
      FillGaussian(&blobs[0][i]);
      blobs[1][i].CopyFrom(blobs[0][i]);
      blobs[1][i].CopyFrom(blobs[0][i], true);
    }
    for (int j = 0; j < 2; ++j) {
      arrays[j] = this->Arrays(&blobs[j][0], &blobs[j][1], &blobs[j][2]);
    }
    ReplayStretches(rule, kStretches, 3, 1, arrays[0]);
    for (const Stretch<TypeParam>& stretch : kStretches) {
      WeightArrays<TypeParam> part = arrays[1].From(stretch.begin);
      part.gradient = stretch.has_gradient ? part.gradient : NULL;
      ReplaySteps(rule, stretch.steps, stretch.num_steps, stretch.count, part);
    }
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(0, std::memcmp(blobs[0][i].cpu_data(), blobs[1][i].cpu_data(),
                       kCount * sizeof(TypeParam)))
          << i;
      EXPECT_EQ(0, std::memcmp(blobs[0][i].cpu_diff(), blobs[1][i].cpu_diff(),
                       kCount * sizeof(TypeParam)))
          << i;
    }
  }
}

TYPED_TEST(ReplayStepsTest, TestWhatIsIdle) {
  const Idle kWithMomentum[] = {Idle::MOVES_WEIGHT, Idle::MOVES_WEIGHT,
      Idle::IS_UNSEEN, Idle::DECAYS_HISTORY, Idle::DECAYS_HISTORY,
      Idle::MOVES_WEIGHT};
  for (int i = 0; i < 6; ++i) {
    const SolverKind kind = kSolverKinds[i];
    UpdateRule<TypeParam> rule = MakeRule<TypeParam>(kind, 0, false);
    EXPECT_TRUE(IdleOf(rule) == kWithMomentum[i]) << SolverName(kind);
    rule.decay = 0.1;
    EXPECT_TRUE(IdleOf(rule) == Idle::MOVES_WEIGHT) << SolverName(kind);
    rule.decay = rule.momentum = 0;
    EXPECT_TRUE(IdleOf(rule) == (i < 2 ? Idle::IS_UNSEEN : kWithMomentum[i]))
        << SolverName(kind);
  }
}

// What a rule promises of steps without a gradient, by the steps themselves.
TYPED_TEST(ReplayStepsTest, TestIdleSteps) {
  const int kCount = 64;
  for (const UpdateRule<TypeParam>& rule : AllRules<TypeParam>()) {
    SCOPED_TRACE(SolverName(rule.solver));
    const Idle idle = IdleOf(rule);
    if (idle == Idle::MOVES_WEIGHT) {
      continue;
    }
    Blob<TypeParam> w(vector<int>(1, kCount)), h(w.shape()), h2(w.shape());
    FillGaussian(&w);
    std::fill_n(h.mutable_cpu_data(), kCount, TypeParam(0.3));
    std::fill_n(h2.mutable_cpu_data(), kCount, TypeParam(0.7));
    const vector<TypeParam> before(w.cpu_data(), w.cpu_data() + kCount);
    WeightArrays<TypeParam> arrays = this->Arrays(&w, &h, &h2);
    arrays.gradient = NULL;
    const UpdateStep<TypeParam> step = {TypeParam(0.1), 1};
    ReplaySteps(rule, &step, 1, kCount, arrays);
    EXPECT_TRUE(std::equal(before.begin(), before.end(), w.cpu_data()));
    EXPECT_EQ(0, w.cpu_diff()[0]);
    if (idle == Idle::DECAYS_HISTORY) {
      EXPECT_EQ(rule.momentum * TypeParam(0.3), h.cpu_data()[0]);
    } else {
      EXPECT_EQ(rule.solver == SolverKind::ADAGRAD ? TypeParam(0.3) : 0,
          h.cpu_data()[0]);
    }
  }
}

}  // namespace caffe
