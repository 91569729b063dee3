"""Caffe's logs as text: the course of a run, several runs, CSV."""

import csv
import math

ROWS_SHOWN = 24
_COLUMN_WIDTH = 10


def columns(rows):
    """The columns that any of the rows has: time, learning rate, loss, then
    outputs as they come, the training net's first."""
    first = ["iteration", "seconds", "learning_rate", "loss"]
    found = dict.fromkeys(name for row in rows for name in row)
    outputs = [name for name in found if name not in first]
    outputs.sort(key=lambda name: name.split(" ")[0] != "train")
    return [name for name in first if name in found] + outputs


def duration(seconds):
    """h:mm:ss, or "?" for None and what is no finite number."""
    if seconds is None or not math.isfinite(seconds):
        return "?"
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


def _entry(name, value):
    if value is None:
        return "-"
    if name in ("seconds", "left"):
        return duration(value)
    return str(value) if isinstance(value, int) else f"{value:.6g}"


def _evenly(items, count):
    """At most `count` of the items, the first and the last among them."""
    if len(items) <= count:
        return items
    step = (len(items) - 1) / (count - 1)
    return [items[round(i * step)] for i in range(count)]


def thinned(log):
    """Some ROWS_SHOWN rows of a log: those with tests, evenly chosen others
    and the last. A row with a test shows the last loss before it, too."""
    filled, tested, known = [], [], {}
    for i, row in enumerate(log.rows()):
        of_test = {n: v for n, v in row.items() if n.startswith("test")}
        known = {**known, **row}
        for name in of_test:
            del known[name]
        filled.append({**known, **of_test} if of_test else row)
        if of_test:
            tested.append(i)
    shown = {*_evenly(tested, ROWS_SHOWN)}
    others = max(2, ROWS_SHOWN - len(shown))
    shown.update(_evenly(range(len(filled)), others))
    return [filled[i] for i in sorted(shown)]


def _last_values(log):
    last = {}
    for row in log.rows():
        last.update(row)
    return last


def _with_time_left(log, row):
    if log.ended == "done" or log.seconds_left() is None:
        return row
    return {**row, "left": log.seconds_left(row["iteration"])}


def aligned(heads, lines, left=()):
    """Lines of columns, their heads first: numbers, to the right, or text, to
    the left, in the columns named."""
    entries = [heads, *lines]
    left = {column % len(heads) for column in left}
    columns = []
    for i, column in enumerate(zip(*entries)):
        width = max(map(len, column))
        columns.append(
            [f"{text:{'<' if i in left else '>'}{width}}" for text in column]
        )
    return ["  ".join(line).rstrip() for line in zip(*columns)]


def _heads(names):
    titles = {"seconds": "time", "learning_rate": "learning rate"}
    return [titles.get(name, name) for name in names]


def course(log, rows):
    """Lines of a table of these rows of a run."""
    rows = [_with_time_left(log, row) for row in rows]
    names = columns(rows)
    if "left" in names:  # beside the time
        names.remove("left")
        names.insert(names.index("iteration") + 1, "left")
    return aligned(
        _heads(names),
        [[_entry(name, row.get(name)) for name in names] for row in rows],
    )


def summary(files):
    """Lines of a table of several runs' last values."""
    last = [_last_values(file.log) for file in files]
    names = columns(last)
    lines = []
    for file, row in zip(files, last):
        log = file.log
        pace = log.pace()
        lines.append(
            [
                file.path,
                _entry("of", log.max_iter),
                "done" if log.ended == "done" else duration(log.seconds_left()),
                _entry("ms", None if pace is None else 1000 * pace),
                *(_entry(name, row.get(name)) for name in names),
            ]
        )
    return aligned(
        ["run", "max_iter", "left", "ms/iteration", *_heads(names)], lines
    )


def status(file):
    """One line: how far a run is, how fast, and how long it still takes."""
    log = file.log
    if not log.rows():
        return f"{file.path}: nothing logged yet"
    said = [f"{file.path}: iteration {log.iteration}"]
    if log.max_iter is not None:
        said[0] += f" of {log.max_iter}"
    if log.pace() is not None:
        said.append(f"{1000 * log.pace():.4g} ms/iteration")
    left = log.seconds_left()
    if log.ended:
        said.append("done" if log.ended == "done" else "stopped early")
    if left is not None and log.ended != "done":
        said.append(f"{duration(left)} left")
    elif left is None:
        missing = "max_iter" if log.max_iter is None else "times"
        said.append(f"time left unknown: the log does not show {missing}")
    if log.diverged:
        said.append("DIVERGED: a value is not finite")
    if log.replaced:
        said.append(
            "a later session went back, and replaces what was logged "
            "from there on"
        )
    return ", ".join(said)


def write_csv(files, output):
    """Every row of every run, a column "file" in front; empty: not logged."""
    names = columns([row for file in files for row in file.log.rows()])
    writer = csv.writer(output)
    writer.writerow(["file", *names])
    for file in files:
        for row in file.log.rows():
            writer.writerow([file.path, *(row.get(name, "") for name in names)])


class LiveTable:
    """Prints the rows of logs that grow, under heads that say their columns."""

    def __init__(self, files):
        self._run_width = max(len(file.path) for file in files)
        self._has_run = len(files) > 1
        self._shown = {}  # path: (log, rows printed by iteration)
        self._names = []

    def show(self, file, idle):
        """Prints what is new. The last iteration may still be in the making:
        it waits until idle."""
        log, shown = self._shown.get(file.path, (None, {}))
        rows = {row["iteration"]: row for row in file.log.rows()}
        if not rows:
            return
        if log is file.log:
            fresh = [row for i, row in rows.items() if shown.get(i) != row]
        else:  # its first rows, or those of a new run
            shown, fresh = {}, thinned(file.log)
        last = max(rows)
        for row in fresh:
            if idle or row["iteration"] != last:
                self._print(file, _with_time_left(file.log, row))
        if not idle:
            rows[last] = shown.get(last)
        self._shown[file.path] = file.log, rows

    def _print(self, file, row):
        names = columns([dict.fromkeys(self._names), row])
        heads = _heads(names)
        if names != self._names:
            self._names = names
            self._print_line(
                "run", [head.rjust(_COLUMN_WIDTH) for head in heads]
            )
        entries = [_entry(name, row.get(name)) for name in names]
        self._print_line(
            file.path,
            [
                entry.rjust(max(len(head), _COLUMN_WIDTH))
                for head, entry in zip(heads, entries)
            ],
        )

    def _print_line(self, run, entries):
        if self._has_run:
            entries = [run.rjust(self._run_width), *entries]
        print("  ".join(entries), flush=True)
