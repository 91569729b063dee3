#include "access.hpp"

#include <link.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "counts.hpp"
#include "cuda_emulator/thread.hpp"
#include "fences.hpp"
#include "memory.hpp"
#include "warps.hpp"

namespace emulator {

char* locals = nullptr;
Place now;

namespace {

enum Kind { READ, WRITE, ATOMIC };

// The accesses of one kind to a place in memory. Blocks run one after the
// other, so that of those before the last block it is enough to know that
// there were any; of those before the last barrier, nothing has to be known.
struct Record {
  uint32_t period;  // the launch, or for shared memory the block's run
  uint32_t block;
  uint32_t thread : 10, epoch : 19;
  uint32_t by_threads : 1;  // by several of them since the barrier
  uint32_t by_blocks : 1;   // by blocks before, too
  uint32_t atomic : 1;
};
static_assert(sizeof(Record) == 12, "there are many of them");

struct Cell {
  Record write, read;
};

const unsigned kMaxEpochs = 1 << 19;

// The cell of each word of the device's memory.
Cell* const cells = reinterpret_cast<Cell*>(
    Reserve(kArena / kWord * sizeof(Cell), PROT_READ | PROT_WRITE));

// What is done about accesses: nothing outside of kernels.
enum Mode { IGNORE, CHECK, COUNT };
thread_local Mode mode __attribute__((tls_model("initial-exec"))) = IGNORE;
uint32_t launches = 0;
const char* own_memory;  // of the device that the launch is on
size_t own_size;
uint32_t block_runs = 0;

// The variables of the program and its libraries: those that can be written
// are the blocks' shared memory. Each byte has a cell.
struct Segment {
  const char* begin;
  size_t size;
  Cell* cells;  // NULL for constants
};
std::vector<Segment> segments;

int AddSegments(dl_phdr_info* info, size_t, void*) {
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& header = info->dlpi_phdr[i];
    if (header.p_type != PT_LOAD) {
      continue;
    }
    Segment segment = {
        reinterpret_cast<const char*>(info->dlpi_addr + header.p_vaddr),
        header.p_memsz, nullptr};
    if (header.p_flags & PF_W) {
      segment.cells = reinterpret_cast<Cell*>(
          Reserve(segment.size * sizeof(Cell), PROT_READ | PROT_WRITE));
    }
    segments.push_back(segment);
  }
  return 0;
}

// NULL where there is none.
const Segment* SegmentOf(const char* at) {
  if (segments.empty()) {
    dl_iterate_phdr(AddSegments, nullptr);
  }
  for (size_t i = 0; i < segments.size(); ++i) {
    if (static_cast<size_t>(at - segments[i].begin) < segments[i].size) {
      // The next one will be near.
      if (i > 0) {
        std::swap(segments[i], segments[0]);
      }
      return &segments[0];
    }
  }
  return nullptr;
}

// What one access means for the record of its kind: whom it races with.
class Checker {
 public:
  Checker(
      uint32_t period, Kind kind, const char* at, size_t size, const void* call)
      : period_(period),
        kind_(kind),
        at_(at),
        size_(size),
        call_(call),
        faulty_(false) {}

  void Check(Cell* cell) {
    if (RacesWith(cell->write)) {
      Note(kind_ == READ ? "race: read of what another thread writes"
                         : "race: two threads write",
          &cell->write);
    }
    if (kind_ == READ) {
      Merge(&cell->read);
      return;
    }
    if (RacesWith(cell->read)) {
      Note("race: write of what another thread reads", &cell->read);
    }
    Merge(&cell->write);
  }

  // One fault per access is enough.
  void Note(const char* what, const Record* other = nullptr) {
    if (faulty_) {
      return;
    }
    faulty_ = true;
    // The last of several may be this thread itself.
    const bool named =
        other && (other->block != now.block || other->thread != now.thread);
    const Place place =
        named ? Place{other->block, other->thread, other->epoch} : Place();
    NoteFault(what, at_, size_, now, call_, named ? &place : nullptr);
  }

 private:
  bool RacesWith(const Record& record) const {
    if (record.period != period_ || (record.atomic && kind_ == ATOMIC)) {
      return false;
    }
    if (record.by_blocks) {
      return true;
    }
    if (record.block != now.block) {
      return !Sees(Place{record.block, record.thread, record.epoch});
    }
    return record.epoch == now.epoch &&
           (record.by_threads || record.thread != now.thread);
  }

  void Merge(Record* record) const {
    const bool atomic = kind_ == ATOMIC;
    // Of a thread's own plain write and atomics the former is what others can
    // race with.
    if (atomic && record->period == period_ && !record->atomic &&
        record->block == now.block && record->epoch == now.epoch) {
      return;
    }
    const bool same_kind =
        record->period == period_ && record->atomic == atomic;
    const bool same_block = same_kind && record->block == now.block;
    const bool by_blocks = same_kind && (record->by_blocks || !same_block);
    const bool by_threads =
        same_block && record->epoch == now.epoch &&
        (record->by_threads || record->thread != now.thread);
    *record = Record{period_, now.block, now.thread, now.epoch, by_threads,
        by_blocks, atomic};
  }

  const uint32_t period_;
  const Kind kind_;
  const char* const at_;
  const size_t size_;
  const void* const call_;
  bool faulty_;
};

void AccessGlobal(const char* at, size_t size, Kind kind, const void* call) {
  Checker checker(launches, kind, at, size, call);
  const size_t address = reinterpret_cast<uintptr_t>(at);
  if (address % std::min<size_t>(size, 16)) {
    checker.Note("misaligned access");
  }
  if (static_cast<size_t>(at - own_memory) >= own_size) {
    checker.Note("access to another device's memory");
  }
  if (size < kWord) {
    checker.Note("access to less than 4 bytes, which cannot be checked");
  }
  const size_t first = WordOf(at);
  for (size_t word = first; word < first + (size + kWord - 1) / kWord; ++word) {
    uint8_t* state = word_states + word;
    if (!(*state & kAllocated)) {
      checker.Note("access out of bounds");
      return;
    }
    if (kind != WRITE && !(*state & kInitialised)) {
      checker.Note("read of what is not initialised");
    }
    if (kind != READ) {
      *state |= kInitialised;
    }
    checker.Check(cells + word);
  }
}

void AccessShared(const Segment& segment, const char* at, size_t size,
    Kind kind, const void* call) {
  Checker checker(block_runs, kind, at, size, call);
  if (reinterpret_cast<uintptr_t>(at) % std::min<size_t>(size, 16)) {
    checker.Note("misaligned access");
  }
  for (size_t i = 0; i < size; ++i) {
    Cell* cell = segment.cells + (at + i - segment.begin);
    if (kind != WRITE && cell->write.period != block_runs) {
      checker.Note("read of shared memory that is not initialised");
    }
    checker.Check(cell);
  }
}

void CountIfMoved(const char* at, size_t size, Kind kind, const void* call) {
  if (IsDevice(at)) {
    CountAccess(at, size, kind != WRITE, kind != READ, call);
    return;
  }
  const Segment* segment = SegmentOf(at);
  if (segment && segment->cells) {
    CountShared(at, size, call);
  }
}

inline void Access(
    const void* pointer, size_t size, Kind kind, const void* call) {
  if (mode == IGNORE) {
    return;
  }
  const char* at = static_cast<const char*>(pointer);
  if (static_cast<size_t>(at - locals) < kLocals) {
    return;
  }
  if (mode == COUNT) {
    CountIfMoved(at, size, kind, call);
    return;
  }
  if (IsDevice(at)) {
    AccessGlobal(at, size, kind, call);
    return;
  }
  const Segment* segment = SegmentOf(at);
  if (!segment) {
    NoteFault("access to the host's memory", at, size, now, call, nullptr);
    EndIfFaulty();
  } else if (segment->cells) {
    AccessShared(*segment, at, size, kind, call);
  } else if (kind != READ) {
    NoteFault("write to a constant", at, size, now, call, nullptr);
    EndIfFaulty();
  }
}

}  // namespace

void BeginLaunch() {
  ++launches;
  own_size = kArena / NumDevices();
  own_memory = arena + own_size * CurrentDevice();
  mode = Profiling() ? COUNT : CHECK;
  ForgetPublished();
}

void EndLaunch() { mode = IGNORE; }

void BeginBlock(unsigned block) {
  now = Place{block, 0, 0};
  ++block_runs;
  ForgetSeen();
}

void NextEpoch() {
  if (++now.epoch == kMaxEpochs) {
    Fail("more than %u barriers", kMaxEpochs);
  }
}

void CheckAtomic(void* address, size_t size, const void* call) {
  Access(address, size, ATOMIC, call);
  NoteAtomic(address);
}

}  // namespace emulator

// What the compiler's -fsanitize=thread calls.
extern "C" {

#define EMULATOR_ACCESS(size)                                                 \
  void __tsan_read##size(void* at) {                                          \
    emulator::Access(at, size, emulator::READ, __builtin_return_address(0));  \
  }                                                                           \
  void __tsan_write##size(void* at) {                                         \
    emulator::Access(at, size, emulator::WRITE, __builtin_return_address(0)); \
  }                                                                           \
  void __tsan_unaligned_read##size(void* at) {                                \
    emulator::Access(at, size, emulator::READ, __builtin_return_address(0));  \
  }                                                                           \
  void __tsan_unaligned_write##size(void* at) {                               \
    emulator::Access(at, size, emulator::WRITE, __builtin_return_address(0)); \
  }
EMULATOR_ACCESS(1)
EMULATOR_ACCESS(2)
EMULATOR_ACCESS(4)
EMULATOR_ACCESS(8)
EMULATOR_ACCESS(16)
#undef EMULATOR_ACCESS

void __tsan_read_range(void* at, size_t size) {
  emulator::Access(at, size, emulator::READ, __builtin_return_address(0));
}
void __tsan_write_range(void* at, size_t size) {
  emulator::Access(at, size, emulator::WRITE, __builtin_return_address(0));
}
// What its -fsanitize=bounds-strict calls. The access itself would follow.
void __ubsan_handle_out_of_bounds(void*, void*) {
  emulator::NoteFault("index beyond an array's bounds", nullptr, 0,
      emulator::now, __builtin_return_address(0), nullptr);
  emulator::EndIfFaulty();
}

void __tsan_init() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
}
