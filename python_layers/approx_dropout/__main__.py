"""Command line: approx-dropout or python3 -m approx_dropout, see --help."""

import argparse
import os
import sys

from . import (
    __version__,
    convert_command,
    inspect_command,
    log_command,
    search_command,
)

PROGRAM = "approx-dropout"
COMMANDS = {
    "search": (
        search_command,
        "search K for a drop rate, and print it for a prototxt",
    ),
    "convert": (convert_command, "rewrite the Dropout layers of a net"),
    "inspect": (
        inspect_command,
        "show what a solver state, a net or a .caffemodel holds",
    ),
    "log": (
        log_command,
        "show loss, accuracy, learning rate and time left of Caffe's logs",
    ),
}


def _parser():
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description="Approximate random dropout for Caffe."
    )
    parser.add_argument(
        "--version", action="version", version=f"%(prog)s {__version__}"
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    for name, (module, summary) in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=summary,
            description=summary,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def main(argv=None):
    """Runs a command; its exit status: 1 after an error message."""
    arguments = _parser().parse_args(argv)
    if hasattr(sys.stdout, "reconfigure"):  # as standard error has it
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status = arguments.run(arguments) or 0
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # `| head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError, ImportError) as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
