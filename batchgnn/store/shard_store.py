"""Shard stores: a folder of `manifest.h5` and K shard files, read through memory maps.

h5py tells where each dataset lies in its file; the arrays are views of one map per shard, so that
the hot path is free of h5py and the ranks of a node share the page cache. README.md beside has the
table of attributes and datasets; `shard_writer` writes them, `shard_verify` checks them.
"""

import json
import os
from collections.abc import Callable
from dataclasses import Field, dataclass, fields
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from batchgnn.base.errors import StoreError
from batchgnn.base.parse import parse_json
from batchgnn.kernels.half import FEATURE_DTYPES
from batchgnn.store.format import FORMAT_SHARD, FORMAT_SHARDS, open_store, parsing, text, whole
from batchgnn.store.manifest_check import claims_of
from batchgnn.store.places import Places, place_of
from batchgnn.store.schema import SPECS, Schema
from batchgnn.store.seal import check_seal
from batchgnn.store.shard_check import RESTORE, check_datasets, check_frame, first_bad_row

MANIFEST = "manifest.h5"

ATTRIBUTE = {
    "vertex/original_id": "original_id",
    "vertex/name": "name",
    "vertex/features": "features",
    "vertex/label": "label",
    "vertex/split": "split",
    "in/indptr": "in_indptr",
    "in/indices": "in_indices",
    "in/weight": "in_weight",
    "out/indptr": "out_indptr",
    "out/indices": "out_indices",
    "out/weight": "out_weight",
    "degree/in": "degree_in",
    "degree/out": "degree_out",
    "degree/weighted_in": "weighted_in",
    "event/id": "event_id",
    "event/source": "event_source",
    "event/target": "event_target",
    "event/time": "event_time",
    "event/split": "event_split",
    "event/label": "event_label",
    "event/features": "event_features",
    "link/val": "link_val",
    "link/test": "link_test",
}
"Dataset of a shard file -> attribute of `Shard`, in the order in which they lie in the file."

ARRAYS = {
    "shard/offset": "offset",
    "shard/num_edges": "shard_edges",
    "shard/num_seeds": "num_seeds",
    "shard/num_halo": "num_halo",
    "shard/num_links": "num_links",
    "degree/count": "degree_count",
    "class/name": "class_name",
    "quotient/indptr": "quotient_indptr",
    "quotient/indices": "quotient_indices",
    "quotient/weight": "quotient_weight",
    "checksum": "checksum",
    "checksum_dataset": "checksum_dataset",
    "shard/place": "place",
    "shard/fold": "fold",
}
"Dataset of the manifest -> attribute of `Manifest`."

LATER: dict[str, Callable[[int], np.ndarray]] = {
    "degree_count": lambda num_splits: np.zeros((3 + num_splits, 0), np.int64),
    "class_name": lambda _: np.zeros(0, "S1"),
    "num_links": lambda _: np.zeros((0, 0), np.int64),
}
"What an older manifest lacks, and what stands for it, of so many splits."


@dataclass(frozen=True, eq=False, kw_only=True)
class Manifest(Schema):
    """`manifest.h5` in memory: small, the same on every rank.

    offset         int64 (K + 1,)   shard s owns the ids offset[s] : offset[s + 1]
    shard_edges    int64 (K,)       in-arcs of each shard
    num_seeds      int64 (K, R)     what is trained on of each shard, per split (`seeds`)
    num_links      int64 (K, 2)     arcs of validation and test of each shard; (0, 0) of version 4
    num_halo       int64 (K,)       distinct in-neighbours that other shards own
    degree_count   int64 (3 + R, degrees.DEGREES)  vertices by in-degree, by out-degree, arcs by
                   the in-degree of their source, seeds of each split by in-degree; (3 + R, 0) where
                   the manifest is of version 3
    class_name     bytes (num_classes,) UTF-8; (0,) where classes have numbers only
    quotient_*     int64            symmetric CSR over shards without the diagonal; weight[s, t] =
                                    arcs with one end in s and the other in t, either direction
    checksum       bytes (K, num_datasets)   of each dataset of each shard, hexadecimal
    checksum_dataset  bytes (num_datasets,)  their names
    place          int64 (K, num_datasets + 1, 2)  first byte and number of bytes of each, and of
                   the file
    fold           uint64 (K, num_datasets + 1)  `shard_check.sums_of` each file
    """

    name: str
    fingerprint: str
    num_edges: int
    method: str
    seed: int
    options: dict
    halo_factor: float
    balance: float
    edge_cut: int
    offset: np.ndarray
    shard_edges: np.ndarray
    num_seeds: np.ndarray
    num_links: np.ndarray
    num_halo: np.ndarray
    degree_count: np.ndarray
    class_name: np.ndarray
    quotient_indptr: np.ndarray
    quotient_indices: np.ndarray
    quotient_weight: np.ndarray
    checksum: np.ndarray
    checksum_dataset: np.ndarray
    place: np.ndarray
    fold: np.ndarray

    @property
    def num_shards(self) -> int:
        """Shards, K: the largest number of ranks that can share the store."""
        return len(self.offset) - 1

    @property
    def shard_vertices(self) -> np.ndarray:
        """int64 (K,): vertices of each shard."""
        return np.diff(self.offset)

    @property
    def class_names(self) -> list[str]:
        """What the classes are called: by their numbers where they have no names."""
        known = [name.decode() for name in self.class_name]
        return known or [str(c) for c in range(self.num_classes)]

    def event_run(self, s: int) -> slice:
        """The events that lie in shard s; none where edges have no time."""
        return slice(0, 0) if self.events is None else self.events.run(s, self.num_shards)

    def held_out(self, s: int) -> tuple[int, int]:
        """Arcs of validation and of test of shard s."""
        val, test = self.num_links[s].tolist() if self.links is not None else (0, 0)
        return val, test


@dataclass(frozen=True, eq=False, kw_only=True)
class Shard:
    """Arrays of one shard, `np.memmap` (read only); None where the store has no such dataset.

    Dtypes and shapes are those of README.md beside, with n vertices and m in-arcs.
    """

    shard: int
    first_vertex: int
    original_id: np.ndarray
    features: np.ndarray
    label: np.ndarray
    split: np.ndarray
    in_indptr: np.ndarray
    in_indices: np.ndarray
    degree_in: np.ndarray
    degree_out: np.ndarray
    name: np.ndarray | None = None
    in_weight: np.ndarray | None = None
    out_indptr: np.ndarray | None = None
    out_indices: np.ndarray | None = None
    out_weight: np.ndarray | None = None
    weighted_in: np.ndarray | None = None
    event_id: np.ndarray | None = None
    event_source: np.ndarray | None = None
    event_target: np.ndarray | None = None
    event_time: np.ndarray | None = None
    event_split: np.ndarray | None = None
    event_label: np.ndarray | None = None
    event_features: np.ndarray | None = None
    link_val: np.ndarray | None = None
    link_test: np.ndarray | None = None

    @property
    def num_vertices(self) -> int:
        """Vertices that the shard owns."""
        return len(self.original_id)


class ShardStore:
    """A shard store opened for reading."""

    def __init__(self, path: str | os.PathLike):
        """Read the manifest; raises StoreError when `path` is no shard store, or a newer one."""
        self.path = Path(path)
        self.manifest = read_manifest(self.path)
        self.whole = self
        "Where whole shards are read: another store, when this one's are parts of them."

    def shard_path(self, s: int) -> Path:
        """File of shard s."""
        return self.path / shard_name(s)

    def shard(self, s: int) -> Shard:
        """Map shard s, once every byte of it is known to be as it was written.

        Raises StoreError when it is missing, truncated, damaged or of another store.
        """
        path = self.shard_path(s)
        shard = _map_shard(path, s, int(self.manifest.offset[s]), self.places(s))
        if (key := self._key(path)) not in _checked:
            self._check_datasets(path, shard)
            _checked.add(key)
        return shard

    def trust(self, s: int) -> None:
        """Someone has looked at every byte of shard s: `shard` need not."""
        _checked.add(self._key(self.shard_path(s)))

    def _key(self, path: Path) -> tuple[str | int, ...]:
        """What a file is known by, until it is written anew."""
        known = path.stat()
        what = (known.st_mtime_ns, known.st_size, known.st_ino)
        return self.manifest.fingerprint, str(path), *what

    def _check_datasets(self, path: Path, shard: Shard) -> None:
        """Look at the bytes of a file; raises StoreError."""
        m = self.manifest
        names = [name.decode() for name in m.checksum_dataset]
        damaged = check_datasets(path, names, m.place[shard.shard], m.fold[shard.shard])
        for name in damaged:
            row = first_bad_row(
                name,
                getattr(shard, ATTRIBUTE[name]),
                num_vertices=m.num_vertices,
                task=m.task,
                num_classes=m.num_classes,
            )
            raise StoreError(
                f"{path}: dataset {name} is damaged{': ' * bool(row)}{row}; its bytes are not "
                f"those that were written. {RESTORE}"
            )

    def places(self, s: int) -> Places:
        """Where the datasets of shard s are, looked up once in a process. Raises as `shard`."""
        if not 0 <= s < self.manifest.num_shards:
            raise IndexError(f"shard {s} of {self.manifest.num_shards}")
        path = self.shard_path(s)
        if not path.is_file():
            raise StoreError(
                f"{path} is missing: {self.path}/ holds {self.manifest.num_shards} shards, "
                f"{shard_name(0)} to {shard_name(self.manifest.num_shards - 1)}. {RESTORE}"
            )
        if (key := self._key(path)) not in _places:
            _places[key] = self._read_places(path, s)
        return _places[key]

    def _read_places(self, path: Path, s: int) -> Places:
        m = self.manifest
        check_frame(path, s, m.place, m.fold, m.fingerprint)
        with parsing(path, RESTORE), open_store(path, FORMAT_SHARD, "shard file", MAKE) as file:
            self._check_identity(file, s)
            return {name: place_of(path, file, name) for name in self._layout(file, s)}

    def _check_identity(self, file: h5py.File, s: int) -> None:
        """Raise StoreError unless the file is shard s of this very partitioning."""
        path, found = self.shard_path(s), text(file.attrs["fingerprint"])
        if found != self.manifest.fingerprint:
            raise StoreError(
                f"{path} belongs to another partitioning: its fingerprint is {found}, that of "
                f"{self.path / MANIFEST} is {self.manifest.fingerprint}. {RESTORE}"
            )
        if int(file.attrs["shard"]) != s:
            raise StoreError(f"{path} holds shard {int(file.attrs['shard'])}, not {s}. {RESTORE}")

    def _layout(self, file: h5py.File, s: int) -> dict:
        """The expected layout of shard s; raises StoreError when the file has another."""
        manifest = self.manifest
        m_in, m_out = (
            len(file[f"{side}/indices"]) if f"{side}/indices" in file else 0
            for side in ("in", "out")
        )
        run = manifest.event_run(s)
        counts = int(manifest.shard_vertices[s]), m_in, m_out, run.stop - run.start
        layout = manifest.layout(*counts, manifest.held_out(s))
        if m_in != manifest.shard_edges[s]:
            raise StoreError(
                f"{self.shard_path(s)}: in/indices holds {m_in:,} arcs, the manifest says "
                f"{int(manifest.shard_edges[s]):,}. {RESTORE}"
            )
        for name, (dtype, shape) in layout.items():
            found = (file[name].dtype, file[name].shape) if name in file else "nothing"
            if found != (dtype, shape):
                raise StoreError(
                    f"{self.shard_path(s)}: dataset {name} is {found}, needed {(dtype, shape)}. "
                    f"{RESTORE}"
                )
        return layout


MAKE = "batchgnn partition GRAPH.h5 SHARDS --shards K"
_checked: set[tuple[str | int, ...]] = set()
"Files whose bytes this process has looked at."
_places: dict[tuple[str | int, ...], Places] = {}
"Of the files that this process has opened."


def shard_name(s: int) -> str:
    """File name of shard s."""
    return f"shard-{s:05d}.h5"


def read_manifest(path: str | os.PathLike) -> Manifest:
    """The manifest of the shard store at `path`; raises StoreError."""
    path = Path(path)
    if not (path / MANIFEST).exists():
        there = "has no manifest.h5" if path.exists() else "does not exist"
        what = "is a file" if path.is_file() else there
        raise StoreError(
            f"{path} {what}: needed a shard store, a folder made by: "
            f"batchgnn partition GRAPH.h5 {path} --shards K"
        )
    file_path = path / MANIFEST
    check_seal(file_path, RESTORE)
    with (
        parsing(file_path, RESTORE),
        open_store(file_path, FORMAT_SHARDS, "shard store", MAKE) as file,
    ):
        try:
            values = {
                attribute: file[name][()]
                for name, attribute in ARRAYS.items()
                if name in file or attribute not in LATER
            }
            for attribute, stand_in in LATER.items():
                values.setdefault(attribute, stand_in(values["num_seeds"].shape[1]))
            for field in fields(Manifest):
                if field.name in SPECS:
                    values[field.name] = SPECS[field.name](text(file.attrs.get(field.name, "")))
                elif field.name not in values:
                    values[field.name] = _decode(field, file.attrs[field.name])
        except (KeyError, ValueError) as error:
            raise StoreError(f"{path / MANIFEST}: {error.args[0]}. {RESTORE}") from error
    manifest = Manifest(**values)
    with parsing(file_path, RESTORE):
        false = next((claim for claim, holds in claims_of(manifest) if not holds), None)
    if false:
        raise StoreError(f"{file_path}: {false} does not hold. {RESTORE}")
    return manifest


def encode_attributes(manifest: Manifest) -> dict[str, object]:
    """HDF5 attributes of a manifest, without its arrays."""
    out: dict[str, object] = {"has_name": manifest.has_name}
    for field in fields(Manifest):
        value = getattr(manifest, field.name)
        if field.name in ARRAYS.values():
            continue
        if field.name == "options":
            value = json.dumps(value, sort_keys=True)
        elif field.name in SPECS:
            value = "" if value is None else value.to_json()
        elif field.name == "feature_dtype" and manifest.feature_name == "bfloat16":
            value = "bfloat16"  # its bits are int16, which would say nothing
        elif field.name.endswith("_dtype"):
            value = "" if value is None else value.str
        out[field.name] = value
    return out


def _decode(field: Field, value: Any) -> Any:
    """A manifest's field from its HDF5 attribute."""
    if field.name == "options":
        return parse_json(text(value))
    if field.name.endswith("_dtype"):
        known = text(value)
        return np.dtype(FEATURE_DTYPES.get(known, known)) if known else None
    kind: Any = {str: text, int: whole}.get(field.type, field.type)  # type: ignore[arg-type]
    return kind(value)


def _map_shard(path: Path, s: int, first_vertex: int, places: dict) -> Shard:
    """Views of one memory map of the file."""
    raw = np.memmap(path, np.uint8, "r")
    arrays = {}
    for name, (offset, dtype, shape) in places.items():
        num_bytes = dtype.itemsize * int(np.prod(shape))
        if offset + num_bytes > len(raw):
            raise StoreError(
                f"{path} is truncated: {len(raw):,} bytes found, dataset {name} ends at byte "
                f"{offset + num_bytes:,}. {RESTORE}"
            )
        view = raw[offset : offset + num_bytes].view(dtype) if offset >= 0 else np.empty(0, dtype)
        arrays[ATTRIBUTE[name]] = view.reshape(shape)
    return Shard(shard=s, first_vertex=first_vertex, **arrays)
