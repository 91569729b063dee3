#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "caffe/approx_dropout/update/lazy_parameter.hpp"
#include "caffe/blob.hpp"
#include "caffe/common.hpp"
#include "caffe/test/test_approx_dropout_util.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "caffe/test/test_update_rules_util.hpp"
#include "caffe/util/format.hpp"
#include "caffe/util/math_functions.hpp"
#include "gtest/gtest.h"

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

  static bool Equal(const Blob<Dtype>& a, const Blob<Dtype>& b) {
    return SameValues(a.cpu_data(), b.cpu_data(), a.count());
  }

  // A parameter and its histories.
  struct Weights {
    explicit Weights(const vector<int>& shape) : w(shape), h(shape), h2(shape) {
      FillGaussian(&w);
      caffe_set(h.count(), Dtype(0), h.mutable_cpu_data());
      caffe_set(h.count(), Dtype(0), h2.mutable_cpu_data());
      Poison(w.mutable_cpu_diff(), w.count());
    }
    // With the same weights as another.
    explicit Weights(const Weights& from)
        : w(from.w.shape()), h(from.w.shape()), h2(from.w.shape()) {
      w.CopyFrom(from.w);
      h.CopyFrom(from.h);
      h2.CopyFrom(from.h2);
      caffe_set(w.count(), Dtype(0), w.mutable_cpu_diff());
    }
    Blob<Dtype> w, h, h2;
  };

  // What is left after CatchUpAll: the last update too.
  static void ExpectSame(const Weights& lazy, const Weights& dense) {
    EXPECT_TRUE(Equal(lazy.w, dense.w));
    EXPECT_TRUE(Equal(lazy.h, dense.h));
    EXPECT_TRUE(Equal(lazy.h2, dense.h2));
    EXPECT_TRUE(
        SameValues(lazy.w.cpu_diff(), dense.w.cpu_diff(), lazy.w.count()));
  }
};

TYPED_TEST_CASE(LazyParameterTest, TestDtypes);

// However the steps are put off, the weights are the same bits.
TYPED_TEST(LazyParameterTest, TestLazyIsDense) {
  typedef typename TestFixture::Weights Weights;
  const int kRows = 29, kColumns = 45, kSteps = 60;
  const int kCells[][2] = {{1, kColumns}, {8, 8}, {32, 32}, {5, 45}};
  const vector<UpdateRule<TypeParam> > rules = AllRules<TypeParam>();
  vector<int> shape(2, kRows);
  shape[1] = kColumns;
  for (int r = 0; r < rules.size(); ++r) {
    const int* cell_shape = kCells[r % 4];
    SCOPED_TRACE(
        string(SolverName(rules[r].solver)) + ", rule " + format_int(r));
    Weights lazies(shape), denses(lazies);
    Blob<TypeParam> g(shape);
    LazyParameter<TypeParam> lazy(&lazies.w, &lazies.h, rules[r], &lazies.h2);
    LazyParameter<TypeParam> dense(&denses.w, &denses.h, rules[r], &denses.h2);
    lazy.SetCells(cell_shape[0], cell_shape[1]);
    const vector<UpdateStep<TypeParam> > steps = this->Steps(kSteps);
    const int across = (kColumns + cell_shape[1] - 1) / cell_shape[1];
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
            if (cell / across == row) {
              cells.push_back(cell);
            }
          }
          lazy.CatchUpOnThisThread(cells);
        }
      }
      FillGaussian(&g);
      EXPECT_TRUE(lazy.ClaimGradient(used) == Claim::OVERWRITE);
      caffe_set(g.count(), TypeParam(0), denses.w.mutable_cpu_diff());
      for (int i = 0; i < g.count(); ++i) {
        const int cell = i / kColumns / cell_shape[0] * across +
                         i % kColumns / cell_shape[1];
        if (std::count(used.begin(), used.end(), cell)) {
          lazies.w.mutable_cpu_diff()[i] = g.cpu_data()[i];
          denses.w.mutable_cpu_diff()[i] = g.cpu_data()[i];
        }
      }
      EXPECT_NEAR(lazy.SumSquares(), denses.w.sumsq_diff(),
          1e-4 * denses.w.sumsq_diff());
      lazy.EndStep(steps[s]);
      dense.UpdateWhole(steps[s]);
      if (s % 17 == 16) {
        lazy.CatchUpAll();
        this->ExpectSame(lazies, denses);
      }
    }
    lazy.CatchUpAll();
    this->ExpectSame(lazies, denses);
  }
}

// As Caffe's weights, also those without a gradient, by a rate that is none.
TYPED_TEST(LazyParameterTest, TestRateThatIsNotFinite) {
  typedef typename TestFixture::Weights Weights;
  for (SolverKind kind : kSolverKinds) {
    Weights weights(vector<int>(2, 6));
    LazyParameter<TypeParam> lazy(&weights.w, &weights.h,
        MakeRule<TypeParam>(kind, 0, false, 0), &weights.h2);
    const UpdateStep<TypeParam> steps[] = {{TypeParam(0.1), 1},
        {std::numeric_limits<TypeParam>::quiet_NaN(), 1}, {TypeParam(0.1), 1}};
    for (int s = 0; s < 3; ++s) {
      lazy.EndStep(steps[s]);
    }
    lazy.CatchUpAll();
    for (int i = 0; i < weights.w.count(); ++i) {
      ASSERT_TRUE(std::isnan(weights.w.cpu_data()[i])) << SolverName(kind);
    }
  }
}

// Threads that share it must not be those who allocate the memory.
TYPED_TEST(LazyParameterTest, TestMemoryIsThereBeforeThreads) {
  Blob<TypeParam> w(3, 4, 1, 1), h(w.shape()), h2(w.shape());
  LazyParameter<TypeParam> lazy(
      &w, &h, MakeRule<TypeParam>(SolverKind::ADAM, 0, false), &h2);
  EXPECT_NE(SyncedMemory::UNINITIALIZED, h.data()->head());
  EXPECT_NE(SyncedMemory::UNINITIALIZED, h2.data()->head());
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
  typedef typename TestFixture::Weights Weights;
  const int kRows = 60, kColumns = 300, kSteps = 40;  // so many for threads
  vector<int> shape(2, kRows);
  shape[1] = kColumns;
  for (const UpdateRule<TypeParam>& rule : AllRules<TypeParam>()) {
    if (rule.delta == 0) {
      continue;  // weights that are no numbers
    }
    SCOPED_TRACE(SolverName(rule.solver));
    Weights lazies(shape), denses(lazies);
    LazyParameter<TypeParam> lazy(&lazies.w, &lazies.h, rule, &lazies.h2);
    LazyParameter<TypeParam> dense(&denses.w, &denses.h, rule, &denses.h2);
    const vector<UpdateStep<TypeParam> > steps = this->Steps(kSteps);
    for (int s = 0; s < kSteps; ++s) {
      caffe_set(denses.w.count(), TypeParam(0), denses.w.mutable_cpu_diff());
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
                denses.w.cpu_data()[rows[i] * kColumns + columns[j]]);
          }
        }
        FillGaussian(&part);
        if ((s + pass) % 4 < 2) {
          lazy.AddGradient(rows, columns, part.cpu_data());
        } else {
          lazy.AddGradientOnThisThread(rows, columns, part.cpu_data());
        }
        for (int i = 0; i < part.count(); ++i) {
          denses.w.mutable_cpu_diff()[rows[i / columns.size()] * kColumns +
                                      columns[i % columns.size()]] +=
              part.cpu_data()[i];
        }
      }
      EXPECT_NEAR(lazy.SumSquares(), denses.w.sumsq_diff(),
          1e-4 * denses.w.sumsq_diff());
      lazy.EndStep(steps[s]);
      dense.UpdateWhole(steps[s]);
      if (s % 17 == 16) { lazy.CatchUpAll(); }
    }
    lazy.CatchUpAll();
    this->ExpectSame(lazies, denses);
  }
}

}  // namespace caffe
