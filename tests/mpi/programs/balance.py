"""`balance.py SHARDS MODE EPOCHS`: processor seconds that each rank's main thread computes for.

Messages are another thread's; waiting for it takes no processor. Prints a line of JSON.
"""

import json
import sys
import time
from pathlib import Path

from batchgnn.config import Settings
from batchgnn.modes.choice import make_mode
from batchgnn.session import open_session


def main(shards, mode, epochs):
    """Train, the first epoch not counted: it loads kernels."""
    settings = Settings(mode=mode, model="gcn", layers=2, hidden=64, threads=1, overlap=True)
    with open_session(Path(shards), settings) as session:
        trained, seconds = make_mode(session), 0.0
        for epoch in range(1 + int(epochs)):
            begin = time.thread_time()
            list(trained.epoch(epoch))
            seconds += (epoch > 0) * (time.thread_time() - begin)
        every = session.grid.world.allgather(seconds)
        if session.is_first:
            print(json.dumps({"compute_seconds": every}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
