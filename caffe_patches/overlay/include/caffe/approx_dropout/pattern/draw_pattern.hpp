#ifndef CAFFE_APPROX_DROPOUT_PATTERN_DRAW_PATTERN_HPP_
#define CAFFE_APPROX_DROPOUT_PATTERN_DRAW_PATTERN_HPP_

#include <stdint.h>

#include <string>
#include <vector>

#include "caffe/proto/caffe.pb.h"

namespace caffe {

/**
 * @brief A stream of 32-bit words, a function of (seed, name, draw) only:
 *        Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as
 *        1, 2, 3", 2011) with
 *
 *            key      seed XOR FNV-1a-64(name), low word first
 *            counter  (block, 0, draw's low word, draw's high word)
 *
 *        for block = 0, 1, 2, ...; a block's four words come in order.
 */
class PatternStream {
 public:
  PatternStream(uint64_t seed, const std::string& name, uint64_t draw);

  uint32_t NextWord();
  /// @brief In [0, 1): ((a >> 5) 2^26 + (b >> 6)) / 2^53 of two words a, b.
  double NextUniform();
  /// @brief Below n, each as likely: (w n) >> 32 of a word w, words with
  ///        w n mod 2^32 < 2^32 mod n being skipped.
  int NextBelow(int n);

 private:
  uint32_t counter_[4];
  uint32_t key_[2];
  uint32_t block_[4];
  int used_;
};

/// @brief Philox4x32-10: four words from a counter and a key.
void Philox4x32(const uint32_t counter[4], const uint32_t key[2],
    uint32_t out[4]);

/// @brief p of a distribution K over a family; K need not sum to exactly 1.
double DropRate(DropoutPatternParameter::Family family,
    const std::vector<double>& probability);

/**
 * @brief Draws period and residues; residues[g] are those of group g.
 *
 * i is the least with u ΣK < K_1 + ... + K_i and K_i > 0, u a NextUniform().
 * PERIOD: the period is i, its residue NextBelow(i). RESIDUE: each group gets
 * i of 0 ... N-1, sorted, any i as likely; groups are dealt them in rounds,
 * each residue once per round, so that the numbers of groups that keep two
 * residues differ by one at most. draw.py of the Python package says it word
 * for word.
 */
void DrawPattern(DropoutPatternParameter::Family family,
    const std::vector<double>& probability, int groups, PatternStream* stream,
    int* period, std::vector<std::vector<int> >* residues);

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_PATTERN_DRAW_PATTERN_HPP_
