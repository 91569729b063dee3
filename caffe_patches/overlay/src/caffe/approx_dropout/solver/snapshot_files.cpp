#include "caffe/approx_dropout/solver/snapshot_files.hpp"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <stdexcept>
#include <string>

#include "caffe/approx_dropout/ranks/ranks.hpp"
#include "caffe/solver.hpp"
#include "google/protobuf/io/zero_copy_stream_impl.h"

namespace caffe {

namespace {

void Fail(const string& what, const string& path, int error) {
  throw std::runtime_error("Cannot " + what + " " + path + ": "
      + strerror(error));
}

// The error number, or 0.
int WriteTo(int file, const string& content) {
  for (size_t done = 0; done < content.size();) {
    const ssize_t bytes =
        write(file, content.data() + done, content.size() - done);
    if (bytes < 0 && errno == EINTR) { continue; }
    if (bytes < 0) { return errno; }
    done += bytes;
  }
  return 0;
}

int WriteTo(int file, const google::protobuf::Message& content) {
  // Of more than 2 GB, which protobuf does not read.
  if (content.ByteSizeLong() > INT_MAX) { return EFBIG; }
  google::protobuf::io::FileOutputStream stream(file);
  const bool written =
      content.SerializeToZeroCopyStream(&stream) && stream.Flush();
  return written ? 0 : (stream.GetErrno() ? stream.GetErrno() : EIO);
}

int Sync(int file) {
  // Some file systems sync no folders.
  return fsync(file) == 0 || errno == EINVAL ? 0 : errno;
}

template <typename Content>
void WriteFile(const Content& content, const string& path) {
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
  if (file < 0) { Fail("write", path, errno); }
  int error = WriteTo(file, content);
  if (!error) { error = Sync(file); }
  // Some file systems say only now that the disk is full.
  if (close(file) != 0 && !error) { error = errno; }
  if (error) {
    unlink(path.c_str());
    Fail("write", path, error);
  }
}

void SyncFolderOf(const string& path) {
  const size_t slash = path.rfind('/');
  const string folder = slash == string::npos ? string(".") :
      path.substr(0, slash + 1);
  const int file = open(folder.c_str(), O_RDONLY);
  if (file < 0) { Fail("open", folder, errno); }
  const int error = Sync(file);
  close(file);
  if (error) { Fail("sync", folder, error); }
}

void GiveName(const string& path) {
  if (rename(PartOf(path).c_str(), path.c_str()) != 0) {
    Fail("write", path, errno);
  }
  SyncFolderOf(path);
}

template <typename Content>
void Publish(const Content& state, const string& state_file,
    const string& model_file) {
  try {
    WriteFile(state, PartOf(state_file));
    // Another run's state of this iteration must not be found beside this
    // model.
    if (unlink(state_file.c_str()) != 0 && errno != ENOENT) {
      Fail("replace", state_file, errno);
    }
    GiveName(model_file);
    GiveName(state_file);
  } catch (const std::runtime_error&) {
    unlink(PartOf(model_file).c_str());
    unlink(PartOf(state_file).c_str());
    throw;
  }
}

}  // namespace

string PartOf(const string& path) { return path + ".part"; }

uint64_t FileBytes(const string& path) {
  struct stat file;
  if (stat(path.c_str(), &file) != 0) { Fail("read", path, errno); }
  return file.st_size;
}

void WriteSynced(const string& content, const string& path) {
  WriteFile(content, path);
}

void WriteSynced(const google::protobuf::Message& content,
    const string& path) {
  WriteFile(content, path);
}

void PublishSnapshot(const string& state, const string& state_file,
    const string& model_file) {
  Publish(state, state_file, model_file);
}

void PublishSnapshot(const google::protobuf::Message& state,
    const string& state_file, const string& model_file) {
  Publish(state, state_file, model_file);
}

#ifdef USE_HDF5
hid_t CreateHDF5InMemory() {
  const size_t kGrowth = 16 << 20;  // bytes
  const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  CHECK_GE(H5Pset_fapl_core(access, kGrowth, false), 0);
  const hid_t file =
      H5Fcreate("in memory", H5F_ACC_TRUNC, H5P_DEFAULT, access);
  CHECK_GE(file, 0) << "Cannot create an HDF5 file in memory";
  H5Pclose(access);
  return file;
}

string CloseHDF5InMemory(hid_t file) {
  CHECK_GE(H5Fflush(file, H5F_SCOPE_GLOBAL), 0);
  string content(H5Fget_file_image(file, NULL, 0), '\0');
  CHECK_EQ(H5Fget_file_image(file, &content[0], content.size()),
      content.size()) << "Cannot read an HDF5 file in memory";
  H5Fclose(file);
  return content;
}
#endif  // USE_HDF5

template <typename Dtype>
void Solver<Dtype>::TrySnapshot() {
  Ranks* ranks = Ranks::Get();
  const shared_ptr<RunState> before_test = before_test_;
  if (ranks) {
    before_test_ = RunsOfRanks();
  }
  if (!ranks || ranks->rank() == 0) {
    try {
      Snapshot();
      snapshot_failed_ = false;
    } catch (const std::runtime_error& error) {
      LOG(ERROR) << "No snapshot of iteration " << iter_ << ". " << error.what()
                 << ". Earlier snapshots are as they were";
      snapshot_failed_ = true;
    }
  }
  before_test_ = before_test;
  if (ranks) {
    ranks->Broadcast(&snapshot_failed_, sizeof(snapshot_failed_));
  }
}

template void Solver<float>::TrySnapshot();
template void Solver<double>::TrySnapshot();

}  // namespace caffe
