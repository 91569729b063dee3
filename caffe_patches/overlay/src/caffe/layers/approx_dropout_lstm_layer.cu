#include <vector>

#include "caffe/approx_dropout/pattern/sample_groups.hpp"
#include "caffe/layers/approx_dropout_lstm_layer.hpp"
#include "caffe/util/math_functions.hpp"

namespace caffe {

namespace {

// Blocks of that many threads, one per element.
int CellBlocks(int count) { return (count - 1) / kCellThreads + 1; }

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

// h_0, c_0 and cont to where the steps find them: r_1 (samples x units) and
// cells (samples x units) at first, and all of cont, `num_cont` values. One
// thread per element, all are written.
template <typename Dtype>
__global__ void BeginKernel(int count, HiddenDropout<Dtype> dropout,
    const Dtype* hidden, const Dtype* cell, Dtype* recurrent_input,
    Dtype* cells, int num_cont, const Dtype* cont, Dtype* cont_copy) {
  CUDA_KERNEL_LOOP(i, count) {
    const int n = i / dropout.units;
    recurrent_input[i] =
        dropout.Recurrent(n, i % dropout.units, hidden[i], cont[n]);
    cells[i] = cell[i];
  }
  CUDA_KERNEL_LOOP(i, num_cont) { cont_copy[i] = cont[i]; }
}

// y (steps x samples x stored) from h_t (steps x samples x units), one thread
// per element of the latter; and what is carried on to the next pass, h_T and
// c_T (samples x units). Where the output has all units, dropped ones are
// zero. dropout is at step 0.
template <typename Dtype>
__global__ void OutputKernel(int count, HiddenDropout<Dtype> dropout,
    const Dtype* hidden_states, const Dtype* last_cell, Dtype* output,
    Dtype* hidden, Dtype* cell) {
  const int units = dropout.units;
  const int samples = dropout.groups.num_samples;
  CUDA_KERNEL_LOOP(i, count) {
    const int row = i / units;
    dropout.step = row / samples;
    const Dtype h = hidden_states[i];
    dropout.Output(row % samples, i % units, h,
        output + static_cast<size_t>(dropout.step) * samples * dropout.stored);
    const int k = i - (count - samples * units);
    if (k >= 0) {
      hidden[k] = h;
      cell[k] = last_cell[k];
    }
  }
}

// The gradient of h_t through y, for all steps at once; threads and shapes as
// in OutputKernel. All elements are written.
template <typename Dtype>
__global__ void OutputGradientKernel(int count, HiddenDropout<Dtype> dropout,
    const Dtype* output_diff, Dtype* hidden_diff) {
  const int samples = dropout.groups.num_samples;
  CUDA_KERNEL_LOOP(i, count) {
    const int row = i / dropout.units;
    dropout.step = row / samples;
    hidden_diff[i] = dropout.OutputGradient(row % samples, i % dropout.units,
        output_diff +
            static_cast<size_t>(dropout.step) * samples * dropout.stored);
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

// What the steps of this pass work on; the blobs that only they have get their
// shapes here.
template <typename Dtype>
LSTMSteps<Dtype> ApproxDropoutLSTMLayer<Dtype>::Steps_gpu(bool backward) {
  vector<int> shape(3, num_output_);
  shape[0] = T_;
  shape[1] = N_;
  hidden_states_.Reshape(shape);
  cont_.Reshape(vector<int>(shape.begin(), shape.begin() + 2));
  LSTMSteps<Dtype> steps = {T_, N_, num_output_};
  steps.weight = GpuWeights(*this->blobs_[2], recurrent_product_.lazy());
  steps.cont = cont_.gpu_data();
  steps.recurrent_input = recurrent_input_.mutable_gpu_data();
  steps.gates = gates_.mutable_gpu_data();
  steps.cells = cells_.mutable_gpu_data();
  steps.hidden = hidden_states_.mutable_gpu_data();
  if (!backward) {
    return steps;
  }
  steps.hidden_diff = hidden_states_.gpu_diff();
  steps.gates_diff = gates_.mutable_gpu_diff();
  steps.cell_diff = cell_.mutable_gpu_diff();
  if (fuses_steps()) {
    const GradientCut cut = CutGradient(steps);
    step_diff_.Reshape(vector<int>(1, 2 * cut.step_size()));
    steps.step_diff = step_diff_.mutable_gpu_data();
    // Zero, as Caffe's memory is at first.
    arrivals_.Reshape(vector<int>(1, cut.num_arrivals()));
    steps.arrivals = arrivals_.mutable_gpu_data();
    shape[0] = cut.parts;
  } else {
    shape[0] = 1;
  }
  recurrent_diff_.Reshape(shape);
  steps.recurrent_diff = recurrent_diff_.mutable_gpu_data();
  return steps;
}

template <typename Dtype>
void ApproxDropoutLSTMLayer<Dtype>::Forward_gpu(
    const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top) {
  const LSTMSteps<Dtype> steps = Steps_gpu(false);
  input_product_.PackWeights_gpu(
      GpuWeights(*this->blobs_[0], input_product_.lazy()));
  input_product_.Forward_gpu(T_, bottom[0]->gpu_data(),
      this->blobs_[1]->gpu_data(), false, steps.gates);
  recurrent_product_.PackWeights_gpu(steps.weight);
  const int* compact_index = compact_index_.gpu_data();
  const int count = hidden_.count();
  // NOLINT_NEXT_LINE(whitespace/operators)
  BeginKernel<Dtype><<<CellBlocks(count), kCellThreads>>>(count,
      Dropout(compact_index_.shape(0) - 1, compact_index), hidden_.gpu_data(),
      cell_.gpu_data(), steps.recurrent_input, steps.cells, cont_.count(),
      bottom[1]->gpu_data(), cont_.mutable_gpu_data());
  CUDA_POST_KERNEL_CHECK;
  if (fuses_steps()) {
    forward_steps_.Run(LSTMForward<Dtype>, steps);
  } else {
    for (int t = 0; t < T_; ++t) {
      recurrent_product_.Forward_gpu(1,
          steps.recurrent_input + recurrent_input_.offset(t), NULL, true,
          steps.gates + gates_.offset(t));
      LSTMForwardCell(steps, t, Dropout(t, compact_index));
    }
  }
  // NOLINT_NEXT_LINE(whitespace/operators)
  OutputKernel<Dtype><<<CellBlocks(T_ * count), kCellThreads>>>(T_ * count,
      Dropout(0, compact_index), steps.hidden, steps.cells + cells_.offset(T_),
      top[0]->mutable_gpu_data(), hidden_.mutable_gpu_data(),
      cell_.mutable_gpu_data());
  CUDA_POST_KERNEL_CHECK;
}

template <typename Dtype>
void ApproxDropoutLSTMLayer<Dtype>::Backward_gpu(
    const vector<Blob<Dtype>*>& top, const vector<bool>& propagate_down,
    const vector<Blob<Dtype>*>& bottom) {
  CHECK(!propagate_down[1]) << Name()
      << ": cannot backpropagate to sequence indicators";
  const LSTMSteps<Dtype> steps = Steps_gpu(true);
  const int* compact_index = compact_index_.gpu_data();
  const int count = hidden_states_.count();
  // NOLINT_NEXT_LINE(whitespace/operators)
  OutputGradientKernel<Dtype><<<CellBlocks(count), kCellThreads>>>(count,
      Dropout(0, compact_index), top[0]->gpu_diff(),
      hidden_states_.mutable_gpu_diff());
  CUDA_POST_KERNEL_CHECK;
  if (fuses_steps()) {
    backward_steps_.Run(LSTMBackward<Dtype>, steps);
  } else {
    for (int t = T_ - 1; t >= 0; --t) {
      LSTMBackwardCell(steps, t, Dropout(t, compact_index));
      if (t > 0) {
        recurrent_product_.Backward_gpu(1,
            steps.recurrent_input + recurrent_input_.offset(t),
            steps.gates_diff + gates_.offset(t), steps.recurrent_diff, NULL,
            NULL);
      }
    }
  }
  if (this->param_propagate_down_[2]) {
    recurrent_product_.Backward_gpu(T_, steps.recurrent_input, steps.gates_diff,
        NULL, GpuGradient(this->blobs_[2].get(), recurrent_product_.lazy()),
        NULL);
  }
  input_product_.Backward_gpu(T_, bottom[0]->gpu_data(), steps.gates_diff,
      propagate_down[0] ? bottom[0]->mutable_gpu_diff() : NULL,
      this->param_propagate_down_[0]
          ? GpuGradient(this->blobs_[0].get(), input_product_.lazy())
          : NULL,
      this->param_propagate_down_[1] ? this->blobs_[1]->mutable_gpu_diff()
                                     : NULL);
}

INSTANTIATE_LAYER_GPU_FUNCS(ApproxDropoutLSTMLayer);

}  // namespace caffe
