"""Negatives of validation and test events from a file, as benchmarks publish them."""

from pathlib import Path

import numpy as np

from batchgnn.base.errors import ConfigError
from batchgnn.modes.temporal.names import Names
from batchgnn.modes.temporal.stream import Stream
from batchgnn.settings.settings import Settings
from batchgnn.tasks.options import Negatives, NegativesFile

CHUNK_ROWS = 1 << 12


def negatives_file(settings: Settings) -> str | None:
    """The file, where a task with negatives has one."""
    options = settings.get(NegativesFile)
    return None if options is None else options.eval_negatives_file


def num_negatives(settings: Settings) -> int:
    """How many an event's target is ranked among. Raises ConfigError."""
    options = settings.get(Negatives)
    if options is None:
        return 0
    path = negatives_file(settings)
    return options.eval_negatives if path is None else int(_rows(path).shape[1])


def num_trained_negatives(settings: Settings) -> int:
    """How many an event's target is compared with in training."""
    options = settings.get(Negatives)
    return 0 if options is None else options.drawn[1]


class PublishedNegatives:
    """A .npy file of the user's ids (E', n), a row for each event behind training's."""

    def __init__(self, path: str, stream: Stream):
        """Raises ConfigError where it does not fit the stream, or has an id that it has not."""
        self.rows = _rows(path)
        self.first, needed = stream.ends["train"], stream.ends["test"] - stream.ends["train"]
        if len(self.rows) != needed:
            raise ConfigError(
                f"{path} has {len(self.rows):,} rows, and {needed:,} events lie behind training's: "
                "give a row for each of them, validation's first."
            )
        self.names = Names(stream, path)
        for begin in range(0, needed, CHUNK_ROWS):
            self.names.vertices(self.rows[begin : begin + CHUNK_ROWS])

    def of(self, events: np.ndarray) -> np.ndarray:
        """int64 (n, B): vertices of some events."""
        return self.names.vertices(self.rows[events - self.first]).T


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
