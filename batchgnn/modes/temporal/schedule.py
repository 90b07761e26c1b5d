"""Which batch a rank trains on in a step, and which batch memories are told of.

In step m, memories of a walk are read and told of batch m, by slot m mod j of the j slots. A slot
keeps what it has read and trains on it in j steps running, each time with other negatives and with
the weights of then: on batch m - (m - q) mod j, which is (m - q) mod j steps old. DistTGL
(arXiv:2307.07649), figure 7; its code clamps batches before the first and behind the last, here
nobody trains on them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple


class Turn(NamedTuple):
    """The events first .. last - 1, trained `age` times before."""

    first: int
    last: int
    age: int

    @property
    def size(self) -> int:
        """How many events."""
        return self.last - self.first


@dataclass(frozen=True)
class Schedule:
    """Batches of training events, in `ahead` slots a copy, by `copies` of the memories."""

    num_events: int
    batch_size: int
    ahead: int = 1
    copies: int = 1

    @property
    def num_batches(self) -> int:
        """Of one walk."""
        return -(-self.num_events // self.batch_size)

    @property
    def num_steps(self) -> int:
        """Of an epoch: a walk, and until the last slots are through."""
        return self.num_batches + self.ahead - 1 if self.num_events else 0

    def turn(self, step: int, copy: int, slot: int) -> Turn | None:
        """What a slot of a copy trains on; copies begin elsewhere, and wrap."""
        age = (step - slot) % self.ahead
        if not 0 <= step - age < self.num_batches:
            return None
        begin = copy * self.num_batches // self.copies
        first = (begin + step - age) % self.num_batches * self.batch_size
        return Turn(first, min(first + self.batch_size, self.num_events), age)

    def active(self, step: int) -> int:
        """The slot that reads and tells memories."""
        return step % self.ahead

    def told(self, step: int, copy: int) -> Turn | None:
        """What memories of a copy are told of."""
        return self.turn(step, copy, self.active(step))

    def turns(self, step: int) -> Iterator[Turn]:
        """Of all copies and slots."""
        for copy in range(self.copies):
            for slot in range(self.ahead):
                if (turn := self.turn(step, copy, slot)) is not None:
                    yield turn

    def count(self, step: int) -> int:
        """Events that all train on."""
        return sum(turn.size for turn in self.turns(step))
