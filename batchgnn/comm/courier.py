"""Exchanges carried out in a thread of their own, in the order they were posted.

MPI moves large messages only while somebody calls it: a kernel that runs meanwhile does not.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from batchgnn.watch import trace

T = TypeVar("T")


class Posted(Generic[T]):
    """An exchange that is under way, or done."""

    def __init__(self, future: "Future[T]"):
        self._future = future

    def wait(self) -> T:
        """What it returned, or raises what it raised; counted as phase "wait"."""
        with trace.phase("wait"):
            return self._future.result()


class Courier:
    """Does what it is given while the caller goes on; all ranks must post in the same order.

    What is posted may call MPI on a communicator that only this thread uses. With `enabled=False`
    it is done at once, in the caller's thread.
    """

    def __init__(self, *, enabled: bool):
        self._pool = None
        if enabled:
            self._pool = ThreadPoolExecutor(1, "courier", trace.use_lane, ("background",))

    def post(self, work: Callable[[], T]) -> Posted[T]:
        """Begin `work`."""
        if self._pool is not None:
            return Posted(self._pool.submit(work))
        done: Future[T] = Future()
        done.set_result(work())
        return Posted(done)
