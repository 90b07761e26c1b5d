"""Training on four emulated hosts loses a rank, a host, a link or a shard: an end, or a new start.

Each end is timed, and its message names the rank, its host, the step and the collective.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest
from cluster.hosts import emulated
from cluster.namespaces import why_not
from commands import succeed
from jobs import assert_same_weights, rank_of, saved_at, wait_while_it_runs

REASON = why_not()
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(REASON is not None, reason=str(REASON)),
]
HOSTS = "n1,n2,n3,n4"
OPTIONS = [
    *("--layers", 2, "--fanouts", 6, 3, "--hidden", 32, "--input-dropout", 0.1, "--lr", 0.003),
    *("--batch-size", 80, "--macrobatch", 8, "--epochs", 3, "--no-overlap"),
    *("--checkpoint-every", 20, "--checkpoint-seconds", 0, "--collective-timeout", 4),
]
"100 steps an epoch."

HEAVY = {
    **{"--hidden": 2048, "--batch-size": 4000, "--epochs": 1000, "--checkpoint-every": 1},
    "--collective-timeout": 60,
}
"2 steps an epoch, each of which computes for far longer than 20 ms."

PLACE = r"(after epoch \d step \d+, )?at collective \d+, [a-z ]+( \([a-z ]+\))?"


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults")
    sizes = ["--vertices", 10_000, "--features", 32, "--classes", 10, "--noise", 2]
    succeed("data", "generate", "communities", folder / "graph.h5", *sizes)
    succeed("partition", folder / "graph.h5", folder / "shards", "--shards", 4)
    return folder / "shards"


@pytest.fixture(scope="module")
def whole(shards):
    """A run of four ranks that nothing disturbed."""
    out = shards.parent / "whole"
    succeed("train", shards, "--run", out, *OPTIONS, ranks=4)
    return out


@pytest.fixture
def cluster():
    with emulated(4) as cluster:
        yield cluster


class Running:
    """A training job over the hosts, started by `batchgnn launch` on the first."""

    def __init__(self, cluster, shards, out, *options, instead=()):
        """options: of launch; instead: names and values of training that replace some."""
        self.cluster, self.out = cluster, out
        launch = ["launch", "-n", 4, "--hosts", HOSTS, "--threads", 1, "--no-bind", *options, "--"]
        words = [*launch, "train", shards, "--run", out, *OPTIONS]
        for name, value in dict(instead).items():
            words[words.index(name) + 1] = value
        self.process = cluster.start(
            [sys.executable, "-m", "batchgnn", *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def until_checkpoint(self, timeout_s=60):
        """Wait until something is saved inside of an epoch."""
        wait_while_it_runs(self.process, lambda: saved_at(self.out)[1] > 0, timeout_s)

    def ended(self, within_s):
        """(status, what it printed); no process of it is left on the hosts that can be reached."""
        begin = time.monotonic()
        try:
            said, _ = self.process.communicate(timeout=within_s + 30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        seconds = time.monotonic() - begin
        assert seconds < within_s, f"{seconds:.0f} s\n{said}"
        print(f"{said}\nended after {seconds:.1f} s with status {self.process.returncode}")
        return self.process.returncode, said

    def rank(self, number):
        for name in self.cluster.hosts:
            for pid in self.cluster.host(name).processes():
                process = psutil.Process(pid)
                if rank_of(process) == number and "batchgnn" in " ".join(process.cmdline()):
                    return process
        raise AssertionError(f"there is no rank {number}")


def nothing_runs(cluster, names):
    end = time.monotonic() + 10
    while left := [pid for name in names for pid in cluster.host(name).processes()]:
        assert time.monotonic() < end, left
        time.sleep(0.1)


def assert_goes_on(shards, out, whole):
    """What was saved is whole: a resume ends with the weights of the undisturbed run."""
    succeed("train", shards, "--run", out, "--resume", ranks=4)
    assert_same_weights(out, whole)


def test_a_killed_rank_is_named_and_the_job_goes_on_when_told_to(cluster, shards, whole, tmp_path):
    job = Running(cluster, shards, tmp_path / "run", "--max-restarts", 2)
    job.until_checkpoint()
    job.rank(2).send_signal(signal.SIGKILL)
    status, said = job.ended(within_s=60)
    assert status == 0, said
    assert re.search(r"the job was lost \(status \d+\); restart 1 of 2, on 4 ranks", said), said
    how = r"was ended by SIGKILL \(often the kernel, out of memory\)|is gone, or its host"
    named = rf"rank 2 on n3 ({how}); all ranks have ended\. Rank \d was last seen {PLACE}\.\n"
    assert re.search(named, said), said
    nothing_runs(cluster, cluster.hosts)
    assert_same_weights(tmp_path / "run", whole)


def test_a_host_that_vanishes_is_left_out(cluster, shards, whole, tmp_path):
    """Its link is cut first, so that no other host hears of its end."""
    job = Running(cluster, shards, tmp_path / "run", "--max-restarts", 2)
    job.until_checkpoint()
    cluster.cut("n3")
    cluster.kill("n3")
    status, said = job.ended(within_s=120)
    assert status == 0, said
    assert re.search(rf"is gone.+ Rank \d was last seen {PLACE}\.\n", said), said
    assert "restart 1 of 2, without n3 (ranks 2), on 3 ranks, from the last checkpoint" in said
    nothing_runs(cluster, ["n1", "n2", "n4"])
    assert_same_weights(tmp_path / "run", whole, rtol=1e-5)


def test_a_cut_link_ends_the_job_and_names_the_rank_behind_it(cluster, shards, whole, tmp_path):
    job = Running(cluster, shards, tmp_path / "run")
    job.until_checkpoint()
    cluster.cut("n3")
    status, said = job.ended(within_s=30)
    assert status != 0
    waited = r"rank \d has waited \d+ s in collective \d+ of its main thread: .+ epoch \d step \d+"
    assert re.search(waited, said), said
    assert "rank 2 (host n3, process " in said
    assert_goes_on(shards, tmp_path / "run", whole)
    assert "does not answer: it is stopped, or its machine or network is gone" in said
    nothing_runs(cluster, ["n1", "n2", "n4"])
    cluster.heal("n3")


@contextlib.contextmanager
def other_files(host, shards, folder):
    """On this host alone the shards are files of their own, which the block is given."""
    copies = [shutil.copy(path, folder) for path in sorted(shards.glob("shard-*.h5"))]
    for copy in copies:
        host.call(f"mount --bind {copy} {shards / os.path.basename(copy)}")
    yield copies
    for copy in copies:
        host.call(f"umount -l {shards / os.path.basename(copy)}")


def test_a_shard_that_one_host_cannot_read_is_named_before_anything_begins(
    cluster, shards, tmp_path
):
    with other_files(cluster.host("n3"), shards, tmp_path) as copies:
        for copy in copies:
            os.truncate(copy, 1000)
        status, said = Running(cluster, shards, tmp_path / "run").ended(within_s=20)
    assert status == 2
    cut = r"shard-0000\d\.h5 is truncated \(1,000 bytes\): needed a shard file"
    named = (
        rf"on 1 of 4 ranks: rank 2 \(host n3\); at collective \d, agreement \(opening {shards}\)\n"
    )
    assert re.search(rf"{cut}.+\n  {named}", said), said
    assert not (tmp_path / "run").exists()
    nothing_runs(cluster, cluster.hosts)


def test_a_shard_that_one_host_loses_ends_the_job_and_names_the_rank(
    cluster, shards, whole, tmp_path
):
    """A mapped file without its bytes is a bus error."""
    with other_files(cluster.host("n3"), shards, tmp_path) as copies:
        job = Running(cluster, shards, tmp_path / "run")
        job.until_checkpoint()
        for copy in copies:
            os.truncate(copy, 0)
        status, said = job.ended(within_s=15)
    assert status == 128 + signal.SIGBUS
    named = (
        r"rank 2 on n3 was ended by SIGBUS \(often a shard that can no longer be read, or a full "
        rf"/dev/shm\); all ranks have ended\. Rank \d was last seen {PLACE}\. Go on from"
    )
    assert re.search(named, said), said
    nothing_runs(cluster, cluster.hosts)
    assert_goes_on(shards, tmp_path / "run", whole)


@contextlib.contextmanager
def ended_after(process, seconds):
    """A process that is still waited for then is told to end."""
    timer = threading.Timer(seconds, process.terminate)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextlib.contextmanager
def a_tenth_of_the_time(process):
    """The process runs for 20 ms of every 200, as if its cores were ten times slower."""
    done = threading.Event()

    def pulse():
        with contextlib.suppress(ProcessLookupError):
            while not done.is_set():
                os.kill(process.pid, signal.SIGSTOP)
                done.wait(0.18)
                os.kill(process.pid, signal.SIGCONT)
                time.sleep(0.02)

    thread = threading.Thread(target=pulse)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_a_rank_ten_times_slower_is_named_while_it_happens(cluster, shards, tmp_path):
    job = Running(cluster, shards, tmp_path / "run", instead=HEAVY)
    job.until_checkpoint()
    begin = time.monotonic()
    with a_tenth_of_the_time(job.rank(2)), ended_after(job.process, 60):
        warning = next((line for line in job.process.stdout if ", and waited for it: " in line), "")
        seconds = time.monotonic() - begin
    print(f"{warning}after {seconds:.1f} s")
    assert warning, job.ended(within_s=15)
    named = (
        r"batchgnn: rank 2 \(host n3\) computed (.+) of the last \d+ s, the other ranks (.+) s, "
        rf"and waited for it: {PLACE}\. Look at what else runs"
    )
    found = re.match(named, warning)
    assert found, warning
    assert float(found[1]) > 3 * float(found[2])
    assert seconds < 30
    job.process.send_signal(signal.SIGTERM)
    status, said = job.ended(within_s=15)
    assert status == 143, said
    assert "its state at epoch" in said
    nothing_runs(cluster, cluster.hosts)


def test_a_link_ten_times_slower_changes_no_number(cluster, shards, whole, tmp_path):
    cluster.shape("100mbit")
    slow = "root tbf rate 10mbit burst 131072 latency 20ms"
    cluster.host("n2").call(f"tc qdisc change dev eth0 {slow}")
    job = Running(cluster, shards, tmp_path / "run", "--max-restarts", 0)
    status, said = job.ended(within_s=90)
    assert status == 0, said
    assert_same_weights(tmp_path / "run", whole)


def test_hosts_that_answer_and_one_that_does_not(cluster):
    cluster.cut("n2")
    program = (
        "from batchgnn.launch.mpirun import find_mpirun\n"
        "from batchgnn.launch import restart\n"
        "restart.ANSWER_S = 8.0\n"
        "print(restart.lost_hosts(find_mpirun(), {'n1': 1, 'n2': 1, 'n3': 1}))"
    )
    done = cluster.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert done.stdout == "['n2']\n"
