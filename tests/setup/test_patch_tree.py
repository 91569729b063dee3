"""patch_caffe.py --tree on Caffes that differ from the pinned one: what fits
is the same change, and what does not is named and leaves the tree as it was."""

import re
import shutil
import subprocess
import sys

import pytest

from project import ROOT

PATCHER = ROOT / "scripts" / "setup" / "patch_caffe.py"
PATCHES = ROOT / "caffe_patches"
PINNED = ROOT / "build" / "caffe.orig"
PROTO = "src/caffe/proto/caffe.proto"
SOLVER = "src/caffe/solver.cpp"
SGD_SOLVER = "src/caffe/solvers/sgd_solver.cpp"
LAYERS = "src/caffe/layers"


def contents(tree):
    """{path: bytes} of all files of a tree."""
    return {str(path.relative_to(tree)): path.read_bytes()
            for path in tree.rglob("*") if path.is_file()}


@pytest.fixture
def tree(tmp_path):
    """The files of the pinned Caffe that the patches change or look at."""
    paths = {PROTO, SOLVER, "include/caffe/layer.hpp"}
    for patch in PATCHES.glob("*.patch"):
        paths.update(re.findall(r"^\+\+\+ b/(\S+)", patch.read_text(), re.M))
    for path in paths:
        (tmp_path / "fork" / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PINNED / path, tmp_path / "fork" / path)
    return tmp_path / "fork"


def patch(tree):
    """The command's exit status and all that it said."""
    done = subprocess.run([sys.executable, PATCHER, "--tree", tree], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=False)
    return done.returncode, done.stdout


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def refused(tree):
    """What the command says when it refuses; the tree must stay as it is."""
    before = contents(tree)
    status, said = patch(tree)
    assert status == 1
    assert contents(tree) == before
    return said


def test_pinned_tree_becomes_what_the_build_uses(tree, tmp_path):
    subprocess.run([sys.executable, PATCHER, "--source", PINNED, "--target",
                    tmp_path / "build"], check=True,
                   stdout=subprocess.DEVNULL)
    status, said = patch(tree)
    assert status == 0 and "beside other lines" not in said
    built = contents(tmp_path / "build")
    for path, content in contents(tree).items():
        assert content == built[path], path
    overlay = {str(x.relative_to(PATCHES / "overlay"))
               for x in (PATCHES / "overlay").rglob("*") if x.is_file()}
    assert overlay <= set(contents(tree))


def test_second_run_changes_nothing(tree):
    patch(tree)
    before = contents(tree)
    assert patch(tree) == (0, f"patch_caffe: {tree} is patched already\n")
    assert contents(tree) == before


def test_lines_that_moved(tree):
    """Every line lies further down, and patching commutes with that."""
    notice = "// Copyright of the fork\n" * 7
    paths = [tree / SOLVER, tree / SGD_SOLVER,
             tree / "include/caffe/solver.hpp"]
    patched_later = {path: path.read_text() for path in paths}
    for path in paths:
        path.write_text(notice + path.read_text())
    assert patch(tree)[0] == 0
    moved = [path.read_text() for path in paths]
    for path in paths:
        path.write_text(patched_later[path])
    assert patch(tree)[0] == 0
    assert moved == [notice + path.read_text() for path in paths]


def test_neighbours_with_other_names(tree):
    """A fork's own field stands where ours goes; ours comes beside it."""
    edit(tree / PROTO, "  optional ArgMaxParameter argmax_param = 103;\n",
         "  optional AnnotatedDataParameter annotated_data_param = 200;\n"
         "  optional ArgMaxParameter argmax_param = 103;\n")
    status, said = patch(tree)
    assert status == 0
    assert f"beside other lines than in Caffe at {PROTO}:" in said
    text = (tree / PROTO).read_text()
    message = text[text.index("message LayerParameter {"):]
    message = message[:message.index("\n}")]
    for field in ("accuracy_param", "approx_dropout_param",
                  "annotated_data_param", "dropout_pattern_param"):
        assert message.count(f" {field} = ") == 1


def test_tag_1_0_counts_iterations_elsewhere(tree):
    """There Step counts the iterations; ours must not count them again."""
    counting = ("\n  // Increment the internal iter_ counter -- its value "
                "should always indicate\n  // the number of times the weights "
                "have been updated.\n  ++this->iter_;\n")
    edit(tree / SGD_SOLVER, counting, "")
    assert patch(tree)[0] == 0
    text = (tree / SGD_SOLVER).read_text()
    assert "updater_->ApplyUpdate(rate, this->iter_);" in text
    assert "++this->iter_" not in text


def test_tag_1_0_always_has_hdf5(tree):
    """There no code of HDF5 stands in #ifdef USE_HDF5 ... #else ... #endif."""
    path = tree / SGD_SOLVER
    guarded = re.compile(r"#ifdef USE_HDF5\n(.*?)(?://[^\n]*\n)?#else\n.*?"
                         r"#endif[^\n]*\n", re.S)
    text, guards = guarded.subn(r"\1", path.read_text())
    assert guards == 2
    path.write_text(text)
    assert patch(tree)[0] == 0
    text = path.read_text()
    save, restore = text.index("::SnapshotSolverStateToHDF5("), text.index(
        "::RestoreSolverStateFromHDF5(const")
    for call, after in (("  SaveRunStateToHDF5(", save),
                        ("  PublishSnapshot(CloseHDF5InMemory(", save),
                        ("  this->RestoreRun(LoadRunStateFromHDF5(", restore)):
        assert text.count(call) == 1 and text.index(call) > after
    assert save < text.index("CloseHDF5InMemory(") < restore


def test_tag_1_0_and_before(tree):
    """There memory answers by functions that are not const, and pycaffe gives
    no address on a GPU; SSD writes another message."""
    memory = tree / "include/caffe/syncedmem.hpp"
    for name in ("head()", "size()"):
        edit(memory, f"{name} const", name)
    edit(tree / SOLVER, "is writable.", "is writeable.")
    path = tree / "python/caffe/_caffe.cpp"
    text, properties = re.subn(
        r'    \.add_property\("_gpu_d.*?_diff\)\)\n', "", path.read_text(),
        flags=re.S)
    assert properties == 1
    path.write_text(text)
    status, said = patch(tree)
    assert status == 0, said
    (left_out,) = re.findall(r"left out (\S+)", said)
    assert left_out == "count-gpu-views.patch"
    assert "void add_views(int count)" in memory.read_text()
    assert "PLOG(FATAL) << \"Cannot write to" in (tree / SOLVER).read_text()
    assert not list(tree.rglob("device_views.hpp"))
    assert patch(tree) == (0, f"patch_caffe: {tree} is patched already\n")


def test_include_that_is_there(tree):
    """A header that the fork includes in another place is not added."""
    path = tree / LAYERS / "hdf5_data_layer.cpp"
    include = '#include "caffe/util/rng.hpp"\n'
    edit(path, '#include "hdf5.h"\n', include + '#include "hdf5.h"\n')
    assert patch(tree)[0] == 0
    assert path.read_text().count(include) == 1


def test_copied_place(tree):
    """SSD's fork tests in two functions; a snapshot fails in neither."""
    path = tree / SOLVER
    text = path.read_text()
    start = text.index("template <typename Dtype>\n"
                       "void Solver<Dtype>::Test(const int")
    end = text.index("template <typename Dtype>\n"
                     "void Solver<Dtype>::Snapshot()")
    function = text[start:end]
    path.write_text(text[:end] + function.replace("::Test(", "::TestBoxes(")
                    + text[end:])
    edit(tree / "include/caffe/solver.hpp",
         "  void Test(const int test_net_id = 0);\n",
         "  void TestNames(const int test_net_id = 0);\n"
         "  void TestBoxes(const int test_net_id = 0);\n")
    status, said = patch(tree)
    assert status == 0 and len(re.findall(rf"{SOLVER}:\d+", said)) >= 2
    text = path.read_text()
    assert not re.search(r"^ *Snapshot\(\);", text, re.M)
    assert text.count("          TrySnapshot();") == 2


def test_other_data_layers(tree):
    """Where they read in another way, what resumes them is left out, with what
    rests on it; the rest, HDF5Data too, is there."""
    edit(tree / LAYERS / "base_data_layer.cpp",
         'prefetch_current_ = prefetch_full_.pop("Waiting for data");',
         'Batch<Dtype>* batch = prefetch_full_.pop("Queue is empty");')
    header = tree / "include/caffe/layers/image_data_layer.hpp"
    before = header.read_text()
    status, said = patch(tree)
    assert status == 0
    assert re.search(r"left out resume-prefetching-layers.patch \(.*\), since "
                     rf"{LAYERS}/base_data_layer.cpp is another here", said)
    for name in ("image", "window"):
        assert re.search(rf"left out resume-{name}-data.patch \(.*\), since "
                         "it needs resume-prefetching-layers.patch", said)
    assert header.read_text() == before
    added = {path.name for path in (tree / LAYERS).glob("*_layer_state.cpp")}
    assert added == {"hdf5_data_layer_state.cpp", "recurrent_layer_state.cpp"}
    assert patch(tree) == (0, f"patch_caffe: {tree} is patched already\n")


def test_windows_line_ends_stay(tree):
    path = tree / SOLVER
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert patch(tree)[0] == 0
    text = path.read_bytes()
    assert b"SeedDropoutPatterns" in text
    assert text.count(b"\n") == text.count(b"\r\n")


def test_one_line_end_of_windows_stays_alone(tree):
    path = tree / SOLVER
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n", 1))
    assert patch(tree)[0] == 0
    assert path.read_bytes().count(b"\r\n") <= 1


def test_a_link_leads_to_the_patched_file(tree, tmp_path):
    path, target = tree / SOLVER, tmp_path / "elsewhere.cpp"
    path.rename(target)
    path.symlink_to(target)
    assert patch(tree)[0] == 0
    assert path.is_symlink() and "BeginSteps" in target.read_text()


def test_a_folder_in_the_place_of_a_file_of_ours(tree):
    name = "include/caffe/layers/dropout_pattern_layer.hpp"
    (tree / name).mkdir(parents=True)
    assert f"{name} is a folder; a file is to go there" in refused(tree)


def test_what_the_fork_has_already_is_left(tree):
    edit(tree / "src/caffe/util/io.cpp",
         "(kProtoReadBytesLimit, 536870912);", "(kProtoReadBytesLimit);")
    assert patch(tree)[0] == 0
    text = (tree / "src/caffe/util/io.cpp").read_text()
    assert text.count("SetTotalBytesLimit(") == 1


def our_field(name):
    """(type, number) of a field that the patches add to LayerParameter."""
    text = (PATCHES / "declare-approx-dropout-messages.patch").read_text()
    return re.search(rf"^\+  optional (\w+) {name} = (\d+);", text,
                     re.M).groups()


def test_taken_field_number(tree):
    number = our_field("dropout_pattern_param")[1]
    edit(tree / PROTO, "message LayerParameter {\n",
         "message LayerParameter {\n"
         f"  optional float center_loss = {number}; // ours\n")
    said = refused(tree)
    assert (f"message LayerParameter: center_loss and dropout_pattern_param "
            f"both have the field number {number}") in said


def test_field_number_kept_for_extensions(tree):
    number = our_field("dropout_pattern_param")[1]
    edit(tree / PROTO, "message LayerParameter {\n",
         "message LayerParameter {\n  extensions 149 to max;\n")
    said = refused(tree)
    assert f"dropout_pattern_param has the number {number}" in said
    assert "extensions 149 to max" in said


def test_taken_message_and_field_name(tree):
    kind = our_field("approx_dropout_param")[0]
    edit(tree / PROTO, "message LayerParameter {\n",
         f"message {kind} {{ optional int32 x = 1; }}\n"
         "message LayerParameter {\n"
         "  optional int32 approx_dropout_param = 7000;\n")
    said = refused(tree)
    assert f"caffe.proto: the type {kind} is declared 2 times" in said
    assert "the field approx_dropout_param is declared 2 times" in said


def test_hunk_that_fits_nowhere(tree):
    """It is named with what to do; done by hand, the command goes through."""
    edit(tree / SOLVER, "    net_->ClearParamDiffs();\n",
         "    net_->ClearAllDiffs();\n")
    said = refused(tree)
    assert f"{SOLVER}, about line 2" in said and "update-lazily.patch" in said
    assert "+    ClearGradients();" in said
    edit(tree / SOLVER, "    net_->ClearAllDiffs();\n",
         "    ClearGradients();\n")
    assert patch(tree)[0] == 0
    assert (tree / SOLVER).read_text().count("    ClearGradients();") == 1


def test_missing_file(tree):
    (tree / "src/caffe/layers/embed_layer.cu").unlink()
    assert ("src/caffe/layers/embed_layer.cu is missing; embed-lazily.patch "
            "changes it") in refused(tree)


def test_build_of_its_own(tree):
    """How a fork is built is the fork's affair."""
    edit(tree / "cmake/Cuda.cmake", '"20 21(20) 30 35 50 60 61"',
         '"35 50 52 60 61 70 75"')
    status, said = patch(tree)
    assert status == 0
    assert "left out build-for-todays-gpus.patch (Build for GPUs" in said
    assert "35 50 52" in (tree / "cmake/Cuda.cmake").read_text()


def test_file_in_the_place_of_ours(tree):
    path = tree / "src/caffe/layers/approx_dropout_layer.cpp"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("// the fork's own\n")
    assert ("src/caffe/layers/approx_dropout_layer.cpp exists with other "
            "content") in refused(tree)


def test_folder_that_cannot_be_written(tree):
    """A file where a folder is to be: nothing else is written either."""
    (tree / "src/caffe/approx_dropout").write_text("")
    assert "is left as it was" in refused(tree)


def test_refuses_what_is_not_caffe(tmp_path):
    (tmp_path / "main.cpp").write_text("int main() {}\n")
    said = refused(tmp_path)
    assert f"is not Caffe's source tree: no {PROTO}" in said
