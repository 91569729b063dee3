"""Hosts made of network namespaces on one machine, behind one switch.

Each host has a name, an address, the cores that its processes may use, and one
link to the switch whose speed is set both ways by tc's token bucket. Needs
Linux, root, and iproute2's ip and tc. The link's latency is that of the
machine: not every kernel can add to it (tc's netem), so measure it, link.py.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

PROGRAMS = ("ip", "tc", "unshare", "taskset")
# Of the token bucket: more than the largest packet that TCP gives to a link,
# 64 KiB, which would otherwise be cut up by the processor.
BURST_BYTES = 128 << 10
BUFFER_MS = 10  # what a link holds at most

# mpirun calls it as it would ssh, with a host's address and a command.
LAUNCHER = """\
#!{python}
import os, sys
enter = {enter}[sys.argv[1]]
os.execvp(enter[0], [*enter, "sh", "-c", " ".join(sys.argv[2:])])
"""


class HostsError(Exception):
    """Hosts that cannot be made, and why."""


def missing():
    """Why there can be no hosts here, None if there can."""
    if not sys.platform.startswith("linux"):
        return "hosts are network namespaces, which only Linux has"
    if os.geteuid() != 0:
        return "network namespaces want root"
    lacking = [name for name in PROGRAMS if not shutil.which(name)]
    if lacking:
        return f"no {' and '.join(lacking)} (Debian: iproute2, util-linux)"
    return None


def call(*command):
    """Runs a command of ip's or tc's; what it printed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise HostsError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


class Hosts:
    """`count` hosts, until the end of a `with`.

    Host i has core i, modulo the machine's. names, addresses: of each.
    """

    def __init__(self, count):
        label = f"dropout{os.getpid()}"
        self.switch = f"{label}-switch"
        self.names = [f"{label}-{i}" for i in range(count)]
        self.addresses = [f"10.77.0.{i + 1}" for i in range(count)]
        self.cores = [i % os.cpu_count() for i in range(count)]

    def __enter__(self):
        try:
            self._make()
        except HostsError:
            self.__exit__()
            raise
        return self

    def _make(self):
        call("ip", "netns", "add", self.switch)
        switch = "ip", "-n", self.switch, "link"
        call(*switch, "add", "switch", "type", "bridge")
        call(*switch, "set", "switch", "up")
        for i, (name, address) in enumerate(zip(self.names, self.addresses)):
            call("ip", "netns", "add", name)
            call(
                *(*switch, "add", f"port{i}", "type", "veth"),
                *("peer", "name", "eth0", "netns", name),
            )
            call(*switch, "set", f"port{i}", "master", "switch", "up")
            call(
                "ip", "-n", name, "addr", "add", f"{address}/24", "dev", "eth0"
            )
            call("ip", "-n", name, "link", "set", "lo", "up")
            call("ip", "-n", name, "link", "set", "eth0", "up")

    def __exit__(self, *_):
        for name in (*self.names, self.switch):
            subprocess.run(
                ["ip", "netns", "del", name], capture_output=True, check=False
            )

    def shape(self, gbit):
        """Sets the speed of all links, each way."""
        ends = [(name, "eth0") for name in self.names]
        ends += [(self.switch, f"port{i}") for i in range(len(self.names))]
        for name, device in ends:
            call(
                *("tc", "-n", name, "qdisc", "replace", "dev", device, "root"),
                *("tbf", "rate", f"{gbit}gbit", "burst", str(BURST_BYTES)),
                *("latency", f"{BUFFER_MS}ms"),
            )

    def sent_bytes(self):
        """What each host has put on its link so far, headers included."""
        totals = []
        for name in self.names:
            text = call("ip", "-n", name, "-s", "-j", "link", "show", "eth0")
            totals.append(json.loads(text)[0]["stats64"]["tx"]["bytes"])
        return totals

    def enter(self, i):
        """What to put before a command that is to run on host i."""
        named = f'hostname {self.names[i]}; exec "$@"'
        return [
            *("ip", "netns", "exec", self.names[i]),
            *("unshare", "--uts", "sh", "-c", named, "sh"),
            *("taskset", "-c", str(self.cores[i])),
        ]

    def mpirun(self, folder, ranks):
        """Open MPI's mpirun on host 0 for one rank on each of the first
        hosts; its launcher is written into a folder."""
        launcher = Path(folder, "launcher")
        enter = {a: self.enter(i) for i, a in enumerate(self.addresses)}
        launcher.write_text(
            LAUNCHER.format(python=sys.executable, enter=json.dumps(enter))
        )
        launcher.chmod(0o755)
        settings = {
            "plm_rsh_agent": launcher,
            "btl": "tcp,self",
            "btl_tcp_if_include": "eth0",
            "oob_tcp_if_include": "eth0",
        }
        return [
            *self.enter(0),
            *("mpirun", "--allow-run-as-root", "--bind-to", "none"),
            "--leave-session-attached",  # so that its time is ours
            *("-np", str(ranks), "-H", ",".join(self.addresses[:ranks])),
            *(w for k, v in settings.items() for w in ("--mca", k, str(v))),
        ]
