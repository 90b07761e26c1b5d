"""`wave.py SHARDS LAYERS`: trains GCNII in float64, exactly on the first rank and then by
wavefront on all; prints losses and slots as a line of JSON.
"""

import json
import sys
from pathlib import Path

from mpi.together import changed, mean_loss, settings_of, wait_asleep, with_model
from mpi4py import MPI

from batchgnn.base import buffers
from batchgnn.modes.open import make_mode
from batchgnn.modes.pipeline.slots import WAYS
from batchgnn.run.session import open_session
from batchgnn.watch import trace

EPOCHS, MOST_SPANS = 2, 1 << 16
HOW = {"model": "gcnii", "hidden": 8, "dropout": 0.2, "lr": 0.01, "threads": 1}


def losses_of(comm, shards, settings):
    """Of EPOCHS epochs; slots of the last of them on this rank, by their name; the run's totals."""
    with open_session(Path(shards), settings, comm) as session:
        mode = make_mode(with_model(session, "float64"))
        losses = []
        for epoch in range(EPOCHS):
            trace.record(MOST_SPANS)
            losses.append(mean_loss(session.grid.world, mode.epoch(epoch)))
            spans, _ = trace.recorded()
            mode.counts()
        slots = [(each.name, each.about["slot"]) for each in spans if each.name in WAYS]
        return losses, slots, mode.totals()


def main(shards, layers):
    comm = MPI.COMM_WORLD
    settings = settings_of(mode="fullgraph", layers=int(layers), overlap=False, **HOW)
    exact = losses_of(MPI.COMM_SELF, shards, settings)[0] if comm.rank == 0 else None
    buffers.release()
    wait_asleep()
    wave = changed(settings, mode="pipeline", wavefront=True)
    losses, mine, totals = losses_of(comm, shards, wave)
    slots = {tuple(each) for of_rank in comm.allgather(mine) for each in of_rank}
    peaks = comm.allgather(trace.peak_memory_bytes())
    if comm.rank == 0:
        counted = {way: len([n for name, n in slots if name == way]) for way, _ in slots}
        found = {"exact": exact, "wave": losses, "counted": counted, "peaks": peaks}
        print(json.dumps(found | totals), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
