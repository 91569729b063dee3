#include "caffe/approx_dropout/solver/training_ranks.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "caffe/approx_dropout/ranks/ranks.hpp"
#include "caffe/approx_dropout/solver/gradient_exchange.hpp"
#include "caffe/approx_dropout/solver/rank_requests.hpp"
#include "caffe/approx_dropout/solver/rank_state.hpp"
#include "caffe/layers/resumable_layer.hpp"
#include "caffe/util/math_functions.hpp"

namespace caffe {

namespace {

// A launcher's way to say that a job ends: as Ctrl-C, with a snapshot. It may
// be that another rank has died; Slurm kills those that wait for it after 30 s.
const int kTimeoutAfterSIGTERM_s = 10;

void StopAtSIGTERM(int) {
  rank_timeout_s = std::min(rank_timeout_s, kTimeoutAfterSIGTERM_s);
  raise(SIGINT);
}

// The file that this function is in: Caffe's library.
uint64_t ProgramChecksum() {
  Dl_info library;
  if (!dladdr(reinterpret_cast<void*>(&StopAtSIGTERM), &library)) {
    return 0;
  }
  std::ifstream file(library.dli_fname, std::ios::binary);
  const string content(
      (std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  return Checksum(content.data(), content.size());
}

uint64_t MessageChecksum(const google::protobuf::Message& message) {
  const string bytes = message.SerializeAsString();
  return Checksum(bytes.data(), bytes.size());
}

// Samples that the train net's data layers and inputs put out, as words.
string BatchSizes(const Net<float>& net, int ranks) {
  string text;
  for (size_t i = 0; i < net.layers().size(); ++i) {
    if (!net.bottom_vecs()[i].empty() || net.top_vecs()[i].empty() ||
        net.layers()[i]->blobs().size() > 0) {
      continue;
    }
    const string type = net.layers()[i]->type();
    if (type == "DropoutPattern" || type == "Python") {
      continue;
    }
    // Of sequences, T x N, samples are on the second axis.
    const Blob<float>& top = *net.top_vecs()[i][0];
    const bool streams = type == "HDF5Streams";
    const int batch = streams          ? top.shape(1)
                      : top.num_axes() ? top.shape(0)
                                       : 1;
    text += (text.empty() ? "" : "; ") + net.layer_names()[i] + ": " +
            std::to_string(ranks) + " x " + std::to_string(batch) + " = " +
            std::to_string(ranks * batch) + (streams ? " streams" : " samples");
  }
  return text;
}

// Layers whose result depends on which samples are on one rank.
void WarnOfMeansPerRank(const Net<float>& net) {
  for (size_t i = 0; i < net.layers().size(); ++i) {
    const LayerParameter& param = net.layers()[i]->layer_param();
    const LossParameter& loss = param.loss_param();
    const bool valid =
        loss.has_normalization()
            ? loss.normalization() == LossParameter_NormalizationMode_VALID
            : !loss.has_normalize() || loss.normalize();
    if (param.has_loss_param() && loss.has_ignore_label() && valid) {
      LOG(WARNING) << "Layer '" << param.name() << "' divides by the labels "
                   << "that are not ignore_label: each rank by its own. With "
                   << "normalization: FULL in loss_param all samples count "
                   << "alike, as in one process";
    }
    if (param.type() == "BatchNorm") {
      LOG(WARNING) << "BatchNorm layer '" << param.name() << "' takes mean and "
                   << "variance over each rank's own samples; snapshots and "
                   << "tests have rank 0's";
    }
  }
}

// The GPU of a rank; where each sees one only, as Slurm's --gpus-per-task has
// it, that one. Before Caffe's first use of a device: it would take number 0.
int TakeDevice(int local_rank) {
  int device = local_rank;
#ifndef CPU_ONLY
  int count = 0;
  CUDA_CHECK(cudaGetDeviceCount(&count));
  device = count == 1 ? 0 : local_rank;
  CHECK_LT(device, count) << "rank " << Ranks::Get()->rank() << " is number "
      << local_rank << ", from 0, on its machine, which has " << count
      << " GPUs; each rank takes one";
  CUDA_CHECK(cudaSetDevice(device));
#endif
  return device;
}

}  // namespace

TrainingRanks::TrainingRanks() {
  Ranks::Start();
  Ranks* ranks = Ranks::Get();
  if (!ranks) {
    return;
  }
  std::signal(SIGTERM, StopAtSIGTERM);
  if (ranks->rank() > 0) {
    FLAGS_minloglevel = google::GLOG_ERROR;
    ranks->Broadcast(&seed_);
    ranks->Broadcast(&snapshot_);
  }
}

TrainingRanks::~TrainingRanks() {
  if (Ranks::Get()) {
    Ranks::Get()->Abort();
  }
}

void TrainingRanks::Prepare(
    SolverParameter* param, string* snapshot, string* gpu) {
  Ranks* ranks = Ranks::Get();
  if (!ranks) {
    return;
  }
  if (!gpu->empty()) {
    CHECK(*gpu == "all" || gpu->find(',') == string::npos)
        << "--gpu=" << *gpu << ": where mpirun has started several processes, "
        << "each takes one GPU, that of its number on its machine";
    *gpu = std::to_string(TakeDevice(ranks->local_rank()));
  }
  Caffe::set_solver_rank(ranks->rank());
  Caffe::set_solver_count(ranks->size());
  Caffe::set_multiprocess(true);
  if (ranks->rank() > 0) {
    param->set_random_seed(std::stoll(seed_));
    *snapshot = snapshot_;
  } else if (param->random_seed() < 0) {
    param->set_random_seed(caffe_rng_rand() >> 1);
    LOG(INFO) << "random_seed: " << param->random_seed() << " on all ranks";
  }
  seed_ = std::to_string(param->random_seed());
  snapshot_ = *snapshot;
}

bool TrainingRanks::restores() const {
  return !Ranks::Get() || Ranks::Get()->rank() == 0;
}

ActionCallback TrainingRanks::Requests(const ActionCallback& own) {
  return Ranks::Get() ? RankRequests::Get()->Agree(own) : own;
}

void TrainingRanks::Agree(Solver<float>* solver) {
  Ranks* ranks = Ranks::Get();
  if (!ranks) {
    return;
  }
  if (ranks->rank() == 0) {
    ranks->Broadcast(&seed_);
    ranks->Broadcast(&snapshot_);
  }
  RankFacts facts;
  facts.push_back(
      std::make_pair("program (libcaffe.so)", FactOf(ProgramChecksum())));
  SolverParameter param = solver->param();
  param.clear_device_id();
  facts.push_back(std::make_pair("solver", FactOf(MessageChecksum(param))));
  const Net<float>& net = *solver->net();
  facts.push_back(std::make_pair(
      "number of layers in the net", std::to_string(net.layers().size())));
  for (size_t i = 0; i < net.layers().size(); ++i) {
    Layer<float>* layer = net.layers()[i].get();
    const string name = " in layer '" + net.layer_names()[i] + "'";
    facts.push_back(std::make_pair(
        "net" + name, FactOf(MessageChecksum(layer->layer_param()))));
    const ResumableLayer* data = dynamic_cast<ResumableLayer*>(layer);
    if (data) {
      LayerState state;
      data->SaveState(&state);
      // Of the first record, of a row or of the whole list.
      facts.push_back(
          std::make_pair("set of data" + name, FactOf(state.checksum())));
    }
  }
  CompareRanks(facts, "at the start");
}

void TrainingRanks::Share(Solver<float>* solver) {
  Ranks* ranks = Ranks::Get();
  if (!ranks) {
    return;
  }
  solver->ShareState();
  if (ranks->rank() == 0) {
    LOG(INFO) << ranks->size() << " ranks train. Samples of a step, on all of "
              << "them: " << BatchSizes(*solver->net(), ranks->size())
              << (solver->param().iter_size() > 1
                         ? "; times iter_size: " +
                               std::to_string(solver->param().iter_size())
                         : "")
              << ". base_lr is as the solver has it";
    WarnOfMeansPerRank(*solver->net());
  }
}

void TrainingRanks::Finish() {
  if (!Ranks::Get()) {
    return;
  }
  const ExchangeTotals& totals = *ExchangeTotals::Get();
  if (totals.steps > 0) {
    LOG(INFO) << "Gradients of a step: " << totals.sent_bytes / totals.steps
              << " of " << totals.whole_bytes / totals.steps << " bytes ("
              << 100 * totals.sent_bytes / totals.whole_bytes
              << " %) went to the exchange, which took "
              << 1000 * totals.taken_s / totals.steps << " ms; rank 0 waited "
              << 1000 * totals.waited_s / totals.steps << " ms for it";
  }
  Ranks::Finish();
}

}  // namespace caffe
