"""The command line of the converter: approx-dropout convert, see --help."""

import sys

import numpy as np

from .conversion import PATTERNS, Options
from .convert import convert_net
from .families import FAMILIES
from .proto import net_bytes, parse_net, read_text, write_whole
from .revert import revert_net
from .shapes import blob_shape
from .upgrade import upgrade


def add_arguments(parser):
    """Adds the arguments of convert to a parser."""
    parser.description = (
        "Writes the net with its Dropouts rewritten into approximate random "
        "dropout, or back; what became of each goes to standard error. "
        "Comments of the prototxt are lost."
    )
    add = parser.add_argument
    add("net", help="a prototxt, in today's format or one of Caffe's older two")
    add(
        "--pattern",
        choices=PATTERNS,
        default="ROW",
        help="drop units, or tiles of weights (%(default)s)",
    )
    add("--family", choices=FAMILIES, default="RESIDUE", help="(%(default)s)")
    add(
        "--max-period",
        type=int,
        default=16,
        metavar="N",
        help="longest period, or residues, of a pattern (%(default)s)",
    )
    add(
        "--rate",
        type=float,
        metavar="P",
        help="drop rate of all Dropouts (each its own)",
    )
    add(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="convert this Dropout only; may be given several times",
    )
    add(
        "--skip",
        action="append",
        default=[],
        metavar="NAME",
        help="leave this Dropout as it is; may be given several times",
    )
    add(
        "--share",
        action="store_true",
        help="one pattern for the Dropouts of layers that share their weights "
        "by name, as a siamese net's towers",
    )
    add(
        "--feature-maps",
        action="store_true",
        help="Dropouts of images drop whole feature maps instead of single "
        "values, and Convolutions compute the kept ones only",
    )
    add(
        "--inline-probability",
        action="store_true",
        help="write K into the net, which then needs no Python layer",
    )
    add(
        "--groups",
        type=int,
        default=1,
        metavar="G",
        help="patterns per pass, one for each G-th of the samples (RESIDUE; "
        "%(default)s)",
    )
    add(
        "--last-groups",
        type=int,
        metavar="G",
        help="patterns of the last Dropout, in front of the net's output "
        "(as many as of the others)",
    )
    add(
        "--revert",
        action="store_true",
        help="the other way: back to Caffe's layers and Dropout; of the other "
        "options only --check, --shape and --output count",
    )
    add(
        "--check",
        action="store_true",
        help="build both nets and hold them against each other, with random "
        "weights and inputs; needs no data; if they differ, nothing is written",
    )
    add(
        "--shape",
        action="append",
        default=[],
        metavar="BLOB[@PHASE]:SIZES",
        type=blob_shape,
        help="shape of a data layer's top, where the prototxt does not tell, "
        "as in data:32,3,224,224; @TRAIN or @TEST for one of two layers",
    )
    add("-o", "--output", help="file to write instead of standard output")


def _options(arguments):
    return Options(
        pattern=arguments.pattern,
        family=arguments.family,
        max_period=arguments.max_period,
        inline_probability=arguments.inline_probability,
        groups=arguments.groups,
        last_groups=arguments.last_groups,
        rate=arguments.rate,
        only=tuple(arguments.only),
        skip=tuple(arguments.skip),
        share=arguments.share,
        feature_maps=arguments.feature_maps,
        shapes=dict(arguments.shape),
    )


def run(arguments):
    """Writes the net, and what became of each Dropout to standard error.

    Returns the exit status, 1 if the check failed, and then nothing is
    written. Raises ValueError and OSError.
    """
    text, encoding = read_text(arguments.net)
    net = upgrade(parse_net(text, arguments.net))
    if arguments.revert:
        result = revert_net(net)
    else:
        result = convert_net(net, _options(arguments))
    nothing = "ApproxDropout layer" if arguments.revert else "Dropout"
    for note in result.notes or [f"the net has no {nothing}"]:
        print(note, file=sys.stderr)
    nets = (net, result.net) if arguments.revert else (result.net, net)
    if arguments.check and not _check(
        *nets, result.dropped, dict(arguments.shape)
    ):
        return 1
    data = net_bytes(result.net, encoding)
    if arguments.output is None:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
    else:
        write_whole(arguments.output, data)
    return 0


def _check(ours, stock, dropped, shapes):
    """Prints what --check compared; whether it was the same."""
    from .check import TOLERANCE, check, drops_recurrent

    if drops_recurrent(ours):
        print(
            "TRAIN is not compared: an LSTM drops its recurrent product, which "
            "has no equal in Caffe",
            file=sys.stderr,
        )
    compared = check(ours, stock, dropped, shapes)
    for x in compared:
        print(x, file=sys.stderr)
    worst = float(np.max([x.difference for x in compared]))  # or NaN
    good = worst <= TOLERANCE
    print(
        f"check {'passed' if good else 'FAILED'}: {len(compared)} comparisons, "
        f"largest difference {worst:.2g}, allowed {TOLERANCE:g}",
        file=sys.stderr,
    )
    return good
