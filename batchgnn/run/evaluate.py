"""`batchgnn evaluate`: exact scores of a run's best model, layer by layer over all vertices."""

import json
from pathlib import Path
from typing import Literal

from batchgnn.comm.failure import fail_together
from batchgnn.modes.choice import make_inference
from batchgnn.run.session import load_best, open_run
from batchgnn.settings.config import Metric
from batchgnn.tasks.scores import SPLITS, score


def evaluate(
    run: Path,
    *,
    split: Literal["train", "val", "test"] = "test",
    metric: Metric | None = None,
    shards: Path | None = None,
) -> None:
    """Print the exact score of a run's best model, as one line of JSON.

    Parameters
    ----------
    run
        run folder, made by `batchgnn train`
    split
        vertices to score
    metric
        score; by default the one that chose the best model
    shards
        shard store, when it has moved since training
    """
    with open_run(run, shards, metric) as session:
        with fail_together(session.grid.world, f"opening {run}"):
            load_best(session, run)
        logits = make_inference(session).logits()
        rows, name = session.split() == SPLITS[split], session.settings.score_name
        value = score(session.grid.world, logits[rows], session.own.label[rows], name)
        if session.is_first:
            print(json.dumps({f"{split}_{name}": value}), flush=True)
