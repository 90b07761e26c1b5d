"""Training on four emulated hosts loses a rank, a host or a link: a clean end, or another start."""

import re
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
from cluster.hosts import emulated, why_not
from commands import succeed
from system.test_resume import arrays, last_checkpoint

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

    def __init__(self, cluster, shards, out, *options):
        self.cluster, self.out = cluster, out
        launch = ["launch", "-n", 4, "--hosts", HOSTS, "--threads", 1, "--no-bind", *options, "--"]
        words = [*launch, "train", shards, "--run", out, *OPTIONS]
        self.process = cluster.start(
            [sys.executable, "-m", "batchgnn", *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def until_checkpoint(self, timeout_s=60):
        """Wait until something is saved inside of an epoch."""
        end = time.monotonic() + timeout_s
        while not list((self.out / "checkpoint").glob("*-step-*[1-9]*.h5")):
            assert self.process.poll() is None, self.process.stdout.read()
            assert time.monotonic() < end
            time.sleep(0.01)

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
                environment = process.environ()
                mine = environment.get("OMPI_COMM_WORLD_RANK", environment.get("PMI_RANK"))
                if mine == str(number) and "batchgnn" in " ".join(process.cmdline()):
                    return process
        raise AssertionError(f"there is no rank {number}")


def nothing_runs(cluster, names):
    end = time.monotonic() + 10
    while left := [pid for name in names for pid in cluster.host(name).processes()]:
        assert time.monotonic() < end, left
        time.sleep(0.1)


def assert_same_weights(out, whole, rtol):
    pairs = [
        (arrays(out / "model.h5"), arrays(whole / "model.h5")),
        (last_checkpoint(out), last_checkpoint(whole)),
    ]
    for found, wanted in pairs:
        for name, array in wanted.items():
            distance = np.linalg.norm(found[name] - array) / np.linalg.norm(array)
            assert distance <= rtol, name


def test_a_killed_rank_is_named_and_the_job_goes_on_when_told_to(cluster, shards, whole, tmp_path):
    job = Running(cluster, shards, tmp_path / "run", "--max-restarts", 2)
    job.until_checkpoint()
    job.rank(2).send_signal(signal.SIGKILL)
    status, said = job.ended(within_s=60)
    assert status == 0, said
    assert re.search(r"the job was lost \(status \d+\); restart 1 of 2, on 4 ranks", said), said
    nothing_runs(cluster, cluster.hosts)
    assert_same_weights(tmp_path / "run", whole, rtol=0)


def test_a_host_that_vanishes_is_left_out(cluster, shards, whole, tmp_path):
    """Its link is cut first, so that no other host hears of its end."""
    job = Running(cluster, shards, tmp_path / "run", "--max-restarts", 2)
    job.until_checkpoint()
    cluster.cut("n3")
    cluster.kill("n3")
    status, said = job.ended(within_s=120)
    assert status == 0, said
    assert "restart 1 of 2, without n3, on 3 ranks, from the last checkpoint" in said
    nothing_runs(cluster, ["n1", "n2", "n4"])
    assert_same_weights(tmp_path / "run", whole, rtol=1e-5)


def test_a_cut_link_ends_the_job_and_names_the_rank_behind_it(cluster, shards, tmp_path):
    job = Running(cluster, shards, tmp_path / "run")
    job.until_checkpoint()
    cluster.cut("n3")
    status, said = job.ended(within_s=30)
    assert status != 0
    waited = r"rank \d has waited \d+ s in collective \d+ of its main thread: .+ epoch \d step \d+"
    assert re.search(waited, said), said
    assert "rank 2 (host n3, process " in said
    assert "does not answer: it is stopped, or its machine or network is gone" in said
    nothing_runs(cluster, ["n1", "n2", "n4"])
    cluster.heal("n3")


def test_a_link_ten_times_slower_changes_no_number(cluster, shards, whole, tmp_path):
    cluster.shape("100mbit")
    slow = "root tbf rate 10mbit burst 131072 latency 20ms"
    cluster.host("n2").call(f"tc qdisc change dev eth0 {slow}")
    job = Running(cluster, shards, tmp_path / "run", "--max-restarts", 0)
    status, said = job.ended(within_s=90)
    assert status == 0, said
    assert_same_weights(tmp_path / "run", whole, rtol=0)


def test_hosts_that_answer_and_one_that_does_not(cluster):
    cluster.cut("n2")
    program = (
        "from batchgnn.launch.mpirun import find_mpirun\n"
        "from batchgnn.launch import restart\n"
        "restart.ANSWER_S = 5.0\n"
        "print(restart.lost_hosts(find_mpirun(), {'n1': 1, 'n2': 1, 'n3': 1}))"
    )
    done = cluster.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert done.stdout == "['n2']\n"
