"""Trainings of a net on hosts, and what their logs say.

alone: one rank, while the other hosts idle. side by side: one on each host,
each for itself, so that they share the machine as those do that exchange
gradients, but not the network. Times of a step are medians over stretches of
the log, the first left out.
"""

import dataclasses
import os
import re
import statistics
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from approx_dropout.caffe_log import CaffeLog
from nets.text import to_text
from project import ROOT
from training.caffe_process import LOGGING

CAFFE = ROOT / "build/bin/caffe"
LOG_LINES_SHOWN = 20
TOTALS = re.compile(
    r"Gradients of a step: (\S+) of (\S+) bytes .* took (\S+) ms; "
    r"rank 0 waited (\S+) ms"
)
WHOLE = "CAFFE_SEND_WHOLE_GRADIENTS"
ALONE, BESIDE, EXCHANGE = "alone", "side by side", "exchange"


class RunError(Exception):
    """A training that did not end well, with its log's last lines."""


@dataclasses.dataclass(frozen=True)
class Case:
    """kind: ALONE, BESIDE or EXCHANGE. gbit: the links' speed; whole: whether
    whole gradients travel, not only what is kept."""

    kind: str
    ranks: int = 1
    gbit: float = 0
    whole: bool = False

    @property
    def title(self):
        if self.kind != EXCHANGE:
            return self.kind
        what = "whole gradients" if self.whole else "kept rows"
        return f"{self.ranks} ranks, {self.gbit:g} Gbit/s, {what}"


def cases(hosts, speeds, only_bytes):
    """What a net is timed with. only_bytes: there are fewer cores than hosts,
    so that times would mean nothing."""
    exchanges = [
        Case(EXCHANGE, hosts, gbit, whole)
        for gbit in speeds
        for whole in (False, True)
    ]
    if only_bytes:
        return exchanges
    return [Case(ALONE), Case(BESIDE, hosts), *exchanges]


def write_files(net, case, folder):
    """Writes net and solver of one rank; the solver's file."""
    sharing = case.ranks if case.kind == EXCHANGE else 1
    net_file = folder / "net.prototxt"
    net_file.write_text(to_text(net.net(sharing)))
    solver = folder / "solver.prototxt"
    solver.write_text(to_text(net.solver(net_file)))
    return solver


def environment(case):
    whole = {WHOLE: "1"} if case.whole else {}
    threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return {**os.environ, **LOGGING, **threads, **whole}


def commands(case, hosts, solver, folder):
    """One command, or one for each host."""
    train = [CAFFE, "train", f"--solver={solver}"]
    if case.kind == EXCHANGE:
        return [[*hosts.mpirun(folder, case.ranks), *train]]
    return [[*hosts.enter(i), *train] for i in range(case.ranks)]


def read(process, hosts, iterations):
    """The log of a process, as it is and as text, and what each host had sent
    when iterations of that range were logged: [(iteration, bytes of each)]."""
    log, lines, sent = CaffeLog(), [], []
    for line in process.stdout:
        lines.append(line)
        if log.feed(line) and max(log.losses) in iterations:
            sent.append((max(log.losses), hosts.sent_bytes()))
    if process.wait():
        raise RunError("".join(lines[-LOG_LINES_SHOWN:]))
    return log, "".join(lines), sent


def end(process):
    """Ends a process that may have ended; mpirun ends its ranks then."""
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def run(net, case, hosts, folder):
    """Trains; what there is to say of it, as a dict."""
    folder = Path(folder)
    if case.gbit:
        hosts.shape(case.gbit)
    solver = write_files(net, case, folder)
    options = {
        "stdout": subprocess.PIPE,
        "stderr": subprocess.STDOUT,
        "text": True,
        "cwd": ROOT,
        "env": environment(case),
    }
    # Lines that come at the same point of a step, the first left out.
    lines = range(net.interval, net.interval * (net.intervals + 1) + 1)
    processes = []
    with ThreadPoolExecutor() as pool:
        try:
            for command in commands(case, hosts, solver, folder):
                processes.append(subprocess.Popen(command, **options))
            found = list(
                pool.map(lambda each: read(each, hosts, lines), processes)
            )
        finally:
            for each in processes:
                end(each)
    intervals_ms = [log.timing()["intervals_ms"][1:] for log, _, _ in found]
    result = {
        "net": net.name,
        **dataclasses.asdict(case),
        "intervals_ms": intervals_ms,
        "step_ms": statistics.mean(map(statistics.median, intervals_ms)),
    }
    if case.kind == EXCHANGE:
        result |= exchanged(*found[0][1:])
    return result


def exchanged(text, sent):
    """What the log's last line says, and what the links carried."""
    totals = TOTALS.search(text)
    if not totals:
        raise RunError(f"{text[-2000:]}\nIt does not say what was exchanged")
    names = "sent_bytes", "whole_bytes", "taken_ms", "waited_ms"
    (first, before), (last, after) = sent[0], sent[-1]
    wire = [(b - a) / (last - first) for a, b in zip(before, after)]
    return {
        **dict(zip(names, map(float, totals.groups()))),
        "wire_bytes": statistics.mean(wire),
    }
