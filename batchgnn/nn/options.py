"""Options of models; a model's row in `nn/models.py` says which of them it has."""

from dataclasses import dataclass
from typing import Annotated, Literal

from batchgnn.settings.checks import AT_LEAST_ONE, NOT_NEGATIVE, PROBABILITY


@dataclass(frozen=True, kw_only=True)
class Layers:
    """How deep and wide a model is, and what training drops between layers."""

    layers: Annotated[int, AT_LEAST_ONE] = 3
    "Convolutions, or propagations; the model sees this many hops."

    hidden: Annotated[int, AT_LEAST_ONE] = 256
    "Width of the hidden layers; for gat: heads x width of a head."

    dropout: Annotated[float, PROBABILITY] = 0.5
    "Probability of dropping an element between layers."

    input_dropout: Annotated[float, PROBABILITY] = 0.0
    "Probability of dropping an input feature."


@dataclass(frozen=True, kw_only=True)
class BetweenLayers:
    """What stands between convolutions besides bias and activation."""

    norm: Literal["none", "layer", "batch"] = "none"
    """Normalisation between layers: layer = of each row; batch = of each column over all vertices
    (whole-graph modes), by running averages once trained."""

    residual: bool = False
    "Hidden layers add their input to their output: for deep models."


@dataclass(frozen=True, kw_only=True)
class Convolutions:
    """What concerns the weights of convolutions alone."""

    conv_weight_decay: Annotated[float | None, NOT_NEGATIVE] = None
    """Weight decay of the convolutions, where it is another than that of what stands around them:
    of norms, and of gcnii's linear layers. [default: as --weight-decay]"""


@dataclass(frozen=True, kw_only=True)
class Attention:
    """Learned weights of neighbours."""

    attention_dropout: Annotated[float, PROBABILITY] = 0.0
    "Probability of dropping an attention coefficient."


@dataclass(frozen=True, kw_only=True)
class Heads:
    """Several attentions side by side."""

    heads: Annotated[int, AT_LEAST_ONE] = 4
    "Attention heads of the hidden layers; the last layer has one."


@dataclass(frozen=True, kw_only=True)
class InitialResidual:
    """What GCNII's layers see of the first one (arXiv:2007.02133, eq. 5)."""

    alpha: Annotated[float, PROBABILITY] = 0.1
    "Share of the first layer's rows in every layer."

    theta: Annotated[float, NOT_NEGATIVE] = 0.5
    "How much the weights of the layers count: layer l's as log(theta / l + 1)."


@dataclass(frozen=True, kw_only=True)
class States:
    """What a vertex remembers of its events, and what it sees of its neighbours'."""

    state_width: Annotated[int, AT_LEAST_ONE] = 100
    "Columns of a vertex's memory, and of what the model gives for it."

    time_width: Annotated[int, AT_LEAST_ONE] = 100
    "Columns of an encoded time."

    state_heads: Annotated[int, AT_LEAST_ONE] = 2
    "Heads of the attention over recent events."

    state_layers: Annotated[int, AT_LEAST_ONE] = 1
    """Layers of that attention, which see as many hops of events: each takes about --recent times
    as long as the one before."""

    time_encoder: Literal["learned", "fixed"] = "fixed"
    """Frequencies of encoded times: fixed, from 1 to 10^-9 per unit of time, or trained. Trained
    ones make runs that differ in the last digit differ in all after some steps."""
