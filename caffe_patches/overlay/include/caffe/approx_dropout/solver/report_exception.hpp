#ifndef CAFFE_APPROX_DROPOUT_SOLVER_REPORT_EXCEPTION_HPP_
#define CAFFE_APPROX_DROPOUT_SOLVER_REPORT_EXCEPTION_HPP_

#include <exception>

namespace caffe {

/// @brief For std::set_terminate: ends the process with status 1, the type and
///        text of the exception that nobody caught on stderr, a Python
///        layer's with its traceback. Aborts, as without it, if there is none.
void ReportException();

/// @brief From now on, ends the process with status 1 after the message of a
///        check that failed, where glog prints C++ frames below it and aborts.
///        To be called once, after google::InitGoogleLogging.
void EndAtFailedChecks();

}  // namespace caffe

#endif  // CAFFE_APPROX_DROPOUT_SOLVER_REPORT_EXCEPTION_HPP_
