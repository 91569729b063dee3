#ifndef CAFFE_TEST_APPROX_DROPOUT_LSTM_UTIL_HPP_
#define CAFFE_TEST_APPROX_DROPOUT_LSTM_UTIL_HPP_

#include <algorithm>
#include <cmath>
#include <sstream>
#include <string>
#include <vector>

#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

#include "caffe/blob.hpp"
#include "caffe/common.hpp"
#include "caffe/layers/approx_dropout_lstm_layer.hpp"

#include "caffe/test/test_approx_dropout_util.hpp"
#include "caffe/test/test_caffe_main.hpp"

namespace caffe {

/// @brief One layer and its patterns; no groups in input: not compact_input.
struct LSTMCase {
  const char* pattern;
  int steps, samples, inputs, units;
  int tile_size;
  TestPattern output, input;
  bool compact_output, recurrent;
};

const double kScale = 1.25;

/// @brief Every option, with sizes that fit and that do not.
inline vector<LSTMCase> LSTMCases() {
  const TestPattern half = MakePattern(4, 2);
  const TestPattern third = MakePattern(3, 1);
  const TestPattern five = MakePattern(5, 3);
  const TestPattern half2 = MakePattern(4, 2, 2);
  const TestPattern half4 = MakePattern(4, 2, 4);
  const TestPattern all = MakePattern(4, 4);
  const LSTMCase kCases[] = {
      {"NONE", 4, 3, 6, 5, 32, kNone, kNone, false, false},
      {"NONE", 3, 4, 7, 5, 32, kNone, five, false, false},
      {"NONE", 3, 4, 8, 5, 32, kNone, half2, false, false},
      {"NONE", 1, 1, 7, 5, 32, kNone, five, false, false},
      // Sizes that the period divides, and that it does not.
      {"ROW", 4, 3, 6, 8, 32, half, kNone, false, false},
      {"ROW", 4, 3, 6, 8, 32, half, kNone, true, false},
      {"ROW", 4, 3, 6, 8, 32, half, kNone, false, true},
      {"ROW", 4, 3, 6, 8, 32, half, kNone, true, true},
      {"ROW", 3, 2, 7, 11, 32, five, third, false, false},
      {"ROW", 3, 2, 7, 11, 32, five, third, true, false},
      {"ROW", 3, 2, 7, 11, 32, third, five, false, true},
      {"ROW", 3, 2, 7, 11, 32, third, five, true, true},
      {"ROW", 1, 1, 7, 11, 32, five, five, true, true},
      {"ROW", 5, 1, 6, 9, 32, all, third, true, true},
      // Groups; on one side, on both, and where they keep unequally many.
      {"ROW", 3, 4, 8, 8, 32, half2, kNone, true, false},
      {"ROW", 3, 4, 8, 8, 32, half2, kNone, true, true},
      {"ROW", 3, 4, 8, 11, 32, third, half2, true, true},
      {"ROW", 3, 4, 8, 8, 32, half2, half4, true, false},
      {"ROW", 3, 4, 8, 12, 32, half4, half2, true, true},
      {"ROW", 3, 4, 8, 11, 32, half2, half2, false, true},
      {"ROW", 3, 4, 8, 11, 32, half4, half2, false, false},
      {"ROW", 3, 4, 8, 11, 32, MakePattern(5, 2, 2), half2, false, true},
      {"ROW", 6, 4, 8, 12, 32, half4, half2, true, true},
      // So many samples that weights are not packed.
      {"NONE", 2, 97, 4, 3, 32, kNone, third, false, false},
      {"ROW", 2, 97, 4, 3, 32, third, kNone, true, true},
      {"TILE", 2, 97, 4, 3, 1, third, kNone, false, true},
      // What a time step's kernels on the GPU are cut by: rows aligned to 16, 8
      // and 4 bytes, tiles of 8, 16 and 20 samples, and two of them.
      {"NONE", 3, 20, 5, 68, 32, kNone, kNone, false, false},
      {"ROW", 3, 33, 6, 37, 32, third, kNone, true, false},
      {"NONE", 2, 30, 6, 34, 32, kNone, kNone, false, false},
      {"ROW", 2, 12, 8, 36, 32, half4, half2, true, false},
      // Tiles: that fit, cut off at both edges, of one synapse.
      {"TILE", 4, 3, 8, 8, 2, half, kNone, false, false},
      {"TILE", 4, 3, 8, 8, 2, half, kNone, false, true},
      {"TILE", 3, 2, 7, 11, 3, five, third, false, false},
      {"TILE", 3, 2, 7, 11, 3, third, five, false, true},
      {"TILE", 3, 2, 5, 3, 1, five, kNone, false, true},
      {"TILE", 1, 1, 7, 11, 3, third, five, false, true},
      {"TILE", 3, 4, 8, 9, 2, half2, half2, false, true},
      {"TILE", 6, 4, 8, 9, 2, half4, MakePattern(8, 3, 4), false, true},
      {"TILE", 3, 4, 8, 9, 2, half2, kNone, false, true},
      {"TILE", 3, 4, 8, 9, 2, third, half2, false, true},
      {"TILE", 3, 4, 8, 9, 2, half4, kNone, false, false},
  };
  return vector<LSTMCase>(kCases, kCases + sizeof(kCases) / sizeof(LSTMCase));
}

inline double Logistic(double x) { return 1 / (1 + std::exp(-x)); }

/// @brief The layer written out over full-size x, y and weights, in double.
struct LSTMOracle {
  LSTMCase c;
  double scale;
  vector<double> wx, b, wh;        // the parameters
  vector<double> h0, c0;           // the state
  vector<double> x, cont, dy;      // what a pass is given
  vector<double> act, cell, r, y;  // gates, c_t, r_t, y_t
  vector<double> dx, dwx, db, dwh;

  bool row() const { return c.pattern == string("ROW"); }
  bool tile() const { return c.pattern == string("TILE"); }
  // s: a sample's row at one step, of steps x samples.
  double unit_factor(int u, int s) const {
    if (!row()) { return 1; }
    return c.output.keeps(u, s, c.samples) ? scale : 0;
  }
  // That of h_{t-1}, which enters step t; h_0 as at step -1.
  double entering_factor(int u, int s) const {
    const int steps = s < c.samples ? c.output.groups.size() : 0;
    return c.recurrent ? unit_factor(u, s + (steps - 1) * c.samples) : 1;
  }
  double weight_factor(int row, int column, int s) const {
    return c.output.keeps(row / c.tile_size + column / c.tile_size, s,
        c.samples) ? scale : 0;
  }
  double input_factor(int g, int i, int s) const {
    return tile() ? weight_factor(g, i, s) : 1;
  }
  // The same at all steps.
  double recurrent_factor(int g, int u, int n) const {
    return tile() && c.recurrent ? weight_factor(g, u, n) : 1;
  }

  void Forward() {
    const int H = c.units;
    const int D = c.inputs;
    act.assign(c.steps * c.samples * 4 * H, 0);
    cell.assign(c.steps * c.samples * H, 0);
    r = y = cell;
    for (int t = 0; t < c.steps; ++t) {
      for (int n = 0; n < c.samples; ++n) {
        const int s = t * c.samples + n;
        for (int u = 0; u < H; ++u) {
          r[s * H + u] = cont[s] * h0[n * H + u] * entering_factor(u, s);
        }
        for (int g = 0; g < 4 * H; ++g) {
          double sum = b[g];
          for (int i = 0; i < D; ++i) {
            sum += input_factor(g, i, s) * wx[g * D + i] * x[s * D + i];
          }
          for (int u = 0; u < H; ++u) {
            sum += recurrent_factor(g, u, n) * wh[g * H + u] * r[s * H + u];
          }
          act[s * 4 * H + g] = g < 3 * H ? Logistic(sum) : std::tanh(sum);
        }
        const double* a = &act[s * 4 * H];
        for (int u = 0; u < H; ++u) {
          cell[s * H + u] = cont[s] * a[H + u] * c0[n * H + u]
              + a[u] * a[3 * H + u];
          c0[n * H + u] = cell[s * H + u];
          h0[n * H + u] = a[2 * H + u] * std::tanh(cell[s * H + u]);
          y[s * H + u] = unit_factor(u, s) * h0[n * H + u];
        }
      }
    }
  }

  /// @param first_cell c_0 of the pass.
  void Backward(const vector<double>& first_cell) {
    const int H = c.units;
    const int D = c.inputs;
    dx.assign(x.size(), 0);
    dwx.assign(wx.size(), 0);
    db.assign(b.size(), 0);
    dwh.assign(wh.size(), 0);
    vector<double> dh(c.samples * H), dc(c.samples * H), dgate(4 * H);
    for (int t = c.steps - 1; t >= 0; --t) {
      for (int n = 0; n < c.samples; ++n) {
        const int s = t * c.samples + n;
        const double* a = &act[s * 4 * H];
        for (int u = 0; u < H; ++u) {
          const int k = n * H + u;
          const double before = t ? cell[(s - c.samples) * H + u]
              : first_cell[k];
          const double tanh_c = std::tanh(cell[s * H + u]);
          const double i = a[u], f = a[H + u], o = a[2 * H + u];
          const double g = a[3 * H + u];
          dh[k] += unit_factor(u, s) * dy[s * H + u];
          dc[k] += dh[k] * o * (1 - tanh_c * tanh_c);
          dgate[u] = dc[k] * g * i * (1 - i);
          dgate[H + u] = dc[k] * cont[s] * before * f * (1 - f);
          dgate[2 * H + u] = dh[k] * tanh_c * o * (1 - o);
          dgate[3 * H + u] = dc[k] * i * (1 - g * g);
          dc[k] *= cont[s] * f;
          dh[k] = 0;
        }
        for (int g = 0; g < 4 * H; ++g) {
          db[g] += dgate[g];
          for (int i = 0; i < D; ++i) {
            const double d = input_factor(g, i, s) * dgate[g];
            dwx[g * D + i] += d * x[s * D + i];
            dx[s * D + i] += d * wx[g * D + i];
          }
          for (int u = 0; u < H; ++u) {
            const double d = recurrent_factor(g, u, n) * dgate[g];
            dwh[g * H + u] += d * r[s * H + u];
            dh[n * H + u] += d * wh[g * H + u] * cont[s]
                * entering_factor(u, s);
          }
        }
      }
    }
  }
};

/// @brief One layer, its bottoms and its top.
template <typename TypeParam>
class ApproxDropoutLSTMTest : public MultiDeviceTest<TypeParam> {
 protected:
  typedef typename TypeParam::Dtype Dtype;

  ApproxDropoutLSTMTest() { Caffe::set_random_seed(1701); }

  LayerParameter Param(const LSTMCase& c) {
    std::ostringstream text;
    text << "name: 'lstm' type: 'ApproxDropoutLSTM' "
        << "recurrent_param { num_output: " << c.units
        << " weight_filler { type: 'gaussian' std: 0.4 }"
        << " bias_filler { type: 'gaussian' std: 0.2 } } "
        << "approx_dropout_param { pattern: " << c.pattern
        << " tile_size: " << c.tile_size
        << " recurrent: " << (c.recurrent ? "true" : "false")
        << " compact_input: " << (c.input.none() ? "false" : "true")
        << " compact_output: " << (c.compact_output ? "true" : "false") << "}";
    LayerParameter param;
    CHECK(google::protobuf::TextFormat::ParseFromString(text.str(), &param));
    return param;
  }

  void ShapeInput(int steps, int samples, int units) {
    vector<int> shape(2, steps);
    shape[1] = samples;
    cont_.Reshape(shape);
    shape.push_back(units);
    x_.Reshape(shape);
  }

  // Sets the layer up as a net does, with undrawn patterns and all units.
  void SetUpLayer(const LSTMCase& c,
      ApproxDropoutLSTMLayer<Dtype>* layer = NULL) {
    bottom_.assign(1, &x_);
    bottom_.push_back(&cont_);
    top_.assign(1, &y_);
    ShapeInput(c.steps, c.samples, c.inputs);
    if (!c.output.none()) {
      WriteUndrawn(c.output.groups.size(), c.output.period, &out_pattern_);
      bottom_.push_back(&out_pattern_);
    }
    if (!c.input.none()) {
      WriteUndrawn(c.input.groups.size(), c.input.period, &in_pattern_);
      bottom_.push_back(&in_pattern_);
    }
    layer_.reset(layer ? layer : new ApproxDropoutLSTMLayer<Dtype>(Param(c)));
    layer_->SetUp(bottom_, top_);
    EXPECT_EQ(y_.shape(-1), c.units);
  }

  // first: cont of the first step; later ones are 0 here and there.
  void Draw(const LSTMCase& c, int first) {
    if (!c.output.none()) { WritePattern(c.output, kScale, &out_pattern_); }
    if (!c.input.none()) { WritePattern(c.input, 1, &in_pattern_); }
    ShapeInput(c.steps, c.samples,
        c.input.kept_units(c.inputs, 0, c.samples).size());
    FillGaussian(&x_);
    FillCont(first);
    layer_->Reshape(bottom_, top_);
  }

  void FillCont(int first) {
    for (int i = 0; i < cont_.count(); ++i) {
      cont_.mutable_cpu_data()[i] = i < x_.shape(1) ? first : i % 4 != 1;
    }
  }

  void ExpectAll(const vector<double>& expected, const vector<double>& actual,
      const char* what) {
    ASSERT_EQ(expected.size(), actual.size());
    double largest = 0;
    for (int i = 0; i < expected.size(); ++i) {
      largest = std::max(largest, std::abs(expected[i]));
    }
    for (int i = 0; i < expected.size(); ++i) {
      ExpectNear(expected[i], Dtype(actual[i]), largest, what, i);
      if (expected[i] == 0) { EXPECT_EQ(actual[i], 0) << what << " at " << i; }
    }
  }

  Blob<Dtype> x_, cont_, y_, out_pattern_, in_pattern_;
  vector<Blob<Dtype>*> bottom_, top_;
  shared_ptr<ApproxDropoutLSTMLayer<Dtype> > layer_;
};

}  // namespace caffe

#endif  // CAFFE_TEST_APPROX_DROPOUT_LSTM_UTIL_HPP_
