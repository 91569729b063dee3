#include <vector>

#include "caffe/approx_dropout/pattern/sample_groups.hpp"
#include "caffe/layers/approx_dropout_lstm_layer.hpp"
#include "caffe/util/math_functions.hpp"

namespace caffe {

namespace {

template <typename Dtype>
__device__ Dtype Sigmoid(Dtype x) { return 1 / (1 + exp(-x)); }

// HiddenDropout's compact_index (groups x units), the rows of `groups`. Grid y
// is the group, one thread per unit; all of those rows are written. compact:
// the output holds the kept units only.
__global__ void IndexKernel(int units, KeptGroups groups, bool compact,
    int* compact_index) {
  __shared__ KeptCells kept;
  groups.Get(blockIdx.y, &kept, threadIdx.x, blockDim.x);
  __syncthreads();
  compact_index += (groups.first + blockIdx.y) * units;
  CUDA_KERNEL_LOOP(unit, units) {
    compact_index[unit] =
        !kept.has(unit) ? -1 : compact ? kept.count(unit) : unit;
  }
}

// r_1 (samples x units) from h_0: one thread per element, all are written.
template <typename Dtype>
__global__ void RecurrentInputKernel(int count, HiddenDropout<Dtype> dropout,
    const Dtype* cont, const Dtype* hidden, Dtype* recurrent_input) {
  CUDA_KERNEL_LOOP(i, count) {
    const int n = i / dropout.units;
    recurrent_input[i] =
        dropout.Recurrent(n, i % dropout.units, hidden[i], cont[n]);
  }
}

// One step forward, one thread per unit and sample. gates (samples x 4 units)
// is activated in place; cells (samples x units) of the step before and of
// this; hidden likewise. Writes the unit to the output (samples x stored), or
// zero where the output has all units and this one is dropped; and, unless
// this is the last step, the next step's recurrent input.
template <typename Dtype>
__global__ void ForwardKernel(int count, HiddenDropout<Dtype> dropout,
    bool last, const Dtype* cont, const Dtype* cell_before, Dtype* gates,
    Dtype* cell, Dtype* hidden, Dtype* output, Dtype* next_recurrent_input) {
  const int units = dropout.units;
  CUDA_KERNEL_LOOP(k, count) {
    const int n = k / units;
    const int u = k % units;
    Dtype* a = gates + static_cast<size_t>(n) * 4 * units + u;
    const Dtype i = Sigmoid(a[0]);
    const Dtype f = Sigmoid(a[units]);
    const Dtype o = Sigmoid(a[2 * units]);
    const Dtype g = tanh(a[3 * units]);
    a[0] = i;
    a[units] = f;
    a[2 * units] = o;
    a[3 * units] = g;
    const Dtype kept_cell = cont[n] == 0 ? Dtype(0)
        : cont[n] * f * cell_before[k];
    const Dtype c = kept_cell + i * g;
    const Dtype h = o * tanh(c);
    cell[k] = c;
    hidden[k] = h;
    dropout.Output(n, u, h, output);
    if (!last) {
      next_recurrent_input[k] =
          dropout.Recurrent(n, u, h, cont[count / units + n]);
    }
  }
}

// A step's operands for BackwardKernel.
template <typename Dtype>
struct BackwardStep {
  bool last;
  const Dtype* cont;
  const Dtype* cell_before;
  const Dtype* cell;
  const Dtype* gates;
  const Dtype* output_diff;
  const Dtype* recurrent_input_diff;
  Dtype* cell_diff;
  Dtype* gates_diff;
};

// One step backward, one thread per unit and sample. cell_diff (samples x
// units) is that of c_t, then of c_{t-1}; gates_diff (samples x 4 units) is
// overwritten. recurrent_input_diff belongs to the next step.
template <typename Dtype>
__global__ void BackwardKernel(int count, HiddenDropout<Dtype> dropout,
    BackwardStep<Dtype> step) {
  const int units = dropout.units;
  CUDA_KERNEL_LOOP(k, count) {
    const int n = k / units;
    const int u = k % units;
    const size_t at = static_cast<size_t>(n) * 4 * units + u;
    const Dtype* a = step.gates + at;
    const Dtype cont = step.cont[n];
    const Dtype next_cont =
        step.last ? Dtype(0) : step.cont[count / units + n];
    const Dtype dh = dropout.Gradient(n, u, step.output_diff,
        step.recurrent_input_diff, next_cont);
    const Dtype before = cont == 0 ? Dtype(0) : step.cell_before[k];
    const LSTMGates<Dtype> gates = { a[0], a[units], a[2 * units],
        a[3 * units] };
    const LSTMGates<Dtype> diff = LSTMCellGradient<Dtype>(gates,
        tanh(step.cell[k]), before, cont, dh, step.cell_diff + k);
    Dtype* d = step.gates_diff + at;
    d[0] = diff.i;
    d[units] = diff.f;
    d[2 * units] = diff.o;
    d[3 * units] = diff.g;
  }
}

}  // namespace

// Made on the device: a copy from the host would wait for it.
template <typename Dtype>
void ApproxDropoutLSTMLayer<Dtype>::IndexOutputs_gpu(
    const vector<KeptCells>& kept, bool compact) {
  int* compact_index = compact_index_.mutable_gpu_data();
  const int at_once = MaxGroups(kept[0]);
  for (int first = 0; first < kept.size(); first += at_once) {
    const KeptGroups groups = GroupsFrom(kept, first, at_once);
    const dim3 grid(CAFFE_GET_BLOCKS(num_output_), groups.count);
    // NOLINT_NEXT_LINE(whitespace/operators)
    IndexKernel<<<grid, CAFFE_CUDA_NUM_THREADS>>>(num_output_, groups, compact,
        compact_index);
    CUDA_POST_KERNEL_CHECK;
  }
}

template void ApproxDropoutLSTMLayer<float>::IndexOutputs_gpu(
    const vector<KeptCells>& kept, bool compact);
template void ApproxDropoutLSTMLayer<double>::IndexOutputs_gpu(
    const vector<KeptCells>& kept, bool compact);

template <typename Dtype>
void ApproxDropoutLSTMLayer<Dtype>::Forward_gpu(
    const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top) {
  const Dtype* cont = bottom[1]->gpu_data();
  Dtype* output = top[0]->mutable_gpu_data();
  Dtype* gates = gates_.mutable_gpu_data();
  input_product_.PackWeights_gpu(
      GpuWeights(*this->blobs_[0], input_product_.lazy()));
  input_product_.Forward_gpu(T_, bottom[0]->gpu_data(),
      this->blobs_[1]->gpu_data(), false, gates);
  recurrent_product_.PackWeights_gpu(
      GpuWeights(*this->blobs_[2], recurrent_product_.lazy()));
  caffe_copy(cell_.count(), cell_.gpu_data(), cells_.mutable_gpu_data());
  Dtype* recurrent_input = recurrent_input_.mutable_gpu_data();
  // NOLINT_NEXT_LINE(whitespace/operators)
  RecurrentInputKernel<Dtype><<<CAFFE_GET_BLOCKS(hidden_.count()),
      CAFFE_CUDA_NUM_THREADS>>>(hidden_.count(),
      Dropout(compact_index_.shape(0) - 1, compact_index_.gpu_data()), cont,
      hidden_.gpu_data(), recurrent_input);
  CUDA_POST_KERNEL_CHECK;
  for (int t = 0; t < T_; ++t) {
    recurrent_product_.Forward_gpu(1,
        recurrent_input + recurrent_input_.offset(t), NULL, true,
        gates + gates_.offset(t));
    ForwardStep_gpu(t, cont + t * N_, output + t * N_ * stored_);
  }
  caffe_copy(cell_.count(), cells_.gpu_data() + cells_.offset(T_),
      cell_.mutable_gpu_data());
}

template <typename Dtype>
void ApproxDropoutLSTMLayer<Dtype>::ForwardStep_gpu(int t, const Dtype* cont,
    Dtype* output) {
  const int count = hidden_.count();
  const bool last = t + 1 == T_;
  Dtype* cells = cells_.mutable_gpu_data() + cells_.offset(t);
  // NOLINT_NEXT_LINE(whitespace/operators)
  ForwardKernel<Dtype><<<CAFFE_GET_BLOCKS(count), CAFFE_CUDA_NUM_THREADS>>>(
      count, Dropout(t, compact_index_.gpu_data()), last, cont, cells,
      gates_.mutable_gpu_data() + gates_.offset(t), cells + count,
      hidden_.mutable_gpu_data(), output,
      recurrent_input_.mutable_gpu_data()
          + (last ? 0 : recurrent_input_.offset(t + 1)));
  CUDA_POST_KERNEL_CHECK;
}

template <typename Dtype>
void ApproxDropoutLSTMLayer<Dtype>::Backward_gpu(
    const vector<Blob<Dtype>*>& top, const vector<bool>& propagate_down,
    const vector<Blob<Dtype>*>& bottom) {
  CHECK(!propagate_down[1]) << Name()
      << ": cannot backpropagate to sequence indicators";
  const Dtype* cont = bottom[1]->gpu_data();
  const Dtype* output_diff = top[0]->gpu_diff();
  const Dtype* recurrent_input = recurrent_input_.gpu_data();
  const Dtype* gates_diff = gates_.mutable_gpu_diff();
  caffe_gpu_set(cell_.count(), Dtype(0), cell_.mutable_gpu_diff());
  for (int t = T_ - 1; t >= 0; --t) {
    BackwardStep_gpu(t, cont + t * N_, output_diff + t * N_ * stored_);
    if (t > 0) {
      recurrent_product_.Backward_gpu(1,
          recurrent_input + recurrent_input_.offset(t),
          gates_diff + gates_.offset(t), hidden_.mutable_gpu_diff(), NULL,
          NULL);
    }
  }
  if (this->param_propagate_down_[2]) {
    recurrent_product_.Backward_gpu(T_, recurrent_input, gates_diff, NULL,
        GpuGradient(this->blobs_[2].get(), recurrent_product_.lazy()), NULL);
  }
  input_product_.Backward_gpu(T_, bottom[0]->gpu_data(), gates_diff,
      propagate_down[0] ? bottom[0]->mutable_gpu_diff() : NULL,
      this->param_propagate_down_[0]
          ? GpuGradient(this->blobs_[0].get(), input_product_.lazy())
          : NULL,
      this->param_propagate_down_[1] ? this->blobs_[1]->mutable_gpu_diff()
                                     : NULL);
}

template <typename Dtype>
void ApproxDropoutLSTMLayer<Dtype>::BackwardStep_gpu(int t, const Dtype* cont,
    const Dtype* output_diff) {
  const int count = hidden_.count();
  const Dtype* cells = cells_.gpu_data() + cells_.offset(t);
  BackwardStep<Dtype> step;
  step.last = t + 1 == T_;
  step.cont = cont;
  step.cell_before = cells;
  step.cell = cells + count;
  step.gates = gates_.gpu_data() + gates_.offset(t);
  step.output_diff = output_diff;
  step.recurrent_input_diff = hidden_.gpu_diff();
  step.cell_diff = cell_.mutable_gpu_diff();
  step.gates_diff = gates_.mutable_gpu_diff() + gates_.offset(t);
  // NOLINT_NEXT_LINE(whitespace/operators)
  BackwardKernel<Dtype><<<CAFFE_GET_BLOCKS(count), CAFFE_CUDA_NUM_THREADS>>>(
      count, Dropout(t, compact_index_.gpu_data()), step);
  CUDA_POST_KERNEL_CHECK;
}

INSTANTIATE_LAYER_GPU_FUNCS(ApproxDropoutLSTMLayer);

}  // namespace caffe
