"""Tables of `batchgnn inspect`: what is in a graph store, how good the cut of a shard store is."""

from collections.abc import Callable, Iterable

import numpy as np
from rich.console import Group
from rich.markup import escape
from rich.table import Table

from batchgnn.base.bytes import format_bytes
from batchgnn.partition.event_facts import columns_of, event_facts
from batchgnn.partition.label_counts import LabelCounts, labels_of_graph, labels_of_shards
from batchgnn.partition.quality import rank_loads, shard_bytes
from batchgnn.partition.source import GraphSource
from batchgnn.partition.trainers import deal_to_trainers
from batchgnn.store.event_stream import EventStream
from batchgnn.store.links import LinkSpec
from batchgnn.store.seeds import SPLITS, TRAIN
from batchgnn.store.shard_store import Manifest, ShardStore
from batchgnn.store.taken import lines_of

MANY = 32
"From more shards than this a summary is shown in place of a row for each."
SHOWN_SPLITS = 10
SUMMARIES: dict[str, Callable] = {"least": np.min, "mean": np.mean, "most": np.max}
ROLES = ("none", "train", "val", "test")


def graph_tables(graph: GraphSource) -> Group:
    """Counts of a graph store; labels and splits, or events, are read."""
    taken = [(escape(key), escape(said)) for key, said in lines_of(getattr(graph, "taken", {}))]
    said = [_facts("what was taken as what", taken)] if taken else []
    if graph.events is not None:
        title, rows = (
            f"graph store {graph.name}",
            event_facts(columns_of(graph), graph.num_vertices),
        )
        return Group(_facts(title, rows), *said)
    return Group(_facts(f"graph store {graph.name}", _graph_facts(graph)), *said)


def _graph_facts(graph: GraphSource) -> list[tuple[str, str]]:
    counts = labels_of_graph(graph)
    kind = "directed" if graph.directed else "undirected (each edge once)"
    rows = [
        ("vertices", f"{graph.num_vertices:,}"),
        ("edges", f"{graph.num_edges:,}, {kind}{', weighted' if graph.weighted else ''}"),
        ("features", f"{graph.num_features:,} {np.dtype(graph.feature_dtype).name}"),
        ("task", counts.task(graph.task, graph.num_classes)),
        ("features in memory", format_bytes(_feature_bytes(graph))),
    ]
    for r, numbers in enumerate(counts.roles[:SHOWN_SPLITS]):
        roles = ", ".join(f"{role} {n:,}" for role, n in zip(ROLES, numbers, strict=True))
        rows.append((f"split {r}", f"{roles}; {_lacking(counts, r)}"))
    return rows


def shard_tables(store: ShardStore) -> Group:
    """Cut, balance, shards, and what ranks will hold; labels and splits are read."""
    manifest = store.manifest
    tables = [_shard_table(manifest), _rank_table(store)]
    if manifest.events is not None:
        rows = event_facts(EventStream(store), manifest.num_vertices)
        tables.insert(0, _facts("stream of events", rows))
    return Group(_cut_table(manifest, labels_of_shards(store)), *tables)


def trainer_tables(store: ShardStore, trainers: int, seed: int) -> Group:
    """What so many trainers of mode averaging will have; labels and edges are read."""
    deal = deal_to_trainers(store, trainers, seed)
    spread = "no classes" if deal.label_spread is None else f"{deal.label_spread:.3f}"
    whole = _facts(
        f"dealt to {trainers} trainers, seed {seed}",
        [
            ("edges kept r", f"{deal.kept_ratio:.3f}  of all, both ends of one trainer"),
            ("of many shards", f"{deal.expected:.3f}  r_N + (1 - r_N) / M, r_N inside a shard"),
            ("label spread", f"{spread}  mean total variation against the whole graph"),
        ],
    )
    figures = {
        "shards": deal.shards,
        "vertices": deal.vertices,
        "arcs kept": deal.edges,
        "seeds": deal.seeds,
    }
    each = Table(title="trainers", title_justify="left")
    for column in ("trainer", *figures):
        each.add_column(column, justify="right")
    rows = {str(t): [int(values[t]) for values in figures.values()] for t in range(trainers)}
    if trainers > MANY:
        rows = {name: [int(f(v)) for v in figures.values()] for name, f in SUMMARIES.items()}
    for name, counts in rows.items():
        each.add_row(name, *(f"{count:,}" for count in counts))
    excess = (v.max() / max(v.mean(), 1e-9) for v in figures.values())
    each.add_row("most / mean", *(f"{ratio:.3f}" for ratio in excess))
    return Group(whole, each)


def _lacking(counts: LabelCounts, r: int) -> str:
    """How many training vertices are no seeds."""
    return f"{counts.lacking[r]:,} of train without a label"


def _feature_bytes(graph: GraphSource) -> int:
    return graph.num_vertices * graph.num_features * np.dtype(graph.feature_dtype).itemsize


def _facts(title: str, rows: Iterable[tuple[str, str]]) -> Table:
    table = Table(title=title, show_header=False, title_justify="left")
    for row in rows:
        table.add_row(*row)
    return table


def _cut_table(m: Manifest, counts: LabelCounts) -> Table:
    edges = m.num_edges if m.directed else m.num_edges / 2
    seeds = m.num_seeds.sum(axis=0)
    mean = np.maximum(seeds / m.num_shards, 1e-9)
    excess = float((m.num_seeds.max(axis=0) / mean)[seeds > 0].max()) if seeds.any() else 1.0
    options = ", ".join(f"{name} {value}" for name, value in m.options.items())
    return _facts(
        f"shard store {m.name}",
        [
            ("vertices", f"{m.num_vertices:,}"),
            ("arcs", f"{m.num_edges:,} ({'directed' if m.directed else 'both ways'})"),
            *_label_facts(m, counts),
            (
                "cut",
                f"{m.method}, {m.num_shards} shards, seed {m.seed}"
                + f" ({options})" * bool(options),
            ),
            ("edges cut", f"{m.edge_cut:,} ({100 * m.edge_cut / max(edges, 1):.1f} %)"),
            (
                "halo factor rho",
                f"{m.halo_factor:.3f}  remote in-neighbours per vertex, over shards",
            ),
            ("balance kappa", f"{m.balance:.3f}  arcs of the fullest shard / mean"),
            *(
                [("training seeds", f"{excess:.3f}  of the fullest shard / mean, worst split")]
                * (m.events is None)
            ),
            ("fingerprint", m.fingerprint),
        ],
    )


def _label_facts(m: Manifest, counts: LabelCounts) -> list[tuple[str, str]]:
    """Of vertices' features and labels; nothing of a stream of events, whose vertices have none."""
    if m.events is not None:
        return []
    features = ("features", f"{m.num_features:,} {m.feature_name}")
    if m.links is not None:
        return [features, ("task", m.task), ("edges that are split", _split_facts(m, m.links))]
    return [
        features,
        ("task", f"{counts.task(m.task, m.num_classes)}, {m.num_splits} split(s)"),
        *(
            (f"split {r}", f"train {numbers[TRAIN]:,}; {_lacking(counts, r)}")
            for r, numbers in enumerate(counts.roles[:SHOWN_SPLITS])
        ),
    ]


def _split_facts(m: Manifest, links: LinkSpec) -> str:
    """How many edges are of which part, each once, and how they were drawn."""
    held_out = (m.num_links.sum(axis=0) // (1 if m.directed else 2)).tolist()
    counts = dict(zip(SPLITS, [int(m.num_seeds.sum()), *held_out], strict=True))
    said = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    if links.is_given:
        return f"{said}  as the edges say"
    return (
        f"{said}  drawn by pairs, {links.train:g} {links.val:g} {links.test:g}, seed {links.seed}"
    )


def _shard_table(m: Manifest) -> Table:
    table = Table(title="shards", title_justify="left")
    for column in ("shard", "vertices", "arcs", "halo", "seeds", "bytes"):
        table.add_column(column, justify="right")
    figures = (m.shard_vertices, m.shard_edges, m.num_halo, m.num_seeds[:, 0], shard_bytes(m))
    rows = {str(s): [int(values[s]) for values in figures] for s in range(m.num_shards)}
    if m.num_shards > MANY:
        rows = {name: [int(f(values)) for values in figures] for name, f in SUMMARIES.items()}
    for name, (*counts, size) in rows.items():
        table.add_row(name, *(f"{count:,}" for count in counts), format_bytes(size))
    return table


def _rank_table(store: ShardStore) -> Table:
    table = Table(title="predicted for the fullest rank; rho of all", title_justify="left")
    columns = ("ranks", "load / mean", "own shards (mapped)", "halo features (at most)")
    for column in (*columns, "rho (at most)", "rho by cover"):
        table.add_column(column, justify="right")
    for load in rank_loads(store.manifest, store.path):
        cover = "not known" if load.cover_rho is None else f"{load.cover_rho:.3f}"
        table.add_row(
            str(load.num_ranks),
            f"{load.imbalance:.3f}",
            format_bytes(load.own_bytes),
            format_bytes(load.halo_bytes),
            f"{load.rho:.3f}",
            cover if load.num_ranks > 1 else "0.000",
        )
    return table
