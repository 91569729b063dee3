"""search K for a drop rate, and print it for a prototxt"""

from ..search import LAMBDA1, LAMBDA2, search
from . import add_family


def add_arguments(parser):
    parser.add_argument(
        "--rate",
        type=float,
        required=True,
        help="the drop rate p, from 0 to (N - 1) / N",
    )
    add_family(parser)
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
