"""Command line: python3 -m approx_dropout search | convert, see --help."""

import argparse
import sys

from . import convert_command
from .families import FAMILIES
from .search import LAMBDA1, LAMBDA2, search


def _print_search(arguments):
    result = search(
        arguments.rate,
        arguments.family,
        arguments.max_period,
        arguments.lambda1,
        arguments.lambda2,
        arguments.lambda3,
        arguments.seed,
    )
    lines = [
        f"# dropout_ratio {arguments.rate}, family {arguments.family}, "
        f"max_period {arguments.max_period}",
        f"# achieved drop rate {result.rate:.6f}, entropy "
        f"{result.entropy:.4f} nats, spread {result.spread:.6f}",
        "dropout_pattern_param {",
        f"  family: {arguments.family}",
    ]
    lines += [f"  probability: {float(k)!r}" for k in result.probability]
    print("\n".join(lines + ["}"]))


def _parser():
    parser = argparse.ArgumentParser(
        prog="approx_dropout", description="Approximate random dropout."
    )
    commands = parser.add_subparsers(required=True, metavar="command")

    command = commands.add_parser(
        "search", help="search K for a drop rate, and print it for a prototxt"
    )
    command.add_argument(
        "--rate",
        type=float,
        required=True,
        help="the drop rate p, from 0 to (N - 1) / N",
    )
    command.add_argument(
        "--lambda1",
        type=float,
        default=LAMBDA1,
        help="weight of the rate (%(default)s)",
    )
    command.add_argument(
        "--lambda2",
        type=float,
        default=LAMBDA2,
        help="weight of the entropy (%(default)s)",
    )
    command.add_argument(
        "--lambda3",
        type=float,
        help="weight of the variance of the dropped fraction "
        "(PERIOD 0, RESIDUE 1e-4 N)",
    )
    command.add_argument(
        "--seed", type=int, default=0, help="of the first value (%(default)s)"
    )
    command.add_argument(
        "--family",
        choices=FAMILIES,
        default="RESIDUE",
        help="(%(default)s)",
    )
    command.add_argument(
        "--max-period",
        type=int,
        default=16,
        metavar="N",
        help="(%(default)s)",
    )
    command.set_defaults(run=_print_search)

    command = commands.add_parser(
        "convert",
        help="rewrite the Dropout layers of a net",
        description="Writes the net with InnerProduct or LSTM followed by "
        "Dropout rewritten; what became of each Dropout goes to standard "
        "error. Comments of the prototxt are lost.",
    )
    convert_command.add_arguments(command)
    command.set_defaults(run=convert_command.run)

    return parser


def main(argv=None):
    """Runs a command; 0, or 1 after an error message on standard error."""
    arguments = _parser().parse_args(argv)
    try:
        return arguments.run(arguments) or 0
    except (ValueError, OSError, ImportError) as error:
        print(f"approx_dropout: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
