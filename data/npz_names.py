"""What the arrays of an .npz archive are called: the names that are known, and the split's."""

from collections.abc import Iterator

import numpy as np

from batchgnn.base.errors import DataError
from batchgnn.data.arrays import Arrays
from batchgnn.data.checks import Origin, check_ids
from batchgnn.data.convert import split_of_masks
from batchgnn.data.headers import SPLIT_NAMES, part_of
from batchgnn.data.split import first_again
from batchgnn.store.graph_writer import NONE
from batchgnn.store.seeds import SPLITS

ALIASES = {
    "x": ("features", "feat", "feats", "node_feat", "node_features", "attr"),
    "y": ("label", "labels", "target", "targets", "node_label", "node_labels", "class"),
    "edge_weight": ("edge_weights", "weights", "weight"),
}
"Other names of an array, taken where the usual one is not there."

PARTS_OF_EDGES = ("train_pos", "val_pos", "test_pos")
"Edges (2, m) of each part of a split for link prediction, in place of other edges."

ALIASES |= {name: (f"{name}_edge_index",) for name in PARTS_OF_EDGES}

NEGATIVE = ("train_neg", "val_neg", "test_neg")
"Pairs without an edge that often lie beside; they are drawn anew."

KNOWN = (
    *PARTS_OF_EDGES, *NEGATIVE, *(f"{name}_edge_index" for name in NEGATIVE),
    "indptr", "indices", "edge_index", "source", "target", "edge_weight", "directed", "x",
    "x_indptr", "x_indices", "x_shape", "x_data", "y", "class_names", "ids",
)  # fmt: skip
ROW_CHUNK = 1 << 16


def name_usually(npz: Arrays) -> None:
    """Let arrays go by their usual names; raises DataError where two may be meant."""
    for usual, others in ALIASES.items():
        found = [key for key in others if key in npz and not (key == "target" and "source" in npz)]
        if usual in npz or not found or (usual == "x" and "x_indptr" in npz):
            continue
        if len(found) > 1:
            raise DataError(
                f"{npz.path}: {' and '.join(found)} may both be {usual}. Save the one that is "
                f"meant under the name {usual}"
            )
        npz.rename(found[0], usual)


class NpzSplit:
    """The split of an archive: three masks, three arrays of row numbers, or none.

    keys   names of the arrays for train, val and test; empty when there are none
    """

    def __init__(self, npz: Arrays, num_vertices: int, *, drawn: bool):
        """Find the arrays; raises DataError where there are too many or too few.

        drawn  whether the user wants a random split instead
        """
        self.npz, self.num_vertices = npz, num_vertices
        found: dict[str, list[str]] = {}
        for key in sorted(npz.header):
            part = part_of(key) if key not in KNOWN else None
            if part is not None and not drawn:
                found.setdefault(part, []).append(key)
        if found and any(len(found.get(part, ())) != 1 for part in SPLITS):
            names = ", ".join(key for keys in found.values() for key in keys)
            raise DataError(
                f"{npz.path}: needed one array for each of train, val and test (masks, or numbers "
                f"of rows), found {names}. Leave out or add some, or draw it: --split 0.6 0.2 0.2"
            )
        unread = [key for key in (*SPLIT_NAMES, "split_idx", "splits") if key in npz]
        if unread and not found and not drawn:
            raise DataError(
                f"{npz.path}: {unread[0]} is not understood as a split. Save it as train_mask, "
                f"val_mask and test_mask, or draw one: --split 0.6 0.2 0.2"
            )
        self.keys = [found[part][0] for part in SPLITS] if found else []
        kinds = {self._kind(key) for key in self.keys}
        if len(kinds) > 1:
            raise DataError(
                f"{npz.path}: {', '.join(self.keys)} are of different kinds; needed three masks, "
                f"(N,) or (N, R), or three arrays of row numbers"
            )
        self.are_masks = kinds == {"mask"}
        shapes = {npz.shape(key) for key in self.keys}
        if self.are_masks and len(shapes) > 1:
            raise self._misfit()

    def _kind(self, key: str) -> str:
        kind, shape = self.npz.dtype(key).kind, self.npz.shape(key)
        is_mask = "mask" in key or kind == "b"
        if kind not in "biuf" or (kind == "f" and not is_mask):
            raise DataError(
                f"{self.npz.path}: {key} is {self.npz.dtype(key)}, needed a mask or integers"
            )
        if is_mask and (len(shape) not in (1, 2) or shape[0] != self.num_vertices):
            raise self._misfit(key)
        if not is_mask and len(shape) != 1:
            raise DataError(f"{self.npz.path}: {key} has shape {shape}, needed (k,) row numbers")
        return "mask" if is_mask else "rows"

    def _misfit(self, *keys: str) -> DataError:
        named = keys or self.keys
        shapes = ", ".join(f"{key} has shape {self.npz.shape(key)}" for key in named)
        return DataError(
            f"{self.npz.path}: {shapes}, but the graph has {self.num_vertices:,} vertices; needed "
            f"one row for each vertex, the same for all three masks"
        )

    @property
    def num_splits(self) -> int:
        """Splits that there are; one for row numbers."""
        shape = self.npz.shape(self.keys[0]) if self.are_masks else ()
        return shape[1] if len(shape) == 2 else 1

    @property
    def said(self) -> str:
        """What the report says."""
        what = "masks" if self.are_masks else "row numbers"
        return f"{', '.join(self.keys)} ({what}, {self.num_splits} split(s) kept)"

    def chunks(self, step: int) -> Iterator[np.ndarray]:
        """uint8 (k,) or (k, R), `step` vertices at a time."""
        if not self.are_masks:
            split = self._of_rows()
            yield from (split[i : i + step] for i in range(0, self.num_vertices, step))
            return
        first = 0
        for masks in zip(*(self.npz.rows(key, step) for key in self.keys), strict=True):
            for key, mask in zip(self.keys, masks, strict=True):
                self._refuse_values(key, mask, first)
            parts = [mask.astype(bool) for mask in masks]
            yield split_of_masks(parts, Origin(f"{self.npz.path}: masks", first))
            first += len(parts[0])

    def _refuse_values(self, key: str, mask: np.ndarray, first: int) -> None:
        bad = ~((mask == 0) | (mask == 1)).reshape(len(mask), -1).all(axis=1)
        if bad.any():
            row = int(np.argmax(bad))
            raise DataError(
                f"{Origin(f'{self.npz.path}: {key}', first).at(row)}: {mask[row]}, needed 0 or 1. "
                f"Save row numbers under another name: {key.replace('mask', 'idx')}"
            )

    def _of_rows(self) -> np.ndarray:
        split = np.full(self.num_vertices, NONE, np.uint8)
        for key, part in zip(self.keys, SPLITS.values(), strict=True):
            first = 0
            for ids in self.npz.rows(key, ROW_CHUNK):
                origin = Origin(f"{self.npz.path}: {key}", first)
                check_ids(ids, self.num_vertices, origin)
                if (row := first_again(split, ids)) is not None:
                    raise DataError(
                        f"{origin.at(row)}: vertex {ids[row]} is there twice, or in two of train, "
                        f"validation and test; needed row numbers. (A mask is an array of bool, or "
                        f"is called {part_of(key)}_mask)"
                    )
                split[ids] = part
                first += len(ids)
        return split
