"""Options that several modes have."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np

from batchgnn.kernels.half import FEATURE_DTYPES
from batchgnn.settings.checks import AT_LEAST_ONE, NOT_NEGATIVE


@dataclass(frozen=True, kw_only=True)
class Messages:
    """When rows travel."""

    FREE: ClassVar = ("overlap",)

    overlap: bool | None = None
    """Communicate in threads of their own: the rows of the next minibatches, of other ranks'
    vertices or of the next chunk of edges travel while others are multiplied. [default: where ranks
    send each other rows]"""


@dataclass(frozen=True, kw_only=True)
class Halo:
    """What ranks send of vertices that others aggregate."""

    FREE: ClassVar = ("halo",)

    halo: Literal["cover", "rows"] | None = None
    """What travels between ranks that have the edges of their own vertices: rows = a row of each
    source that another rank owns; cover = of some sources the row and for some targets the sum over
    the others, as few of both as there can be. The numbers are the same up to the order of sums.
    [default: cover, but rows with --model gat]"""

    @property
    def covers(self) -> bool:
        """Whether sums travel too."""
        return self.halo == "cover"


@dataclass(frozen=True, kw_only=True)
class Wire:
    """How wide numbers are that travel."""

    wire: Literal["float32", "bfloat16"] = "float32"
    """What rows of an aggregation and their gradients are rounded to before they travel: bfloat16 =
    half the bytes, 8 bits of each number; approximate. Arithmetic stays float32. Not with models
    that attend, nor with those that propagate."""

    @property
    def bits(self) -> np.dtype | None:
        """What holds the rounded numbers; None: they are not rounded."""
        return None if self.wire == "float32" else FEATURE_DTYPES[self.wire]

    @property
    def item_bytes(self) -> int:
        """Of a float32 that travels."""
        return 4 if self.bits is None else self.bits.itemsize

    @property
    def remarks(self) -> list[str]:
        """What result.json says of it."""
        return [] if self.bits is None else [f"approximate: rows travel as {self.wire}"]


@dataclass(frozen=True, kw_only=True)
class Steps:
    """What happens between the steps of an epoch that has several."""

    FREE: ClassVar = ("checkpoint_every",)

    checkpoint_every: Annotated[int, NOT_NEGATIVE] = 0
    "Optimiser steps between checkpoints inside an epoch; 0 = only at the ends of epochs."


@dataclass(frozen=True, kw_only=True)
class VertexInputs:
    """What of a vertex the first layer reads."""

    inputs: Literal["features", "constant", "degree", "embedding"] = "features"
    """What a vertex enters the model with: its features; or, also where it has none, constant = a
    1, degree = log(1 + its in-edges), embedding = a row of its own, trained with the model, without
    weight decay."""

    input_width: Annotated[int | None, AT_LEAST_ONE] = None
    "Columns of a trained row, for --inputs embedding. [default: 64]"

    @property
    def is_made(self) -> bool:
        """Whether the stored features are not read."""
        return self.inputs != "features"

    @property
    def is_trained(self) -> bool:
        """Whether rows are parameters."""
        return self.inputs == "embedding"
