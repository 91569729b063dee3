#ifndef CPU_ONLY

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "caffe/approx_dropout/update/device_parameter.hpp"
#include "caffe/approx_dropout/update/lazy_layer.hpp"
#include "caffe/approx_dropout/update/lazy_parameter.hpp"
#include "caffe/blob.hpp"
#include "caffe/test/test_approx_dropout_util.hpp"
#include "caffe/test/test_caffe_main.hpp"
#include "caffe/test/test_update_rules_util.hpp"
#include "caffe/util/math_functions.hpp"
#include "gtest/gtest.h"

namespace caffe {

// DeviceParameter against LazyParameter.
template <typename Dtype>
class DeviceParameterGPUTest : public GPUDeviceTest<Dtype> {
 protected:
  static const int kRows = 29;

  DeviceParameterGPUTest() { Caffe::set_random_seed(1701); }

  // Ends the s-th step of both, of a parameter with that lr_mult.
  static void EndStep(int s, Dtype lr_mult, DeviceParameter<Dtype>* device,
      DeviceSteps<Dtype>* steps, LazyParameter<Dtype>* lazy) {
    const Dtype rate = 0.1 / (1 + s % 7);
    device->EndStep();
    steps->Append(rate);
    const UpdateStep<Dtype> step = { rate * lr_mult, 1 };
    lazy->EndStep(step);
  }

  // Of each solver, with and without decay, and SGD's without momentum.
  static vector<UpdateRule<Dtype> > Rules() {
    vector<UpdateRule<Dtype> > rules;
    for (SolverKind kind : kSolverKinds) {
      rules.push_back(MakeRule<Dtype>(kind, 0, false));
      rules.push_back(MakeRule<Dtype>(kind, 0.01, kind == SolverKind::ADAM));
    }
    rules.push_back(MakeRule<Dtype>(SolverKind::SGD, 0.01, true));
    rules.push_back(MakeRule<Dtype>(SolverKind::SGD, 0.01, false, 0));
    rules.push_back(MakeRule<Dtype>(SolverKind::SGD, 0, false, 0));
    return rules;
  }

  // A parameter with its histories.
  struct Weights {
    Blob<Dtype> w, h, second_h;
  };

  // Every (1 + s % 4)-th row or column, from s % 3 on.
  static vector<int> Some(int s, int count) {
    vector<int> some;
    for (int i = s % 3; i < count; i += 1 + s % 4) { some.push_back(i); }
    return some;
  }

  // The list, of some of `count` positions, in a blob's memory on the device.
  static DeviceList List(
      const vector<int>& index, int count, Blob<int>* memory) {
    const int size = index.size();
    memory->Reshape(vector<int>(1, size + count));
    int* values = memory->mutable_cpu_data();
    std::fill_n(values + size, count, -1);
    for (int i = 0; i < size; ++i) {
      values[i] = index[i];
      values[size + index[i]] = i;
    }
    const int* data = memory->gpu_data();
    const DeviceList list = {data, size, 0, 1, data + size};
    return list;
  }

  // Two equal parameters, gradients poisoned and histories zero.
  static void Make(int columns, Weights* a, Weights* b) {
    a->w.Reshape(kRows, columns, 1, 1);
    FillGaussian(&a->w);
    b->w.ReshapeLike(a->w);
    std::copy(a->w.cpu_data(), a->w.cpu_data() + a->w.count(),
        b->w.mutable_cpu_data());
    for (Weights* weights : {a, b}) {
      Poison(weights->w.mutable_cpu_diff(), a->w.count());
      for (Blob<Dtype>* h : {&weights->h, &weights->second_h}) {
        h->ReshapeLike(a->w);
        std::fill_n(h->mutable_cpu_data(), h->count(), Dtype(0));
      }
    }
  }

  static void ExpectSame(const Blob<Dtype>& a, const Blob<Dtype>& b) {
    for (int i = 0; i < a.count(); ++i) {
      ExpectNear(a.cpu_data()[i], b.cpu_data()[i], 1, "element", i);
    }
  }
  static void ExpectSame(const Weights& a, const Weights& b) {
    ExpectSame(a.w, b.w);
    ExpectSame(a.h, b.h);
    ExpectSame(a.second_h, b.second_h);
  }
};

TYPED_TEST_CASE(DeviceParameterGPUTest, TestDtypes);

// Gradients of some rows and columns, one to three per iteration.
TYPED_TEST(DeviceParameterGPUTest, TestRows) {
  typedef typename TestFixture::Weights Weights;
  // Of 48 threads take 16 bytes at a time; a block has fewer than 300.
  const int kColumns[] = {45, 48, 300};
  int case_number = 0;
  for (const UpdateRule<TypeParam>& rule : this->Rules()) {
    SCOPED_TRACE(SolverName(rule.solver));
    const int columns = kColumns[case_number++ % 3];
    Weights a, b;
    this->Make(columns, &a, &b);
    DeviceSteps<TypeParam> steps(1, -1);
    DeviceParameter<TypeParam> device(&a.w, &a.h, rule, 2, &steps, &a.second_h);
    LazyParameter<TypeParam> lazy(&b.w, &b.h, rule, &b.second_h);
    for (int s = 0; s < 40; ++s) {
      for (int pass = 0; pass < 1 + s % 3; ++pass) {
        const vector<int> rows = this->Some(s + pass, this->kRows);
        const vector<int> used = this->Some(s, columns);
        Blob<int> row_memory, column_memory;
        const DeviceList row_list = this->List(rows, this->kRows, &row_memory);
        const DeviceList column_list =
            this->List(used, columns, &column_memory);
        Blob<TypeParam> part(rows.size(), used.size(), 1, 1);
        Blob<TypeParam> part2(part.shape());
        Poison(part.mutable_cpu_data(), part.count());
        device.CatchUp(row_list, column_list, part.mutable_gpu_data());
        lazy.CatchUp(rows, used, part2.mutable_cpu_data());
        this->ExpectSame(part, part2);
        FillGaussian(&part);
        device.AddGradient(row_list, column_list, part.gpu_data());
        lazy.AddGradient(rows, used, part.cpu_data());
      }
      this->EndStep(s, 2, &device, &steps, &lazy);
      if (s % 17 == 16) {
        device.CatchUpAll();
        device.ForgetSteps();
        steps.Clear();
        lazy.CatchUpAll();
        this->ExpectSame(a, b);
      }
    }
    device.CatchUpAll();
    lazy.CatchUpAll();
    this->ExpectSame(a, b);
  }
}

// Gradients written in place, in tiles of one pattern or two per iteration.
TYPED_TEST(DeviceParameterGPUTest, TestTiles) {
  typedef typename TestFixture::Weights Weights;
  int columns = 45;
  for (const UpdateRule<TypeParam>& rule : this->Rules()) {
    SCOPED_TRACE(SolverName(rule.solver));
    columns = 93 - columns;
    Weights a, b;
    this->Make(columns, &a, &b);
    DeviceSteps<TypeParam> steps(1, -1);
    DeviceParameter<TypeParam> device(&a.w, &a.h, rule, 1, &steps, &a.second_h);
    LazyParameter<TypeParam> lazy(&b.w, &b.h, rule, &b.second_h);
    device.SetCells(8, 8);
    lazy.SetCells(8, 8);
    const CellGrid grid = { this->kRows, columns, 8, 8 };
    for (int s = 0; s < 40; ++s) {
      for (int pass = 0; pass < 1 + s % 2; ++pass) {
        KeptCells kept = {};
        kept.period = 4;
        kept.kept = 2;
        kept.residues[0] = (s + pass) % 3;
        kept.residues[1] = 3;
        vector<int> tiles;
        for (int i = 0; i < grid.count(); ++i) {
          if (kept.has(i / grid.across() + i % grid.across())) {
            tiles.push_back(i);
          }
        }
        device.CatchUp(kept);
        lazy.CatchUp(tiles);
        const bool overwrite =
            device.ClaimGradient(kept) == Claim::OVERWRITE;
        const bool overwrite2 =
            lazy.ClaimGradient(tiles) == Claim::OVERWRITE;
        EXPECT_EQ(pass == 0, overwrite);
        for (int tile : tiles) {
          const CellRange range = grid.range(tile);
          for (int k = 0; k < NumVectors<1>(range); ++k) {
            const size_t at = VectorOffset<1>(grid, range, k);
            const TypeParam g = (k * 7 + s) % 13 - 6;
            TypeParam* d = a.w.mutable_cpu_diff() + at;
            TypeParam* d2 = b.w.mutable_cpu_diff() + at;
            *d = overwrite ? g : *d + g;
            *d2 = overwrite2 ? g : *d2 + g;
          }
        }
      }
      this->EndStep(s, 1, &device, &steps, &lazy);
    }
    device.CatchUpAll();
    lazy.CatchUpAll();
    this->ExpectSame(a, b);
  }
}

// Words that occur several times are updated once and cleared once.
TYPED_TEST(DeviceParameterGPUTest, TestWords) {
  typedef typename TestFixture::Weights Weights;
  Weights a, b;
  this->Make(48, &a, &b);
  const UpdateRule<TypeParam> rule =
      MakeRule<TypeParam>(SolverKind::ADAM, 0.01, false);
  DeviceSteps<TypeParam> steps(1, -1);
  DeviceParameter<TypeParam> device(&a.w, &a.h, rule, 1, &steps, &a.second_h);
  LazyParameter<TypeParam> lazy(&b.w, &b.h, rule, &b.second_h);
  for (int s = 0; s < 40; ++s) {
    Blob<TypeParam> words(vector<int>(1, 50));
    for (int i = 0; i < 50; ++i) {
      words.mutable_cpu_data()[i] = (i * 3 + s) % 7 + s % 20;
    }
    const vector<int> rows = DistinctValues(words);
    device.CatchUpWords(words.gpu_data(), words.count());
    device.ClaimGradientOfWords(words.gpu_data(), words.count());
    lazy.CatchUp(rows);
    lazy.ClaimGradient(rows);
    for (int row : rows) {
      for (int i = row * 48; i < (row + 1) * 48; ++i) {
        a.w.mutable_cpu_diff()[i] += i % 5 - 2;
        b.w.mutable_cpu_diff()[i] = i % 5 - 2;
      }
    }
    this->EndStep(s, 1, &device, &steps, &lazy);
  }
  device.CatchUpAll();
  lazy.CatchUpAll();
  this->ExpectSame(a, b);
}

// A lazy parameter and a whole one, their norm clipped or just not.
TYPED_TEST(DeviceParameterGPUTest, TestClippingAndWholeUpdate) {
  typedef typename TestFixture::Weights Weights;
  const UpdateRule<TypeParam> rule =
      MakeRule<TypeParam>(SolverKind::SGD, 0.01, false);
  for (int clips = 0; clips < 2; ++clips) {
    Weights first, second;
    Blob<TypeParam> b(vector<int>(1, 37)), bh(b.shape()), b2(b.shape()),
        bh2(b.shape());
    this->Make(48, &first, &second);
    Blob<TypeParam>&w = first.w, &h = first.h, &w2 = second.w, &h2 = second.h;
    FillGaussian(&b);
    b2.CopyFrom(b);
    std::fill_n(bh.mutable_cpu_data(), 37, TypeParam(0));
    bh2.CopyFrom(bh);
    const vector<int> rows = this->Some(1, this->kRows);
    double sum = 0;
    for (int i = 0; i < w.count(); ++i) {
      if (std::count(rows.begin(), rows.end(), i / 48)) {
        w.mutable_cpu_diff()[i] = w2.mutable_cpu_diff()[i] = i % 3 - 1;
        sum += w.cpu_diff()[i] * w.cpu_diff()[i];
      }
    }
    for (int i = 0; i < 37; ++i) {
      b.mutable_cpu_diff()[i] = b2.mutable_cpu_diff()[i] = i % 4;
      sum += b.cpu_diff()[i] * b.cpu_diff()[i];
    }
    const TypeParam clip = std::sqrt(sum) * (clips ? 0.3 : 1.01);
    DeviceSteps<TypeParam> steps(2, clip);
    DeviceParameter<TypeParam> device(&w, &h, rule, 1, &steps);
    DeviceParameter<TypeParam> whole(&b, &bh, rule, 1, &steps);
    LazyParameter<TypeParam> lazy(&w2, &h2, rule);
    LazyParameter<TypeParam> whole2(&b2, &bh2, rule);
    KeptCells kept = {};  // the same rows
    kept.period = 2;
    kept.kept = 1;
    kept.residues[0] = 1;
    EXPECT_TRUE(device.ClaimGradient(kept) == Claim::OVERWRITE);
    lazy.ClaimGradient(rows);
    device.SumSquares(false);
    whole.SumSquares(true);
    steps.Append(0.1);
    whole.UpdateWhole();
    device.CatchUpAll();
    const UpdateStep<TypeParam> step = { TypeParam(0.1),
        TypeParam(clips ? 0.3 : 1) };
    lazy.EndStep(step);
    lazy.CatchUpAll();
    whole2.UpdateWhole(step);
    this->ExpectSame(w, w2);
    this->ExpectSame(h, h2);
    this->ExpectSame(b, b2);
    this->ExpectSame(bh, bh2);
    for (int i = 0; i < 37; ++i) { EXPECT_EQ(0, b.cpu_diff()[i]); }
  }
}

// More sums of an earlier step lie behind those of the last.
TYPED_TEST(DeviceParameterGPUTest, TestClipsByTheSumsOfTheStep) {
  DeviceSteps<TypeParam> steps(1, 2);
  const int kCounts[] = {16, 4, 3};
  for (int count : kCounts) {
    caffe_gpu_set(count, 1., steps.NextSums(count));
    steps.Append(0.5);
  }
  UpdateStep<TypeParam> found[3];
  caffe_gpu_memcpy(sizeof(found), steps.data(), found);
  for (int s = 0; s < 3; ++s) {
    EXPECT_EQ(TypeParam(0.5), found[s].rate);
    EXPECT_EQ(TypeParam(s == 0 ? 0.5 : 1), found[s].clip);
  }
}

// As Caffe has it: 0 clips to nothing, less does not act.
TYPED_TEST(DeviceParameterGPUTest, TestClipsAtZeroAndNotBelow) {
  for (int clip = -1; clip <= 0; ++clip) {
    DeviceSteps<TypeParam> steps(1, clip);
    caffe_gpu_set(4, 1., steps.NextSums(4));
    steps.Append(0.5);
    UpdateStep<TypeParam> found;
    caffe_gpu_memcpy(sizeof(found), steps.data(), &found);
    EXPECT_EQ(-clip, found.clip);
  }
}

class MathModeGPUTest : public GPUDeviceTest<float> {};

TEST_F(MathModeGPUTest, TestTF32IsOffUnlessAllowed) {
  const char* allowed = getenv("CAFFE_ALLOW_TF32");
  cublasMath_t mode;
  ASSERT_EQ(CUBLAS_STATUS_SUCCESS,
      cublasGetMathMode(Caffe::cublas_handle(), &mode));
  EXPECT_EQ(allowed && string(allowed) == "1" ? CUBLAS_TF32_TENSOR_OP_MATH
      : CUBLAS_DEFAULT_MATH, mode);
}

}  // namespace caffe

#endif  // CPU_ONLY
