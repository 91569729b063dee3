"""Where numbers come from: the machine and the commit."""

import contextlib
import os
import platform
import subprocess

from experiments import ROOT


def machine():
    """Processor, cores and thread settings, as far as they set the speed."""
    model = platform.processor()
    with contextlib.suppress(OSError), open("/proc/cpuinfo") as lines:
        names = [line for line in lines if line.startswith("model name")]
        model = names[0].split(":", 1)[1].strip() if names else model
    threads = {
        name: os.environ[name]
        for name in (
            "OPENBLAS_NUM_THREADS",
            "OMP_NUM_THREADS",
            "OMP_WAIT_POLICY",
            "GOMP_SPINCOUNT",
        )
        if name in os.environ
    }
    return {"cpu": model, "cores": os.cpu_count(), **threads}


def commit():
    """The working tree's commit, with -dirty if files differ from it."""
    command = "git describe --always --dirty --abbrev=12 --exclude *"
    try:
        result = subprocess.run(
            command.split(), cwd=ROOT, capture_output=True, text=True
        )
    except FileNotFoundError:  # no git, in an image
        return "unknown"
    return result.stdout.strip() or "unknown"
