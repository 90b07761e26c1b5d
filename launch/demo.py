"""`batchgnn demo`: the whole way on a small real graph, with the commands a user would type."""

import contextlib
import itertools
import shlex
import subprocess
import time
from pathlib import Path

from batchgnn.base.errors import BatchGNNError, StoreError
from batchgnn.base.parse import parse_json
from batchgnn.launch.local import own_command

RANKS = 2
TRAINING = "--model sage --layers 2 --hidden 128 --batch-size 256 --lr 0.01 --epochs 20"


def demo(folder: Path | None = None) -> None:
    """Generate a graph of handwritten digits, cut it, train on 2 ranks, evaluate, report.

    Parameters
    ----------
    folder
        folder to write; must not exist. By default batchgnn-demo here, or with a number
    """
    begin = time.monotonic()
    folder = folder or free_folder(Path("batchgnn-demo"))
    if folder.exists():
        raise StoreError(f"{folder} exists: nothing is written over. Choose another --folder.")
    folder.mkdir(parents=True)
    try:
        for command in commands(folder):
            say_and_run(command)
    except BaseException:
        with contextlib.suppress(OSError):
            folder.rmdir()
        raise
    print(report(folder, time.monotonic() - begin))


def commands(folder: Path) -> list[list[str]]:
    """The demo's command lines, without the leading `batchgnn`."""
    graph, shards, run = (str(folder / name) for name in ("digits.h5", "shards", "run"))
    train = ["train", shards, "--run", run, *TRAINING.split()]
    return [
        ["data", "generate", "digits", graph],
        ["partition", graph, shards, "--shards", "4"],
        ["launch", "-n", str(RANKS), "--threads", "1", "--", *train],
        ["evaluate", run],
        ["predict", run, str(folder / "predictions.h5")],
    ]


def free_folder(wanted: Path) -> Path:
    """The wanted folder, or the first of wanted-2, wanted-3 ... that does not exist."""
    names = (wanted.with_name(f"{wanted.name}-{number}") for number in itertools.count(2))
    return next(path for path in itertools.chain([wanted], names) if not path.exists())


def say_and_run(command: list[str]) -> None:
    """Print a command line and run it; raises a BatchGNNError with its status when it fails."""
    print(f"\n$ {shlex.join(['batchgnn', *command])}", flush=True)
    status = subprocess.run([*own_command(), *command]).returncode
    if status:
        error = BatchGNNError(
            f"the demo stopped: {command[0]} ended with status {status}, see above."
        )
        error.exit_status = status if status > 0 else 128 - status
        raise error


def report(folder: Path, seconds: float) -> str:
    """What was reached, what was made, what to try next."""
    result = parse_json((folder / "run" / "result.json").read_text())
    name = result["metric"]
    resume = ["launch", "-n", "1", "--", "train", str(folder / "shards")]
    resume += ["--run", str(folder / "run"), "--resume", "--epochs", "40"]
    return f"""
Test {name} {result[f"test_{name}"]:.3f} at the best validation epoch, {result["best_epoch"]}, \
trained on {result["ranks"]} ranks; {seconds:.0f} s in all.

{folder}/digits.h5       graph store: 1,797 images, joined to their nearest
{folder}/shards/         the same in 4 shards, for 1 to 4 ranks
{folder}/run/            settings, a line of metrics per epoch, checkpoints, result.json
{folder}/predictions.h5  class probabilities of every vertex

Try next:
  batchgnn inspect {folder}/shards
  {shlex.join(["batchgnn", *resume])}
  batchgnn data convert --help   your own graph"""
