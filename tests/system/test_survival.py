"""Runs of mode averaging that lose trainers: the others go on, and the run ends well."""

import json
import random
import signal
import time

import pytest
from commands import finish, refused, start, succeed
from jobs import metrics, ranks_below, wait_while_it_runs

from batchgnn.store.shard_store import ShardStore

RANKS, SHARDS = 4, 16
OPTIONS = [
    *("--mode", "averaging", "--on-loss", "drop", "--layers", 2, "--fanouts", 6, 3),
    *("--hidden", 16, "--batch-size", 40, "--macrobatch", 4, "--lr", 0.003),
]
STEPS = [*OPTIONS, "--round", "60steps"]


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("survival")
    sizes = ["--vertices", 10_000, "--features", 16, "--classes", 5, "--noise", 2]
    succeed("data", "generate", "communities", folder / "graph.h5", *sizes)
    succeed("partition", folder / "graph.h5", folder / "shards", "--shards", SHARDS)
    return folder / "shards"


def num_lines(out):
    return len(metrics(out)) if (out / "metrics.jsonl").exists() else 0


class Losing:
    """A run on ranks that loses one of them when it has trained a round and some more seconds."""

    def __init__(self, shards, out, options, rank, *, how=signal.SIGKILL, after_s=0.2):
        process = start("train", shards, "--run", out, *options, ranks=RANKS)
        try:
            wait_while_it_runs(process, lambda: num_lines(out) >= 1)
            time.sleep(after_s)
            assert process.poll() is None, "the run ended before: make it longer"
            ranks_below(process.pid)[rank].send_signal(how)
            begin, before = time.monotonic(), num_lines(out)
            wait_while_it_runs(process, lambda: num_lines(out) > before)
            self.seconds = time.monotonic() - begin
            "Until the next round was trained and scored."
            self.done = finish(process, 100)
        finally:
            process.kill()
        self.result = json.loads((out / "result.json").read_text())
        self.lines = metrics(out)


def assert_went_on(run, rank, rounds):
    """It says who is gone, and every round has its line, once."""
    assert run.done.returncode == 0, run.done.stderr
    assert "Traceback" not in run.done.stderr
    assert [line["epoch"] for line in run.lines] == list(range(1, rounds + 1))
    lost = [each for each in run.result["trainers"] if each["lost"]]
    assert [each["rank"] for each in lost] == [rank]
    assert lost[0]["rounds"] == lost[0]["lost"] - 1
    said = f"rank {rank} (host {lost[0]['host']}) was lost in round {lost[0]['lost']}: its shards"
    assert run.done.stderr.count(said) == 1, run.done.stderr
    left = [each for each in run.result["trainers"] if not each["lost"]]
    assert sorted(each["rank"] for each in left) == [r for r in range(RANKS) if r != rank]
    assert {each["rounds"] for each in left} == {run.result["rounds"]} == {rounds}


@pytest.mark.parametrize("rank", [0, 2], ids=["the first", "another"])
def test_a_killed_trainer_is_dropped_and_its_shards_are_dealt_again(shards, tmp_path, rank):
    options = [*STEPS, "--epochs", 20]
    run = Losing(shards, tmp_path / "run", options, rank)
    assert_went_on(run, rank, 20)
    assert "are dealt to the 3 that are left" in run.done.stderr
    assert run.seconds < 15
    manifest = ShardStore(shards).manifest
    assert sum(run.result["rank_vertices"]) == manifest.num_vertices
    assert sum(run.result["rank_seeds"]) == manifest.num_seeds.sum()
    assert len(run.result["rank_seeds"]) == 3
    first = run.lines[0]
    assert run.result["test_accuracy"] > first["test_accuracy"] + 0.05, "it goes on learning"


def test_shards_of_a_lost_trainer_may_be_left_to_nobody(shards, tmp_path):
    run = Losing(shards, tmp_path / "run", [*STEPS, "--epochs", 12, "--no-redeal"], 1)
    assert_went_on(run, 1, 12)
    assert "are trained on by none of the 3 that are left" in run.done.stderr
    assert sum(run.result["rank_vertices"]) == 10_000, "they count in the scores"


def test_a_stopped_trainer_is_dropped_at_the_deadline(shards, tmp_path):
    options = [*OPTIONS, "--round", "1s", "--epochs", 5, "--straggler-deadline", 2]
    run = Losing(shards, tmp_path / "run", options, 3, how=signal.SIGSTOP)
    assert_went_on(run, 3, 5)
    assert 2 <= run.seconds < 20


def test_two_trainers_lost_at_once(shards, tmp_path):
    out = tmp_path / "run"
    process = start("train", shards, "--run", out, *STEPS, "--epochs", 12, ranks=RANKS)
    try:
        wait_while_it_runs(process, lambda: num_lines(out) >= 1)
        ranks = ranks_below(process.pid)
        for rank in (0, 3):
            ranks[rank].kill()
        done = finish(process, 100)
    finally:
        process.kill()
    assert done.returncode == 0, done.stderr
    assert [line["epoch"] for line in metrics(out)] == list(range(1, 13))
    told = json.loads((out / "result.json").read_text())["trainers"]
    assert sorted(each["rank"] for each in told if each["lost"]) == [0, 3]


def test_a_run_that_lost_a_trainer_resumes_on_those_that_are_left(shards, tmp_path):
    out = tmp_path / "run"
    Losing(shards, out, [*STEPS, "--epochs", 8], 1)
    succeed("train", shards, "--run", out, "--resume", "--epochs", 10, ranks=3)
    assert [line["epoch"] for line in metrics(out)] == list(range(1, 11))


def test_an_mpi_that_cannot_go_on_says_so(shards, tmp_path):
    done = finish(start("train", shards, "--run", tmp_path / "run", *STEPS, "--epochs", 1), 100)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("--on-loss drop: this MPI, as it was started, does not go on") == 1


def test_trainers_of_several_ranks_are_refused(shards, tmp_path):
    said = refused("train", shards, "--run", tmp_path / "run", *STEPS, "--trainers", 2, ranks=4)
    assert "--on-loss drop is for trainers of one rank, and these have 2" in said


KILLS = 20


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_twenty_kills_at_random(shards, tmp_path):
    """Scores beside those of as many runs of other seeds that nothing disturbed."""
    draw, slowest, killed, scores, others = random.Random(3), 0.0, [], [], []
    for number in range(KILLS):
        options = [*STEPS, "--epochs", 20, "--seed", number]
        rank, out = draw.randrange(RANKS), tmp_path / f"run-{number}"
        run = Losing(shards, out, options, rank, after_s=draw.uniform(0, 2))
        assert_went_on(run, rank, 20)
        assert run.seconds < 10
        slowest = max(slowest, run.seconds)
        killed.append((rank, next(t["lost"] for t in run.result["trainers"] if t["lost"])))
        scores.append(run.result["test_accuracy"])
        whole = tmp_path / f"whole-{number}"
        succeed("train", shards, "--run", whole, *options, ranks=RANKS)
        others.append(json.loads((whole / "result.json").read_text())["test_accuracy"])
    mean, wanted = sum(scores) / KILLS, sum(others) / KILLS
    noise = (sum((each - wanted) ** 2 for each in others) / (KILLS - 1)) ** 0.5
    print(f"{KILLS} kills (rank, round) {killed}: the next round after at most {slowest:.1f} s; ")
    print(f"test accuracy {mean:.4f}, undisturbed {wanted:.4f}, standard deviation {noise:.4f}")
    assert {rank for rank, _ in killed} == set(range(RANKS))
    assert mean > wanted - 2 * noise
