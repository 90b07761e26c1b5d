"""The table of models: what each is made by, and what it asks of its operators."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from batchgnn.nn.decoupled import DecoupledModel
from batchgnn.nn.gcnii import GcnIIModel
from batchgnn.nn.init import Declared
from batchgnn.nn.model import Model, ModelSpec
from batchgnn.nn.options import (
    Attention,
    BetweenLayers,
    Convolutions,
    Heads,
    InitialResidual,
    Layers,
    States,
)
from batchgnn.nn.stack import ConvolutionModel
from batchgnn.nn.temporal_layers import DeepTemporalModel


@dataclass(frozen=True, kw_only=True)
class ModelKind:
    """A row of the table.

    name            as `ModelSpec.model` has it
    make            its constructor; the arguments are those of `make_model`
    options         subjects of settings that it has
    whole_graph     its operators' sources are their targets: it cannot be sampled
    propagates      its operator has the rounds of `operator.PropagatingOperator`
    of_events       its input are events, not features of vertices
    learned_inputs  why its first layer's aggregation cannot be kept, where it cannot
    needs           why not every mode can train it, where not every one can
    """

    name: str
    make: Callable[..., Model]
    options: tuple[type, ...]
    whole_graph: bool = False
    propagates: bool = False
    of_events: bool = False
    learned_inputs: str = ""
    needs: str = "whose neighbours are those of edges, not of events"


STACK = (Layers, BetweenLayers, Convolutions)
ATTENDS = "whose learned attention weighs the neighbours anew in every step"
TO_PROPAGATE = "whose propagations take all edges at once"
BEHIND = "which aggregates the result of its layers, not features"

_KINDS = (
    ModelKind(name="sage", make=ConvolutionModel, options=STACK),
    ModelKind(name="gcn", make=ConvolutionModel, options=STACK),
    ModelKind(name="gin", make=ConvolutionModel, options=STACK),
    ModelKind(
        name="gat",
        make=ConvolutionModel,
        options=(*STACK, Heads, Attention),
        learned_inputs=ATTENDS,
    ),
    ModelKind(
        name="gcnii",
        make=GcnIIModel,
        options=(Layers, Convolutions, InitialResidual),
        whole_graph=True,
        learned_inputs="whose first convolution aggregates learned rows, not features",
        needs="whose deep neighbourhoods sampling cannot follow",
    ),
    ModelKind(
        name="decoupled-gcn",
        make=DecoupledModel,
        options=(Layers,),
        whole_graph=True,
        propagates=True,
        learned_inputs=BEHIND,
        needs=TO_PROPAGATE,
    ),
    ModelKind(
        name="decoupled-gat",
        make=DecoupledModel,
        options=(Layers, Attention),
        whole_graph=True,
        propagates=True,
        learned_inputs=BEHIND,
        needs=TO_PROPAGATE,
    ),
    ModelKind(
        name="tgn",
        make=DeepTemporalModel,
        options=(States,),
        of_events=True,
        learned_inputs="whose inputs are states that move with the events",
        needs="whose vertices have states that move with the events",
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
