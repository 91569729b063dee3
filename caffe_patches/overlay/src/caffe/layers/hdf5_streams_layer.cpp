#include "caffe/util/use_hdf5.hpp"

#ifdef USE_HDF5
#include <vector>

#include "caffe/layers/hdf5_streams_layer.hpp"
#include "caffe/util/math_functions.hpp"

namespace caffe {

template <typename Dtype>
void HDF5StreamsLayer<Dtype>::LayerSetUp(
    const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top) {
  HDF5DataLayer<Dtype>::LayerSetUp(bottom, top);
  const int ranks = Caffe::solver_count();
  for (size_t i = 0; i < top.size(); ++i) {
    vector<int> shape = top[i]->shape();
    CHECK(shape.size() >= 2 && shape[1] % ranks == 0)
        << "HDF5Data layer '" << this->layer_param_.name() << "': rows of '"
        << this->layer_param_.top(i) << "' are time steps of a recurrent "
        << "layer, and hold " << (shape.size() < 2 ? 1 : shape[1])
        << " streams, which " << ranks << " ranks cannot share alike; their "
        << "number must be a multiple of " << ranks;
    shape[1] /= ranks;
    top[i]->Reshape(shape);
  }
}

template <typename Dtype>
void HDF5StreamsLayer<Dtype>::Forward_cpu(
    const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top) {
  const int ranks = Caffe::solver_count();
  for (int t = 0; t < top[0]->shape(0); ++t) {
    for (size_t i = 0; i < top.size(); ++i) {
      const Blob<Dtype>& file = *this->hdf_blobs_[i];
      const int size = file.count(2);  // of a stream
      const int row = this->data_permutation_[this->current_row_];
      const Dtype* from = file.cpu_data() +
                          static_cast<size_t>(row) * file.count(1) +
                          Caffe::solver_rank() * size;
      Dtype* to = top[i]->mutable_cpu_data() +
                  static_cast<size_t>(t) * top[i]->count(1);
      for (int s = 0; s < top[i]->shape(1); ++s) {
        caffe_copy(size, from + s * ranks * size, to + s * size);
      }
    }
    this->Next();
  }
}

INSTANTIATE_CLASS(HDF5StreamsLayer);
REGISTER_LAYER_CLASS(HDF5Streams);

}  // namespace caffe
#endif  // USE_HDF5
