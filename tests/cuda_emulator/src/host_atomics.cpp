// Atomic operations of the host's code in a .cu, those of shared_ptr say, which
// the compiler's tsan pass turns into calls. Kernels' own are in
// cuda_emulator/launch.hpp.

#include <cstdint>

extern "C" {

#define EMULATOR_ATOMIC(T, bits)                                         \
  T __tsan_atomic##bits##_load(const volatile T* at, int) {              \
    return __atomic_load_n(at, __ATOMIC_SEQ_CST);                        \
  }                                                                      \
  void __tsan_atomic##bits##_store(volatile T* at, T value, int) {       \
    __atomic_store_n(at, value, __ATOMIC_SEQ_CST);                       \
  }                                                                      \
  T __tsan_atomic##bits##_exchange(volatile T* at, T value, int) {       \
    return __atomic_exchange_n(at, value, __ATOMIC_SEQ_CST);             \
  }                                                                      \
  T __tsan_atomic##bits##_fetch_add(volatile T* at, T value, int) {      \
    return __atomic_fetch_add(at, value, __ATOMIC_SEQ_CST);              \
  }                                                                      \
  T __tsan_atomic##bits##_fetch_sub(volatile T* at, T value, int) {      \
    return __atomic_fetch_sub(at, value, __ATOMIC_SEQ_CST);              \
  }                                                                      \
  int __tsan_atomic##bits##_compare_exchange_strong(                     \
      volatile T* at, T* expected, T value, int, int) {                  \
    return __atomic_compare_exchange_n(                                  \
        at, expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
  }                                                                      \
  int __tsan_atomic##bits##_compare_exchange_weak(                       \
      volatile T* at, T* expected, T value, int, int) {                  \
    return __atomic_compare_exchange_n(                                  \
        at, expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
  }
EMULATOR_ATOMIC(uint8_t, 8)
EMULATOR_ATOMIC(uint32_t, 32)
EMULATOR_ATOMIC(uint64_t, 64)
#undef EMULATOR_ATOMIC
}
