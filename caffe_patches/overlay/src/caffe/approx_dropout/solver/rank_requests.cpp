#include "caffe/approx_dropout/solver/rank_requests.hpp"

#include "boost/bind.hpp"

namespace caffe {

RankRequests* RankRequests::Get() {
  static RankRequests requests;
  return &requests;
}

ActionCallback RankRequests::Agree(const ActionCallback& own) {
  own_ = own;
  return boost::bind(&RankRequests::Next, this);
}

void RankRequests::Own(int* stop, int* snapshot) {
  *stop = 0;
  *snapshot = deferred_snapshot_;
  deferred_snapshot_ = false;
  for (SolverAction::Enum request = own_ ? own_() : SolverAction::NONE;
       request != SolverAction::NONE; request = own_()) {
    *(request == SolverAction::STOP ? stop : snapshot) = 1;
  }
}

void RankRequests::SetAgreed(bool stop, bool snapshot) {
  // The solver stops with a snapshot.
  agreed_ = stop       ? SolverAction::STOP
            : snapshot ? SolverAction::SNAPSHOT
                       : SolverAction::NONE;
}

SolverAction::Enum RankRequests::Next() {
  if (testing_) {
    int stop, snapshot;
    Own(&stop, &snapshot);
    deferred_snapshot_ = snapshot;
    return stop ? SolverAction::STOP : SolverAction::NONE;
  }
  const SolverAction::Enum request = agreed_;
  agreed_ = SolverAction::NONE;
  return request;
}

}  // namespace caffe
