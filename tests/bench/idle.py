"""When the threads that sample and fetch for a macrobatch mode have nothing left to do.

What they prepare while steps are timed has to be counted in full: with overlap, a macrobatch was
fetched and another sampled when the timing began, and as much must be ready when it ends.
"""

import threading
from collections.abc import Callable

from batchgnn.modes.macrobatch.mode import MacrobatchMode

PREPARE_S = 600.0


class Idle:
    """Counts the macrobatches that `mode` draws and fetches in an epoch."""

    def __init__(self, mode: MacrobatchMode):
        self.mode, self._changed = mode, threading.Condition()
        mode.draw = self._counted("draw", mode.draw)  # type: ignore[method-assign]
        mode.fetch = self._counted("fetch", mode.fetch)  # type: ignore[method-assign]
        self.begin_epoch()

    def begin_epoch(self) -> None:
        """No thread prepares anything now."""
        self._made = {"draw": 0, "fetch": 0}

    def wait(self, num_trained: int) -> None:
        """Until all is made that is made before the consumer asks for more.

        num_trained: steps of this epoch so far, whole macrobatches
        """
        taken, every = (
            -(-steps // self.mode.macrobatch) for steps in (num_trained, self.mode.num_steps)
        )
        ahead = {"draw": 2, "fetch": 1} if self.mode.overlap else {"draw": 0, "fetch": 0}
        wanted = {name: min(taken + each, every) for name, each in ahead.items()}
        with self._changed:
            if not self._changed.wait_for(lambda: self._made == wanted, PREPARE_S):
                raise TimeoutError(f"{self._made} in {PREPARE_S:.0f} s, wanted {wanted}")

    def _counted(self, name: str, make: Callable) -> Callable:
        def counted(*arguments):
            try:
                return make(*arguments)
            finally:
                with self._changed:
                    self._made[name] += 1
                    self._changed.notify()

        return counted
