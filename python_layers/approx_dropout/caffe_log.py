"""Reads the log of a Caffe training, line by line, while it is written.

Formats are those that Caffe's src/caffe/solver.cpp has had, stock and ours:
with and without a speed beside the loss, glog's prefix with and without a
year, or no prefix. A log may hold several sessions of one run: where one
begins at an iteration that another had reached, it replaces what that one
logged from there on, so a run that started anew replaces all of it.
"""

import datetime
import math
import re
import statistics

_COLOUR = re.compile(r"\x1b\[[\d;]*m")
_PREFIX = re.compile(
    r"[IWEF](\d{4})?(\d\d)(\d\d) (\d+):(\d\d):(\d\d(?:\.\d+)?) +\S+ "
    r"[^\s\]]+:\d+\] ?(.*)"
)
_CREATED = re.compile(r"Log file created at: (\d{4})/")
_SETTING = re.compile(r"\s*(\w+: .*|\w+ \{|\}|)")
_DAY = 86400  # seconds
_SESSION = ("Initializing solver from", "Starting Optimization", "Solving ")
_LOSS = re.compile(r"Iteration (\d+)\b(.*), loss = ([^\s,]+).*")
_SPEED = re.compile(r" \(\S+ iter/s, (\S+)s/(\d+) iter")
_RATE = re.compile(r"Iteration (\d+), lr = ([^\s,]+).*")
_TESTING = re.compile(r"Iteration (\d+), Testing net \(#(\d+)\)")
_OUTPUT = re.compile(r"\s*(Train|Test) net output #(\d+): (.+?) = (\S+).*")


def _number(text):
    """A float as C++ prints it; ValueError if it is none.

    Windows prints 1.#QNAN, -1.#IND, 1.#INF and -nan(ind).
    """
    text = text.lower()
    if "nan" in text or "#ind" in text:
        return math.nan
    if "#inf" in text:
        return -math.inf if text.startswith("-") else math.inf
    return float(text)


class CaffeLog:
    """What the lines fed so far say.

    losses: {iteration: training loss, smoothed as the solver does}
    train: {iteration: {output of the training net: value}}
    tests: {(iteration, number of the test net): {output: value}}
    learning_rates: {iteration: learning rate}
    seconds: {iteration: seconds of training until its last line}, the time
        between sessions left out; empty without glog's prefix
    seconds_per_iteration: one value for each stretch of iterations between
        two losses that holds no test and no snapshot
    max_iter: where the solver ends, None if the log does not say
    ended: "done" if the last session came to max_iter, "stopped" if it was
        stopped before, None if the log does not say that it ended
    replaced: whether a session began before an iteration already logged
    An output of several values is x, x[1], x[2], ...
    """

    def __init__(self, text=""):
        self.max_iter = None
        self._year = datetime.date.today().year
        self._clock = None  # of the last prefix, in seconds
        self._settings_depth = None  # of braces in a solver's settings
        self.replaced = False
        self._clear()
        for line in text.splitlines(keepends=True):
            if line.endswith("\n"):  # the last line may have been cut off
                self.feed(line)

    def _clear(self):
        self.losses = {}
        self.train = {}
        self.tests = {}
        self.learning_rates = {}
        self.seconds = {}
        self.seconds_per_iteration = []
        self.ended = None
        self._at = None  # iteration of the last line
        self._start = None  # first iteration of the stretch, None if untimed
        self._outputs = None  # the table that output lines belong to
        self._output_key = None
        self._elements = {}  # how often each output's name has come
        self._begin_session()

    def _begin_session(self):
        self._start = None
        self.ended = None
        self._session = None  # (iteration, clock, seconds before)

    @property
    def diverged(self):
        """True if a training or test value is not a finite number."""
        values = list(self.losses.values())
        for outputs in self.tests.values():
            values += outputs.values()
        return not all(math.isfinite(value) for value in values)

    @property
    def iteration(self):
        """The last iteration that a loss or a test was logged for."""
        return max([self.tested_iteration, *self.losses])

    @property
    def tested_iteration(self):
        """The last iteration that a test was logged for, 0 before any."""
        return max([0, *(iteration for iteration, _ in self.tests)])

    @property
    def test_nets(self):
        """Numbers of the nets tested, ascending."""
        return sorted({net for _, net in self.tests})

    def timing(self):
        """Milliseconds per iteration: median, quartiles and every stretch's,
        None where there are too few to tell."""
        stretches = [1000 * value for value in self.seconds_per_iteration]
        result = {"median_ms": None, "quartiles_ms": None}
        if stretches:
            result["median_ms"] = statistics.median(stretches)
        if len(stretches) > 1:
            low, _, high = statistics.quantiles(stretches, method="inclusive")
            result["quartiles_ms"] = [low, high]
        return {**result, "intervals_ms": stretches}

    def pace(self):
        """Seconds an iteration takes in the last session, tests and
        snapshots included, where prefixes tell; None if nothing does."""
        if self._session:
            first, start, _ = self._session
            if self._clock is not None and self._at > first:
                return (self._clock - start) / (self._at - first)
        if self.seconds_per_iteration:
            return statistics.median(self.seconds_per_iteration)
        return None

    def seconds_left(self, iteration=None):
        """Seconds from an iteration, by default the last, until max_iter at
        this pace; None if unknown."""
        if self.ended == "done":
            return 0.0
        pace = self.pace()
        if pace is None or self.max_iter is None:
            return None
        if iteration is None:
            iteration = self.iteration
        return max(0, self.max_iter - iteration) * pace

    def rows(self):
        """One dictionary per iteration, ascending: "iteration", "seconds",
        "learning_rate", "loss", "train OUTPUT", and "test OUTPUT" or, if
        there are several test nets, "test0 OUTPUT", as far as logged."""
        rows = {}

        def add(iteration, name, value):
            row = rows.setdefault(iteration, {"iteration": iteration})
            row[name] = value

        for iteration, rate in self.learning_rates.items():
            add(iteration, "learning_rate", rate)
        for iteration, loss in self.losses.items():
            add(iteration, "loss", loss)
        for iteration, outputs in self.train.items():
            for name, value in outputs.items():
                add(iteration, f"train {name}", value)
        several = self.test_nets not in ([], [0])
        for (iteration, net), outputs in self.tests.items():
            for name, value in outputs.items():
                add(iteration, f"test{net if several else ''} {name}", value)
        for iteration in rows.keys() & self.seconds.keys():
            add(iteration, "seconds", self.seconds[iteration])
        return [rows[iteration] for iteration in sorted(rows)]

    def feed(self, line):
        """Takes one line; True if it changed a loss or a test's value."""
        line = _COLOUR.sub("", line.rstrip("\r\n"))
        prefixed = _PREFIX.search(line)
        try:
            if prefixed:
                self._settings_depth = None
                self._read_clock(*prefixed.groups()[:6])
                return self._read(prefixed[7])
            if self._settings_depth is not None:
                if _SETTING.fullmatch(line):
                    return self._read_setting(line)
                self._settings_depth = None
            return self._read(line)
        except ValueError:  # no number: the line was cut off, or is no log's
            return False

    def _read(self, message):
        if match := _OUTPUT.fullmatch(message):
            return self._read_output(*match.groups())
        if match := _LOSS.fullmatch(message):
            loss = _number(match[3])
            self._reach(int(match[1]))
            self.losses[self._at] = loss
            self._outputs = self.train
            self._output_key = self._at
            if speed := _SPEED.match(match[2]):
                self._time(float(speed[1]), int(speed[2]))
            return True
        if match := _TESTING.fullmatch(message):
            self._reach(int(match[1]))
            self._outputs = self.tests
            self._output_key = self._at, int(match[2])
            self._start = None
        elif match := _RATE.fullmatch(message):
            rate = _number(match[2])
            self._reach(int(match[1]))
            self.learning_rates[self._at] = rate
        elif message.startswith(_SESSION):
            self._begin_session()
            if message.startswith("Initializing solver from"):
                self._settings_depth = 0
        elif message.startswith("Snapshotting"):
            self._start = None
        elif message.startswith("Optimization stopped early."):
            self.ended = "stopped"
        elif message.startswith("Optimization Done."):  # the program's end
            self.ended = self.ended or "done"
        elif match := _CREATED.match(message):
            self._year = int(match[1])
        return False

    def _read_output(self, phase, number, name, text):
        table = self.train if phase == "Train" else self.tests
        if self._outputs is not table:
            return False
        value = _number(text)
        if number == "0":
            table[self._output_key] = {}
            self._elements = {}
        values = table.setdefault(self._output_key, {})
        element = self._elements.get(name, 0)
        self._elements[name] = element + 1
        values[f"{name}[{element}]" if element else name] = value
        return phase == "Test"

    def _read_setting(self, line):
        """A line of the solver's settings; they have no prefix."""
        if line.startswith("max_iter:") and not self._settings_depth:
            self.max_iter = int(line.partition(":")[2])
        self._settings_depth += line.endswith("{") - (line.strip() == "}")
        return False

    def _read_clock(self, year, month, day, hour, minute, second):
        def days(year):  # 29 February is legal in every year
            first = datetime.date(int(year), int(month), 1)
            return first.toordinal() + int(day)

        since_midnight = int(hour) * 3600 + int(minute) * 60 + float(second)
        clock = days(year or self._year) * _DAY + since_midnight
        if not year and self._clock and clock < self._clock - 180 * _DAY:
            self._year += 1
            clock = days(self._year) * _DAY + since_midnight
        self._clock = clock

    def _reach(self, iteration):
        """A line of this iteration: it replaces later ones' values."""
        if self._at is not None and iteration < self._at:
            self.replaced = True
            if iteration == 0:
                self._clear()
            for table in (
                self.losses,
                self.train,
                self.learning_rates,
                self.seconds,
            ):
                for later in [i for i in table if i >= iteration]:
                    del table[later]
            for later in [key for key in self.tests if key[0] >= iteration]:
                del self.tests[later]
            self._begin_session()
        self._at = iteration
        if self._clock is not None:
            if self._session is None:
                before = max(self.seconds.values(), default=0.0)
                self._session = iteration, self._clock, before
            _, start, before = self._session
            self.seconds[iteration] = round(before + self._clock - start, 3)

    def _time(self, seconds, display):
        stretch = self._at - self._start if self._start is not None else 0
        if stretch and stretch == display and math.isfinite(seconds):
            self.seconds_per_iteration.append(seconds / display)
        self._start = self._at
