#include <stdexcept>

#include "boost/thread.hpp"
#include "gtest/gtest.h"

#include "caffe/common.hpp"

#include "caffe/test/test_caffe_main.hpp"

namespace caffe {

// In a thread, such as those that read data: nothing catches it there.
template <typename Exception>
void ThrowInThread(Exception exception) {
  struct Thrower {
    explicit Thrower(Exception exception) : exception(exception) {}
    void operator()() const { throw exception; }
    Exception exception;
  };
  boost::thread(Thrower(exception)).join();
}

class ReportExceptionDeathTest : public ::testing::Test {};

TEST_F(ReportExceptionDeathTest, TestTypeTextAndStatus) {
  EXPECT_EXIT(ThrowInThread(std::out_of_range("no such thing")),
      ::testing::ExitedWithCode(1), "std::out_of_range: no such thing");
  EXPECT_EXIT(ThrowInThread(7), ::testing::ExitedWithCode(1),
      "An exception of type int");
}

TEST_F(ReportExceptionDeathTest, TestFailedCheck) {
  EXPECT_EXIT(CHECK_EQ(1, 2) << "no such layer", ::testing::ExitedWithCode(1),
      "no such layer");
}

}  // namespace caffe
