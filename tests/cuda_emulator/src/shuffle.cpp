#include "shuffle.hpp"

#include <cstring>

#include "access.hpp"
#include "report.hpp"

namespace emulator {

namespace {

const unsigned kLanes = 32;
const unsigned kWarps = 32;  // of a block

struct Warp {
  unsigned waiting;  // a bit for each lane that waits
  Exchange lanes[kLanes];
};

Warp warps[kWarps];
std::vector<unsigned> complete;  // threads

void Note(const char* what, unsigned thread, const Exchange& exchange) {
  const Place place = {now.block, thread, now.epoch};
  NoteFault(what, nullptr, 0, place, exchange.call, nullptr);
}

// Those of its lanes that are at the same shuffle.
unsigned ThereToo(const Warp& warp, const Exchange& exchange) {
  unsigned there = 0;
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    const Exchange& other = warp.lanes[lane];
    const unsigned bit = 1u << lane;
    if (warp.waiting & bit && other.line == exchange.line &&
        other.lanes == exchange.lanes) {
      there |= bit;
    }
  }
  return there;
}

// Gives each of the lanes the value of its source.
void Complete(Warp* warp, unsigned first_thread, unsigned lanes) {
  char values[kLanes][8];
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    if (lanes >> lane & 1) {
      const Exchange& exchange = warp->lanes[lane];
      std::memcpy(values[lane], exchange.value, exchange.size);
    }
  }
  for (unsigned lane = 0; lane < kLanes; ++lane) {
    if (lanes >> lane & 1) {
      const Exchange& exchange = warp->lanes[lane];
      std::memcpy(exchange.value, values[exchange.source], exchange.size);
      complete.push_back(first_thread + lane);
    }
  }
  warp->waiting &= ~lanes;
}

// Lanes that wait for others when no thread can go on.
void NoteIncomplete() {
  for (unsigned w = 0; w < kWarps; ++w) {
    for (unsigned lane = 0; lane < kLanes; ++lane) {
      if (warps[w].waiting >> lane & 1) {
        const Exchange& exchange = warps[w].lanes[lane];
        const bool elsewhere =
            exchange.lanes & warps[w].waiting & ~ThereToo(warps[w], exchange);
        Note(elsewhere ? "shuffle, while other lanes are at another"
                       : "shuffle that some lanes never reach",
            w * kLanes + lane, exchange);
      }
    }
  }
  EndIfFaulty();
}

}  // namespace

void BeginShuffle(const Exchange& exchange) {
  const unsigned lane = now.thread % kLanes;
  Warp* const warp = warps + now.thread / kLanes;
  warp->lanes[lane] = exchange;
  warp->waiting |= 1u << lane;
  if (!(exchange.lanes >> lane & 1)) {
    Note("shuffle by a lane that its mask lacks", now.thread, exchange);
  }
  if (exchange.source >= kLanes || !(exchange.lanes >> exchange.source & 1)) {
    Note("shuffle from a lane that its mask lacks", now.thread, exchange);
    EndIfFaulty();
  }
  // The last lane of a warp to come is mostly that which completes it.
  if ((warp->waiting & exchange.lanes) == exchange.lanes &&
      ThereToo(*warp, exchange) == exchange.lanes) {
    Complete(warp, now.thread - lane, exchange.lanes);
  }
}

std::vector<unsigned> TakeShuffled() {
  if (complete.empty()) {
    NoteIncomplete();
  }
  std::vector<unsigned> threads;
  threads.swap(complete);
  return threads;
}

}  // namespace emulator
