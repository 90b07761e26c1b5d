"""`batchgnn evaluate`: exact scores of a run's best model, layer by layer over all vertices."""

import json
from pathlib import Path
from typing import Literal

from batchgnn.comm.failure import fail_together
from batchgnn.modes.open import make_inference
from batchgnn.run.session import load_best, open_run
from batchgnn.run.training_state import by_key


def evaluate(
    run: Path,
    *,
    split: Literal["train", "val", "test"] = "test",
    metric: str | None = None,
    shards: Path | None = None,
) -> None:
    """Print the exact scores of a run's best model, as one line of JSON.

    Parameters
    ----------
    run
        run folder, made by `batchgnn train`
    split
        vertices to score
    metric
        score; by default the one that chose the best model
    shards
        shard store, when it has moved since training, or another cut, or another graph with the
        same features and classes
    """
    with open_run(run, shards, metric) as share:
        with fail_together(share.grid.world, f"opening {run}"):
            load_best(share, run, shards)
        scores = share.evaluate(make_inference(share), split)
        if share.is_first:
            print(json.dumps(by_key(scores)), flush=True)
