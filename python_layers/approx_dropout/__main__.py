"""Command line: approx-dropout or python3 -m approx_dropout, see --help."""

import argparse
import os
import sys

from . import __version__
from .commands import convert, inspect, log, search

PROGRAM = "approx-dropout"
COMMANDS = {
    "search": search,
    "convert": convert,
    "inspect": inspect,
    "log": log,
}


def _parser():
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description="Approximate random dropout for Caffe."
    )
    parser.add_argument(
        "--version", action="version", version=f"%(prog)s {__version__}"
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    for name, module in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=module.__doc__.partition("\n")[0],
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def main(argv=None):
    """Runs a command; 0, or 1 after an error message on standard error."""
    arguments = _parser().parse_args(argv)
    try:
        arguments.run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (ValueError, OSError, ImportError) as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
