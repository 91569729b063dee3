#include "curand.h"

#include <random>

#include "counts.hpp"
#include "memory.hpp"

struct EmulatedGenerator {
  std::mt19937_64 engine;
  unsigned long long seed;  // NOLINT(runtime/int)
};

namespace {

template <typename T, typename Distribution>
curandStatus_t Generate(EmulatedGenerator* generator, T* to, size_t count,
    Distribution distribution) {
  const emulator::DeviceAccess access;
  emulator::CheckWrite(to, count * sizeof(T), "numbers that cuRAND makes");
  emulator::CountMoves("curandGenerate", 0, count * sizeof(T));
  for (size_t i = 0; i < count; ++i) {
    to[i] = distribution(generator->engine);
  }
  return CURAND_STATUS_SUCCESS;
}

// cuRAND's uniform numbers are above 0 and may be 1.
template <typename T>
curandStatus_t Uniform(EmulatedGenerator* generator, T* to, size_t count) {
  std::uniform_real_distribution<T> below_one(0, 1);
  return Generate(generator, to, count,
      [&](std::mt19937_64& engine) { return 1 - below_one(engine); });
}

// Its normal numbers come in pairs.
template <typename T>
curandStatus_t Normal(
    EmulatedGenerator* generator, T* to, size_t count, T mean, T deviation) {
  if (count % 2) {
    return CURAND_STATUS_LENGTH_NOT_MULTIPLE;
  }
  return Generate(
      generator, to, count, std::normal_distribution<T>(mean, deviation));
}

}  // namespace

extern "C" {

curandStatus_t curandCreateGenerator(
    curandGenerator_t* generator, curandRngType_t type) {
  if (type != CURAND_RNG_PSEUDO_DEFAULT) {
    return CURAND_STATUS_TYPE_ERROR;
  }
  *generator = new EmulatedGenerator();
  return CURAND_STATUS_SUCCESS;
}

curandStatus_t curandDestroyGenerator(curandGenerator_t generator) {
  delete generator;
  return CURAND_STATUS_SUCCESS;
}

curandStatus_t curandSetPseudoRandomGeneratorSeed(curandGenerator_t generator,
    unsigned long long seed) {  // NOLINT(runtime/int)
  generator->seed = seed;
  generator->engine.seed(seed);
  return CURAND_STATUS_SUCCESS;
}

curandStatus_t curandSetGeneratorOffset(curandGenerator_t generator,
    unsigned long long offset) {  // NOLINT(runtime/int)
  generator->engine.seed(generator->seed);
  generator->engine.discard(offset);
  return CURAND_STATUS_SUCCESS;
}

curandStatus_t curandGenerate(
    curandGenerator_t generator, unsigned* to, size_t count) {
  return Generate(
      generator, to, count, std::uniform_int_distribution<unsigned>());
}

curandStatus_t curandGenerateUniform(
    curandGenerator_t generator, float* to, size_t count) {
  return Uniform(generator, to, count);
}

curandStatus_t curandGenerateUniformDouble(
    curandGenerator_t generator, double* to, size_t count) {
  return Uniform(generator, to, count);
}

curandStatus_t curandGenerateNormal(curandGenerator_t generator, float* to,
    size_t count, float mean, float deviation) {
  return Normal(generator, to, count, mean, deviation);
}

curandStatus_t curandGenerateNormalDouble(curandGenerator_t generator,
    double* to, size_t count, double mean, double deviation) {
  return Normal(generator, to, count, mean, deviation);
}
}
