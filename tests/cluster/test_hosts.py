"""The emulated cluster does what benches and fault tests rely on, and leaves nothing behind."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from cluster.hosts import emulated
from cluster.namespaces import ClusterError, bits_per_second, network_of, why_not

from batchgnn.launch.mpirun import find_mpirun

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
REASON = why_not()
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(REASON is not None, reason=str(REASON)),
]
HOLD_UNTIL_TOLD = """
import signal, sys, time
from cluster.hosts import emulated
signal.signal(signal.SIGINT, signal.default_int_handler)
with emulated(2) as cluster:
    cluster.start(["sleep", "1000"], "n2")
    print(cluster.state, cluster.switch.network, *(h.network for h in cluster.hosts.values()))
    sys.stdout.flush()
    time.sleep(1000)
"""
LISTEN = """
import socket
with socket.create_server(("", 5000)) as server:
    print("listening", flush=True)
    while True:
        server.accept()[0].close()
"""
CONNECT = """
import socket
socket.create_connection(("n2", 5000), timeout=2).close()
"""


def mpirun(cluster, *argv, ranks=4):
    """What rank 0 printed, as JSON."""
    command = [find_mpirun().path, "-n", str(ranks), sys.executable, *map(str, argv)]
    done = cluster.run(command, stdout=subprocess.PIPE, text=True, timeout_s=60)
    assert done.returncode == 0, done.stdout
    return json.loads(done.stdout)


def networks(cluster):
    return {cluster.switch.network, *(host.network for host in cluster.hosts.values())}


def left_in(networks):
    """Processes that still hold one of these network namespaces."""
    return [p for p in psutil.pids() if network_of(p) in networks]


def mounts():
    return Path("/proc/self/mounts").read_text()


def links():
    return sorted(os.listdir("/sys/class/net"))


def shared_memory():
    """Of MPI ranks on a host n1, n2, ...; other jobs of this machine have its own name."""
    return [name for name in os.listdir("/dev/shm") if re.search(r"\bn\d+\b", name)]


@pytest.fixture
def untouched(tmp_path, monkeypatch):
    """The machine's mounts, links and temporary files are as before."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = mounts(), links(), shared_memory()
    yield
    assert (mounts(), links(), shared_memory()) == before
    assert list(tmp_path.iterdir()) == []


def test_ranks_see_four_hosts_and_links_count_what_was_sent(untouched):
    size, repeats = 1 << 20, 3
    with emulated(4) as cluster:
        before = cluster.bytes()
        seen = mpirun(cluster, HERE / "traffic.py", size, repeats)
        after = cluster.bytes()
        gone = networks(cluster)
    assert seen["hosts"] == ["n1", "n2", "n3", "n4"]
    assert seen["sent_bytes"] == 3 * size * repeats
    for name in seen["hosts"]:
        for direction in (0, 1):  # headers, the launch and the barriers come on top
            counted = after[name][direction] - before[name][direction]
            assert seen["sent_bytes"] <= counted <= 1.05 * seen["sent_bytes"] + 2e6
    assert not left_in(gone)


def test_a_shaped_all_to_all_has_the_rate_of_its_links():
    with emulated(4, "250mbit") as cluster:
        for rate in ("250mbit", "500mbit"):
            cluster.shape(rate)
            seen = mpirun(cluster, HERE / "traffic.py", 8_000_000, 4)
            share = 8 * seen["bytes_per_second"] / bits_per_second(rate)
            print(f"{rate}: {share:.2f} of the rate, barrier {1e6 * seen['barrier_s']:.0f} us")
            assert 0.5 <= share <= 1.0, rate
        cluster.shape(None)
        seen = mpirun(cluster, HERE / "traffic.py", 8_000_000, 4)
        print(f"unshaped: {8e-9 * seen['bytes_per_second']:.2f} Gbit/s")
        assert 8 * seen["bytes_per_second"] > bits_per_second("500mbit")


def test_hosts_have_memory_and_names_of_their_own():
    with emulated(2) as cluster:
        cluster.host("n1").call("touch /dev/shm/mine")
        assert cluster.host("n1").call("ls /dev/shm") == "mine\n"
        assert cluster.host("n2").call("ls /dev/shm") == ""
        assert cluster.host("n2").call("hostname") == "n2\n"
        assert not Path("/dev/shm/mine").exists()
        inodes = {
            (kind, os.readlink(f"/proc/{host.pid}/ns/{kind}"))
            for host in [*cluster.hosts.values(), cluster.switch]
            for kind in ("net", "uts", "mnt", "ipc")
        }
        assert len(inodes) == 4 * 3


def test_a_cut_link_passes_nothing_and_a_healed_one_does():
    with emulated(2) as cluster:
        server = cluster.start([sys.executable, "-c", LISTEN], "n2", stdout=subprocess.PIPE)
        assert server.stdout.readline() == b"listening\n"

        def connects():
            command = [sys.executable, "-c", CONNECT]
            return cluster.run(command, stderr=subprocess.DEVNULL, timeout_s=30).returncode == 0

        assert connects()
        cluster.cut("n2")
        assert not connects()
        cluster.heal("n2")
        assert connects()
        cluster.kill("n2")
        assert server.wait(10) == -signal.SIGKILL
        server.stdout.close()


def test_kill_ends_what_runs_on_one_host_only():
    with emulated(2) as cluster:
        sleeping = {name: cluster.start(["sleep", "1000"], name) for name in cluster.hosts}
        cluster.kill("n2")
        assert sleeping["n2"].wait(10) == -signal.SIGKILL
        assert sleeping["n1"].poll() is None
        assert cluster.host("n2").call("hostname") == "n2\n"
    assert sleeping["n1"].wait(10) == -signal.SIGKILL


def test_nothing_is_left_after_an_exception(untouched):
    with pytest.raises(ZeroDivisionError), emulated(3, "1gbit") as cluster:
        gone = networks(cluster)
        program = "from mpi4py import MPI; import time; MPI.COMM_WORLD.Barrier(); time.sleep(1000)"
        job = cluster.start([find_mpirun().path, "-n", "3", sys.executable, "-c", program])
        deadline = time.monotonic() + 30
        while len(left_in(gone)) < 4 + 3 + 3:  # holders, daemons, ranks
            assert time.monotonic() < deadline
            time.sleep(0.05)
        raise ZeroDivisionError
    assert not left_in(gone)
    assert job.wait(10) == -signal.SIGKILL


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_nothing_runs_on_after_the_owner_was_told_to_end(number, tmp_path):
    """After SIGKILL a few small files are left in the temporary folder, and nothing else."""
    owner = subprocess.Popen(
        [sys.executable, "-c", HOLD_UNTIL_TOLD],
        env=dict(os.environ) | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        state, *networks = owner.stdout.readline().split()
        assert len(left_in(networks)) == 4
        assert Path(state).parent == tmp_path
        owner.send_signal(number)
        status = owner.wait(20)
    finally:
        owner.kill()
        owner.wait()
        owner.stdout.close()
    if number == signal.SIGTERM:
        assert status == 128 + number
    if number == signal.SIGKILL:
        time.sleep(1)
    else:
        assert list(tmp_path.iterdir()) == []
    assert not left_in(networks)


def test_a_cluster_that_cannot_be_made_leaves_nothing(untouched, monkeypatch):
    """The third host fails: the two before it and the switch go."""
    from cluster import hosts

    made = []
    hold = hosts.Cluster._hold

    def failing(self, name, *rest):
        if name == "n3":
            raise ClusterError("no room")
        made.append(hold(self, name, *rest))
        return made[-1]

    monkeypatch.setattr(hosts.Cluster, "_hold", failing)
    with pytest.raises(ClusterError, match="no room"), emulated(3):
        pass
    assert len(made) == 3
    assert not left_in({host.network for host in made})


def test_the_command_line_keeps_hosts_between_calls(tmp_path):
    state = tmp_path / "state"

    def hosts(*argv, status=0):
        command = [sys.executable, HERE / "hosts.py", *map(str, argv[:1]), "--state", state]
        done = subprocess.run([*command, *argv[1:]], capture_output=True, text=True)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    hosts("up", "2", "--rate", "500mbit")
    gone = {json.loads(f.read_text())["network"] for f in state.glob("*.json")}
    assert len(left_in(gone)) == 3
    assert "exists" in hosts("up", "2", status=1)
    assert hosts("run", "--", find_mpirun().path, "-n", "2", "hostname").split() == ["n1", "n2"]
    hosts("run", "--", "false", status=1)
    counted = hosts("bytes").split()
    assert counted[0] == "n1"
    assert int(counted[2]) > 0
    hosts("rate", "none")
    hosts("cut", "n2")
    hosts("heal", "n2")
    assert "n9: no such host" in hosts("kill", "n9", status=1)
    hosts("down")
    assert not state.exists()
    assert not left_in(gone)
    assert "no cluster is up" in hosts("down", status=1)


def test_a_rate_that_is_none_is_refused():
    with pytest.raises(ClusterError, match="'fast' is no rate: write 250mbit or 1gbit"):
        bits_per_second("fast")
