// A solver's prototxt with its net: parsed, upgraded, set up, two iterations.

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <random>
#include <set>
#include <stdexcept>
#include <string>

#include "caffe/sgd_solvers.hpp"
#include "caffe/util/upgrade_proto.hpp"
#include "mutate_message.hpp"
#include "refusal.hpp"

extern "C" size_t LLVMFuzzerMutate(uint8_t* bytes, size_t size, size_t max);

namespace {

using caffe::LayerParameter;
using caffe::NetParameter;
using caffe::SolverParameter;
using google::protobuf::TextFormat;

// Ours, and what stands around them. Other layers open files, or check nothing.
const std::set<std::string> kTypes = {"Accuracy", "ApproxDropout",
    "ApproxDropoutConvolution", "ApproxDropoutInnerProduct",
    "ApproxDropoutLSTM", "Concat", "Dropout", "DropoutPattern", "DummyData",
    "Eltwise", "Embed", "EuclideanLoss", "InnerProduct", "Input", "LSTM",
    "ReLU", "Scale", "Sigmoid", "Silence", "Slice", "Softmax",
    "SoftmaxWithLoss", "Split", "TanH"};

class NoErrors : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int, int, const std::string&) override {}
  void AddWarning(int, int, const std::string&) override {}
};

bool Parse(const std::string& text, SolverParameter* param) {
  NoErrors quiet;
  TextFormat::Parser parser;
  parser.RecordErrorsTo(&quiet);
  parser.SetRecursionLimit(50);
  return parser.ParseFromString(text, param);
}

bool IsSmall(const NetParameter& net) {
  if (net.layer_size() > 12) {
    return false;
  }
  for (const LayerParameter& layer : net.layer()) {
    if (kTypes.count(layer.type()) == 0) {
      return false;
    }
  }
  return true;
}

// What an iteration costs, and what it writes, is not the net's.
void Limit(SolverParameter* param) {
  const NetParameter net = param->net_param();
  SolverParameter limited;
  limited.set_type(param->type());
  limited.set_lr_policy("fixed");
  limited.set_base_lr(param->base_lr());
  limited.set_momentum(param->momentum());
  limited.set_weight_decay(param->weight_decay());
  limited.set_regularization_type(param->regularization_type());
  limited.set_clip_gradients(param->clip_gradients());
  limited.set_delta(param->delta());
  limited.set_momentum2(param->momentum2());
  limited.set_rms_decay(param->rms_decay());
  limited.set_random_seed(param->random_seed());
  limited.set_iter_size(std::min(param->iter_size(), 2));
  limited.set_solver_mode(caffe::SolverParameter_SolverMode_CPU);
  limited.set_debug_info(param->debug_info());
  *limited.mutable_net_param() = net;
  *param = limited;
}

void Train(SolverParameter* param) {
  UpgradeNetAsNeeded("input", param->mutable_net_param());
  if (!IsSmall(param->net_param())) {
    return;
  }
  Limit(param);
  caffe::Caffe::set_random_seed(1);
  const caffe::shared_ptr<caffe::Solver<float>> solver(
      caffe::SolverRegistry<float>::CreateSolver(*param));
  size_t numbers = 0;
  for (const auto& blob : solver->net()->blobs()) {
    numbers += blob->count();
  }
  for (const auto& blob : solver->net()->params()) {
    numbers += blob->count();
  }
  if (numbers > 1 << 18) {
    return;
  }
  solver->Step(2);
  // Also brings pending steps to an end.
  caffe::NetParameter weights;
  solver->net()->ToProto(&weights);
}

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(
    uint8_t* bytes, size_t size, size_t max, unsigned seed) {
  std::mt19937 random(seed);
  SolverParameter param;
  if (random() % 16 == 0 ||
      !Parse(std::string(reinterpret_cast<char*>(bytes), size), &param)) {
    return LLVMFuzzerMutate(bytes, size, max);
  }
  MutateMessage(&random, &param);
  std::string changed;
  TextFormat::PrintToString(param, &changed);
  if (changed.size() > max) {
    return LLVMFuzzerMutate(bytes, size, max);
  }
  std::memcpy(bytes, changed.data(), changed.size());
  return changed.size();
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  SolverParameter param;
  if (Parse(std::string(reinterpret_cast<const char*>(bytes), size), &param)) {
    Refusal::Reads([&] {
      try {
        Train(&param);
      } catch (const std::bad_alloc&) {
        throw std::runtime_error("a net that needs too much memory");
      }
    });
  }
  return 0;
}
