#ifndef FUZZ_REFUSAL_HPP_
#define FUZZ_REFUSAL_HPP_

#include <functional>

/**
 * @brief Runs what reads an input, and tells a refusal from a fault.
 *
 * A refusal is the message of a CHECK, or a std::runtime_error. Any other
 * exception, a signal, a sanitizer's report or a time limit is a fault, and
 * ends the fuzzer.
 *
 * glog does not let a CHECK throw, so it jumps: what the input has allocated is
 * never freed. A fuzzer that has lost 2 GiB that way ends with status 100;
 * scripts/setup/fuzz.sh starts it again. How many inputs were tried, and how
 * many refused, is added to the file counts.
 */
class Refusal {
 public:
  /// @brief Whether `read` came to its end. The fuzzers run one thread that
  ///        calls this.
  static bool Reads(const std::function<void()>& read);
};

#endif  // FUZZ_REFUSAL_HPP_
