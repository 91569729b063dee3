#include "warps.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include "access.hpp"
#include "counts.hpp"
#include "memory.hpp"

namespace emulator {

namespace {

const size_t kSector = 32;
const size_t kLine = 128;
const size_t kBanks = 32;

// For each sector of the device's memory the last launch that touched it.
struct Footprint {
  Footprint()
      : launches(reinterpret_cast<uint32_t*>(Reserve(
            kArena / kSector * sizeof(uint32_t), PROT_READ | PROT_WRITE))),
        sectors(0) {}
  // Whether one of them was not touched before.
  bool Add(size_t first, size_t last, uint32_t launch) {
    const size_t before = sectors;
    for (size_t sector = first; sector <= last; ++sector) {
      sectors += launches[sector] != launch;
      launches[sector] = launch;
    }
    return sectors > before;
  }
  uint32_t* const launches;
  size_t sectors;  // of this launch
};

struct Request {
  size_t size;  // of each thread's access
  bool shared;
  bool first;  // to read a sector that no thread has read
  unsigned threads;
  const char* at[kWarp];
};

// An instruction, and the requests that it has made.
struct Site {
  std::vector<size_t> requests;
  unsigned thread;  // the last that ran it
  size_t next;      // its next execution
};

uint32_t launch = 0;
Work work;
std::vector<unsigned> sample;  // of the blocks, ascending
bool sampled;                  // the block that runs
double blocks_each;            // of which a sampled one is an example
unsigned warp;                 // whose requests these are:
std::vector<Request> requests;
std::unordered_map<const void*, Site> sites;

// Launches of a kernel in a graph: how many so far, and what the last did.
struct Alike {
  int count = 0;
  Work last;
};

bool in_graph = false;
std::map<std::pair<std::string, std::string>, Alike> graph_launches;

// Fields of a JSON object.
std::string Text(const LaunchShape& shape) {
  char text[200];
  std::snprintf(text, sizeof(text),
      ", \"grid\": [%u, %u, %u], \"block\": [%u, %u, %u]", shape.grid.x,
      shape.grid.y, shape.grid.z, shape.block.x, shape.block.y, shape.block.z);
  return text;
}

Alike* InGraph(const LaunchShape& shape) {
  return &graph_launches[{shape.kernel, Text(shape)}];
}

Footprint& ReadSectors() {
  static Footprint footprint;
  return footprint;
}

Footprint& WrittenSectors() {
  static Footprint footprint;
  return footprint;
}

// How many different parts of that size the bytes lie in.
size_t Parts(const Request& request, size_t part) {
  std::vector<uintptr_t> parts;
  for (unsigned i = 0; i < request.threads; ++i) {
    const uintptr_t begin = reinterpret_cast<uintptr_t>(request.at[i]);
    const uintptr_t last = (begin + request.size - 1) / part;
    for (uintptr_t at = begin / part; at <= last; ++at) {
      parts.push_back(at);
    }
  }
  std::sort(parts.begin(), parts.end());
  return std::unique(parts.begin(), parts.end()) - parts.begin();
}

// Shared memory gives a word of each bank at a time. Accesses of 8 or 16 bytes
// are done for a half or a quarter of the warp at a time.
size_t BankConflicts(const Request& request) {
  const size_t words = (request.size + kWord - 1) / kWord;
  const unsigned together = std::max<size_t>(1, kWarp / words);
  size_t conflicts = 0;
  for (unsigned first = 0; first < request.threads; first += together) {
    std::vector<uintptr_t> banks[kBanks];
    size_t turns = 1;
    const unsigned end = std::min(first + together, request.threads);
    for (unsigned i = first; i < end; ++i) {
      for (size_t w = 0; w < words; ++w) {
        const uintptr_t word =
            reinterpret_cast<uintptr_t>(request.at[i]) / kWord + w;
        std::vector<uintptr_t>* bank = &banks[word % kBanks];
        if (std::find(bank->begin(), bank->end(), word) == bank->end()) {
          bank->push_back(word);
          turns = std::max(turns, bank->size());
        }
      }
    }
    conflicts += turns - 1;
  }
  return conflicts;
}

void Add(const Request& request) {
  if (request.shared) {
    work.shared_requests += blocks_each;
    work.bank_conflicts += blocks_each * BankConflicts(request);
    return;
  }
  work.requests += blocks_each;
  work.first_requests += blocks_each * request.first;
  work.sectors += blocks_each * Parts(request, kSector);
  work.lines += blocks_each * Parts(request, kLine);
  work.needed_bytes += blocks_each * Parts(request, 1);
}

Request* AddToRequest(
    const char* at, size_t size, bool shared, const void* call) {
  if (now.thread / kWarp != warp) {
    EndRequests();
    warp = now.thread / kWarp;
  }
  const auto found = sites.emplace(call, Site{{}, now.thread, 0}).first;
  Site* site = &found->second;
  if (site->thread != now.thread) {
    site->thread = now.thread;
    site->next = 0;
  }
  if (site->next == site->requests.size()) {
    site->requests.push_back(requests.size());
    requests.push_back(Request{size, shared, false, 0, {}});
  }
  Request* request = &requests[site->requests[site->next++]];
  request->at[request->threads++] = at;
  return request;
}

}  // namespace

void BeginCountedLaunch(size_t num_blocks) {
  ++launch;
  work = Work();
  work.launches = 1;
  ReadSectors().sectors = WrittenSectors().sectors = 0;
  const size_t count = std::min<size_t>(num_blocks, kSampledBlocks);
  blocks_each = static_cast<double>(num_blocks) / count;
  sample.clear();
  std::minstd_rand random;
  for (size_t i = 0; i < count; ++i) {
    const unsigned first = i * num_blocks / count;
    const unsigned last = (i + 1) * num_blocks / count - 1;
    sample.push_back(
        std::uniform_int_distribution<unsigned>(first, last)(random));
  }
}

void BeginCountedBlock(unsigned block) {
  sampled = std::binary_search(sample.begin(), sample.end(), block);
  warp = 0;
}

void CountAccess(
    const char* at, size_t size, bool reads, bool writes, const void* call) {
  const size_t first = (at - arena) / kSector;
  const size_t last = (at + size - 1 - arena) / kSector;
  const bool first_read = reads && ReadSectors().Add(first, last, launch);
  if (writes) {
    WrittenSectors().Add(first, last, launch);
  }
  if (sampled) {
    AddToRequest(at, size, false, call)->first |= first_read;
  }
}

void CountShared(const char* at, size_t size, const void* call) {
  if (sampled) {
    AddToRequest(at, size, true, call);
  }
}

void EndRequests() {
  for (const Request& request : requests) {
    Add(request);
  }
  requests.clear();
  sites.clear();
}

void EndCountedLaunch(const LaunchShape& shape) {
  work.read_bytes = ReadSectors().sectors * kSector;
  work.written_bytes = WrittenSectors().sectors * kSector;
  Count("kernel", shape.kernel, Text(shape), work);
  if (in_graph) {
    InGraph(shape)->last = work;
  }
}

void BeginCountedGraph() {
  in_graph = true;
  graph_launches.clear();
}

void EndCountedGraph() { in_graph = false; }

bool CountLikeEarlier(const LaunchShape& shape) {
  if (!in_graph) {
    return false;
  }
  Alike* alike = InGraph(shape);
  if (++alike->count <= 2) {
    return false;
  }
  Count("kernel", shape.kernel, Text(shape), alike->last);
  return true;
}

}  // namespace emulator
