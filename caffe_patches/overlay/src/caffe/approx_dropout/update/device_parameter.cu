#include <algorithm>
#include <vector>

#include "caffe/approx_dropout/math/wide_access.hpp"
#include "caffe/approx_dropout/update/device_parameter.cuh"
#include "caffe/approx_dropout/update/device_parameter.hpp"
#include "caffe/util/math_functions.hpp"

namespace caffe {

namespace {

const DeviceList kNoColumns = { NULL, 0, 0, 1, 1 };

}  // namespace

// Steps lie in a Blob<Dtype>, two values each.
static_assert(sizeof(UpdateStep<float>) == 2 * sizeof(float)
    && sizeof(UpdateStep<double>) == 2 * sizeof(double),
    "UpdateStep has two values and no padding");

template <typename Dtype>
DeviceSteps<Dtype>::DeviceSteps(int num_parameters, Dtype clip_gradients)
    : clip_gradients_(clip_gradients), size_(0), num_sums_(0),
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
}

template <typename Dtype>
DeviceParameter<Dtype>::DeviceParameter(Blob<Dtype>* param,
    Blob<Dtype>* history, const UpdateRule<Dtype>& rule, Dtype lr_mult,
    DeviceSteps<Dtype>* steps)
    : param_(param), history_(history), rule_(rule), lr_mult_(lr_mult),
      steps_(steps), has_gradient_(false) {
  grid_.rows = param->num_axes() > 1 ? param->shape(0) : 1;
  grid_.columns = param->count() / grid_.rows;
  SetCells(1, grid_.columns);
}

template <typename Dtype>
void DeviceParameter<Dtype>::SetCells(int cell_rows, int cell_columns) {
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
  const size_t size = grid_.count() * sizeof(int);
  caffe_gpu_memset(size, 0, done_.mutable_gpu_data());
  caffe_gpu_memset(size, -1, gradient_step_.mutable_gpu_data());
}

// Made at each use, so that Caffe marks the host's copies as out of date.
template <typename Dtype>
ParameterView<Dtype> DeviceParameter<Dtype>::View() {
  ParameterView<Dtype> view;
  view.data = param_->mutable_gpu_data();
  view.history = history_->mutable_gpu_data();
  view.gradient = param_->mutable_gpu_diff();
  view.grid = grid_;
  view.rule = rule_;
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
  return grid_.cell_columns % width == 0
      && IsAligned16(view.data, grid_.columns)
      && IsAligned16(view.history) && IsAligned16(view.gradient);
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

template <typename Dtype>
void DeviceParameter<Dtype>::CatchUp(const CellList<Dtype>& cells,
    bool for_all, const DeviceList& columns, Dtype* part) {
  if ((steps_->size() == 0 && !part) || cells.size == 0) { return; }
  const ParameterView<Dtype> view = View();
  if (CanAlign16(view) && IsAligned16(part)) {
    // NOLINT_NEXT_LINE(whitespace/operators)
    CatchUpKernel<Dtype, Aligned16<Dtype>::kWidth><<<cells.size, kThreads>>>(
        view, cells, for_all, columns, part);
  } else {
    // NOLINT_NEXT_LINE(whitespace/operators)
    CatchUpKernel<Dtype, 1><<<cells.size, kThreads>>>(view, cells, for_all,
        columns, part);
  }
  CUDA_POST_KERNEL_CHECK;
}

template <typename Dtype>
void DeviceParameter<Dtype>::CatchUp(const DeviceList& rows) {
  CatchUp(Rows(rows), false, kNoColumns, NULL);
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
  if (steps_->size() == 0) { return; }
  CatchUp(Tiles(AllCells()), true, kNoColumns, NULL);
  ForgetSteps();
}

template <typename Dtype>
Claim DeviceParameter<Dtype>::ClaimGradient(const CellList<Dtype>& cells) {
  if (has_gradient_) {
    ClearGradient(cells, true);
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
Claim DeviceParameter<Dtype>::ClaimGradient(const DeviceList& rows) {
  return ClaimGradient(Rows(rows));
}

template <typename Dtype>
Claim DeviceParameter<Dtype>::ClaimGradient(const KeptCells& tiles) {
  return ClaimGradient(Tiles(tiles));
}

template <typename Dtype>
void DeviceParameter<Dtype>::ClaimGradientOfWords(const Dtype* words,
    int num_words) {
  has_gradient_ = true;
  ClearGradient(Words(words, num_words), true);
}

template <typename Dtype>
void DeviceParameter<Dtype>::ClearGradient(const DeviceList& rows) {
  ClearGradient(Rows(rows), false);
}

template <typename Dtype>
void DeviceParameter<Dtype>::ClearGradient(const CellList<Dtype>& cells,
    bool if_none) {
  if (cells.size == 0) { return; }
  const ParameterView<Dtype> view = View();
  if (CanAlign16(view)) {
    // NOLINT_NEXT_LINE(whitespace/operators)
    ClearKernel<Dtype, Aligned16<Dtype>::kWidth><<<cells.size, kThreads>>>(view,
        cells, if_none);
  } else {
    // NOLINT_NEXT_LINE(whitespace/operators)
    ClearKernel<Dtype, 1><<<cells.size, kThreads>>>(view, cells, if_none);
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
  const int count = param_->count();
  const ParameterView<Dtype> view = View();
  if (IsAligned16(view.data) && IsAligned16(view.history)
      && IsAligned16(view.gradient)) {
    const int width = Aligned16<Dtype>::kWidth;
    // NOLINT_NEXT_LINE(whitespace/operators)
    UpdateKernel<Dtype, width><<<CAFFE_GET_BLOCKS((count + width - 1) / width),
        CAFFE_CUDA_NUM_THREADS>>>(view, count);
  } else {
    // NOLINT_NEXT_LINE(whitespace/operators)
    UpdateKernel<Dtype, 1><<<CAFFE_GET_BLOCKS(count),
        CAFFE_CUDA_NUM_THREADS>>>(view, count);
  }
  CUDA_POST_KERNEL_CHECK;
}

INSTANTIATE_CLASS(DeviceSteps);
INSTANTIATE_CLASS(DeviceParameter);

}  // namespace caffe
