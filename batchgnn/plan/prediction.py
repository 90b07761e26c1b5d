"""What is predicted of one mode: seconds by what takes them, bytes, calls, memory, and remarks."""

from dataclasses import dataclass, field
from typing import Any

from batchgnn.base.bytes import MemoryPlan

SAMPLING, AGGREGATION, PRODUCTS = "sampling", "aggregation", "matrix products"
ROWS, PACKING, MESSAGES = "bias, activation, dropout", "packing of messages", "messages"
FILLING = "filling of the pipeline"
TERMS = (SAMPLING, AGGREGATION, PRODUCTS, ROWS, PACKING, MESSAGES, FILLING)


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """A mode on P ranks; an epoch of training, without evaluation.

    options   settings besides the mode that it was predicted with, where they are not the user's
    is_exact    whether it trains the model that was asked for, as one process would
    is_sampled  whether a step computes for few vertices, not for all
    seconds   of the slowest rank, by the names of TERMS
    hidden_s  part of the messages' seconds that passes while edges are multiplied
    steps     optimiser steps of an epoch
    bytes     sent by all ranks
    calls     collectives of a rank
    memory    peak of the rank that needs most; allowed: what it may use
    check_s   seconds in which a rank looks at every byte of its shards, once, before training
    """

    exactness: str
    seconds: dict[str, float]
    hidden_s: float
    steps: int
    bytes: float
    calls: float
    memory: MemoryPlan
    allowed: int
    notes: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    mode: str = ""
    is_sampled: bool = False
    is_exact: bool = True
    check_s: float = 0.0

    @property
    def name(self) -> str:
        """The mode, with its options as on the command line."""
        given = [
            f"--{key.replace('_', '-')}{'' if value is True else f' {value}'}"
            for key, value in self.options.items()
        ]
        return " ".join([self.mode, *given])

    @property
    def epoch_s(self) -> float:
        """Seconds of an epoch."""
        return sum(self.seconds.values()) - self.hidden_s

    @property
    def fits(self) -> bool:
        """Whether a rank may use the memory that it needs."""
        return self.memory.total <= self.allowed
