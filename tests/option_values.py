"""Values of every option of `train` for tests of pairs, the graphs to train on, and what fits."""

from dataclasses import replace
from functools import cache, partial
from itertools import product

import numpy as np
from covering import covering_array
from event_streams import random_events, stored
from graphs import learnable_graph, shards_of, with_numbers

from batchgnn.base.errors import ConfigError
from batchgnn.modes.assembly import resolved, settings_of, subjects_for
from batchgnn.modes.chosen import AUTO, Chosen
from batchgnn.modes.kinds import MODES
from batchgnn.nn.models import MODELS
from batchgnn.partition.partition import partition
from batchgnn.settings.settings import options_of
from batchgnn.tasks.kinds import TASKS
from batchgnn.tasks.options import Trained

GRAPH, STAGE = "graph", "STAGE"
"A factor that is no option; a path that the test names by its option."

EVENTS, LINKS = "events", "links"

GRAPHS = {
    "multiclass": lambda: learnable_graph(num_vertices=203),
    "multilabel": lambda: learnable_graph(num_vertices=197, directed=True, multilabel=True),
    "regression": lambda: with_numbers(learnable_graph(num_vertices=199, directed=True)),
    EVENTS: partial(random_events, num_classes=3),
    LINKS: lambda: learnable_graph(num_vertices=201),
}
"By the task of their shards: undirected, directed with weights, events, edges that are split."

VALUES = {
    "mode": tuple(MODES),
    "model": tuple(MODELS),
    "task": (None, *(task.name for task in TASKS.values() if Trained not in task.options)),
    "layers": (2, 1, 3),
    "epochs": (2, 3),
    "patience": (0, 1),
    "eval_every": (1, 2),
    "split_index": (0, 1),
    "seed": (0, 7),
    "optimizer": ("adam", "sgd"),
    "lr": (0.003, 0.01),
    "weight_decay": (0.0, 0.01),
    "features": ("auto", "memory", "mapped"),
    "feature_dtype": (None, "float32", "float16", "bfloat16"),
    "threads": (None, 1),
    "memory": (None, "2G"),
    "stage_to": (None, STAGE),
    "checkpoint_seconds": (30.0, 0.0),
    "checkpoint_keep": (2, 1),
    "timeline_epoch": (2, 1, 0),
    "inputs": ("features", "constant", "degree", "embedding"),
    "input_width": (None, 5),
    "collective_timeout": (100.0, 0.0),
    "log": ((), ("tensorboard",)),
    "hidden": (12, 8),
    "dropout": (0.5, 0.0),
    "input_dropout": (0.0, 0.2),
    "norm": ("none", "layer", "batch"),
    "residual": (False, True),
    "conv_weight_decay": (None, 0.02),
    "attention_dropout": (0.0, 0.3),
    "heads": (4, 2),
    "alpha": (0.1, 0.3),
    "theta": (0.5, 1.0),
    "fanouts": (None, (4, 3), (-1,), (3,), (4, -1, 2)),
    "batch_size": (1024, 30),
    "exclude_seeds": (None, True, False),
    "topology": ("sharded", "node-shared"),
    "aggregate_memory": (None, "2K"),
    "feature_cache": (None, "2K"),
    "aggregate_cache": (None, "off", "memory", "store"),
    "macrobatch": ("auto", 1, 3),
    "macrobatch_memory": ("1G", "100K"),
    "evaluation_memory": (None, "100K"),
    "overlap": (None, False, True),
    "halo": (None, "rows", "cover"),
    "checkpoint_every": (0, 2),
    "chunks": ("auto", 1, 5),
    "tensor_ways": (None, 1, 2),
    "stages": (None, "auto", 1, 2),
    "pipeline_ways": (1, 2),
    "wavefront": (False, True),
    "history_every": (23, 1),
    "history_init": ("exact", "zero"),
    "gradient": ("double", "drop", "stale"),
    "guard_every": (20, 1, 0),
    "recompute": (False, True),
    "trainers": (None, 1, 2),
    "evaluator": (False, True),
    "round": ("3steps", "2steps"),
    "average": ("uniform", "edges", "llcg"),
    "server_steps": (None, 1, 3),
    "on_loss": ("abort", "drop"),
    "redeal": (True, False),
    "straggler_deadline": (None, 60.0),
    "ways": (None, (1, 1, 1), ("auto",)),
    "lost_updates": (0.73, 0.5),
    "static": ("none", "pretrain"),
    "state_rows": ("auto", "shared", "dealt"),
    "recent": (10, 3),
    "negatives": (None, 2, "shared:3", "degree:1", "pairs:1", "local:2", "in-batch"),
    "eval_negatives": (49, 3),
    "eval_negatives_file": (None, STAGE),
    "protocol": ("carry", "replay"),
    "state_width": (12, 8),
    "time_width": (6, 4),
    "state_heads": (2, 1),
    "state_layers": (1, 2),
    "time_encoder": ("fixed", "learned"),
    "metric": (None, "accuracy", "macro-f1", "roc-auc", "mae", "ap", "hits@10"),
    "loss": (None, "mae", "bce", "softmax", "bpr"),
    "class_weights": (None, "balanced"),
    "embedding": (12, 8),
    "decoder": ("dot", "distmult", "mlp"),
    "event_loss": ("bce", "softmax"),
}
"Small ones, so that a run takes a moment; the first is most often the default."

ELSEWHERE = {"trained", "time_limit", "wire"}
"""Needs another run: `tests/mpi/cases/test_event_labels.py`; needs rounds that go by the clock:
`tests/mpi/cases/test_averaging.py`; rounds what ranks send: `tests/mpi/cases/test_wire.py`."""

CHECKED = {
    *(GRAPH, "mode", "model", "task", "loss", "metric", "layers", "hidden", "heads", "norm"),
    *("input_dropout", "fanouts", "topology", "aggregate_cache", "aggregate_memory", "chunks"),
    *("round", "tensor_ways", "feature_dtype", "gradient", "event_loss"),
    *("pipeline_ways", "wavefront", "recompute", "history_every", "history_init", "guard_every"),
    *("average", "server_steps", "ways", "lost_updates"),
    *("negatives", "eval_negatives", "eval_negatives_file"),
    *("decoder", "embedding", "class_weights", "inputs", "input_width", "features"),
    *("exclude_seeds", "feature_cache", "halo", "evaluator", "on_loss", "redeal", "stage_to"),
}
"What is compared with each other when settings are resolved."


def write_shards(name, folder):
    """Shards of one of GRAPHS in a folder to be; those with labels have a second split."""
    graph = GRAPHS[name]()
    if name == EVENTS:
        partition(stored(folder.with_suffix(".h5"), graph), folder, "random", 4, 0)
        with (folder.parent / "eval_negatives_file").open("wb") as file:  # of 24 scored events
            np.save(file, np.random.default_rng(5).integers(0, 12, (24, 4)))
        return
    if name == LINKS:
        shards_of(graph, folder, links=(0.8, 0.1, 0.1))
        return
    split = np.stack([graph.split, np.roll(graph.split, 1)], axis=1)
    shards_of(replace(graph, split=split), folder)


def options_in(row):
    """What `train` is given of a row."""
    return {name: value for name, value in row.items() if name != GRAPH}


def why_not(row):
    """The sentence that a row is refused with before anything is opened; None where it is not."""
    try:
        settings = settings_of(options_in(row))
        if settings[Chosen].mode != AUTO:
            resolved(settings, row[GRAPH])
    except ConfigError as error:
        return str(error)
    return None


@cache
def _fits(checked):
    return why_not(dict(checked)) is None


def fits(row):
    """Whether a row, perhaps not complete, is not refused before anything is opened."""
    return _fits(frozenset(item for item in row.items() if item[0] in CHECKED))


def helps(pair):
    """What a pair may need: layers for its fanouts, kept inputs for their memory, trained rows."""
    yield {}
    if "lost_updates" in pair:
        yield {"ways": (AUTO,)}
        yield {"ways": (AUTO,), "task": "event-labels"}
    if {"aggregate_cache", "negatives"} <= pair.keys():
        yield {"exclude_seeds": False}
    rows = {"inputs": "embedding"} if "input_width" in pair else {}
    rows |= {"average": "llcg"} if "server_steps" in pair else {}
    yield rows
    if pair.keys() & {"fanouts", "aggregate_memory"}:
        for layers, keep in product((2, 1, 3), (None, "memory")):
            yield {"layers": layers, "aggregate_cache": keep, **rows}


@cache
def pairs_array():
    """The rows that hold every pair of values of train's options, and pairs that none can hold."""
    starts = [
        {GRAPH: graph, "mode": mode, "model": model}
        for graph, mode, model in product(GRAPHS, VALUES["mode"], VALUES["model"])
    ]

    def values_of(start):
        chosen = Chosen(mode=start["mode"], model=start["model"])
        there = [name for each in subjects_for(chosen) for name in options_of(each)]
        absent = ELSEWHERE | ({"split_index"} if start[GRAPH] in (EVENTS, LINKS) else set())
        return {name: VALUES[name] for name in there if name not in start.keys() | absent}

    return covering_array([each for each in starts if fits(each)], values_of, fits, helps)


def option_rows():
    """The rows of `pairs_array`, and some of them with the mode to be chosen: every value there."""
    rows, left, chosen = pairs_array()[0], set(), []
    left = {item for row in rows for item in row.items()}
    for row in rows:
        if left & row.items():
            left -= row.items()
            chosen.append(row | {"mode": AUTO})
    return rows + chosen
