"""`batchgnn data convert ogb`: an OGB node-property folder, as downloaded -> a graph store.

Link-property folders are `ogb_links`'.

    raw/edge.csv.gz  node-feat.csv.gz  node-label.csv.gz  num-node-list.csv.gz     or
    raw/data.npz (edge_index, node_feat, num_nodes_list)  node-label.npz (node_label)
    split/SCHEME/train.csv.gz  valid.csv.gz  test.csv.gz

What `ogb_catalogue` says of a dataset, which is known by its name, is taken from there: whether its
edges stand for both directions (`add_inverse_edge`), the split's folder, the number of classes. The
edges of other datasets are arcs unless `undirected`.
"""

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from batchgnn.base.errors import ConfigError, DataError
from batchgnn.base.progress import progress
from batchgnn.data.checks import Origin, check_ids
from batchgnn.data.convert import (
    Arcs,
    ConvertOptions,
    Report,
    append_edges,
    append_random_split,
    report,
    split_note,
)
from batchgnn.data.features import FeatureRows
from batchgnn.data.labels import check_labels, task_of
from batchgnn.data.ogb_catalogue import OgbEntry, entry_of, refuse_heterogeneous
from batchgnn.data.ogb_links import MIRRORED, convert_links, is_of_links
from batchgnn.data.ogb_raw import Raw, check_rows, need_csv, open_raw, read_integers
from batchgnn.data.split import first_again
from batchgnn.store.format import refuse_existing
from batchgnn.store.graph_writer import (
    NONE,
    TEST,
    TRAIN,
    VALIDATION,
    GraphSpec,
    GraphStoreWriter,
    write_graph,
)
from batchgnn.store.labels import MULTICLASS, MULTILABEL
from batchgnn.store.taken import Record

PARTS = {"train": TRAIN, "valid": VALIDATION, "test": TEST}


@dataclass(frozen=True, kw_only=True)
class OgbOptions(ConvertOptions):
    """Options of `convert ogb`."""

    undirected: bool | None = None
    """Mirror every edge, as OGB does for the graphs that it marks with add_inverse_edge; default:
    for ogbn-products and ogbn-proteins, by the name of the folder or --name."""

    scheme: str | None = None
    "Folder below split/, when there are several; default: the one that OGB's catalogue names."

    def check(self) -> None:
        """Raise ConfigError when an option cannot be."""
        super().check()
        if self.undirected and self.arcs not in (None, "once"):
            raise ConfigError(f"--undirected and --arcs {self.arcs}: leave out one of the two")


def convert_ogb(
    source: str | os.PathLike,
    out: str | os.PathLike,
    options: OgbOptions | None = None,
    *,
    show: bool = True,
) -> Report:
    """Convert the dataset folder `source` to the graph store `out`.

    Raises DataError for a bad dataset, ConfigError for a bad option, StoreError when `out` exists.
    """
    options, source = options or OgbOptions(), Path(source)
    options.check()
    refuse_existing(out)
    entry = entry_of(options.name or "", source.name, source.resolve().name)
    refuse_heterogeneous(source, entry)
    arcs = arcs_of(options, entry)
    if is_of_links(source):
        if options.arcs is None and options.undirected is None and source.name in MIRRORED:
            arcs = "once"
        folder = split_folder(source, options.scheme, entry)
        return convert_links(source, Path(out), options, arcs, folder)
    with ExitStack() as stack:
        raw = open_raw(source, stack)
        split = None
        if options.split is None:
            split = read_split(source, options.scheme, entry, raw.num_vertices)
        asked = options.task or (None if entry is None else entry.task)
        task = task_of(asked, raw.num_label_columns, f"{source}/raw")
        known = None if entry is None or task != MULTICLASS else entry.num_classes
        if known is not None and options.classes is None:
            options = replace(options, classes=known)
        spec = GraphSpec(
            name=options.name or source.resolve().name,
            licence=options.licence,
            num_vertices=raw.num_vertices,
            directed=arcs == "directed",
            num_features=raw.num_features,
            feature_dtype=options.dtype,
            task=task,
            num_classes=raw.num_label_columns if task == MULTILABEL else options.classes,
            weighted=options.double_edges == "sum",
        )
        writer = stack.enter_context(write_graph(out, spec))
        features = FeatureRows(writer, options)
        with progress(f"{spec.name}: features", spec.num_vertices, "rows", show=show) as bar:
            append_features(raw, features, bar.advance)
        append_labels(raw, writer, options, split)
        with progress(f"{spec.name}: edges", raw.num_edges, "edges", show=show) as bar:
            of_edges = append_edges(writer, raw.edges, arcs, options, f"{source}/raw", bar.advance)
        note = split_note(options)
        if split is not None:
            note = f"split/{split_folder(source, options.scheme, entry).name}, kept"
        taken = taken_of(source, raw, entry) | {"split": note} | features.finish()
        return report(out, writer, taken | of_edges, options)


def arcs_of(options: OgbOptions, entry: OgbEntry | None) -> Arcs:
    """The convention of the edges: as asked, else as the catalogue says."""
    if options.arcs is not None:
        return options.arcs
    inverse = entry is not None and entry.add_inverse_edge
    mirrored = inverse if options.undirected is None else options.undirected
    return "once" if mirrored else "directed"


def taken_of(source: Path, raw: Raw, entry: OgbEntry | None) -> Record:
    """What the files were taken as, for the report."""
    files = sorted(path.name for path in (source / "raw").iterdir())
    known = "not in it: edges are arcs unless --undirected"
    if entry is not None:
        known = (
            f"{entry.name}: add_inverse_edge {entry.add_inverse_edge}, split {entry.split}, "
            f"scored by {entry.metric}"
        )
    return {
        "OGB's catalogue": known,
        "read": [name.strip(".") for name in raw.used],
        "not used": [name for name in files if not name.startswith(raw.used)],
    }


def append_features(raw: Raw, features: FeatureRows, advance: Callable[[int], None]) -> None:
    """Append all features; a dataset may have none."""
    if raw.num_features == 0:
        features.writer.append_features(np.empty((raw.num_vertices, 0), np.float32))
        return
    done, origin = 0, Origin("raw/node-feat")
    for origin, rows in raw.features():
        check_rows(origin.file, max(done + len(rows), raw.num_vertices), raw.num_vertices)
        features.append(rows, origin)
        done += len(rows)
        advance(len(rows))
    check_rows(origin.file, done, raw.num_vertices)


def append_labels(
    raw: Raw, writer: GraphStoreWriter, options: OgbOptions, split: np.ndarray | None
) -> None:
    """Append labels and split."""
    first, origin = 0, Origin("raw/node-label")
    for origin, rows in raw.labels():
        check_rows(origin.file, max(first + len(rows), raw.num_vertices), raw.num_vertices)
        labels = check_labels(rows, writer.spec, origin)
        writer.append_labels(labels)
        if split is None:
            append_random_split(writer, options, first, labels)
        else:
            writer.append_split(split[first : first + len(labels)])
        first += len(labels)
    check_rows(origin.file, first, raw.num_vertices)


def split_folder(source: Path, scheme: str | None, entry: OgbEntry | None) -> Path:
    """The folder of the split; raises DataError where there are several or none."""
    folders = sorted(path for path in (source / "split").glob("*") if path.is_dir())
    if scheme is None and entry is not None and source / "split" / entry.split in folders:
        scheme = entry.split
    if scheme is not None:
        folders = [path for path in folders if path.name == scheme]
    if len(folders) != 1:
        found = ", ".join(path.name for path in folders) or "none"
        raise DataError(
            f"{source / 'split'}: needed one folder of splits, found {found}. Choose with "
            f"--scheme, or draw a random split with --split 0.6 0.2 0.2"
        )
    return folders[0]


def read_split(
    source: Path, scheme: str | None, entry: OgbEntry | None, num_vertices: int
) -> np.ndarray:
    """uint8 (N,): the dataset's own split. One byte a vertex is held in memory."""
    folder = split_folder(source, scheme, entry)
    split = np.full(num_vertices, NONE, np.uint8)
    for name, part in PARTS.items():
        for origin, ids in read_integers(need_csv(folder / name)):
            check_ids(ids, num_vertices, origin)
            if (row := first_again(split, ids)) is not None:
                raise DataError(
                    f"{origin.at(row)}: vertex {ids[row]} is in two parts of the split, or twice "
                    "in one"
                )
            split[ids] = part
    return split
