"""Small inputs under the names that pages and examples give them: tables, archive, OGB, events."""

import csv
import gzip

import numpy as np

VERTICES = 200


def write_tables(folder, rng, num_vertices=VERTICES):
    """edges.csv, vertices.csv: two groups whose members know mostly each other; ids are words."""
    group = np.arange(num_vertices) % 2
    with (folder / "edges.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["source", "target"])
        rows.writerows([f"v{u}", f"v{v}"] for u, v in acquaintances(rng, num_vertices))
    with (folder / "vertices.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "label", "split", "x", "y"])
        for v in range(num_vertices):
            x, y = rng.normal(size=2) + 3 * group[v]
            rows.writerow(
                [f"v{v}", group[v], ("train", "val", "test")[v % 3], f"{x:.4f}", f"{y:.4f}"]
            )


def acquaintances(rng, num_vertices=VERTICES):
    """Pairs (u, v), u < v, ascending and distinct: few between even and odd vertices."""
    pairs = {tuple(sorted(pair)) for pair in rng.integers(0, num_vertices, (1500, 2)).tolist()}
    return [(u, v) for u, v in sorted(pairs) if u != v and ((u - v) % 2 == 0 or (u + v) % 10 == 1)]


def write_ogb(folder, rng):
    """ogbn_products, as it is downloaded."""
    folder = folder / "ogbn_products"
    vertices = np.arange(VERTICES)
    tables = {
        "raw/edge": acquaintances(rng),
        "raw/node-feat": (rng.normal(size=(VERTICES, 4)) + 3 * (vertices[:, None] % 2)).tolist(),
        "raw/node-label": [[v % 2] for v in vertices],
        "raw/num-node-list": [[VERTICES]],
    }
    tables["raw/num-edge-list"] = [[len(tables["raw/edge"])]]
    for n, part in enumerate(("train", "valid", "test")):
        tables[f"split/sales_ranking/{part}"] = [[v] for v in vertices[n::3]]
    for name, rows in tables.items():
        path = folder / f"{name}.csv.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(",".join(map(str, row)) + "\n" for row in rows)
        path.write_bytes(gzip.compress(text.encode()))


def write_archive(folder, rng):
    """arrays.npz; the split is left to be drawn."""
    edges = np.array(acquaintances(rng)).T
    np.savez(
        folder / "arrays.npz",
        edge_index=np.hstack([edges, edges[::-1]]),
        x=rng.normal(size=(VERTICES, 4)),
        y=np.arange(VERTICES) % 2,
    )


def write_events(folder, rng, num_events=900):
    """events.csv: each user meets some items of its own."""
    pairs = rng.integers(0, 40, (num_events, 2)) // (1, 10)
    lines = [f"user{u},item{(u + v) % 30},{t}" for t, (u, v) in enumerate(pairs)]
    (folder / "events.csv").write_text("\n".join(["source,target,time", *lines]))
