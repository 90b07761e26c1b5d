"""`batchgnn predict --pairs`: scores of pairs of vertices, of events at given times."""

from pathlib import Path

import numpy as np

from batchgnn.base.errors import ConfigError
from batchgnn.comm.exchange import allreduce_sum
from batchgnn.comm.failure import fail_together
from batchgnn.modes.open import make_inference
from batchgnn.modes.share import Share
from batchgnn.modes.temporal.inference import StreamInference
from batchgnn.modes.temporal.names import Names
from batchgnn.modes.temporal.pairs import TimedPairs, score_pairs
from batchgnn.modes.temporal.stream import Stream
from batchgnn.store.pairs_file import Columns, as_names, read_columns
from batchgnn.store.prediction import create_prediction, publish_prediction, write_slab
from batchgnn.tasks.links import Links

ENDS, TIME = ("source", "target"), "time"


def predict_pairs(share: Share, run: Path, out: Path, pairs: Path) -> tuple[int, str]:
    """Write what is said of the pairs of a file, in their order; returns how many, and its name.

    Of events `probability`, float32 (n,) that they meet, or (n, classes) of an event of theirs; of
    links `score`, float (n,), the decoder's logit; beside the pairs' own columns.
    Collective. Raises ConfigError where the run is of vertices, or the file does not fit.
    """
    found, world = make_inference(share), share.grid.world
    if isinstance(found, StreamInference):
        with fail_together(world, f"reading {pairs}"):
            columns = read_columns(pairs, (*ENDS, TIME))
            asked = timed_pairs(pairs, columns, found.stream)
        said = "probability"
        values, begin = found.task.probability(score_pairs(found, asked)), 0
        values = values if share.is_first else values[:0]  # all ranks have all of them
    else:
        with fail_together(world, f"reading {pairs}"):
            task = _links(share, run)
            columns = read_columns(pairs, ENDS)
        source, target = (vertices(share, pairs, columns[name]) for name in ENDS)
        count, said = len(source), "score"
        begin, end = (count * (world.rank + k) // world.size for k in (0, 1))
        rows, mine = found.logits(), slice(begin, end)
        values = task.pair_logits(world, share.own, rows, source[mine], target[mine])
    write_pairs(share, run, out, columns, {said: values}, begin)
    return len(columns[ENDS[0]]), said


def _links(share: Share, run: Path) -> Links:
    """The task, which must be of links. Raises ConfigError."""
    if not isinstance(share.task, Links):
        raise ConfigError(f"--pairs is of runs on events or links, and {run} is not: leave it out.")
    return share.task


def write_pairs(
    share: Share, run: Path, out: Path, columns: Columns, said: Columns, begin: int
) -> None:
    """The first rank writes the columns, every rank its rows of what is said; collective.

    begin: the first of the rank's rows
    """
    world, count = share.grid.world, len(columns[ENDS[0]])
    columns = {
        k: np.char.encode(v, "utf-8") if v.dtype.kind == "U" else v for k, v in columns.items()
    }
    with fail_together(world, f"writing {out}"):
        if share.is_first:
            shapes = {k: (v.dtype, (count, *v.shape[1:])) for k, v in (columns | said).items()}
            create_prediction(out, run, share.manifest, shapes)
            for name, rows in columns.items():
                write_slab(out, name, 0, rows)
    with fail_together(world, f"writing {out}"):
        for name, rows in said.items():
            write_slab(out, name, begin, rows)
    with fail_together(world, f"writing {out}"):
        if share.is_first:
            publish_prediction(out)


def timed_pairs(path: Path, columns: Columns, stream: Stream) -> TimedPairs:
    """Raises ConfigError where an id is no vertex's, or a time no finite number."""
    time = columns[TIME]
    if time.dtype.kind not in "iuf" or not np.isfinite(time).all():
        raise ConfigError(f"--pairs {path}: time has to be finite numbers.")
    names, dtype = Names(stream, str(path)), stream.name.dtype
    source, target = (names.vertices(as_names(columns[k], dtype, str(path))) for k in ENDS)
    return TimedPairs(source, target, time)


def vertices(share: Share, path: Path, ids: np.ndarray) -> np.ndarray:
    """int64 (n,): vertices by the user's ids, whichever rank has them; collective.

    Raises ConfigError where one is no vertex's.
    """
    own, world = share.own, share.grid.world
    names = own.names()
    with fail_together(world, f"reading {path}"):
        asked = as_names(ids, names.dtype, f"--pairs {path}")
    order = np.argsort(names, kind="stable")
    found = np.zeros(len(asked), np.int64)
    if len(names):
        place = order[np.minimum(np.searchsorted(names[order], asked), len(names) - 1)]
        found = np.where(names[place] == asked, own.ids[place].astype(np.int64) + 1, 0)
    allreduce_sum(world, found, "pairs")
    with fail_together(world, f"reading {path}"):
        if not found.all():
            raise ConfigError(
                f"--pairs {path}: no vertex of {share.manifest.name} is {ids[found == 0][0]} "
                f"({(found == 0).sum():,} such ids): give ids of the graph that was converted."
            )
    return found - 1
