"""Items made one ahead, in a thread, while the consumer works on the one before."""

import queue
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Generic, TypeVar

import numba

from batchgnn.watch import trace

T = TypeVar("T")
GIVE_UP_S = 5.0


class Background(Generic[T]):
    """`for item in Background(make, n)` yields make(0) ... make(n - 1), each made one ahead.

    Item k + 1 is begun when the consumer takes item k, never sooner: two items exist at a time, and
    consumers that stop after the same item have made the same items on every rank, so `make` may
    call MPI on a communicator of its own. An exception of `make` is raised in the consumer in place
    of its item. Leaving the context manager ends the thread after the item it is making. With
    `enabled=False` items are made in the consumer's thread when asked for. Kernels run on as many
    threads in one as in the other: while one waits, the cores are the other's. The consumer may be
    the `make` of another: stages of a pipeline, each an item ahead of the next.
    """

    def __init__(
        self,
        make: Callable[[int], T],
        count: int,
        *,
        enabled: bool = True,
        lane: str = "background",
        waiting: str = "wait",
    ):
        """lane: the thread's; waiting: the phase in which the consumer waits for an item."""
        self.make, self.count, self.enabled = make, count, enabled
        self.lane, self.waiting = lane, waiting
        self._wanted: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._made: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()
        self._num_threads = numba.get_num_threads()  # a setting of each thread
        self._thread = threading.Thread(target=self._run, name=lane, daemon=True)

    def __enter__(self) -> "Background[T]":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """After an exception the item being made may wait for a rank that is gone: give up.

        Unless all ranks leave with it: then each makes its item, and nobody may be left waiting.
        """
        together = error is None or getattr(error, "on_all_ranks", False)
        self.close(None if together else GIVE_UP_S)

    def __iter__(self) -> Iterator[T]:
        if not self.enabled:
            yield from map(self.make, range(self.count))
            return
        if self.count:
            self._thread.start()
            self._wanted.put(0)
        for k in range(self.count):
            with trace.phase(self.waiting):
                item, error = self._made.get()
            if error is not None:
                raise error
            if k + 1 < self.count:
                self._wanted.put(k + 1)
            yield item  # type: ignore[misc]
            del item
        self.close()

    def close(self, timeout_s: float | None = None) -> None:
        """Finish the item being made and end the thread; wait for that at most `timeout_s`."""
        self._wanted.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        trace.use_lane(self.lane)
        numba.set_num_threads(self._num_threads)
        while (k := self._wanted.get()) is not None:
            try:
                made = self.make(k)
            except BaseException as error:
                self._made.put((None, error))
                return
            self._made.put((made, None))
            del made
