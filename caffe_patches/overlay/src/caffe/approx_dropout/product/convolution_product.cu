#include <algorithm>
#include <vector>

#include "caffe/approx_dropout/product/convolution_product.hpp"
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

// Channels of y that a group of images keeps.
struct KeptChannels {
  BlockList rows, channels;  // of W, of y
  int group;
  int stored;  // channels of y
};

// Where the element i of a part is in y.
__device__ inline size_t OutputOffset(
    int i, int size, int outputs, const KeptChannels& kept) {
  const size_t image = i % size / outputs;
  return (image * kept.stored + kept.channels(kept.group, i / size)) * outputs +
         i % outputs;
}

// y = part + scale * bias, bias NULL for none. One thread per element of part,
// `count` of them, rows of `size`; other channels of y are left alone.
template <typename Dtype>
__global__ void StoreKernel(int count, int size, int outputs, const Dtype* part,
    const Dtype* bias, Dtype scale, KeptChannels kept, Dtype* y) {
  CUDA_KERNEL_LOOP(i, count) {
    const Dtype b =
        bias ? scale * bias[kept.rows(kept.group, i / size)] : Dtype(0);
    y[OutputOffset(i, size, outputs, kept)] = part[i] + b;
  }
}

// part = dy of the kept channels. One thread per element of part, `count` of
// them, rows of `size`; all are overwritten.
template <typename Dtype>
__global__ void LoadKernel(int count, int size, int outputs, const Dtype* dy,
    KeptChannels kept, Dtype* part) {
  CUDA_KERNEL_LOOP(i, count) {
    part[i] = dy[OutputOffset(i, size, outputs, kept)];
  }
}

// sums[rows(i)] += scale * the sum of the i-th row of part, `size` elements.
// One block of kSumThreads per row.
template <typename Dtype>
__global__ void AddRowSumsKernel(
    int size, const Dtype* part, Dtype scale, KeptChannels kept, Dtype* sums) {
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
    sums[kept.rows(kept.group, blockIdx.x)] += scale * partial[0];
  }
}

template <typename Dtype>
KeptChannels ChannelsOf(
    const DeviceBlocks<Dtype>& blocks, int group, int stored) {
  const BlockSide& output = blocks.blocks().output;
  const KeptChannels kept = {
      blocks.Units(output), blocks.Stored(output), group, stored};
  return kept;
}

// That of one block.
template <typename Dtype>
PartView<Dtype> MatrixOf(const MatrixBatch<Dtype>& matrices, int block) {
  return View(matrices.data + block * matrices.distance, matrices.stride);
}

}  // namespace

template <typename Dtype>
void ConvolutionProduct<Dtype>::PackWeights_gpu(const Dtype* weight) {
  weight_spec_ = spec_;
  weight_spec_.num_input = weight_spec_.stored_input = num_columns();
  weight_spec_.input_width = shape_.kernel_size();
  weight_spec_.compact_input = false;
  weight_spec_.lazy = NULL;
  device_blocks_.Pack(weight_spec_, weight);
}

template <typename Dtype>
template <typename Function>
void ConvolutionProduct<Dtype>::ForEachBatch(const Function& f) const {
  const size_t columns = static_cast<size_t>(spec_.stored_input) *
                         shape_.kernel_size() * shape_.output_size();
  const int size = spec_.group_size();
  const int at_once =
      std::min<size_t>(size, std::max<size_t>(1, kDeviceColumns / columns));
  for (int g = 0; g < spec_.num_groups(); ++g) {
    for (int first = 0; first < size; first += at_once) {
      const int images = std::min(at_once, size - first);
      const Batch batch = {
          g, g * size + first, images, images * shape_.output_size()};
      f(batch, first == 0);
    }
  }
}

template <typename Dtype>
Dtype* ConvolutionProduct<Dtype>::Columns(const Batch& batch, const Dtype* x) {
  const size_t count = static_cast<size_t>(spec_.stored_input) *
                       shape_.kernel_size() * batch.size;
  Dtype* columns = GrowOnDevice(count, &columns_);
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

// As one batch: the groups' rows follow each other.
template <typename Dtype>
void ConvolutionProduct<Dtype>::MultiplyGroups(CBLAS_TRANSPOSE trans_a,
    CBLAS_TRANSPOSE trans_b, int M, int N, int K,
    const PartView<const Dtype>& A, const PartView<const Dtype>& B, Dtype beta,
    const PartView<Dtype>& C) {
  typedef long long Distance;  // NOLINT(runtime/int)
  const MatrixBatch<const Dtype> a = {A.data, A.stride,
      static_cast<Distance>(trans_a == CblasNoTrans ? M : K) * A.stride};
  const MatrixBatch<const Dtype> b = {B.data, B.stride,
      static_cast<Distance>(trans_b == CblasNoTrans ? K : N) * B.stride};
  const MatrixBatch<Dtype> c = {
      C.data, C.stride, static_cast<Distance>(M) * C.stride};
  DeviceGemm(trans_a, trans_b, M, N, K, spec_.scale, a, b, beta, c,
      convolution_groups_);
}

template <typename Dtype>
void ConvolutionProduct<Dtype>::Forward_gpu(
    const Dtype* x, const Dtype* bias, Dtype* y) {
  const int outputs = shape_.output_size();
  const size_t image_size = static_cast<size_t>(spec_.stored_output) * outputs;
  if (!spec_.covers_output()) {
    caffe_gpu_memset(spec_.num_samples * image_size * sizeof(Dtype), 0, y);
  }
  ForEachBatch([&](const Batch& batch, bool) {
    const int rows = num_kept_outputs(batch.group);
    const int count = rows * convolution_groups_ * batch.size;
    const Dtype* columns = Columns(batch, x);
    Dtype* part = GrowOnDevice(count, &outputs_);
    MultiplyGroups(CblasNoTrans, CblasNoTrans, rows, batch.size,
        num_kept_columns(), MatrixOf(device_blocks_.weight(), batch.group),
        View(columns, batch.size), 0, View(part, batch.size));
    // NOLINT_NEXT_LINE(whitespace/operators)
    StoreKernel<Dtype><<<CAFFE_GET_BLOCKS(count), CAFFE_CUDA_NUM_THREADS>>>(
        count, batch.size, outputs, part, bias, spec_.bias_scale,
        ChannelsOf(device_blocks_, batch.group, spec_.stored_output),
        y + batch.first_image * image_size);
    CUDA_POST_KERNEL_CHECK;
  });
}

template <typename Dtype>
void ConvolutionProduct<Dtype>::Backward_gpu(
    const Dtype* x, const Dtype* dy, Dtype* dx, Dtype* dweight, Dtype* dbias) {
  const int outputs = shape_.output_size();
  const size_t image_size = static_cast<size_t>(spec_.stored_output) * outputs;
  MatrixBatch<Dtype> gradient = {};
  Dtype beta = 0;
  if (dweight) {
    gradient = device_blocks_.Gradient(dweight, &beta);
  }
  ForEachBatch([&](const Batch& batch, bool first) {
    const int rows = num_kept_outputs(batch.group);
    const int count = rows * convolution_groups_ * batch.size;
    Dtype* part = GrowOnDevice(count, &outputs_);
    // NOLINT_NEXT_LINE(whitespace/operators)
    LoadKernel<Dtype><<<CAFFE_GET_BLOCKS(count), CAFFE_CUDA_NUM_THREADS>>>(
        count, batch.size, outputs, dy + batch.first_image * image_size,
        ChannelsOf(device_blocks_, batch.group, spec_.stored_output), part);
    CUDA_POST_KERNEL_CHECK;
    if (dbias) {
      AddBiasGradient(batch, part, dbias);
    }
    if (dweight) {
      const Dtype* columns = Columns(batch, x);
      MultiplyGroups(CblasNoTrans, CblasTrans, rows, num_kept_columns(),
          batch.size, View<const Dtype>(part, batch.size),
          View(columns, batch.size), first ? beta : Dtype(1),
          MatrixOf(gradient, batch.group));
    }
    if (dx) {
      InputGradient(batch, part, dx);
    }
  });
  if (dweight) {
    device_blocks_.AddGradient(gradient, dweight);
  }
}

template <typename Dtype>
void ConvolutionProduct<Dtype>::AddBiasGradient(
    const Batch& batch, const Dtype* dy, Dtype* dbias) {
  const int rows = num_kept_outputs(batch.group) * convolution_groups_;
  // NOLINT_NEXT_LINE(whitespace/operators)
  AddRowSumsKernel<Dtype><<<rows, kSumThreads>>>(batch.size, dy,
      spec_.bias_scale,
      ChannelsOf(device_blocks_, batch.group, spec_.stored_output), dbias);
  CUDA_POST_KERNEL_CHECK;
}

template <typename Dtype>
void ConvolutionProduct<Dtype>::InputGradient(
    const Batch& batch, const Dtype* dy, Dtype* dx) {
  Dtype* columns = Columns(batch, NULL);
  MultiplyGroups(CblasTrans, CblasNoTrans, num_kept_columns(), batch.size,
      num_kept_outputs(batch.group),
      MatrixOf(device_blocks_.weight(), batch.group), View(dy, batch.size), 0,
      View(columns, batch.size));
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
