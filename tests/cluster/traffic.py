"""An MPI program and its measure: how fast all ranks send to all others at once.

`mpirun -n P python traffic.py BYTES [REPEATS]` prints one JSON object.
"""

import json
import socket
import sys
import time

import numpy as np


def measure(comm, num_bytes: int, repeats: int = 1) -> dict:
    """Send `num_bytes` from every rank to every other, `repeats` times; collective.

    `bytes_per_second` is what one rank sent, in the fastest of the repeats; `barrier_s` the median
    time of a barrier; `sent_bytes` what one rank sent in all.
    """
    src = np.zeros((comm.size, num_bytes), np.uint8)
    dst = np.empty_like(src)
    seconds, barriers = [], []
    for _ in range(repeats):
        barriers += _barriers(comm, 20)
        begin = time.perf_counter()
        comm.Alltoall(src, dst)
        comm.Barrier()
        seconds.append(time.perf_counter() - begin)
    sent = num_bytes * (comm.size - 1)
    return {
        "hosts": comm.allgather(socket.gethostname()),
        "sent_bytes": sent * repeats,
        "bytes_per_second": sent / comm.allreduce(min(seconds)) * comm.size,
        "barrier_s": float(np.median(barriers)),
    }


def _barriers(comm, count: int) -> list[float]:
    comm.Barrier()
    seconds = []
    for _ in range(count):
        begin = time.perf_counter()
        comm.Barrier()
        seconds.append(time.perf_counter() - begin)
    return seconds


if __name__ == "__main__":
    from mpi4py import MPI

    measured = measure(MPI.COMM_WORLD, int(sys.argv[1]), *map(int, sys.argv[2:]))
    if MPI.COMM_WORLD.rank == 0:
        print(json.dumps(measured), flush=True)
