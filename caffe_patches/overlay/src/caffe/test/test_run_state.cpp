#include <fstream>  // NOLINT(readability/streams)
#include <string>
#include <vector>

#ifdef USE_OPENCV
#include <opencv2/core/core.hpp>
#include <opencv2/imgcodecs.hpp>
#endif

#include "caffe/layers/resumable_layer.hpp"
#include "caffe/util/hdf5.hpp"

#include "caffe/test/test_run_state_util.hpp"

namespace caffe {

template <typename Dtype>
class RunStateTest : public RunStateTestBase<Dtype> {
 protected:
  string CropText() {
    return "transform_param { mirror: true crop_size: 3 scale: 0.004 } ";
  }

  // Files of 9 and 6 rows, of (4) and a label each, and their list.
  string HDF5Text(bool shuffle) {
    std::ofstream list((this->folder_ + "/list").c_str());
    const int kRows[] = {9, 6};
    for (int f = 0; f < 2; ++f) {
      vector<int> shape(2, 4);
      shape[0] = kRows[f];
      Blob<Dtype> x(shape);
      Blob<Dtype> label(vector<int>(1, kRows[f]));
      caffe_rng_gaussian<Dtype>(x.count(), 0, 1, x.mutable_cpu_data());
      for (int i = 0; i < kRows[f]; ++i) {
        label.mutable_cpu_data()[i] = i % 4;
      }
      const string file = this->folder_ + "/rows" + format_int(f);
      const hid_t id = H5Fcreate(file.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT,
          H5P_DEFAULT);
      hdf5_save_nd_dataset(id, "x", x);
      hdf5_save_nd_dataset(id, "label", label);
      H5Fclose(id);
      list << file << "\n";
    }
    return "layer { name: 'data' type: 'HDF5Data' top: 'x' top: 'label' "
        "hdf5_data_param { source: '" + this->folder_ + "/list' batch_size: 4 "
        "shuffle: " + (shuffle ? "true" : "false") + " } } ";
  }

  // Sequences, so many at a time, that go on from one batch to the next,
  // through a recurrent layer whose text is given, without its bottoms.
  string SequenceText(
      const string& layer, const string& before = "", int sequences = 2) {
    const string dims = "shape { dim: 3 dim: " + format_int(sequences);
    return "layer { name: 'data' type: 'DummyData' top: 'x' top: 'cont' "
           "top: 't' dummy_data_param { " +
           dims + " dim: 4 } " + dims + " } " + dims +
           " dim: 5 } "
           "data_filler { type: 'constant' value: 0.5 } "
           "data_filler { type: 'constant' value: 1 } "
           "data_filler { type: 'constant' value: 0.25 } } } " +
           before + "layer { name: 'rnn' top: 'h' bottom: 'x' bottom: 'cont' " +
           layer +
           " } layer { name: 'loss' type: 'EuclideanLoss' bottom: 'h' "
           "bottom: 't' } ";
  }

  // The hidden state is zeros, one for each of the sequences.
  void ExpectZeros(SGDSolver<Dtype>* solver, int sequences) {
    LayerState hidden;
    dynamic_cast<ResumableLayer*>(solver->net()->layer_by_name("rnn").get())
        ->SaveState(&hidden);
    ASSERT_GT(hidden.blob_size(), 0);
    for (int i = 0; i < hidden.blob_size(); ++i) {
      Blob<Dtype> blob;
      blob.FromProto(hidden.blob(i));
      ASSERT_EQ(blob.count(), 5 * sequences);
      EXPECT_EQ(blob.asum_data(), 0);
    }
  }

#ifdef USE_OPENCV
  void WriteImages(int size) {
    for (int i = 0; i < size; ++i) {
      cv::Mat image(6, 6, CV_8UC3);
      for (int j = 0; j < 6 * 6 * 3; ++j) {
        image.data[j] = caffe_rng_rand() % 256;
      }
      cv::imwrite(ImageFile(i), image);
    }
  }

  string ImageFile(int i) {
    return this->folder_ + "/" + format_int(i) + ".png";
  }

  // So many of 11 images, from one on and round.
  void WriteImageList(int first, int size) {
    std::ofstream list((this->folder_ + "/images").c_str());
    for (int i = first; i < first + size; ++i) {
      list << ImageFile(i % 11) << " " << i % 11 % 4 << "\n";
    }
  }

  string ImageDataText(bool shuffle) {
    WriteImages(11);
    WriteImageList(0, 11);
    return "layer { name: 'data' type: 'ImageData' top: 'x' top: 'label' "
        "image_data_param { source: '" + this->folder_ + "/images' "
        "batch_size: 4 shuffle: " + (shuffle ? "true" : "false") + " } "
        + CropText() + "} ";
  }

  void WriteWindowList(int images) {
    std::ofstream list((this->folder_ + "/windows").c_str());
    for (int i = 0; i < images; ++i) {
      list << "# " << i << "\n" << ImageFile(i) << "\n3 6 6\n4\n"
          << "1 0.9 0 0 3 3\n2 0.8 1 1 5 5\n3 0.1 0 2 4 5\n1 0.2 2 0 5 3\n";
    }
  }

  string WindowDataText() {
    WriteImages(2);
    WriteWindowList(2);
    return "layer { name: 'data' type: 'WindowData' top: 'x' top: 'label' "
        "window_data_param { source: '" + this->folder_ + "/windows' "
        "batch_size: 4 fg_fraction: 0.5 scale: 0.004 crop_mode: 'warp' } "
        "transform_param { mirror: true crop_size: 3 } } ";
  }
#endif  // USE_OPENCV

  shared_ptr<Net<Dtype> > MakeNet(const string& text) {
    NetParameter param;
    CHECK(google::protobuf::TextFormat::ParseFromString(text, &param));
    param.mutable_state()->set_phase(TRAIN);
    return shared_ptr<Net<Dtype> >(new Net<Dtype>(param));
  }

  LayerState StateOf(const shared_ptr<Net<Dtype> >& net) {
    LayerState state;
    dynamic_cast<ResumableLayer*>(net->layers()[0].get())->SaveState(&state);
    return state;
  }

  // What a layer that goes on from the state says.
  string Warnings(const LayerState& state, const string& text) {
    const shared_ptr<Net<Dtype> > net = MakeNet(text);
    LogText log;
    dynamic_cast<ResumableLayer*>(net->layers()[0].get())->RestoreState(state);
    net->Forward();
    return log.text();
  }
};

TYPED_TEST_CASE(RunStateTest, TestDtypes);

// 23 records and batches of 5: snapshots lie within epochs. The thread has
// read all batches that it may when a snapshot is taken, or fewer.
#ifdef USE_LMDB
TYPED_TEST(RunStateTest, TestLMDB) {
  this->WriteDB("db", DataParameter_DB_LMDB, 0, 23);
  this->ExpectSameRun(this->DataLayerText("db", "LMDB", 5, this->CropText())
      + this->ClassifierText());
}

TYPED_TEST(RunStateTest, TestLMDBWithoutRandomNumbers) {
  this->WriteDB("db", DataParameter_DB_LMDB, 0, 23);
  this->ExpectSameRun(this->DataLayerText("db", "LMDB", 5,
      "transform_param { scale: 0.004 }")
      + this->ClassifierText(), "", 12);
}

// Two test nets with layers of the same names, whose passes are parts of their
// data, and whose random numbers come from the train net's generator.
TYPED_TEST(RunStateTest, TestTestNets) {
  this->WriteDB("db", DataParameter_DB_LMDB, 0, 23);
  const string net = this->DataLayerText("db", "LMDB", 5, this->CropText())
      + "layer { name: 'noise' type: 'DummyData' top: 'noise' include { phase: "
      "TEST } dummy_data_param { shape { dim: 2 } data_filler { type: "
      "'gaussian' } } } " + this->ClassifierText();
  const string tests = "test_interval: 2 test_iter: 2 test_iter: 3";
  this->ExpectSameRun(net, tests);
  shared_ptr<SGDSolver<TypeParam> > whole = this->MakeSolver(net, 3, tests);
  whole->Step(7);
  whole->Snapshot();
  shared_ptr<SGDSolver<TypeParam> > resumed = this->MakeSolver(net, 4, tests);
  resumed->Restore(this->StateFile(7).c_str());
  for (int i = 0; i < 2; ++i) {
    const shared_ptr<Net<TypeParam> > a = whole->test_nets()[i];
    const shared_ptr<Net<TypeParam> > b = resumed->test_nets()[i];
    a->Forward();
    b->Forward();
    const Blob<TypeParam>& x = *a->blob_by_name("x");
    for (int j = 0; j < x.count(); ++j) {
      ASSERT_EQ(x.cpu_data()[j], b->blob_by_name("x")->cpu_data()[j]);
    }
  }
}

// Step asks once per iteration, a test of three batches three times. The 17th
// time is in the second batch of the test at iteration 6.
int requests;

SolverAction::Enum SnapshotWithinTest() {
  return ++requests == 17 ? SolverAction::SNAPSHOT : SolverAction::NONE;
}

TYPED_TEST(RunStateTest, TestSnapshotWithinATest) {
  this->WriteDB("db", DataParameter_DB_LMDB, 0, 23);
  const string net = this->DataLayerText("db", "LMDB", 5)
      + "layer { name: 'noise' type: 'DummyData' top: 'noise' include { phase: "
      "TEST } dummy_data_param { shape { dim: 2 } data_filler { type: "
      "'gaussian' } } } " + this->ClassifierText();
  const string tests = "test_interval: 2 test_iter: 3";
  shared_ptr<SGDSolver<TypeParam> > whole = this->MakeSolver(net, 3, tests);
  requests = 0;
  whole->SetActionFunction(SnapshotWithinTest);
  whole->Step(12);
  shared_ptr<SGDSolver<TypeParam> > resumed = this->MakeSolver(net, 4, tests);
  resumed->Restore(this->StateFile(6).c_str());
  resumed->Step(6);
  EXPECT_TRUE(this->Weights(resumed.get()) == this->Weights(whole.get()));
}
#endif  // USE_LMDB

#ifdef USE_LEVELDB
TYPED_TEST(RunStateTest, TestLevelDB) {
  // A LevelDB can be opened once only.
  this->WriteDB("db", DataParameter_DB_LEVELDB, 0, 23);
  const string net = this->DataLayerText("db", "LEVELDB", 5, this->CropText())
      + this->ClassifierText();
  vector<TypeParam> weights;
  {
    shared_ptr<SGDSolver<TypeParam> > whole = this->MakeSolver(net, 3);
    whole->Step(7);
    whole->Snapshot();
    whole->Step(7);
    weights = this->Weights(whole.get());
  }
  shared_ptr<SGDSolver<TypeParam> > resumed = this->MakeSolver(net, 4);
  resumed->Restore(this->StateFile(7).c_str());
  resumed->Step(7);
  EXPECT_TRUE(this->Weights(resumed.get()) == weights);
}
#endif  // USE_LEVELDB

TYPED_TEST(RunStateTest, TestHDF5Data) {
  this->ExpectSameRun(this->HDF5Text(false) + this->ClassifierText());
}

TYPED_TEST(RunStateTest, TestHDF5DataShuffled) {
  this->ExpectSameRun(this->HDF5Text(true) + this->ClassifierText());
}

#ifdef USE_OPENCV
TYPED_TEST(RunStateTest, TestImageData) {
  this->ExpectSameRun(this->ImageDataText(false) + this->ClassifierText());
}

TYPED_TEST(RunStateTest, TestImageDataShuffled) {
  this->ExpectSameRun(this->ImageDataText(true) + this->ClassifierText());
}

TYPED_TEST(RunStateTest, TestWindowData) {
  this->ExpectSameRun(this->WindowDataText() + this->ClassifierText());
}

TYPED_TEST(RunStateTest, TestChangedImageList) {
  const string text = this->ImageDataText(false);
  const shared_ptr<Net<TypeParam> > net = this->MakeNet(text);
  for (int i = 0; i < 4; ++i) { net->Forward(); }
  const LayerState state = this->StateOf(net);
  EXPECT_EQ(state.key(), this->ImageFile(5));
  EXPECT_EQ(this->Warnings(state, text).find("has changed"), string::npos);
  // The same images in another order, and fewer.
  const int kSize[] = {11, 9};
  const int kNext[] = {6, 1};
  for (int i = 0; i < 2; ++i) {
    this->WriteImageList(1, kSize[i]);
    const string warnings = this->Warnings(state, text);
    EXPECT_NE(warnings.find("has changed since the snapshot, where image "
        + this->ImageFile(5) + " was the next. Training goes on with image "
        + this->ImageFile(kNext[i])), string::npos) << warnings;
  }
}

TYPED_TEST(RunStateTest, TestDamagedShuffles) {
  const string text = this->ImageDataText(true);
  const LayerState state = this->StateOf(this->MakeNet(text));
  EXPECT_EQ(this->Warnings(state, text).find("has changed"), string::npos);
  LayerState bad = state;
  bad.set_shuffles(1ULL << 40);
  EXPECT_NE(this->Warnings(bad, text).find("has changed"), string::npos);
  bad = state;
  bad.clear_generator();
  EXPECT_NE(this->Warnings(bad, text).find("has changed"), string::npos);
}

TYPED_TEST(RunStateTest, TestChangedWindowList) {
  const string text = this->WindowDataText();
  const LayerState state = this->StateOf(this->MakeNet(text));
  EXPECT_EQ(this->Warnings(state, text).find("has changed"), string::npos);
  this->WriteWindowList(1);
  const string warnings = this->Warnings(state, text);
  EXPECT_NE(warnings.find("it had 8 windows and has 4"), string::npos)
      << warnings;
}
#endif  // USE_OPENCV

// Caffe's generator alone: noise as data, and Dropout.
TYPED_TEST(RunStateTest, TestDummyData) {
  this->ExpectSameRun("layer { name: 'data' type: 'DummyData' top: 'x' "
      "dummy_data_param { shape { dim: 5 dim: 4 } "
      "data_filler { type: 'gaussian' } } } "
      "layer { name: 'label' type: 'DummyData' top: 'label' "
      "dummy_data_param { shape { dim: 5 } "
      "data_filler { type: 'constant' value: 2 } } } "
      + this->ClassifierText());
}

TYPED_TEST(RunStateTest, TestLSTM) {
  this->ExpectSameRun(this->SequenceText("type: 'LSTM' recurrent_param { "
      "num_output: 5 weight_filler { type: 'gaussian' std: 0.3 } }"));
}

TYPED_TEST(RunStateTest, TestRNN) {
  this->ExpectSameRun(this->SequenceText("type: 'RNN' recurrent_param { "
      "num_output: 5 weight_filler { type: 'gaussian' std: 0.3 } }"));
}

TYPED_TEST(RunStateTest, TestApproxDropoutLSTM) {
  this->ExpectSameRun(this->SequenceText("type: 'ApproxDropoutLSTM' "
      "bottom: 'pattern' recurrent_param { num_output: 5 "
      "weight_filler { type: 'gaussian' std: 0.3 } }",
      "layer { name: 'pattern' type: 'DropoutPattern' top: 'pattern' "
      "dropout_pattern_param { probability: 0.25 probability: 0.5 "
      "probability: 0.25 } } "));
}

// Layers that only the state or only the net has, or that have another type,
// change nothing for the others.
TYPED_TEST(RunStateTest, TestOtherLayers) {
  const string kRecurrent = " recurrent_param { num_output: 5 "
      "weight_filler { type: 'gaussian' std: 0.3 } }";
  shared_ptr<SGDSolver<TypeParam> > lstm =
      this->MakeSolver(this->SequenceText("type: 'LSTM'" + kRecurrent), 3);
  lstm->Step(3);
  lstm->Snapshot();
  SolverState state;
  ReadProtoFromBinaryFileOrDie(this->StateFile(3), &state);
  ASSERT_EQ(state.run().layer_size(), 1);
  EXPECT_EQ(state.run().layer(0).layer(), "rnn");
  EXPECT_EQ(state.run().layer(0).type(), "LSTM");
  EXPECT_FALSE(state.run().layer(0).has_test_net());
  ASSERT_EQ(state.run().layer(0).blob_size(), 2);
  state.mutable_run()->mutable_layer(0)->set_layer("another");
  WriteProtoToBinaryFile(state, this->StateFile(3));
  shared_ptr<SGDSolver<TypeParam> > resumed =
      this->MakeSolver(this->SequenceText("type: 'LSTM'" + kRecurrent), 4);
  resumed->Restore(this->StateFile(3).c_str());
  EXPECT_EQ(resumed->iter(), 3);
  EXPECT_TRUE(this->Weights(resumed.get()) == this->Weights(lstm.get()));
  this->ExpectZeros(resumed.get(), 2);
}

// A snapshot of two sequences at a time, restored by a solver of three that has
// gone on for a while.
TYPED_TEST(RunStateTest, TestHiddenStateOfAnotherShape) {
  const string kTypes[] = {"LSTM", "RNN", "ApproxDropoutLSTM"};
  for (int i = 0; i < 3; ++i) {
    const bool drops = kTypes[i] == "ApproxDropoutLSTM";
    const string layer =
        "type: '" + kTypes[i] + "' " + (drops ? "bottom: 'pattern' " : "") +
        "recurrent_param { num_output: 5 weight_filler { type: 'gaussian' } }";
    const string before =
        drops ? "layer { name: 'pattern' type: 'DropoutPattern' top: 'pattern' "
                "dropout_pattern_param { probability: [0.25, 0.75] } } "
              : "";
    shared_ptr<SGDSolver<TypeParam> > saved =
        this->MakeSolver(this->SequenceText(layer, before), 3);
    saved->Step(3);
    saved->Snapshot();
    shared_ptr<SGDSolver<TypeParam> > resumed =
        this->MakeSolver(this->SequenceText(layer, before, 3), 4);
    resumed->Step(2);
    LogText log;
    resumed->Restore(this->StateFile(3).c_str());
    EXPECT_TRUE(log.Has(
        kTypes[i] +
        " layer 'rnn': its hidden state has "
        "another shape than in the snapshot. Training goes on with zeros"))
        << log.text();
    this->ExpectZeros(resumed.get(), 3);
    EXPECT_TRUE(this->Weights(resumed.get()) == this->Weights(saved.get()));
    resumed->Step(2);
    EXPECT_EQ(resumed->iter(), 5);
  }
}

}  // namespace caffe
