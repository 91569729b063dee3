#include <stdint.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "gtest/gtest.h"

#include "caffe/approx_dropout/math/vector_math.hpp"
#include "caffe/blob.hpp"
#include "caffe/common.hpp"
#include "caffe/layers/softmax_loss_layer.hpp"

#include "caffe/test/test_caffe_main.hpp"

namespace caffe {

namespace {

typedef long double Wide;

Wide WideExp(Wide x) { return std::exp(x); }

Wide WideSigmoid(Wide x) {
  return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x));
}

Wide WideTanh(Wide x) { return std::tanh(x); }

// The error of a result, in units in the last place of the exact one.
template <typename Dtype>
double ErrorUlp(Dtype actual, Wide exact) {
  if (std::isnan(exact)) { return std::isnan(actual) ? 0 : HUGE_VAL; }
  const Dtype rounded = static_cast<Dtype>(exact);
  if (actual == rounded) { return 0; }
  if (!std::isfinite(rounded) || !std::isfinite(actual)) { return HUGE_VAL; }
  const Dtype size = std::abs(rounded);
  const Dtype ulp = std::nextafter(size,
      std::numeric_limits<Dtype>::infinity()) - size;
  return std::abs((actual - exact) / ulp);
}

// Numbers of every size and sign, and those at which something changes.
template <typename Dtype>
vector<Dtype> Inputs() {
  typedef std::numeric_limits<Dtype> Limits;
  const Dtype kSpecial[] = {0, -Dtype(0), 1, -1, Limits::infinity(),
      -Limits::infinity(), Limits::quiet_NaN(), Limits::max(), -Limits::max(),
      Limits::min(), -Limits::min(), Limits::denorm_min(),
      -Limits::denorm_min(), Limits::epsilon(), 88.72f, 88.73f, -87.34f,
      -103.97f, -103.98f, 709.78, 709.79, -708.4, -745.13, -745.14};
  vector<Dtype> x(kSpecial, kSpecial + sizeof(kSpecial) / sizeof(Dtype));
  // All bit patterns in steps that no power of 2 divides.
  for (uint64_t i = 0; i < 200000; ++i) {
    Dtype value;
    if (sizeof(Dtype) == 4) {
      const uint32_t bits = static_cast<uint32_t>(i * 21475u);
      memcpy(&value, &bits, sizeof(value));  // NOLINT(caffe/alt_fn)
    } else {
      const uint64_t bits = i * 92233720368549ULL;
      memcpy(&value, &bits, sizeof(value));  // NOLINT(caffe/alt_fn)
    }
    x.push_back(value);
  }
  for (int i = -100000; i <= 100000; ++i) {
    x.push_back(i * Dtype(1.0521e-3));
    x.push_back(i * Dtype(7.5321e-3));
  }
  return x;
}

template <typename Dtype>
void CheckFunction(void (*function)(int, const Dtype*, Dtype*),
    Wide (*exact)(Wide), double max_ulp) {
  const vector<Dtype> x = Inputs<Dtype>();
  vector<Dtype> y(x.size());
  function(x.size(), x.data(), y.data());
  for (int i = 0; i < x.size(); ++i) {
    EXPECT_LE(ErrorUlp<Dtype>(y[i], exact(x[i])), max_ulp)
        << "x = " << x[i] << ", y = " << y[i];
  }
}

}  // namespace

template <typename Dtype>
class VectorMathTest : public ::testing::Test {};

TYPED_TEST_CASE(VectorMathTest, TestDtypes);

TYPED_TEST(VectorMathTest, TestExp) {
  CheckFunction<TypeParam>(vector_exp<TypeParam>, WideExp, 1.5);
}

TYPED_TEST(VectorMathTest, TestSigmoid) {
  CheckFunction<TypeParam>(vector_sigmoid<TypeParam>, WideSigmoid, 3);
}

TYPED_TEST(VectorMathTest, TestTanh) {
  CheckFunction<TypeParam>(vector_tanh<TypeParam>, WideTanh, 3);
}

TYPED_TEST(VectorMathTest, TestRange) {
  const vector<TypeParam> x = Inputs<TypeParam>();
  vector<TypeParam> s(x.size()), t(x.size());
  vector_sigmoid<TypeParam>(x.size(), x.data(), s.data());
  vector_tanh<TypeParam>(x.size(), x.data(), t.data());
  for (int i = 0; i < x.size(); ++i) {
    if (std::isnan(x[i])) { continue; }
    EXPECT_TRUE(s[i] >= 0 && s[i] <= 1) << x[i];
    EXPECT_LE(std::abs(t[i]), 1) << x[i];
  }
}

// Any length and in place, the same value wherever an element stands; what
// lies behind the array stays as it is.
TYPED_TEST(VectorMathTest, TestLengths) {
  void (*functions[])(int, const TypeParam*, TypeParam*) = {
      vector_exp<TypeParam>, vector_sigmoid<TypeParam>,
      vector_tanh<TypeParam>};
  for (int f = 0; f < 3; ++f) {
    for (int n = 0; n < 40; ++n) {
      vector<TypeParam> x(n + 1);
      for (int i = 0; i <= n; ++i) { x[i] = 0.37 * i - 5; }
      vector<TypeParam> y = x;
      functions[f](n, y.data(), y.data());
      EXPECT_EQ(x[n], y[n]);
      for (int i = 0; i < n; ++i) {
        TypeParam one;
        functions[f](1, &x[i], &one);
        EXPECT_NEAR(one, y[i],
            2 * std::numeric_limits<TypeParam>::epsilon() * std::abs(one));
      }
    }
  }
}

// In place, as Caffe's layer works, and with every length of the rest.
TYPED_TEST(VectorMathTest, TestReLU) {
  const TypeParam kValues[] = {-2, 3, 0, TypeParam(-0.5), 7,
      std::numeric_limits<TypeParam>::infinity()};
  const TypeParam kSlope = 0.25;
  for (int n = 0; n < 70; ++n) {
    vector<TypeParam> x(n), y, dx(n);
    for (int i = 0; i < n; ++i) {
      x[i] = kValues[(i + n) % 6];
      dx[i] = i - 20;
    }
    y = x;
    vector_relu(n, kSlope, y.data(), y.data());
    vector_relu_gradient(n, kSlope, x.data(), dx.data(), dx.data());
    for (int i = 0; i < n; ++i) {
      EXPECT_EQ(y[i], x[i] > 0 ? x[i] : kSlope * x[i]);
      EXPECT_EQ(dx[i], (i - 20) * (x[i] > 0 ? 1 : kSlope));
    }
  }
}

TYPED_TEST(VectorMathTest, TestSoftmax) {
  const int kSizes[] = {1, 2, 7, 10, 33, 10000};
  for (int k = 0; k < 6; ++k) {
    const int n = kSizes[k];
    vector<TypeParam> x(n), y(n);
    for (int i = 0; i < n; ++i) { x[i] = 300 + 9 * std::sin(1 + i * 0.7); }
    Wide sum = 0;
    for (int i = 0; i < n; ++i) { sum += std::exp(Wide(x[i]) - 300); }
    vector_softmax<TypeParam>(n, x.data(), y.data());
    for (int i = 0; i < n; ++i) {
      const Wide exact = std::exp(Wide(x[i]) - 300) / sum;
      // x[i] - max is rounded, and so is each of n additions at worst.
      EXPECT_NEAR(exact, y[i],
          (20 + n / 16) * std::numeric_limits<TypeParam>::epsilon() * exact);
    }
    x[n / 2] = std::numeric_limits<TypeParam>::quiet_NaN();
    vector_softmax<TypeParam>(n, x.data(), x.data());
    for (int i = 0; i < n; ++i) { EXPECT_TRUE(std::isnan(x[i])); }
  }
}

// The layers, where no axis follows that of the classes; few and many rows.
TYPED_TEST(VectorMathTest, TestSoftmaxWithLoss) {
  const int kRows[] = {3, 300};
  for (int k = 0; k < 2; ++k) {
    const int rows = kRows[k];
    const int classes = 77;
    const int ignored = 5;
    vector<int> shape(1, rows);
    Blob<TypeParam> label(shape);
    shape.push_back(classes);
    Blob<TypeParam> x(shape), loss;
    for (int i = 0; i < x.count(); ++i) {
      x.mutable_cpu_data()[i] = 3 * std::sin(1 + i * 0.7);
      x.mutable_cpu_diff()[i] = std::numeric_limits<TypeParam>::quiet_NaN();
    }
    int count = 0;
    for (int r = 0; r < rows; ++r) {
      label.mutable_cpu_data()[r] = r % 3 == 1 ? ignored : r * 31 % classes;
      count += label.cpu_data()[r] != ignored;
    }
    vector<Blob<TypeParam>*> bottom(1, &x), top(1, &loss);
    bottom.push_back(&label);
    LayerParameter param;
    param.mutable_loss_param()->set_ignore_label(ignored);
    param.add_loss_weight(2);
    SoftmaxWithLossLayer<TypeParam> layer(param);
    layer.SetUp(bottom, top);
    layer.Forward(bottom, top);
    vector<bool> propagate_down(2, false);
    propagate_down[0] = true;
    layer.Backward(top, propagate_down, bottom);
    double expected_loss = 0;
    for (int r = 0; r < rows; ++r) {
      const TypeParam* row = x.cpu_data() + r * classes;
      const int target = static_cast<int>(label.cpu_data()[r]);
      double sum = 0;
      for (int i = 0; i < classes; ++i) { sum += std::exp(row[i]); }
      if (target != ignored) {
        expected_loss -= std::log(std::exp(row[target]) / sum) / count;
      }
      for (int i = 0; i < classes; ++i) {
        const double p = std::exp(row[i]) / sum;
        const double diff = target == ignored ? 0
            : 2 * (p - (i == target)) / count;
        EXPECT_NEAR(diff, x.cpu_diff()[r * classes + i], 1e-6 / count);
      }
    }
    EXPECT_NEAR(expected_loss, loss.cpu_data()[0], 1e-5);
  }
}

}  // namespace caffe
