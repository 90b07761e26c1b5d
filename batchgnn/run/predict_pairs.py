"""`batchgnn predict --pairs`: how likely pairs of vertices meet at given times."""

from pathlib import Path

import numpy as np

from batchgnn.base.errors import ConfigError
from batchgnn.comm.failure import fail_together
from batchgnn.modes.open import make_inference
from batchgnn.modes.share import Share
from batchgnn.modes.temporal.inference import StreamInference
from batchgnn.modes.temporal.names import Names
from batchgnn.modes.temporal.pairs import TimedPairs, score_pairs
from batchgnn.modes.temporal.stream import Stream
from batchgnn.store.prediction import create_prediction, publish_prediction, write_slab

COLUMNS = ("source", "target", "time")


def predict_pairs(share: Share, run: Path, out: Path, pairs: Path) -> int:
    """Write `probability` of the pairs of a file, in their order; returns n.

    float32 (n,) that they meet, or (n, classes) of an event of theirs.
    Collective. Raises ConfigError where the run is not of events, or the file does not fit.
    """
    found = make_inference(share)
    if not isinstance(found, StreamInference):
        raise ConfigError(f"--pairs is of runs on events, and {run} is not: leave it out.")
    world = share.grid.world
    with fail_together(world, f"reading {pairs}"):
        asked = read_pairs(pairs, found.stream)
    chance = found.task.probability(score_pairs(found, asked))
    with fail_together(world, f"writing {out}"):
        if share.is_first:
            columns = {"probability": (chance.dtype, chance.shape)}
            create_prediction(out, run, share.manifest, columns)
            write_slab(out, "probability", 0, chance)
            publish_prediction(out)
    return len(chance)


def read_pairs(path: Path, stream: Stream) -> TimedPairs:
    """Of a .npz file with source, target (the user's ids) and time. Raises ConfigError."""
    if not path.is_file():
        raise ConfigError(f"--pairs {path}: no such file: give a .npz file.")
    try:
        with np.load(path, allow_pickle=False) as file:
            source, target, time = (file[name] for name in COLUMNS)
    except (KeyError, ValueError, OSError, EOFError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{path}: no .npz file with arrays {', '.join(COLUMNS)} ({error}): save one."
        ) from error
    shapes = {each.shape for each in (source, target, time)}
    if len(shapes) != 1 or time.ndim != 1 or time.dtype.kind not in "iuf":
        raise ConfigError(f"{path}: {', '.join(COLUMNS)} have to be as many, and times numbers.")
    if not np.isfinite(time).all():
        raise ConfigError(f"{path}: time has values that are not finite.")
    names = Names(stream, str(path))
    return TimedPairs(names.vertices(source), names.vertices(target), time)
