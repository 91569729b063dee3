#include <algorithm>
#include <vector>

#include "caffe/approx_dropout/math/panels.hpp"
#include "caffe/approx_dropout/math/parallel.hpp"
#include "caffe/approx_dropout/product/convolution_product.hpp"
#include "caffe/approx_dropout/product/gather_scatter.hpp"

// ConvolutionProduct's passes on the CPU, chunk by chunk.

namespace caffe {

namespace {

// Outputs per channel that are multiplied at a time, about: enough for the
// BLAS to be fast, few enough that their columns stay in L2.
const int kChunkOutputs = 256;

}  // namespace

template <typename Dtype>
typename ConvolutionProduct<Dtype>::Chunk ConvolutionProduct<Dtype>::NextChunk(
    int image, int row, int end) const {
  const int height = shape_.height.output();
  const int size = spec_.group_size();
  Chunk chunk = {image / size, image, 1, {row, height - row}};
  const int parts = (shape_.output_size() + kChunkOutputs - 1) / kChunkOutputs;
  if (parts > 1) {
    // As many rows in all parts, but for the last.
    const int rows = (height + parts - 1) / parts;
    chunk.rows.count = std::min(rows, height - row);
  } else {
    chunk.num_images = std::min(kChunkOutputs / shape_.output_size(),
        std::min(end, (chunk.group + 1) * size) - image);
  }
  return chunk;
}

template <typename Dtype>
template <typename Function>
void ConvolutionProduct<Dtype>::ForEachChunk(const Function& f) {
  const int num_images = spec_.num_samples;
  const int num_workers = workers_.size();
  const auto work = [&](int t) {
    const int end = (t + 1) * num_images / num_workers;
    for (int image = t * num_images / num_workers; image < end;) {
      const Chunk first = NextChunk(image, 0, end);
      f(first, &workers_[t]);
      for (int row = first.rows.count; row < shape_.height.output();) {
        const Chunk chunk = NextChunk(image, row, end);
        f(chunk, &workers_[t]);
        row += chunk.rows.count;
      }
      image += first.num_images;
    }
  };
  // Outside of a parallel region the BLAS has threads of its own.
  if (num_workers == 1) {
    return work(0);
  }
#pragma omp parallel for schedule(static, 1)
  for (int t = 0; t < num_workers; ++t) {
    work(t);
  }
}

template <typename Dtype>
void ConvolutionProduct<Dtype>::FillColumns(
    const Chunk& chunk, const Dtype* x, Worker* worker) const {
  const int stride = chunk_outputs(chunk);
  const int width = stride / chunk.num_images;
  const size_t image_size =
      static_cast<size_t>(spec_.stored_input) * shape_.input_size();
  GrowTo(
      static_cast<size_t>(spec_.stored_input) * shape_.kernel_size() * stride,
      &worker->columns);
  for (int i = 0; i < chunk.num_images; ++i) {
    ImageToColumns(shape_, spec_.stored_input,
        x + (chunk.first_image + i) * image_size, chunk.rows, stride,
        worker->columns.data() + i * width);
  }
}

template <typename Dtype>
void ConvolutionProduct<Dtype>::Forward_cpu(
    const Dtype* x, const Dtype* bias, Dtype* y) {
  ForEachChunk([&](const Chunk& chunk, Worker* worker) {
    ForwardChunk(chunk, x, bias, y, worker);
  });
}

template <typename Dtype>
void ConvolutionProduct<Dtype>::ForwardChunk(const Chunk& chunk, const Dtype* x,
    const Dtype* bias, Dtype* y, Worker* worker) const {
  const Group& group = groups_[chunk.group];
  const PartView<const Dtype> weight = Weight(chunk.group, worker);
  const int size = chunk_outputs(chunk);
  const int rows = group.num_outputs() / convolution_groups_;
  const int columns = group.num_columns();
  FillColumns(chunk, x, worker);
  GrowTo(static_cast<size_t>(group.num_outputs()) * size, &worker->outputs);
  const PartView<Dtype> outputs =
      is_stored(chunk) ? View(y + Offset(chunk, 0), shape_.output_size())
                       : View(worker->outputs.data(), size);
  for (int o = 0; o < group.num_outputs(); ++o) {
    const int output = group.outputs.weight.index[o];
    std::fill_n(outputs.data + static_cast<size_t>(o) * outputs.stride, size,
        bias ? spec_.bias_scale * bias[output] : Dtype(0));
  }
  for (int c = 0; c < convolution_groups_; ++c) {
    const size_t first = static_cast<size_t>(c) * rows;
    CpuParts<Dtype>::Gemm(CblasNoTrans, CblasNoTrans, rows, size, columns,
        spec_.scale, weight.data + first * weight.stride, weight.stride,
        worker->columns.data() + static_cast<size_t>(c) * columns * size, size,
        1, outputs.data + first * outputs.stride, outputs.stride);
  }
  if (!is_stored(chunk)) {
    StoreOutputs(chunk, y, worker);
  }
}

template <typename Dtype>
void ConvolutionProduct<Dtype>::StoreOutputs(
    const Chunk& chunk, Dtype* y, Worker* worker) const {
  const IndexList& channels = groups_[chunk.group].outputs.stored;
  const int size = chunk_outputs(chunk);
  const int width = size / chunk.num_images;
  for (int i = 0; i < chunk.num_images; ++i) {
    Dtype* image = y + Offset(chunk, i);
    if (chunk.rows.first == 0 && !spec_.covers_output()) {
      std::fill_n(image, spec_.stored_output * shape_.output_size(), Dtype(0));
    }
    for (int c = 0; c < channels.size(); ++c) {
      const Dtype* from = worker->outputs.data() + c * size + i * width;
      std::copy(
          from, from + width, image + channels.index[c] * shape_.output_size());
    }
  }
}

template <typename Dtype>
size_t ConvolutionProduct<Dtype>::Offset(const Chunk& chunk, int i) const {
  return static_cast<size_t>(chunk.first_image + i) * spec_.stored_output *
             shape_.output_size() +
         chunk.rows.first * shape_.width.output();
}

template <typename Dtype>
void ConvolutionProduct<Dtype>::Backward_cpu(
    const Dtype* x, const Dtype* dy, Dtype* dx, Dtype* dweight, Dtype* dbias) {
  for (size_t t = 0; t < workers_.size(); ++t) {
    workers_[t].summed_group = -1;
    workers_[t].bias_sum.assign(dbias ? spec_.num_output : 0, Dtype(0));
    workers_[t].weight_sum.assign(
        groups_.size() == 1 || !dweight
            ? 0
            : static_cast<size_t>(union_rows_.size()) * union_columns_.size(),
        Dtype(0));
  }
  ForEachChunk([&](const Chunk& chunk, Worker* worker) {
    const PartView<const Dtype> gradient = OutputGradient(chunk, dy, worker);
    if (dbias) {
      SumRows(chunk, gradient, worker);
    }
    if (dweight) {
      FillColumns(chunk, x, worker);
      AddWeightGradient(chunk, gradient, worker);
    }
    if (dx) {
      InputGradient(chunk, gradient, dx, worker);
    }
  });
  if (dbias) {
    AddBiasGradient(dbias);
  }
  if (dweight) {
    AddWeightGradients(dweight);
  }
}

template <typename Dtype>
PartView<const Dtype> ConvolutionProduct<Dtype>::OutputGradient(
    const Chunk& chunk, const Dtype* dy, Worker* worker) const {
  if (is_stored(chunk)) {
    return View(dy + Offset(chunk, 0), shape_.output_size());
  }
  const IndexList& channels = groups_[chunk.group].outputs.stored;
  const int size = chunk_outputs(chunk);
  const int width = size / chunk.num_images;
  GrowTo(static_cast<size_t>(channels.size()) * size, &worker->outputs);
  for (int c = 0; c < channels.size(); ++c) {
    for (int i = 0; i < chunk.num_images; ++i) {
      const Dtype* from =
          dy + Offset(chunk, i) + channels.index[c] * shape_.output_size();
      std::copy(
          from, from + width, worker->outputs.data() + c * size + i * width);
    }
  }
  return View<const Dtype>(worker->outputs.data(), size);
}

template <typename Dtype>
void ConvolutionProduct<Dtype>::SumRows(const Chunk& chunk,
    const PartView<const Dtype>& gradient, Worker* worker) const {
  const IndexList& outputs = groups_[chunk.group].outputs.weight;
  const int size = chunk_outputs(chunk);
  for (int o = 0; o < outputs.size(); ++o) {
    const Dtype* row = gradient.data + static_cast<size_t>(o) * gradient.stride;
    Dtype sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int j = 0; j < size; ++j) {
      sum += row[j];
    }
    worker->bias_sum[outputs.index[o]] += spec_.bias_scale * sum;
  }
}

template <typename Dtype>
void ConvolutionProduct<Dtype>::AddWeightGradient(const Chunk& chunk,
    const PartView<const Dtype>& gradient, Worker* worker) const {
  const Group& group = groups_[chunk.group];
  const int size = chunk_outputs(chunk);
  const int rows = group.num_outputs() / convolution_groups_;
  const int columns = group.num_columns();
  if (worker->summed_group != chunk.group) {
    SumGroup(worker);
    GrowTo(group.weight_size(), &worker->dweight);
  }
  for (int c = 0; c < convolution_groups_; ++c) {
    const size_t first = static_cast<size_t>(c) * rows;
    CpuParts<Dtype>::Gemm(CblasNoTrans, CblasTrans, rows, columns, size,
        spec_.scale, gradient.data + first * gradient.stride, gradient.stride,
        worker->columns.data() + static_cast<size_t>(c) * columns * size, size,
        worker->summed_group == chunk.group ? 1 : 0,
        worker->dweight.data() + first * columns, columns);
  }
  worker->summed_group = chunk.group;
}

template <typename Dtype>
void ConvolutionProduct<Dtype>::InputGradient(const Chunk& chunk,
    const PartView<const Dtype>& gradient, Dtype* dx, Worker* worker) const {
  const Group& group = groups_[chunk.group];
  const PartView<const Dtype> weight = Weight(chunk.group, worker);
  const int size = chunk_outputs(chunk);
  const int rows = group.num_outputs() / convolution_groups_;
  const int columns = group.num_columns();
  GrowTo(static_cast<size_t>(columns) * convolution_groups_ * size,
      &worker->columns);
  for (int c = 0; c < convolution_groups_; ++c) {
    const size_t first = static_cast<size_t>(c) * rows;
    CpuParts<Dtype>::Gemm(CblasTrans, CblasNoTrans, columns, size, rows,
        spec_.scale, weight.data + first * weight.stride, weight.stride,
        gradient.data + first * gradient.stride, gradient.stride, 0,
        worker->columns.data() + static_cast<size_t>(c) * columns * size, size);
  }
  const size_t image_size =
      static_cast<size_t>(spec_.stored_input) * shape_.input_size();
  for (int i = 0; i < chunk.num_images; ++i) {
    Dtype* image = dx + (chunk.first_image + i) * image_size;
    if (chunk.rows.first == 0) {
      std::fill_n(image, image_size, Dtype(0));
    }
    AddColumnsToImage(shape_, spec_.stored_input, chunk.rows, size,
        worker->columns.data() + i * (size / chunk.num_images), image);
  }
}

template <typename Dtype>
void ConvolutionProduct<Dtype>::SumGroup(Worker* worker) const {
  if (groups_.size() == 1 || worker->summed_group < 0) {
    return;
  }
  const Group& group = groups_[worker->summed_group];
  CpuParts<Dtype>::Scatter(worker->dweight.data(), group.union_rows,
      group.union_columns, true, union_columns_.size(),
      worker->weight_sum.data());
}

template <typename Dtype>
void ConvolutionProduct<Dtype>::AddBiasGradient(Dtype* dbias) const {
  for (size_t t = 0; t < workers_.size(); ++t) {
    for (int o = 0; o < spec_.num_output; ++o) {
      dbias[o] += workers_[t].bias_sum[o];
    }
  }
}

template <typename Dtype>
void ConvolutionProduct<Dtype>::AddWeightGradients(Dtype* dweight) {
  const bool one_group = groups_.size() == 1;
  const int num_rows = union_rows_.size();
  const int num_columns_kept = union_columns_.size();
  Dtype* sum = NULL;
  for (size_t t = 0; t < workers_.size(); ++t) {
    SumGroup(&workers_[t]);
    Dtype* more =
        one_group ? workers_[t].dweight.data() : workers_[t].weight_sum.data();
    if (t == 0) {
      sum = more;
      continue;
    }
#pragma omp parallel for if (num_rows * num_columns_kept > kParallelElements)
    for (int i = 0; i < num_rows; ++i) {
      const size_t begin = static_cast<size_t>(i) * num_columns_kept;
      for (int j = 0; j < num_columns_kept; ++j) {
        sum[begin + j] += more[begin + j];
      }
    }
  }
  if (spec_.lazy) {
    spec_.lazy->AddGradient(union_rows_.index, union_columns_.index, sum);
  } else {
    CpuParts<Dtype>::Scatter(
        sum, union_rows_, union_columns_, true, num_columns(), dweight);
  }
}

#define INSTANTIATE_PASSES(Dtype)                        \
  template void ConvolutionProduct<Dtype>::Forward_cpu(  \
      const Dtype*, const Dtype*, Dtype*);               \
  template void ConvolutionProduct<Dtype>::Backward_cpu( \
      const Dtype*, const Dtype*, Dtype*, Dtype*, Dtype*)

INSTANTIATE_PASSES(float);
INSTANTIATE_PASSES(double);

}  // namespace caffe
