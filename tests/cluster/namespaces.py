"""One emulated host: the namespaces that a sleeping process holds, and what runs in them."""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil

TOOLS = ("ip", "tc", "unshare", "nsenter")
UNITS = {"kbit": 10**3, "mbit": 10**6, "gbit": 10**9}
PR_SET_PDEATHSIG = 1
GONE_S = 10.0

# What a kernel must be able to do, tried in namespaces that end with it.
TRIAL = """
mount -t tmpfs tmpfs /dev/shm
ip link add n1 type veth peer name eth0
ip link add br0 type bridge
tc qdisc add dev n1 root tbf rate 1gbit burst 131072 latency 20ms
"""


class ClusterError(Exception):
    """The emulated cluster cannot do what was asked."""


@dataclass(frozen=True)
class Host:
    """One host, or the switch: the process that holds its namespaces."""

    name: str
    address: str
    pid: int
    started_s: float
    network: str

    @property
    def is_up(self) -> bool:
        """Whether the holder still runs, and is no later process with the same id."""
        try:
            same = psutil.Process(self.pid).create_time() == self.started_s
        except psutil.Error:
            return False
        return same and network_of(self.pid) == self.network

    def processes(self) -> list[int]:
        """Ids of what runs in the host, besides its holder."""
        if not self.is_up:
            return []
        return [p for p in psutil.pids() if p != self.pid and network_of(p) == self.network]

    def argv(self, command: list[str], folder: str = "/") -> list[str]:
        """The command line that runs `command` in the host."""
        enter = ["nsenter", "-t", str(self.pid), "-n", "-u", "-i", "-m", "env", "-C", folder]
        return [*enter, *map(str, command)]

    def call(self, command: str) -> str:
        """Run a command of plain words in the host; what it printed. Raises ClusterError."""
        done = subprocess.run(self.argv(command.split()), capture_output=True, text=True)
        if done.returncode:
            raise ClusterError(f"{self.name}: {command}: {done.stderr.strip()}")
        return done.stdout


def why_not() -> str | None:
    """Why no cluster can be emulated here, or None."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "an emulated cluster needs Linux and root"
    if missing := [tool for tool in TOOLS if not shutil.which(tool)]:
        return f"an emulated cluster needs {', '.join(missing)}: install iproute2 and util-linux"
    done = subprocess.run(
        ["unshare", "-n", "-u", "-i", "-m", "sh", "-ec", TRIAL], capture_output=True, text=True
    )
    if done.returncode:
        return f"this kernel or container refuses namespaces or links: {done.stderr.strip()}"
    return None


def bits_per_second(rate: str) -> int:
    """Of "250mbit" or "1gbit"; raises ClusterError."""
    number, unit = rate[:-4], rate[-4:]
    try:
        return int(float(number) * UNITS[unit])
    except (KeyError, ValueError):
        raise ClusterError(f"{rate!r} is no rate: write 250mbit or 1gbit") from None


def network_of(pid: int) -> str | None:
    """The network namespace of a process, None when it is gone or a zombie."""
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:
        return None


def end_all(processes: Callable[[], list[int]]) -> None:
    """SIGKILL what `processes()` lists until it lists nothing: a process may be starting another.

    Raises ClusterError when some outlive GONE_S.
    """
    deadline = time.monotonic() + GONE_S
    while left := processes():
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise ClusterError(f"processes {left} did not end within {GONE_S:.0f} s of SIGKILL")
        time.sleep(0.005)


def end_with_parent() -> None:
    """Between fork and exec: be killed when the parent dies, however it dies."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
