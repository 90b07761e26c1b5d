"""A rank that computes much longer than the others: all of them wait for it in every step."""

from typing import Any

import numpy as np

COMPUTING = ("forward", "backward", "update")
"Phases of the main lane in which a rank of minibatches waits for nobody."

TIMES, LEAST_S = 3.0, 1.0


def slow_rank(line: dict[str, Any], places: list[str]) -> str | None:
    """A warning about the slowest rank of an epoch, or None.

    line: of metrics.jsonl, with `rank_phase_seconds`; places: where each rank is
    """
    main = line["rank_phase_seconds"].get("main", {})
    seconds = np.sum([main[name] for name in COMPUTING if name in main] or [[0.0]], axis=0)
    rank, others = int(seconds.argmax()), float(np.median(seconds))
    if len(seconds) < 3 or seconds[rank] < TIMES * others or seconds[rank] - others < LEAST_S:
        return None
    return (
        f"batchgnn: rank {rank} ({places[rank]}) computed {seconds[rank]:.1f} s in epoch "
        f"{line['epoch']}, the others about {others:.1f} s, and waited for it. Look at what else "
        "runs on its cores: batchgnn doctor, under mpirun."
    )
