#include <algorithm>
#include <string>
#include <vector>

#include "caffe/test/test_sgd_updater_util.hpp"

namespace caffe {

// What others do while a net's weights wait for their updates.
template <typename Dtype>
class Onlooker {
 public:
  virtual ~Onlooker() {}
  virtual void Look(bool backward) = 0;
};

// Lets somebody look in the middle of a pass, as a Python layer may.
template <typename Dtype>
class OnlookerLayer : public Layer<Dtype> {
 public:
  explicit OnlookerLayer(const LayerParameter& param) : Layer<Dtype>(param) {}
  virtual void Reshape(
      const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top) {}
  virtual const char* type() const { return "Onlooker"; }
  static Onlooker<Dtype>* onlooker;

 protected:
  virtual void Forward_cpu(
      const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top) {
    if (onlooker) {
      onlooker->Look(false);
    }
  }
  virtual void Backward_cpu(const vector<Blob<Dtype>*>& top,
      const vector<bool>& propagate_down, const vector<Blob<Dtype>*>& bottom) {
    if (onlooker) {
      onlooker->Look(true);
    }
  }
};

template <typename Dtype>
Onlooker<Dtype>* OnlookerLayer<Dtype>::onlooker = NULL;
INSTANTIATE_CLASS(OnlookerLayer);
REGISTER_LAYER_CLASS(Onlooker);

// What others see of weights in the middle of an iteration, and do to them.
template <typename TypeParam>
class SGDUpdaterOnlookersTest : public SGDUpdaterTestBase<TypeParam> {
 protected:
  typedef typename TypeParam::Dtype Dtype;

  virtual ~SGDUpdaterOnlookersTest() { OnlookerLayer<Dtype>::onlooker = NULL; }

  static string Net() {
    return SGDUpdaterOnlookersTest::MixedNet(
        "layer { name: 'o' type: 'Onlooker' bottom: 'a' top: 'a' } ");
  }
};

TYPED_TEST_CASE(SGDUpdaterOnlookersTest, TestDtypesAndDevices);

template <typename Dtype>
class Reader : public Onlooker<Dtype>, public Solver<Dtype>::Callback {
 public:
  explicit Reader(Net<Dtype>* net) : net_(net) {}
  virtual void Look(bool backward) {
    for (const Blob<Dtype>* blob : net_->learnable_params()) {
      const Dtype* data = blob->cpu_data();
      seen.insert(seen.end(), data, data + blob->count());
      if (backward) {
        const Dtype* diff = blob->cpu_diff();
        seen.insert(seen.end(), diff, diff + blob->count());
      }
    }
  }
  vector<Dtype> seen;

 protected:
  virtual void on_start() { Look(true); }
  virtual void on_gradients_ready() { Look(true); }
  Net<Dtype>* net_;
};

TYPED_TEST(SGDUpdaterOnlookersTest, TestReadsInTheMiddle) {
  typedef typename TypeParam::Dtype Dtype;
  const string kMore[] = {"", "iter_size: 2 ", "debug_info: true display: 3 "};
  for (const string& more : kMore) {
    SCOPED_TRACE(more);
    vector<Dtype> seen[2], values[2];
    for (int dense = 0; dense < 2; ++dense) {
      const shared_ptr<SGDSolver<Dtype> > solver =
          this->MakeSolver(this->Net(), this->Momentum() + more, dense);
      Reader<Dtype> reader(solver->net().get());
      OnlookerLayer<Dtype>::onlooker = &reader;
      for (int step : {1, 1, 7, 1}) {
        solver->Step(step);
      }
      seen[dense] = reader.seen;
      values[dense] = this->Values(solver.get());
      OnlookerLayer<Dtype>::onlooker = NULL;
    }
    this->ExpectNearDense(seen[0], seen[1]);
    const shared_ptr<SGDSolver<Dtype> > unseen =
        this->MakeSolver(this->Net(), this->Momentum() + more, false);
    unseen->Step(10);
    const vector<Dtype> found = this->Values(unseen.get());
    // What is looked at is added to zeros, for which cuBLAS may take another
    // kernel than for what is overwritten.
    if (Caffe::mode() == Caffe::GPU) {
      this->ExpectNearDense(values[0], found);
    } else {
      EXPECT_TRUE(this->Same(values[0], found));
    }
  }
}

TYPED_TEST(SGDUpdaterOnlookersTest, TestCallbacks) {
  typedef typename TypeParam::Dtype Dtype;
  vector<Dtype> seen[2], values[2];
  for (int dense = 0; dense < 2; ++dense) {
    const shared_ptr<SGDSolver<Dtype> > solver =
        this->MakeSolver(this->Net(), this->Momentum(), dense);
    Reader<Dtype> reader(solver->net().get());
    solver->add_callback(&reader);
    solver->Step(1);
    solver->Step(5);
    seen[dense] = reader.seen;
    values[dense] = this->Values(solver.get());
  }
  this->ExpectNearDense(seen[0], seen[1]);
  this->ExpectNearDense(values[0], values[1]);
}

// Halves weights, and adds to the gradients that have been found so far.
template <typename Dtype>
class Writer : public Reader<Dtype> {
 public:
  explicit Writer(Net<Dtype>* net) : Reader<Dtype>(net) {}
  virtual void Look(bool backward) {
    for (Blob<Dtype>* blob : this->net_->learnable_params()) {
      if (backward) {
        caffe_add_scalar(blob->count(), Dtype(0.01), blob->mutable_cpu_diff());
      } else {
        caffe_scal(blob->count(), Dtype(0.5), blob->mutable_cpu_data());
      }
    }
  }
};

TYPED_TEST(SGDUpdaterOnlookersTest, TestWritesWithinAStep) {
  typedef typename TypeParam::Dtype Dtype;
  for (int as_callback = 0; as_callback < 2; ++as_callback) {
    vector<Dtype> values[2];
    for (int dense = 0; dense < 2; ++dense) {
      const shared_ptr<SGDSolver<Dtype> > solver =
          this->MakeSolver(this->Net(), this->Momentum(), dense);
      Writer<Dtype> writer(solver->net().get());
      if (as_callback) {
        solver->add_callback(&writer);
      } else {
        OnlookerLayer<Dtype>::onlooker = &writer;
      }
      solver->Step(1);
      solver->Step(5);
      values[dense] = this->Values(solver.get());
      OnlookerLayer<Dtype>::onlooker = NULL;
    }
    this->ExpectNearDense(values[0], values[1]);
  }
}

}  // namespace caffe
