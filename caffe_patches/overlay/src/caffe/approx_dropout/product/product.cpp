#include "caffe/approx_dropout/product/product.hpp"

#include "boost/math/common_factor_rt.hpp"

namespace caffe {

template <typename Dtype>
void ProductSpec<Dtype>::Keep(const DropoutPattern<Dtype>& output_pattern,
    const DropoutPattern<Dtype>& input_pattern,
    const ApproxDropoutParameter& param) {
  const KeptCells& out = output_pattern.groups[0];
  const KeptCells& in = input_pattern.groups[0];
  const bool tiles = param.pattern() == ApproxDropoutParameter_Pattern_TILE;
  compact_output = param.compact_output();
  compact_input = param.compact_input();
  stored_output = compact_output ? out.count(num_output) : num_output;
  stored_input = compact_input ? in.count(num_input / input_width) * input_width
                               : num_input;
  tile_size = tiles ? param.tile_size() : 0;
  scale = output_pattern.scale;
  bias_scale = tiles ? Dtype(1) : scale;
  // Groups that all keep everything make one product.
  const int groups = out.keeps_all() && in.keeps_all()
                         ? 1
                         : boost::math::lcm(output_pattern.groups.size(),
                               input_pattern.groups.size());
  const int size = num_samples / groups;
  output.clear();
  input.clear();
  for (int g = 0; g < groups; ++g) {
    output.push_back(output_pattern.of_sample(g * size, num_samples));
    input.push_back(input_pattern.of_sample(g * size, num_samples));
  }
}

template struct ProductSpec<float>;
template struct ProductSpec<double>;

}  // namespace caffe
