"""`train.py SHARDS`: trains in every mode and prints what came out, as a line of JSON.

Run with and without `python -O`, which leaves out every `assert`: the lines must be the same.
"""

import json
import sys
from pathlib import Path

import numpy as np
from mpi.together import mean_loss

from batchgnn.modes.assembly import settings_of
from batchgnn.modes.kinds import MODES
from batchgnn.modes.open import make_mode
from batchgnn.run.session import open_session

BRIEF = {"averaging": {"round": "2steps"}}
"So that an epoch of a mode takes a moment."


def main(shards):
    """By mode: the mean losses of three epochs, exact validation scores, and bytes of features
    that all ranks hold in memory before the first step.
    """
    found = {}
    for name in (name for name, kind in MODES.items() if not kind.of_events):
        held = {"feature_dtype": "float16", "features": "memory"}
        settings = settings_of(
            mode=name, layers=2, hidden=8, threads=1, **held, **BRIEF.get(name, {})
        )
        with open_session(Path(shards), settings) as share:
            share.own.load_features()
            here = ["features" in vars(share.own), share.own.copied_feature_bytes]
            loaded = share.grid.world.allreduce(np.array(here)).tolist()
            mode, world = make_mode(share), share.grid.world
            losses = [mean_loss(world, mode.epoch(epoch)) for epoch in range(3)]
            scores = [score.value for score in mode.evaluate()["val"]]
            found[name] = {"losses": losses, "scores": scores, "loaded": loaded}
            is_first = share.is_first
    if is_first:
        print(json.dumps({"debug": __debug__, "modes": found}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
