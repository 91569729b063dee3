#include <vector>

#include "gtest/gtest.h"

#include "caffe/approx_dropout/product/tile_product.hpp"
#include "caffe/blob.hpp"
#include "caffe/common.hpp"

#include "caffe/test/test_approx_dropout_util.hpp"
#include "caffe/test/test_caffe_main.hpp"

namespace caffe {

// TileProduct against plain loops in double; what must not be read or not be
// written is no number.
template <typename Dtype>
class TileProductTest : public ::testing::Test {
 protected:
  struct Case {
    int num_output, num_input, num_samples, tile_size, period, kept;
  };

  // Sizes that nothing divides; more samples than are taken at a time; tile
  // columns without a kept tile; one tile; everything kept.
  static vector<Case> Cases() {
    const Case kCases[] = {{45, 37, 5, 8, 4, 2}, {100, 61, 30, 20, 7, 3},
        {33, 70, 401, 32, 2, 1}, {16, 24, 17, 8, 9, 1}, {7, 9, 3, 32, 1, 1},
        {130, 64, 16, 65, 3, 3}, {64, 300, 40, 1, 5, 4}};
    return vector<Case>(kCases, kCases + 7);
  }

  void Use(const Case& c) {
    Caffe::set_random_seed(1701);
    grid_.kept = KeptCells();
    grid_.kept.period = c.period;
    grid_.kept.kept = c.kept;
    for (int i = 0; i < c.kept; ++i) {
      grid_.kept.residues[i] = c.period - c.kept + i;
    }
    grid_.tile_size = c.tile_size;
    grid_.num_output = c.num_output;
    grid_.num_input = c.num_input;
    // Every other row but the last ones takes part.
    samples_.clear();
    for (int n = 0; n < c.num_samples; ++n) {
      samples_.push_back(n < c.num_samples / 2 ? 2 * n
          : n + c.num_samples / 2);
    }
    const int rows = 2 * c.num_samples;
    weight_.Reshape(vector<int>({c.num_output, c.num_input}));
    x_.Reshape(vector<int>({rows, c.num_input}));
    y_.Reshape(vector<int>({rows, c.num_output}));
    FillGaussian(&weight_, true);
    FillGaussian(&x_, true);
    FillGaussian(&y_, true);
    for (int n = 0; n < rows; ++n) {
      if (!TakesPart(n)) {
        Poison(x_.mutable_cpu_data() + n * c.num_input, c.num_input);
        Poison(y_.mutable_cpu_diff() + n * c.num_output, c.num_output);
      }
    }
    for (int i = 0; i < weight_.count(); ++i) {
      if (!Kept(i)) { Poison(weight_.mutable_cpu_data() + i, 1); }
    }
  }

  bool TakesPart(int row) const {
    return std::count(samples_.begin(), samples_.end(), row) > 0;
  }
  bool Kept(int i) const {
    return Kept(i / grid_.num_input, i % grid_.num_input);
  }
  bool Kept(int output, int input) const {
    const int sum = output / grid_.tile_size + input / grid_.tile_size;
    const int residue = sum % grid_.kept.period;
    return residue >= grid_.kept.period - grid_.kept.kept;
  }

  TileGrid grid_;
  vector<int> samples_;
  Blob<Dtype> weight_, x_, y_;
  TileProduct<Dtype> product_;
};

TYPED_TEST_CASE(TileProductTest, TestDtypes);

TYPED_TEST(TileProductTest, TestForward) {
  for (const auto& c : this->Cases()) {
    for (bool accumulate : {false, true}) {
      this->Use(c);
      TypeParam* y = this->y_.mutable_cpu_data();
      const vector<TypeParam> before(y, y + this->y_.count());
      if (!accumulate) {
        for (int row : this->samples_) {
          Poison(y + row * c.num_output, c.num_output);
        }
      }
      this->product_.ForwardGroup(this->grid_, TypeParam(1.5),
          this->weight_.cpu_data(), this->samples_, this->x_.cpu_data(),
          accumulate, y);
      for (int i = 0; i < this->y_.count(); ++i) {
        const int row = i / c.num_output, output = i % c.num_output;
        double expected = before[i];
        if (this->TakesPart(row)) {
          expected *= accumulate;
          for (int j = 0; j < c.num_input; ++j) {
            if (!this->Kept(output, j)) { continue; }
            expected += 1.5 * this->x_.cpu_data()[row * c.num_input + j]
                * this->weight_.cpu_data()[output * c.num_input + j];
          }
        }
        ExpectNear(expected, y[i], 10, "y", i);
      }
    }
  }
}

TYPED_TEST(TileProductTest, TestInputGradient) {
  // After a forward pass that may copy the weights, and without one.
  for (int i = 0; i < 2 * this->Cases().size(); ++i) {
    const auto c = this->Cases()[i / 2];
    this->Use(c);
    if (i % 2) {
      this->product_.ForwardGroup(this->grid_, TypeParam(1),
          this->weight_.cpu_data(), this->samples_, this->x_.cpu_data(),
          false, this->y_.mutable_cpu_data(), NULL, true);
    }
    TypeParam* dx = this->x_.mutable_cpu_diff();
    const vector<TypeParam> before(dx, dx + this->x_.count());
    for (int row : this->samples_) {
      Poison(dx + row * c.num_input, c.num_input);
    }
    this->product_.InputGradient(this->grid_, TypeParam(1.5),
        this->weight_.cpu_data(), this->samples_, this->y_.cpu_diff(), dx);
    for (int i = 0; i < this->x_.count(); ++i) {
      const int row = i / c.num_input, input = i % c.num_input;
      double expected = before[i];
      if (this->TakesPart(row)) {
        expected = 0;
        for (int o = 0; o < c.num_output; ++o) {
          if (!this->Kept(o, input)) { continue; }
          expected += 1.5 * this->y_.cpu_diff()[row * c.num_output + o]
              * this->weight_.cpu_data()[o * c.num_input + input];
        }
      }
      ExpectNear(expected, dx[i], 10, "dx", i);
    }
  }
}

TYPED_TEST(TileProductTest, TestWeightGradient) {
  for (const auto& c : this->Cases()) {
    for (bool accumulate : {false, true}) {
      this->Use(c);
      TypeParam* dweight = this->weight_.mutable_cpu_diff();
      const vector<TypeParam> before(dweight, dweight + this->weight_.count());
      for (int i = 0; !accumulate && i < this->weight_.count(); ++i) {
        if (this->Kept(i)) { Poison(dweight + i, 1); }
      }
      this->product_.WeightGradient(this->grid_, TypeParam(1.5),
          this->samples_, this->x_.cpu_data(), this->y_.cpu_diff(),
          accumulate, dweight);
      for (int i = 0; i < this->weight_.count(); ++i) {
        double expected = before[i];
        if (this->Kept(i)) {
          expected *= accumulate;
          for (int row : this->samples_) {
            expected += 1.5 * this->x_.cpu_data()[row * c.num_input
                + i % c.num_input] * this->y_.cpu_diff()[row * c.num_output
                + i / c.num_input];
          }
        }
        ExpectNear(expected, dweight[i], 30, "dW", i);
      }
    }
  }
}

}  // namespace caffe
