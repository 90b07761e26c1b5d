"""What tests on ranks share: a store that one rank writes, training on all ranks or on one, bytes.

Functions that take no communicator are collective over all ranks where they say so.
"""

import time
from functools import cache, wraps
from typing import Any, NamedTuple

import numpy as np
from graphs import learnable_graph, shards_of
from mpi4py import MPI

from batchgnn.modes import assembly
from batchgnn.modes.assembly import settings_of
from batchgnn.modes.inputs import make_table
from batchgnn.modes.open import make_mode
from batchgnn.nn.models import make_model
from batchgnn.run.session import open_session
from batchgnn.watch import trace

ALIKE = {"overlap": False, "threads": 1, "collective_timeout": 60}
WHOLE = settings_of(mode="fullgraph", layers=3, hidden=14, lr=0.01, dropout=0.4, **ALIKE)
SAMPLED = settings_of(
    layers=2, hidden=16, fanouts=(4, 3), batch_size=60, macrobatch=3, lr=0.01, **ALIKE
)
GRAPHS: dict[str, dict[str, Any]] = {
    "undirected": {"num_vertices": 397},
    "directed weighted": {"directed": True},
    "many labels": {"multilabel": True, "num_vertices": 203},
    "even": {"num_vertices": 396, "num_classes": 12},
}
"Isolated vertices, doubled edges, missing labels; all but one of sizes that ranks do not divide."


def changed(settings, **options):
    """Other settings; attention has two heads."""
    heads = {"heads": 2} if options.get("model") == "gat" else {}
    return assembly.changed(settings, **heads | options)


def written(path, num_shards=4, **options):
    """A store of `learnable_graph(**options)`, the same on every rank; the first writes it."""
    if MPI.COMM_WORLD.rank == 0 and not path.exists():
        shards_of(learnable_graph(**options), path, num_shards)
    wait_asleep()
    return path


def wait_asleep():
    """A barrier of all ranks that leaves the processors to those who are late."""
    request = MPI.COMM_WORLD.Ibarrier()
    while not request.Test():
        time.sleep(0.001)


def on_few_ranks(comm, count, function):
    """What `function(comm)` returns on the first `count` ranks, on all; the others sleep."""
    few = comm.Split(comm.rank >= count)
    found = function(few) if comm.rank < count else None
    wait_asleep()
    few.Free()
    return comm.bcast(found)


def trainers_of(num_ranks):
    """As many trainers as divide the ranks, down from half of them."""
    return next(m for m in range(max(num_ranks // 2, 1), 0, -1) if num_ranks % m == 0)


def on_one_rank(function):
    """`function(COMM_SELF, ...)` of the first rank, known to all, once for the same arguments.

    Collective.
    """

    @cache
    @wraps(function)
    def alone(*args, **options):
        found = function(MPI.COMM_SELF, *args, **options) if MPI.COMM_WORLD.rank == 0 else None
        wait_asleep()
        return MPI.COMM_WORLD.bcast(found)

    return alone


def mean_loss(comm, steps):
    """Mean over all ranks' seeds of the steps of an epoch."""
    sums = np.zeros(2)
    for result in steps:
        sums += [result.loss_sum, result.num_seeds]
    sums = comm.allreduce(sums)
    return sums[0] / sums[1]


def by_vertex(session, rows):
    """Rows of the vertices owned here, by original id."""
    return dict(zip(session.own.original_id.tolist(), rows, strict=True))


class Trained(NamedTuple):
    """Mean losses, the first gradient, the last parameters, and exact logits by original id."""

    losses: list
    gradient: dict
    parameters: np.ndarray
    logits: dict


def with_model(session, dtype):
    """The session with a model of this precision."""
    task, manifest = session.task, session.manifest
    sizes, head = (manifest.num_features, task.width(manifest)), task.head()
    how = {"extra": head, "seed": session.seed, "dtype": dtype}
    session.model = make_model(session.model.spec, *sizes, **how)
    session.task.attach(session.model.parameters)
    session.table = make_table(session.own, session.settings, dtype)
    return session


def train_whole(comm, shards, settings, make=make_mode, dtype=np.float64, epochs=20):
    """Train on the whole graph by the mode that `make(session)` gives."""
    with open_session(shards, settings, comm) as session:
        mode = make(with_model(session, dtype))
        parameters, losses = session.model.parameters, []
        for epoch in range(epochs):
            losses.append(mean_loss(session.grid.world, mode.epoch(epoch)))
            if epoch == 0:
                gradient = {name: grad.copy() for name, grad in parameters.grads.items()}
        logits = by_vertex(session, mode.inference().logits())
        return Trained(losses, gradient, parameters.buffer.copy(), logits)


def assert_same_training(got, expected, rtol=1e-9):
    """Losses to 1e-12, the first gradient to 1e-10; rtol: of what 20 epochs of Adam enlarged."""
    np.testing.assert_allclose(got.losses, expected.losses, rtol=1e-12)
    assert got.losses[-1] < got.losses[0]
    for name, grad in got.gradient.items():
        wanted = expected.gradient[name]
        np.testing.assert_allclose(grad, wanted, rtol=1e-10, atol=1e-14, err_msg=name)
    np.testing.assert_allclose(got.parameters, expected.parameters, rtol=rtol, atol=rtol / 100)
    for vertex, row in got.logits.items():
        np.testing.assert_allclose(row, expected.logits[vertex], rtol=rtol, atol=rtol / 10)


def counted_epoch(mode, epoch=0):
    """What `trace` counts in an epoch, by thread."""
    trace.reset()
    list(mode.epoch(epoch))
    return trace.snapshot()


def sent_bytes(comm, counts, *names):
    """Bytes of collectives over all ranks, on either thread."""
    lanes = [lane["collectives"] for lane in counts.values()]
    return comm.allreduce(int(sum(each[n]["bytes"] for each in lanes for n in names if n in each)))


def collectives(counts):
    """Those of the main thread."""
    return counts.get("main", {"collectives": {}})["collectives"]
