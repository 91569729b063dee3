#include <algorithm>
#include <vector>

#include "caffe/approx_dropout/math/wide_access.hpp"
#include "caffe/approx_dropout/update/device_parameter.cuh"
#include "caffe/approx_dropout/update/device_parameter.hpp"
#include "caffe/util/math_functions.hpp"

namespace caffe {

namespace {

const DeviceList kNoColumns = {NULL, 0, 0, 1, NULL};

template <typename Dtype>
Dtype* DataOf(const shared_ptr<SyncedMemory>& memory) {
  return static_cast<Dtype*>(memory->raw_mutable_gpu_data());
}

}  // namespace

// Steps lie in a Blob<Dtype>, two values each.
static_assert(sizeof(UpdateStep<float>) == 2 * sizeof(float)
    && sizeof(UpdateStep<double>) == 2 * sizeof(double),
    "UpdateStep has two values and no padding");

template <typename Dtype>
DeviceSteps<Dtype>::DeviceSteps(int num_parameters, Dtype clip_gradients)
    : clip_gradients_(clip_gradients),
      size_(0),
      num_sums_(0),
      rates_are_finite_(true),
      steps_(vector<int>(1, 2 * kMaxSteps)),
      sums_(vector<int>(1, std::max(1, num_parameters) * kNumSums)) {}

template <typename Dtype>
bool DeviceSteps<Dtype>::full() const { return size_ == kMaxSteps; }

template <typename Dtype>
const UpdateStep<Dtype>* DeviceSteps<Dtype>::data() const {
  return reinterpret_cast<const UpdateStep<Dtype>*>(steps_.gpu_data());
}

template <typename Dtype>
double* DeviceSteps<Dtype>::NextSums(int count) {
  CHECK_LE(num_sums_ + count, sums_.count());
  num_sums_ += count;
  return sums_.mutable_gpu_data() + num_sums_ - count;
}

template <typename Dtype>
void DeviceSteps<Dtype>::Append(Dtype rate) {
  CHECK_LT(size_, kMaxSteps);
  UpdateStep<Dtype>* steps =
      reinterpret_cast<UpdateStep<Dtype>*>(steps_.mutable_gpu_data());
  // NOLINT_NEXT_LINE(whitespace/operators)
  AppendStepKernel<Dtype><<<1, kThreads>>>(sums_.gpu_data(), num_sums_,
      clip_gradients_, rate, steps + size_);
  CUDA_POST_KERNEL_CHECK;
  ++size_;
  num_sums_ = 0;
  rates_are_finite_ &= std::isfinite(rate);
}

template <typename Dtype>
void DeviceSteps<Dtype>::Clear() {
  size_ = 0;
  rates_are_finite_ = true;
}

template <typename Dtype>
DeviceParameter<Dtype>::DeviceParameter(Blob<Dtype>* param,
    Blob<Dtype>* history, const UpdateRule<Dtype>& rule, Dtype lr_mult,
    DeviceSteps<Dtype>* steps, Blob<Dtype>* history2)
    : memory_(*param, *history, history2),
      count_(param->count()),
      rule_(rule),
      lr_mult_(lr_mult),
      steps_(steps) {
  rule_.idle = IdleOf(rule);
  grid_.rows = param->num_axes() > 1 ? param->shape(0) : 1;
  grid_.columns = param->count() / grid_.rows;
  grid_.cell_rows = 0;
  SetCells(1, grid_.columns);
}

template <typename Dtype>
void DeviceParameter<Dtype>::SetCells(int cell_rows, int cell_columns) {
  if (cell_rows == grid_.cell_rows && cell_columns == grid_.cell_columns) {
    return;
  }
  CHECK_EQ(steps_->size(), 0) << "Cells cannot change while steps wait for "
      << "them";
  grid_.cell_rows = cell_rows;
  grid_.cell_columns = cell_columns;
  done_.Reshape(vector<int>(1, grid_.count()));
  gradient_step_.Reshape(vector<int>(1, grid_.count()));
  ForgetSteps();
}

template <typename Dtype>
void DeviceParameter<Dtype>::ForgetSteps() {
  caffe_gpu_memset(grid_.count() * sizeof(int), 0, done_.mutable_gpu_data());
  ForgetGradients();
  all_done_ = 0;
}

template <typename Dtype>
void DeviceParameter<Dtype>::ForgetGradients() {
  caffe_gpu_memset(
      grid_.count() * sizeof(int), -1, gradient_step_.mutable_gpu_data());
  has_gradient_ = false;
}

// Made at each use, so that Caffe marks the host's copies as out of date.
template <typename Dtype>
ParameterView<Dtype> DeviceParameter<Dtype>::View() {
  ParameterView<Dtype> view;
  view.data = DataOf<Dtype>(memory_.data);
  for (int i = 0; i < 2; ++i) {
    view.history[i] =
        memory_.history[i] ? DataOf<Dtype>(memory_.history[i]) : NULL;
  }
  view.gradient = DataOf<Dtype>(memory_.diff);
  view.grid = grid_;
  view.rule = rule_;
  // A rate that is not finite moves every weight: 0 times it is no number.
  if (!steps_->rates_are_finite()) {
    view.rule.idle = Idle::MOVES_WEIGHT;
  }
  view.lr_mult = lr_mult_;
  view.steps = steps_->data();
  view.num_steps = steps_->size();
  view.done = done_.mutable_gpu_data();
  view.gradient_step = gradient_step_.mutable_gpu_data();
  return view;
}

template <typename Dtype>
bool DeviceParameter<Dtype>::CanAlign16(
    const ParameterView<Dtype>& view) const {
  const int width = Aligned16<Dtype>::kWidth;
  return grid_.cell_columns % width == 0 &&
         IsAligned16(view.data, grid_.columns) &&
         IsAligned16(view.history[0]) && IsAligned16(view.history[1]) &&
         IsAligned16(view.gradient);
}

template <typename Dtype>
CellList<Dtype> DeviceParameter<Dtype>::Rows(const DeviceList& rows) const {
  CHECK(grid_.cell_rows == 1 && grid_.cell_columns == grid_.columns);
  const CellList<Dtype> cells = { CellList<Dtype>::LISTED, rows.size, rows,
      NULL, AllCells(), 1 };
  return cells;
}

template <typename Dtype>
CellList<Dtype> DeviceParameter<Dtype>::Tiles(const KeptCells& tiles) const {
  const CellList<Dtype> cells = { CellList<Dtype>::TILES, grid_.count(),
      kNoColumns, NULL, tiles, grid_.across() };
  return cells;
}

template <typename Dtype>
CellList<Dtype> DeviceParameter<Dtype>::Words(const Dtype* words,
    int num_words) const {
  const CellList<Dtype> cells = { CellList<Dtype>::WORDS, num_words,
      kNoColumns, words, AllCells(), 1 };
  return cells;
}

// Calls a member function template for the solver's kind of step.
#define CALL_BY_STEP(function, ...)               \
  switch (rule_.solver) {                         \
    case SolverKind::SGD:                         \
      return function<SGDStep>(__VA_ARGS__);      \
    case SolverKind::NESTEROV:                    \
      return function<NesterovStep>(__VA_ARGS__); \
    case SolverKind::ADAGRAD:                     \
      return function<AdaGradStep>(__VA_ARGS__);  \
    case SolverKind::RMSPROP:                     \
      return function<RMSPropStep>(__VA_ARGS__);  \
    case SolverKind::ADADELTA:                    \
      return function<AdaDeltaStep>(__VA_ARGS__); \
    case SolverKind::ADAM:                        \
      return function<AdamStep>(__VA_ARGS__);     \
  }

template <typename Dtype>
void DeviceParameter<Dtype>::CatchUp(const CellList<Dtype>& cells,
    bool for_all, const DeviceList& columns, Dtype* part) {
  if ((steps_->size() == 0 && !part) || cells.size == 0) { return; }
  CALL_BY_STEP(CatchUpBy, cells, for_all, columns, part);
}

template <typename Dtype>
template <typename Step>
void DeviceParameter<Dtype>::CatchUpBy(const CellList<Dtype>& cells,
    bool for_all, const DeviceList& columns, Dtype* part) {
  const ParameterView<Dtype> view = View();
  if (CanAlign16(view) && IsAligned16(part)) {
    const int kWidth = Aligned16<Dtype>::kWidth;
    // NOLINT_NEXT_LINE(whitespace/operators)
    CatchUpKernel<Step, Dtype, kWidth>
        <<<cells.size, kThreads>>>(view, cells, for_all, columns, part);
  } else {
    // NOLINT_NEXT_LINE(whitespace/operators)
    CatchUpKernel<Step, Dtype, 1>
        <<<cells.size, kThreads>>>(view, cells, for_all, columns, part);
  }
  CUDA_POST_KERNEL_CHECK;
}

template <typename Dtype>
void DeviceParameter<Dtype>::CatchUp(const DeviceList& rows,
    const DeviceList& columns, Dtype* part) {
  CatchUp(Rows(rows), false, columns, part);
}

template <typename Dtype>
void DeviceParameter<Dtype>::CatchUp(const KeptCells& tiles) {
  CatchUp(Tiles(tiles), false, kNoColumns, NULL);
}

template <typename Dtype>
void DeviceParameter<Dtype>::CatchUpWords(const Dtype* words, int num_words) {
  CatchUp(Words(words, num_words), false, kNoColumns, NULL);
}

template <typename Dtype>
void DeviceParameter<Dtype>::CatchUpAll() {
  if (all_done_ == steps_->size()) {
    return;
  }
  CatchUp(Tiles(AllCells()), true, kNoColumns, NULL);
  all_done_ = steps_->size();
}

template <typename Dtype>
void DeviceParameter<Dtype>::ShowDiff() {
  CatchUpAll();
  if (shows_diff_) {
    return;
  }
  shows_diff_ = true;
  if (in_step_) {
    has_gradient_ = true;
    ClearMissing(Tiles(AllCells()));
  } else if (whole_) {
    caffe_gpu_memcpy(count_ * sizeof(Dtype), memory_.history[0]->raw_gpu_data(),
        memory_.diff->raw_mutable_gpu_data());
  }
}

template <typename Dtype>
void DeviceParameter<Dtype>::BeginStep(bool whole) {
  const bool ended = !in_step_;
  in_step_ = true;
  whole_ = whole;
  if (whole) {
    // SGD's last update has left zeros.
    if (shows_diff_ || !ended) {
      caffe_gpu_memset(
          count_ * sizeof(Dtype), 0, memory_.diff->raw_mutable_gpu_data());
    }
    shows_diff_ = true;
    return;
  }
  shows_diff_ = false;
  if (has_gradient_) {
    CatchUpAll();
    ForgetGradients();
  }
}

template <typename Dtype>
void DeviceParameter<Dtype>::EndStep() {
  in_step_ = has_gradient_ = shows_diff_ = false;
}

template <typename Dtype>
Claim DeviceParameter<Dtype>::ClaimGradient(const CellList<Dtype>& cells) {
  if (has_gradient_) {
    ClearMissing(cells);
    return Claim::ADD;
  }
  has_gradient_ = true;
  if (cells.size == 0) { return Claim::OVERWRITE; }
  // NOLINT_NEXT_LINE(whitespace/operators)
  StampKernel<Dtype><<<CAFFE_GET_BLOCKS(cells.size),
      CAFFE_CUDA_NUM_THREADS>>>(View(), cells);
  CUDA_POST_KERNEL_CHECK;
  return Claim::OVERWRITE;
}

template <typename Dtype>
Claim DeviceParameter<Dtype>::ClaimGradient(const KeptCells& tiles) {
  return ClaimGradient(Tiles(tiles));
}

template <typename Dtype>
void DeviceParameter<Dtype>::ClaimGradientOfWords(const Dtype* words,
    int num_words) {
  has_gradient_ = true;
  ClearMissing(Words(words, num_words));
}

template <typename Dtype>
void DeviceParameter<Dtype>::ClearMissing(const CellList<Dtype>& cells) {
  if (cells.size == 0) { return; }
  const ParameterView<Dtype> view = View();
  if (CanAlign16(view)) {
    // NOLINT_NEXT_LINE(whitespace/operators)
    ClearKernel<Dtype, Aligned16<Dtype>::kWidth>
        <<<cells.size, kThreads>>>(view, cells);
  } else {
    // NOLINT_NEXT_LINE(whitespace/operators)
    ClearKernel<Dtype, 1><<<cells.size, kThreads>>>(view, cells);
  }
  CUDA_POST_KERNEL_CHECK;
}

template <typename Dtype>
void DeviceParameter<Dtype>::AddGradient(const DeviceList& rows,
    const DeviceList& columns, const Dtype* part) {
  if (rows.size == 0) { return; }
  has_gradient_ = true;
  const ParameterView<Dtype> view = View();
  if (CanAlign16(view) && IsAligned16(part)) {
    // NOLINT_NEXT_LINE(whitespace/operators)
    AddGradientKernel<Dtype, Aligned16<Dtype>::kWidth><<<rows.size, kThreads>>>(
        view, rows, columns, part);
  } else {
    // NOLINT_NEXT_LINE(whitespace/operators)
    AddGradientKernel<Dtype, 1><<<rows.size, kThreads>>>(view, rows, columns,
        part);
  }
  CUDA_POST_KERNEL_CHECK;
}

template <typename Dtype>
void DeviceParameter<Dtype>::SumSquares(bool whole) {
  const CellGrid strips = StripsOf(grid_, whole);
  const int most = DeviceSteps<Dtype>::kNumSums;
  const int blocks = std::min(most, strips.count());
  const ParameterView<Dtype> view = View();
  double* sums = steps_->NextSums(blocks);
  const int width = Aligned16<Dtype>::kWidth;
  if (whole ? IsAligned16(view.gradient) : CanAlign16(view)) {
    // NOLINT_NEXT_LINE(whitespace/operators)
    SumSquaresKernel<Dtype, width>
        <<<blocks, kThreads>>>(view, strips, whole, sums);
  } else {
    // NOLINT_NEXT_LINE(whitespace/operators)
    SumSquaresKernel<Dtype, 1><<<blocks, kThreads>>>(view, strips, whole, sums);
  }
  CUDA_POST_KERNEL_CHECK;
}

template <typename Dtype>
void DeviceParameter<Dtype>::UpdateWhole() {
  CALL_BY_STEP(UpdateWholeBy);
}

template <typename Dtype>
template <typename Step>
void DeviceParameter<Dtype>::UpdateWholeBy() {
  const ParameterView<Dtype> view = View();
  // SGD's history is its update, so that the gradient can be cleared here.
  const bool writes_update = rule_.solver != SolverKind::SGD;
  if (IsAligned16(view.data) && IsAligned16(view.history[0]) &&
      IsAligned16(view.history[1]) && IsAligned16(view.gradient)) {
    const int kWidth = Aligned16<Dtype>::kWidth;
    const int blocks = CAFFE_GET_BLOCKS((count_ + kWidth - 1) / kWidth);
    // NOLINT_NEXT_LINE(whitespace/operators)
    UpdateKernel<Step, Dtype, kWidth>
        <<<blocks, CAFFE_CUDA_NUM_THREADS>>>(view, count_, writes_update);
  } else {
    const int blocks = CAFFE_GET_BLOCKS(count_);
    // NOLINT_NEXT_LINE(whitespace/operators)
    UpdateKernel<Step, Dtype, 1>
        <<<blocks, CAFFE_CUDA_NUM_THREADS>>>(view, count_, writes_update);
  }
  CUDA_POST_KERNEL_CHECK;
  all_done_ = steps_->size();
  shows_diff_ = writes_update;
}

INSTANTIATE_CLASS(DeviceSteps);
INSTANTIATE_CLASS(DeviceParameter);

}  // namespace caffe
