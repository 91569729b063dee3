"""Every field of our messages with values that it cannot have: one message that
names the layer and the field, no hang, no crash. A new field needs values here.
"""

import math
import re
import signal
import subprocess

import pytest
from caffe.proto import caffe_pb2

from forked import ends
from interrupted_nets import SNAPSHOT, command, prepare

PLACE = r"text-format caffe.NetParameter: \d+:\d+: "  # the parser's message
NET = """
layer { name: "x" type: "DummyData" top: "x" top: "cont" dummy_data_param {
  shape { dim: 4 dim: 2 dim: 12 } shape { dim: 4 dim: 2 } } }
"""
DRAWN = """
layer { name: "drawn" type: "DropoutPattern" top: "p"
  dropout_pattern_param { %s } }
"""
HALVES = DRAWN % "probability: [0.5, 0.5]"
LAYERS = {
    "drawn": NET + DRAWN,
    "fc": NET
    + HALVES
    + """layer { name: "fc" type: "ApproxDropoutInnerProduct" top: "y"
  bottom: "x" bottom: "p" inner_product_param { num_output: 4 }
  approx_dropout_param { %s } }""",
    "rnn": NET
    + HALVES
    + """layer { name: "rnn" type: "ApproxDropoutLSTM" top: "y"
  bottom: "x" bottom: "cont" bottom: "p" recurrent_param { num_output: 4 }
  approx_dropout_param { %s } }""",
    "drop": NET
    + HALVES
    + """layer { name: "drop" type: "ApproxDropout" top: "y"
  bottom: "x" bottom: "p" approx_dropout_param { %s } }""",
}


def times(count, value):
    return " ".join([f"probability: {value}"] * count)


# Of each field: the layer, what its parameter says, and what must be said of
# it besides the layer's name. What the parser refuses has no name yet.
K = "probabilities must be finite and not negative"
PATTERN_PARAMETER = {
    "family": [
        ("drawn", "probability: 1 family: 7", PLACE + '.*"family"'),
        ("drawn", "probability: 1 family: NEITHER", PLACE + '.*"family"'),
        (
            "drawn",
            "family: PERIOD groups: 2 probability: [0.5, 0.5]",
            "groups: 2; family: PERIOD takes groups: 1 only",
        ),
    ],
    "probability": [
        ("drawn", "", "0 bottoms and 0 values of probability"),
        ("drawn", "probability: [-0.5, 1.5]", rf"K\[0\] is -0.5; {K}"),
        ("drawn", "probability: [0.5, nan]", rf"K\[1\] is nan; {K}"),
        ("drawn", "probability: [inf, 0.5]", rf"K\[0\] is inf; {K}"),
        ("drawn", "probability: [1, -inf]", rf"K\[1\] is -inf; {K}"),
        ("drawn", "probability: [1e308, 1e308]", "of K sum to inf"),
        ("drawn", "probability: 0", "probabilities of K sum to 0; they must"),
        ("drawn", "probability: [0.5, 0.4]", "sum to 0.9; they must sum to 1"),
        (
            "drawn",
            times(256, 1 / 256) + " probability: 0",
            "K has length N = 257; family: RESIDUE takes 1 to 256",
        ),
        (
            "drawn",
            "family: PERIOD probability: 1 " + times(65535, 0),
            "K has length N = 65536; family: PERIOD takes 1 to 65535",
        ),
        ("drawn", "probability: half", PLACE),
    ],
    "groups": [
        ("drawn", "probability: 1 groups: 0", "groups: 0; .* from 1 to 65535"),
        ("drawn", "probability: 1 groups: 65536", "groups: 65536; .* 1 to"),
        ("drawn", f"probability: 1 groups: {2**31}", "groups: 2147483648; "),
        ("drawn", f"probability: 1 groups: {2**32}", PLACE),
        ("drawn", "probability: 1 groups: -1", PLACE),
    ],
}
APPROX_PARAMETER = {
    "pattern": [
        ("fc", "pattern: NONE", "has 2 bottoms; with pattern: NONE"),
        ("rnn", "pattern: NONE", "has 3 bottoms"),
        ("drop", "pattern: NONE", "compact_output and unit_axis only"),
        ("drop", "pattern: TILE", "compact_output and unit_axis only"),
        ("fc", "pattern: COLUMN", PLACE + '.*"pattern"'),
        ("fc", "pattern: 3", PLACE + '.*"pattern"'),
    ],
    "compact_input": [
        ("fc", "compact_input: true", "2 bottoms; .* and compact_input"),
        ("rnn", "compact_input: true", "3 bottoms; .* and compact_input"),
        ("drop", "compact_input: true", "compact_output and unit_axis only"),
        ("fc", "compact_input: 2", PLACE),
    ],
    "compact_output": [
        (
            layer,
            f"compact_output: true pattern: {pattern}",
            "compact_output goes with pattern: ROW only",
        )
        for layer, pattern in (("fc", "TILE"), ("fc", "NONE"), ("rnn", "TILE"))
    ]
    + [("fc", "compact_output: 2", PLACE)],
    "tile_size": [
        (layer, f"pattern: TILE tile_size: {size}", f"tile_size is {size}; ")
        for layer in ("fc", "rnn")
        for size in (0, 65536, 2**31, 2**32 - 1)
    ]
    + [("fc", f"tile_size: {size}", PLACE) for size in (-1, 2**32, 0.5)],
    "recurrent": [
        ("fc", "recurrent: true", "recurrent: true is for ApproxDropoutLSTM"),
        ("drop", "recurrent: true", "compact_output and unit_axis only"),
        (
            "rnn",
            "pattern: NONE recurrent: true",
            "recurrent: true needs pattern",
        ),
        ("rnn", "recurrent: 2", PLACE),
    ],
    "unit_axis": [
        ("fc", "unit_axis: 2", "unit_axis is for ApproxDropout"),
        ("rnn", "unit_axis: 0", "unit_axis is for ApproxDropout"),
        ("drop", "unit_axis: 3", "unit_axis is 3; .* has axes -3 to 2"),
        ("drop", "unit_axis: -4", "unit_axis is -4; .* has axes -3 to 2"),
        ("drop", "unit_axis: 1.5", PLACE),
    ],
}
PARAMETERS = {
    "DropoutPatternParameter": PATTERN_PARAMETER,
    "ApproxDropoutParameter": APPROX_PARAMETER,
}


@pytest.mark.parametrize("message", PARAMETERS)
def test_parameters(tmp_path, message):
    fields = PARAMETERS[message]
    descriptor = getattr(caffe_pb2, message).DESCRIPTOR
    assert fields.keys() == set(descriptor.fields_by_name)
    tried = [(field, *case) for field in fields for case in fields[field]]
    cases = []
    for i, (_, layer, text, _) in enumerate(tried):
        net = tmp_path / f"{i}.prototxt"
        net.write_text(LAYERS[layer] % text)
        cases.append({"net": str(net)})
    for (field, layer, text, words), (status, said) in zip(tried, ends(cases)):
        which = f"{field} of {layer}: {text[:60]}\n{said}"
        assert status == -signal.SIGABRT, which
        errors = re.findall(r"^(?:[EF]\d+ |\[libprotobuf).*", said, re.M)
        assert re.search(words, "\n".join(errors)), which
        if words.startswith(PLACE):
            assert f"{tmp_path}" in errors[-1], which
        else:
            assert len(errors) == 1 and f"'{layer}'" in errors[0], which


# What the fields of a solver state hold instead of what they should. None:
# whatever they hold is legal.
REFUSED = "RuntimeError: Solver state .*"
ABSENT = "is not in the solver state|is also of"
CHANGED = "changed since the snapshot|is gone|is another one now"
GENERATOR = REFUSED + "a generator of random numbers that is not 624"
STATE = {
    "DropoutPatternState": {
        "layer": "holds no dropout patterns of 'pattern'",
        "family": "the solver state has family: |has no family",
        "probability": REFUSED + "(has . values|has prob)",
        "seed": None,
        "draws": None,
        "max_period": REFUSED + "values of probability, but max_period is",
    },
    "RunState": {
        "solver_type": REFUSED + "saved by a solver of type",
        "model_bytes": r"RuntimeError: Model .* bytes, not the \d+ that were",
        "generator": GENERATOR,
        "layer": ABSENT,
    },
    "LayerState": {
        "layer": ABSENT,
        "type": ABSENT,
        "test_net": ABSENT,
        "records": None,
        "key": CHANGED,
        "checksum": CHANGED,
        "position": CHANGED,
        "shuffles": CHANGED,
        "generator": GENERATOR,
        "transform_generator": GENERATOR,
        "file": CHANGED,
        "file_order": CHANGED,
        "row_order": CHANGED,
        "blob": "its hidden state has another shape",
    },
}
# Values that are legal, of fields that have others.
LEGAL = [("probability", ()), ("solver_type", "")]


def values(message, field):
    """Other values than the one it has; a repeated field's are tuples."""
    if field.name == "blob":
        wide, short = caffe_pb2.BlobProto(), caffe_pb2.BlobProto()
        wide.shape.dim[:] = [2**40, 2**40, -1]
        short.CopyFrom(message.blob[0])
        del short.data[1:]
        return [(), (wide, *message.blob[1:]), (short, *message.blob[1:])]
    if field.name == "layer" and field.message_type:
        return [(), (*message.layer, *message.layer)]
    if field.label == field.LABEL_REPEATED:
        if field.type == field.TYPE_DOUBLE:
            return [(), (math.nan,) * 4, (-1, 1, 1, 0), (1e308,) * 4, (1,)]
        return [(), (0, 0), (2**32 - 1,), tuple(range(100000))]
    if field.enum_type:
        numbers = field.enum_type.values_by_number
        return [x for x in numbers if x != getattr(message, field.name)]
    if field.type == field.TYPE_STRING:
        return ["", "9" * 50]
    if field.type == field.TYPE_BYTES:
        return [b"", b"9\0" * 600]
    return [0, 2**32 - 1 if field.type == field.TYPE_UINT32 else 2**64 - 1]


def changed_states(state):
    """(message's name, field, value, state) for every field that the state has,
    and for test_net, which only test nets' have; the value None: no field."""
    places = [("RunState", lambda x: x.run)]
    for name, messages in (
        ("DropoutPatternState", lambda x: x.dropout_pattern),
        ("LayerState", lambda x: x.run.layer),
    ):
        for i in range(len(messages(state))):
            places.append((name, lambda x, i=i, m=messages: m(x)[i]))
    for name, find in places:
        message = find(state)
        present = {field.name for field, _ in message.ListFields()}
        for field in message.DESCRIPTOR.fields:
            if field.name not in present | {"test_net"}:
                continue
            for value in [None, *values(message, field)]:
                changed = type(state).FromString(state.SerializeToString())
                target = find(changed)
                target.ClearField(field.name)
                if isinstance(value, tuple):
                    getattr(target, field.name).extend(value)
                elif value is not None:
                    setattr(target, field.name, value)
                if changed != state:
                    yield name, field.name, value, changed


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    """[(message's name, field, value, status, what was said)] of all nets."""
    found = []
    for net in "mlp", "lstm", "images":
        folder = tmp_path_factory.mktemp(net)
        prepare(net, folder)
        path = folder / "net.prototxt"
        path.write_text(
            path.read_text().replace("shuffle: false", "shuffle: true")
        )
        train = command(folder, "run", iterations=SNAPSHOT)
        solver = folder / "solver_run.prototxt"
        if net != "mlp":  # whose test nets stand for all
            text = solver.read_text()
            solver.write_text(text[: text.index("test_interval")])
        subprocess.run(train, check=True, capture_output=True)
        state = folder / f"run_iter_{SNAPSHOT}.solverstate"
        whole = caffe_pb2.SolverState.FromString(state.read_bytes())
        changes = [*changed_states(whole)]
        cases = []
        for i, (_, _, _, changed) in enumerate(changes):
            state = folder / f"{i}.solverstate"
            state.write_bytes(changed.SerializeToString())
            cases.append({"solver": str(solver), "state": str(state)})
        found += [
            (name, field, value, *end)
            for (name, field, value, _), end in zip(changes, ends(cases))
        ]
    return found


@pytest.mark.parametrize("message", STATE)
def test_solver_states(tried, message):
    fields = STATE[message]
    descriptor = getattr(caffe_pb2, message).DESCRIPTOR
    assert fields.keys() == set(descriptor.fields_by_name)
    assert fields.keys() == {
        field for name, field, *_ in tried if name == message
    }
    for name, field, value, status, said in tried:
        if name != message:
            continue
        which = f"{field}: {value!r:.60}\n{said}"
        refused = re.search(REFUSED + "|RuntimeError: Model ", said)
        assert status == (1 if refused else 0), which
        if (
            value is not None
            and fields[field]
            and ((field, value) not in LEGAL)
        ):
            assert re.search(fields[field], said), which
    print(f"{message}: {sum(case[0] == message for case in tried)} values")
