#include "caffe/approx_dropout/ranks/device_sums.hpp"

#ifdef USE_NCCL
#include "caffe/util/math_functions.hpp"
#include "caffe/util/nccl.hpp"
#endif

namespace caffe {

#ifdef USE_NCCL
namespace {

class NCCLSums : public DeviceSums {
 public:
  explicit NCCLSums(Ranks* ranks) {
    ncclUniqueId id;
    if (ranks->rank() == 0) {
      NCCL_CHECK(ncclGetUniqueId(&id));
    }
    ranks->Broadcast(&id, sizeof(id));
    NCCL_CHECK(ncclCommInitRank(&comm_, ranks->size(), id, ranks->rank()));
    CUDA_CHECK(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
    CUDA_CHECK(cudaEventCreate(&reached_));
  }
  virtual ~NCCLSums() {
    cudaEventDestroy(reached_);
    cudaStreamDestroy(stream_);
    ncclCommDestroy(comm_);
  }

  virtual void Start(float scale, float* values, int count) {
    StartSum(scale, values, count);
  }
  virtual void Start(double scale, double* values, int count) {
    StartSum(scale, values, count);
  }
  virtual void Wait() { Order(stream_, cudaStreamDefault); }

 private:
  template <typename Dtype>
  void StartSum(Dtype scale, Dtype* values, int count) {
    caffe_gpu_scal(count, scale, values);
    Order(cudaStreamDefault, stream_);
    NCCL_CHECK(ncclAllReduce(values, values, count, nccl::dataType<Dtype>::type,
        ncclSum, comm_, stream_));
  }
  // What `after` is given from now on waits for what `before` has been given.
  void Order(cudaStream_t before, cudaStream_t after) {
    CUDA_CHECK(cudaEventRecord(reached_, before));
    CUDA_CHECK(cudaStreamWaitEvent(after, reached_, 0));
  }

  ncclComm_t comm_;
  cudaStream_t stream_;
  cudaEvent_t reached_;
};

}  // namespace

shared_ptr<DeviceSums> DeviceSums::Make(Ranks* ranks) {
  return shared_ptr<DeviceSums>(
      Caffe::mode() == Caffe::GPU ? new NCCLSums(ranks) : NULL);
}

#else

shared_ptr<DeviceSums> DeviceSums::Make(Ranks*) {
  return shared_ptr<DeviceSums>();
}

#endif  // USE_NCCL

}  // namespace caffe
