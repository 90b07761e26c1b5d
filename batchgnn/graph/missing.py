"""How many updates of vertices a batch of events loses: a memory keeps one message a batch.

missing(B) of DistTGL (arXiv:2307.07649, section 3.2): the share of events' ends that are followed
by another event of the same vertex in the same batch. It rises with B, and says how large a batch
may be.
"""

import numpy as np

from batchgnn.kernels.stream import count_captured

LOST_UPDATES = 0.73
"What the usual batch of 600 events loses of the Wikipedia stream."
BATCH_SIZES = (100, 200, 300, 600, 1200, 2400, 4800)
"What `batchgnn inspect` shows."


def missing_updates(
    source: np.ndarray, target: np.ndarray, num_vertices: int, batch_size: int
) -> float:
    """missing(batch_size), from 0 to 1; an event of a vertex with itself has one end.

    source, target  integers (E,), in the order of the stream
    """
    ends = 2 * len(source) - int(np.count_nonzero(source == target))
    last = np.empty(num_vertices, np.int64)
    captured = count_captured(source, target, batch_size, last)
    return 1 - captured / ends if ends else 0.0


def largest_batch(source: np.ndarray, target: np.ndarray, num_vertices: int, most: float) -> int:
    """The largest batch size, up to all events, that loses at most a share of updates; at least 1.

    By bisection: missing(B) rises with B, but for where batches happen to begin.
    """
    low, high = 1, max(len(source), 1)
    while low < high:
        middle = (low + high + 1) // 2
        if missing_updates(source, target, num_vertices, middle) <= most:
            low = middle
        else:
            high = middle - 1
    return low
