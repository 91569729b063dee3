#include "nccl.h"

#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "counts.hpp"
#include "memory.hpp"
#include "report.hpp"

namespace {

struct Operands {
  const void* from;
  void* to;
};

// The ranks of one communicator.
class Ranks {
 public:
  explicit Ranks(int count) : operands_(count), arrived_(0), calls_(0) {}

  // What the last rank to come does with the operands of all.
  void Meet(int rank, const Operands& operands,
      const std::function<void(const std::vector<Operands>&)>& work) {
    std::unique_lock<std::mutex> lock(mutex_);
    operands_[rank] = operands;
    if (++arrived_ < operands_.size()) {
      const size_t call = calls_;
      all_came_.wait(lock, [&] { return calls_ > call; });
      return;
    }
    {
      const emulator::DeviceAccess access;
      work(operands_);
    }
    arrived_ = 0;
    ++calls_;
    all_came_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable all_came_;
  std::vector<Operands> operands_;
  size_t arrived_, calls_;
};

size_t SizeOf(ncclDataType_t type) {
  return type == ncclFloat ? sizeof(float) : sizeof(double);
}

void CheckSent(const Operands& rank, size_t bytes) {
  emulator::CheckRead(rank.from, bytes, "what NCCL sends");
}

void Receive(const Operands& rank, const void* data, size_t bytes) {
  emulator::CheckWrite(rank.to, bytes, "what NCCL receives");
  std::memmove(rank.to, data, bytes);
}

template <typename T>
void Sum(const std::vector<Operands>& all, size_t count) {
  std::vector<T> sums(count);
  for (const Operands& rank : all) {
    CheckSent(rank, count * sizeof(T));
    for (size_t i = 0; i < count; ++i) {
      sums[i] += static_cast<const T*>(rank.from)[i];
    }
  }
  for (const Operands& rank : all) {
    Receive(rank, sums.data(), count * sizeof(T));
  }
}

}  // namespace

struct EmulatedComm {
  std::shared_ptr<Ranks> ranks;
  int rank, device;

  // Whether the operands lie where the rank's device has its memory.
  bool Has(const void* from, const void* to) const {
    return emulator::IsDevice(from) && emulator::IsDevice(to) &&
           emulator::DeviceOf(from) == device &&
           emulator::DeviceOf(to) == device;
  }
};

extern "C" {

const char* ncclGetErrorString(ncclResult_t result) {
  switch (result) {
    case ncclSuccess:
      return "no error";
    case ncclInvalidArgument:
      return "invalid argument";
    case ncclInvalidUsage:
      return "invalid usage";
  }
  return "unknown error";
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  static std::atomic<int> last(0);
  std::snprintf(id->internal, sizeof(id->internal), "%d", ++last);
  return ncclSuccess;
}

ncclResult_t ncclCommInitRank(
    ncclComm_t* comm, int ranks, ncclUniqueId id, int rank) {
  static std::mutex mutex;
  static std::map<std::string, std::weak_ptr<Ranks>> known;
  int device;
  cudaGetDevice(&device);
  std::shared_ptr<Ranks> all;
  {
    std::lock_guard<std::mutex> lock(mutex);
    std::weak_ptr<Ranks>* entry = &known[id.internal];
    all = entry->lock();
    if (!all) {
      *entry = all = std::make_shared<Ranks>(ranks);
    }
  }
  *comm = new EmulatedComm{all, rank, device};
  all->Meet(rank, {}, [](const std::vector<Operands>&) {});
  return ncclSuccess;
}

ncclResult_t ncclCommInitAll(ncclComm_t* comms, int ranks, const int* devices) {
  const std::shared_ptr<Ranks> all = std::make_shared<Ranks>(ranks);
  for (int i = 0; i < ranks; ++i) {
    comms[i] = new EmulatedComm{all, i, devices[i]};
  }
  return ncclSuccess;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  delete comm;
  return ncclSuccess;
}

ncclResult_t ncclBcast(void* data, size_t count, ncclDataType_t type, int root,
    ncclComm_t comm, cudaStream_t) {
  if (!comm->Has(data, data)) {
    return ncclInvalidArgument;
  }
  const size_t bytes = count * SizeOf(type);
  comm->ranks->Meet(
      comm->rank, {data, data}, [&](const std::vector<Operands>& all) {
        CheckSent(all[root], bytes);
        for (const Operands& rank : all) {
          Receive(rank, all[root].from, bytes);
        }
      });
  return ncclSuccess;
}

ncclResult_t ncclAllReduce(const void* from, void* to, size_t count,
    ncclDataType_t type, ncclRedOp_t operation, ncclComm_t comm, cudaStream_t) {
  if (operation != ncclSum || !comm->Has(from, to)) {
    return ncclInvalidArgument;
  }
  comm->ranks->Meet(
      comm->rank, {from, to}, [&](const std::vector<Operands>& all) {
        type == ncclFloat ? Sum<float>(all, count) : Sum<double>(all, count);
      });
  return ncclSuccess;
}
}
