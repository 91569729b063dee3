#!/usr/bin/python3
"""Times training steps of several ranks on hosts with a network of their own,
and models those of more.

The hosts are network namespaces of this machine, joined by links of the given
speeds (distributed/hosts.py); each has one core, and one rank. Needs root,
iproute2, Open MPI and `make mpi`, and the data of `make data ptb-data`; the
language model's ranks need more streams of text, prepared here. Each net is
timed alone, one on each host without exchange, and with exchange, of what is
kept and of whole gradients. Where there are fewer cores than ranks, only bytes
are counted.

Writes ranks_N.json, after every run, then table.md, model.json and model.png
from all such files in the folder; --report does the latter only.
"""

import argparse
import datetime
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

from distributed import hosts, rank_nets, report, runs
from measure import turns
from measure.command_line import add_options, chosen_names
from nets import registry
from project import (
    ROOT,
    command_line,
    commit,
    import_caffe,
    is_clean,
    machine,
    read_json,
    shown,
    write_whole,
)
from training.run import TrainingError, data_source

LINK = ROOT / "scripts/distributed/link.py"


def prepare(net, ranks):
    """Looks up the data of one rank and of all, prepares what other streams
    need. TrainingError if the rest is not there."""
    for count in (1, ranks):
        experiment = net.data(count)
        if not experiment:
            return
        try:
            data_source(experiment)
        except TrainingError:
            if count == 1 or experiment.workload != "ptb":
                raise
            command = registry.preparation(experiment)
            subprocess.run([sys.executable, *command], cwd=ROOT, check=True)


def measure_links(group, speeds):
    """{speed: what TCP reaches}, between the first two hosts."""
    found = {}
    for gbit in speeds:
        group.shape(gbit)
        serve = [sys.executable, LINK, "serve", group.addresses[1]]
        with subprocess.Popen([*group.enter(1), *serve]) as server:
            try:
                command = [sys.executable, LINK, "measure", group.addresses[1]]
                answer = hosts.call(*group.enter(0), *map(str, command))
            finally:
                server.terminate()
        found[f"{gbit:g}"] = json.loads(answer)
    return found


def settings(options, names):
    now = datetime.datetime.now(datetime.timezone.utc)
    every = rank_nets.rank_nets(options.quick)
    return {
        "command": command_line(),
        "machine": machine(),
        "commit": commit(),
        "date": now.isoformat(timespec="seconds"),
        "ranks": options.ranks,
        "only_bytes": machine()["cores"] < options.ranks,
        "nets": {name: every[name].described() for name in names},
        "runs": [],
    }


def keep_others(path, results):
    """Takes over what the file has of other nets; ValueError if that is of
    another commit or machine, and would be lost."""
    earlier = read_json(path) if path.exists() else {"nets": {}, "runs": []}
    others = earlier["nets"].keys() - results["nets"].keys()
    if not others:
        return
    same = all(
        earlier[name] == results[name]
        for name in ("machine", "commit", "only_bytes")
    )
    if not same or not is_clean(results["commit"]):
        raise ValueError(
            f"{shown(path)} has {', '.join(sorted(others))} of commit "
            f"{earlier['commit']} on {earlier['machine']['cpu']}: measure "
            "them, too, or name another folder by -o"
        )
    results["nets"] |= {name: earlier["nets"][name] for name in others}
    results["runs"] += [x for x in earlier["runs"] if x["net"] in others]


def measure(options, names):
    """Measures and writes ranks_N.json."""
    os.environ.setdefault("GLOG_minloglevel", "2")
    import_caffe()
    path = options.output / f"ranks_{options.ranks}.json"
    every = rank_nets.rank_nets(options.quick)
    for name in names:
        prepare(every[name], options.ranks)
    results = settings(options, names)
    keep_others(path, results)
    start_s = time.monotonic()
    busy_s, used_s = turns.busy_seconds(), turns.used_seconds()
    with (
        hosts.Hosts(options.ranks) as group,
        tempfile.TemporaryDirectory() as folder,
    ):
        results["links"] = measure_links(group, options.gbit)
        cases = runs.cases(options.ranks, options.gbit, results["only_bytes"])
        for name in names:
            for _ in range(1 if results["only_bytes"] else every[name].rounds):
                for case in cases:
                    print(f"{name}: {case.title}", file=sys.stderr)
                    found = runs.run(every[name], case, group, folder)
                    results["runs"].append(found)
                    busy = turns.busy_seconds() - busy_s
                    busy -= turns.used_seconds() - used_s
                    busy /= time.monotonic() - start_s
                    results["others_busy_cores"] = busy
                    write_whole(path, json.dumps(results, indent=1) + "\n")
    if not results["only_bytes"]:
        turns.warn_of_others(path.name, results["others_busy_cores"])


def main(arguments=None):
    """Runs the command line."""
    known = list(rank_nets.rank_nets())
    parser = argparse.ArgumentParser(description=__doc__)
    add_options(parser, "net", known, ROOT / "runs/ranks")
    parser.add_argument("--ranks", type=int, default=2, help="(%(default)s)")
    parser.add_argument(
        "--gbit", type=float, nargs="+", default=[10, 1], help="(%(default)s)"
    )
    parser.add_argument(
        "--report", action="store_true", help="write table and model only"
    )
    options = parser.parse_args(arguments)
    names = chosen_names(parser, options, "net", known)
    if options.ranks < 2:
        parser.error(f"--ranks is {options.ranks}, must be at least 2")
    if min(options.gbit) <= 0:
        parser.error(f"--gbit is {options.gbit}, must be above 0")
    if not options.report and (why := hosts.missing()):
        print(f"measure_ranks.py: {why}; nothing is timed", file=sys.stderr)
        return 1
    try:
        options.output.mkdir(parents=True, exist_ok=True)
        if not options.report:
            measure(options, names)
        report.write(options.output)
    except (
        hosts.HostsError, runs.RunError, TrainingError, ImportError, ValueError,
        OSError,
    ) as error:  # fmt: skip
        print(f"measure_ranks.py: {error}", file=sys.stderr)
        return 1
    print((options.output / "table.md").read_text())
    return 0


if __name__ == "__main__":
    # So that hosts and ranks end with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
