#include <cstdlib>
#include <fstream>  // NOLINT(readability/streams)
#include <string>
#include <vector>

#include "caffe/layers/resumable_layer.hpp"
#include "caffe/util/hdf5.hpp"

#include "caffe/test/test_run_state_util.hpp"

namespace caffe {

// Where data layers go on: 35 records have been read, of 23, so that record 12
// is the next.
template <typename Dtype>
class DataLayerStateTest : public RunStateTestBase<Dtype> {
 protected:
  virtual void TearDown() {
    Caffe::set_solver_count(1);
    Caffe::set_solver_rank(0);
  }

  shared_ptr<Net<Dtype> > MakeNet(const string& text) {
    NetParameter param;
    CHECK(google::protobuf::TextFormat::ParseFromString(text, &param));
    param.mutable_state()->set_phase(TRAIN);
    return shared_ptr<Net<Dtype> >(new Net<Dtype>(param));
  }

  ResumableLayer* DataOf(const shared_ptr<Net<Dtype> >& net) {
    return dynamic_cast<ResumableLayer*>(net->layers()[0].get());
  }

  LayerState StateOf(const shared_ptr<Net<Dtype> >& net) {
    LayerState state;
    DataOf(net)->SaveState(&state);
    return state;
  }

  // The state after this many passes of the net.
  LayerState StateAfter(int passes, const string& text) {
    const shared_ptr<Net<Dtype> > net = MakeNet(text);
    for (int i = 0; i < passes; ++i) { net->Forward(); }
    return StateOf(net);
  }

  // A file of this many rows of shape (1), which hold their numbers.
  void WriteRows(int rows, Dtype first = 0) {
    Blob<Dtype> x(vector<int>(1, rows));
    for (int i = 0; i < rows; ++i) { x.mutable_cpu_data()[i] = first + i; }
    const hid_t id = H5Fcreate((this->folder_ + "/rows").c_str(),
        H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    hdf5_save_nd_dataset(id, "x", x);
    H5Fclose(id);
    std::ofstream((this->folder_ + "/list").c_str())
        << this->folder_ << "/rows\n";
  }

  string HDF5Text(bool shuffle = false) {
    return "layer { name: 'data' type: 'HDF5Data' top: 'x' hdf5_data_param { "
        "source: '" + this->folder_ + "/list' batch_size: 5 shuffle: "
        + (shuffle ? "true" : "false") + " } }";
  }
};

TYPED_TEST_CASE(DataLayerStateTest, TestDtypes);

#ifdef USE_LMDB
TYPED_TEST(DataLayerStateTest, TestNextRecordNotTheOneReadAhead) {
  this->WriteDB("db", DataParameter_DB_LMDB, 0, 23);
  const string text = this->DataLayerText("db", "LMDB", 5);
  EXPECT_EQ(this->StateAfter(0, text).key(), "00000000");
  const LayerState state = this->StateAfter(7, text);
  EXPECT_EQ(state.key(), "00000012");
  EXPECT_EQ(state.records(), 35);
  LogText log;
  const shared_ptr<Net<TypeParam> > net = this->MakeNet(text);
  this->DataOf(net)->RestoreState(state);
  EXPECT_EQ(this->StateOf(net).key(), "00000012");
  net->Forward();
  EXPECT_EQ(this->StateOf(net).key(), "00000017");
  EXPECT_FALSE(log.Has("has changed"));
}

TYPED_TEST(DataLayerStateTest, TestChangedDB) {
  this->WriteDB("db", DataParameter_DB_LMDB, 0, 23);
  const string text = this->DataLayerText("db", "LMDB", 5);
  const LayerState state = this->StateAfter(7, text);
  const int kFirst[] = {0, 15, 0};
  const int kSize[] = {10, 8, 23};
  const string kNext[] = {"00000000", "00000015", "00000012"};
  const string kWarning[] = {
      "its record '00000012' is gone. Training goes on with record '00000000'",
      "its record '00000012' is gone. Training goes on with record '00000015'",
      "its record '00000012' is another one now. Training goes on with it"};
  for (int i = 0; i < 3; ++i) {
    const string name = "db" + format_int(i);
    this->WriteDB(name, DataParameter_DB_LMDB, kFirst[i], kSize[i], 6);
    const shared_ptr<Net<TypeParam> > net =
        this->MakeNet(this->DataLayerText(name, "LMDB", 5));
    LogText log;
    this->DataOf(net)->RestoreState(state);
    EXPECT_EQ(this->StateOf(net).key(), kNext[i]);
    EXPECT_TRUE(log.Has("Data layer 'data': " + this->folder_ + "/" + name))
        << log.text();
    EXPECT_TRUE(log.Has(kWarning[i])) << log.text();
    net->Forward();
  }
}

TYPED_TEST(DataLayerStateTest, TestKeyThatNoLMDBHas) {
  this->WriteDB("db", DataParameter_DB_LMDB, 0, 23);
  const string text = this->DataLayerText("db", "LMDB", 5);
  const string kKeys[] = {"", string(600, 'k')};
  for (int i = 0; i < 2; ++i) {
    LayerState state = this->StateAfter(7, text);
    state.set_key(kKeys[i]);
    const shared_ptr<Net<TypeParam> > net = this->MakeNet(text);
    this->DataOf(net)->RestoreState(state);
    EXPECT_EQ(this->StateOf(net).key(), "00000000");
  }
}

// Of two solvers rank 0 has read records 0, 2 ... 28, and rank 1 the others up
// to 29, when rank 0 saves. Both go on behind record 29, which is the 6th.
TYPED_TEST(DataLayerStateTest, TestAllRanksGoOnTogether) {
  this->WriteDB("db", DataParameter_DB_LMDB, 0, 23);
  const string text = this->DataLayerText("db", "LMDB", 5);
  Caffe::set_solver_count(2);
  const LayerState state = this->StateAfter(3, text);
  for (int rank = 0; rank < 2; ++rank) {
    Caffe::set_solver_rank(rank);
    const shared_ptr<Net<TypeParam> > net = this->MakeNet(text);
    this->DataOf(net)->RestoreState(state);
    EXPECT_EQ(this->StateOf(net).records(), 30);
    EXPECT_EQ(this->StateOf(net).key(), "00000007");
    net->Forward();
    EXPECT_EQ(this->StateOf(net).records(), 30 + 9 + rank);
  }
}
#endif  // USE_LMDB

TYPED_TEST(DataLayerStateTest, TestHDF5Rows) {
  this->WriteRows(23);
  const LayerState state = this->StateAfter(7, this->HDF5Text());
  EXPECT_EQ(state.position(), 12);
  EXPECT_EQ(state.key(), this->folder_ + "/rows");
  EXPECT_EQ(state.row_order_size(), 0);
  LogText log;
  const shared_ptr<Net<TypeParam> > net = this->MakeNet(this->HDF5Text());
  this->DataOf(net)->RestoreState(state);
  EXPECT_FALSE(log.Has("has changed")) << log.text();
  net->Forward();
  EXPECT_EQ(net->blob_by_name("x")->cpu_data()[0], 12);
}

TYPED_TEST(DataLayerStateTest, TestChangedHDF5) {
  this->WriteRows(23);
  const LayerState state = this->StateAfter(7, this->HDF5Text());
  const int kRows[] = {10, 23};
  const TypeParam kFirst[] = {0, 1};
  const TypeParam kNext[] = {0, 13};
  const string kWarning[] = {"row 0 of ", "row 12 of "};
  for (int i = 0; i < 2; ++i) {
    this->WriteRows(kRows[i], kFirst[i]);
    const shared_ptr<Net<TypeParam> > net = this->MakeNet(this->HDF5Text());
    LogText log;
    this->DataOf(net)->RestoreState(state);
    EXPECT_TRUE(log.Has("HDF5Data layer 'data': the data of " + this->folder_
        + "/list has changed since the snapshot, which stood at row 12 of "
        + this->folder_ + "/rows. Training goes on with " + kWarning[i]
        + this->folder_ + "/rows")) << log.text();
    net->Forward();
    EXPECT_EQ(net->blob_by_name("x")->cpu_data()[0], kNext[i]);
  }
}

// What is no order of the rows, or of another kind, is not followed.
TYPED_TEST(DataLayerStateTest, TestDamagedHDF5Order) {
  this->WriteRows(23);
  const LayerState whole = this->StateAfter(7, this->HDF5Text(true));
  ASSERT_EQ(whole.row_order_size(), 23);
  ASSERT_EQ(whole.file_order_size(), 1);
  for (int i = 0; i < 6; ++i) {
    LayerState state = whole;
    if (i == 0) { state.set_row_order(3, 23); }
    if (i == 1) { state.set_row_order(3, state.row_order(4)); }
    if (i == 2) { state.add_row_order(23); }
    if (i == 3) { state.set_file_order(0, 1); }
    if (i == 4) { state.set_file(1); }
    if (i == 5) { state.set_position(23); }
    const shared_ptr<Net<TypeParam> > net = this->MakeNet(this->HDF5Text(true));
    LogText log;
    this->DataOf(net)->RestoreState(state);
    EXPECT_TRUE(log.Has("Training goes on with row 0 of ")) << i;
    net->Forward();
  }
  // Shuffled or not is another order too.
  const shared_ptr<Net<TypeParam> > net = this->MakeNet(this->HDF5Text(false));
  LogText log;
  this->DataOf(net)->RestoreState(whole);
  EXPECT_TRUE(log.Has("Training goes on with row 0 of "));
}

}  // namespace caffe
