"""Signals on a training run: all ranks agree, save, and end with the status that was promised."""

import json
import re
import shlex
import shutil
import signal
import time

import pytest
from commands import Terminal, command, finish, refused, start, succeed
from jobs import assert_same_weights, newest_checkpoint, ranks_below, wait_while_it_runs

OPTIONS = [
    *("--layers", 2, "--fanouts", 6, 3, "--hidden", 16, "--batch-size", 20, "--epochs", 3),
    *("--macrobatch", 4, "--lr", 0.003),
]
"""300 steps an epoch and no checkpoint inside of it: what is saved, a signal has saved."""


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("signals")
    sizes = ["--vertices", 10_000, "--features", 16, "--classes", 5, "--noise", 2]
    succeed("data", "generate", "communities", folder / "graph.h5", *sizes)
    succeed("partition", folder / "graph.h5", folder / "shards", "--shards", 3)
    return folder / "shards"


@pytest.fixture(scope="module")
def whole(shards):
    """A run that nothing disturbed."""
    out = shards.parent / "whole"
    succeed("train", shards, "--run", out, *OPTIONS, ranks=2)
    return out


class Running:
    """A run on ranks that has trained an epoch; ended with the block."""

    def __init__(self, shards, out, *, ranks, options=()):
        self.out = out
        self.process = start("train", shards, "--run", out, *OPTIONS, *options, ranks=ranks)

    @classmethod
    def of(cls, process, out):
        """A run that was started otherwise."""
        self = cls.__new__(cls)
        self.process, self.out = process, out
        return self

    def __enter__(self):
        wait_while_it_runs(self.process, (self.out / "metrics.jsonl").exists)
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            pipe.close()

    def ended(self, within_s=20):
        """How it ended after a signal that it had just now."""
        begin = time.monotonic()
        done = finish(self.process, 60)
        assert time.monotonic() - begin < within_s
        assert "Traceback" not in done.stderr
        assert "prterun" not in done.stderr
        return done


def note_of(out):
    return json.loads((out / "stopped.json").read_text())


def assert_same_end(out, whole):
    """The same bits: both were trained on one number of ranks."""
    assert_same_weights(out, whole)
    assert not (out / "stopped.json").exists()


def test_usr1_to_one_rank_saves_and_a_resume_ends_as_if_it_had_not_come(shards, whole, tmp_path):
    out = tmp_path / "run"
    with Running(shards, out, ranks=2) as job:
        time.sleep(0.2)  # into a later epoch
        ranks_below(job.process.pid)[1].send_signal(signal.SIGUSR1)
        done = job.ended()
    assert done.returncode == 0, done.stderr
    where = r"will be started again: its state at epoch \d step (\d+) is saved. Go on with"
    assert len(re.findall(where, done.stderr)) == 1, done.stderr
    note = note_of(out)
    assert note["requeue"] is True
    assert 1 <= note["epoch"] < 3
    assert 0 <= note["step"] <= 300
    assert newest_checkpoint(out).name == f"epoch-{note['epoch']:06d}-step-{note['step']:08d}"
    assert not (out / "result.json").exists()
    succeed("train", shards, "--run", out, "--resume", ranks=2)
    assert_same_end(out, whole)


@pytest.mark.parametrize("ranks", [None, 2], ids=["alone", "under launch"])
def test_ctrl_c_saves_and_says_the_command_that_goes_on(ranks, shards, whole, tmp_path):
    out = tmp_path / "run"
    line = ["train", shards, "--run", out, *OPTIONS]
    with Terminal() as terminal, Running.of(terminal.start(*line, ranks=ranks), out) as job:
        terminal.ctrl_c()
        done = job.ended()
    assert done.returncode == 128 + signal.SIGINT, done.stderr
    assert done.stderr.count("a second ends it at once") == 1, done.stderr
    note = note_of(out)
    assert note["requeue"] is False
    assert newest_checkpoint(out).name == f"epoch-{note['epoch']:06d}-step-{note['step']:08d}"
    to_type = re.findall(r"is saved\. Go on with: batchgnn (.*)", done.stderr)
    assert [shlex.split(each) for each in to_type] == [command([*line, "--resume"], ranks)[3:]]
    if ranks:
        succeed(*shlex.split(to_type[0]))
        assert_same_end(out, whole)


def test_a_second_ctrl_c_ends_at_once_even_a_rank_that_waits_for_a_stopped_one(shards, tmp_path):
    out = tmp_path / "run"
    line = ["train", shards, "--run", out, *OPTIONS]
    with Terminal() as terminal, Running.of(terminal.start(*line, ranks=2), out) as job:
        ranks_below(job.process.pid)[1].suspend()
        terminal.ctrl_c()
        time.sleep(0.8)
        assert job.process.poll() is None
        terminal.ctrl_c()
        done = job.ended(within_s=8)
    assert done.returncode == 128 + signal.SIGINT, done.stderr
    assert "rank 0 on " in done.stderr
    assert "had a second signal, SIGUSR2, and ends at once" in done.stderr
    said = "interrupted: all ranks have ended. Go on from the last checkpoint with: batchgnn launch"
    assert said in done.stderr


def test_a_run_killed_before_its_first_checkpoint_begins_anew(shards, whole, tmp_path):
    out = tmp_path / "run"
    with Running(shards, out, ranks=2, options=["--checkpoint-seconds", 1000]) as job:
        ranks_below(job.process.pid)[1].kill()
        assert job.ended().returncode == 128 + signal.SIGKILL
    assert not (out / "checkpoint").exists()
    said = succeed("train", shards, "--run", out, "--resume", ranks=2)
    assert f"{out} has no checkpoint yet: it begins anew" in said
    lines = (out / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3]
    assert_same_end(out, whole)
    shutil.rmtree(out / "checkpoint")  # now it has a model: its checkpoints were lost
    assert "no checkpoint to resume from" in refused("train", shards, "--run", out, "--resume")
