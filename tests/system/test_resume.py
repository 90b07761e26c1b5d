"""A job that is killed in mid-epoch goes on from its last checkpoint as if nothing had happened."""

import json
import shutil
import signal
import time
from pathlib import Path

import pytest
from commands import finish, refused, run, start, succeed
from graphs import learnable_graph, shards_of
from jobs import (
    assert_same_weights,
    metrics,
    newest_checkpoint,
    ranks_below,
    result,
    saved_at,
    wait_while_it_runs,
)

EPOCHS = 3
OPTIONS = [
    *("--layers", 2, "--fanouts", 8, 4, "--hidden", 32, "--input-dropout", 0.1, "--lr", 0.003),
    *("--batch-size", 40, "--macrobatch", 8, "--epochs", EPOCHS),
    *("--checkpoint-every", 35, "--checkpoint-seconds", 0),
]
"300 steps an epoch; checkpoints fall inside of macrobatches."


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("resume")


@pytest.fixture(scope="module")
def shards(folder):
    graph, out = folder / "graph.h5", folder / "shards"
    sizes = ["--vertices", 20_000, "--features", 32, "--classes", 10, "--noise", 2]
    succeed("data", "generate", "communities", graph, *sizes)
    succeed("partition", graph, out, "--shards", 4)
    return out


@pytest.fixture(scope="module")
def whole(folder, shards):
    """A run of two ranks that nothing disturbed."""
    out = folder / "whole"
    succeed("train", shards, "--run", out, *OPTIONS, ranks=2)
    return out


@pytest.fixture(scope="module")
def killed(folder, shards):
    """The same run, of which a rank was killed in mid-epoch."""
    out = folder / "killed"
    kill_in_epoch(1, out, "train", shards, "--run", out, *OPTIONS)
    return out


@pytest.fixture
def copy(killed, tmp_path):
    """The killed run, to go on with or to spoil."""
    return Path(shutil.copytree(killed, tmp_path / "run"))


def is_inside(epoch, out):
    """Whether the newest checkpoint of a run was written within an epoch, counted from 0."""
    number, step = saved_at(out)
    return number == epoch and step > 0


def kill_in_epoch(epoch, out, *arguments):
    """Kill rank 1 of 2 when the run has a checkpoint inside of `epoch`, counted from 0."""
    process = start(*arguments, ranks=2)
    try:
        wait_while_it_runs(process, lambda: is_inside(epoch, out))
        ranks_below(process.pid)[1].send_signal(signal.SIGKILL)
        begin = time.monotonic()
        done = finish(process, 30)
    finally:
        process.kill()
    assert time.monotonic() - begin < 10
    assert done.returncode == 128 + signal.SIGKILL, done.stderr
    assert done.stderr.count("was ended by SIGKILL") == 1
    assert "rank 1 on " in done.stderr
    assert "--resume" in done.stderr
    assert "Traceback" not in done.stderr
    assert is_inside(epoch, out)
    assert not (out / "result.json").exists()


def assert_same_run(out, expected, *, rtol):
    """Losses, scores, the best model and all that a checkpoint holds; rtol 0: to the last bit."""
    mine, theirs = metrics(out), metrics(expected)
    assert [line["epoch"] for line in mine] == list(range(1, EPOCHS + 1))
    for a, b in zip(mine, theirs, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=rtol or 1e-12)
        assert a["val_accuracy"] == pytest.approx(b["val_accuracy"], abs=20 * rtol)
    assert_same_weights(out, expected, rtol)


def test_the_same_ranks_end_with_the_same_bits(copy, shards, whole):
    succeed("train", shards, "--run", copy, "--resume", ranks=2)
    assert_same_run(copy, whole, rtol=0)
    assert result(copy) == result(whole)
    assert len(json.loads((copy / "result.json").read_text())["epoch_seconds"]) == EPOCHS
    assert not list(copy.rglob("*.part"))


@pytest.mark.parametrize(
    ("ranks", "options"),
    [
        pytest.param(3, [], id="3 ranks"),
        pytest.param(1, ["--no-overlap", "--macrobatch", 3], id="1 rank without overlap"),
        pytest.param(4, ["--macrobatch", 1], id="4 ranks", marks=pytest.mark.slow),
    ],
)
def test_other_ranks_end_with_the_same_parameters(copy, shards, whole, ranks, options):
    succeed("train", shards, "--run", copy, "--resume", *options, ranks=ranks)
    assert_same_run(copy, whole, rtol=1e-5)
    assert json.loads((copy / "result.json").read_text())["ranks"] == ranks


def test_without_overlap_and_killed_twice(shards, whole, tmp_path):
    out = tmp_path / "run"
    line = ["train", shards, "--run", out, *OPTIONS]
    kill_in_epoch(0, out, *line, "--no-overlap")
    assert not (out / "model.h5").exists()
    assert "model.h5 is missing: train at least one epoch" in refused("evaluate", out)
    kill_in_epoch(2, out, *line, "--resume", "--overlap")
    succeed(*line, "--resume", ranks=2)
    assert_same_run(out, whole, rtol=0)


@pytest.mark.slow
def test_more_epochs_go_on_from_the_end(folder, shards, whole, tmp_path):
    out = Path(shutil.copytree(whole, tmp_path / "run"))
    succeed("train", shards, "--run", out, "--resume", ranks=2)
    assert_same_run(out, whole, rtol=0)
    succeed("train", shards, "--run", out, "--resume", "--epochs", EPOCHS + 1, ranks=2)
    assert [line["epoch"] for line in metrics(out)] == list(range(1, EPOCHS + 2))
    assert metrics(out)[:EPOCHS] == metrics(whole)
    assert result(out)["epochs"] == EPOCHS + 1


@pytest.mark.slow
def test_half_a_line_of_metrics_is_mended(copy, shards, whole):
    with (copy / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 2, "lo')
    succeed("train", shards, "--run", copy, "--resume", ranks=2)
    assert_same_run(copy, whole, rtol=0)


def is_kept(path):
    """Whether a start that is refused leaves the file; what the killed job locked it takes over."""
    return path.is_file() and path.name != "lock.json"


def test_what_is_refused(copy, shards, whole, tmp_path):
    other = shards_of(learnable_graph(), tmp_path / "other")
    line = ["train", shards, "--run", copy]
    before = {path: path.read_bytes() for path in sorted(copy.rglob("*")) if is_kept(path)}
    said = refused(*line, *OPTIONS, ranks=2)
    assert said.count(f"{copy} exists: nothing is written over. Add --resume") == 1
    said = refused(*line, "--resume", "--hidden", 64, "--seed", 3, ranks=2)
    assert said.count("was trained with another --seed, --hidden") == 1
    said = refused("train", other, "--run", copy, "--resume", ranks=2)
    assert said.count("was trained on shards ") == 1
    assert "config.toml" in said
    said = refused("train", shards, "--run", tmp_path / "none", "--resume", ranks=2)
    assert said.count("no such settings file") == 1
    after = {path: path.read_bytes() for path in sorted(copy.rglob("*")) if is_kept(path)}
    assert after == before
    shutil.rmtree(copy / "checkpoint")
    said = refused(*line, "--resume", ranks=2)
    assert said.count("no checkpoint to resume from") == 1


def test_a_damaged_checkpoint_is_refused_and_the_one_before_it_serves(copy, shards, whole):
    newest = newest_checkpoint(copy)
    file = newest / "replicated.h5"
    file.write_bytes(file.read_bytes()[:1000])
    said = refused("train", shards, "--run", copy, "--resume", ranks=2)
    assert said.count(f"{file} is damaged") == 1
    assert "or remove it so that --resume takes the checkpoint before it" in said
    shutil.rmtree(newest)
    succeed("train", shards, "--run", copy, "--resume", ranks=2)
    assert_same_run(copy, whole, rtol=0)


def test_evaluate_gives_the_result_again(whole):
    expected = json.loads((whole / "result.json").read_text())
    for split in ("val", "test"):
        said = json.loads(succeed("evaluate", whole, "--split", split, ranks=2))
        assert said == {f"{split}_accuracy": expected[f"{split}_accuracy"]}
    with_f1 = json.loads(succeed("evaluate", whole, "--metric", "macro-f1"))
    assert 0.2 < with_f1["test_macro-f1"] < 1


def test_a_run_that_was_never_trained_is_named(tmp_path):
    assert "is no run folder" in run("evaluate", tmp_path).stderr
