"""The command line that programs which time several things have in common."""

import argparse
from pathlib import Path


def add_options(parser, what, known, folder):
    """Names of what is to be timed, of `known`, all if none; --quick; -o."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "names",
        nargs="*",
        metavar=what.upper(),
        help=f"of {', '.join(known)}; all",
    )
    parser.add_argument(
        "--quick", action="store_true", help="tiny nets, to try the program"
    )
    parser.add_argument(
        "-o", "--output", type=Path, default=folder, help="folder"
    )


def chosen_names(parser, options, what, known):
    """Those asked for; ends the program if one is unknown."""
    if unknown := set(options.names) - set(known):
        parser.error(f"no {what} {' '.join(unknown)}; there are: {known}")
    return options.names or known
