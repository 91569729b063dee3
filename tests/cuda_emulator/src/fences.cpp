#include "fences.hpp"

#include <map>
#include <vector>

#include "access.hpp"

namespace emulator {

namespace {

// Of each atomic's place, who published there.
std::map<const void*, std::vector<Place>> published;

bool fenced = false;
Place fence;                 // the block's last one
std::vector<Place> waiting;  // published where the last atomic was done,
Place asked;                 // by this thread, which has no fence behind it yet
struct Seen {
  Place by, what;
};
std::vector<Seen> seen;  // by the block that runs

// Whether, in one block, the second place comes behind the first.
bool Follows(const Place& first, const Place& second) {
  return second.epoch > first.epoch ||
         (second.epoch == first.epoch && second.thread == first.thread);
}

}  // namespace

void ForgetPublished() { published.clear(); }

void ForgetSeen() {
  fenced = false;
  waiting.clear();
  seen.clear();
}

void NoteFence() {
  fenced = true;
  fence = now;
  if (!waiting.empty() && Follows(asked, now)) {
    for (const Place& place : waiting) {
      seen.push_back(Seen{now, place});
    }
    waiting.clear();
  }
}

void NoteAtomic(const void* address) {
  const auto found = published.find(address);
  if (found != published.end()) {
    waiting = found->second;
    asked = now;
  }
  if (fenced && fence.thread == now.thread && fence.epoch == now.epoch) {
    published[address].push_back(now);
  }
}

bool Sees(const Place& place) {
  for (const Seen& one : seen) {
    if (one.what.block == place.block && Follows(place, one.what) &&
        Follows(one.by, now)) {
      return true;
    }
  }
  return false;
}

}  // namespace emulator

// As kernels know it from cuda_emulator/launch.hpp.
void __threadfence();
void __threadfence() { emulator::NoteFence(); }
