#ifndef CUDA_EMULATOR_FENCES_HPP_
#define CUDA_EMULATOR_FENCES_HPP_

#include "report.hpp"

namespace emulator {

// What a block sees of others' writes within a launch. A thread that does an
// atomic operation behind its __threadfence publishes what it, and what its
// block before the last barrier, has done so far. A thread with a __threadfence
// behind an atomic operation at the same place, and its block behind the next
// barrier, sees what was published there before. All else that two blocks do at
// the same place is a race.

void ForgetPublished();  // a launch begins
void ForgetSeen();       // a block begins
void NoteFence();
void NoteAtomic(const void* address);

// Whether the thread that runs sees what another block's thread did at `place`.
bool Sees(const Place& place);

}  // namespace emulator

#endif  // CUDA_EMULATOR_FENCES_HPP_
