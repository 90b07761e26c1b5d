"""One rank misbehaves in the way that the first argument names, while the others wait for it."""

import os
import signal
import sys
import threading
import time

from batchgnn.base.errors import StoreError
from batchgnn.comm.failure import Watchdog, abort_on_exception, fail_together
from batchgnn.comm.grid import start
from batchgnn.watch import trace


def meet(ranks):
    """ranks: a Grid, or some of its ranks."""
    with trace.collective("meeting", ranks.world.name):
        ranks.world.Barrier()


def exception(grid):
    if grid.rank == 1:
        raise KeyError("a fault of rank 1")
    meet(grid)


def thread_exception(grid):
    def fail():
        raise KeyError("a fault in a thread")

    if grid.rank == 1:
        threading.Thread(target=fail).start()
    meet(grid)
    time.sleep(30)


def user_error(grid):
    if grid.rank == 1:
        raise StoreError("this rank has no shards")
    meet(grid)


def user_error_together(grid):
    with fail_together(grid.world, "opening"):
        raise StoreError("shards/: no such folder")


def fault_together(grid):
    with fail_together(grid.world, "opening"):
        if grid.rank == 1:
            raise KeyError("a fault of rank 1")


def stopped(grid):
    if grid.rank == 1:
        os.kill(os.getpid(), signal.SIGSTOP)
    meet(grid)


def late(grid):
    trace.mark("epoch 3 step 17")
    meet(grid)
    if grid.rank == 1:
        time.sleep(60)
    meet(grid)


def late_in_thread(grid):
    def fetch():
        trace.use_lane("background")
        if grid.rank == 1:
            time.sleep(60)
        with trace.collective("fetch rows", grid.background.name):
            grid.background.Barrier()

    thread = threading.Thread(target=fetch, daemon=True)
    thread.start()
    thread.join()


def stopped_in_a_group(grid):
    """Even ranks meet five times and are then busy; odd ones meet once, and again but for one."""
    is_odd = grid.rank % 2
    group = grid.some(is_odd)
    for _ in range(1 if is_odd else 5):
        meet(group)
    if grid.rank == 3:
        os.kill(os.getpid(), signal.SIGSTOP)
    if is_odd:
        meet(group)
    time.sleep(60)


def late_after_groups(grid):
    """Ranks 0 and 1 meet five times, 2 and 3 once; then all, of whom one is late."""
    group = grid.some(grid.rank // 2)
    for _ in range(5 if grid.rank < 2 else 1):
        meet(group)
    if grid.rank == 1:
        time.sleep(60)
    meet(grid)


def killed(grid):
    meet(grid)
    if grid.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    meet(grid)


def signalled(grid):
    arrived = threading.Event()
    signal.signal(signal.SIGUSR1, lambda *_: arrived.set())
    print(f"rank {grid.rank} is ready", flush=True)
    arrived.wait(60)
    print(f"rank {grid.rank} was signalled", flush=True)


def asleep(grid):
    print(f"rank {grid.rank} is ready", flush=True)
    time.sleep(60)


def status(grid):
    sys.exit(7)


with start() as grid, abort_on_exception(grid.world), Watchdog(grid, 3.0, answer_s=3.0):
    globals()[sys.argv[1]](grid)
