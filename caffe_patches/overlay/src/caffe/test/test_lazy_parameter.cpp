#include <cmath>
#include <vector>

#include "gtest/gtest.h"

#include "caffe/approx_dropout/math/vector_math.hpp"
#include "caffe/approx_dropout/update/lazy_parameter.hpp"
#include "caffe/blob.hpp"
#include "caffe/common.hpp"
#include "caffe/util/math_functions.hpp"

#include "caffe/test/test_approx_dropout_util.hpp"
#include "caffe/test/test_caffe_main.hpp"

namespace caffe {

template <typename Dtype>
class LazyParameterTest : public ::testing::Test {
 protected:
  LazyParameterTest() { Caffe::set_random_seed(1701); }

  static vector<UpdateStep<Dtype> > Steps(int count) {
    vector<UpdateStep<Dtype> > steps;
    for (int s = 0; s < count; ++s) {
      const UpdateStep<Dtype> step = { Dtype(0.1 / (1 + s % 7)),
          Dtype(s % 3 ? 1 : 0.25) };
      steps.push_back(step);
    }
    return steps;
  }

  static UpdateRule<Dtype> Rule(double decay, bool l1, double momentum) {
    const UpdateRule<Dtype> rule = { Dtype(0.5), Dtype(decay), l1,
        Dtype(momentum) };
    return rule;
  }

  static bool Equal(const Blob<Dtype>& a, const Blob<Dtype>& b) {
    return std::equal(a.cpu_data(), a.cpu_data() + a.count(), b.cpu_data());
  }
};

TYPED_TEST_CASE(LazyParameterTest, TestDtypes);

// The rule, written out in double.
TYPED_TEST(LazyParameterTest, TestStepsAgainstTheRule) {
  const int kCount = 37;  // not a multiple of what is done at a time
  for (int l1 = 0; l1 < 2; ++l1) {
    Blob<TypeParam> w(vector<int>(1, kCount)), h(w.shape()), g(w.shape());
    FillGaussian(&w);
    FillGaussian(&h);
    FillGaussian(&g);
    vector<double> ws(w.cpu_data(), w.cpu_data() + kCount);
    vector<double> hs(h.cpu_data(), h.cpu_data() + kCount);
    const vector<UpdateStep<TypeParam> > steps = this->Steps(5);
    ReplaySteps(this->Rule(0.01, l1, 0.9), steps.data(), 5, kCount,
        g.cpu_data(), w.mutable_cpu_data(), h.mutable_cpu_data());
    for (int i = 0; i < kCount; ++i) {
      for (int s = 0; s < 5; ++s) {
        const double gradient = s ? 0 : g.cpu_data()[i] * 0.25 * 0.5;
        const double decayed = l1 ? (ws[i] > 0) - (ws[i] < 0) : ws[i];
        hs[i] = steps[s].rate * (gradient + 0.01 * decayed) + 0.9 * hs[i];
        ws[i] -= hs[i];
      }
      ExpectNear(ws[i], w.cpu_data()[i], 1, "w", i);
      ExpectNear(hs[i], h.cpu_data()[i], 1, "h", i);
    }
  }
}

// A step of Caffe's, by BLAS: the same bits, if both have fused multiply-add.
// A BLAS may do without it for the last elements of a number like 1003.
TYPED_TEST(LazyParameterTest, TestStepsAreCaffes) {
  if (vector_bytes() < 32) {
    LOG(INFO) << "Not run: no fused multiply-add on this machine";
    return;
  }
  const int kCount = 1024;
  const double kRules[][2] = {{0.01, 0.9}, {0, 0.9}, {0.01, 0}, {0, 0}};
  for (int r = 0; r < 4; ++r) {
    UpdateRule<TypeParam> rule = this->Rule(kRules[r][0], false, kRules[r][1]);
    Blob<TypeParam> w(vector<int>(1, kCount)), h(w.shape()), g(w.shape());
    FillGaussian(&w);
    FillGaussian(&g);
    caffe_set(kCount, TypeParam(0), h.mutable_cpu_data());
    Blob<TypeParam> caffe_w(w.shape()), caffe_h(w.shape());
    caffe_w.CopyFrom(w);
    caffe_h.CopyFrom(h);
    const vector<UpdateStep<TypeParam> > steps = this->Steps(6);
    ReplaySteps(rule, steps.data(), 6, kCount, g.cpu_data(),
        w.mutable_cpu_data(), h.mutable_cpu_data());
    for (int s = 0; s < 6; ++s) {
      TypeParam* d = g.mutable_cpu_data();
      if (s > 0) { caffe_set(kCount, TypeParam(0), d); }
      caffe_scal(kCount, steps[s].clip, d);
      caffe_scal(kCount, rule.normalization, d);
      caffe_axpy(kCount, rule.decay, caffe_w.cpu_data(), d);
      caffe_cpu_axpby(kCount, steps[s].rate, d, rule.momentum,
          caffe_h.mutable_cpu_data());
      caffe_axpy(kCount, TypeParam(-1), caffe_h.cpu_data(),
          caffe_w.mutable_cpu_data());
    }
    EXPECT_TRUE(this->Equal(w, caffe_w));
    EXPECT_TRUE(this->Equal(h, caffe_h));
  }
}

// However the steps are put off, the weights are the same bits.
TYPED_TEST(LazyParameterTest, TestLazyIsDense) {
  const int kRows = 29, kColumns = 45, kSteps = 60;
  const int kCells[][2] = {{1, kColumns}, {8, 8}, {32, 32}, {5, 45}};
  const double kRules[][3] = {{0.01, 0, 0.9}, {0.01, 1, 0.9}, {0, 0, 0.9},
      {0.01, 0, 0}, {0, 0, 0}};
  vector<int> shape(2, kRows);
  shape[1] = kColumns;
  for (int r = 0; r < 5; ++r) {
    for (int c = 0; c < 4; ++c) {
      const UpdateRule<TypeParam> rule = this->Rule(kRules[r][0],
          kRules[r][1], kRules[r][2]);
      Blob<TypeParam> lazy_w(shape), dense_w(shape), lazy_h(shape),
          dense_h(shape), g(shape);
      FillGaussian(&lazy_w);
      dense_w.CopyFrom(lazy_w);
      caffe_set(lazy_h.count(), TypeParam(0), lazy_h.mutable_cpu_data());
      dense_h.CopyFrom(lazy_h);
      Poison(lazy_w.mutable_cpu_diff(), lazy_w.count());
      LazyParameter<TypeParam> lazy(&lazy_w, &lazy_h, rule);
      LazyParameter<TypeParam> dense(&dense_w, &dense_h, rule);
      lazy.SetCells(kCells[c][0], kCells[c][1]);
      const vector<UpdateStep<TypeParam> > steps = this->Steps(kSteps);
      const int across = (kColumns + kCells[c][1] - 1) / kCells[c][1];
      for (int s = 0; s < kSteps; ++s) {
        vector<int> used;
        for (int i = s % 3; i < lazy.num_cells(); i += 1 + s % 4) {
          used.push_back(i);
        }
        if (s % 2) {
          lazy.CatchUp(used);
        } else {
          const int down = lazy.num_cells() / across;
#pragma omp parallel for
          for (int row = 0; row < down; ++row) {
            vector<int> cells;
            for (int cell : used) {
              if (cell / across == row) { cells.push_back(cell); }
            }
            lazy.CatchUpOnThisThread(cells);
          }
        }
        FillGaussian(&g);
        EXPECT_TRUE(lazy.ClaimGradient(used) == Claim::OVERWRITE);
        caffe_set(g.count(), TypeParam(0), dense_w.mutable_cpu_diff());
        for (int i = 0; i < g.count(); ++i) {
          const int cell = i / kColumns / kCells[c][0] * across
              + i % kColumns / kCells[c][1];
          if (std::count(used.begin(), used.end(), cell)) {
            lazy_w.mutable_cpu_diff()[i] = g.cpu_data()[i];
            dense_w.mutable_cpu_diff()[i] = g.cpu_data()[i];
          }
        }
        EXPECT_NEAR(lazy.SumSquares(), dense_w.sumsq_diff(),
            1e-4 * dense_w.sumsq_diff());
        lazy.EndStep(steps[s]);
        dense.UpdateWhole(steps[s]);
        if (s % 17 == 16) {
          lazy.CatchUpAll();
          EXPECT_TRUE(this->Equal(lazy_w, dense_w));
        }
      }
      lazy.CatchUpAll();
      EXPECT_TRUE(this->Equal(lazy_w, dense_w));
      EXPECT_TRUE(this->Equal(lazy_h, dense_h));
      for (int i = 0; i < g.count(); ++i) {
        ASSERT_EQ(dense_w.cpu_diff()[i], 0);
      }
    }
  }
}

// Threads that share it must not be those who allocate the memory.
TYPED_TEST(LazyParameterTest, TestMemoryIsThereBeforeThreads) {
  Blob<TypeParam> w(3, 4, 1, 1), h(w.shape());
  LazyParameter<TypeParam> lazy(&w, &h, this->Rule(0, false, 0.9));
  EXPECT_NE(SyncedMemory::UNINITIALIZED, h.data()->head());
  EXPECT_NE(SyncedMemory::UNINITIALIZED, w.data()->head());
  EXPECT_NE(SyncedMemory::UNINITIALIZED, w.diff()->head());
}

// Several layers' passes in one iteration, iter_size above 1 say.
TYPED_TEST(LazyParameterTest, TestSecondGradientIsAddedTo) {
  Blob<TypeParam> w(3, 4, 1, 1), h(w.shape());
  caffe_set(w.count(), TypeParam(0), w.mutable_cpu_data());
  caffe_set(h.count(), TypeParam(0), h.mutable_cpu_data());
  Poison(w.mutable_cpu_diff(), w.count());
  const UpdateRule<TypeParam> rule = { 1, 0, false, 0 };
  LazyParameter<TypeParam> lazy(&w, &h, rule);
  const vector<int> first(1, 1);
  vector<int> second(1, 1);
  second.push_back(2);
  EXPECT_TRUE(lazy.ClaimGradient(first) == Claim::OVERWRITE);
  for (int i = 4; i < 8; ++i) { w.mutable_cpu_diff()[i] = 1; }
  EXPECT_TRUE(lazy.ClaimGradient(second) == Claim::ADD);
  for (int i = 4; i < 12; ++i) { w.mutable_cpu_diff()[i] += 2; }
  const UpdateStep<TypeParam> step = { 1, 1 };
  lazy.EndStep(step);
  lazy.CatchUpAll();
  for (int i = 0; i < 12; ++i) {
    EXPECT_EQ(w.cpu_data()[i], i < 4 ? 0 : i < 8 ? -3 : -2);
  }
}

// Gradients of some rows and columns, one or two per iteration, against adding
// them up in a whole matrix.
TYPED_TEST(LazyParameterTest, TestGradientsOfSomeColumns) {
  const int kRows = 60, kColumns = 300, kSteps = 40;  // so many for threads
  const double kRules[][2] = {{0.01, 0.9}, {0, 0}};
  vector<int> shape(2, kRows);
  shape[1] = kColumns;
  for (int r = 0; r < 2; ++r) {
    const UpdateRule<TypeParam> rule = this->Rule(kRules[r][0], false,
        kRules[r][1]);
    Blob<TypeParam> lazy_w(shape), dense_w(shape), lazy_h(shape),
        dense_h(shape);
    FillGaussian(&lazy_w);
    dense_w.CopyFrom(lazy_w);
    caffe_set(lazy_h.count(), TypeParam(0), lazy_h.mutable_cpu_data());
    dense_h.CopyFrom(lazy_h);
    Poison(lazy_w.mutable_cpu_diff(), lazy_w.count());
    caffe_set(dense_w.count(), TypeParam(0), dense_w.mutable_cpu_diff());
    LazyParameter<TypeParam> lazy(&lazy_w, &lazy_h, rule);
    LazyParameter<TypeParam> dense(&dense_w, &dense_h, rule);
    const vector<UpdateStep<TypeParam> > steps = this->Steps(kSteps);
    for (int s = 0; s < kSteps; ++s) {
      for (int pass = 0; pass < 1 + s % 3; ++pass) {
        vector<int> rows, columns;
        for (int i = (s + pass) % 3; i < kRows; i += 1 + s % 4) {
          rows.push_back(i);
        }
        for (int j = s % 2; j < kColumns; j += 1 + (s + pass) % 5) {
          columns.push_back(j);
        }
        Blob<TypeParam> part(rows.size(), columns.size(), 1, 1);
        if (s % 4 == 1) { lazy.CatchUpOnThisThread(rows); }
        lazy.CatchUp(rows, columns, part.mutable_cpu_data());
        for (int i = 0; i < rows.size(); ++i) {
          for (int j = 0; j < columns.size(); ++j) {
            ASSERT_EQ(part.cpu_data()[i * columns.size() + j],
                dense_w.cpu_data()[rows[i] * kColumns + columns[j]]);
          }
        }
        FillGaussian(&part);
        if ((s + pass) % 4 < 2) {
          lazy.AddGradient(rows, columns, part.cpu_data());
        } else {
          lazy.AddGradientOnThisThread(rows, columns, part.cpu_data());
        }
        for (int i = 0; i < part.count(); ++i) {
          dense_w.mutable_cpu_diff()[rows[i / columns.size()] * kColumns
              + columns[i % columns.size()]] += part.cpu_data()[i];
        }
      }
      EXPECT_NEAR(lazy.SumSquares(), dense_w.sumsq_diff(),
          1e-4 * dense_w.sumsq_diff());
      lazy.EndStep(steps[s]);
      dense.UpdateWhole(steps[s]);
      if (s % 17 == 16) { lazy.CatchUpAll(); }
    }
    lazy.CatchUpAll();
    EXPECT_TRUE(this->Equal(lazy_w, dense_w));
    EXPECT_TRUE(this->Equal(lazy_h, dense_h));
  }
}

}  // namespace caffe
