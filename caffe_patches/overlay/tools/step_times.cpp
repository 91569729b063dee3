// Takes steps of a solver on request and says how long they took.
//
//   step_times --solver=FILE [--gpu=0] [--inputs=token:10000,target:10000]
//     [--profile_from=2 --profile_to=5]
//
// Reads numbers of iterations from standard input, one per line, and answers
// each, on standard output, once the device has finished them, with
//
//   seconds WALL PROCESSOR PEAK_BYTES LOSS
//
// PROCESSOR being the process's time on all cores, PEAK_BYTES its largest
// memory so far (the host's), LOSS the training net's first output after the
// last iteration, 0 if its losses have no tops. The blobs of Input layers that
// --inputs names are filled once, with whole numbers drawn uniformly from 0 to
// one less than the number given, the same on every device. On a GPU, CUDA's
// profiler is on for the iterations after --profile_from and up to
// --profile_to, if that is not 0: for `nsys profile
// --capture-range=cudaProfilerApi` and for the emulated device.

#ifndef CPU_ONLY
#include <cuda_profiler_api.h>
#endif
#include <gflags/gflags.h>
#include <glog/logging.h>
#include <sys/resource.h>

#include <ctime>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "boost/random/mersenne_twister.hpp"
#include "boost/random/uniform_int_distribution.hpp"
#include "boost/scoped_ptr.hpp"
#include "caffe/caffe.hpp"

DEFINE_string(solver, "", "The solver's prototxt.");
DEFINE_int32(gpu, -1, "The device; -1 for the CPU.");
DEFINE_string(inputs, "", "name:limit of Input blobs, separated by commas.");
DEFINE_int32(profile_from, 1, "CUDA's profiler is on after this iteration ...");
DEFINE_int32(profile_to, 0, "... and off after this one; 0: it is never on.");

namespace {

using caffe::Blob;
using caffe::Caffe;
using caffe::Net;
using caffe::Solver;
using std::string;

void FillInputs(const string& inputs, Net<float>* net) {
  boost::random::mt19937 generator(1);
  std::istringstream items(inputs);
  string item;
  while (std::getline(items, item, ',')) {
    const size_t colon = item.find(':');
    CHECK_NE(colon, string::npos) << "--inputs: no limit in " << item;
    const string name = item.substr(0, colon);
    CHECK(net->has_blob(name)) << "--inputs: the net has no blob " << name;
    const int limit = atoi(item.c_str() + colon + 1);
    CHECK_GT(limit, 0) << "--inputs: limit of " << name;
    boost::random::uniform_int_distribution<int> draw(0, limit - 1);
    const boost::shared_ptr<Blob<float> > blob = net->blob_by_name(name);
    float* values = blob->mutable_cpu_data();
    for (int i = 0; i < blob->count(); ++i) { values[i] = draw(generator); }
  }
}

double Seconds(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return now.tv_sec + now.tv_nsec * 1e-9;
}

void Finish() {
#ifndef CPU_ONLY
  if (Caffe::mode() == Caffe::GPU) { CUDA_CHECK(cudaDeviceSynchronize()); }
#endif
}

// The solver asks after each iteration, still within its Step.
caffe::SolverAction::Enum TurnProfilerOnAndOff() {
#ifndef CPU_ONLY
  static int iteration = 0;
  ++iteration;
  if (iteration == FLAGS_profile_from) {
    CUDA_CHECK(cudaProfilerStart());
  }
  if (iteration == FLAGS_profile_to) {
    CUDA_CHECK(cudaProfilerStop());
  }
#endif
  return caffe::SolverAction::NONE;
}

void Serve(Solver<float>* solver) {
  int count;
  while (std::cin >> count) {
    Finish();
    const double wall = Seconds(CLOCK_MONOTONIC);
    const double processor = Seconds(CLOCK_PROCESS_CPUTIME_ID);
    solver->Step(count);
    Finish();
    const double wall_s = Seconds(CLOCK_MONOTONIC) - wall;
    const double processor_s = Seconds(CLOCK_PROCESS_CPUTIME_ID) - processor;
    const std::vector<Blob<float>*>& outputs = solver->net()->output_blobs();
    rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    std::cout << "seconds " << wall_s << " " << processor_s << " "
        << usage.ru_maxrss * 1024 << " "
        << (outputs.empty() ? 0 : outputs[0]->cpu_data()[0]) << std::endl;
  }
}

}  // namespace

int main(int argc, char** argv) {
  caffe::GlobalInit(&argc, &argv);
  caffe::SolverParameter param;
  caffe::ReadSolverParamsFromTextFileOrDie(FLAGS_solver, &param);
  if (FLAGS_gpu < 0) {
    param.set_solver_mode(caffe::SolverParameter_SolverMode_CPU);
    Caffe::set_mode(Caffe::CPU);
  } else {
    param.set_solver_mode(caffe::SolverParameter_SolverMode_GPU);
    param.set_device_id(FLAGS_gpu);
    Caffe::SetDevice(FLAGS_gpu);
    Caffe::set_mode(Caffe::GPU);
  }
  boost::scoped_ptr<Solver<float> > solver(
      caffe::SolverRegistry<float>::CreateSolver(param));
  if (FLAGS_profile_to > 0) {
    solver->SetActionFunction(TurnProfilerOnAndOff);
  }
  FillInputs(FLAGS_inputs, solver->net().get());
  Serve(solver.get());
  return 0;
}
