#ifndef CAFFE_TEST_APPROX_DROPOUT_INNER_PRODUCT_UTIL_HPP_
#define CAFFE_TEST_APPROX_DROPOUT_INNER_PRODUCT_UTIL_HPP_

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "caffe/test/test_approx_dropout_util.hpp"

namespace caffe {

/// @brief One layer and its patterns. x is (outer x samples x inputs), or
///        (samples x inputs) if outer is 0.
struct ProductCase {
  const char* pattern;
  int outer, samples, inputs, outputs;
  int tile_size;
  TestPattern output, input;  // no groups in input: not compact_input
  bool compact_output, bias;
};

inline vector<ProductCase> ProductCases() {
  const TestPattern half = MakePattern(16, 8);
  const TestPattern third = MakePattern(3, 1);
  const TestPattern five = MakePattern(5, 3);
  const TestPattern all = MakePattern(4, 4);
  const TestPattern half2 = MakePattern(4, 2, 2);
  const TestPattern most3 = MakePattern(6, 4, 3);
  const ProductCase kCases[] = {
    // Sizes that the period divides, and that it does not.
    {"ROW", 0, 6, 32, 48, 32, half, kNone, false, true},
    {"ROW", 0, 6, 32, 48, 32, half, kNone, true, true},
    {"ROW", 0, 5, 31, 37, 32, five, kNone, true, false},
    {"ROW", 0, 5, 31, 37, 32, five, kNone, false, true},
    {"ROW", 0, 5, 30, 37, 32, third, kNone, true, true},
    {"ROW", 0, 5, 30, 37, 32, third, five, true, true},
    {"ROW", 0, 5, 30, 37, 32, five, third, false, true},
    {"ROW", 0, 4, 33, 33, 32, half, half, true, true},
    {"ROW", 0, 4, 20, 17, 32, all, all, true, true},
    {"ROW", 0, 1, 16, 16, 32, half, half, true, false},
    // Inner products along more axes.
    {"ROW", 3, 4, 12, 10, 32, five, kNone, true, true},
    {"ROW", 3, 4, 12, 10, 32, five, third, false, true},
    // Groups, the same number on both sides and, where there are no time
    // steps, different ones.
    {"ROW", 0, 6, 12, 20, 32, half2, kNone, true, true},
    {"ROW", 0, 6, 12, 18, 32, half2, kNone, false, true},
    {"ROW", 0, 6, 12, 18, 32, most3, half2, true, true},
    {"ROW", 0, 6, 12, 19, 32, half2, most3, false, false},
    {"ROW", 4, 6, 12, 18, 32, most3, MakePattern(4, 3, 3), true, true},
    {"ROW", 3, 6, 12, 19, 32, half2, MakePattern(3, 1, 2), false, false},
    {"ROW", 3, 6, 12, 20, 32, half2, five, true, true},
    {"NONE", 0, 6, 31, 18, 32, kNone, five, false, true},
    {"NONE", 0, 6, 12, 18, 32, kNone, half2, false, true},
    {"NONE", 3, 6, 12, 18, 32, kNone, most3, false, false},
    {"NONE", 0, 3, 12, 18, 32, kNone, kNone, false, true},
    // Tiles: whole, cut off at both edges, of one synapse, larger than W.
    {"TILE", 0, 5, 64, 128, 8, MakePattern(8, 4), kNone, false, true},
    {"TILE", 0, 5, 61, 75, 8, five, kNone, false, true},
    {"TILE", 0, 5, 61, 75, 8, third, kNone, false, false},
    {"TILE", 0, 5, 13, 11, 1, five, kNone, false, true},
    {"TILE", 0, 5, 13, 40, 32, MakePattern(2, 1), kNone, false, true},
    {"TILE", 0, 5, 61, 75, 8, third, five, false, true},
    {"TILE", 0, 6, 48, 40, 4, half2, kNone, false, true},
    {"TILE", 0, 6, 48, 40, 4, half2, most3, false, true},
    {"TILE", 3, 6, 48, 40, 4, most3, MakePattern(4, 2, 3), false, true},
    {"TILE", 3, 6, 45, 41, 7, all, kNone, false, true},
    // Groups whose tiles are of other sizes at both edges, whole and compact;
    // fewer tile rows, or columns, than the period; sizes for wide copies.
    {"TILE", 0, 6, 45, 41, 7, half2, kNone, false, true},
    {"TILE", 0, 6, 42, 43, 8, half2, most3, false, true},
    {"TILE", 3, 6, 40, 43, 8, half2, MakePattern(5, 3, 2), false, true},
    {"TILE", 2, 6, 42, 43, 8, five, most3, false, false},
    {"TILE", 0, 4, 40, 20, 8, MakePattern(7, 2, 2), kNone, false, true},
    {"TILE", 0, 4, 20, 40, 8, MakePattern(7, 2, 2), kNone, false, true},
    {"TILE", 0, 4, 36, 60, 8, MakePattern(6, 1), kNone, false, true},
    {"TILE", 2, 4, 64, 32, 4, half2, kNone, false, true},
    // Groups that keep everything, and those of one sample.
    {"ROW", 2, 6, 12, 20, 32, MakePattern(4, 4, 2), kNone, true, true},
    {"ROW", 0, 6, 12, 17, 32, MakePattern(3, 1, 6), kNone, false, true},
    {"ROW", 0, 6, 24, 16, 32, MakePattern(4, 3, 3), MakePattern(4, 4, 2),
     true, true},
    {"NONE", 0, 6, 32, 16, 32, kNone, MakePattern(8, 4, 3), false, false},
  };
  return vector<ProductCase>(kCases,
      kCases + sizeof(kCases) / sizeof(ProductCase));
}

/// @brief The layer written out: full-size x, y, W and their gradients, in
///        double.
struct ProductOracle {
  vector<double> x, y, dx, dw, db;     // expected values
  vector<double> y_size, dx_size, dw_size, db_size;  // sums of magnitudes
};

inline bool TileKept(const ProductCase& c, int o, int i, int row) {
  return c.output.keeps(o / c.tile_size + i / c.tile_size, row, c.samples);
}

inline void AddTerm(double term, double* sum, double* size) {
  *sum += term;
  *size += std::abs(term);
}

template <typename Dtype>
void RunOracle(const ProductCase& c, double scale,
    const vector<double>& x, const Dtype* w, const Dtype* b,
    const vector<double>& dy, ProductOracle* out) {
  const int rows = std::max(c.outer, 1) * c.samples;
  const bool tile = c.pattern == string("TILE");
  const bool row_pattern = c.pattern == string("ROW");
  out->y.assign(rows * c.outputs, 0);
  out->dx.assign(rows * c.inputs, 0);
  out->dw.assign(c.outputs * c.inputs, 0);
  out->db.assign(c.outputs, 0);
  out->y_size = out->y;
  out->dx_size = out->dx;
  out->dw_size = out->dw;
  out->db_size = out->db;
  for (int row = 0; row < rows; ++row) {
    for (int o = 0; o < c.outputs; ++o) {
      if (row_pattern && !c.output.keeps(o, row, c.samples)) { continue; }
      const double bias_scale = row_pattern ? scale : 1;
      const int at = row * c.outputs + o;
      if (b) {
        AddTerm(bias_scale * b[o], &out->y[at], &out->y_size[at]);
        AddTerm(bias_scale * dy[at], &out->db[o], &out->db_size[o]);
      }
      for (int i = 0; i < c.inputs; ++i) {
        if (tile && !TileKept(c, o, i, row)) { continue; }
        const int wi = o * c.inputs + i;
        const int xi = row * c.inputs + i;
        AddTerm(scale * x[xi] * w[wi], &out->y[at], &out->y_size[at]);
        AddTerm(scale * dy[at] * w[wi], &out->dx[xi], &out->dx_size[xi]);
        AddTerm(scale * dy[at] * x[xi], &out->dw[wi], &out->dw_size[wi]);
      }
    }
  }
}

}  // namespace caffe

#endif  // CAFFE_TEST_APPROX_DROPOUT_INNER_PRODUCT_UTIL_HPP_
