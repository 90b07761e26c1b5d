"""Edge lists and vertex tables, as CSV in any dialect or Parquet in any types; cells damaged."""

import bz2
import csv
import gzip
import io
import lzma
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from batchgnn.data.headers import SOURCE_NAMES, TARGET_NAMES
from fuzz import damage
from fuzz.graph import Graph, any_graph, difference
from fuzz.oracle import EITHER, REFUSED, TAKEN, Case, Step

NO_LABEL = ("", "-1", "NaN", "NA", "null", "None", "<NA>")


@dataclass
class Table:
    """A table's columns by name, in their order; every cell is a text."""

    columns: dict[str, list[str]]

    def row(self, rng: random.Random) -> int:
        return rng.randrange(len(next(iter(self.columns.values()))))


@dataclass
class Tables:
    """Both tables of a graph, and what the command has to be told of them."""

    edges: Table
    vertices: Table
    options: list[str]
    feature_names: list[str]


def tables_of(rng: random.Random, graph: Graph) -> Tables:
    """The graph as a user writes it."""
    source, target = rng.choice([("source", "target"), ("src", "dst"), ("from", "TO"), ("p", "q")])
    edges = {
        source: [graph.names[u] for u, _ in graph.edges],
        target: [graph.names[v] for _, v in graph.edges],
    }
    options = ["--arcs", "directed" if graph.directed else "once", "--self-loops", "keep"]
    known = source in SOURCE_NAMES and target.lower() in TARGET_NAMES
    if not known or rng.random() < 0.3:
        options += ["--source", source, "--target", target]
    if graph.weights is not None:
        edges["w"] = [repr(w) for w in graph.weights]
        options += ["--weight", "w"]
    if rng.random() < 0.3:
        edges["when"] = [str(rng.randrange(10**9)) for _ in graph.edges]
    label = rng.choice(["label", "Y", "class"])
    names = [f"f{k}" for k in range(graph.features.shape[1])]
    vertices = {"id": list(graph.names), "split": list(graph.parts)}
    vertices[label] = [_label_text(rng, graph, value) for value in graph.labels]
    vertices |= {n: [repr(float(x)) for x in graph.features[:, k]] for k, n in enumerate(names)}
    shuffled = rng.sample(sorted(vertices), len(vertices))
    shuffled = [n for n in shuffled if n not in names] + names  # features keep their order
    if graph.task == "regression":
        options += ["--task", "regression"]
    if rng.random() < 0.3:
        options += ["--label", label, "--id", "id"]
    ordered = {name: vertices[name] for name in shuffled}
    return Tables(Table(edges), Table(ordered), options, names)


def _label_text(rng: random.Random, graph: Graph, value: object) -> str:
    if value is None:
        nothing = [n for n in NO_LABEL if n != "-1"]  # -1 is a number of a regression
        return rng.choice(nothing if graph.task == "regression" else NO_LABEL)
    return str(value)


# --- cells that cannot be --------------------------------------------------------------------


def bad_feature(rng: random.Random, tables: Tables) -> str:
    value = rng.choice(
        ["abc", "", "nan", "inf", "-inf", "1e39", "1_0", "0x10", "1,5", "--", "None"]
    )
    return _put(rng, tables.vertices, rng.choice(tables.feature_names), value)


def bad_weight(rng: random.Random, tables: Tables) -> str | None:
    if "w" not in tables.edges.columns:
        return None
    return _put(rng, tables.edges, "w", rng.choice(["x", "", "nan", "inf", "1e39", "1;2", "None"]))


def bad_split(rng: random.Random, tables: Tables) -> str:
    return _put(
        rng, tables.vertices, "split", rng.choice(["trian", "3.5", "yes", "train val", "7"])
    )


def unknown_vertex(rng: random.Random, tables: Tables) -> str:
    end = list(tables.edges.columns)[rng.randrange(2)]
    return _put(rng, tables.edges, end, rng.choice(["nobody", "-5", "99999999999999", "1.5", ""]))


def twice(rng: random.Random, tables: Tables) -> str:
    ids = tables.vertices.columns["id"]
    here, there = rng.sample(range(len(ids)), 2)
    ids[here] = ids[there]
    return f"the id {ids[there]} twice"


def bad_label(rng: random.Random, tables: Tables) -> str | None:
    label = next(n for n in tables.vertices.columns if n in ("label", "Y", "class"))
    if "regression" in tables.options:
        return _put(rng, tables.vertices, label, rng.choice(["x", "inf", "-inf", "1e39", "1/2"]))
    if any(cell.startswith("class") for cell in tables.vertices.columns[label]):
        return None  # any text is a name
    if not any(cell.isdigit() for cell in tables.vertices.columns[label]):
        return None
    value = rng.choice(["1.5", "-7", "3000000000", "0.25"])
    cells = tables.vertices.columns[label]
    row = rng.choice([r for r, cell in enumerate(cells) if not cell.isdigit()] or [0])
    if sum(cell.isdigit() for cell in cells) < 2:
        return None
    cells[row] = value
    return f"label {value!r} in row {row}"


def twice_named(rng: random.Random, tables: Tables) -> str:
    tables.vertices.columns[" " + tables.feature_names[0]] = tables.vertices.columns["id"]
    return "two columns of one name"


def _put(rng: random.Random, table: Table, column: str, value: str) -> str:
    row = table.row(rng)
    table.columns[column][row] = value
    return f"{value!r} in column {column}, row {row}"


CELLS: tuple[Callable, ...] = (
    bad_feature, bad_weight, bad_split, unknown_vertex, twice, bad_label, twice_named,
)  # fmt: skip


# --- CSV -------------------------------------------------------------------------------------


def csv_case(rng: random.Random, folder: Path) -> Case:
    """A graph as two CSV files."""
    graph = any_graph(rng)
    tables, said = tables_of(rng, graph), ""
    how = rng.choice(["sound", "cells", "cells", "lines", "bytes"])
    if how == "cells":
        said = next(filter(None, (rng.choice(CELLS)(rng, tables) for _ in iter(int, 1))))
    texts = [_text(rng, tables.edges), _text(rng, tables.vertices)]
    if how == "lines":
        side = rng.randrange(2)
        texts[side], said = _broken_line(rng, texts[side])
    names = [_packed(rng, folder / name, t) for name, t in zip("ev", texts, strict=True)]
    must = {"sound": TAKEN, "bytes": EITHER}.get(how, REFUSED)
    packed = [path for path in names if path.suffix not in (".csv", ".zst")]
    if how == "bytes" and packed:
        said, wrong_is_known = damage.damage(rng, packed), True
    elif how == "bytes":
        said, wrong_is_known = damage.damage(rng, names), False
    else:
        wrong_is_known = True
    return convert("edges", names, tables.options, graph, (said, must, wrong_is_known), folder)


def convert(
    form: str, paths: list[Path], options: list, graph: Graph, about: tuple, folder: Path
) -> Case:
    """The command that converts, and the comparison with the graph where the outcome is known.

    about: what is special, what must become of it, whether what was taken can be compared
    """
    said, must, is_known = about
    out = folder / "out" / "g.h5"
    argv = ["data", "convert", form, paths[0], out, *options]
    if len(paths) > 1:
        argv += ["--vertices", paths[1]]
    step = Step(tuple(argv), must, out)
    if is_known:
        step = Step(tuple(argv), must, out, lambda: difference(out, graph))
    kind = Path(paths[0]).suffix or form
    return Case(f"{form} {kind}, {said or 'sound'}", (step,))


def _text(rng: random.Random, table: Table) -> str:
    """The table in some dialect."""
    delimiter = rng.choice([",", ";", "\t", " "])
    cells = [cell for column in table.columns.values() for cell in column]
    if delimiter == " " and ("" in cells or any(" " in cell for cell in cells)):
        delimiter = ","
    quoting = rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
    end = rng.choice(["\n", "\r\n"])
    buffer = io.StringIO()
    if rng.random() < 0.2:
        buffer.write(f"# made by hand{end}")
    write = csv.writer(buffer, delimiter=delimiter, quoting=quoting, lineterminator=end)
    write.writerow(name.strip() for name in table.columns)
    write.writerows(zip(*table.columns.values(), strict=True))
    text = buffer.getvalue()
    if rng.random() < 0.2:
        lines = text.split(end)
        lines.insert(rng.randint(0, len(lines) - 1), rng.choice(["# a comment", "% one more", "#"]))
        text = end.join(lines)
    if rng.random() < 0.3:
        text = text.removesuffix(end)
    return rng.choice(["", "", "", "\ufeff"]) + text


def _broken_line(rng: random.Random, text: str) -> tuple[str, str]:
    """(text, what is wrong): a line has a cell too few or too many, or is no text."""
    lines = text.splitlines(keepends=True)
    rows = [n for n, line in enumerate(lines) if line[:1] not in "#%"]
    row = rng.choice(rows[1:] or rows)
    line = lines[row]
    delimiter = next(d for d in "\t,; " if d in lines[rows[0]])
    how = rng.choice(["more", "less", "empty", "nul", "nothing", "markup"])
    if how == "more":
        lines[row] = line.rstrip("\r\n") + delimiter + "7\n"
    elif how == "less":
        lines[row] = line.rstrip("\r\n").rpartition(delimiter)[0] + "\n"
    elif how == "empty":
        lines[row] = line.rstrip("\r\n") + "\n\n" + "\n" * (row + 1 < len(lines)) + line
        if row + 1 == len(lines):
            lines.append(line)
    elif how == "nul":
        place = rng.randrange(len(line.rstrip("\r\n")) + 1)
        lines[row] = line[:place] + "\0" + line[place:]
    elif how == "nothing":
        lines = []
    else:
        lines = [rng.choice(["{\n", "<graphml>\n", "graph [\n", "%%MatrixMarket x\n"]), *lines]
    return "".join(lines), f"a broken line, {how}, {row}"


def zstd(data: bytes) -> bytes:
    """Without a checksum."""
    return pa.compress(data, codec="zstd", asbytes=True)


def _packed(rng: random.Random, path: Path, text: str) -> Path:
    pack = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstd}
    suffix = rng.choice([*pack, "", "", ""])
    data = text.encode()
    path = path.with_suffix(".csv" + suffix)
    path.write_bytes(pack[suffix](data) if suffix else data)
    return path


# --- Parquet ---------------------------------------------------------------------------------


def parquet_case(rng: random.Random, folder: Path) -> Case:
    """A graph as two Parquet files, or folders of several."""
    graph = any_graph(rng)
    tables, said = tables_of(rng, graph), ""
    how = rng.choice(["sound", "cells", "cells", "bytes"])
    if how == "cells":
        said = next(filter(None, (rng.choice(CELLS)(rng, tables) for _ in iter(int, 1))))
    paths = [folder / "e.parquet", folder / "v.parquet"]
    for path, table in zip(paths, (tables.edges, tables.vertices), strict=True):
        _write_parquet(rng, path, table, tables.feature_names)
    if how == "bytes":
        said = damage.damage(
            rng, [f for path in paths for f in [*path.glob("*"), path] if f.is_file()]
        )
    must = {"sound": TAKEN, "bytes": EITHER}.get(how, REFUSED)
    about = (said, must, how != "bytes")
    return convert("edges", paths, tables.options, graph, about, folder)


def _write_parquet(rng: random.Random, path: Path, table: Table, features: list[str]) -> None:
    names = [name.strip() for name in table.columns]
    columns = [_typed(rng, name, cells) for name, cells in table.columns.items()]
    made = pa.Table.from_arrays(columns, names=names)
    if made.num_rows > 2 and rng.random() < 0.3:
        path.mkdir()
        cut = rng.randrange(1, made.num_rows)
        pq.write_table(made.slice(0, cut), path / "part-0.parquet")
        pq.write_table(made.slice(cut), path / "part-1.parquet")
    else:
        compression = rng.choice(["snappy", "gzip", "zstd", "none"])
        pq.write_table(made, path, compression=compression, row_group_size=rng.choice([3, 1000]))


MAY_BE_FLOAT = ("w", "label", "Y", "class", "f0", "f1", "f2", "f3")


def _typed(rng: random.Random, name: str, cells: list[str]) -> pa.Array:
    """The cells as the narrowest kind that has them all, or as texts; an empty cell is null."""
    values = [None if cell == "" else cell for cell in cells]
    for convert, kinds in (
        (int, [pa.int64()]),
        (float, [pa.float64()]),
        (str, [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())]),
    ):
        if convert is float and name.strip() not in MAY_BE_FLOAT:
            continue
        try:
            made = [None if v is None else _exactly(convert, v) for v in values]
            return pa.array(made, rng.choice(kinds))
        except (ValueError, OverflowError):
            continue
    return pa.array(values, pa.string())


def _exactly(convert: Callable, cell: str) -> object:
    if "_" in cell:
        raise ValueError(cell)
    return convert(cell)
