"""`data convert edges` and `verify`: nanoseconds an edge, by what the ids look like.

    python tests/bench/convert.py FOLDER [--edges 2000000] [--turns 3] [--verify SHARDS]

Makes CSV tables in FOLDER where they are not there yet: five edges a vertex, a vertex table with a
label and two features. Ids are row numbers, numbers below 2^45, or text with such a number in it.
Compiling and importing do not count: a small part is converted first.
"""

import time
from pathlib import Path

import numpy as np
from cyclopts import App

from batchgnn.data.convert_edges import convert_edges
from batchgnn.data.edge_options import EdgeListOptions
from batchgnn.store.shard_verify import verify as verify_shards

app = App(name="convert.py")

EDGES_A_VERTEX, PART = 5, 1 << 20
IDS = {"row": "{0}", "number": "{1}", "text": "user_{1:x}"}


def make(folder: Path, kind: str, num_edges: int) -> tuple[Path, Path]:
    """The edge list and the vertex table."""
    rng, n = np.random.default_rng(1), num_edges // EDGES_A_VERTEX
    edges, vertices = (folder / f"{kind}-{num_edges}-{what}.csv" for what in ("edges", "vertices"))
    if not vertices.exists():
        large = rng.choice(2**45, n, replace=False).tolist()
        ids = np.array([IDS[kind].format(row, large[row]) for row in range(n)], object)
        with edges.open("w") as file:
            file.write("source,target\n")
            for first in range(0, num_edges, PART):
                u, v = ids[rng.integers(0, n, (2, min(PART, num_edges - first)))]
                file.writelines(f"{a},{b}\n" for a, b in zip(u, v, strict=True))
        labels, features = rng.integers(0, 10, n), rng.standard_normal((n, 2))
        with vertices.open("w") as file:
            file.write("id,label,f0,f1\n")
            rows = zip(ids, labels, features.tolist(), strict=True)
            file.writelines(f"{name},{label},{x!r},{y!r}\n" for name, label, (x, y) in rows)
    return edges, vertices


def seconds_of(edges: Path, vertices: Path | None, out: Path) -> tuple[float, float]:
    """(wall, processor) seconds of a conversion."""
    out.unlink(missing_ok=True)
    options = EdgeListOptions(vertices=() if vertices is None else (vertices,))
    begin = time.perf_counter(), time.process_time()
    convert_edges(edges, out, options, show=False)
    return time.perf_counter() - begin[0], time.process_time() - begin[1]


@app.default
def main(
    folder: Path, /, *, edges: int = 2_000_000, turns: int = 3, verify: Path | None = None
) -> None:
    """Print nanoseconds an edge of conversions, and an arc of a shard store that is checked.

    Parameters
    ----------
    folder
        Where tables are made, and found again.
    edges
        Edges of a table.
    turns
        Conversions of each; the quickest counts.
    verify
        Shard store to check.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for kind in IDS:
        table, vertices = make(folder, kind, edges)
        small = make(folder, kind, 1000)
        for what, beside in (("with vertex table", vertices), ("alone", None)):
            out = folder / "out.h5"
            seconds_of(small[0], None if beside is None else small[1], out)
            found = [seconds_of(table, beside, out) for _ in range(turns)]
            wall, cpu = (min(each) / edges * 1e9 for each in zip(*found, strict=True))
            print(f"{kind}, {what}: {wall:.0f} ns an edge, {cpu:.0f} of processors", flush=True)
    if verify is not None:
        verify_shards(verify)
        begin = time.perf_counter(), time.process_time()
        arcs = verify_shards(verify).shard_edges.sum()
        wall, cpu = time.perf_counter() - begin[0], time.process_time() - begin[1]
        print(f"verify: {wall / arcs * 1e9:.0f} ns an arc, {cpu / arcs * 1e9:.0f} of processors")


if __name__ == "__main__":
    app()
