// usage: faults NAME
// Runs a kernel, or a use of the device, that has one fault: the emulator must
// report it. "sound" has none.

#include <cublas_v2.h>
#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <string>
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

int ValueAt(const int* device) {
  int value = 0;
  cudaMemcpy(&value, device, sizeof(value), cudaMemcpyDefault);
  return value;
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
  WideKernel<<<1, kCount / 4>>>(numbers);
  Check(ValueAt(numbers + kCount - 1) == 0, "not cleared");
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

const std::map<std::string, std::function<void()>> kFaults = {
    {"sound", Sound},
    {"out_of_bounds",
        [] {
          ShiftKernel<<<kBlocks, kThreads>>>(
              Numbers(kCount), 1, Numbers(kCount));
        }},
    {"use_after_free", UseAfterFree},
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
    {"early_return", [] { ReturnKernel<<<1, kThreads>>>(); }},
    {"two_barriers", [] { BranchKernel<<<1, kThreads>>>(); }},
    {"atomic_and_plain",
        [] {
          AddAndReadKernel<<<1, kThreads>>>(Numbers(1), Numbers(kThreads));
        }},
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
