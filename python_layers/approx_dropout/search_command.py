"""The command line of the search: approx-dropout search, see --help."""

from .families import FAMILIES
from .search import LAMBDA1, LAMBDA2, search


def add_arguments(parser):
    """Adds the arguments of search to a parser."""
    parser.add_argument(
        "--rate",
        type=float,
        required=True,
        help="the drop rate p, from 0 to (N - 1) / N",
    )
    parser.add_argument(
        "--family", choices=FAMILIES, default="RESIDUE", help="(%(default)s)"
    )
    parser.add_argument(
        "--max-period", type=int, default=16, metavar="N", help="(%(default)s)"
    )
    parser.add_argument(
        "--lambda1",
        type=float,
        default=LAMBDA1,
        help="weight of the rate (%(default)s)",
    )
    parser.add_argument(
        "--lambda2",
        type=float,
        default=LAMBDA2,
        help="weight of the entropy (%(default)s)",
    )
    parser.add_argument(
        "--lambda3",
        type=float,
        help="weight of the variance of the dropped fraction "
        "(PERIOD 0, RESIDUE 1e-4 N)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of the first value (%(default)s)"
    )


def run(arguments):
    """Prints K; ValueError if there is none."""
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
