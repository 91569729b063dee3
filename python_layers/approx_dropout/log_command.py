"""The command line of log: approx-dropout log, see --help."""

import json
import math
import sys
import time

from . import log_table
from .log_file import LogFile

_DESCRIPTION = """\
Reads what `caffe train` wrote to standard error, or glog's own files: of any
Caffe, one run or several. A single run is shown as a table of its course,
thinned, with each test beside the last loss before it; several runs as a
table of their last values. CSV and JSON hold every iteration."""
POLL_SECONDS = 0.5
PICTURE_SECONDS = 10


def add_arguments(parser):
    """Adds the arguments of log to a parser."""
    parser.description = _DESCRIPTION
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="a log, one for each run"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--json", action="store_true", help="print JSON instead of a table"
    )
    form.add_argument(
        "--csv", action="store_true", help="print CSV instead of a table"
    )
    form.add_argument(
        "--follow",
        action="store_true",
        help="print new iterations as they are logged, until all runs are "
        "done or Ctrl-C; wait for files that are not there yet",
    )
    parser.add_argument(
        "--picture", metavar="FILE", help="draw the curves into a .png or .pdf"
    )


def run(arguments):
    """Prints or follows the logs; ValueError if one is no Caffe log."""
    files = [LogFile(path) for path in arguments.files]
    draw = None
    if arguments.picture:
        from .log_picture import draw
    if arguments.follow:
        _follow(files, draw, arguments.picture)
        return
    for file in files:
        file.read()
        if not file.log.rows():
            raise ValueError(
                f"{file.path} holds no loss and no test of a Caffe training"
            )
    if arguments.json:
        _print_json(files)
    elif arguments.csv:
        log_table.write_csv(files, sys.stdout)
    else:
        _print_tables(files)
    if draw:
        draw(files, arguments.picture)


def _print_tables(files):
    if len(files) == 1:
        log = files[0].log
        for line in log_table.course(log, log_table.thinned(log)):
            print(line)
        print()
    else:
        for line in log_table.summary(files):
            print(line)
    for file in files:
        if len(files) == 1 or file.log.replaced:
            print(log_table.status(file))


def _print_json(files):
    def finite(value):  # JSON has no NaN
        broken = isinstance(value, float) and not math.isfinite(value)
        return None if broken else value

    runs = []
    for file in files:
        log = file.log
        pace = log.pace()
        runs.append(
            {
                "file": file.path,
                "iteration": log.iteration,
                "max_iter": log.max_iter,
                "ended": log.ended,
                "diverged": log.diverged,
                "ms_per_iteration": pace and finite(1000 * pace),
                "seconds_left": finite(log.seconds_left()),
                "rows": [
                    {name: finite(value) for name, value in row.items()}
                    for row in log.rows()
                ],
            }
        )
    json.dump({"runs": runs}, sys.stdout, indent=1)
    print()


def _follow(files, draw, picture):
    try:
        _follow_to_the_end(files, draw, picture)
    except KeyboardInterrupt:
        print()
    if draw and any(file.log.rows() for file in files):
        draw(files, picture)
    for file in files:
        print(log_table.status(file))


def _follow_to_the_end(files, draw, picture):
    """Prints rows as they come; returns when every run is done."""
    live = log_table.LiveTable(files)
    waited_for = set()
    drawn = time.monotonic()
    while True:
        for file in files:
            try:
                idle = not file.read()
            except FileNotFoundError:
                if file.path not in waited_for:
                    print(f"waiting for {file.path}", file=sys.stderr)
                    waited_for.add(file.path)
                continue
            live.show(file, idle or file.log.ended)
        if all(file.log.ended for file in files):
            return
        if draw and time.monotonic() - drawn > PICTURE_SECONDS:
            if any(file.log.rows() for file in files):
                draw(files, picture)
            drawn = time.monotonic()
        time.sleep(POLL_SECONDS)
