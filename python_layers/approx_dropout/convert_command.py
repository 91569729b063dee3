"""The command line of the converter: approx-dropout convert, see --help."""

import os
import sys

from .convert import PATTERNS, convert
from .families import FAMILIES
from .proto import read_net


def add_arguments(parser):
    """Adds the arguments of convert to a parser."""
    parser.description = (
        "Writes the net with InnerProduct or LSTM followed by Dropout "
        "rewritten; what became of each Dropout goes to standard error. "
        "Comments of the prototxt are lost."
    )
    parser.add_argument("net", help="a prototxt")
    parser.add_argument(
        "--pattern",
        choices=PATTERNS,
        default="ROW",
        help="drop neurons or synapses (%(default)s)",
    )
    parser.add_argument(
        "--family", choices=FAMILIES, default="RESIDUE", help="(%(default)s)"
    )
    parser.add_argument(
        "--max-period", type=int, default=16, metavar="N", help="(%(default)s)"
    )
    parser.add_argument(
        "--inline-probability",
        action="store_true",
        help="write K into the net, which then needs no Python layer",
    )
    parser.add_argument(
        "--groups",
        type=int,
        default=1,
        metavar="G",
        help="patterns a pass, one for each G-th of the samples (RESIDUE; "
        "%(default)s)",
    )
    parser.add_argument(
        "--last-groups",
        type=int,
        metavar="G",
        help="patterns of the last Dropout, in front of the net's output "
        "(as many as of the others)",
    )
    parser.add_argument(
        "-o", "--output", help="file to write instead of standard output"
    )


def run(arguments):
    """Writes the net; ValueError for one that cannot be converted."""
    from google.protobuf import text_format

    net, notes = convert(
        read_net(arguments.net),
        arguments.pattern,
        arguments.family,
        arguments.max_period,
        arguments.inline_probability,
        arguments.groups,
        arguments.last_groups,
    )
    for note in notes or ["the net has no Dropout"]:
        print(note, file=sys.stderr)
    text = text_format.MessageToString(net)
    if arguments.output is None:
        sys.stdout.write(text)
        return
    temporary = f"{arguments.output}.part"
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(temporary, arguments.output)
