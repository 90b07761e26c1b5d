"""A rank that computes much longer than the others, said while it happens: all wait for it.

Every sum of a gradient carries the seconds that each rank computed since the one before. So each
rank knows its own share and that of the others without a message, and the slow one speaks itself.
"""

import time

from batchgnn.watch import trace

TIMES, LEAST_S = 3.0, 1.0
LOOK_S, AGAIN_S = 10.0, 300.0
"How often the shares are compared, and how long a rank is silent after it has spoken."


class Pace:
    """Compares this rank's seconds of computing with those of the others, over LOOK_S at least."""

    def __init__(self, rank: int, num_ranks: int, place: str):
        """place: the host, for messages."""
        self.rank, self.num_others, self.place = rank, num_ranks - 1, place
        self.silent_until_s = 0.0
        self._begin()
        self.is_warm = False

    def _begin(self) -> None:
        self.since_s, self.mine_s, self.all_s = time.monotonic(), 0.0, 0.0

    def step(self, mine_s: float, all_s: float) -> str | None:
        """Count a step; a warning when this rank is the slow one. The first step compiles.

        mine_s: seconds that this rank computed; all_s: summed over the ranks
        """
        if not self.is_warm:
            self.is_warm = True
            self._begin()
            return None
        self.mine_s, self.all_s = self.mine_s + mine_s, self.all_s + all_s
        now = time.monotonic()
        seconds = now - self.since_s
        if seconds < LOOK_S or not self.num_others:
            return None
        mine, others = self.mine_s, (self.all_s - self.mine_s) / self.num_others
        self._begin()
        if mine < TIMES * others or mine - others < LEAST_S or now < self.silent_until_s:
            return None
        self.silent_until_s = now + AGAIN_S
        return (
            f"batchgnn: rank {self.rank} ({self.place}) computed {mine:.1f} of the last "
            f"{seconds:.0f} s, the other ranks {others:.1f} s, and waited for it: "
            f"{trace.where()}. Look at what else runs on its cores: batchgnn doctor, under mpirun."
        )
