"""The commands of `approx-dropout`, a module each.

A module's docstring is its help; add_arguments(parser) declares its arguments,
run(arguments) does the work, with ValueError, OSError or ImportError for what
the user can mend.
"""

from ..families import FAMILIES


def add_family(parser):
    """The options that name a family of patterns."""
    parser.add_argument(
        "--family", choices=FAMILIES, default="RESIDUE", help="(%(default)s)"
    )
    parser.add_argument(
        "--max-period",
        type=int,
        default=16,
        metavar="N",
        help="(%(default)s)",
    )
