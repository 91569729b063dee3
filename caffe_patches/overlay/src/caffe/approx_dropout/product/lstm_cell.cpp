#include <algorithm>

#include "caffe/approx_dropout/math/vector_math.hpp"
#include "caffe/approx_dropout/product/lstm_cell.hpp"

namespace caffe {

template <typename Dtype>
void lstm_cell_forward(int units, Dtype cont, const Dtype* c_prev,
    Dtype* gates, Dtype* c, Dtype* h) {
  vector_sigmoid(3 * units, gates, gates);
  vector_tanh(units, gates + 3 * units, gates + 3 * units);
  const Dtype* i = gates;
  const Dtype* f = gates + units;
  const Dtype* o = gates + 2 * units;
  const Dtype* g = gates + 3 * units;
  if (cont == 0) {
#pragma omp simd
    for (int u = 0; u < units; ++u) { c[u] = i[u] * g[u]; }
  } else {
#pragma omp simd
    for (int u = 0; u < units; ++u) {
      c[u] = cont * f[u] * c_prev[u] + i[u] * g[u];
    }
  }
  vector_tanh(units, c, h);
#pragma omp simd
  for (int u = 0; u < units; ++u) { h[u] *= o[u]; }
}

template <typename Dtype>
void lstm_cell_backward(int units, Dtype cont, const Dtype* c_prev,
    const Dtype* gates, const Dtype* c, const Dtype* dh, Dtype* dc,
    Dtype* gates_diff) {
  const int kChunk = 256;
  Dtype tanh_c[kChunk];
  const Dtype zeros[kChunk] = {};
  for (int begin = 0; begin < units; begin += kChunk) {
    const int size = std::min(kChunk, units - begin);
    const Dtype* c_before = cont == 0 ? zeros : c_prev + begin;
    const Dtype* act = gates + begin;
    Dtype* diff = gates_diff + begin;
    vector_tanh(size, c + begin, tanh_c);
#pragma omp simd
    for (int u = 0; u < size; ++u) {
      const LSTMGates<Dtype> unit = { act[u], act[units + u],
          act[2 * units + u], act[3 * units + u] };
      const LSTMGates<Dtype> d = LSTMCellGradient(unit, tanh_c[u],
          c_before[u], cont, dh[begin + u], dc + begin + u);
      diff[u] = d.i;
      diff[units + u] = d.f;
      diff[2 * units + u] = d.o;
      diff[3 * units + u] = d.g;
    }
  }
}

#define INSTANTIATE_LSTM_CELL(Dtype) \
  template void lstm_cell_forward<Dtype>(int, Dtype, const Dtype*, Dtype*, \
      Dtype*, Dtype*); \
  template void lstm_cell_backward<Dtype>(int, Dtype, const Dtype*, \
      const Dtype*, const Dtype*, const Dtype*, Dtype*, Dtype*)

INSTANTIATE_LSTM_CELL(float);
INSTANTIATE_LSTM_CELL(double);

}  // namespace caffe
