#ifndef CUDA_EMULATOR_NCCL_H_
#define CUDA_EMULATOR_NCCL_H_

// What Caffe uses of NCCL, within one process: a call returns when each rank
// has made it, in a thread of its own.

#include <cstddef>

#include "cuda_runtime.h"

#define NCCL_MAJOR 2
#define NCCL_UNIQUE_ID_BYTES 128

enum ncclResult_t {
  ncclSuccess = 0,
  ncclInvalidArgument = 4,
  ncclInvalidUsage = 5
};

enum ncclDataType_t { ncclFloat = 7, ncclDouble = 8 };
enum ncclRedOp_t { ncclSum = 0 };

struct ncclUniqueId {
  char internal[NCCL_UNIQUE_ID_BYTES];
};

typedef struct EmulatedComm* ncclComm_t;

extern "C" {
const char* ncclGetErrorString(ncclResult_t result);
// Between threads of this process only.
ncclResult_t ncclGetUniqueId(ncclUniqueId* id);
ncclResult_t ncclCommInitRank(
    ncclComm_t* comm, int ranks, ncclUniqueId id, int rank);
ncclResult_t ncclCommInitAll(ncclComm_t* comms, int ranks, const int* devices);
ncclResult_t ncclCommDestroy(ncclComm_t comm);
ncclResult_t ncclBcast(void* data, size_t count, ncclDataType_t type, int root,
    ncclComm_t comm, cudaStream_t stream);
ncclResult_t ncclAllReduce(const void* from, void* to, size_t count,
    ncclDataType_t type, ncclRedOp_t operation, ncclComm_t comm,
    cudaStream_t stream);
}

#endif  // CUDA_EMULATOR_NCCL_H_
