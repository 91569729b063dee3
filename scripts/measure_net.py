#!/usr/bin/python3
"""Times whole training steps of a net of your own beside stock Caffe's.

The net, with its Dropouts, trains in stock Caffe; converted with ROW and with
TILE it trains in the patched one; with --feature-maps with ROW only. They take
turns, some steps at a time, each in a process of its own. Beside their speed-up
is the bound that the multiply-adds set to it. Inputs take the place of the data
layers: give their shapes, the batch included, where the prototxt does not tell.
Needs both builds (`make caffe`, and scripts/setup/build_caffe.sh --stock).
"""

import argparse
import datetime
import json
import os
import sys
import tempfile
from pathlib import Path

from tqdm import tqdm

import project
from measure import timer
from measure.step_workers import row, table, take_turns
from nets.text import to_text
from project import command_line, commit, machine, write_whole

PATTERNS = ("ROW", "TILE")
SOLVER = {
    "base_lr": 1e-4,
    "lr_policy": "fixed",
    "display": 0,
    "snapshot_after_train": False,
    "random_seed": 1,
}
# What goes with each type of solver; AdaGrad and RMSProp refuse a momentum.
SOLVERS = {
    "SGD": {"momentum": 0.9},
    "Nesterov": {"momentum": 0.9},
    "AdaGrad": {},
    "RMSProp": {},
    "AdaDelta": {"momentum": 0.9, "delta": 1e-6},
    "Adam": {"momentum": 0.9},
}


def training_net(path, shapes, drops):
    """The NetParameter with Inputs for data, whose losses alone are left, and
    with a Dropout behind each of the layers that `drops` names."""
    from approx_dropout.proto import parse_net, read_text
    from approx_dropout.stand_in import samples_for, with_inputs
    from approx_dropout.upgrade import upgrade

    net = upgrade(parse_net(read_text(path)[0], str(path)))
    net = with_inputs(net, shapes, samples_for(net))
    for i in reversed(range(len(net.layer))):
        if net.layer[i].type == "Accuracy":
            del net.layer[i]
    for name in drops:
        drop_behind(net, name)
    return net


def drop_behind(net, name):
    """Puts a Dropout, at its usual rate, behind the layer of that name."""
    for i, layer in enumerate(net.layer):
        if layer.name == name:
            drop = type(layer)(name=f"{name}_drop", type="Dropout")
            drop.bottom[:] = drop.top[:] = layer.top[:1]
            layers = [*net.layer]
            del net.layer[:]
            net.layer.extend([*layers[: i + 1], drop, *layers[i + 1 :]])
            return
    raise ValueError(
        f"--drop {name} is no layer; there are: "
        + ", ".join(layer.name for layer in net.layer)
    )


def bound_of(net):
    """What the multiply-adds allow a net's step to gain."""
    from approx_dropout.multiply_adds import bound, products
    from approx_dropout.net_shapes import training_net

    return bound(products(training_net(net)))


def conversions(options):
    """{label: arguments of convert()} of the nets beside stock Caffe's."""
    patterns = PATTERNS[:1] if options.feature_maps else PATTERNS
    return {
        pattern if rate is None else f"{pattern} {rate:g}": {
            "pattern": pattern,
            "groups": options.groups,
            "max_period": options.max_period,
            "rate": rate,
            "feature_maps": options.feature_maps,
        }
        for rate in options.rate or [None]
        for pattern in patterns
    }


def write_solver(net, options, folder):
    """Writes net and solver into a new folder; the solver's file."""
    from google.protobuf import text_format

    folder.mkdir()
    (folder / "net.prototxt").write_text(text_format.MessageToString(net))
    file = folder / "solver.prototxt"
    fields = {
        "net": str(folder / "net.prototxt"),
        "type": options.solver,
        **SOLVER,
        **SOLVERS[options.solver],
        "weight_decay": options.weight_decay,
    }
    file.write_text(to_text(fields))
    return file


def measured(options):
    """Rows of the table, stock Caffe's first, and what was converted."""
    from approx_dropout.convert import convert

    net = training_net(options.net, dict(options.shape), options.drop)
    workers, notes, bounds = [], {}, [1.0]
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryFile("w+") as log,
    ):
        folder = Path(folder)
        solver = write_solver(net, options, folder / "stock")
        try:
            stock = timer.start("stock Caffe", "caffe-stock", solver, log)
            workers.append(stock)
            for label, how in conversions(options).items():
                ours, notes[label] = convert(net, **how)
                bounds.append(bound_of(ours))
                solver = write_solver(ours, options, folder / label)
                workers.append(timer.start(label, "caffe", solver, log))
            take_turns(
                workers,
                options.rounds,
                options.steps,
                lambda turns, what: tqdm(turns, desc=what, leave=False),
            )
        except RuntimeError as error:
            log.seek(0)
            fatal = [line.partition("] ")[2] for line in log if line[0] == "F"]
            raise ValueError("; ".join([str(error), *fatal]).strip()) from None
        finally:
            for worker in workers:
                worker.end()
    rows = [
        {**row(worker, workers[0]), "bound": bound}
        for worker, bound in zip(workers, bounds)
    ]
    return rows, notes


def main(arguments=None):
    from approx_dropout.shapes import blob_shape

    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("net", type=Path, help="a prototxt")
    parser.add_argument(
        "--shape",
        action="append",
        default=[],
        type=blob_shape,
        metavar="BLOB:SIZES",
        help="of a data layer's top, as in data:32,3,227,227",
    )
    parser.add_argument(
        "--drop",
        action="append",
        default=[],
        metavar="LAYER",
        help="put a Dropout behind this layer first, in stock Caffe's net too; "
        "may be given several times",
    )
    parser.add_argument("--groups", type=int, default=1, help="(%(default)s)")
    parser.add_argument(
        "--max-period", type=int, default=16, help="N (%(default)s)"
    )
    parser.add_argument(
        "--rate",
        action="append",
        type=float,
        metavar="P",
        help="drop rate of the converted nets instead of the net's own; may be "
        "given several times",
    )
    parser.add_argument(
        "--feature-maps",
        action="store_true",
        help="Dropouts of images drop whole feature maps in the converted nets",
    )
    parser.add_argument(
        "--solver", choices=SOLVERS, default="SGD", help="(%(default)s)"
    )
    parser.add_argument(
        "--weight-decay", type=float, default=5e-4, help="(%(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=8, help="(%(default)s)")
    parser.add_argument(
        "--steps", type=int, default=5, help="per turn (%(default)s)"
    )
    parser.add_argument("--output", type=Path, help="JSON file")
    options = parser.parse_args(arguments)
    os.environ.setdefault("GLOG_minloglevel", "2")
    timer.let_waiting_threads_sleep()
    timer.use_blas_kernels()
    now = datetime.datetime.now(datetime.timezone.utc)
    try:
        project.import_caffe()
        rows, notes = measured(options)
    except (ImportError, OSError, ValueError) as error:
        print(f"measure_net.py: {error}", file=sys.stderr)
        return 1
    for pattern, lines in notes.items():
        print("\n".join(f"{pattern}: {line}" for line in lines))
    print(table(rows))
    if options.output:
        results = {
            "command": command_line(),
            "machine": machine(),
            "commit": commit(),
            "date": now.isoformat(timespec="seconds"),
            "notes": notes,
            "rows": rows,
        }
        write_whole(options.output, json.dumps(results, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
