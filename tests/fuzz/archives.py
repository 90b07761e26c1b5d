"""Graphs as .npz archives and as OGB's folders, sound and not."""

import gzip
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np

from fuzz import damage
from fuzz.graph import Graph, any_graph
from fuzz.oracle import EITHER, REFUSED, TAKEN, Case
from fuzz.tables import convert

Arrays = dict[str, np.ndarray]


def numbered_graph(rng: random.Random) -> Graph:
    """A graph whose vertices are rows, and whose classes are numbers."""
    graph = any_graph(rng, numbered=True)
    if graph.task != "regression":
        graph.labels = [None if x is None else rng.randrange(4) for x in graph.labels]
    return graph


def number_of(label: object) -> float:
    """A label as a number, NaN for none."""
    return np.nan if label is None else float(label)


# --- .npz ------------------------------------------------------------------------------------


def npz_case(rng: random.Random, folder: Path) -> Case:
    """A graph as an archive."""
    graph = numbered_graph(rng)
    arrays, options = npz_arrays(rng, graph)
    how, said = rng.choice(["sound", "arrays", "arrays", "bytes"]), ""
    if how == "arrays":
        said = next(filter(None, (rng.choice(ARRAYS)(rng, arrays) for _ in iter(int, 1))))
    path = folder / "g.npz"
    rng.choice([np.savez, np.savez_compressed])(path, **arrays)
    if how == "bytes":
        said = damage.damage(rng, [path])
    must = {"sound": TAKEN, "bytes": EITHER}.get(how, REFUSED)
    return convert("npz", [path], options, graph, (said, must, True), folder)


def npz_arrays(rng: random.Random, graph: Graph) -> tuple[Arrays, list]:
    """The arrays of a graph, and the options that say what they are."""
    integer = rng.choice([np.int64, np.int32, np.uint32, np.uint8, np.int16])
    ends = np.array(graph.edges).T
    options = ["--arcs", "directed" if graph.directed else "once", "--self-loops", "keep"]
    how = rng.choice(["edge_index", "csr", "columns"])
    weight = None if graph.weights is None else np.array(graph.weights)
    if how == "csr":
        order = np.argsort(ends[0], kind="stable")
        degree = np.bincount(ends[0], minlength=graph.num_vertices)
        arrays = {
            "indptr": np.append(0, degree.cumsum()),
            "indices": ends[1][order].astype(integer),
        }
        weight = None if weight is None else weight[order]
    elif how == "columns":
        arrays = {"source": ends[0].astype(integer), "target": ends[1].astype(integer)}
    else:
        arrays = {"edge_index": np.array(ends, integer, order=rng.choice("CF"))}
    if weight is not None:
        arrays["edge_weight"] = weight.astype(rng.choice([np.float32, np.float64, np.float16]))
    kind = rng.choice([np.float32, np.float64])
    arrays["x"] = np.array(graph.features, kind, order=rng.choice("CF"))
    labels = np.array([number_of(x) for x in graph.labels])
    if graph.task == "regression":
        options += ["--task", "regression"]
    elif rng.random() < 0.7:
        labels = np.where(np.isnan(labels), -1, labels).astype(np.int64)
    arrays["y"] = labels
    masks = {p: np.array([part == p for part in graph.parts]) for p in ("train", "val", "test")}
    if rng.random() < 0.3:
        arrays |= {f"{part}_idx": np.flatnonzero(mask) for part, mask in masks.items()}
    else:
        kind = rng.choice([bool, np.uint8, np.int64])
        arrays |= {f"{part}_mask": mask.astype(kind) for part, mask in masks.items()}
    if rng.random() < 0.2:
        arrays["more"] = np.arange(3)
    return arrays, options


def bad_end(rng: random.Random, arrays: Arrays) -> str | None:
    key = next(k for k in ("edge_index", "indices", "source") if k in arrays)
    ends = np.array(arrays[key], np.int64, order="C")
    ends.reshape(-1)[rng.randrange(ends.size)] = value = rng.choice([-1, 100, 2**31, -(2**40)])
    if key != "source":
        ends = np.ascontiguousarray(ends)
    arrays[key] = ends
    return f"{key} has {value}"


def bad_pointer(rng: random.Random, arrays: Arrays) -> str | None:
    if "indptr" not in arrays:
        return None
    ends = arrays["indptr"].astype(np.int64)
    place = rng.randrange(len(ends))
    ends[place] = value = rng.choice([-1, 10**9, 10**18])
    arrays["indptr"] = ends
    return f"indptr[{place}] is {value}"


def bad_feature(rng: random.Random, arrays: Arrays) -> str:
    x = np.array(arrays["x"], np.float64)
    value = rng.choice([np.nan, np.inf, -np.inf, 1e39])
    x[rng.randrange(len(x)), rng.randrange(x.shape[1])] = value
    arrays["x"] = x
    return f"a feature is {value}"


def bad_weight(rng: random.Random, arrays: Arrays) -> str | None:
    if "edge_weight" not in arrays:
        return None
    weight = arrays["edge_weight"].astype(np.float64)
    weight[rng.randrange(len(weight))] = value = rng.choice([np.nan, np.inf, 1e39])
    arrays["edge_weight"] = weight
    return f"a weight is {value}"


def bad_label(rng: random.Random, arrays: Arrays) -> str | None:
    y = arrays["y"].astype(np.float64)
    is_regression = (np.nan_to_num(y) % 1).any()
    value = rng.choice([np.inf, -np.inf, 1e39] if is_regression else [0.5, -2, 3e9, np.inf])
    if not is_regression and arrays["y"].dtype.kind == "f":
        return None  # may be whole numbers of a regression
    y[rng.randrange(len(y))] = value
    arrays["y"] = y
    return f"a label is {value}"


def bad_part(rng: random.Random, arrays: Arrays) -> str | None:
    if "train_idx" in arrays:
        value = rng.choice([-1, 1000])
        arrays["val_idx"] = np.append(arrays["val_idx"], value)
        return f"val_idx has {value}"
    for part in ("train", "val"):
        mask = arrays[f"{part}_mask"].copy()
        mask[1] = 1
        arrays[f"{part}_mask"] = mask
    return "a vertex in two parts"


def bad_shape(rng: random.Random, arrays: Arrays) -> str:
    key = rng.choice(sorted(set(arrays) - {"more"}))
    old = arrays[key]
    how = rng.choice(["short", "deep", "scalar", "long"])
    if "idx" in key or ("source" in arrays and key == "target"):
        how = rng.choice(["deep", "scalar"])
    if how == "long" or (how == "short" and key == "edge_index"):
        arrays[key] = np.concatenate([old, old[:1]]) if len(old) else old[None]
    elif how == "short":
        arrays[key] = old[:-1]
    elif how == "deep":
        arrays[key] = old[None, None]
    else:
        arrays[key] = np.array(1, old.dtype)
    if key in ("source", "edge_index") and how == "short":
        return f"{key}: {how} {arrays[key].shape}"
    return f"{key}: {how} {arrays[key].shape}"


def bad_type(rng: random.Random, arrays: Arrays) -> str:
    key = rng.choice(sorted(set(arrays) - {"more"}))
    kinds = [object, "datetime64[s]", complex, "U9", "S3", np.dtype([("a", int)])]
    kind = rng.choice(kinds)
    old = arrays[key]
    arrays[key] = (
        np.zeros(old.shape, kind)
        if not isinstance(kind, str)
        else old.astype(np.int64 if "date" in kind else old.dtype).astype(kind)
    )
    return f"{key} is {arrays[key].dtype}"


def missing(rng: random.Random, arrays: Arrays) -> str | None:
    keys = [k for k in arrays if k in ("indices", "target", "edge_index", "val_idx", "test_mask")]
    if not keys:
        return None
    del arrays[key := rng.choice(keys)]
    return f"no {key}"


ARRAYS: tuple[Callable, ...] = (
    bad_end, bad_pointer, bad_feature, bad_weight, bad_label, bad_part, bad_shape, bad_type,
    missing,
)  # fmt: skip


# --- OGB -------------------------------------------------------------------------------------


def ogb_case(rng: random.Random, folder: Path) -> Case:
    """A graph as a folder of OGB's, in either form."""
    graph = numbered_graph(rng)
    graph.weights = None
    graph.parts[:3] = rng.sample(["train", "val", "test"], 3)  # OGB has no empty part
    place = folder / "ogbn_small"
    tables = ogb_tables(graph)
    how, said = rng.choice(["sound", "cells", "cells", "bytes"]), ""
    if how == "cells":
        said = next(filter(None, (rng.choice(OGB)(rng, tables) for _ in iter(int, 1))))
    if rng.random() < 0.5 and not any(name.startswith("raw") for name in said.split()):
        write_npz(place, tables)
    else:
        for name, rows in tables.items():
            write_csv(place / f"{name}.csv.gz", rows)
    if how == "bytes":
        said = damage.damage(rng, [path for path in place.rglob("*") if path.is_file()])
    must = {"sound": TAKEN, "bytes": EITHER}.get(how, REFUSED)
    options = ["--self-loops", "keep"] + ["--undirected"] * (not graph.directed)
    if graph.task == "regression":
        options += ["--task", "regression"]
    return convert("ogb", [place], options, graph, (said, must, True), folder)


def ogb_tables(graph: Graph) -> dict[str, list]:
    """Path without its ending -> rows of cells."""
    n = graph.num_vertices
    parts = {"train": "train", "val": "valid", "test": "test"}
    tables: dict[str, list] = {
        "raw/edge": [list(edge) for edge in graph.edges],
        "raw/node-feat": graph.features.tolist(),
        "raw/node-label": [[number_of(x)] for x in graph.labels],
        "raw/num-node-list": [[n]],
        "raw/num-edge-list": [[len(graph.edges)]],
    }
    for part, name in parts.items():
        tables[f"split/time/{name}"] = [[v] for v in range(n) if graph.parts[v] == part]
    return tables


def write_csv(path: Path, rows: list) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(",".join(map(str, row)) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def write_npz(place: Path, tables: dict[str, list]) -> None:
    (place / "raw").mkdir(parents=True)
    arrays = {
        "edge_index": np.array(tables["raw/edge"]).T,
        "node_feat": np.array(tables["raw/node-feat"]),
        "num_nodes_list": np.array(tables["raw/num-node-list"])[0],
        "num_edges_list": np.array(tables["raw/num-edge-list"])[0],
    }
    np.savez_compressed(place / "raw" / "data.npz", **arrays)
    labels = np.array(tables["raw/node-label"], np.float64)
    np.savez_compressed(place / "raw" / "node-label.npz", node_label=labels)
    for name in [name for name in tables if name.startswith("split")]:
        write_csv(place / f"{name}.csv.gz", tables[name])


def bad_cell(rng: random.Random, tables: dict) -> str | None:
    """A value that cannot be in any form; a text where the form is CSV (`raw ...`)."""
    name = rng.choice([n for n in tables if tables[n]])
    row = rng.choice(tables[name])
    if name == "raw/node-label":
        values = [np.inf, 1e39]
    elif name == "raw/node-feat":
        values = [np.nan, np.inf, 1e39]
    else:
        values = [-1, 10**6, 2**40]
    if rng.random() < 0.4:
        if name.startswith("split"):
            row[0] = value = rng.choice(["x", "1.5", "", "1_0"])
            return f"split text {value!r} in {name}"
        row[rng.randrange(len(row))] = value = rng.choice(["x", "1;2", "1_0", "0x1"])
        return f"raw text {value!r} in {name}"
    row[rng.randrange(len(row))] = value = rng.choice(values)
    return f"{value} in {name}"


def row_too_many(rng: random.Random, tables: dict) -> str:
    name = rng.choice([n for n in tables if n.startswith("raw") and tables[n]])
    tables[name].append(list(tables[name][-1]))
    return f"raw {name} has a row too many"


def row_too_few(rng: random.Random, tables: dict) -> str:
    name = rng.choice([n for n in tables if n.startswith("raw") and tables[n]])
    tables[name].pop()
    return f"raw {name} has a row too few"


def in_two_parts(rng: random.Random, tables: dict) -> str | None:
    full = [n for n in tables if n.startswith("split") and tables[n]]
    if not full:
        return None
    tables[rng.choice([n for n in tables if n.startswith("split")])].append(tables[full[0]][0])
    return "a vertex twice in the split"


def without(rng: random.Random, tables: dict) -> str:
    name = rng.choice(["raw/edge", "raw/node-label", "raw/num-node-list", "split/time/valid"])
    del tables[name]
    return f"raw without {name}"


OGB: tuple[Callable, ...] = (
    bad_cell, bad_cell, row_too_many, row_too_few, in_two_parts, without,
)  # fmt: skip
