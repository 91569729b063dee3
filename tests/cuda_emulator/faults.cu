// usage: faults NAME
// Runs a kernel, or a use of the device, that has one fault: the emulator must
// report it. "sound" and "two_devices" have none.

#include <cublas_v2.h>
#include <cuda_runtime.h>
#include <nccl.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

namespace {

const int kThreads = 64;
const int kBlocks = 3;
const int kCount = kThreads * kBlocks;

void Check(bool condition, const char* what) {
  if (condition) {
    return;
  }
  fprintf(stderr, "faults: %s\n", what);
  exit(1);
}

// Ints 0, 1, 2 ... on the device.
int* Numbers(int count) {
  std::vector<int> numbers(count);
  for (int i = 0; i < count; ++i) {
    numbers[i] = i;
  }
  int* device = NULL;
  cudaMalloc(&device, count * sizeof(int));
  cudaMemcpy(device, numbers.data(), count * sizeof(int), cudaMemcpyDefault);
  return device;
}

int ValueAt(const int* device) {
  int value = 0;
  cudaMemcpy(&value, device, sizeof(value), cudaMemcpyDefault);
  return value;
}

struct alignas(16) FourInts {
  int value[4];
};

__device__ int Index() { return blockIdx.x * blockDim.x + threadIdx.x; }

__global__ void ShiftKernel(const int* from, int by, int* to) {
  to[Index()] = from[Index() + by];
}

__global__ void WideKernel(int* data) {
  FourInts zeros = {};
  *reinterpret_cast<FourInts*>(data + 4 * Index()) = zeros;
}

// Two threads, the next block's or the next thread's, meet at an element.
__global__ void MeetKernel(int every, int* to) { to[Index() / every] = 1; }

__global__ void NeighbourKernel(int* data) {
  const int next = (threadIdx.x + 1) % blockDim.x;
  data[threadIdx.x] = data[next];
}

__global__ void RotateKernel(bool waits, int* data) {
  __shared__ int shared[kThreads];
  shared[threadIdx.x] = data[Index()];
  if (waits) {
    __syncthreads();
  }
  data[Index()] = shared[(threadIdx.x + 1) % kThreads];
}

__global__ void UnwrittenSharedKernel(int* data) {
  __shared__ int shared[kThreads + 1];
  shared[threadIdx.x] = 0;
  __syncthreads();
  data[Index()] = shared[threadIdx.x + 1];
}

// Writes `count` values of a thread's own four.
__global__ void OwnArrayKernel(int count, int* data) {
  FourInts own;
  for (int k = 0; k < count; ++k) {
    own.value[k] = data[k];
  }
  data[Index()] = own.value[Index() % 4];
}

__global__ void SharedArrayKernel(int by, int* data) {
  __shared__ int shared[kThreads];
  shared[threadIdx.x + by] = data[Index()];
}

__global__ void ReturnKernel() {
  if (threadIdx.x == 5) {
    return;
  }
  __syncthreads();
}

__global__ void BranchKernel() {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

__global__ void AddKernel(int* sum) { atomicAdd(sum, Index()); }

__global__ void AddAndReadKernel(int* sum, int* last) {
  atomicAdd(sum, 1);
  last[Index()] = *sum;
}

// A block's sum by halves.
__global__ void SumKernel(const int* from, int* sums) {
  __shared__ int shared[kThreads];
  shared[threadIdx.x] = from[Index()];
  __syncthreads();
  for (int half = kThreads / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) {
      shared[threadIdx.x] += shared[threadIdx.x + half];
    }
    __syncthreads();
  }
  if (threadIdx.x == 0) {
    sums[blockIdx.x] = shared[0];
  }
}

// The sum of all, by the block that is the last to have written its part; or,
// `early`, by each.
__global__ void LastBlockKernel(bool publishes, bool looks, bool early,
    int* parts, int* arrivals, int* sum) {
  __shared__ bool last;
  parts[Index()] = Index();
  __syncthreads();
  if (threadIdx.x == 0) {
    if (publishes) {
      __threadfence();
    }
    const int before = atomicAdd(arrivals, 1);
    if (looks) {
      __threadfence();
    }
    last = early || before == gridDim.x - 1;
  }
  __syncthreads();
  if (last && threadIdx.x == 1) {
    int total = 0;
    for (int k = 0; k < gridDim.x * blockDim.x; ++k) {
      total += parts[k];
    }
    *sum = total;
  }
}

void SumOfLast(bool publishes, bool looks, bool early) {
  int* sum = Numbers(1);
  LastBlockKernel<<<kBlocks, kThreads>>>(
      publishes, looks, early, Numbers(kCount), Numbers(1), sum);
  Check(ValueAt(sum) == kCount * (kCount - 1) / 2, "wrong total");
}

// Each lane's number plus its neighbour's. The first `threads` threads do it.
__global__ void PairKernel(unsigned lanes, int threads, int* data) {
  if (threadIdx.x >= threads) {
    return;
  }
  data[Index()] += __shfl_xor_sync(lanes, data[Index()], 1);
}

__global__ void TwoShufflesKernel(int* data) {
  if (threadIdx.x < 16) {
    data[Index()] = __shfl_xor_sync(0xffffffff, data[Index()], 1);
  } else {
    data[Index()] = __shfl_xor_sync(0xffffffff, data[Index()], 1);
  }
}

// One lane reads the other's element before that has shuffled its own away, as
// nothing orders the two.
__global__ void ShuffleAndReadKernel(int* data) {
  data[threadIdx.x] = threadIdx.x;
  __shfl_xor_sync(0xffffffff, 0, 1);
  data[threadIdx.x + 32] = data[threadIdx.x ^ 1];
}

// The graph of what is launched in a stream of its own.
cudaGraphExec_t Graph(const std::function<void(cudaStream_t)>& launch) {
  cudaStream_t stream;
  cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
  launch(stream);
  cudaGraph_t graph = NULL;
  cudaStreamEndCapture(stream, &graph);
  cudaGraphExec_t executable = NULL;
  cudaGraphInstantiateWithFlags(&executable, graph, 0);
  cudaGraphDestroy(graph);
  cudaStreamDestroy(stream);
  return executable;
}

void Sound() {
  int* numbers = Numbers(kCount);
  int* sums = Numbers(kBlocks);
  SumKernel<<<kBlocks, kThreads>>>(numbers, sums);
  Check(ValueAt(sums) == kThreads * (kThreads - 1) / 2, "wrong sum");
  RotateKernel<<<kBlocks, kThreads>>>(true, numbers);
  Check(ValueAt(numbers + kThreads - 1) == 0, "not rotated");
  int* sum = Numbers(1);
  AddKernel<<<kBlocks, kThreads>>>(sum);
  Check(ValueAt(sum) == kCount * (kCount - 1) / 2, "wrong total");
  SumOfLast(true, true, false);
  WideKernel<<<1, kCount / 4>>>(numbers);
  Check(ValueAt(numbers + kCount - 1) == 0, "not cleared");
  int* pairs = Numbers(kCount);
  PairKernel<<<kBlocks, kThreads>>>(0xffffffff, kThreads, pairs);
  Check(ValueAt(pairs + 4) == 9 && ValueAt(pairs + 5) == 9, "wrong pair");
  PairKernel<<<1, kThreads>>>(0xffff, 16, pairs);
  Check(ValueAt(pairs + 15) == 58 && ValueAt(pairs + 16) == 33, "wrong half");
  const cudaGraphExec_t graph = Graph([sum](cudaStream_t stream) {
    AddKernel<<<1, 3, 0, stream>>>(sum);
    AddKernel<<<1, 3, 0, stream>>>(sum);
  });
  Check(ValueAt(sum) == kCount * (kCount - 1) / 2, "it ran at once");
  cudaGraphLaunch(graph, 0);
  cudaGraphLaunch(graph, 0);
  Check(ValueAt(sum) == kCount * (kCount - 1) / 2 + 12, "wrong graph");
  cudaGraphExecDestroy(graph);
  Check(cudaStreamBeginCapture(0, cudaStreamCaptureModeThreadLocal) ==
            cudaErrorStreamCaptureUnsupported,
      "the default stream can be captured");
  AddKernel<<<1, 1025>>>(sum);
  Check(cudaPeekAtLastError() == cudaErrorInvalidConfiguration,
      "a launch of 1025 threads is no error");
  cudaGetLastError();
  cudaFree(sums);
}

void Gemm(int k) {
  float* a = NULL;
  cudaMalloc(&a, 16 * sizeof(float));
  cudaMemset(a, 0, 16 * sizeof(float));
  const float one = 1;
  cublasHandle_t handle;
  cublasCreate(&handle);
  cublasSgemm(
      handle, CUBLAS_OP_N, CUBLAS_OP_N, 4, 4, k, &one, a, 4, a, k, &one, a, 4);
}

void UseAfterFreeInGraph() {
  int* numbers = Numbers(kCount);
  int* shifted = Numbers(kCount);
  const cudaGraphExec_t graph = Graph([=](cudaStream_t stream) {
    ShiftKernel<<<kBlocks, kThreads, 0, stream>>>(numbers, 0, shifted);
  });
  cudaGraphLaunch(graph, 0);
  cudaFree(numbers);
  cudaGraphLaunch(graph, 0);
}

void UseAfterFree() {
  int* numbers = Numbers(kCount);
  cudaFree(numbers);
  ShiftKernel<<<kBlocks, kThreads>>>(numbers, 0, Numbers(kCount));
}

void ReadUninitialised() {
  int* numbers = NULL;
  cudaMalloc(&numbers, kCount * sizeof(int));
  ShiftKernel<<<kBlocks, kThreads>>>(numbers, 0, Numbers(kCount));
}

void ReadHostMemory() {
  std::vector<int> host(kCount);
  ShiftKernel<<<kBlocks, kThreads>>>(host.data(), 0, Numbers(kCount));
}

void CopyTooMuch() {
  int numbers[2];
  cudaMemcpy(numbers, Numbers(1), sizeof(numbers), cudaMemcpyDefault);
}

void UseOtherDevice() {
  cudaSetDevice(1);
  int* numbers = Numbers(kCount);
  cudaSetDevice(0);
  ShiftKernel<<<kBlocks, kThreads>>>(numbers, 0, Numbers(kCount));
}

// One device's part in sums over all, and in a copy of the first's.
void Reduce(ncclComm_t comm, int device) {
  cudaSetDevice(device);
  float* data = NULL;
  cudaMalloc(&data, 2 * sizeof(float));
  const float values[] = {1.0f + device, 10};
  float sums[2];
  cudaMemcpy(data, values, sizeof(values), cudaMemcpyDefault);
  for (int i = 0; i < 100; ++i) {
    ncclBcast(data, 1, ncclFloat, 0, comm, NULL);
  }
  cudaMemcpy(sums, data, sizeof(sums), cudaMemcpyDefault);
  Check(sums[0] == 1 && sums[1] == 10, "not the first device's");
  ncclAllReduce(data, data, 2, ncclFloat, ncclSum, comm, NULL);
  cudaMemcpy(sums, data, sizeof(sums), cudaMemcpyDefault);
  Check(sums[0] == 2 && sums[1] == 20, "wrong sum of devices");
}

void TwoDevices() {
  const int devices[] = {0, 1};
  ncclComm_t comms[2];
  ncclCommInitAll(comms, 2, devices);
  std::thread second(Reduce, comms[1], 1);
  Reduce(comms[0], 0);
  second.join();
  int* numbers = Numbers(1);
  Check(ncclAllReduce(numbers, numbers, 1, ncclFloat, ncclSum, comms[1],
            NULL) == ncclInvalidArgument,
      "memory of another device is reduced");
}

const std::map<std::string, std::function<void()>> kFaults = {
    {"sound", Sound},
    {"two_devices", TwoDevices},
    {"other_device", UseOtherDevice},
    {"out_of_bounds",
        [] {
          ShiftKernel<<<kBlocks, kThreads>>>(
              Numbers(kCount), 1, Numbers(kCount));
        }},
    {"use_after_free", UseAfterFree},
    {"use_after_free_in_graph", UseAfterFreeInGraph},
    {"launch_beside_capture",
        [] {
          int* sum = Numbers(1);
          Graph([sum](cudaStream_t) { AddKernel<<<1, 1>>>(sum); });
        }},
    {"allocation_while_capturing",
        [] { Graph([](cudaStream_t) { Numbers(1); }); }},
    {"uninitialised", ReadUninitialised},
    {"misaligned", [] { WideKernel<<<1, 1>>>(Numbers(8) + 1); }},
    {"race_of_blocks",
        [] { MeetKernel<<<2 * kBlocks, 1>>>(2, Numbers(kBlocks)); }},
    {"race_of_threads",
        [] { MeetKernel<<<1, kThreads>>>(2, Numbers(kThreads)); }},
    {"read_and_write",
        [] { NeighbourKernel<<<1, kThreads>>>(Numbers(kThreads)); }},
    {"no_barrier",
        [] { RotateKernel<<<1, kThreads>>>(false, Numbers(kThreads)); }},
    {"unwritten_shared",
        [] { UnwrittenSharedKernel<<<1, kThreads>>>(Numbers(kThreads)); }},
    {"own_array", [] { OwnArrayKernel<<<1, 1>>>(5, Numbers(5)); }},
    {"shared_array",
        [] { SharedArrayKernel<<<1, kThreads>>>(1, Numbers(kThreads)); }},
    {"early_return", [] { ReturnKernel<<<1, kThreads>>>(); }},
    {"two_barriers", [] { BranchKernel<<<1, kThreads>>>(); }},
    {"shuffle_by_some",
        [] { PairKernel<<<1, kThreads>>>(0xffffffff, 31, Numbers(kThreads)); }},
    {"shuffle_unnamed",
        [] { PairKernel<<<1, 32>>>(0x7fffffff, 32, Numbers(kThreads)); }},
    {"two_shuffles", [] { TwoShufflesKernel<<<1, 32>>>(Numbers(32)); }},
    {"shuffle_no_barrier",
        [] { ShuffleAndReadKernel<<<1, 32>>>(Numbers(64)); }},
    {"atomic_and_plain",
        [] {
          AddAndReadKernel<<<1, kThreads>>>(Numbers(1), Numbers(kThreads));
        }},
    {"publishes_nothing", [] { SumOfLast(false, true, false); }},
    {"sees_nothing", [] { SumOfLast(true, false, false); }},
    {"not_the_last", [] { SumOfLast(true, true, true); }},
    {"host_memory", ReadHostMemory},
    {"device_memory", [] { printf("%d\n", *Numbers(1)); }},
    {"copy", CopyTooMuch},
    {"free",
        [] {
          int* numbers = Numbers(1);
          cudaFree(numbers);
          cudaFree(numbers);
        }},
    {"gemm", [] { Gemm(5); }},
};

}  // namespace

int main(int argc, char** argv) {
  const auto fault = kFaults.find(argc == 2 ? argv[1] : "");
  Check(fault != kFaults.end(), "unknown name");
  fault->second();
  return 0;
}
