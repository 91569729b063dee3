#include <string>
#include <vector>

#include "caffe/filler.hpp"
#include "caffe/layers/approx_dropout_lstm_layer.hpp"
#include "caffe/util/math_functions.hpp"

namespace caffe {

namespace {

// Below this many units of all samples, a step is not worth waking threads
// for: each unit costs several exponentials.
const int kParallelUnits = 1 << 11;
// Up to this many samples per step, packed weights are faster.
const int kFewSamples = 96;

}  // namespace

template <typename Dtype>
string ApproxDropoutLSTMLayer<Dtype>::Name() const {
  return "ApproxDropoutLSTM layer '" + this->layer_param_.name() + "'";
}

template <typename Dtype>
void ApproxDropoutLSTMLayer<Dtype>::LayerSetUp(
    const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top) {
  const RecurrentParameter& param = this->layer_param_.recurrent_param();
  const ApproxDropoutParameter& dropout =
      this->layer_param_.approx_dropout_param();
  CHECK(!param.expose_hidden()) << Name() << ": expose_hidden: true is not "
      << "supported; the state is carried from one pass to the next";
  CHECK(param.num_output() >= 1 && param.num_output() <= kMaxUnits)
      << Name() << ": num_output is " << param.num_output()
      << "; it must be from 1 to " << kMaxUnits;
  CHECK(!recurrent() || rows() || tiles()) << Name() << ": recurrent: true "
      << "needs pattern: ROW or TILE, not NONE";
  const int expected = 2 + (rows() || tiles()) + dropout.compact_input();
  CHECK_LE(bottom.size(), expected) << Name() << ": has " << bottom.size()
      << " bottoms, but x, cont and the patterns are " << expected
      << "; static input is not supported";
  patterns_ = ApproxDropoutPatterns<Dtype>(this->layer_param_, 2,
      bottom.size());
  num_output_ = param.num_output();
  CheckBottoms(bottom);
  num_input_ = bottom[0]->count(2);
  patterns_.CheckUnits(bottom, tiles() ? 4 * num_output_ : num_output_,
      num_input_);
  if (tiles() && recurrent()) {
    patterns_.CheckTiles(bottom, 4 * num_output_, num_output_,
        "recurrent weights");
  }
  if (this->blobs_.size() > 0) {
    LOG(INFO) << "Skipping parameter initialization";
  } else {
    FillParameters();
  }
  this->param_propagate_down_.resize(this->blobs_.size(), true);
}

template <typename Dtype>
void ApproxDropoutLSTMLayer<Dtype>::CheckBottoms(
    const vector<Blob<Dtype>*>& bottom) const {
  const Blob<Dtype>& x = *bottom[0];
  CHECK_GE(x.num_axes(), 3) << Name() << ": its input has shape "
      << x.shape_string() << "; it must be (time steps, samples, features)";
  CHECK(!patterns_.has_input() || x.num_axes() == 3) << Name()
      << ": compact_input needs an input with one axis of features, but its "
      << "shape is " << x.shape_string();
  CHECK(bottom[1]->num_axes() == 2 && bottom[1]->shape(0) == x.shape(0) &&
      bottom[1]->shape(1) == x.shape(1)) << Name() << ": cont has shape "
      << bottom[1]->shape_string() << "; it must be (time steps, samples) of "
      << "the input, (" << x.shape(0) << ", " << x.shape(1) << ")";
}

template <typename Dtype>
void ApproxDropoutLSTMLayer<Dtype>::FillParameters() {
  const RecurrentParameter& param = this->layer_param_.recurrent_param();
  shared_ptr<Filler<Dtype> > weight_filler(
      GetFiller<Dtype>(param.weight_filler()));
  shared_ptr<Filler<Dtype> > bias_filler(
      GetFiller<Dtype>(param.bias_filler()));
  this->blobs_.resize(3);
  vector<int> shape(1, 4 * num_output_);
  this->blobs_[1].reset(new Blob<Dtype>(shape));
  shape.push_back(num_input_);
  this->blobs_[0].reset(new Blob<Dtype>(shape));
  shape[1] = num_output_;
  this->blobs_[2].reset(new Blob<Dtype>(shape));
  weight_filler->Fill(this->blobs_[0].get());
  bias_filler->Fill(this->blobs_[1].get());
  weight_filler->Fill(this->blobs_[2].get());
}

template <typename Dtype>
void ApproxDropoutLSTMLayer<Dtype>::Reshape(
    const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top) {
  CheckBottoms(bottom);
  T_ = bottom[0]->shape(0);
  N_ = bottom[0]->shape(1);
  patterns_.Read(bottom, N_);
  if (tiles()) { patterns_.CheckGroups(T_); }
  KeepProducts();
  CHECK_EQ(bottom[0]->count(2), input_product_.stored_input()) << Name()
      << ": its input has " << bottom[0]->count(2) << " features per sample; "
      << (patterns_.has_input() ? "the input's pattern keeps " : "W_xc takes ")
      << input_product_.stored_input() << " of " << num_input_;
  IndexOutputs();
  vector<int> shape(2, N_);
  shape[1] = num_output_;
  if (hidden_.shape() != shape) {
    hidden_.Reshape(shape);
    cell_.Reshape(shape);
    hidden_diff_.Reshape(shape);
    Reset();
  }
  shape.insert(shape.begin(), T_ + 1);
  cells_.Reshape(shape);
  shape[0] = T_;
  recurrent_input_.Reshape(shape);
  shape[2] = 4 * num_output_;
  gates_.Reshape(shape);
  shape[2] = stored_;
  top[0]->Reshape(shape);
}

template <typename Dtype>
void ApproxDropoutLSTMLayer<Dtype>::KeepProducts() {
  const DropoutPattern<Dtype> everything;
  ApproxDropoutParameter param = this->layer_param_.approx_dropout_param();
  param.set_compact_output(false);
  if (!tiles()) { param.set_pattern(ApproxDropoutParameter_Pattern_NONE); }
  input_product_.Keep(tiles() ? patterns_.output() : everything,
      patterns_.input(), param, 4 * num_output_, num_input_, N_, true);
  param.set_compact_input(false);
  if (!recurrent()) { param.set_pattern(ApproxDropoutParameter_Pattern_NONE); }
  // A product per group would read its weights for a few samples only. One
  // product of the recurrent input, which holds the zeros, is faster.
  recurrent_product_.Keep(
      tiles() && recurrent() ? patterns_.output() : everything,
      rows() && recurrent() && patterns_.output().groups.size() == 1 ?
          patterns_.output() : everything,
      param, 4 * num_output_, num_output_, N_, false);
}

template <typename Dtype>
void ApproxDropoutLSTMLayer<Dtype>::IndexOutputs() {
  const bool compact =
      this->layer_param_.approx_dropout_param().compact_output();
  const vector<KeptCells> kept = rows() ? patterns_.output().groups :
      vector<KeptCells>(1, AllCells());
  stored_ = compact ? kept[0].count(num_output_) : num_output_;
  vector<int> shape(2, num_output_);
  shape[0] = kept.size();
  compact_index_.Reshape(shape);
#ifndef CPU_ONLY
  if (Caffe::mode() == Caffe::GPU) { return IndexOutputs_gpu(kept, compact); }
#endif
  int* compact_index = compact_index_.mutable_cpu_data();
  for (int g = 0; g < kept.size(); ++g, compact_index += num_output_) {
    caffe_set(num_output_, -1, compact_index);
    const int size = kept[g].count(num_output_);
    for (int j = 0; j < size; ++j) {
      const int unit = kept[g].cell(j);
      compact_index[unit] = compact ? j : unit;
    }
  }
}

template <typename Dtype>
HiddenDropout<Dtype> ApproxDropoutLSTMLayer<Dtype>::Dropout(int t,
    const int* compact_index) const {
  const GroupRows groups = { N_ / compact_index_.shape(0), N_, true };
  const HiddenDropout<Dtype> dropout = { compact_index, num_output_, stored_,
      groups, t, rows() ? patterns_.output().scale : Dtype(1),
      rows() && recurrent() };
  return dropout;
}

template <typename Dtype>
void ApproxDropoutLSTMLayer<Dtype>::Reset() {
  caffe_set(hidden_.count(), Dtype(0), hidden_.mutable_cpu_data());
  caffe_set(cell_.count(), Dtype(0), cell_.mutable_cpu_data());
}

template <typename Dtype>
void ApproxDropoutLSTMLayer<Dtype>::SaveState(LayerState* state) const {
  hidden_.ToProto(state->add_blob());
  cell_.ToProto(state->add_blob());
}

template <typename Dtype>
void ApproxDropoutLSTMLayer<Dtype>::RestoreState(const LayerState& state) {
  vector<Blob<Dtype>*> carried(1, &hidden_);
  carried.push_back(&cell_);
  if (RestoreBlobs(state, carried)) { return; }
  LOG(WARNING) << Name() << ": its hidden state has another shape than in "
      << "the snapshot. Training goes on with zeros";
  Reset();
}

template <typename Dtype>
void ApproxDropoutLSTMLayer<Dtype>::Forward_cpu(
    const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top) {
  const Dtype* cont = bottom[1]->cpu_data();
  Dtype* output = top[0]->mutable_cpu_data();
  Dtype* gates = gates_.mutable_cpu_data();
  input_product_.PackWeights_cpu(
      CpuWeights(*this->blobs_[0], input_product_.lazy()));
  input_product_.Forward_cpu(T_, bottom[0]->cpu_data(),
      this->blobs_[1]->cpu_data(), false, gates);
  if (N_ <= kFewSamples) {
    recurrent_product_.PackForSteps_cpu(
        CpuWeights(*this->blobs_[2], recurrent_product_.lazy()), false);
  } else {
    recurrent_product_.PackWeights_cpu(
        CpuWeights(*this->blobs_[2], recurrent_product_.lazy()));
  }
  caffe_copy(cell_.count(), cell_.cpu_data(), cells_.mutable_cpu_data());
  const HiddenDropout<Dtype> dropout = Dropout(compact_index_.shape(0) - 1,
      compact_index_.cpu_data());
  const Dtype* hidden = hidden_.cpu_data();
  Dtype* recurrent_input = recurrent_input_.mutable_cpu_data();
  for (int n = 0; n < N_; ++n) {
    for (int u = 0; u < num_output_; ++u) {
      const int i = n * num_output_ + u;
      recurrent_input[i] = dropout.Recurrent(n, u, hidden[i], cont[n]);
    }
  }
  for (int t = 0; t < T_; ++t) {
    recurrent_product_.Forward_cpu(1,
        recurrent_input + recurrent_input_.offset(t), NULL, true,
        gates + gates_.offset(t));
    ForwardStep_cpu(t, cont + t * N_, output + t * N_ * stored_);
  }
  caffe_copy(cell_.count(), cells_.cpu_data() + cells_.offset(T_),
      cell_.mutable_cpu_data());
}

template <typename Dtype>
void ApproxDropoutLSTMLayer<Dtype>::ForwardStep_cpu(int t, const Dtype* cont,
    Dtype* output) {
  const HiddenDropout<Dtype> dropout = Dropout(t, compact_index_.cpu_data());
  const int units = num_output_;
  Dtype* gates = gates_.mutable_cpu_data() + gates_.offset(t);
  Dtype* cells = cells_.mutable_cpu_data() + cells_.offset(t);
  Dtype* hidden = hidden_.mutable_cpu_data();
  Dtype* next = t + 1 < T_ ?
      recurrent_input_.mutable_cpu_data() + recurrent_input_.offset(t + 1)
      : NULL;
#pragma omp parallel for if (N_ * units > kParallelUnits)
  for (int n = 0; n < N_; ++n) {
    Dtype* h = hidden + n * units;
    lstm_cell_forward(units, cont[n], cells + n * units,
        gates + n * 4 * units, cells + (N_ + n) * units, h);
    for (int u = 0; u < units; ++u) { dropout.Output(n, u, h[u], output); }
    if (next) {
      for (int u = 0; u < units; ++u) {
        next[n * units + u] = dropout.Recurrent(n, u, h[u], cont[N_ + n]);
      }
    }
  }
}

template <typename Dtype>
void ApproxDropoutLSTMLayer<Dtype>::Backward_cpu(
    const vector<Blob<Dtype>*>& top, const vector<bool>& propagate_down,
    const vector<Blob<Dtype>*>& bottom) {
  CHECK(!propagate_down[1]) << Name()
      << ": cannot backpropagate to sequence indicators";
  const Dtype* cont = bottom[1]->cpu_data();
  const Dtype* output_diff = top[0]->cpu_diff();
  const Dtype* recurrent_input = recurrent_input_.cpu_data();
  const Dtype* gates_diff = gates_.mutable_cpu_diff();
  caffe_set(cell_.count(), Dtype(0), cell_.mutable_cpu_diff());
  if (N_ <= kFewSamples && T_ > 1) {
    recurrent_product_.PackForSteps_cpu(
        CpuWeights(*this->blobs_[2], recurrent_product_.lazy()), true);
  }
  for (int t = T_ - 1; t >= 0; --t) {
    BackwardStep_cpu(t, cont + t * N_, output_diff + t * N_ * stored_);
    if (t > 0) {
      recurrent_product_.Backward_cpu(1,
          recurrent_input + recurrent_input_.offset(t),
          gates_diff + gates_.offset(t), hidden_.mutable_cpu_diff(), NULL,
          NULL);
    }
  }
  if (this->param_propagate_down_[2]) {
    recurrent_product_.Backward_cpu(T_, recurrent_input, gates_diff, NULL,
        CpuGradient(this->blobs_[2].get(), recurrent_product_.lazy()), NULL);
  }
  input_product_.Backward_cpu(T_, bottom[0]->cpu_data(), gates_diff,
      propagate_down[0] ? bottom[0]->mutable_cpu_diff() : NULL,
      this->param_propagate_down_[0]
          ? CpuGradient(this->blobs_[0].get(), input_product_.lazy())
          : NULL,
      this->param_propagate_down_[1] ? this->blobs_[1]->mutable_cpu_diff()
                                     : NULL);
}

template <typename Dtype>
void ApproxDropoutLSTMLayer<Dtype>::BackwardStep_cpu(int t, const Dtype* cont,
    const Dtype* output_diff) {
  const HiddenDropout<Dtype> dropout = Dropout(t, compact_index_.cpu_data());
  const int units = num_output_;
  const Dtype* gates = gates_.cpu_data() + gates_.offset(t);
  Dtype* gates_diff = gates_.mutable_cpu_diff() + gates_.offset(t);
  const Dtype* cells = cells_.cpu_data() + cells_.offset(t);
  const Dtype* recurrent_input_diff = hidden_.cpu_diff();
  Dtype* hidden_diff = hidden_diff_.mutable_cpu_data();
  Dtype* cell_diff = cell_.mutable_cpu_diff();
#pragma omp parallel for if (N_ * units > kParallelUnits)
  for (int n = 0; n < N_; ++n) {
    const Dtype next_cont = t + 1 < T_ ? cont[N_ + n] : Dtype(0);
    Dtype* dh = hidden_diff + n * units;
    for (int u = 0; u < units; ++u) {
      dh[u] = dropout.Gradient(n, u, output_diff, recurrent_input_diff,
          next_cont);
    }
    lstm_cell_backward(units, cont[n], cells + n * units,
        gates + n * 4 * units, cells + (N_ + n) * units, dh,
        cell_diff + n * units, gates_diff + n * 4 * units);
  }
}

#ifdef CPU_ONLY
STUB_GPU(ApproxDropoutLSTMLayer);
#endif

INSTANTIATE_CLASS(ApproxDropoutLSTMLayer);
REGISTER_LAYER_CLASS(ApproxDropoutLSTM);

}  // namespace caffe
