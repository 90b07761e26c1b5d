"""`balance.py SHARDS MODE EPOCHS`: processor seconds that each rank's main thread computes for.

Messages are another thread's; waiting for it takes no processor. Seconds of the processor, and not
of the clock: the ranks of a test share too few cores, and one that waits for a core computes
nothing. Prints a line of JSON: lists over the epochs of lists over the ranks.
"""

import json
import sys
import time
from pathlib import Path

from batchgnn.comm.values import values_of_all
from batchgnn.modes.assembly import settings_of
from batchgnn.modes.open import make_mode
from batchgnn.run.session import open_session


def main(shards, mode, epochs):
    """Train, the first epoch not counted: it loads kernels."""
    settings = settings_of(mode=mode, model="gcn", layers=2, hidden=64, threads=1, overlap=True)
    with open_session(Path(shards), settings) as session:
        trained, seconds = make_mode(session), []
        for epoch in range(1 + int(epochs)):
            begin = time.thread_time()
            list(trained.epoch(epoch))
            seconds.append(time.thread_time() - begin)
        every = values_of_all(session.grid.world, seconds[1:])
        held = session.own.num_own, int(session.own.degree_in.sum())
        held = values_of_all(session.grid.world, held)
        if session.is_first:
            by_epoch = list(zip(*every, strict=True))
            print(json.dumps({"compute_seconds": by_epoch, "held": held}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
