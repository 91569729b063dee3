#ifndef CAFFE_TEST_APPROX_DROPOUT_UTIL_HPP_
#define CAFFE_TEST_APPROX_DROPOUT_UTIL_HPP_

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "caffe/approx_dropout/pattern/kept_cells.hpp"
#include "caffe/blob.hpp"
#include "caffe/filler.hpp"
#include "caffe/layer.hpp"
#include "gtest/gtest.h"

namespace caffe {

/// @brief A pattern as a test states it; no groups: no pattern.
struct TestPattern {
  int period;
  vector<vector<int> > groups;  // residues of each group

  bool none() const { return groups.empty(); }
  // row: of a blob of (steps x num_samples) rows.
  bool keeps(int cell, int row, int num_samples) const {
    if (none()) { return true; }
    const int range = row % num_samples * groups.size() / num_samples;
    const vector<int>& r =
        groups[(range + row / num_samples) % groups.size()];
    return std::count(r.begin(), r.end(), cell % period) > 0;
  }
  vector<int> kept_units(int units, int row, int num_samples) const {
    vector<int> kept;
    for (int u = 0; u < units; ++u) {
      if (keeps(u, row, num_samples)) { kept.push_back(u); }
    }
    return kept;
  }
};

/// @brief `kept` of `period` residues for each group, by a fixed rule.
inline TestPattern MakePattern(int period, int kept, int groups = 1) {
  TestPattern pattern;
  pattern.period = period;
  for (int g = 0; g < groups; ++g) {
    vector<int> residues;
    for (int i = 0; i < kept; ++i) {
      // 0, 2, 4, ..., then 1, 3, ...: neither contiguous nor evenly spaced.
      const int place = 2 * i < period ? 2 * i : 2 * i - (period | 1) + 1;
      residues.push_back((std::min(place, period - 1) + g) % period);
    }
    std::sort(residues.begin(), residues.end());
    residues.erase(std::unique(residues.begin(), residues.end()),
        residues.end());
    pattern.groups.push_back(residues);
  }
  return pattern;
}

const TestPattern kNone = TestPattern();

/// @brief The cells that each of `count` groups keeps.
inline vector<KeptCells> CellsOfGroups(const TestPattern& pattern,
    int count) {
  vector<KeptCells> groups(count, AllCells());
  for (int g = 0; g < count && !pattern.none(); ++g) {
    const vector<int>& residues =
        pattern.groups[g * pattern.groups.size() / count];
    groups[g].period = pattern.period;
    groups[g].kept = residues.size();
    std::copy(residues.begin(), residues.end(), groups[g].residues);
  }
  return groups;
}

/// @brief Writes the blob that DropoutPattern would put out at set-up: nobody
///        has written it, its shape tells N.
template <typename Dtype>
void WriteUndrawn(int groups, int max_period, Blob<Dtype>* blob) {
  vector<int> shape(2, groups);
  shape[1] = 2 + max_period;
  blob->Reshape(shape);
  std::fill_n(blob->mutable_cpu_data(), blob->count(), Dtype(0));
}

template <typename Dtype>
void WritePattern(const TestPattern& pattern, double scale,
    Blob<Dtype>* blob) {
  vector<int> shape(2, pattern.groups.size());
  shape[1] = 2 + pattern.groups[0].size();
  blob->Reshape(shape);
  Dtype* row = blob->mutable_cpu_data();
  for (int g = 0; g < shape[0]; ++g, row += shape[1]) {
    row[0] = scale;
    row[1] = pattern.period;
    std::copy(pattern.groups[g].begin(), pattern.groups[g].end(), row + 2);
  }
}

template <typename Dtype>
void FillGaussian(Blob<Dtype>* blob, bool diff = false) {
  FillerParameter param;
  GaussianFiller<Dtype> filler(param);
  filler.Fill(blob);
  if (diff) {
    std::copy(blob->cpu_data(), blob->cpu_data() + blob->count(),
        blob->mutable_cpu_diff());
  }
}

/// @brief Not-a-numbers, so that a forgotten element shows.
template <typename Dtype>
void Poison(Dtype* data, int count) {
  std::fill_n(data, count, std::numeric_limits<Dtype>::quiet_NaN());
}

template <typename Dtype>
vector<double> ToDouble(const Dtype* data, int count) {
  return vector<double>(data, data + count);
}

/// @brief full[row][kept unit] = stored[row][place], zero elsewhere.
template <typename Dtype>
vector<double> ExpandUnits(const TestPattern& pattern, int rows, int samples,
    int units, const Dtype* stored) {
  vector<double> full(rows * units);
  for (int row = 0; row < rows; ++row) {
    const vector<int> kept = pattern.kept_units(units, row, samples);
    for (int j = 0; j < kept.size(); ++j) {
      full[row * units + kept[j]] = stored[row * kept.size() + j];
    }
  }
  return full;
}

/// @brief |actual - expected| to 1e-5 (float) or 1e-10 (double), relative to
///        the size of the terms that were summed.
template <typename Dtype>
void ExpectNear(double expected, Dtype actual, double magnitude,
    const char* what, int index) {
  const double tolerance = sizeof(Dtype) == 4 ? 1e-5 : 1e-10;
  EXPECT_NEAR(expected, actual, tolerance * std::max(1., magnitude))
      << what << " at " << index;
}

/// @brief Passes over a batch of no samples: nothing is put out, and gradients
///        of parameters stay what they are.
template <typename Dtype>
void CheckNoSamples(Layer<Dtype>* layer, const vector<Blob<Dtype>*>& bottom,
    const vector<Blob<Dtype>*>& top) {
  vector<int> shape = bottom[0]->shape();
  shape[0] = 0;
  bottom[0]->Reshape(shape);
  layer->Reshape(bottom, top);
  EXPECT_EQ(0, top[0]->count());
  for (const shared_ptr<Blob<Dtype> >& blob : layer->blobs()) {
    caffe_set(blob->count(), Dtype(2), blob->mutable_cpu_diff());
  }
  layer->Forward(bottom, top);
  layer->Backward(top, vector<bool>(bottom.size(), true), bottom);
  for (const shared_ptr<Blob<Dtype> >& blob : layer->blobs()) {
    EXPECT_EQ(2 * blob->count(), blob->asum_diff());
  }
}

}  // namespace caffe

#endif  // CAFFE_TEST_APPROX_DROPOUT_UTIL_HPP_
