#include "caffe/approx_dropout/pattern/draw_pattern.hpp"

#include <algorithm>
#include <string>
#include <vector>

namespace caffe {

namespace {

uint64_t Fnv1a64(const std::string& text) {
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (size_t i = 0; i < text.size(); ++i) {
    hash = (hash ^ static_cast<unsigned char>(text[i])) * 0x100000001b3ULL;
  }
  return hash;
}

}  // namespace

void Philox4x32(const uint32_t counter[4], const uint32_t key[2],
    uint32_t out[4]) {
  uint32_t key0 = key[0], key1 = key[1];
  std::copy(counter, counter + 4, out);
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = 0xD2511F53ULL * out[0];
    const uint64_t product1 = 0xCD9E8D57ULL * out[2];
    out[0] = static_cast<uint32_t>(product1 >> 32) ^ out[1] ^ key0;
    out[1] = static_cast<uint32_t>(product1);
    out[2] = static_cast<uint32_t>(product0 >> 32) ^ out[3] ^ key1;
    out[3] = static_cast<uint32_t>(product0);
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
}

PatternStream::PatternStream(uint64_t seed, const std::string& name,
    uint64_t draw) : used_(4) {
  const uint64_t key = seed ^ Fnv1a64(name);
  key_[0] = static_cast<uint32_t>(key);
  key_[1] = static_cast<uint32_t>(key >> 32);
  counter_[0] = 0;
  counter_[1] = 0;
  counter_[2] = static_cast<uint32_t>(draw);
  counter_[3] = static_cast<uint32_t>(draw >> 32);
}

uint32_t PatternStream::NextWord() {
  if (used_ == 4) {
    Philox4x32(counter_, key_, block_);
    ++counter_[0];
    used_ = 0;
  }
  return block_[used_++];
}

double PatternStream::NextUniform() {
  const uint32_t high = NextWord() >> 5;
  const uint32_t low = NextWord() >> 6;
  return (high * 67108864.0 + low) / 9007199254740992.0;
}

int PatternStream::NextBelow(int n) {
  const uint32_t range = n;
  const uint32_t skipped = (0u - range) % range;  // 2^32 mod n
  uint64_t product;
  do {
    product = static_cast<uint64_t>(NextWord()) * range;
  } while (static_cast<uint32_t>(product) < skipped);
  return product >> 32;
}

double DropRate(DropoutPatternParameter::Family family,
    const std::vector<double>& probability) {
  const int n = probability.size();
  double total = 0;
  double dropped = 0;
  for (int i = 1; i <= n; ++i) {
    const double rate = family == DropoutPatternParameter::PERIOD ?
        (i - 1.) / i : 1. - static_cast<double>(i) / n;
    total += probability[i - 1];
    dropped += probability[i - 1] * rate;
  }
  return dropped / total;
}

void DrawPattern(DropoutPatternParameter::Family family,
    const std::vector<double>& probability, int groups, PatternStream* stream,
    int* period, std::vector<std::vector<int> >* residues) {
  const int n = probability.size();
  double total = 0;
  for (int i = 0; i < n; ++i) { total += probability[i]; }
  const double target = stream->NextUniform() * total;
  double sum = 0;
  int drawn = 0;
  for (int i = 1; i <= n; ++i) {
    sum += probability[i - 1];
    if (probability[i - 1] > 0) {
      drawn = i;
      if (target < sum) { break; }
    }
  }
  residues->assign(groups, std::vector<int>());
  if (family == DropoutPatternParameter::PERIOD) {
    *period = drawn;
    (*residues)[0].push_back(stream->NextBelow(drawn));
    return;
  }
  *period = n;
  std::vector<int> rest;  // residues that no group of this round has yet
  for (int g = 0; g < groups; ++g) {
    std::vector<int>& group = (*residues)[g];
    if (rest.size() < static_cast<size_t>(drawn)) {
      group.swap(rest);
      std::vector<bool> held(n, false);
      for (size_t j = 0; j < group.size(); ++j) { held[group[j]] = true; }
      for (int i = 0; i < n; ++i) {
        if (!held[i]) { rest.push_back(i); }
      }
    }
    const size_t last_round = group.size();
    while (group.size() < static_cast<size_t>(drawn)) {
      const int j = stream->NextBelow(rest.size());
      group.push_back(rest[j]);
      rest[j] = rest[0];
      rest.erase(rest.begin());
    }
    rest.insert(rest.end(), group.begin(), group.begin() + last_round);
    std::sort(group.begin(), group.end());
  }
}

}  // namespace caffe
