#include <algorithm>
#include <vector>

#include "gtest/gtest.h"

#include "caffe/approx_dropout/product/grouped_product.hpp"
#include "caffe/blob.hpp"
#include "caffe/common.hpp"

#include "caffe/test/test_approx_dropout_util.hpp"
#include "caffe/test/test_caffe_main.hpp"

namespace caffe {

// GroupedProduct against plain loops in double; what must not be read or not
// be written is no number.
template <typename Dtype>
class GroupedProductTest : public ::testing::Test {
 protected:
  struct Case {
    int num_output, num_input, num_groups, samples_per_group;
  };

  // Fewer rows of W than chunks; one group; more than the chunks of a cache.
  static vector<Case> Cases() {
    const Case kCases[] = {{3, 7, 2, 5}, {45, 37, 3, 4}, {20, 11, 1, 6},
        {1100, 130, 2, 3}};
    return vector<Case>(kCases, kCases + 4);
  }

  // Every group keeps all rows and columns of W but those of one remainder,
  // another one for each group.
  void Use(const Case& c) {
    Caffe::set_random_seed(1701);
    spec_ = ProductSpec<Dtype>();
    spec_.num_output = spec_.stored_output = c.num_output;
    spec_.num_input = spec_.stored_input = c.num_input;
    spec_.scale = 1.5;
    spec_.bias_scale = 2;
    spec_.num_samples = c.samples_per_group * c.num_groups;
    for (int g = 0; g < c.num_groups; ++g) {
      spec_.output.push_back(Without(g + 1));
      spec_.input.push_back(Without(g));
    }
    const int rows = spec_.num_samples;
    weight_.Reshape(vector<int>({c.num_output, c.num_input}));
    bias_.Reshape(vector<int>(1, c.num_output));
    x_.Reshape(vector<int>({rows, c.num_input}));
    y_.Reshape(vector<int>({rows, c.num_output}));
    FillGaussian(&weight_, true);
    FillGaussian(&bias_, true);
    FillGaussian(&x_, true);
    FillGaussian(&y_, true);
    for (int n = 0; n < rows; ++n) {
      for (int j = 0; j < c.num_input; ++j) {
        const int i = n * c.num_input + j;
        if (!UsesInput(c, n, j)) { Poison(x_.mutable_cpu_data() + i, 1); }
      }
      for (int o = 0; o < c.num_output; ++o) {
        const int i = n * c.num_output + o;
        if (!UsesOutput(c, n, o)) { Poison(y_.mutable_cpu_diff() + i, 1); }
      }
    }
    product_.Pack(spec_, weight_.cpu_data());
  }

  static KeptCells Without(int remainder) {
    KeptCells cells = {};
    cells.period = 4;
    for (int i = 0; i < 4; ++i) {
      if (i != remainder % 4) { cells.residues[cells.kept++] = i; }
    }
    return cells;
  }
  static bool UsesInput(const Case& c, int row, int input) {
    return input % 4 != row / c.samples_per_group % 4;
  }
  static bool UsesOutput(const Case& c, int row, int output) {
    return output % 4 != (row / c.samples_per_group + 1) % 4;
  }

  ProductSpec<Dtype> spec_;
  Blob<Dtype> weight_, bias_, x_, y_;
  GroupedProduct<Dtype> product_;
};

TYPED_TEST_CASE(GroupedProductTest, TestDtypes);

TYPED_TEST(GroupedProductTest, TestForward) {
  // Overwritten without a bias, overwritten with one, added to.
  for (int i = 0; i < 3 * this->Cases().size(); ++i) {
    const auto c = this->Cases()[i / 3];
    const bool with_bias = i % 3 == 1, accumulate = i % 3 == 2;
    this->Use(c);
    TypeParam* y = this->y_.mutable_cpu_data();
    const vector<TypeParam> before(y, y + this->y_.count());
    for (int j = 0; !accumulate && j < this->y_.count(); ++j) {
      if (this->UsesOutput(c, j / c.num_output, j % c.num_output)) {
        Poison(y + j, 1);
      }
    }
    this->product_.Forward(1, this->x_.cpu_data(),
        with_bias ? this->bias_.cpu_data() : NULL, accumulate, y);
    for (int j = 0; j < this->y_.count(); ++j) {
      const int row = j / c.num_output, output = j % c.num_output;
      double expected = before[j];
      if (this->UsesOutput(c, row, output)) {
        expected *= accumulate;
        if (with_bias) { expected += 2 * this->bias_.cpu_data()[output]; }
        for (int k = 0; k < c.num_input; ++k) {
          if (!this->UsesInput(c, row, k)) { continue; }
          expected += 1.5 * this->x_.cpu_data()[row * c.num_input + k]
              * this->weight_.cpu_data()[output * c.num_input + k];
        }
      }
      ExpectNear(expected, y[j], 10, "y", j);
    }
  }
}

TYPED_TEST(GroupedProductTest, TestBackward) {
  for (int i = 0; i < 2 * this->Cases().size(); ++i) {
    const auto c = this->Cases()[i / 2];
    const bool with_dx = i % 2;
    this->Use(c);
    const TypeParam* dy = this->y_.cpu_diff();
    TypeParam* dx = this->x_.mutable_cpu_diff();
    const vector<TypeParam> dx_before(dx, dx + this->x_.count());
    const vector<TypeParam> dw_before(this->weight_.cpu_diff(),
        this->weight_.cpu_diff() + this->weight_.count());
    vector<double> dw(dw_before.begin(), dw_before.end());
    vector<double> db(this->bias_.cpu_diff(),
        this->bias_.cpu_diff() + c.num_output);
    vector<double> dx_sum(dx_before.begin(), dx_before.end());
    for (int row = 0; row < this->x_.shape(0); ++row) {
      for (int k = 0; with_dx && k < c.num_input; ++k) {
        if (!this->UsesInput(c, row, k)) { continue; }
        dx_sum[row * c.num_input + k] = 0;
        Poison(dx + row * c.num_input + k, 1);
      }
      for (int o = 0; o < c.num_output; ++o) {
        if (!this->UsesOutput(c, row, o)) { continue; }
        const double factor = 1.5 * dy[row * c.num_output + o];
        db[o] += 2 * dy[row * c.num_output + o];
        for (int k = 0; k < c.num_input; ++k) {
          if (!this->UsesInput(c, row, k)) { continue; }
          dw[o * c.num_input + k] +=
              factor * this->x_.cpu_data()[row * c.num_input + k];
          if (with_dx) {
            dx_sum[row * c.num_input + k] +=
                factor * this->weight_.cpu_data()[o * c.num_input + k];
          }
        }
      }
    }
    this->product_.Backward(1, this->x_.cpu_data(), dy, with_dx ? dx : NULL,
        this->weight_.mutable_cpu_diff(), this->bias_.mutable_cpu_diff());
    for (int j = 0; j < this->x_.count(); ++j) {
      ExpectNear(dx_sum[j], dx[j], 30, "dx", j);
    }
    for (int j = 0; j < this->weight_.count(); ++j) {
      ExpectNear(dw[j], this->weight_.cpu_diff()[j], 10, "dW", j);
    }
    for (int j = 0; j < c.num_output; ++j) {
      ExpectNear(db[j], this->bias_.cpu_diff()[j], 10, "db", j);
    }
  }
}

}  // namespace caffe
