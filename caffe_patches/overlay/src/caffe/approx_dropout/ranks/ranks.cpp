#include "caffe/approx_dropout/ranks/ranks.hpp"

#include <csignal>
#include <cstdlib>
#include <string>

#include "caffe/approx_dropout/ranks/mpi_ranks.hpp"

namespace caffe {

int rank_timeout_s = 600;

namespace {

shared_ptr<Ranks>& Joined() {
  static shared_ptr<Ranks> ranks;
  return ranks;
}

// How a launcher tells a process how many there are: Open MPI's and what is
// made of it; MPICH's, Intel's and Cray's, and Slurm's PMI; MVAPICH's; srun.
const char* const kSizes[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE",
    "MV2_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS"};

// The processes that this one was started with, itself included.
int StartedProcesses() {
  for (const char* name : kSizes) {
    const char* size = std::getenv(name);
    if (size) {
      return std::atoi(size);
    }
  }
  return 1;
}

}  // namespace

Ranks* Ranks::Get() { return Joined().get(); }

void Ranks::Start() {
  const int size = StartedProcesses();
  if (size > 1) {
    // That another rank has ended is told by SIGTERM, for which glog would
    // print a stack trace.
    std::signal(SIGTERM, SIG_DFL);
    Joined() = StartMPI();
    const string each = "This is one of " + std::to_string(size) +
                        " processes that were started together, and each "
                        "would train the same: ";
    CHECK(Get()) << each << "this build of Caffe has no MPI. Build it by "
                 << "`make mpi`, or start one process";
    CHECK_GT(Get()->size(), 1)
        << each << "the MPI of this build does not know what started them. "
        << "It must be the mpirun of the same MPI, or srun with a --mpi that "
        << "it knows: pmix for Open MPI, pmi2 for MPICH";
  }
}

void Ranks::Finish() { Joined().reset(); }

void Ranks::Set(const shared_ptr<Ranks>& ranks) { Joined() = ranks; }

void Ranks::Broadcast(string* text) {
  uint64_t size = text->size();
  Broadcast(&size, sizeof(size));
  text->resize(size);
  if (size > 0) {
    Broadcast(&(*text)[0], size);
  }
}

}  // namespace caffe
