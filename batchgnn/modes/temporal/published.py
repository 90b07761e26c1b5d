"""Negatives of validation and test events from a file, as benchmarks publish them."""

from pathlib import Path

import numpy as np

from batchgnn.base.errors import ConfigError
from batchgnn.modes.temporal.options import Timeline
from batchgnn.modes.temporal.stream import Stream

CHUNK_ROWS = 1 << 12


def num_negatives(options: Timeline) -> int:
    """How many an event's target is ranked among. Raises ConfigError."""
    path = options.eval_negatives_file
    return options.eval_negatives if path is None else int(_rows(path).shape[1])


class PublishedNegatives:
    """A .npy file of the user's ids (E', n), a row for each event behind training's."""

    def __init__(self, path: str, stream: Stream):
        """Raises ConfigError where it does not fit the stream, or has an id that it has not."""
        self.path, self.rows = path, _rows(path)
        self.first, needed = stream.ends["train"], stream.ends["test"] - stream.ends["train"]
        if len(self.rows) != needed:
            raise ConfigError(
                f"{path} has {len(self.rows):,} rows, and {needed:,} events lie behind training's: "
                "give a row for each of them, validation's first."
            )
        self.order = np.argsort(stream.name, kind="stable")
        self.known = stream.name[self.order]
        for begin in range(0, needed, CHUNK_ROWS):
            self._vertices(self.rows[begin : begin + CHUNK_ROWS])

    def of(self, events: np.ndarray) -> np.ndarray:
        """int64 (n, B): vertices of some events."""
        return self._vertices(self.rows[events - self.first]).T

    def _vertices(self, ids: np.ndarray) -> np.ndarray:
        if self.known.dtype.kind == "S":
            ids = np.char.encode(ids, "utf-8") if ids.dtype.kind == "U" else ids.astype("S")
        place = np.minimum(np.searchsorted(self.known, ids), len(self.known) - 1)
        strange = self.known[place] != ids
        if strange.any():
            raise ConfigError(f"{self.path}: no vertex of the stream is {ids[strange][0]}.")
        return self.order[place]


def _rows(path: str) -> np.ndarray:
    """The file, mapped."""
    if not Path(path).is_file():
        raise ConfigError(f"--eval-negatives-file {path}: no such file: give a .npy file.")
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ConfigError(f"{path} is no .npy file of ids ({error}): save one.") from error
    if found.ndim != 2 or found.dtype.kind not in "iuSU" or not found.shape[1]:
        raise ConfigError(
            f"{path}: found {found.dtype} {found.shape}, needed ids (events, negatives)."
        )
    return found
