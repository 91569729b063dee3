#ifndef CAFFE_APPROX_DROPOUT_PATTERN_SAMPLE_GROUPS_HPP_
#define CAFFE_APPROX_DROPOUT_PATTERN_SAMPLE_GROUPS_HPP_

#include <algorithm>
#include <vector>

#include "caffe/approx_dropout/pattern/kept_cells.hpp"
#include "caffe/common.hpp"

namespace caffe {

/**
 * @brief Which rows of an (outer x num_samples x features) blob, num_samples
 *        rows per time step, belong to which group of samples. At step t, range
 *        b of them, `size` samples, belongs to group (b + t) mod G if groups
 *        rotate, else to group b. Rotation lets the errors of the groups, which
 *        differ in sign, cancel within each sample's sequence, too.
 */
struct GroupRows {
  int size;
  int num_samples;
  bool rotates;

  CAFFE_HOST_DEVICE int num_groups() const { return num_samples / size; }
  /// @brief The group of a sample at step t >= 0.
  CAFFE_HOST_DEVICE int group(int t, int sample) const {
    return (sample / size + (rotates ? t : 0)) % num_groups();
  }
  /// @brief The first sample of a group at step t >= 0.
  CAFFE_HOST_DEVICE int first(int t, int group) const {
    const int groups = num_groups();
    return (group + groups - (rotates ? t % groups : 0)) % groups * size;
  }
  /// @brief The i-th row of a group.
  CAFFE_HOST_DEVICE int operator()(int group, int i) const {
    const int t = i / size;
    return t * num_samples + first(t, group) + i % size;
  }
};

/// Residues of all groups together that go to one kernel: those of two sides
/// fit into the 4 KB of its parameters.
const int kMaxGroupResidues = 880;

/**
 * @brief The patterns of several groups of samples, small enough to be passed
 *        to a kernel by value. They have one period and keep equally many
 *        residues, at most kMaxResidues.
 */
struct KeptGroups {
  int first;  // group that `residues` begins with
  int count;  // of groups
  int period;
  int kept;
  // NOLINT_NEXT_LINE(runtime/int)
  unsigned short residues[kMaxGroupResidues];  // (count x kept)

  /// @brief *cells = those of group first + i. Does the part of
  ///        `thread` of num_threads.
  CAFFE_HOST_DEVICE void Get(int i, KeptCells* cells, int thread,
      int num_threads) const {
    if (thread == 0) {
      cells->period = period;
      cells->kept = kept;
    }
    for (int j = thread; j < kept; j += num_threads) {
      cells->residues[j] = residues[i * kept + j];
    }
  }
};

/// @brief How many groups like this one fit into KeptGroups.
inline int MaxGroups(const KeptCells& group) {
  return kMaxGroupResidues / group.kept;
}

/// @brief Groups first ... first + count - 1 of them, or up to the last.
inline KeptGroups GroupsFrom(const vector<KeptCells>& groups, int first,
    int count) {
  KeptGroups some = {};
  some.first = first;
  some.count = std::min<int>(count, groups.size() - first);
  some.period = groups[0].period;
  some.kept = groups[0].kept;
  CHECK_LE(some.count * some.kept, kMaxGroupResidues);
  for (int i = 0; i < some.count; ++i) {
    const KeptCells& group = groups[first + i];
    CHECK(group.period == some.period && group.kept == some.kept)
        << "groups differ in their period or in how many residues they keep";
    std::copy(group.residues, group.residues + some.kept,
        some.residues + i * some.kept);
  }
  return some;
}

/// @brief The cells that some group keeps.
inline KeptCells UnionOf(const vector<KeptCells>& groups) {
  vector<bool> keeps(groups[0].period);
  for (size_t g = 0; g < groups.size(); ++g) {
    for (int j = 0; j < groups[g].kept; ++j) {
      keeps[groups[g].residues[j]] = true;
    }
  }
  const int kept = std::count(keeps.begin(), keeps.end(), true);
  if (kept == groups[0].period) { return AllCells(); }
  CHECK_LE(kept, kMaxResidues) << "residues that the groups of a pattern keep "
      << "together; on the GPU there can be " << kMaxResidues;
  KeptCells cells = {};
  cells.period = groups[0].period;
  for (int residue = 0; residue < cells.period; ++residue) {
    if (keeps[residue]) { cells.residues[cells.kept++] = residue; }
  }
  return cells;
}

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_PATTERN_SAMPLE_GROUPS_HPP_
