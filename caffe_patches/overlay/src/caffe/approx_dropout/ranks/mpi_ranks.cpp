#include "caffe/approx_dropout/ranks/mpi_ranks.hpp"

#ifdef USE_MPI
#include <mpi.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>
#include <vector>
#endif

namespace caffe {

#ifdef USE_MPI
namespace {

// Elements or bytes of one call; MPI counts by int.
const size_t kMaxCount = 1 << 30;

// Who waits looks this often, and leaves the core to others in between; at
// first at once, since most sums are nearly there.
const int kSpins = 200;
const std::chrono::microseconds kPause(50);

// Questions to late ranks, and what those answer that wait themselves.
const int kAsk = 1;
const int kWaiting = 2;
const double kAskAfter_s = 1;
const int kAnswer_s = 3;

class MPIRanks : public Ranks {
 public:
  MPIRanks();
  virtual ~MPIRanks();

  virtual int rank() const { return rank_; }
  virtual int size() const { return size_; }
  virtual int local_rank() const { return local_rank_; }

  using Ranks::Broadcast;
  virtual void Broadcast(void* data, size_t bytes);
  virtual vector<string> Gather(const string& text);
  virtual void StartSum(float* values, size_t count) {
    Start(values, count, sizeof(*values), MPI_FLOAT, MPI_SUM, &sums_);
  }
  virtual void StartSum(double* values, size_t count) {
    Start(values, count, sizeof(*values), MPI_DOUBLE, MPI_SUM, &sums_);
  }
  virtual void TakeAny(vector<char>* values) {
    Requests request;
    Start(
        values->data(), values->size(), 1, MPI_SIGNED_CHAR, MPI_MAX, &request);
    Wait(&request, true);
  }
  virtual void WaitForSums() { Wait(&sums_, true); }
  virtual void Abort() { MPI_Abort(MPI_COMM_WORLD, 1); }

 private:
  typedef vector<MPI_Request> Requests;
  typedef std::lock_guard<std::mutex> Lock;

  void Start(void* values, size_t count, size_t bytes, MPI_Datatype type,
      MPI_Op op, Requests* requests);
  // Until all are done; ends all ranks after the timeout, if there is one.
  void Wait(Requests* requests, bool has_timeout);
  bool Test(Requests* requests);
  // Moves sums on while this rank computes: MPI itself does so only when it is
  // called.
  void Progress();
  // Says to those who ask that this rank waits too.
  void Answer();
  void SendEmpty(int to, int tag);
  // Who has sent a message of this tag, which is received; -1: nobody yet.
  int TakeEmpty(int tag);
  // Of each rank whether it says that it waits.
  vector<bool> WaitingRanks();
  void EndLate(double waited_s);

  int rank_, size_, local_rank_;
  std::mutex mutex_;  // of calls of MPI, and of what follows
  Requests sums_;
  bool finished_;
  std::condition_variable work_;
  std::thread progress_;
};

MPIRanks::MPIRanks() : finished_(false) {
  // Iallreduce as reduce-scatter and allgather, which use both directions of a
  // link: Open MPI's own choice for two ranks uses one at a time.
  setenv("OMPI_MCA_coll_libnbc_iallreduce_algorithm", "3", 0);
  int provided;
  MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &provided);
  CHECK_GE(provided, MPI_THREAD_SERIALIZED)
      << "This MPI lets one thread only call it, but the exchange goes on "
      << "while another one computes";
  MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
  MPI_Comm_size(MPI_COMM_WORLD, &size_);
  MPI_Comm machine;
  MPI_Comm_split_type(
      MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &machine);
  MPI_Comm_rank(machine, &local_rank_);
  MPI_Comm_free(&machine);
  progress_ = std::thread(&MPIRanks::Progress, this);
}

MPIRanks::~MPIRanks() {
  {
    Lock lock(mutex_);
    finished_ = true;
  }
  work_.notify_one();
  progress_.join();
  MPI_Finalize();
}

void MPIRanks::Broadcast(void* data, size_t bytes) {
  Requests requests;
  char* from = static_cast<char*>(data);
  for (size_t i = 0; i < bytes; i += kMaxCount) {
    Lock lock(mutex_);
    requests.push_back(MPI_REQUEST_NULL);
    MPI_Ibcast(from + i, std::min(bytes - i, kMaxCount), MPI_BYTE, 0,
        MPI_COMM_WORLD, &requests.back());
  }
  Wait(&requests, false);
}

vector<string> MPIRanks::Gather(const string& text) {
  Lock lock(mutex_);
  const int bytes = text.size();
  vector<int> sizes(size_), begins(size_);
  MPI_Gather(&bytes, 1, MPI_INT, sizes.data(), 1, MPI_INT, 0, MPI_COMM_WORLD);
  for (int i = 1; i < size_; ++i) {
    begins[i] = begins[i - 1] + sizes[i - 1];
  }
  string all(begins.back() + sizes.back(), '\0');
  MPI_Gatherv(text.data(), bytes, MPI_BYTE, &all[0], sizes.data(),
      begins.data(), MPI_BYTE, 0, MPI_COMM_WORLD);
  vector<string> texts;
  for (int i = 0; rank_ == 0 && i < size_; ++i) {
    texts.push_back(all.substr(begins[i], sizes[i]));
  }
  return texts;
}

void MPIRanks::Start(void* values, size_t count, size_t bytes,
    MPI_Datatype type, MPI_Op op, Requests* requests) {
  char* from = static_cast<char*>(values);
  for (size_t i = 0; i < count; i += kMaxCount) {
    Lock lock(mutex_);
    requests->push_back(MPI_REQUEST_NULL);
    MPI_Iallreduce(MPI_IN_PLACE, from + i * bytes,
        std::min(count - i, kMaxCount), type, op, MPI_COMM_WORLD,
        &requests->back());
  }
  work_.notify_one();
}

bool MPIRanks::Test(Requests* requests) {
  Lock lock(mutex_);
  int done;
  MPI_Testall(requests->size(), requests->data(), &done, MPI_STATUSES_IGNORE);
  if (done) {
    requests->clear();
  }
  return done;
}

void MPIRanks::Wait(Requests* requests, bool has_timeout) {
  const double begin = MPI_Wtime();
  for (int spins = 0; !Test(requests); ++spins) {
    if (spins < kSpins) {
      continue;
    }
    std::this_thread::sleep_for(kPause);
    const double waited_s = MPI_Wtime() - begin;
    if (waited_s > kAskAfter_s) {
      Answer();
    }
    if (has_timeout && waited_s > rank_timeout_s) {
      EndLate(waited_s);
    }
  }
}

void MPIRanks::Progress() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!finished_) {
    int done = 1;
    // Requests that are done are null from then on; WaitForSums clears them.
    MPI_Testall(sums_.size(), sums_.data(), &done, MPI_STATUSES_IGNORE);
    if (done) {
      work_.wait(lock);
    } else {
      work_.wait_for(lock, kPause);
    }
  }
}

void MPIRanks::Answer() {
  const int from = TakeEmpty(kAsk);
  if (from >= 0) {
    SendEmpty(from, kWaiting);
  }
}

int MPIRanks::TakeEmpty(int tag) {
  Lock lock(mutex_);
  int is_there;
  MPI_Status status;
  MPI_Iprobe(MPI_ANY_SOURCE, tag, MPI_COMM_WORLD, &is_there, &status);
  if (!is_there) {
    return -1;
  }
  MPI_Recv(NULL, 0, MPI_BYTE, status.MPI_SOURCE, tag, MPI_COMM_WORLD,
      MPI_STATUS_IGNORE);
  return status.MPI_SOURCE;
}

void MPIRanks::SendEmpty(int to, int tag) {
  Lock lock(mutex_);
  MPI_Request request;
  MPI_Isend(NULL, 0, MPI_BYTE, to, tag, MPI_COMM_WORLD, &request);
  MPI_Request_free(&request);
}

vector<bool> MPIRanks::WaitingRanks() {
  vector<bool> waits(size_, false);
  waits[rank_] = true;
  for (int i = 0; i < size_; ++i) {
    if (i != rank_) {
      SendEmpty(i, kAsk);
    }
  }
  const double begin = MPI_Wtime();
  while (MPI_Wtime() - begin < kAnswer_s) {
    Answer();
    const int from = TakeEmpty(kWaiting);
    if (from >= 0) {
      waits[from] = true;
    }
    std::this_thread::sleep_for(kPause);
  }
  return waits;
}

void MPIRanks::EndLate(double waited_s) {
  const vector<bool> waits = WaitingRanks();
  string late;
  int first = size_;  // of those that wait
  for (int i = size_ - 1; i >= 0; --i) {
    if (waits[i]) {
      first = i;
    } else {
      late = std::to_string(i) + (late.empty() ? "" : ", ") + late;
    }
  }
  if (rank_ != first) {
    sleep(2 * kAnswer_s);  // it speaks for all
  }
  LOG(ERROR) << "Rank " << rank_ << " has waited " << waited_s << " s for "
             << (late.empty() ? "the network" : "rank " + late) << " to send "
             << "gradients (--rank_timeout=" << rank_timeout_s
             << "): all ranks end";
  Abort();
}

}  // namespace

shared_ptr<Ranks> StartMPI() { return shared_ptr<Ranks>(new MPIRanks); }

#else

shared_ptr<Ranks> StartMPI() { return shared_ptr<Ranks>(); }

#endif  // USE_MPI

}  // namespace caffe
