"""Training steps timed side by side, each net in a process of its own.

The processes take turns, some steps at a time, so that a machine that slows
down slows all of them. They answer as tools/step_times.cpp says. Needs
nothing but Python, so that it can travel.
"""

import contextlib
import math
import subprocess

from measure.timing import WARM_UP_STEPS, compared


class StepProcess:
    """One net in its process.

    label: what it is called; command and options (env, cwd): of the process,
    which is started at once; log: open file for its messages.
    steps_per_call: how many are asked for at a time; 0: all.
    """

    def __init__(self, label, command, log, steps_per_call=0, **options):
        self.label, self.steps_per_call = label, steps_per_call
        self.wall_ms, self.processor_ms, self.peak_bytes = [], [], 0
        self.process = subprocess.Popen(
            command,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            **options,
        )

    def step(self, count, record=True):
        """Takes steps; returns the last one's loss. Raises RuntimeError if
        the process ended or the loss is not a finite number."""
        wall_s = processor_s = 0
        for left in range(count, 0, -(self.steps_per_call or count)):
            part = self._call(min(left, self.steps_per_call or count))
            wall_s, processor_s = wall_s + part[0], processor_s + part[1]
        if record:
            self.wall_ms.append(wall_s / count * 1e3)
            self.processor_ms.append(processor_s / count * 1e3)
            self.peak_bytes = int(part[2])
        return part[3]

    def _call(self, count):
        """Asks for steps once; the numbers of the answer."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(f"{count}\n")
            self.process.stdin.flush()
        answer = self.process.stdout.readline().split()
        if len(answer) != 5 or answer[0] != "seconds":
            raise RuntimeError(f"{self.label}: its process ended")
        numbers = [float(number) for number in answer[1:]]
        if not math.isfinite(numbers[3]):
            raise RuntimeError(f"{self.label}: the loss is {numbers[3]}")
        return numbers

    def end(self):
        """Ends the process; may be called twice."""
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(BrokenPipeError):  # what it never read
            self.process.stdin.close()
        self.process.stdout.close()


def take_turns(workers, rounds, steps, progress=lambda turns, _: turns):
    """Warms up, then times `steps` of each worker `rounds` times.

    progress: wraps what is iterated over, given its description.
    """
    for worker in progress(workers, "warm-up"):
        worker.step(WARM_UP_STEPS, record=False)
    for _ in progress(range(rounds), "rounds"):
        for worker in workers:
            worker.step(steps)


def row(worker, baseline):
    """A worker's medians, and its ratio to the baseline in each round."""
    times = compared(worker.wall_ms, worker.processor_ms, baseline.wall_ms)
    return {
        "case": worker.label,
        **times,
        "peak_bytes": worker.peak_bytes,
    }


def table(rows):
    """The rows as Markdown, with the bound where rows have one."""
    bounded = any("bound" in row for row in rows)
    lines = [
        "| case | ms/step | speed-up (min–max of rounds) | peak MB |",
        "| --- | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {row['case']} | {row['wall_ms']:.2f} | {row['speed_up']:.2f} "
        f"({row['speed_up_min']:.2f}–{row['speed_up_max']:.2f}) | "
        f"{row['peak_bytes'] / 1e6:.0f} |"
        for row in rows
    ]
    if bounded:
        ends = [" bound |", " ---: |", *(f" {r['bound']:.2f} |" for r in rows)]
        lines = [line + end for line, end in zip(lines, ends)]
    return "\n".join(lines)
