#include "caffe/approx_dropout/product/batched_product.hpp"

namespace caffe {

namespace {

template <typename Dtype>
MatrixBatch<const Dtype> Constant(const MatrixBatch<Dtype>& matrices) {
  const MatrixBatch<const Dtype> same = {
      matrices.data, matrices.stride, matrices.distance};
  return same;
}

}  // namespace

template <typename Dtype>
void BatchedProduct<Dtype>::Pack(const ProductSpec<Dtype>& spec,
    const Dtype* weight) {
  spec_ = &spec;
  gathered_x_ = NULL;
  blocks_.Pack(spec, weight);
}

// The samples of a group lie together in a time step.
template <typename Dtype>
template <typename T>
typename BatchedProduct<Dtype>::template Parts<T>
BatchedProduct<Dtype>::PlaceParts(int outer, const BlockSide& side, T* storage,
    shared_ptr<Blob<Dtype> >* buffer) const {
  const int rows = Samples(outer).size;
  Parts<T> parts;
  parts.in_place =
      blocks_.whole(side) && (outer == 1 || spec_->num_groups() == 1);
  parts.num_columns = parts.in_place ? stored(side) : side.size;
  T* data = storage;
  if (!parts.in_place) {
    data = GrowOnDevice(
        static_cast<size_t>(blocks_.count()) * rows * side.size, buffer);
  }
  parts.matrices = DenseMatrices<T>(data, rows, parts.num_columns);
  return parts;
}

template <typename Dtype>
typename BatchedProduct<Dtype>::template Parts<const Dtype>
BatchedProduct<Dtype>::PartsOf(int outer, const BlockSide& side,
    const Dtype* storage, shared_ptr<Blob<Dtype> >* buffer) const {
  const Parts<const Dtype> parts =
      PlaceParts<const Dtype>(outer, side, storage, buffer);
  if (parts.in_place) {
    return parts;
  }
  const BlockList rows = Samples(outer);
  GatherBlocks(blocks_.count(), View(storage, stored(side)), rows,
      blocks_.Stored(side), blocks_.HasAlignedStorage(side),
      DenseMatrices((*buffer)->mutable_gpu_data(), rows.size, side.size));
  return parts;
}

template <typename Dtype>
typename BatchedProduct<Dtype>::template Parts<const Dtype>
BatchedProduct<Dtype>::InputParts(int outer, const Dtype* x) {
  if (gathered_x_ == x && gathered_outer_ == outer) {
    return PlaceParts<const Dtype>(outer, input(), x, &x_);
  }
  gathered_x_ = x;
  gathered_outer_ = outer;
  return PartsOf(outer, input(), x, &x_);
}

template <typename Dtype>
void BatchedProduct<Dtype>::Multiply(int outer, const Dtype* x,
    const Dtype* bias, bool rectify, bool accumulate, Dtype* y) {
  const Parts<const Dtype> from = InputParts(outer, x);
  const Parts<Dtype> to = PlaceParts(outer, output(), y, &y_);
  const BlockList rows = Samples(outer);
  DeviceGemm(CblasNoTrans, CblasTrans, rows.size, to.num_columns,
      from.num_columns, spec_->scale, from.matrices, blocks_.weight(),
      Dtype(to.in_place && accumulate ? 1 : 0), to.matrices, blocks_.count());
  if (to.in_place && !bias && !rectify) {
    return;
  }
  const BlockList all = {NULL, to.num_columns, 1, GroupRows(), 0, 1};
  const BlockFinish<Dtype> finish = {
      bias, spec_->bias_scale, blocks_.Units(output()), rectify};
  ScatterBlocks(blocks_.count(), Constant(to.matrices), rows,
      to.in_place ? all : blocks_.Stored(output()),
      blocks_.HasAlignedStorage(output()), finish, accumulate && !to.in_place,
      View(y, spec_->stored_output));
}

template <typename Dtype>
void BatchedProduct<Dtype>::Backward(int outer, const Dtype* x,
    const Dtype* dy, Dtype* dx, Dtype* dweight, Dtype* dbias) {
  const Parts<const Dtype> from = PartsOf(outer, output(), dy, &y_);
  if (dbias) {
    blocks_.AddOutputSums(
        from.matrices, Samples(outer).size, spec_->bias_scale, dbias);
  }
  if (dweight) {
    AddWeightGradient(outer, x, from, dweight);
  }
  if (dx) {
    InputGradient(outer, from, dx);
  }
}

template <typename Dtype>
void BatchedProduct<Dtype>::AddWeightGradient(
    int outer, const Dtype* x, const Parts<const Dtype>& dy, Dtype* dweight) {
  const Parts<const Dtype> x_parts = InputParts(outer, x);
  Dtype beta;
  const MatrixBatch<Dtype> gradient = blocks_.Gradient(dweight, &beta);
  DeviceGemm(CblasTrans, CblasNoTrans, dy.num_columns, x_parts.num_columns,
      Samples(outer).size, spec_->scale, dy.matrices, x_parts.matrices, beta,
      gradient, blocks_.count());
  blocks_.AddGradient(gradient, dweight);
}

template <typename Dtype>
void BatchedProduct<Dtype>::InputGradient(
    int outer, const Parts<const Dtype>& dy, Dtype* dx) {
  const Parts<Dtype> to = PlaceParts(outer, input(), dx, &x_);
  const BlockList rows = Samples(outer);
  DeviceGemm(CblasNoTrans, CblasNoTrans, rows.size, to.num_columns,
      dy.num_columns, spec_->scale, dy.matrices, blocks_.weight(), Dtype(0),
      to.matrices, blocks_.count());
  if (to.in_place) {
    return;
  }
  gathered_x_ = NULL;
  if (input().tiled) {
    blocks_.SumInputs(Constant(to.matrices), rows, dx);
    return;
  }
  const BlockFinish<Dtype> none = { NULL, 0, rows, false };
  ScatterBlocks(blocks_.count(), Constant(to.matrices), rows,
      blocks_.Stored(input()), blocks_.HasAlignedStorage(input()), none, false,
      View(dx, spec_->stored_input));
}

INSTANTIATE_CLASS(BatchedProduct);

}  // namespace caffe
