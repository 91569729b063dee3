#include "launch.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <boost/context/fiber.hpp>
#include <cstdlib>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "access.hpp"
#include "counts.hpp"
#include "memory.hpp"
#include "report.hpp"
#include "shuffle.hpp"
#include "warps.hpp"

namespace emulator {

namespace {

using boost::context::fiber;

// What the threads of a block have for themselves: a Thread each, then stacks.
const size_t kMaxThreads = 1024;
// Not a power of two: all stacks would then lie in the same lines of a cache.
const size_t kStack = (64 << 10) + 5 * 64;
const size_t kThreadsSize = 1 << 20;
static_assert(kMaxThreads * sizeof(Thread) <= kThreadsSize, "no room");

LaunchShape shape;
void (*body)(const void*);
const void* context;
Thread* threads;

struct Stacks {
  // For boost.context, which asks for one stack per fiber and never gives it
  // back: fibers live on.
  boost::context::stack_context allocate() {
    boost::context::stack_context stack;
    stack.size = kStack;
    stack.sp = locals + kThreadsSize + ++count * kStack;
    return stack;
  }
  void deallocate(boost::context::stack_context&) {}
  static size_t count;
};
size_t Stacks::count = 0;

// A thread that waits at a barrier.
struct Waiting {
  fiber context;
  unsigned thread;
  int line;
  const void* call;
};

std::vector<unsigned> order;  // of the block's threads
size_t started;               // how many of them have begun
enum { IDLE, AT_BARRIER, AT_SHUFFLE } stopped;  // why a fiber has
int stopped_at;                                 // the barrier's line
const void* stopped_by;                         // its call
fiber* const scheduler = new fiber();
// Never destroyed, as that would unwind their stacks.
std::vector<fiber>* const idle = new std::vector<fiber>();
std::vector<Waiting>* const waiting = new std::vector<Waiting>();
// By thread: those that wait for other lanes of their warps.
std::vector<fiber>* const shuffling = new std::vector<fiber>(kMaxThreads);

void BackToScheduler() { *scheduler = std::move(*scheduler).resume(); }

// Begins threads as long as there are any. A fiber is thus taken for each
// thread that waits somewhere, and one for all that do not.
fiber Work(fiber&& from) {
  *scheduler = std::move(from);
  for (;;) {
    while (started < order.size()) {
      now.thread = order[started++];
      body(context);
    }
    stopped = IDLE;
    BackToScheduler();
  }
}

// Lets a fiber run until it is idle or waits.
void Resume(fiber&& context) {
  fiber rest = std::move(context).resume();
  if (stopped == AT_BARRIER) {
    waiting->push_back(
        Waiting{std::move(rest), now.thread, stopped_at, stopped_by});
  } else if (stopped == AT_SHUFFLE) {
    (*shuffling)[now.thread] = std::move(rest);
  } else {
    idle->push_back(std::move(rest));
  }
}

void BeginThreads() {
  while (started < order.size()) {
    if (idle->empty()) {
      idle->emplace_back(std::allocator_arg, Stacks(), Work);
    }
    fiber next = std::move(idle->back());
    idle->pop_back();
    Resume(std::move(next));
  }
}

// Threads and blocks in turn, the other way round or shuffled.
class Order {
 public:
  Order() {
    const char* value = getenv("CUDA_EMULATOR_ORDER");
    name_ = value ? value : "ascending";
    if (name_ != "ascending" && name_ != "descending" && name_ != "shuffled") {
      Fail("CUDA_EMULATOR_ORDER is %s; legal: ascending, descending, shuffled",
          value);
    }
    // Warps are told apart by their threads' order.
    if (name_ != "ascending" && Profiling()) {
      Fail("CUDA_EMULATOR_PROFILE needs threads in ascending order");
    }
  }
  // Of what is in ascending order.
  template <typename T>
  void Arrange(std::vector<T>* items) {
    if (name_ == "descending") {
      std::reverse(items->begin(), items->end());
    }
    ArrangeAgain(items);
  }
  // Of what has been arranged before.
  template <typename T>
  void ArrangeAgain(std::vector<T>* items) {
    if (name_ == "shuffled") {
      std::shuffle(items->begin(), items->end(), random_);
    }
  }

 private:
  std::string name_;
  std::mt19937 random_;
};

Order& TheOrder() {
  static Order order;
  return order;
}

std::vector<unsigned> Numbers(unsigned count) {
  std::vector<unsigned> numbers(count);
  std::iota(numbers.begin(), numbers.end(), 0);
  TheOrder().Arrange(&numbers);
  return numbers;
}

// As long as some threads need nobody else in order to go on.
void RunShuffled() {
  for (;;) {
    std::vector<unsigned> going = TakeShuffled();
    if (going.empty()) {
      return;
    }
    TheOrder().Arrange(&going);
    for (unsigned thread : going) {
      now.thread = thread;
      Resume(std::move((*shuffling)[thread]));
    }
  }
}

void NoteBarrier(const char* what, const Waiting& waiter) {
  const Place place = {now.block, waiter.thread, now.epoch};
  NoteFault(what, nullptr, 0, place, waiter.call, nullptr);
}

void CheckBarrier(size_t num_threads) {
  const Waiting& first = waiting->front();
  if (waiting->size() < num_threads) {
    NoteBarrier("barrier that some threads never reach", first);
  }
  for (const Waiting& waiter : *waiting) {
    if (waiter.line != first.line) {
      NoteBarrier("barrier, while other threads wait at another", waiter);
    }
  }
}

void PassBarrier() {
  NextEpoch();
  // They come in the order of the threads that was chosen at the last barrier.
  std::vector<Waiting> passing;
  passing.swap(*waiting);
  waiting->reserve(passing.size());
  TheOrder().ArrangeAgain(&passing);
  for (Waiting& waiter : passing) {
    now.thread = waiter.thread;
    Resume(std::move(waiter.context));
  }
}

void RunBlock(unsigned block, unsigned num_threads) {
  BeginBlock(block);
  for (unsigned t = 0; t < num_threads; ++t) {
    threads[t] = ThreadAt(shape, block, t);
  }
  order = Numbers(num_threads);
  started = 0;
  BeginThreads();
  RunShuffled();
  while (!waiting->empty()) {
    CheckBarrier(num_threads);
    if (Counting()) {
      EndRequests();
    }
    PassBarrier();
    RunShuffled();
  }
}

void RunBlocks(size_t num_blocks, unsigned num_threads) {
  if (!Profiling()) {
    for (unsigned b : Numbers(num_blocks)) {
      RunBlock(b, num_threads);
    }
    return;
  }
  // Nobody looks at the data.
  if (!Counting() || CountLikeEarlier(shape)) {
    return;
  }
  BeginCountedLaunch(num_blocks);
  for (unsigned b = 0; b < num_blocks; ++b) {
    BeginCountedBlock(b);
    RunBlock(b, num_threads);
    EndRequests();
  }
  EndCountedLaunch(shape);
}

void Prepare() {
  if (threads) {
    return;
  }
  locals = Reserve(kLocals, PROT_READ | PROT_WRITE);
  threads = reinterpret_cast<Thread*>(locals);
}

}  // namespace

const LaunchShape& CurrentLaunch() { return shape; }

const Thread& ThisThread() { return threads[now.thread]; }

void Barrier(int line) {
  stopped = AT_BARRIER;
  stopped_at = line;
  stopped_by = __builtin_return_address(0);
  BackToScheduler();
}

void Shuffle(int line, unsigned lanes, unsigned source, void* value,
    size_t size, const void* call) {
  BeginShuffle(Exchange{line, lanes, source, value, size, call});
  stopped = AT_SHUFFLE;
  BackToScheduler();
}

void Run(const char* kernel, dim3 grid, dim3 block, void (*what)(const void*),
    const void* with) {
  const size_t num_threads = size_t(block.x) * block.y * block.z;
  const size_t num_blocks = size_t(grid.x) * grid.y * grid.z;
  if (num_threads == 0 || num_threads > kMaxThreads || block.z > 64 ||
      num_blocks == 0 || grid.x > 0x7fffffff || grid.y > 65535 ||
      grid.z > 65535) {
    SetLastError(cudaErrorInvalidConfiguration);
    return;
  }
  const DeviceAccess access;
  Prepare();
  shape = LaunchShape{kernel, grid, block};
  body = what;
  context = with;
  BeginLaunch();
  RunBlocks(num_blocks, num_threads);
  EndLaunch();
  EndIfFaulty();
}

}  // namespace emulator
