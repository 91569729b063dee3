// usage: CUDA_EMULATOR_PROFILE=FILE counted
// Does what can be counted by hand: each kernel's numbers are in
// tests/gpu/test_emulated_counts.py.

#include <cublas_v2.h>
#include <cuda_profiler_api.h>
#include <cuda_runtime.h>

namespace {

const int kThreads = 64;
const int kBlocks = 3;
const int kCount = kThreads * kBlocks;

struct alignas(16) FourFloats {
  float value[4];
};

__device__ int Index() { return blockIdx.x * blockDim.x + threadIdx.x; }

__global__ void CopyKernel(const float* from, float* to) {
  to[Index()] = from[Index()];
}

__global__ void WideCopyKernel(const FourFloats* from, FourFloats* to) {
  to[Index()] = from[Index()];
}

template <int kStride>
__global__ void StrideKernel(const float* from, float* to) {
  to[Index()] = from[kStride * Index()];
}

__global__ void ShiftKernel(const float* from, float* to) {
  to[Index()] = from[Index() + 1];
}

// The first half of each warp only.
__global__ void HalfKernel(const float* from, float* to) {
  if (threadIdx.x % 32 < 16) {
    to[Index()] = from[Index()];
  }
}

// Each thread as often as its number says: at the n-th time those above n.
__global__ void TriangleKernel(const float* from, float* to) {
  float sum = 0;
  for (int n = 0; n < threadIdx.x; ++n) {
    sum += from[n * kThreads + threadIdx.x];
  }
  to[Index()] = sum;
}

__global__ void AtomicKernel(float* sum) { atomicAdd(sum, 1); }

// Reads shared memory at every kStride-th word.
template <int kStride>
__global__ void BankKernel(float* to) {
  __shared__ float shared[kStride * kThreads];
  shared[kStride * threadIdx.x] = threadIdx.x;
  __syncthreads();
  to[Index()] = shared[kStride * threadIdx.x];
}

// As threads of different warps do, too: all read one word.
__global__ void BroadcastKernel(float* to) {
  __shared__ float shared[1];
  if (threadIdx.x == 0) {
    shared[0] = 1;
  }
  __syncthreads();
  to[Index()] = shared[0];
}

__global__ void WideBankKernel(FourFloats* to) {
  __shared__ FourFloats shared[kThreads];
  shared[threadIdx.x] = to[Index()];
  __syncthreads();
  to[Index()] = shared[threadIdx.x];
}

// Of launches of three blocks the second, which reads more sectors than the
// first, stands for those after it.
__global__ void GraphKernel(const float* from, float* to) {
  to[Index()] = from[Index()];
}

float* Floats(int count) {
  float* device = NULL;
  cudaMalloc(&device, count * sizeof(float));
  cudaMemset(device, 0, count * sizeof(float));
  return device;
}

void LaunchKernels(float* from, float* to) {
  CopyKernel<<<kBlocks, kThreads>>>(from, to);
  CopyKernel<<<kBlocks, kThreads>>>(from, to);
  CopyKernel<<<1000, kThreads>>>(from, to);
  WideCopyKernel<<<kBlocks, kThreads>>>(
      reinterpret_cast<FourFloats*>(from), reinterpret_cast<FourFloats*>(to));
  StrideKernel<0><<<kBlocks, kThreads>>>(from, to);
  StrideKernel<2><<<kBlocks, kThreads>>>(from, to);
  StrideKernel<32><<<kBlocks, kThreads>>>(from, to);
  ShiftKernel<<<kBlocks, kThreads>>>(from, to);
  HalfKernel<<<kBlocks, kThreads>>>(from, to);
  TriangleKernel<<<1, kThreads>>>(from, to);
  AtomicKernel<<<kBlocks, kThreads>>>(to);
  BankKernel<1><<<kBlocks, kThreads>>>(to);
  BankKernel<2><<<kBlocks, kThreads>>>(to);
  BankKernel<32><<<kBlocks, kThreads>>>(to);
  BankKernel<33><<<kBlocks, kThreads>>>(to);
  BroadcastKernel<<<kBlocks, kThreads>>>(to);
  WideBankKernel<<<kBlocks, kThreads>>>(reinterpret_cast<FourFloats*>(to));
}

void LaunchGraph(const float* from, float* to) {
  cudaStream_t stream;
  cudaGraph_t graph;
  cudaGraphExec_t executable;
  cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
  GraphKernel<<<kBlocks, kThreads, 0, stream>>>(from, to);
  GraphKernel<<<kBlocks, kThreads, 0, stream>>>(from + 1, to);
  GraphKernel<<<kBlocks, kThreads, 0, stream>>>(from, to);
  GraphKernel<<<kBlocks, kThreads, 0, stream>>>(from, to);
  GraphKernel<<<1, kThreads, 0, stream>>>(from, to);
  cudaStreamEndCapture(stream, &graph);
  cudaGraphInstantiateWithFlags(&executable, graph, 0);
  cudaGraphLaunch(executable, NULL);
  cudaGraphExecDestroy(executable);
  cudaGraphDestroy(graph);
  cudaStreamDestroy(stream);
}

void CallLibraries(const float* from, float* to) {
  cublasHandle_t handle;
  cublasCreate(&handle);
  const float one = 1, zero = 0;
  float result;
  cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_T, 24, 20, 16, &one, from, 24,
      from, 20, &zero, to, 24);
  cublasSgemmStridedBatched(handle, CUBLAS_OP_N, CUBLAS_OP_N, 6, 4, 5, &one,
      from, 6, 30, from, 5, 0, &one, to, 6, 24, 3);
  cublasSaxpy(handle, 100, &one, from, 1, to, 1);
  cublasSasum(handle, 100, from, 1, &result);
  cublasDestroy(handle);
}

void CopyAndWait(const float* from, float* to) {
  float host[10] = {};
  cudaMemcpy(to, host, sizeof(host), cudaMemcpyDefault);
  cudaMemcpyAsync(to, host, sizeof(float), cudaMemcpyDefault, NULL);
  cudaMemcpy(host, from, 2 * sizeof(float), cudaMemcpyDefault);
  cudaMemcpy(to, from, 3 * sizeof(float), cudaMemcpyDefault);
  cudaMemset(to, 0, 4 * sizeof(float));
  void* pinned = NULL;
  cudaMallocHost(&pinned, 24);
  cudaFreeHost(pinned);
  cudaFree(Floats(6));
  cudaDeviceSynchronize();
  cudaStreamSynchronize(NULL);
}

}  // namespace

int main() {
  float* from = Floats(1000 * kThreads);
  float* to = Floats(1000 * kThreads);
  CopyKernel<<<kBlocks, kThreads>>>(from, to);
  cudaProfilerStart();
  LaunchKernels(from, to);
  LaunchGraph(from, to);
  CallLibraries(from, to);
  CopyAndWait(from, to);
  cudaProfilerStop();
  CopyKernel<<<kBlocks, kThreads>>>(from, to);
  return 0;
}
