"""What is predicted of one mode: seconds by what takes them, bytes, calls, memory, and remarks."""

from dataclasses import dataclass

from batchgnn.memory import MemoryPlan

SAMPLING, AGGREGATION, PRODUCTS = "sampling", "aggregation", "matrix products"
ROWS, PACKING, MESSAGES = "bias, activation, dropout", "packing of messages", "messages"
TERMS = (SAMPLING, AGGREGATION, PRODUCTS, ROWS, PACKING, MESSAGES)


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """A mode on P ranks; an epoch of training, without evaluation.

    seconds   of the slowest rank, by the names of TERMS
    hidden_s  part of the messages' seconds that passes while edges are multiplied
    steps     optimiser steps of an epoch
    bytes     sent by all ranks
    calls     collectives of a rank
    memory    peak of the rank that needs most; allowed: what it may use
    """

    mode: str
    exactness: str
    seconds: dict[str, float]
    hidden_s: float
    steps: int
    bytes: float
    calls: float
    memory: MemoryPlan
    allowed: int
    notes: tuple[str, ...] = ()

    @property
    def epoch_s(self) -> float:
        """Seconds of an epoch."""
        return sum(self.seconds.values()) - self.hidden_s

    @property
    def fits(self) -> bool:
        """Whether a rank may use the memory that it needs."""
        return self.memory.total <= self.allowed
