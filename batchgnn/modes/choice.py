"""Which mode a session's settings ask for: what trains, what evaluates, what memory it takes.

Modes over the whole graph differ only in their operators: a row of `WHOLE_GRAPHS` is all it takes
to add one, and its memory in `plan_memory`.
"""

from collections.abc import Callable

import numpy as np

from batchgnn.base.bytes import MemoryPlan
from batchgnn.modes.macrobatch.memory import plan_memory as plan_macrobatch
from batchgnn.modes.macrobatch.mode import MacrobatchMode
from batchgnn.modes.mode import ExactInference, Mode
from batchgnn.modes.tensor.graph import tensor_graph
from batchgnn.modes.tensor.memory import plan_tensor
from batchgnn.modes.whole.memory import plan_fullgraph
from batchgnn.modes.whole.mode import FullgraphMode, WholeGraph, WholeInference, halo_graph
from batchgnn.nn.model import Model, ModelSpec
from batchgnn.nn.models import make_model
from batchgnn.nn.optim import make_optimizer
from batchgnn.sampling.inference import Inference
from batchgnn.sampling.schedule import Schedule
from batchgnn.settings.config import Settings
from batchgnn.store.seeds import has_label
from batchgnn.store.shard_store import Manifest
from batchgnn.tasks.scores import SPLITS

WHOLE_GRAPHS: dict[str, Callable[..., WholeGraph]] = {
    "fullgraph": halo_graph,
    "tensor": tensor_graph,
}
"Mode: what makes its operators, of (grid, own shards, model, settings); collective."

ADVICE = {
    "macrobatch": "Lower --macrobatch or --macrobatch-memory, --batch-size or --fanouts, start "
    "ranks on more nodes, or raise --memory.",
    "fullgraph": "Start ranks on more nodes, lower --hidden or --layers, raise --memory, or train "
    "on samples: --mode macrobatch.",
    "tensor": "Start ranks on more nodes, lower --hidden or --layers, raise --memory, or train on "
    "samples: --mode macrobatch.",
}

PLANS: dict[str, Callable[..., MemoryPlan]] = {
    "macrobatch": plan_macrobatch,
    "fullgraph": plan_fullgraph,
    "tensor": plan_tensor,
}


def build_model(manifest: Manifest, settings: Settings) -> Model:
    """The model of the settings, with the initial weights of its seed."""
    spec = ModelSpec(
        model=f"decoupled-{settings.model}" if settings.decoupled else settings.model,
        layers=settings.layers,
        hidden=settings.hidden,
        heads=settings.heads,
        dropout=settings.dropout,
        input_dropout=settings.input_dropout,
        attention_dropout=settings.attention_dropout,
        norm=settings.norm,
        residual=settings.residual,
        alpha=settings.alpha,
        theta=settings.theta,
    )
    return make_model(spec, manifest.num_features, manifest.num_classes, seed=settings.seed)


def make_mode(session) -> Mode:
    """The training mode of the settings, with its optimiser; collective."""
    settings, model, own = session.settings, session.model, session.own
    optimizer = make_optimizer(
        settings.optimizer,
        model.parameters,
        lr=settings.lr,
        weight_decay=settings.weight_decay,
        decays=[]
        if settings.conv_weight_decay is None
        else [("convs.", settings.conv_weight_decay)],
    )
    if settings.mode == "macrobatch":
        schedule = make_schedule(session)
        return MacrobatchMode(
            session.grid, own, schedule, model, optimizer, settings, session.node_rows
        )
    graph = WHOLE_GRAPHS[settings.mode](session.grid, own, model, settings)
    num_seeds = int(session.manifest.num_seeds[:, settings.split_index].sum())
    rows = np.flatnonzero(is_seed(session))
    comm, seed = session.grid.world, settings.seed
    return FullgraphMode(comm, graph, own.label, rows, num_seeds, model, optimizer, seed=seed)


def make_inference(session) -> ExactInference:
    """Exact predictions by a model that is trained already; collective."""
    settings, model, own = session.settings, session.model, session.own
    if settings.mode == "macrobatch":
        return Inference(session.grid.world, own, model)
    return WholeInference(model, WHOLE_GRAPHS[settings.mode](session.grid, own, model, settings))


def plan_memory(session) -> MemoryPlan:
    """Peak bytes on this rank, by what holds them."""
    return PLANS[session.settings.mode](session)


def make_schedule(session) -> Schedule:
    """The minibatches of the session's seeds."""
    own, manifest, settings = session.own, session.manifest, session.settings
    is_train = is_seed(session)
    seeds = [
        own.ids[a:b][is_train[a:b]]
        for a, b in zip(own.first_row[:-1], own.first_row[1:], strict=True)
    ]
    num_seeds = manifest.num_seeds[:, settings.split_index]
    return Schedule(seeds, num_seeds, settings.batch_size, settings.seed)


def is_seed(session) -> np.ndarray:
    """bool (num_own,): training vertices that have a label."""
    own, is_train = session.own, session.split() == SPLITS["train"]
    return is_train & has_label(own.label)
