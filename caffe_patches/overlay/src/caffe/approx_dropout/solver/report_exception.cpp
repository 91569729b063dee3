#ifdef WITH_PYTHON_LAYER
#include <boost/python.hpp>
#endif
#include <cxxabi.h>
#include <glog/logging.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <string>

#include "caffe/approx_dropout/ranks/ranks.hpp"
#include "caffe/approx_dropout/solver/report_exception.hpp"

namespace caffe {

namespace {

std::string ExceptionType() {
  const char* name = abi::__cxa_current_exception_type()->name();
  int status;
  char* readable = abi::__cxa_demangle(name, NULL, NULL, &status);
  const std::string type = readable ? readable : name;
  std::free(readable);
  return type;
}

#ifdef WITH_PYTHON_LAYER
// Not PyErr_Print: at SystemExit it would exit, with that one's status.
void PrintPythonError() {
  PyObject* type;
  PyObject* value;
  PyObject* traceback;
  PyErr_Fetch(&type, &value, &traceback);
  PyErr_NormalizeException(&type, &value, &traceback);
#if PY_MAJOR_VERSION >= 3
  if (traceback) { PyException_SetTraceback(value, traceback); }
#endif
  PyErr_Display(type, value, traceback);
  // What the layers printed may wait there.
  PyObject* output = PySys_GetObject(const_cast<char*>("stdout"));
  if (output && !PyObject_CallMethod(output, const_cast<char*>("flush"),
      NULL)) {
    PyErr_Clear();
  }
}
#endif

// Not exit: destructors would run while other threads still work. Other ranks
// end too.
void EndWithError() {
  std::fflush(NULL);
  if (Ranks::Get()) {
    Ranks::Get()->Abort();
  }
  _exit(1);
}

// glog calls a sink after it has written a message and before it prints frames.
class FailedCheckSink : public google::LogSink {
 public:
  FailedCheckSink() : failed_(false) {}
  virtual void send(google::LogSeverity severity, const char*, const char*, int,
      const std::tm*, const char*, size_t) {
    if (severity == google::FATAL) {
      failed_ = true;
    }
  }
  virtual void WaitTillSent() {
    if (failed_) {
      EndWithError();
    }
  }

 private:
  std::atomic<bool> failed_;
};

}  // namespace

void ReportException() {
  const std::exception_ptr exception = std::current_exception();
  if (!exception) { std::abort(); }
  try {
    std::rethrow_exception(exception);
#ifdef WITH_PYTHON_LAYER
  } catch (const boost::python::error_already_set&) {
    PrintPythonError();
#endif
  } catch (const std::exception& error) {
    LOG(ERROR) << ExceptionType() << ": " << error.what();
  } catch (...) {
    LOG(ERROR) << "An exception of type " << ExceptionType();
  }
  google::FlushLogFiles(google::INFO);
  EndWithError();
}

void EndAtFailedChecks() {
  // glog calls it to the end of the process.
  google::AddLogSink(new FailedCheckSink);
}

}  // namespace caffe
