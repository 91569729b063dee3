#include <algorithm>
#include <limits>
#include <vector>

#include "caffe/approx_dropout/math/vector_math.hpp"
#include "caffe/approx_dropout/math/wide_access.hpp"
#include "caffe/approx_dropout/update/device_cells.hpp"
#include "caffe/approx_dropout/update/lazy_parameter.hpp"
#include "caffe/blob.hpp"
#include "caffe/test/test_approx_dropout_util.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "caffe/test/test_update_rules_util.hpp"
#include "gtest/gtest.h"

namespace caffe {

// DeviceParameter's kernels, their blocks one after the other and their
// threads likewise between barriers, in plain memory.
template <typename Step, typename Dtype, int kWidth>
class HostKernels {
 public:
  HostKernels(Blob<Dtype>* w, Blob<Dtype>* h, Blob<Dtype>* second_h,
      const CellGrid& grid, UpdateRule<Dtype> rule, Dtype lr_mult,
      int num_threads)
      : done_(grid.count(), 0),
        gradient_step_(grid.count(), -1),
        num_threads_(num_threads) {
    rule.idle = IdleOf(rule);
    const ParameterView<Dtype> view = {w->mutable_cpu_data(),
        {h->mutable_cpu_data(), second_h->mutable_cpu_data()},
        w->mutable_cpu_diff(), grid, rule, lr_mult, NULL, 0, done_.data(),
        gradient_step_.data()};
    view_ = view;
  }

  void EndStep(const UpdateStep<Dtype>& step) {
    steps_.push_back(step);
    view_.steps = steps_.data();
    view_.num_steps = steps_.size();
  }

  void CatchUp(int cell, bool for_all) {
    const Replay replay = ReplayOf(view_, done_[cell], gradient_step_[cell],
        for_all);
    done_[cell] = view_.num_steps;
    for (int t = 0; t < num_threads_; ++t) {
      ReplayCell<Step, Dtype, kWidth>(view_, cell, replay, t, num_threads_);
    }
  }

  void Clear(int cell) {
    gradient_step_[cell] = view_.num_steps;
    for (int t = 0; t < num_threads_; ++t) {
      ClearCell<Dtype, kWidth>(view_, cell, t, num_threads_);
    }
  }

  double SumSquares() const {
    const CellGrid strips = StripsOf(view_.grid, false);
    double sum = 0;
    for (int strip = 0; strip < strips.count(); ++strip) {
      for (int t = 0; t < num_threads_; ++t) {
        sum += SumSquaresOfStrip<Dtype, kWidth>(
            view_, strips, strip, false, t, num_threads_);
      }
    }
    return sum;
  }

 private:
  vector<int> done_, gradient_step_;
  vector<UpdateStep<Dtype> > steps_;
  int num_threads_;
  ParameterView<Dtype> view_;
};

template <typename Dtype>
class DeviceCellsTest : public ::testing::Test {
 protected:
  DeviceCellsTest() { Caffe::set_random_seed(1701); }

  static UpdateStep<Dtype> Step(int s) {
    const UpdateStep<Dtype> step = { Dtype(0.1 / (1 + s % 7)),
        Dtype(s % 10 == 9 ? 0 : s % 3 ? 1 : 0.25) };
    return step;
  }

  static bool Equal(const Dtype* a, const Dtype* b, int count) {
    return std::equal(a, a + count, b);
  }

  // 70 steps by the kernels and by LazyParameter: the same bits. Gradients of
  // those that are clipped to nothing are infinite.
  template <typename SolverStep, int kWidth>
  static void ExpectLazy(
      const UpdateRule<Dtype>& rule, int cell_rows, int cell_columns) {
    const int kRows = 29, kColumns = 44;
    const CellGrid grid = { kRows, kColumns, cell_rows, cell_columns };
    Blob<Dtype> w(kRows, kColumns, 1, 1), h(w.shape()), second_h(w.shape()),
        w2(w.shape()), h2(w.shape()), second_h2(w.shape());
    FillGaussian(&w);
    w2.CopyFrom(w);
    for (Blob<Dtype>* history : {&h, &second_h, &h2, &second_h2}) {
      std::fill_n(history->mutable_cpu_data(), h.count(), Dtype(0));
    }
    Poison(w.mutable_cpu_diff(), w.count());
    Poison(w2.mutable_cpu_diff(), w.count());
    const Dtype kMult = 2;
    HostKernels<SolverStep, Dtype, kWidth> kernels(
        &w, &h, &second_h, grid, rule, kMult, 19);
    LazyParameter<Dtype> lazy(&w2, &h2, rule, &second_h2);
    lazy.SetCells(cell_rows, cell_columns);
    for (int s = 0; s < 70; ++s) {
      vector<int> used;
      for (int i = s % 3; i < grid.count(); i += 1 + s % 4) {
        used.push_back(i);
      }
      lazy.CatchUp(used);
      if (lazy.ClaimGradient(used) == Claim::OVERWRITE) {
        lazy.ClearGradient(used);
      }
      for (int cell : used) {
        kernels.CatchUp(cell, false);
        kernels.Clear(cell);
        const CellRange range = grid.range(cell);
        for (int k = 0; k < range.num_rows * range.num_columns; ++k) {
          const size_t at = grid.offset(range.first_row
              + k / range.num_columns) + range.first_column
              + k % range.num_columns;
          const Dtype gradient = Step(s).clip == 0 ?
              std::numeric_limits<Dtype>::infinity() : (k * 7 + s) % 13 - 6;
          w.mutable_cpu_diff()[at] += gradient;
          w2.mutable_cpu_diff()[at] += gradient;
        }
      }
      EXPECT_EQ(kernels.SumSquares(), lazy.SumSquares());
      UpdateStep<Dtype> step = Step(s);
      kernels.EndStep(step);
      step.rate *= kMult;
      lazy.EndStep(step);
    }
    lazy.CatchUpAll();
    for (int cell = 0; cell < grid.count(); ++cell) {
      kernels.CatchUp(cell, true);
    }
    EXPECT_TRUE(Equal(w.cpu_data(), w2.cpu_data(), w.count()));
    EXPECT_TRUE(Equal(h.cpu_data(), h2.cpu_data(), h.count()));
    EXPECT_TRUE(Equal(second_h.cpu_data(), second_h2.cpu_data(), h.count()));
    EXPECT_TRUE(Equal(w.cpu_diff(), w2.cpu_diff(), w.count()));
  }

  template <typename SolverStep>
  static void ExpectLazyCells(const UpdateRule<Dtype>& rule) {
    const int kWidth = 16 / sizeof(Dtype);
    ExpectLazy<SolverStep, 1>(rule, 1, 44);
    ExpectLazy<SolverStep, kWidth>(rule, 1, 44);
    ExpectLazy<SolverStep, 1>(rule, 5, 7);
    ExpectLazy<SolverStep, kWidth>(rule, 8, 8);
    ExpectLazy<SolverStep, kWidth>(rule, 32, 32);
  }
};

TYPED_TEST_CASE(DeviceCellsTest, TestDtypes);

TYPED_TEST(DeviceCellsTest, TestEachElementHasOneCell) {
  const int kSizes[][4] = {{7, 10, 1, 10}, {7, 10, 3, 4}, {8, 8, 8, 8},
      {5, 6, 32, 32}, {1, 9, 1, 9}, {4, 9, 2, 1}};
  for (int s = 0; s < 6; ++s) {
    const int* size = kSizes[s];
    const CellGrid grid = { size[0], size[1], size[2], size[3] };
    vector<int> cell_of(size[0] * size[1], -1);
    for (int cell = 0; cell < grid.count(); ++cell) {
      const CellRange range = grid.range(cell);
      for (int i = 0; i < NumVectors<1>(range); ++i) {
        const size_t at = VectorOffset<1>(grid, range, i);
        ASSERT_LT(at, cell_of.size());
        EXPECT_EQ(-1, cell_of[at]);
        cell_of[at] = cell;
      }
    }
    for (int i = 0; i < cell_of.size(); ++i) {
      EXPECT_EQ(i / size[1] / size[2] * grid.across()
          + i % size[1] / size[3], cell_of[i]);
    }
  }
}

TYPED_TEST(DeviceCellsTest, TestLists) {
  const int kIndex[] = {3, 4, 9};
  const DeviceList given = {kIndex, 3, 0, 1, NULL};
  const TypeParam kWords[] = {5, 0, 5};
  CellList<TypeParam> list = { CellList<TypeParam>::LISTED, 3, given, kWords,
      AllCells(), 3 };
  EXPECT_EQ(4, list(1));
  list.kind = CellList<TypeParam>::WORDS;
  EXPECT_EQ(5, list(2));
  list.kind = CellList<TypeParam>::TILES;
  EXPECT_EQ(7, list(7));
  list.tiles.period = 4;
  list.tiles.kept = 2;
  list.tiles.residues[0] = 1;
  list.tiles.residues[1] = 2;
  for (int i = 0; i < 12; ++i) {
    const int diagonal = (i / 3 + i % 3) % 4;
    EXPECT_EQ(diagonal == 1 || diagonal == 2 ? i : -1, list(i)) << i;
  }
}

// Values between rows and their parts, twice, and what is around them.
TYPED_TEST(DeviceCellsTest, TestGatherAndAddColumns) {
  const int kIndex[] = {4, 5, 6, 7, 16, 17, 18, 19};
  int places[24];
  std::fill_n(places, 24, -1);
  for (int i = 0; i < 8; ++i) {
    places[kIndex[i]] = i;
  }
  const DeviceList columns = {kIndex, 8, 0, 1, places};
  Blob<TypeParam> row(vector<int>(1, 24)), part(vector<int>(1, 8));
  FillGaussian(&row);
  for (int threads = 1; threads < 4; ++threads) {
    Poison(part.mutable_cpu_data(), 8);
    for (int t = 0; t < threads; ++t) {
      GatherRow<TypeParam, 2>(row.mutable_cpu_data(), columns,
          part.mutable_cpu_data(), t, threads);
    }
    Blob<TypeParam> to(vector<int>(1, 25));
    Poison(to.mutable_cpu_data(), 24);
    to.mutable_cpu_data()[24] = 1;
    for (int pass = 0; pass < 2; ++pass) {
      for (int t = 0; t < threads; ++t) {
        AddColumns(part.cpu_data(), columns, 24, pass == 1,
            to.mutable_cpu_data(), t, threads);
      }
    }
    for (int i = 0; i < 24; ++i) {
      const TypeParam expected = places[i] < 0 ? 0 : 2 * row.cpu_data()[i];
      EXPECT_EQ(expected, to.cpu_data()[i]) << i;
    }
    EXPECT_EQ(1, to.cpu_data()[24]);
  }
}

TYPED_TEST(DeviceCellsTest, TestAddRow) {
  Blob<TypeParam> part(vector<int>(1, 24)), row(part.shape());
  FillGaussian(&part);
  Poison(row.mutable_cpu_data(), 24);
  for (int pass = 0; pass < 2; ++pass) {
    for (int t = 0; t < 5; ++t) {
      AddRow<TypeParam, 2>(
          part.cpu_data(), 24, pass == 1, row.mutable_cpu_data(), t, 5);
    }
    for (int i = 0; i < 24; ++i) {
      EXPECT_EQ((1 + pass) * part.cpu_data()[i], row.cpu_data()[i]) << i;
    }
  }
}

// Rows of several strips, of some of which there is a gradient; and the whole
// parameter, whose size 16 bytes do not divide.
TYPED_TEST(DeviceCellsTest, TestStrips) {
  const int kWidth = Aligned16<TypeParam>::kWidth;
  const int kRows = 3, kColumns = 2 * 4096 + 21;
  vector<TypeParam> gradient(kRows * kColumns);
  vector<int> gradient_step(kRows, 5);
  gradient_step[1] = 4;
  double some = 0, all = 0;
  for (int i = 0; i < gradient.size(); ++i) {
    gradient[i] = i % 9 - 4;
    all += gradient[i] * gradient[i];
    some += i / kColumns == 1 ? 0 : gradient[i] * gradient[i];
  }
  ParameterView<TypeParam> view = {};
  view.gradient = gradient.data();
  view.gradient_step = gradient_step.data();
  view.num_steps = 5;
  view.grid = {kRows, kColumns, 1, kColumns};
  const CellGrid rows = StripsOf(view.grid, false);
  const CellGrid flat = StripsOf(view.grid, true);
  EXPECT_EQ(9, rows.count());
  EXPECT_EQ(7, flat.count());
  double sum = 0, whole = 0;
  for (int t = 0; t < 64; ++t) {
    for (int strip = 0; strip < rows.count(); ++strip) {
      sum += SumSquaresOfStrip<TypeParam, 1>(view, rows, strip, false, t, 64);
    }
    for (int strip = 0; strip < flat.count(); ++strip) {
      whole +=
          SumSquaresOfStrip<TypeParam, kWidth>(view, flat, strip, true, t, 64);
    }
  }
  EXPECT_EQ(some, sum);
  EXPECT_EQ(all, whole);
}

TYPED_TEST(DeviceCellsTest, TestCellsAreLazyParameters) {
  if (vector_bytes() < 32) {
    LOG(INFO) << "Not run: no fused multiply-add on this machine";
    return;
  }
  for (const UpdateRule<TypeParam>& rule : AllRules<TypeParam>()) {
    SCOPED_TRACE(SolverName(rule.solver));
    if (ReadsHistory(rule) && rule.delta == 0) {
      continue;  // weights that are no numbers
    }
    switch (rule.solver) {
      case SolverKind::SGD:
        this->template ExpectLazyCells<SGDStep>(rule);
        break;
      case SolverKind::NESTEROV:
        this->template ExpectLazyCells<NesterovStep>(rule);
        break;
      case SolverKind::ADAGRAD:
        this->template ExpectLazyCells<AdaGradStep>(rule);
        break;
      case SolverKind::RMSPROP:
        this->template ExpectLazyCells<RMSPropStep>(rule);
        break;
      case SolverKind::ADADELTA:
        this->template ExpectLazyCells<AdaDeltaStep>(rule);
        break;
      case SolverKind::ADAM:
        this->template ExpectLazyCells<AdamStep>(rule);
        break;
    }
  }
}

}  // namespace caffe
