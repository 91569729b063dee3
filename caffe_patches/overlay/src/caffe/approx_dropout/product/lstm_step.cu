#include "caffe/approx_dropout/product/lstm_step_backward.cuh"
#include "caffe/approx_dropout/product/lstm_step_forward.cuh"

namespace caffe {

namespace {

// As no kernel has tiles that a type's registers do not hold.
template <typename Dtype, int kTile>
struct Tile {
  static const int kSamples =
      kTile < SampleTile<Dtype>::kMax ? kTile : SampleTile<Dtype>::kMax;
};

// No dropout of h_t on its way to the next step.
template <typename Dtype>
HiddenDropout<Dtype> NoDropout(const LSTMSteps<Dtype>& steps, int t) {
  const GroupRows all = {steps.samples, steps.samples, true};
  const HiddenDropout<Dtype> none = {
      NULL, steps.units, steps.units, all, t, 1, false};
  return none;
}

template <typename Dtype>
int CellBlocks(const LSTMSteps<Dtype>& steps) {
  return (steps.size() - 1) / kCellThreads + 1;
}

template <typename Dtype>
void LaunchBackwardCell(const LSTMSteps<Dtype>& steps, int t,
    const GradientCut& cut, const HiddenDropout<Dtype>& dropout,
    cudaStream_t stream) {
  BackwardCellKernel<Dtype>
      <<<CellBlocks(steps), kCellThreads, 0, stream>>>(steps, t, cut, dropout);
  CUDA_POST_KERNEL_CHECK;
}

template <typename Dtype, int kWidth, int kTile>
struct ForwardStep {
  static void Launch(const LSTMSteps<Dtype>& steps, int t,
      const ForwardCut& cut, cudaStream_t stream) {
    const int kSamples = Tile<Dtype, kTile>::kSamples;
    ForwardStepKernel<Dtype, kWidth, kSamples>
        <<<cut.blocks(), kForwardThreads, 0, stream>>>(steps, t, cut);
    CUDA_POST_KERNEL_CHECK;
  }
};

template <typename Dtype, int kWidth, int kTile>
struct BackwardStep {
  static void Launch(const LSTMSteps<Dtype>& steps, int t,
      const GradientCut& cut, cudaStream_t stream) {
    const int kSamples = Tile<Dtype, kTile>::kSamples;
    BackwardStepKernel<Dtype, kWidth, kSamples>
        <<<cut.blocks(), kGradientThreads, 0, stream>>>(
            steps, t, cut, NoDropout(steps, t - 1));
    CUDA_POST_KERNEL_CHECK;
  }
};

template <template <typename, int, int> class Kernel, typename Dtype,
    int kWidth, typename Cut>
void LaunchForTile(
    const LSTMSteps<Dtype>& steps, int t, const Cut& cut, cudaStream_t stream) {
  switch (cut.passes.tile) {
    case kSmallTile:
      return Kernel<Dtype, kWidth, kSmallTile>::Launch(steps, t, cut, stream);
    case kMiddleTile:
      return Kernel<Dtype, kWidth, kMiddleTile>::Launch(steps, t, cut, stream);
    default:
      return Kernel<Dtype, kWidth, kLargeTile>::Launch(steps, t, cut, stream);
  }
}

// Launches the kernel that is made for the cut's width and tile.
template <template <typename, int, int> class Kernel, typename Dtype,
    typename Cut>
void Launch(
    const LSTMSteps<Dtype>& steps, int t, const Cut& cut, cudaStream_t stream) {
  const int kMaxWidth = Aligned16<Dtype>::kWidth;
  if (cut.width == kMaxWidth) {
    LaunchForTile<Kernel, Dtype, kMaxWidth>(steps, t, cut, stream);
  } else if (cut.width == 2) {
    LaunchForTile<Kernel, Dtype, 2>(steps, t, cut, stream);
  } else {
    LaunchForTile<Kernel, Dtype, 1>(steps, t, cut, stream);
  }
}

}  // namespace

template <typename Dtype>
void LSTMForward(const LSTMSteps<Dtype>& steps, cudaStream_t stream) {
  const ForwardCut cut = CutForward(steps);
  for (int t = 0; t < steps.steps; ++t) {
    Launch<ForwardStep>(steps, t, cut, stream);
  }
}

template <typename Dtype>
void LSTMBackward(const LSTMSteps<Dtype>& steps, cudaStream_t stream) {
  const GradientCut cut = CutGradient(steps);
  const int last = steps.steps - 1;
  LaunchBackwardCell(steps, last, cut, NoDropout(steps, last), stream);
  for (int t = last; t > 0; --t) {
    Launch<BackwardStep>(steps, t, cut, stream);
  }
}

template <typename Dtype>
void LSTMForwardCell(
    const LSTMSteps<Dtype>& steps, int t, const HiddenDropout<Dtype>& dropout) {
  ForwardCellKernel<Dtype>
      <<<CellBlocks(steps), kCellThreads>>>(steps, t, dropout);
  CUDA_POST_KERNEL_CHECK;
}

template <typename Dtype>
void LSTMBackwardCell(
    const LSTMSteps<Dtype>& steps, int t, const HiddenDropout<Dtype>& dropout) {
  const GradientCut one_part = {
      steps.units, 1, steps.units, 1, CutSamples(steps.samples, kSmallTile)};
  LaunchBackwardCell(steps, t, one_part, dropout, NULL);
}

#define INSTANTIATE_LSTM_STEPS(Dtype)                                       \
  template void LSTMForward<Dtype>(const LSTMSteps<Dtype>&, cudaStream_t);  \
  template void LSTMBackward<Dtype>(const LSTMSteps<Dtype>&, cudaStream_t); \
  template void LSTMForwardCell<Dtype>(                                     \
      const LSTMSteps<Dtype>&, int, const HiddenDropout<Dtype>&);           \
  template void LSTMBackwardCell<Dtype>(                                    \
      const LSTMSteps<Dtype>&, int, const HiddenDropout<Dtype>&)

INSTANTIATE_LSTM_STEPS(float);
INSTANTIATE_LSTM_STEPS(double);

}  // namespace caffe
