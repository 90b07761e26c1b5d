"""A cluster emulated on one Linux machine: hosts as namespaces, real TCP over shaped links.

Hosts n1 ... nN have a network, host name, mounts, IPC and /dev/shm of their own. `eth0` of each
leads to a bridge, which has a network namespace of its own too, and both ends of every link are
shaped by a token bucket. The machine's own network is never touched. A host is held by one sleeping
process: when that and what runs in the host are gone, the kernel removes all that was made.

    with emulated(4, "1gbit") as cluster:
        cluster.run(["mpirun", "-n", "4", "python", "program.py"])

or from a shell, `python tests/cluster/hosts.py up 4 --rate 1gbit`, then `run`, ..., `down`. Needs
root, iproute2 and util-linux; `why_not()` says what is missing.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import psutil
from cyclopts import App

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent)]

from cluster.namespaces import (  # noqa: E402
    ClusterError,
    Host,
    bits_per_second,
    end_all,
    end_with_parent,
    network_of,
    why_not,
)

from batchgnn.base.environment import RANK_VARIABLES, SIZE_VARIABLES  # noqa: E402
from batchgnn.launch.mpirun import THREAD_VARIABLES, root_environment  # noqa: E402

SUBNET = "10.77.0"
SWITCH = "switch"
LEAST_BURST_BYTES = 1 << 17  # two of TCP's largest segments

# Said in the holder's own namespaces; the last line leaves one process, under the same id.
HOLD = """
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /dev/shm
mount --bind "$1" /etc/hosts
hostname "$2"
ip link set lo up
echo 1 2>/dev/null > /proc/sys/net/ipv6/conf/all/disable_ipv6 || :
echo reno 2>/dev/null > /proc/sys/net/ipv4/tcp_congestion_control || :
echo ready
exec sleep infinity >/dev/null 2>&1
"""

# What mpirun calls in place of ssh: AGENT [OPTIONS] HOST COMMAND.
AGENT = """#!/bin/sh
while [ "${1#-}" != "$1" ]; do shift; done
host=$1; shift
exec nsenter -t "$(cat '%s'/"$host.pid")" -n -u -i -m env -C "$PWD" /bin/sh -c "$*"
"""


class Cluster:
    """The hosts whose state is in a folder."""

    def __init__(self, state: Path, hosts: dict[str, Host] | None = None):
        self.state, self.hosts = state.absolute(), hosts or {}
        self.switch: Host | None = None
        self._holders: list[subprocess.Popen] = []

    def up(self, num_hosts: int, rate: str | None = None, slots: int = 1, *, stay: bool = False):
        """Make the hosts, with `slots` ranks each, and shape their links.

        stay: they outlive this process. Raises ClusterError; `down` removes what was made so far.
        """
        if reason := why_not():
            raise ClusterError(reason)
        names = [f"n{i}" for i in range(1, num_hosts + 1)]
        addresses = {name: f"{SUBNET}.{i}" for i, name in enumerate(names, 1)}
        lines = ["127.0.0.1 localhost", *(f"{a} {name}" for name, a in addresses.items())]
        (self.state / "tmp").mkdir()
        (self.state / "hosts").write_text("\n".join(lines) + "\n")
        (self.state / "hostfile").write_text("".join(f"{n} slots={slots}\n" for n in names))
        (self.state / "agent").write_text(AGENT % self.state)
        (self.state / "agent").chmod(0o755)
        self.switch = self._hold(SWITCH, "", stay)
        self.switch.call("ip link add br0 type bridge stp_state 0 forward_delay 0")
        self.switch.call("ip link set br0 up")
        for name, address in addresses.items():
            self.hosts[name] = self._hold(name, address, stay)
            self._connect(self.hosts[name])
        self.shape(rate)

    def _hold(self, name: str, address: str, stay: bool) -> Host:
        """New namespaces, held by a sleeping process."""
        holder = subprocess.Popen(
            ["unshare", "-n", "-u", "-i", "-m", "--propagation", "private",
             "sh", "-euc", HOLD, "sh", str(self.state / "hosts"), name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=None,
            text=True,
            start_new_session=True,
            preexec_fn=None if stay else end_with_parent,
        )  # fmt: skip
        assert holder.stdout is not None
        with holder.stdout as said:
            ready = said.readline()
        if ready != "ready\n":
            holder.kill()
            holder.wait()
            raise ClusterError(f"{name}: its namespaces could not be made; see the line above.")
        started_s = psutil.Process(holder.pid).create_time()
        host = Host(name, address, holder.pid, started_s, network_of(holder.pid) or "")
        self._holders.append(holder)
        (self.state / f"{name}.json").write_text(json.dumps(asdict(host)))
        (self.state / f"{name}.pid").write_text(f"{host.pid}\n")
        return host

    def _connect(self, host: Host) -> None:
        assert self.switch is not None
        pair = f"ip link add {host.name} type veth peer name eth0 netns {host.pid}"
        self.switch.call(pair)
        self.switch.call(f"ip link set {host.name} master br0 up")
        host.call(f"ip address add {host.address}/24 dev eth0")
        host.call("ip link set eth0 up")

    @classmethod
    def load(cls, state: Path) -> "Cluster":
        """The cluster that another process left in a folder; raises ClusterError."""
        found = [Host(**json.loads(f.read_text())) for f in state.glob("*.json")]
        if not found:
            raise ClusterError(f"{state}: no cluster is up here. Make one: hosts.py up 4")
        hosts = {host.name: host for host in found}
        cluster = cls(state)
        cluster.switch = hosts.pop(SWITCH, None)
        cluster.hosts = {name: hosts[name] for name in sorted(hosts, key=lambda n: int(n[1:]))}
        return cluster

    def down(self) -> None:
        """End everything that runs in the hosts, then the hosts; remove the folder's content."""
        made = [*self.hosts.values(), *([self.switch] if self.switch else [])]
        end_all(lambda: [pid for host in made for pid in host.processes()])
        end_all(lambda: [host.pid for host in made if host.is_up])
        for holder in self._holders:
            holder.wait()
        for path in self.state.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.hosts, self.switch, self._holders = {}, None, []

    def shape(self, rate: str | None) -> None:
        """Let both ends of every link pass at most `rate`, such as "250mbit"; None: no limit."""
        assert self.switch is not None
        for host in self.hosts.values():
            for end, device in ((host, "eth0"), (self.switch, host.name)):
                with contextlib.suppress(ClusterError):  # there may be no limit yet
                    end.call(f"tc qdisc del dev {device} root")
                if rate is not None:
                    burst = max(int(bits_per_second(rate) / 8000), LEAST_BURST_BYTES)
                    limit = f"root tbf rate {rate} burst {burst} latency 20ms"
                    end.call(f"tc qdisc add dev {device} {limit}")

    def bytes(self) -> dict[str, tuple[int, int]]:
        """Bytes that each host has sent and received on its link."""
        counted = {}
        for name, host in self.hosts.items():
            link = json.loads(host.call("ip -j -s link show dev eth0"))[0]
            counted[name] = link["stats64"]["tx"]["bytes"], link["stats64"]["rx"]["bytes"]
        return counted

    def cut(self, host: str) -> None:
        """Take a host's link down at the switch."""
        self._port(host, "down")

    def heal(self, host: str) -> None:
        """Take a host's link up again."""
        self._port(host, "up")

    def _port(self, host: str, state: str) -> None:
        assert self.switch is not None
        self.switch.call(f"ip link set {self.host(host).name} {state}")

    def kill(self, host: str) -> None:
        """SIGKILL all that runs in a host; the host itself stays."""
        end_all(self.host(host).processes)

    def host(self, name: str) -> Host:
        """The host of that name; raises ClusterError."""
        if name not in self.hosts:
            raise ClusterError(f"{name}: no such host. There are {', '.join(self.hosts)}.")
        return self.hosts[name]

    def environment(self, threads: int = 1) -> dict[str, str]:
        """What makes mpirun of Open MPI 5 or 4 start ranks on all hosts, over TCP, unbound."""
        agent, hostfile = str(self.state / "agent"), str(self.state / "hostfile")
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("OMPI_", "PRTE_", "PMIX_", "PMI_"))
            and key not in (*RANK_VARIABLES, *SIZE_VARIABLES)
        }
        return kept | root_environment(0) | dict.fromkeys(THREAD_VARIABLES, str(threads)) | {
            "TMPDIR": str(self.state / "tmp"),
            "PRTE_MCA_plm_ssh_agent": agent,
            "PRTE_MCA_prte_default_hostfile": hostfile,
            "PRTE_MCA_prte_if_include": "eth0",
            "PRTE_MCA_hwloc_default_binding_policy": "none",
            "OMPI_MCA_plm_rsh_agent": agent,
            "OMPI_MCA_orte_default_hostfile": hostfile,
            "OMPI_MCA_oob_tcp_if_include": "eth0",
            "OMPI_MCA_hwloc_base_binding_policy": "none",
            "OMPI_MCA_pml": "ob1",
            "OMPI_MCA_btl": "self,sm,tcp",
            "OMPI_MCA_btl_tcp_if_include": "eth0",
            "OMPI_MCA_btl_tcp_links": "2",
            "OMPI_MCA_mpi_yield_when_idle": "1",
        }  # fmt: skip

    def start(self, command: list[str], host: str = "n1", threads: int = 1, **options):
        """A subprocess.Popen of `command` in a host, in this folder; ended with this process."""
        environment = self.environment(threads) | options.pop("env", {})
        process = subprocess.Popen(
            self.host(host).argv(command, os.getcwd()),
            env=environment,
            start_new_session=True,
            preexec_fn=end_with_parent,
            **options,
        )
        while network_of(process.pid) == network_of(os.getpid()):  # else `kill` may miss it
            time.sleep(0.001)
        return process

    def run(
        self, command: list[str], host: str = "n1", *, timeout_s: float | None = None, **options
    ) -> subprocess.CompletedProcess:
        """Run `command` in a host to its end; after `timeout_s` all that runs on hosts is killed.

        Raises subprocess.TimeoutExpired then.
        """
        process = self.start(command, host, **options)
        try:
            out, err = process.communicate(timeout=timeout_s)
        except BaseException:
            for name in self.hosts:
                self.kill(name)
            process.kill()
            process.communicate()
            raise
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@contextlib.contextmanager
def emulated(num_hosts: int, rate: str | None = None, slots: int = 1) -> Iterator[Cluster]:
    """A cluster for the time of a block, gone after it however it ends, by SIGTERM too."""
    with (
        _sigterm_raises(),
        tempfile.TemporaryDirectory(prefix="batchgnn-cluster-") as folder,
    ):
        cluster = Cluster(Path(folder))
        try:
            cluster.up(num_hosts, rate, slots)
            yield cluster
        finally:
            with _signals_wait():
                cluster.down()


@contextlib.contextmanager
def _sigterm_raises() -> Iterator[None]:
    """SIGTERM leaves the block as SystemExit(143), so that what it holds is given back."""

    def leave(number, _):
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _signals_wait() -> Iterator[None]:
    """Signals that would end the block halfway are delivered after it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


app = App(name="hosts.py", help=__doc__)
STATE = Path("/run/batchgnn-cluster")


@app.command(name="up")
def command_up(hosts: int, *, rate: str | None = None, slots: int = 1, state: Path = STATE) -> None:
    """Make hosts n1 ... nN, with so many slots for ranks each, on links of a rate (1gbit)."""
    try:
        state.mkdir(parents=True)
    except FileExistsError:
        raise ClusterError(f"{state} exists: hosts.py down first, or another --state") from None
    cluster = Cluster(state)
    try:
        cluster.up(hosts, rate, slots, stay=True)
    except BaseException:
        cluster.down()
        state.rmdir()
        raise


@app.command(name="run")
def command_run(*command: str, on: str = "n1", state: Path = STATE) -> int:
    """Run a command on one host, with what makes mpirun start ranks on all: run -- mpirun ..."""
    return Cluster.load(state).run(list(command), on).returncode


@app.command(name="rate")
def command_rate(rate: str, *, state: Path = STATE) -> None:
    """Shape every link anew: 250mbit, 1gbit, or none."""
    Cluster.load(state).shape(None if rate == "none" else rate)


@app.command(name="bytes")
def command_bytes(*, state: Path = STATE) -> None:
    """Bytes that each host has sent and received."""
    for name, (sent, received) in Cluster.load(state).bytes().items():
        print(f"{name} tx {sent} rx {received}")


@app.command(name="cut")
def command_cut(host: str, *, state: Path = STATE) -> None:
    """Take a host's link down."""
    Cluster.load(state).cut(host)


@app.command(name="heal")
def command_heal(host: str, *, state: Path = STATE) -> None:
    """Take a host's link up again."""
    Cluster.load(state).heal(host)


@app.command(name="kill")
def command_kill(host: str, *, state: Path = STATE) -> None:
    """SIGKILL all that runs on a host."""
    Cluster.load(state).kill(host)


@app.command(name="down")
def command_down(*, state: Path = STATE) -> None:
    """End everything, leave nothing."""
    Cluster.load(state).down()
    state.rmdir()


if __name__ == "__main__":
    try:
        sys.exit(app())
    except ClusterError as error:
        sys.exit(f"hosts.py: {error}")
