"""The modes: one row each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from batchgnn.base.bytes import MemoryPlan
from batchgnn.comm.grid import Grid
from batchgnn.comm.loss import Lost
from batchgnn.modes.averaging.check import (
    deal_trainers,
    deal_trainers_again,
    ranks_of_trainer,
    resolve_averaging,
)
from batchgnn.modes.averaging.memory import fit_averaging, plan_averaging
from batchgnn.modes.averaging.mode import AveragingMode
from batchgnn.modes.averaging.options import Trainers
from batchgnn.modes.chosen import DEFAULT_MODEL
from batchgnn.modes.deal import Dealt, deal_shards
from batchgnn.modes.extent import Extent
from batchgnn.modes.inputs import inputs_of
from batchgnn.modes.macrobatch.check import resolve_macrobatch
from batchgnn.modes.macrobatch.memory import (
    OF_PART,
    fit_macrobatch,
    plan_macrobatch,
)
from batchgnn.modes.macrobatch.mode import MacrobatchMode, chunked_inference
from batchgnn.modes.macrobatch.options import Macrobatches
from batchgnn.modes.mode import Mode
from batchgnn.modes.options import Halo, Messages, Steps, VertexInputs, Wire
from batchgnn.modes.pipeline.check import NOT_OF_STAGES, deal_stages, resolve_pipeline
from batchgnn.modes.pipeline.make import make_pipeline
from batchgnn.modes.pipeline.memory import plan_pipeline
from batchgnn.modes.pipeline.options import Stages
from batchgnn.modes.share import Share
from batchgnn.modes.survival import Survival
from batchgnn.modes.temporal.check import deal_vertices, resolve_temporal
from batchgnn.modes.temporal.memory import plan_temporal
from batchgnn.modes.temporal.mode import TemporalMode, replay
from batchgnn.modes.temporal.options import Timeline
from batchgnn.modes.tensor.check import resolve_tensor
from batchgnn.modes.tensor.graph import tensor_graph, tensor_rows
from batchgnn.modes.tensor.memory import plan_tensor
from batchgnn.modes.tensor.options import Slices
from batchgnn.modes.whole.check import resolve_whole
from batchgnn.modes.whole.halo_graph import halo_graph
from batchgnn.modes.whole.memory import plan_halo_graph
from batchgnn.modes.whole.mode import WholeGraphMode, WholeInference
from batchgnn.sampling.node_rows import NodeRows, node_rows
from batchgnn.sampling.options import Batches, KeptInputs, Sampling
from batchgnn.settings.settings import Settings
from batchgnn.store.own_shards import OwnShards
from batchgnn.store.shard_store import ShardStore
from batchgnn.tasks.task import Inference

LESS = "Start fewer ranks on a node, or raise --memory."
WITHOUT_SAMPLES = (
    "Start ranks on more nodes, lower --hidden or --layers, raise --memory, or train on samples: "
    "--mode macrobatch."
)


def _alone(grid: Grid, own: OwnShards, settings: Settings, gcn: bool) -> NodeRows | None:
    """Input rows are each rank's own."""
    return None


def _of_node(grid: Grid, own: OwnShards, settings: Settings, gcn: bool) -> NodeRows | None:
    """As `node_rows`; who moves rows has them to itself."""
    if inputs_of(settings).is_trained:
        return None
    return node_rows(grid, own, settings[Sampling], settings[KeptInputs], gcn=gcn)


@dataclass(frozen=True, kw_only=True)
class ModeKind:
    """A row of the table.

    options       subjects of settings that the mode has, besides those of every run
    to_infer      options in place of those of a run that is not trained, on any number of ranks
    instead       of options that it has not, and that may be looked for: why, and what to type
    resolve       fills in defaults that depend on other options; raises ConfigError
    deal          which rank owns which vertices
    deal_again    the same when ranks were lost, for those that are left; None: such a job ends
    to_go_on      options in place of those given, then
    share_rows    input rows in memory that ranks of a node share; collective
    make          the mode of a share; collective
    infer         exact predictions by a model that is trained already; collective
    memory        peak bytes on a rank
    advice        what to do where they are too many; of_part: where most of them are of that part
    fit           the settings with sizes that nothing was said of, so that the peak is allowed
    whole_graph   operators' sources are their targets, and batch statistics those of all vertices
    propagates    operators have the rounds of a decoupled model
    model         what --model is by default
    of_events     what it trains on are events: see `nn.models.ModelKind`
    far_roots     roots can be other ranks' vertices, as `TaskKind.far_roots` asks
    apart         parts of the ranks train alone, each on vertices of its own
    random_rows   input rows are read at random, over and over: worth a copy in memory
    trains_inputs input rows can be parameters
    needs_others  whether a step's ranks need each other's rows, by the number of all ranks
    at_once       a layer is computed for all vertices at once: what is a mean over them can be had
    """

    name: str
    options: tuple[type, ...]
    resolve: Callable[[Settings], Settings]
    make: Callable[[Share], Mode]
    infer: Callable[[Share], Inference]
    memory: Callable[[Extent], MemoryPlan]
    advice: str = LESS
    of_part: Mapping[str, str] = field(default_factory=dict)
    to_infer: Mapping[str, Any] = field(default_factory=dict)
    instead: Mapping[str, str] = field(default_factory=dict)
    fit: Callable[[Extent], Settings] = lambda extent: extent.settings
    deal: Callable[[ShardStore, int, Settings], Dealt] = deal_shards
    deal_again: Callable[[ShardStore, int, Settings, Sequence[Lost]], Dealt] | None = None
    to_go_on: Mapping[str, Any] = field(default_factory=dict)
    share_rows: Callable[[Grid, OwnShards, Settings, bool], NodeRows | None] = _alone
    whole_graph: bool = False
    propagates: bool = False
    random_rows: bool = False
    model: str = DEFAULT_MODEL
    of_events: bool = False
    far_roots: bool = False
    apart: bool = False
    trains_inputs: bool = False
    needs_others: Callable[[Settings, int], bool] = lambda settings, num_ranks: num_ranks > 1
    at_once: bool = True


MODES = {
    kind.name: kind
    for kind in (
        ModeKind(
            name="macrobatch",
            options=(Batches, Sampling, Macrobatches, VertexInputs, KeptInputs, Messages, Steps),
            resolve=resolve_macrobatch,
            make=MacrobatchMode,
            infer=chunked_inference,
            memory=plan_macrobatch,
            of_part=OF_PART,
            fit=fit_macrobatch,
            share_rows=_of_node,
            random_rows=True,
            far_roots=True,
            trains_inputs=True,
        ),
        ModeKind(
            name="fullgraph",
            options=(VertexInputs, KeptInputs, Messages, Halo, Wire),
            resolve=resolve_whole,
            make=lambda share: WholeGraphMode(share, halo_graph(share)),
            infer=lambda share: WholeInference(share.model, halo_graph(share)),
            memory=plan_halo_graph,
            advice=WITHOUT_SAMPLES,
            whole_graph=True,
            far_roots=True,
            trains_inputs=True,
        ),
        ModeKind(
            name="tensor",
            options=(Slices, VertexInputs, KeptInputs, Messages, Halo, Wire),
            resolve=resolve_tensor,
            deal=tensor_rows,
            make=lambda share: WholeGraphMode(share, tensor_graph(share)),
            infer=lambda share: WholeInference(share.model, tensor_graph(share)),
            memory=plan_tensor,
            advice=WITHOUT_SAMPLES,
            whole_graph=True,
            propagates=True,
            far_roots=True,
            trains_inputs=True,
        ),
        ModeKind(
            name="pipeline",
            options=(Stages, VertexInputs, KeptInputs, Messages, Halo),
            resolve=resolve_pipeline,
            deal=deal_stages,
            make=make_pipeline,
            infer=lambda share: WholeInference(share.model, halo_graph(share)),
            memory=plan_pipeline,
            advice=WITHOUT_SAMPLES,
            instead=NOT_OF_STAGES,
            whole_graph=True,
            at_once=False,
        ),
        ModeKind(
            name="averaging",
            options=(
                *(Trainers, Survival, Batches, Sampling, Macrobatches),
                *(VertexInputs, KeptInputs, Messages),
            ),
            resolve=resolve_averaging,
            deal=deal_trainers,
            deal_again=deal_trainers_again,
            to_go_on={"trainers": None},  # every rank is one
            to_infer={"trainers": 1, "evaluator": False},
            make=AveragingMode,
            infer=chunked_inference,
            memory=plan_averaging,
            of_part=OF_PART,
            fit=fit_averaging,
            random_rows=True,
            far_roots=True,
            apart=True,
            needs_others=lambda settings, num_ranks: ranks_of_trainer(settings, num_ranks) > 1,
        ),
        ModeKind(
            name="temporal",
            options=(Batches, Timeline, Steps),
            resolve=resolve_temporal,
            make=TemporalMode,
            infer=replay,
            memory=plan_temporal,
            deal=deal_vertices,
            advice="Lower --batch-size, --state-width or --eval-negatives, or raise --memory.",
            model="tgn",
            of_events=True,
        ),
    )
}
