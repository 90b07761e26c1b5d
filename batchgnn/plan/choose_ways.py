"""`--ways auto` of a job: the first rank measures its pace, plans, and tells the others."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from batchgnn.base.threads import use_threads
from batchgnn.comm.failure import fail_together
from batchgnn.comm.grid import Grid
from batchgnn.comm.values import values_of_all
from batchgnn.comm.vertex_rows import OwnRows
from batchgnn.graph.missing import LOST_UPDATES
from batchgnn.modes.assembly import resolved, task_of
from batchgnn.modes.open import build_model
from batchgnn.modes.temporal.batches import TRAINING, Sampler, negative_key, training_negatives
from batchgnn.modes.temporal.check import is_auto
from batchgnn.modes.temporal.options import Timeline
from batchgnn.modes.temporal.published import num_trained_negatives
from batchgnn.modes.temporal.states import VertexStates
from batchgnn.modes.temporal.stream import read_stream
from batchgnn.nn.temporal import TemporalModel
from batchgnn.plan.choose import make_job
from batchgnn.plan.ways import planned
from batchgnn.settings.general import Run
from batchgnn.settings.settings import Settings
from batchgnn.store.shard_store import Manifest, ShardStore, read_manifest
from batchgnn.tasks.stream import StreamTask
from batchgnn.tasks.task import Roots

SIZES = (25, 50, 100, 200, 400, 800)
SATURATED = 1.1
"A batch is large enough whose events take at most so much longer than in the best batch."
REPETITIONS = 2


def choose_ways(grid: Grid, shards: Path, settings: Settings) -> Settings:
    """Settings with the ways that `--ways auto` takes; collective.

    The first rank measures, and tells the others. Raises ConfigError.
    """
    options = settings.get(Timeline)
    if options is None or not is_auto(options):
        return settings
    said = None
    with fail_together(grid.world, "choosing ways"):
        if grid.rank == 0:
            manifest = read_manifest(shards)
            job = make_job(shards, manifest, settings, grid.size, grid.node_size)
            found = planned(job, measured(manifest, shards, settings))
            said = [found.ways, found.batch_size]
            print(f"batchgnn: {found.why}.", flush=True)
    ways, batch_size = next(each for each in values_of_all(grid.world, said) if each)
    chosen = {"ways": tuple(ways), "batch_size": batch_size, "lost_updates": LOST_UPDATES}
    return settings.replace(**chosen)


def measured(manifest: Manifest, shards: Path, settings: Settings) -> int:
    """Events that keep this rank busy, by steps of the model on the stream."""
    settings = resolved(settings, manifest.task, manifest.feature_name)
    with use_threads(settings[Run].threads or 1):
        return saturating_batch(_pace(ShardStore(shards), settings))


def saturating_batch(seconds: Callable[[int], float]) -> int:
    """The smallest of SIZES whose events take little longer than those of the best.

    seconds: of an event, in a batch of so many
    """
    taken = {size: seconds(size) for size in SIZES}
    best = min(taken.values())
    return min(size for size, each in taken.items() if each <= SATURATED * best)


def _pace(store: ShardStore, settings: Settings) -> Callable[[int], float]:
    """Seconds of an event in a step forward and backward, by the batch size."""
    task = task_of(settings).make(settings)
    model = build_model(store.manifest, settings, task)
    if not isinstance(model, TemporalModel) or not isinstance(task, StreamTask):
        raise TypeError("mode temporal trains the model of events, on tasks of events")
    task.attach(model.parameters)
    stream = read_stream(store, model.parameters.buffer.dtype)
    negatives, buffer = num_trained_negatives(settings), model.parameters.buffer
    rows = OwnRows(stream.num_vertices, 2 * model.width, buffer.dtype)
    states = VertexStates(stream, rows)
    sampler, middle = (
        Sampler(stream, settings[Timeline].recent, None, model.spec.state_layers),
        len(stream.source) // 2,
    )
    states.tell(0, middle)
    key = negative_key(0, 0, TRAINING)

    def step(size: int) -> None:
        events = np.arange(middle, min(middle + size, len(stream.source)))
        others = training_negatives(stream, events, negatives, key)
        vertex = np.concatenate([stream.source[events], stream.target[events], others.ravel()])
        placed = sampler.place(vertex, np.tile(events, 2 + len(others)), states.mail)
        now, remembered = model.remember(states.read(placed.member).mails(stream))
        rows, attended = model.attend(placed.batch, now, training=True)
        roots = Roots(events, np.zeros(len(events), np.int32), len(events))
        _, gradient = task.loss(rows, roots, 1.0)
        model.remember_backward(model.attend_backward(gradient, attended), remembered)

    def seconds(size: int) -> float:
        found = []
        step(size)
        for _ in range(REPETITIONS):
            begin = time.process_time()
            step(size)
            found.append(time.process_time() - begin)
        return min(found) / min(size, len(stream.source) - middle)

    return seconds
