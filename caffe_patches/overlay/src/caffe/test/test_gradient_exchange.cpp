#include <string>
#include <vector>

#include "caffe/approx_dropout/solver/gradient_exchange.hpp"
#include "caffe/approx_dropout/solver/rank_requests.hpp"
#include "caffe/test/test_ranks_util.hpp"
#include "caffe/test/test_sgd_updater_util.hpp"
#include "caffe/test/test_update_rules_util.hpp"

namespace caffe {

template <typename TypeParam>
class GradientExchangeTest : public SGDUpdaterTestBase<TypeParam> {
 protected:
  typedef typename TypeParam::Dtype Dtype;

  // The mean over ranks that all do the same is each one's gradient: dividing
  // by a power of two and multiplying by it is exact.
  static void ExpectSame(
      const string& net, const string& solver_text, bool dense = false) {
    SCOPED_TRACE(solver_text);
    const vector<Dtype> alone =
        GradientExchangeTest::Train(net, solver_text, dense);
    const shared_ptr<EqualRanks> ranks(new EqualRanks(4));
    const WithRanks with_ranks(ranks);
    const vector<Dtype> together =
        GradientExchangeTest::Train(net, solver_text, dense);
    EXPECT_TRUE(SameValues(together.data(), alone.data(), alone.size()));
    EXPECT_GT(ranks->messages(), 0);
  }
};

// On GPUs whole gradients are exchanged, so that Caffe's own update follows.
typedef ::testing::Types<CPUDevice<float>, CPUDevice<double> > CPUDevices;
TYPED_TEST_CASE(GradientExchangeTest, CPUDevices);

TYPED_TEST(GradientExchangeTest, TestMeanOfEqualRanks) {
  const string kDecay =
      "lr_policy: 'fixed' momentum: 0.9 weight_decay: 0.05 "
      "iter_size: 2";
  const string kNets[] = {this->RowNet(), this->TileNet(""),
      this->TileNet("groups: 3 "), this->GroupNet(), this->EmbedNet()};
  for (const string& net : kNets) {
    this->ExpectSame(net, kDecay);
  }
  const string kClip = "lr_policy: 'fixed' momentum: 0.5 clip_gradients: 0.5";
  this->ExpectSame(this->RowNet(), kClip);
  this->ExpectSame(this->EmbedNet(), kClip);
  this->ExpectSame(this->RowNet(), kDecay, true);
}

// Of the kept cells only: between two layers that drop half of their units a
// quarter of the weights.
TYPED_TEST(GradientExchangeTest, TestSendsWhatIsKept) {
  const int kUnits = 256, kHidden = kUnits / 2;
  const string kPattern =
      "probability: 0 probability: 1 probability: 0 "
      "probability: 0";
  const string net = this->Data(kUnits) + this->Pattern("p", kPattern) +
                     this->Pattern("q", kPattern) +
                     this->Product("a", "bottom: 'x' bottom: 'p'", kUnits,
                         "compact_output: true") +
                     this->Product("b", "bottom: 'a' bottom: 'q' bottom: 'p'",
                         kUnits, "compact_input: true compact_output: true") +
                     this->Product("c", "bottom: 'b' bottom: 'q'", 3,
                         "pattern: NONE compact_input: true") +
                     this->Loss("c");
  const shared_ptr<EqualRanks> ranks(new EqualRanks(2));
  const WithRanks with_ranks(ranks);
  const shared_ptr<SGDSolver<typename TypeParam::Dtype> > solver =
      this->MakeSolver(net, "base_lr: 0.01 lr_policy: 'fixed'", false);
  solver->Step(1);
  const size_t biases = 2 * kUnits + 3;
  const size_t requests = 2;
  EXPECT_EQ(ranks->values(),
      kHidden * kUnits + kHidden * kHidden + 3 * kHidden + biases + requests);
  // The two large ones, and one for all small ones.
  EXPECT_EQ(ranks->messages(), 3);
}

class RankRequestsTest : public ::testing::Test {
 protected:
  virtual void TearDown() { RankRequests::Get()->Agree(ActionCallback()); }
};

SolverAction::Enum next_request = SolverAction::NONE;

SolverAction::Enum TakeRequest() {
  const SolverAction::Enum request = next_request;
  next_request = SolverAction::NONE;
  return request;
}

TEST_F(RankRequestsTest, TestAgrees) {
  RankRequests* requests = RankRequests::Get();
  const ActionCallback agreed = requests->Agree(&TakeRequest);
  int stop, snapshot;
  next_request = SolverAction::STOP;
  EXPECT_EQ(agreed(), SolverAction::NONE);  // not before all know of it
  requests->Own(&stop, &snapshot);
  EXPECT_TRUE(stop && !snapshot);
  requests->SetAgreed(true, true);
  EXPECT_EQ(agreed(), SolverAction::STOP);
  EXPECT_EQ(agreed(), SolverAction::NONE);
}

TEST_F(RankRequestsTest, TestWithinATest) {
  RankRequests* requests = RankRequests::Get();
  const ActionCallback agreed = requests->Agree(&TakeRequest);
  requests->set_testing(true);
  next_request = SolverAction::SNAPSHOT;
  EXPECT_EQ(agreed(), SolverAction::NONE);
  next_request = SolverAction::STOP;
  EXPECT_EQ(agreed(), SolverAction::STOP);
  requests->set_testing(false);
  int stop, snapshot;
  requests->Own(&stop, &snapshot);
  EXPECT_TRUE(snapshot && !stop);  // after the next step
}

}  // namespace caffe
