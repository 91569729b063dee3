"""Reads the log of `caffe train`, line by line, while it is written.

Formats are those of Caffe's src/caffe/solver.cpp. A log may hold several
sessions of one run: where a session resumed earlier than the one before it
had come, the later values win.
"""

import math
import re
import statistics

NOT_LOGGED = "Gradient clipping: scaling down gradients"  # every iteration
PREFIX = re.compile(r"[IWEF]\d+ [\d:.]+ +\d+ [\w.]+:\d+\] (.*)")
TIMED = re.compile(
    r"Iteration (\d+) \(\S+ iter/s, (\S+)s/(\d+) iters\), loss = (\S+)"
)
LOSS = re.compile(r"Iteration (\d+), loss = (\S+)")
TESTING = re.compile(r"Iteration (\d+), Testing net \(#(\d+)\)")
OUTPUT = re.compile(r"\s+Test net output #\d+: (\S+) = (\S+)")


class CaffeLog:
    """What the lines fed so far say.

    losses: {iteration: training loss}
    tests: {(iteration, number of the test net): {output: value}}
    seconds_per_iteration: one value for each stretch of iterations between
        two losses that holds no test and no snapshot
    """

    def __init__(self, text=""):
        self.losses = {}
        self.tests = {}
        self.seconds_per_iteration = []
        self._start = None  # first iteration of the stretch, None if untimed
        self._test = None
        for line in text.splitlines(keepends=True):
            if line.endswith("\n"):  # the last line may have been cut off
                self.feed(line)

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

    def timing(self):
        """Milliseconds an iteration: median, quartiles and every stretch's,
        None where there are too few to tell."""
        stretches = [1000 * value for value in self.seconds_per_iteration]
        result = {"median_ms": None, "quartiles_ms": None}
        if stretches:
            result["median_ms"] = statistics.median(stretches)
        if len(stretches) > 1:
            low, _, high = statistics.quantiles(stretches, method="inclusive")
            result["quartiles_ms"] = [low, high]
        return {**result, "intervals_ms": stretches}

    def feed(self, line):
        """Takes one line; True if it changed a loss or a test's value."""
        prefixed = PREFIX.fullmatch(line.rstrip("\n"))
        if not prefixed:
            return False
        message = prefixed[1]
        if message.startswith(("Starting Optimization", "Snapshotting to")):
            self._start = None
        elif match := TESTING.fullmatch(message):
            self._test = int(match[1]), int(match[2])
            self._start = None
        elif match := OUTPUT.match(message):
            outputs = self.tests.setdefault(self._test, {})
            outputs[match[1]] = float(match[2])
            return True
        elif match := TIMED.fullmatch(message):
            self._time(int(match[1]), float(match[2]), int(match[3]))
            self.losses[int(match[1])] = float(match[4])
            return True
        elif match := LOSS.fullmatch(message):
            self.losses[int(match[1])] = float(match[2])
            return True
        return False

    def _time(self, iteration, seconds, display):
        if self._start is not None and iteration - self._start == display:
            self.seconds_per_iteration.append(seconds / display)
        self._start = iteration


def tested(experiment, log):
    """{(iteration, number of the test net): values} of all tests, values
    with the split's name if there are several; a test that Caffe is still
    printing is left out."""
    values = {}
    for (iteration, net), outputs in sorted(log.tests.items()):
        split = experiment.splits[net]
        if experiment.outputs <= outputs.keys():
            several = {"split": split} if len(experiment.splits) > 1 else {}
            scores = experiment.scores(split, outputs)
            values[iteration, net] = {**several, **scores}
    return values


def progress(experiment, log):
    """The last loss and the first test net's last accuracy or perplexity,
    for the progress bar."""
    values = {}
    if log.losses:
        loss = log.losses[max(log.losses)] / experiment.loss_weight
        values["loss"] = f"{loss:.3f}"
    tests = [
        outputs
        for (_, net), outputs in tested(experiment, log).items()
        if net == 0
    ]
    for name in ("accuracy", "perplexity"):
        if tests and name in tests[-1]:
            values[name] = f"{tests[-1][name]:.5g}"
    return values
