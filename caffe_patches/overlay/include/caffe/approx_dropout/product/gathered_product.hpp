#ifndef CAFFE_APPROX_DROPOUT_PRODUCT_GATHERED_PRODUCT_HPP_
#define CAFFE_APPROX_DROPOUT_PRODUCT_GATHERED_PRODUCT_HPP_

#include "caffe/approx_dropout/math/packed_gemm.hpp"
#include "caffe/approx_dropout/product/gather_scatter.hpp"
#include "caffe/approx_dropout/product/kept_product.hpp"

namespace caffe {

// The steps of KeptProduct, for kept_product.cpp and kept_product.cu, which
// differ in Parts only: CpuParts or GpuParts. The latter for a product of one
// block; BatchedProduct does the others.

/// @brief f(first) ... f(last - 1), in parallel if `parallel_blocks`. Not by an
///        if clause: inside a region of one thread, BLAS's own regions would
///        start their threads anew each time.
template <typename Function>
void ForEachBlock(int first, int last, bool parallel_blocks,
    const Function& f) {
  if (!parallel_blocks) {
    for (int b = first; b < last; ++b) { f(b); }
    return;
  }
#pragma omp parallel for schedule(dynamic)
  for (int b = first; b < last; ++b) { f(b); }
}

template <typename Dtype>
template <typename Parts>
void KeptProduct<Dtype>::PackWeights(const Dtype* weight) {
  weight_ = weight;
  typename Parts::Lazy* lazy = Parts::LazyOf(lazy_);
  scratch_.resize(Parts::MaxThreads());
  size_t size = 0;
  for (size_t b = 0; b < blocks_.size(); ++b) {
    if (!tiled_ && !views_weight(blocks_[b])) {
      size += static_cast<size_t>(blocks_[b].output_weight.size())
          * blocks_[b].input_weight.size();
    }
  }
  Dtype* packed = size ? Parts::Grow(&packed_, size) : NULL;
  for (size_t b = 0; !tiled_ && b < blocks_.size(); ++b) {
    Block& block = blocks_[b];
    if (views_weight(block)) {
      if (lazy) { lazy->CatchUp(Parts::Cells(block.output_weight)); }
      continue;
    }
    block.weight = packed;
    block.weight_stride = block.input_weight.size();
    if (lazy) {
      lazy->CatchUp(Parts::Cells(block.output_weight),
          Parts::Cells(block.input_weight), packed);
    } else {
      Parts::Gather(weight, num_input_, block.output_weight,
          block.input_weight, packed);
    }
    packed += static_cast<size_t>(block.output_weight.size())
        * block.input_weight.size();
  }
}

template <typename Dtype>
template <typename Parts>
PartView<const Dtype> KeptProduct<Dtype>::Weight(const Block& block,
    Scratch* scratch) const {
  if (block.weight) {
    const PartView<const Dtype> view = { block.weight, block.weight_stride };
    return view;
  }
  return ViewPart<Parts>(weight_, num_input_, block.output_weight,
      block.input_weight, &scratch->weight);
}

template <typename Dtype>
template <typename Parts>
void KeptProduct<Dtype>::Forward(int outer, const Dtype* x, const Dtype* bias,
    bool accumulate, Dtype* y) {
  CHECK(!(accumulate && bias)) << "A product that is added to takes no bias";
  if (!covers_output_ && !accumulate) {
    Parts::SetZero(static_cast<size_t>(outer) * num_samples_ * stored_output_,
        y);
  }
  const bool parallel_blocks = Parts::kParallelBlocks && !for_steps_
      && blocks_a_group_ > 1;
  ForEachBlock(0, blocks_.size(), parallel_blocks, [&](int b) {
    ForwardBlock<Parts>(blocks_[b], outer, x, bias, accumulate, y,
        &scratch_[Parts::Thread()]);
  });
}

template <typename Dtype>
template <typename Parts>
void KeptProduct<Dtype>::ForwardBlock(const Block& block, int outer,
    const Dtype* x, const Dtype* bias, bool accumulate, Dtype* y,
    Scratch* scratch) {
  const int num_output = block.output_weight.size();
  if (num_output == 0) { return; }
  const IndexList rows = Rows(outer, block);
  const PartView<const Dtype> x_part = ViewPart<Parts>(x, stored_input_,
      rows, block.input_stored, &scratch->x);
  const bool direct = rows.stride > 0 && block.output_stored.contiguous();
  PartView<Dtype> y_part = { y + block.output_stored.first()
      + static_cast<size_t>(rows.first()) * stored_output_,
      rows.stride * stored_output_ };
  if (!direct) {
    y_part.data = Parts::Grow(&scratch->y,
        static_cast<size_t>(rows.size()) * num_output);
    y_part.stride = num_output;
  }
  if (bias) {
    Parts::FillRows(bias, bias_scale_, block.output_weight, rows.size(),
        y_part);
  }
  const bool add = bias || (accumulate && direct);
  const PartView<const Dtype> weight = Weight<Parts>(block, scratch);
  if (for_steps_) {
    packed_gemm(rows.size(), num_output, block.input_weight.size(), scale_,
        x_part.data, x_part.stride, weight.data, add, y_part.data,
        y_part.stride);
  } else {
    Parts::Gemm(CblasNoTrans, CblasTrans, rows.size(), num_output,
        block.input_weight.size(), scale_, x_part.data, x_part.stride,
        weight.data, weight.stride, add ? 1 : 0, y_part.data, y_part.stride);
  }
  if (!direct) {
    Parts::Scatter(y_part.data, rows, block.output_stored, accumulate,
        stored_output_, y);
  }
}

template <typename Dtype>
template <typename Parts>
void KeptProduct<Dtype>::Backward(int outer, const Dtype* x, const Dtype* dy,
    Dtype* dx, Dtype* dweight, Dtype* dbias) {
  const bool parallel_blocks = Parts::kParallelBlocks && !for_steps_
      && blocks_a_group_ > 1;
  const int num_blocks = blocks_.size();
  // Groups add up in the same weights, so one comes after the other.
  for (int first = 0; first < num_blocks; first += blocks_a_group_) {
    overwrites_tiles_ = tiled_ && dweight
        && Parts::TakeTiles(Parts::LazyOf(lazy_), output_pattern_.of_sample(
            blocks_[first].first_sample, num_samples_));
    ForEachBlock(first, first + blocks_a_group_, parallel_blocks, [&](int b) {
      BackwardBlock<Parts>(blocks_[b], outer, x, dy, tiled_ ? NULL : dx,
          dweight, dbias, &scratch_[Parts::Thread()]);
    });
  }
  if (!dx || !tiled_) { return; }
  ForEachBlock(0, tiled_gradient_blocks_.size(), parallel_blocks, [&](int b) {
    BackwardBlock<Parts>(tiled_gradient_blocks_[b], outer, x, dy, dx, NULL,
        NULL, &scratch_[Parts::Thread()]);
  });
}

template <typename Dtype>
template <typename Parts>
void KeptProduct<Dtype>::BackwardBlock(const Block& block, int outer,
    const Dtype* x, const Dtype* dy, Dtype* dx, Dtype* dweight, Dtype* dbias,
    Scratch* scratch) {
  const IndexList rows = Rows(outer, block);
  const PartView<const Dtype> dy_part = ViewPart<Parts>(dy, stored_output_,
      rows, block.output_stored, &scratch->y);
  const bool has_output = block.output_weight.size() > 0;
  const bool has_input = block.input_weight.size() > 0;
  if (dbias && has_output) {
    Parts::AddColumnSums(dy_part, rows.size(), bias_scale_,
        block.output_weight, dbias);
  }
  if (dweight && has_output && has_input) {
    AddWeightGradient<Parts>(block, rows, x, dy_part, dweight, scratch);
  }
  if (dx && has_input) {
    InputGradient<Parts>(block, rows, dy_part, dx, scratch);
  }
}

template <typename Dtype>
template <typename Parts>
void KeptProduct<Dtype>::AddWeightGradient(const Block& block,
    const IndexList& rows, const Dtype* x, const PartView<const Dtype>& dy,
    Dtype* dweight, Scratch* scratch) {
  const int num_output = block.output_weight.size();
  const int num_input = block.input_weight.size();
  const PartView<const Dtype> x_part = ViewPart<Parts>(x, stored_input_, rows,
      block.input_stored, &scratch->x);
  typename Parts::Lazy* lazy = tiled_ ? NULL : Parts::LazyOf(lazy_);
  const bool direct = views_weight(block);
  Dtype* part;
  bool overwrite = overwrites_tiles_;
  if (direct) {
    part = dweight + block.input_weight.first()
        + static_cast<size_t>(block.output_weight.first()) * num_input_;
    if (lazy) {
      overwrite = lazy->ClaimGradient(Parts::Cells(block.output_weight))
          == Claim::OVERWRITE;
    }
    // Whole rows must be written; those that a compact input cuts are not.
    if (lazy && overwrite && num_input < num_input_) {
      lazy->ClearGradient(Parts::Cells(block.output_weight));
      overwrite = false;
    }
  } else {
    part = Parts::Grow(&scratch->weight,
        static_cast<size_t>(num_output) * num_input);
  }
  Parts::Gemm(CblasTrans, CblasNoTrans, num_output, num_input, rows.size(),
      scale_, dy.data, dy.stride, x_part.data, x_part.stride,
      direct && !overwrite ? 1 : 0, part,
      direct ? block.output_weight.stride * num_input_ : num_input);
  if (!direct && lazy) {
    lazy->AddGradient(Parts::Cells(block.output_weight),
        Parts::Cells(block.input_weight), part);
  } else if (!direct) {
    Parts::Scatter(part, block.output_weight, block.input_weight, !overwrite,
        num_input_, dweight);
  }
}

template <typename Dtype>
template <typename Parts>
void KeptProduct<Dtype>::InputGradient(const Block& block,
    const IndexList& rows, const PartView<const Dtype>& dy, Dtype* dx,
    Scratch* scratch) {
  const int num_output = block.output_weight.size();
  const int num_input = block.input_weight.size();
  const bool direct = rows.stride > 0 && block.input_stored.contiguous();
  Dtype* part = direct ? dx + block.input_stored.first()
      + static_cast<size_t>(rows.first()) * stored_input_
      : Parts::Grow(&scratch->x, static_cast<size_t>(rows.size()) * num_input);
  const int part_stride = direct ? rows.stride * stored_input_ : num_input;
  const PartView<const Dtype> weight = Weight<Parts>(block, scratch);
  if (for_steps_) {
    packed_gemm(rows.size(), num_input, num_output, scale_, dy.data,
        dy.stride, weight.data, false, part, part_stride);
  } else {
    Parts::Gemm(CblasNoTrans, CblasNoTrans, rows.size(), num_input,
        num_output, scale_, dy.data, dy.stride, weight.data, weight.stride, 0,
        part, part_stride);
  }
  if (!direct) {
    Parts::Scatter(part, rows, block.input_stored, false, stored_input_, dx);
  }
}

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_PRODUCT_GATHERED_PRODUCT_HPP_
