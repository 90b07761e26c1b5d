"""Memory that a rank will need to train and evaluate, before work starts. Upper bounds."""

import psutil

from batchgnn.memory import MemoryPlan, parse_bytes
from batchgnn.modes.inference import CHUNK_BYTES

INTERPRETER_BYTES = 400 << 20
"Python, libraries, compiled kernels and MPI's buffers."


def plan_memory(session) -> MemoryPlan:
    """Peak bytes of `mode macrobatch` on this rank, by what holds them; session: a Session.

    A frontier holds at most seeds x product of (fanout + 1) vertices, and at most all vertices.
    Shards are mapped, not copied: the operating system may drop their pages at any time.
    """
    settings, model, own = session.settings, session.model, session.own
    width, widths = session.manifest.num_features, model.widths
    frontiers, edges = frontier_bounds(session)
    in_flight = settings.macrobatch * (2 if settings.overlap else 1)
    fetched = min(settings.macrobatch * frontiers[-1], session.manifest.num_vertices - own.num_own)
    inputs = frontiers[-1] * width * 4 * (2 if settings.input_dropout else 1)
    return MemoryPlan(
        {
            "the interpreter and its libraries": INTERPRETER_BYTES,
            "parameters, gradients and moments": 6 * model.parameters.buffer.nbytes,
            "labels, splits and ids": int(own.label.nbytes + own.split.nbytes + 40 * own.num_own),
            "blocks of two macrobatches": in_flight * sum(32 * e for e in edges),
            "fetched rows of two macrobatches": 2 * fetched * width * own.features.dtype.itemsize,
            "input rows of a minibatch": inputs,
            "activations of a minibatch": sum(
                20 * n * (before + after)
                for n, before, after in zip(frontiers[-2::-1], widths, widths[1:], strict=False)
            ),
            "layers of the exact evaluation": 2 * own.num_own * 4 * max(widths[1:])
            + 2 * CHUNK_BYTES,
        }
    )


def allowed_bytes(memory: str | None, ranks_on_node: int) -> int:
    """What a rank may use: as set, else its share of the memory that the node has free."""
    if memory is not None:
        return parse_bytes(memory)
    return psutil.virtual_memory().available // ranks_on_node


def frontier_bounds(session) -> tuple[list[int], list[int]]:
    """Most vertices of this rank's frontiers, seeds first, and most edges of its hops."""
    manifest, settings, own = session.manifest, session.settings, session.own
    own_train = manifest.num_train[own.shards, settings.split_index]
    num_steps = max(
        1, -(-int(manifest.num_train[:, settings.split_index].sum()) // settings.batch_size)
    )
    frontiers, edges = [int((-(-own_train // num_steps)).sum())], []
    for fanout in settings.fanouts:
        drawn = frontiers[-1] * fanout if fanout > 0 else manifest.num_edges
        edges.append(min(drawn, manifest.num_edges))
        frontiers.append(min(frontiers[-1] + edges[-1], manifest.num_vertices))
    return frontiers, edges
