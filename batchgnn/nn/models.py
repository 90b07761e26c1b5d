"""The table of models: what each is made by, and what it asks of its operators."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from batchgnn.nn.decoupled import DecoupledModel
from batchgnn.nn.gcnii import GcnIIModel
from batchgnn.nn.init import Declared
from batchgnn.nn.model import Model, ModelSpec
from batchgnn.nn.stack import ConvolutionModel


@dataclass(frozen=True, kw_only=True)
class ModelKind:
    """A row of the table.

    name         as `ModelSpec.model` has it
    make         its constructor; the arguments are those of `make_model`
    whole_graph  its operators' sources are their targets: it cannot be sampled
    propagates   its operator has the rounds of `operator.PropagatingOperator`
    """

    name: str
    make: Callable[..., Model]
    whole_graph: bool = False
    propagates: bool = False


_KINDS = (
    *(ModelKind(name=name, make=ConvolutionModel) for name in ("sage", "gcn", "gin", "gat")),
    ModelKind(name="gcnii", make=GcnIIModel, whole_graph=True),
    *(
        ModelKind(name=name, make=DecoupledModel, whole_graph=True, propagates=True)
        for name in ("decoupled-gcn", "decoupled-gat")
    ),
)

MODELS: dict[str, ModelKind] = {kind.name: kind for kind in _KINDS}


def make_model(
    spec: ModelSpec,
    num_features: int,
    num_outputs: int,
    *,
    extra: Mapping[str, Declared] = {},
    seed: int = 0,
    dtype: DTypeLike = np.float32,
) -> Model:
    """The model that `spec` names.

    extra: parameters of a task's head by their names, which lie behind the model's own in the same
    buffer; seed: of the initial weights, the same on every rank
    """
    make = MODELS[spec.model].make
    return make(spec, num_features, num_outputs, extra=extra, seed=seed, dtype=dtype)
