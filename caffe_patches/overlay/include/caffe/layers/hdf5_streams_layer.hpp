#ifndef CAFFE_HDF5_STREAMS_LAYER_HPP_
#define CAFFE_HDF5_STREAMS_LAYER_HPP_

#include <vector>

#include "caffe/layers/hdf5_data_layer.hpp"

namespace caffe {

/**
 * @brief HDF5Data for sequences, where several ranks train. Each row of the
 *        files is a time step of S streams: datasets have shape (rows, S, ...).
 *        Every rank reads all rows, and of each the streams that are its own:
 *        rank r of N has streams r, r + N, r + 2N, ..., S / N of them.
 *
 * tops: shape (batch_size, S / N, ...). S must be a multiple of N.
 *
 * So a rank's hidden state goes on in the text that it belongs to, and all
 * ranks together read what one process reads. solver/deal_streams.hpp puts it
 * in HDF5Data's place; it goes on from HDF5Data's state, and the other way
 * round.
 */
template <typename Dtype>
class HDF5StreamsLayer : public HDF5DataLayer<Dtype> {
 public:
  explicit HDF5StreamsLayer(const LayerParameter& param)
      : HDF5DataLayer<Dtype>(param) {}
  virtual void LayerSetUp(
      const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top);
  virtual inline const char* type() const { return "HDF5Streams"; }
  virtual const char* state_type() const { return "HDF5Data"; }
  virtual void RestoreState(const LayerState& state) {
    this->RestorePlace(state);
  }

 protected:
  virtual void Forward_cpu(
      const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top);
  virtual void Forward_gpu(
      const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top) {
    Forward_cpu(bottom, top);
  }
};

}  // namespace caffe

#endif  // CAFFE_HDF5_STREAMS_LAYER_HPP_
