#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "caffe/approx_dropout/update/lazy_parameter.hpp"
#include "caffe/approx_dropout/update/memory_view.hpp"
#include "caffe/test/test_sgd_updater_util.hpp"
#include "caffe/util/io.hpp"

namespace caffe {

// Steps of few iterations each, and what happens within and between them.
template <typename TypeParam>
class SGDUpdaterStepsTest : public SGDUpdaterTestBase<TypeParam> {
 protected:
  typedef typename TypeParam::Dtype Dtype;

  // The weights as they lie in memory.
  static vector<Dtype> Raw(const Blob<Dtype>& blob) {
    vector<Dtype> raw(blob.count());
    const size_t bytes = raw.size() * sizeof(Dtype);
#ifndef CPU_ONLY
    if (TypeParam::device == Caffe::GPU) {
      caffe_gpu_memcpy(bytes, blob.data()->raw_gpu_data(), raw.data());
      return raw;
    }
#endif
    memcpy(raw.data(), blob.data()->raw_cpu_data(), bytes);  // NOLINT
    return raw;
  }
};

TYPED_TEST_CASE(SGDUpdaterStepsTest, TestDtypesAndDevices);

// Bit for bit, however the steps are counted out.
TYPED_TEST(SGDUpdaterStepsTest, TestStepsOfOne) {
  typedef typename TypeParam::Dtype Dtype;
  const bool on_gpu = TypeParam::device == Caffe::GPU;
  const int kSteps = on_gpu ? 15 : 60;
  vector<string> nets = {this->MixedNet(), this->RowNet()};
  if (!on_gpu) {  // which adds up a word's gradients in any order
    nets.push_back(this->EmbedNet());
  }
  for (const string& net : nets) {
    vector<Dtype> values[3];
    for (int way = 0; way < 3; ++way) {
      const shared_ptr<SGDSolver<Dtype> > solver =
          this->MakeSolver(net, this->Momentum(), false);
      if (way == 0) {
        solver->Step(kSteps);
      } else if (way == 1) {
        for (int i = 0; i < kSteps; ++i) {
          solver->Step(1);
        }
      } else {
        this->StepEagerly(kSteps, solver.get());
      }
      values[way] = this->Values(solver.get());
    }
    EXPECT_TRUE(this->Same(values[0], values[1]));
    EXPECT_TRUE(this->Same(values[0], values[2]));
  }
}

TYPED_TEST(SGDUpdaterStepsTest, TestSolvers) {
  typedef typename TypeParam::Dtype Dtype;
  for (const char* type :
      {"Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam"}) {
    SCOPED_TRACE(type);
    const bool has_momentum =
        type != string("AdaGrad") && type != string("RMSProp");
    const string solver_text =
        string("type: '") + type +
        "' base_lr: 0.01 lr_policy: 'fixed' delta: 0.001 clip_gradients: 2 " +
        (has_momentum ? "momentum: 0.9 weight_decay: 0.01" : "");
    vector<Dtype> values[3];
    for (int way = 0; way < 3; ++way) {
      const shared_ptr<SGDSolver<Dtype> > solver =
          this->MakeSolver(this->MixedNet(), solver_text, way == 2);
      if (way == 1) {
        this->StepEagerly(12, solver.get());
      } else {
        solver->Step(5);
        solver->Step(7);
      }
      values[way] = this->Values(solver.get());
    }
    EXPECT_TRUE(this->Same(values[0], values[1]));
    ASSERT_EQ(values[0].size(), values[2].size());
    // Caffe's kernels compute these updates in float, in double nets too.
    const bool in_double =
        sizeof(Dtype) == 8 && TypeParam::device == Caffe::CPU;
    for (size_t i = 0; i < values[0].size(); ++i) {
      ASSERT_NEAR(values[2][i], values[0][i], in_double ? 1e-10 : 1e-4);
    }
  }
}

TYPED_TEST(SGDUpdaterStepsTest, TestWeightsWaitFromStepToStep) {
  typedef typename TypeParam::Dtype Dtype;
  const shared_ptr<SGDSolver<Dtype> > solver =
      this->MakeSolver(this->MixedNet(), this->Momentum(), false);
  solver->Step(1);
  for (int i = 0; i < 4; ++i) {
    solver->Step(1);
    for (const char* name : {"a", "b"}) {
      const Blob<Dtype>& w = *solver->net()->layer_by_name(name)->blobs()[0];
      const vector<Dtype> raw = this->Raw(w);
      EXPECT_FALSE(std::equal(raw.begin(), raw.end(), w.cpu_data())) << name;
    }
  }
}

// Whoever sees the memory without asking finds it done when Step returns.
TYPED_TEST(SGDUpdaterStepsTest, TestMemoryThatIsViewed) {
  typedef typename TypeParam::Dtype Dtype;
  const shared_ptr<SGDSolver<Dtype> > solver =
      this->MakeSolver(this->MixedNet(), this->Momentum(), false);
  const Blob<Dtype>& w = *solver->net()->layer_by_name("a")->blobs()[0];
  for (int i = 0; i < 2; ++i) {
    solver->Step(2);
    vector<Dtype> raw = this->Raw(w);
    EXPECT_FALSE(std::equal(raw.begin(), raw.end(), w.cpu_data()));
    const MemoryView<Dtype> view(w);
    for (int step : {1, 3}) {
      solver->Step(step);
      raw = this->Raw(w);
      EXPECT_TRUE(std::equal(raw.begin(), raw.end(), w.cpu_data()));
    }
  }
}

// More steps than are kept.
TYPED_TEST(SGDUpdaterStepsTest, TestManySteps) {
  typedef typename TypeParam::Dtype Dtype;
  const string net =
      this->Data(5) + this->Pattern("p", "probability: 0 probability: 1") +
      this->Product("a", "bottom: 'x' bottom: 'p'", 3, "") + this->Loss("a");
  vector<Dtype> values[2];
  for (int eager = 0; eager < 2; ++eager) {
    const shared_ptr<SGDSolver<Dtype> > solver =
        this->MakeSolver(net, this->Momentum(), false);
    for (int i = 0; i < kMaxSteps + 20; ++i) {
      solver->Step(1);
      if (eager) {
        this->Values(solver.get());
      }
    }
    values[eager] = this->Values(solver.get());
  }
  EXPECT_TRUE(this->Same(values[0], values[1]));
}

// Passes, updates and changes outside of Step are Caffe's own.
TYPED_TEST(SGDUpdaterStepsTest, TestBetweenSteps) {
  typedef typename TypeParam::Dtype Dtype;
  vector<Dtype> values[2];
  for (int dense = 0; dense < 2; ++dense) {
    const shared_ptr<SGDSolver<Dtype> > solver =
        this->MakeSolver(this->MixedNet(), this->Momentum(), dense);
    Net<Dtype>* net = solver->net().get();
    for (int i = 0; i < 6; ++i) {
      solver->Step(2);
      Blob<Dtype>* w = net->learnable_params()[i % 6];
      if (i % 2) {
        caffe_scal(w->count(), Dtype(0.9), w->mutable_cpu_data());
      }
      net->Forward();
      if (i == 3) {
        net->Backward();  // on top of the last update
        const vector<Dtype> between = this->Values(solver.get());
        values[dense].insert(
            values[dense].end(), between.begin(), between.end());
      } else if (i == 4) {
        net->ClearParamDiffs();
        net->ForwardBackward();
        solver->ApplyUpdate();
      }
    }
    const vector<Dtype> last = this->Values(solver.get());
    values[dense].insert(values[dense].end(), last.begin(), last.end());
  }
  this->ExpectNearDense(values[0], values[1]);
}

TYPED_TEST(SGDUpdaterStepsTest, TestRestore) {
  typedef typename TypeParam::Dtype Dtype;
  string folder;
  MakeTempDir(&folder);
  vector<Dtype> values[2];
  for (int eager = 0; eager < 2; ++eager) {
    const shared_ptr<SGDSolver<Dtype> > solver =
        this->MakeSolver(this->MixedNet(),
            this->Momentum() + "snapshot_prefix: '" + folder + "/m'", false);
    const int kSteps[] = {3, 4, 5};
    for (int i = 0; i < 3; ++i) {
      for (int s = 0; s < kSteps[i]; ++s) {
        solver->Step(1);
        if (eager) {
          this->Values(solver.get());
        }
      }
      if (i == 0) {
        solver->Snapshot();
      } else if (i == 1) {
        solver->Restore((folder + "/m_iter_3.solverstate").c_str());
      }
    }
    values[eager] = this->Values(solver.get());
  }
  EXPECT_TRUE(this->Same(values[0], values[1]));
}

// Two solvers of the same weights in turn, and a net that only reads them.
TYPED_TEST(SGDUpdaterStepsTest, TestSharedWeights) {
  typedef typename TypeParam::Dtype Dtype;
  vector<Dtype> values[2];
  for (int eager = 0; eager < 2; ++eager) {
    shared_ptr<SGDSolver<Dtype> > solvers[2];
    for (shared_ptr<SGDSolver<Dtype> >& solver : solvers) {
      solver = this->MakeSolver(this->MixedNet(), this->Momentum(), false);
    }
    solvers[0]->Step(2);
    solvers[1]->Step(1);
    solvers[1]->net()->ShareTrainedLayersWith(solvers[0]->net().get());
    NetParameter param;
    solvers[0]->net()->ToProto(&param);
    Net<Dtype> other(param);
    other.ShareTrainedLayersWith(solvers[0]->net().get());
    for (int i = 0; i < 9; ++i) {
      solvers[i % 4 == 1]->Step(1);
      if (eager) {
        this->Values(solvers[0].get());
        this->Values(solvers[1].get());
      }
      if (i % 3 == 2) {
        const Blob<Dtype>& w = *other.learnable_params()[0];
        this->Append(w.cpu_data(), w.count(), &values[eager]);
      }
    }
    solvers[0].reset();  // the weights live on
    const vector<Dtype> last = this->Values(solvers[1].get());
    values[eager].insert(values[eager].end(), last.begin(), last.end());
  }
  EXPECT_TRUE(this->Same(values[0], values[1]));
}

}  // namespace caffe
