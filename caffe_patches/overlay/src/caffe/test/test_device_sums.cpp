#ifdef USE_NCCL

#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "boost/thread/barrier.hpp"
#include "caffe/approx_dropout/ranks/device_sums.hpp"
#include "caffe/approx_dropout/solver/gradient_exchange.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace caffe {

namespace {

const int kRanks = 2;

// What threads that act as ranks share.
struct Meeting {
  Meeting() : barrier(kRanks), sent(), sums(2) {}
  boost::barrier barrier;
  void* sent;           // rank 0's bytes
  vector<double> sums;  // the only ones that go this way, signals' requests
};

class ThreadRanks : public Ranks {
 public:
  ThreadRanks(int rank, Meeting* meeting) : rank_(rank), meeting_(meeting) {}
  virtual int rank() const { return rank_; }
  virtual int size() const { return kRanks; }
  virtual int local_rank() const { return rank_; }
  using Ranks::Broadcast;
  virtual void Broadcast(void* data, size_t bytes) {
    if (rank_ == 0) {
      meeting_->sent = data;
    }
    meeting_->barrier.wait();
    if (rank_ != 0) {
      std::memcpy(data, meeting_->sent, bytes);
    }
    meeting_->barrier.wait();
  }
  virtual vector<string> Gather(const string&) { return vector<string>(); }
  virtual void StartSum(float* values, size_t count) { values_ += count; }
  virtual void StartSum(double* values, size_t count) { values_ += count; }
  virtual void TakeAny(vector<char>*) {}
  virtual void WaitForSums() { meeting_->barrier.wait(); }
  virtual void Abort() { ADD_FAILURE() << "Abort"; }

  size_t values() const { return values_; }  // that went by way of the host

 private:
  int rank_;
  Meeting* meeting_;
  size_t values_ = 0;
};

}  // namespace

/// @brief Threads as ranks, each with a GPU of its own.
class DeviceSumsGPUTest : public ::testing::Test {
 protected:
  virtual void SetUp() {
    int devices;
    CUDA_CHECK(cudaGetDeviceCount(&devices));
    if (devices < kRanks) {
      LOG(WARNING) << "Not tested: needs " << kRanks << " GPUs";
      enough_ = false;
    }
  }

  template <typename Body>
  void OnRanks(Body body) {
    Meeting meeting;
    vector<std::thread> threads;
    for (int rank = 0; enough_ && rank < kRanks; ++rank) {
      threads.emplace_back([rank, &meeting, &body] {
        Caffe::SetDevice(rank);
        Caffe::set_mode(Caffe::GPU);
        ThreadRanks ranks(rank, &meeting);
        body(&ranks);
      });
    }
    for (std::thread& thread : threads) {
      thread.join();
    }
  }

  // A net whose gradients depend on the rank: it has samples of its own.
  static shared_ptr<Net<float> > MakeNet(int rank) {
    NetParameter param;
    CHECK(google::protobuf::TextFormat::ParseFromString(
        "force_backward: true "
        "layer { name: 'x' type: 'DummyData' top: 'x' top: 'y' "
        "  dummy_data_param { shape { dim: 4 dim: 5 } shape { dim: 4 dim: 3 } "
        "    data_filler { type: 'gaussian' } } } "
        "layer { name: 'a' type: 'InnerProduct' bottom: 'x' top: 'a' "
        "  inner_product_param { num_output: 7 weight_filler { "
        "    type: 'constant' value: 0.3 } } } "
        "layer { name: 'b' type: 'InnerProduct' bottom: 'a' top: 'b' "
        "  inner_product_param { num_output: 3 weight_filler { "
        "    type: 'constant' value: 0.2 } } } "
        "layer { name: 'l' type: 'EuclideanLoss' bottom: 'b' bottom: 'y' }",
        &param));
    Caffe::set_random_seed(1 + rank);
    return shared_ptr<Net<float> >(new Net<float>(param));
  }

  // Those of a step of some passes, exchanged unless ranks is NULL.
  static vector<float> Gradients(int rank, int passes, Ranks* ranks) {
    const shared_ptr<Net<float> > net = MakeNet(rank);
    SolverParameter param;
    param.set_iter_size(passes);
    const shared_ptr<SGDUpdater<float> > no_updater;
    shared_ptr<GradientExchange<float> > exchange;
    if (ranks) {
      exchange.reset(
          new GradientExchange<float>(ranks, net.get(), param, &no_updater));
    }
    net->ClearParamDiffs();
    for (int pass = 0; pass < passes; ++pass) {
      net->ForwardBackward();
    }
    if (ranks) {
      exchange->Average();
    }
    vector<float> values;
    for (const Blob<float>* blob : net->learnable_params()) {
      values.insert(
          values.end(), blob->cpu_diff(), blob->cpu_diff() + blob->count());
    }
    return values;
  }

  bool enough_ = true;
};

TEST_F(DeviceSumsGPUTest, TestScaledSums) {
  OnRanks([](ThreadRanks* ranks) {
    const shared_ptr<DeviceSums> sums = DeviceSums::Make(ranks);
    ASSERT_TRUE(sums.get());
    Blob<double> blob(1, 1, 1, 9);
    for (int step = 0; step < 3; ++step) {
      for (int i = 0; i < blob.count(); ++i) {
        blob.mutable_cpu_data()[i] = i + 10 * ranks->rank() + step;
      }
      sums->Start(0.5, blob.mutable_gpu_data(), blob.count());
      sums->Wait();
      for (int i = 0; i < blob.count(); ++i) {
        EXPECT_EQ(blob.cpu_data()[i], i + 5 + step);
      }
    }
  });
}

TEST_F(DeviceSumsGPUTest, TestNoneOnTheCPU) {
  OnRanks([](ThreadRanks* ranks) {
    Caffe::set_mode(Caffe::CPU);
    EXPECT_FALSE(DeviceSums::Make(ranks).get());
  });
}

// Gradients leave while Backward goes on, from GPU to GPU, and are the mean.
TEST_F(DeviceSumsGPUTest, TestGradientExchange) {
  const int kPasses[] = {1, 2};
  for (int passes : kPasses) {
    vector<vector<float> > own(kRanks), mean(kRanks);
    OnRanks([&](ThreadRanks* ranks) {
      const int rank = ranks->rank();
      own[rank] = Gradients(rank, passes, NULL);
      mean[rank] = Gradients(rank, passes, ranks);
      EXPECT_EQ(ranks->values(), 2);  // what signals ask for
    });
    EXPECT_EQ(mean[0], mean[1]);
    EXPECT_EQ(own[0] == own[1], !enough_);
    for (size_t i = 0; i < own[0].size(); ++i) {
      EXPECT_FLOAT_EQ(mean[0][i], (own[0][i] + own[1][i]) / kRanks);
    }
  }
}

}  // namespace caffe

#endif  // USE_NCCL
