"""One training run, killed twenty times at random, goes on each time and ends as if it had not."""

import random
import signal
import time

import psutil
import pytest
from commands import finish, start, succeed
from jobs import (
    assert_same_weights,
    metrics,
    newest_checkpoint,
    ranks_below,
    result,
    wait_while_it_runs,
)

KILLS, RANKS = 20, 2
OPTIONS = [
    *("--layers", 2, "--fanouts", 6, 3, "--hidden", 16, "--batch-size", 40, "--macrobatch", 4),
    *("--lr", 0.003, "--epochs", 90, "--eval-every", 10, "--input-dropout", 0.1),
    *("--checkpoint-every", 20, "--checkpoint-seconds", 0),
]
"150 steps an epoch."

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kills")
    sizes = ["--vertices", 10_000, "--features", 16, "--classes", 5, "--noise", 2]
    succeed("data", "generate", "communities", folder / "graph.h5", *sizes)
    succeed("partition", folder / "graph.h5", folder / "shards", "--shards", 4)
    return folder / "shards"


def killed_once(shards, out, draw, *resume):
    """Kill a rank after a random time; (rank, seconds until all had ended)."""
    before = newest_checkpoint(out)
    process = start("train", shards, "--run", out, *OPTIONS, *resume, ranks=RANKS)
    try:
        wait_while_it_runs(process, lambda: newest_checkpoint(out) not in (None, before))
        time.sleep(draw.uniform(0, 1.5))
        assert process.poll() is None, "the run ended before it was killed: make it longer"
        ranks = ranks_below(process.pid)
        rank = draw.choice(sorted(ranks))
        everything = psutil.Process(process.pid).children(recursive=True)
        ranks[rank].send_signal(signal.SIGKILL)
        begin = time.monotonic()
        done = finish(process, 30)
        seconds = time.monotonic() - begin
    finally:
        process.kill()
    assert done.returncode == 128 + signal.SIGKILL, done.stderr
    assert f"rank {rank} on " in done.stderr
    assert "Traceback" not in done.stderr
    _, left = psutil.wait_procs(everything, timeout=5)
    assert [p for p in left if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []
    return rank, seconds


def test_twenty_kills(shards, tmp_path):
    whole, out, draw = tmp_path / "whole", tmp_path / "run", random.Random(5)
    succeed("train", shards, "--run", whole, *OPTIONS, ranks=RANKS, timeout_s=300)
    slowest, killed = 0.0, []
    for number in range(KILLS):
        rank, seconds = killed_once(shards, out, draw, *(["--resume"] if number else []))
        assert seconds < 15
        slowest = max(slowest, seconds)
        killed.append((rank, newest_checkpoint(out).name))
    succeed("train", shards, "--run", out, "--resume", ranks=RANKS, timeout_s=300)
    print(f"{KILLS} kills, the slowest end after {slowest:.1f} s: {killed}")
    assert {rank for rank, _ in killed} == set(range(RANKS))
    assert result(out) == result(whole)
    for mine, theirs in zip(metrics(out), metrics(whole), strict=True):
        assert mine["loss"] == pytest.approx(theirs["loss"], rel=1e-12)
    assert_same_weights(out, whole)
