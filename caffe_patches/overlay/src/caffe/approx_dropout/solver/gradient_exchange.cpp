#include "caffe/approx_dropout/solver/gradient_exchange.hpp"

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "caffe/approx_dropout/solver/rank_requests.hpp"
#include "caffe/util/math_functions.hpp"

namespace caffe {

namespace {

// Values. Below it a message costs more than copying them twice.
const size_t kSmall = 16384;

}  // namespace

ExchangeTotals* ExchangeTotals::Get() {
  static ExchangeTotals totals = {};
  return &totals;
}

template <typename Dtype>
GradientExchange<Dtype>::GradientExchange(Ranks* ranks, Net<Dtype>* net,
    const SolverParameter& param, const shared_ptr<SGDUpdater<Dtype> >* updater)
    : ranks_(ranks),
      net_(net),
      param_(param),
      updater_(updater),
      devices_met_(false),
      passes_(0),
      sent_(0),
      waited_us_(0),
      sends_whole_(std::getenv("CAFFE_SEND_WHOLE_GRADIENTS")),
      is_first_(true) {
  for (const Blob<Dtype>* blob : net->learnable_params()) {
    Parameter parameter = {};
    for (int l = net->layers().size() - 1; l >= 0; --l) {
      for (const shared_ptr<Blob<Dtype> >& own : net->layers()[l]->blobs()) {
        if (own->data() == blob->data()) {
          parameter.first_layer = l;
        }
      }
    }
    parameters_.push_back(parameter);
  }
  net->add_after_backward(this);
}

template <typename Dtype>
void GradientExchange<Dtype>::MeetDevices() {
  if (!devices_met_) {
    device_sums_ = DeviceSums::Make(ranks_);
    devices_met_ = true;
  }
}

template <typename Dtype>
void GradientExchange<Dtype>::run(int layer) {
  MeetDevices();
  if (!*updater_ && !device_sums_) {
    return;  // with Caffe's own update, Average starts all
  }
  if (passes_ + 1 == param_.iter_size()) {
    for (size_t i = 0; i < parameters_.size(); ++i) {
      if (parameters_[i].first_layer == layer) {
        Start(i);
      }
    }
  }
  if (layer == 0) {
    ++passes_;
  }
}

template <typename Dtype>
void GradientExchange<Dtype>::AgreeOnCells(LazyParameter<Dtype>* lazy) {
  vector<char> cells = lazy->HasGradient();
  CPUTimer timer;
  timer.Start();
  ranks_->TakeAny(&cells);
  waited_us_ += timer.MicroSeconds();
  lazy->AddZeros(cells);
}

template <typename Dtype>
void GradientExchange<Dtype>::Send(Dtype* values, size_t size) {
  taken_.Start();  // or goes on
  ranks_->StartSum(values, size);
}

template <typename Dtype>
void GradientExchange<Dtype>::Start(int i) {
  Parameter* parameter = &parameters_[i];
  LazyLayer<Dtype>* layer;
  LazyParameter<Dtype>* lazy = Lazy(i, &layer);
  Blob<Dtype>* blob = net_->learnable_params()[i];
  if (parameter->started || net_->params_lr()[i] == 0) {
    return;  // weights that are not learned have no gradient
  }
  parameter->started = true;
  const Dtype scale = Dtype(1) / ranks_->size();
  if (device_sums_) {
    sent_ += blob->count();
    device_sums_->Start(scale, blob->mutable_gpu_diff(), blob->count());
    return;
  }
  if (lazy && !layer->PatternsChooseCells()) {
    AgreeOnCells(lazy);
  }
  const size_t size = lazy ? lazy->GradientSize() : blob->count();
  const size_t sent = sends_whole_ ? blob->count() : size;
  sent_ += sent;
  if (sent < kSmall) {
    small_.push_back(i);
    small_values_.resize(small_values_.size() + size);
    Dtype* values = small_values_.data() + small_values_.size() - size;
    if (lazy) {
      lazy->CopyGradient(scale, values);
    } else {
      caffe_cpu_scale<Dtype>(size, scale, blob->cpu_diff(), values);
    }
  } else if (lazy) {
    parameter->is_packed = true;
    parameter->packed.resize(std::max(sent, parameter->packed.size()));
    lazy->CopyGradient(scale, parameter->packed.data());
    if (sent > size) {
      std::fill(parameter->packed.begin() + size, parameter->packed.end(), 0);
    }
    Send(parameter->packed.data(), sent);
  } else {
    caffe_scal<Dtype>(size, scale, blob->mutable_cpu_diff());
    Send(blob->mutable_cpu_diff(), size);
  }
}

template <typename Dtype>
void GradientExchange<Dtype>::StartSmall() {
  int stop, snapshot;
  RankRequests::Get()->Own(&stop, &snapshot);
  small_values_.push_back(stop);
  small_values_.push_back(snapshot);
  Send(small_values_.data(), small_values_.size());
}

template <typename Dtype>
const Dtype* GradientExchange<Dtype>::TakeSmall() {
  const Dtype* values = small_values_.data();
  for (int i : small_) {
    Blob<Dtype>* blob = net_->learnable_params()[i];
    LazyLayer<Dtype>* layer;
    LazyParameter<Dtype>* lazy = Lazy(i, &layer);
    const size_t size = lazy ? lazy->GradientSize() : blob->count();
    if (lazy) {
      lazy->SetGradient(values);
    } else {
      std::copy(values, values + size, blob->mutable_cpu_diff());
    }
    values += size;
  }
  return values;
}

template <typename Dtype>
void GradientExchange<Dtype>::Average() {
  MeetDevices();
  for (int i = parameters_.size() - 1; i >= 0; --i) {
    Start(i);  // unless it has left already
  }
  StartSmall();
  CPUTimer timer;
  timer.Start();
  ranks_->WaitForSums();
  if (device_sums_) {
    device_sums_->Wait();  // all ranks have started the same sums
  }
  waited_us_ += timer.MicroSeconds();
  AddToTotals();
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (parameters_[i].is_packed) {
      LazyLayer<Dtype>* layer;
      Lazy(i, &layer)->SetGradient(parameters_[i].packed.data());
    }
    parameters_[i].started = parameters_[i].is_packed = false;
  }
  const Dtype* requests = TakeSmall();
  RankRequests::Get()->SetAgreed(requests[0] > 0, requests[1] > 0);
  small_.clear();
  small_values_.clear();
  sent_ = 0;
  waited_us_ = 0;
  passes_ = 0;
}

template <typename Dtype>
void GradientExchange<Dtype>::AddToTotals() {
  const double taken_us = taken_.MicroSeconds();  // which stops it
  if (is_first_) {
    is_first_ = false;
    return;
  }
  ExchangeTotals* totals = ExchangeTotals::Get();
  for (const Blob<Dtype>* blob : net_->learnable_params()) {
    totals->whole_bytes += blob->count() * sizeof(Dtype);
  }
  totals->sent_bytes += sent_ * sizeof(Dtype);
  totals->taken_s += 1e-6 * taken_us;
  totals->waited_s += 1e-6 * waited_us_;
  ++totals->steps;
}

INSTANTIATE_CLASS(GradientExchange);

}  // namespace caffe
