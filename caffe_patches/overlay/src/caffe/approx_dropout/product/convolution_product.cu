#include <algorithm>
#include <vector>

#include "caffe/approx_dropout/product/convolution_product.hpp"
#include "caffe/approx_dropout/product/gather_scatter.hpp"
#include "caffe/util/math_functions.hpp"

namespace caffe {

namespace {

// Elements of the columns of all images that are multiplied at once.
const size_t kDeviceColumns = 1 << 24;
const int kSumThreads = 256;

// In all kernels `columns` is (channels * kernel x images * outputs) and `part`
// (kept outputs x images * outputs), both row by row, for `images` images; x,
// y and their gradients begin with the first of them.
struct BatchSizes {
  ConvolutionShape shape;
  int channels, images;  // channels: of x

  CAFFE_HOST_DEVICE int width() const { return images * shape.output_size(); }
};

// One thread per element of columns, `count` of them; all are overwritten.
template <typename Dtype>
__global__ void ColumnsKernel(
    int count, BatchSizes sizes, const Dtype* x, Dtype* columns) {
  const int outputs = sizes.shape.output_size();
  const int kernel = sizes.shape.kernel_size();
  CUDA_KERNEL_LOOP(i, count) {
    const int row = i / sizes.width();
    const int image = i % sizes.width() / outputs;
    const size_t channel =
        static_cast<size_t>(image) * sizes.channels + row / kernel;
    columns[i] = ColumnValue(sizes.shape,
        x + channel * sizes.shape.input_size(), row % kernel, i % outputs);
  }
}

// One thread per element of dx, `count` of them; all are overwritten.
template <typename Dtype>
__global__ void InputGradientKernel(
    int count, BatchSizes sizes, const Dtype* columns, Dtype* dx) {
  const int inputs = sizes.shape.input_size();
  CUDA_KERNEL_LOOP(i, count) {
    const int channel = i / inputs % sizes.channels;
    const int image = i / inputs / sizes.channels;
    const size_t at = static_cast<size_t>(channel) * sizes.shape.kernel_size() *
                          sizes.width() +
                      image * sizes.shape.output_size();
    dx[i] = ImageValue(sizes.shape, columns + at, sizes.width(), i % inputs);
  }
}

// Where the element i of a part is in y, whose images have `stored` channels.
__device__ inline size_t OutputOffset(
    int i, int size, int outputs, const DeviceList& channels, int stored) {
  const size_t image = i % size / outputs;
  return (image * stored + channels(i / size)) * outputs + i % outputs;
}

// y = part + scale * bias, bias NULL for none. One thread per element of part,
// `count` of them, rows of `size`; other channels of y are left alone.
template <typename Dtype>
__global__ void StoreKernel(int count, int size, int outputs, const Dtype* part,
    const Dtype* bias, Dtype scale, DeviceList rows, DeviceList channels,
    int stored, Dtype* y) {
  CUDA_KERNEL_LOOP(i, count) {
    const Dtype b = bias ? scale * bias[rows(i / size)] : Dtype(0);
    y[OutputOffset(i, size, outputs, channels, stored)] = part[i] + b;
  }
}

// part = dy of the kept channels. One thread per element of part, `count` of
// them, rows of `size`; all are overwritten.
template <typename Dtype>
__global__ void LoadKernel(int count, int size, int outputs, const Dtype* dy,
    DeviceList channels, int stored, Dtype* part) {
  CUDA_KERNEL_LOOP(i, count) {
    part[i] = dy[OutputOffset(i, size, outputs, channels, stored)];
  }
}

// sums[rows(i)] += scale * the sum of the i-th row of part, `size` elements.
// One block of kSumThreads per row.
template <typename Dtype>
__global__ void AddRowSumsKernel(
    int size, const Dtype* part, Dtype scale, DeviceList rows, Dtype* sums) {
  __shared__ Dtype partial[kSumThreads];
  const Dtype* row = part + static_cast<size_t>(blockIdx.x) * size;
  Dtype sum = 0;
  for (int j = threadIdx.x; j < size; j += kSumThreads) {
    sum += row[j];
  }
  partial[threadIdx.x] = sum;
  __syncthreads();
  for (int half = kSumThreads / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) {
      partial[threadIdx.x] += partial[threadIdx.x + half];
    }
    __syncthreads();
  }
  if (threadIdx.x == 0) {
    sums[rows(blockIdx.x)] += scale * partial[0];
  }
}

}  // namespace

template <typename Dtype>
void ConvolutionProduct<Dtype>::PackWeights_gpu(const Dtype* weight) {
  weight_ = weight;
  ListGroups();
  vector<SideLists*> sides;
  size_t size = 0;
  for (size_t g = 0; g < groups_.size(); ++g) {
    sides.push_back(&groups_[g].outputs);
    sides.push_back(&groups_[g].inputs);
    if (!groups_[g].views_weight()) {
      size += groups_[g].weight_size();
    }
  }
  GpuParts<Dtype>::ListOnDevice(sides, &device_lists_);
  if (size == 0) {
    return;
  }
  Dtype* part = GpuParts<Dtype>::Grow(&weights_, size);
  for (size_t g = 0; g < groups_.size(); ++g) {
    if (groups_[g].views_weight()) {
      continue;
    }
    GpuParts<Dtype>::Gather(weight_, num_columns(), groups_[g].outputs.weight,
        groups_[g].inputs.weight, part);
    part += groups_[g].weight_size();
  }
}

// Group by group, as the weights are packed.
template <typename Dtype>
template <typename Function>
void ConvolutionProduct<Dtype>::ForEachBatch(const Function& f) {
  const size_t columns = static_cast<size_t>(spec_.stored_input) *
                         shape_.kernel_size() * shape_.output_size();
  const int size = spec_.group_size();
  const int at_once =
      std::min<size_t>(size, std::max<size_t>(1, kDeviceColumns / columns));
  const Dtype* packed = weights_ ? weights_->gpu_data() : NULL;
  for (size_t g = 0; g < groups_.size(); ++g) {
    Batch batch;
    batch.group = &groups_[g];
    const IndexList& rows = groups_[g].outputs.weight;
    if (groups_[g].views_weight()) {
      batch.weight = View(weight_ + groups_[g].inputs.weight.first() +
                              static_cast<size_t>(rows.first()) * num_columns(),
          rows.stride * num_columns());
    } else {
      batch.weight = View(packed, groups_[g].num_columns());
      packed += groups_[g].weight_size();
    }
    for (int first = 0; first < size; first += at_once) {
      batch.first_image = g * size + first;
      batch.num_images = std::min(at_once, size - first);
      batch.size = batch.num_images * shape_.output_size();
      f(batch, first == 0, first + at_once >= size);
    }
  }
}

template <typename Dtype>
Dtype* ConvolutionProduct<Dtype>::Columns(const Batch& batch, const Dtype* x) {
  const size_t count = static_cast<size_t>(spec_.stored_input) *
                       shape_.kernel_size() * batch.size;
  Dtype* columns = GpuParts<Dtype>::Grow(&columns_, count);
  if (x) {
    const BatchSizes sizes = {shape_, spec_.stored_input, batch.num_images};
    // NOLINT_NEXT_LINE(whitespace/operators)
    ColumnsKernel<Dtype>
        <<<CAFFE_GET_BLOCKS(count), CAFFE_CUDA_NUM_THREADS>>>(count, sizes,
            x + static_cast<size_t>(batch.first_image) * spec_.stored_input *
                    shape_.input_size(),
            columns);
    CUDA_POST_KERNEL_CHECK;
  }
  return columns;
}

template <typename Dtype>
void ConvolutionProduct<Dtype>::Forward_gpu(
    const Dtype* x, const Dtype* bias, Dtype* y) {
  const int outputs = shape_.output_size();
  const size_t image_size = static_cast<size_t>(spec_.stored_output) * outputs;
  if (!spec_.covers_output()) {
    GpuParts<Dtype>::SetZero(spec_.num_samples * image_size, y);
  }
  ForEachBatch([&](const Batch& batch, bool first, bool last) {
    const Group& group = *batch.group;
    const Dtype* columns = Columns(batch, x);
    const int count = group.num_outputs() * batch.size;
    const int rows = group.num_outputs() / convolution_groups_;
    Dtype* part = GpuParts<Dtype>::Grow(&outputs_, count);
    for (int c = 0; c < convolution_groups_; ++c) {
      GpuParts<Dtype>::Gemm(CblasNoTrans, CblasNoTrans, rows, batch.size,
          group.num_columns(), spec_.scale,
          batch.weight.data +
              static_cast<size_t>(c) * rows * batch.weight.stride,
          batch.weight.stride,
          columns + static_cast<size_t>(c) * group.num_columns() * batch.size,
          batch.size, 0, part + static_cast<size_t>(c) * rows * batch.size,
          batch.size);
    }
    // NOLINT_NEXT_LINE(whitespace/operators)
    StoreKernel<Dtype><<<CAFFE_GET_BLOCKS(count), CAFFE_CUDA_NUM_THREADS>>>(
        count, batch.size, outputs, part, bias, spec_.bias_scale,
        GpuParts<Dtype>::Cells(group.outputs.weight),
        GpuParts<Dtype>::Cells(group.outputs.stored), spec_.stored_output,
        y + batch.first_image * image_size);
    CUDA_POST_KERNEL_CHECK;
  });
}

template <typename Dtype>
void ConvolutionProduct<Dtype>::Backward_gpu(
    const Dtype* x, const Dtype* dy, Dtype* dx, Dtype* dweight, Dtype* dbias) {
  const int outputs = shape_.output_size();
  ForEachBatch([&](const Batch& batch, bool first, bool last) {
    const Group& group = *batch.group;
    const int count = group.num_outputs() * batch.size;
    Dtype* part = GpuParts<Dtype>::Grow(&outputs_, count);
    // NOLINT_NEXT_LINE(whitespace/operators)
    LoadKernel<Dtype><<<CAFFE_GET_BLOCKS(count), CAFFE_CUDA_NUM_THREADS>>>(
        count, batch.size, outputs,
        dy + static_cast<size_t>(batch.first_image) * spec_.stored_output *
                 outputs,
        GpuParts<Dtype>::Cells(group.outputs.stored), spec_.stored_output,
        part);
    CUDA_POST_KERNEL_CHECK;
    if (dbias) {
      // NOLINT_NEXT_LINE(whitespace/operators)
      AddRowSumsKernel<Dtype><<<group.num_outputs(), kSumThreads>>>(batch.size,
          part, spec_.bias_scale, GpuParts<Dtype>::Cells(group.outputs.weight),
          dbias);
      CUDA_POST_KERNEL_CHECK;
    }
    if (dweight) {
      const Dtype* sum = SumWeightGradient(batch, x, part, !first);
      if (last) {
        GpuParts<Dtype>::Scatter(sum, group.outputs.weight, group.inputs.weight,
            true, num_columns(), dweight);
      }
    }
    if (dx) {
      InputGradient(batch, part, dx);
    }
  });
}

template <typename Dtype>
const Dtype* ConvolutionProduct<Dtype>::SumWeightGradient(
    const Batch& batch, const Dtype* x, const Dtype* dy, bool accumulate) {
  const Group& group = *batch.group;
  const int rows = group.num_outputs() / convolution_groups_;
  const int columns = group.num_columns();
  const Dtype* x_columns = Columns(batch, x);
  Dtype* sum = GpuParts<Dtype>::Grow(&dweight_, group.weight_size());
  for (int c = 0; c < convolution_groups_; ++c) {
    GpuParts<Dtype>::Gemm(CblasNoTrans, CblasTrans, rows, columns, batch.size,
        spec_.scale, dy + static_cast<size_t>(c) * rows * batch.size,
        batch.size, x_columns + static_cast<size_t>(c) * columns * batch.size,
        batch.size, accumulate ? 1 : 0,
        sum + static_cast<size_t>(c) * rows * columns, columns);
  }
  return sum;
}

template <typename Dtype>
void ConvolutionProduct<Dtype>::InputGradient(
    const Batch& batch, const Dtype* dy, Dtype* dx) {
  const Group& group = *batch.group;
  const int rows = group.num_outputs() / convolution_groups_;
  const int num_columns_kept = group.num_columns();
  Dtype* columns = Columns(batch, NULL);
  for (int c = 0; c < convolution_groups_; ++c) {
    GpuParts<Dtype>::Gemm(CblasTrans, CblasNoTrans, num_columns_kept,
        batch.size, rows, spec_.scale,
        batch.weight.data + static_cast<size_t>(c) * rows * batch.weight.stride,
        batch.weight.stride, dy + static_cast<size_t>(c) * rows * batch.size,
        batch.size, 0,
        columns + static_cast<size_t>(c) * num_columns_kept * batch.size,
        batch.size);
  }
  const size_t image_size =
      static_cast<size_t>(spec_.stored_input) * shape_.input_size();
  const int count = batch.num_images * image_size;
  const BatchSizes sizes = {shape_, spec_.stored_input, batch.num_images};
  // NOLINT_NEXT_LINE(whitespace/operators)
  InputGradientKernel<Dtype>
      <<<CAFFE_GET_BLOCKS(count), CAFFE_CUDA_NUM_THREADS>>>(
          count, sizes, columns, dx + batch.first_image * image_size);
  CUDA_POST_KERNEL_CHECK;
}

#define INSTANTIATE_GPU(Dtype)                                            \
  template void ConvolutionProduct<Dtype>::PackWeights_gpu(const Dtype*); \
  template void ConvolutionProduct<Dtype>::Forward_gpu(                   \
      const Dtype*, const Dtype*, Dtype*);                                \
  template void ConvolutionProduct<Dtype>::Backward_gpu(                  \
      const Dtype*, const Dtype*, Dtype*, Dtype*, Dtype*)

INSTANTIATE_GPU(float);
INSTANTIATE_GPU(double);

}  // namespace caffe
