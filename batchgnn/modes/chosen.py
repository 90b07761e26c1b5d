"""Which mode, model and task a run has."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from cyclopts import Parameter

from batchgnn.nn.models import MODELS, ModelKind
from batchgnn.settings.settings import Settings

AUTO = "auto"
DEFAULT_MODEL = "sage"

MODE = """When things happen; see the table in docs/modes.md. auto: the one with the shortest
epoch of those that fit into memory, as `batchgnn plan` predicts it."""
MODEL = """GraphSAGE with mean aggregation, GCN, GIN or GAT, as PyTorch Geometric defines them;
gcnii: a deep GCN whose layers see the first one's rows again; decoupled-gcn, decoupled-gat: an MLP
and then as many propagations of its result, by GCN's matrix or by one head of attention; tgn: of
events, the only one of --mode temporal and its default."""
TASK = "What is learned. [default: what the shards were converted for]"


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The three choices that decide which other options there are."""

    IS_FLAT: ClassVar = True

    mode: Annotated[str, Parameter(help=MODE)] = "macrobatch"
    model: Annotated[str, Parameter(help=MODEL)] = DEFAULT_MODEL
    task: Annotated[str | None, Parameter(help=TASK)] = None


def model_of(settings: Settings) -> ModelKind:
    """The row of the model."""
    return MODELS[settings[Chosen].model]
