"""Graph stores, shards with their manifest, checkpoints and models: bytes and values damaged."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
from shards import accept_shards, edited

from fuzz import damage, sound
from fuzz.oracle import EITHER, REFUSED, Case, Step

Edit = Callable[[random.Random, h5py.File], str | None]


def put(rng: random.Random, file: h5py.File, name: str, values: list) -> str | None:
    """A value that cannot be, in some row of a dataset."""
    if not isinstance(file.get(name), h5py.Dataset) or file[name].size == 0:
        return None
    rows, value = file[name][()], rng.choice(values)
    place = tuple(rng.randrange(length) for length in rows.shape)
    with np.errstate(all="ignore"):
        rows[place] = np.array(value).astype(rows.dtype)
    file[name][...] = rows
    return f"{name}{list(place)} is {value}"


def state(rng: random.Random, file: h5py.File, name: str, values: list) -> str | None:
    """An attribute that cannot be, or is not there."""
    value = rng.choice([*values, None])
    if value is None:
        del file.attrs[name]
    else:
        file.attrs[name] = value
    return f"attribute {name} is {value!r}"


def rebuild(rng: random.Random, file: h5py.File, names: list[str]) -> str | None:
    """A dataset is missing, of another type or shape, or stands for something else."""
    name = rng.choice([n for n in names if isinstance(file.get(n), h5py.Dataset)])
    rows = file[name][()]
    del file[name]
    how = rng.choice(["missing", "kind", "short", "deep", "chunked", "link", "scalar", "group"])
    if how == "kind":
        file[name] = rows.astype("S3" if rows.dtype.kind != "S" else np.int16)
    elif how == "short":
        file[name] = rows[:-1]
    elif how == "deep":
        file[name] = rows[None, None]
    elif how == "chunked":
        file.create_dataset(name, data=rows[:-1], chunks=True, compression="gzip")
    elif how == "link":
        file[name] = h5py.ExternalLink("/etc/passwd", "/x")
    elif how == "scalar":
        file[name] = 1
    elif how == "group":
        file.create_group(name)
    return f"{name}: {how}"


# --- graph stores ----------------------------------------------------------------------------

VERTEX_DATA = ["vertex/features", "vertex/label", "vertex/split", "edge/source", "edge/target"]
COUNTS = [-1, 0, 7, 2**40, 2**62, "x", 1.5, [1, 2]]

GRAPH_EDITS: tuple[Edit, ...] = (
    lambda rng, file: put(rng, file, "edge/source", [60, 2**31, 2**32 - 1]),
    lambda rng, file: put(rng, file, "edge/target", [60, 2**31, 2**32 - 1]),
    lambda rng, file: put(rng, file, "edge/weight", [np.nan, np.inf]),
    lambda rng, file: put(rng, file, "vertex/features", [np.nan, np.inf, -np.inf]),
    lambda rng, file: put(rng, file, "vertex/split", [4, 9, 255]),
    lambda rng, file: put(rng, file, "vertex/label", {"i": [-2, 99], "u": [2, 7], "f": [np.inf]}[
        file["vertex/label"].dtype.kind]),
    lambda rng, file: state(rng, file, rng.choice(["num_vertices", "num_edges", "num_features"]),
                            COUNTS),
    lambda rng, file: state(rng, file, "task", ["multi", "", 3, "regresion"]),
    lambda rng, file: state(rng, file, "format", ["batchgnn-shard", "x", 3]),
    lambda rng, file: state(rng, file, "format_version", [99, -1, 0, "x", [1, 2]]),
    lambda rng, file: state(rng, file, "num_splits", [0, -1, 2, "x"]),
    lambda rng, file: rebuild(rng, file, VERTEX_DATA),
    lambda rng, file: rebuild(rng, file, VERTEX_DATA),
)  # fmt: skip


def graph_case(rng: random.Random, folder: Path) -> Case:
    """A graph store whose bytes are damaged, or whose values cannot be though its seal is right."""
    path = sound.copy_of(rng.choice(sound.graph_stores()), folder)
    out = folder / "out"
    said = anywhere(rng, [path]) if rng.random() < 0.5 else _edited(rng, path, GRAPH_EDITS)
    cut = ("partition", path, out, "--shards", 3, "--method", rng.choice(["random", "metis"]))
    steps = (Step(cut, REFUSED, out), Step(("inspect", path), EITHER))
    return Case(f"graph store, {said}", (Step(("verify", path), REFUSED), rng.choice(steps)))


def _edited(rng: random.Random, path: Path, edits: tuple[Edit, ...]) -> str:
    with edited(path) as file:
        return next(filter(None, (rng.choice(edits)(rng, file) for _ in iter(int, 1))))


def anywhere(rng: random.Random, paths: list[Path]) -> str:
    """Damage of bytes, half of it where HDF5 describes what there is."""
    if rng.random() < 0.5:
        return damage.damage(rng, paths)
    path = rng.choice(paths)
    data = bytearray(path.read_bytes())
    byte = rng.randrange(min(len(data), 6000))
    data[byte] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
    return f"{path.name}: byte {byte} flipped"


# --- shards ----------------------------------------------------------------------------------

SHARD_EDITS: tuple[Edit, ...] = (
    lambda rng, file: put(rng, file, "in/indices", [180, 10**9, 2**32 - 1]),
    lambda rng, file: put(rng, file, "in/indptr", [-5, 10**9, 2**62]),
    lambda rng, file: put(rng, file, "vertex/features", [np.nan, np.inf]),
    lambda rng, file: put(rng, file, "vertex/split", [4, 9]),
    lambda rng, file: put(rng, file, "vertex/label", [-7, 99]),
    lambda rng, file: put(rng, file, "degree/in", [-1, 10**6]),
    lambda rng, file: put(rng, file, "degree/weighted_in", [np.nan, 1e6, -1e6]),
    lambda rng, file: put(rng, file, "vertex/original_id", [-1, 180, 10**9]),
)
"Of somebody who makes the manifest agree: it is left to `verify`."

MANIFEST_EDITS: tuple[Edit, ...] = (
    lambda rng, file: state(rng, file, "num_vertices", COUNTS),
    lambda rng, file: state(rng, file, "num_edges", COUNTS),
    lambda rng, file: state(rng, file, "num_features", [-1, 1, 7, 2**62, "x"]),
    lambda rng, file: state(rng, file, "num_classes", [-1, "x", 1.5]),
    lambda rng, file: state(rng, file, "num_splits", [-1, 0, 2, "x"]),
    lambda rng, file: state(rng, file, "task", ["multi", "", 3, "regression", "multilabel"]),
    lambda rng, file: state(rng, file, "format_version", [99, 1, "x"]),
    lambda rng, file: state(rng, file, "feature_dtype", ["", "int8", "nonsense", 3, "<f8"]),
    lambda rng, file: state(rng, file, "id_dtype", ["", "|u1", "nonsense", "<f4"]),
    lambda rng, file: state(rng, file, "halo_factor", [-1.0, np.nan, "x"]),
    lambda rng, file: state(rng, file, "options", ["{", "", "[1]", "3"]),
    lambda rng, file: state(rng, file, "fingerprint", ["", "0" * 32, 3]),
    lambda rng, file: put(rng, file, "quotient/indices", [-1, 100, 3]),
    lambda rng, file: put(rng, file, "quotient/indptr", [-1, 10**9]),
    lambda rng, file: put(rng, file, "quotient/weight", [-1, 0]),
    lambda rng, file: put(rng, file, "shard/offset", [-1, 10**9]),
    lambda rng, file: put(rng, file, "shard/num_edges", [-1, 10**9]),
    lambda rng, file: put(rng, file, "shard/num_seeds", [-1, 10**9]),
    lambda rng, file: put(rng, file, "shard/num_halo", [-1, 10**9]),
    lambda rng, file: rebuild(rng, file, ["shard/offset", "shard/num_seeds", "quotient/indptr",
                                          "shard/place", "shard/fold", "checksum"]),
)  # fmt: skip


def shards_case(rng: random.Random, folder: Path) -> Case:
    """A shard store, damaged in its bytes, its files, or its values."""
    store = sound.copy_of(sound.shards(), folder)
    manifest, files = store / "manifest.h5", sorted(store.glob("shard-*.h5"))
    how = rng.choice(["bytes", "bytes", "files", "manifest", "manifest", "values"])
    of_manifest = how == "manifest"
    if how == "bytes":
        said = anywhere(rng, [manifest, *files])
        of_manifest = said.startswith("manifest")
    elif how == "files":
        said = _files(rng, files)
    elif how == "manifest":
        said = _edited(rng, manifest, MANIFEST_EDITS)
    else:
        with h5py.File(rng.choice(files), "r+") as file:
            said = next(filter(None, (rng.choice(SHARD_EDITS)(rng, file) for _ in iter(int, 1))))
        accept_shards(store)
        return Case(f"shards, {said}, agreed", (Step(("verify", store), REFUSED),))
    run = folder / "run"
    known = REFUSED if of_manifest and "fingerprint" not in said else EITHER
    steps = (
        Step(("inspect", store), known),
        Step(("plan", store, "--ranks", 2), known),
        Step(("train", store, "--run", run, *sound.SMALL, "--epochs", 1), REFUSED, run),
    )
    return Case(f"shards, {said}", (Step(("verify", store), REFUSED), rng.choice(steps)))


def _files(rng: random.Random, files: list[Path]) -> str:
    here, there = rng.sample(files, 2)
    how = rng.choice(["missing", "exchanged", "copied", "folder", "no manifest"])
    if how == "missing":
        here.unlink()
    elif how == "exchanged":
        beside = here.rename(here.with_suffix(".x"))
        there.rename(here)
        beside.rename(there)
    elif how == "copied":
        shutil.copy(here, there)
    elif how == "folder":
        here.unlink()
        here.mkdir()
    else:
        here.with_name("manifest.h5").unlink()
    return f"{here.name} {how}"


# --- checkpoints and models ------------------------------------------------------------------


def checkpoint_case(rng: random.Random, folder: Path) -> Case:
    """A run whose newest checkpoint, or whose model, is damaged."""
    run = sound.copy_of(sound.run(), folder)
    newest = sorted((run / "checkpoint").iterdir())[-1]
    resume = Step(("train", sound.shards(), "--run", run, *sound.SMALL, "--epochs", 3, "--resume"),
                  REFUSED)  # fmt: skip
    if rng.random() < 0.5:
        if rng.random() < 0.3:
            return Case(f"checkpoint, {_edit_index(rng, newest / 'index.json')}", (resume,))
        files = sorted(newest.iterdir())
        before = [path.read_bytes() for path in files]
        said = anywhere(rng, files)
        same = all(map(_same, before, files))
        return Case(f"checkpoint, {said}", () if same else (resume,))
    said, out = anywhere(rng, [run / "model.h5"]), folder / "out"
    steps = (
        Step(("evaluate", run), REFUSED),
        Step(("export", run, out), REFUSED, out),
        Step(("predict", run, out), REFUSED, out),
    )
    return Case(f"model, {said}", (rng.choice(steps),))


def _same(before: bytes, path: Path) -> bool:
    """Whether a file of JSON says what it said (1e-05 is 1E-05)."""
    if path.suffix != ".json" or before == path.read_bytes():
        return before == path.read_bytes()
    try:
        return json.loads(before) == json.loads(path.read_bytes())
    except ValueError:
        return False


def _edit_index(rng: random.Random, path: Path) -> str:
    """A value of the index is another or gone, and the checksum agrees."""
    from batchgnn.store.checkpoint import Index
    from batchgnn.store.mode_state import StateFile

    index = Index.from_json(path.read_text(), path)
    part = rng.choice([index.progress, index.scalars])
    key = rng.choice(sorted(part))
    value = rng.choice([None, "x", -1, [], {}, {"a": 1}])
    part[key] = value
    if value is None and rng.random() < 0.5:
        del part[key]
    files = [StateFile(**vars(file)) for file in index.files]
    path.write_text(Index(index.fingerprint, index.progress, index.scalars, files).to_json())
    return f"{key} is {value!r}, agreed"
