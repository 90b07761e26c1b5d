"""Dense features on their way into a store: missing ones filled, columns standardised.

Means and deviations are of the training vertices, so that nothing is known of the others. They need
all rows first: rows wait as float64 in an unnamed file beside the output, and are read three times.
"""

import tempfile
from collections.abc import Iterator
from typing import IO

import numpy as np

from batchgnn.base.errors import ConfigError
from batchgnn.data.checks import Origin, check_finite
from batchgnn.data.convert import FEATURE_CHUNK_BYTES, ConvertOptions, prepare_features
from batchgnn.store.graph_writer import TRAIN, GraphStoreWriter
from batchgnn.store.taken import Record


def asked_of_rows(options: ConvertOptions) -> dict[str, bool]:
    """What may be asked of dense features alone, as it is typed, and whether it is."""
    filled = options.fill is not None
    return {"--standardize": options.standardize, f"--fill {options.fill}": filled}


def refuse_sparse(options: ConvertOptions, path: object) -> None:
    """Raise ConfigError where sparse features should be filled or standardised."""
    for name, is_asked in asked_of_rows(options).items():
        if is_asked:
            raise ConfigError(
                f"{name}: the features of {path} are sparse, needed dense ones. Leave it out, or "
                "save them as x, (vertices, features)"
            )


def refuse_without(options: ConvertOptions, graph: str) -> None:
    """Raise ConfigError where something is asked of features that are not there."""
    in_rows = {"--normalize-features row": options.normalize_features != "none"}
    for name, is_asked in (asked_of_rows(options) | in_rows).items():
        if is_asked:
            raise ConfigError(
                f"{name}: no vertex of {graph} has features, needed some. Leave it out, or give "
                "the features too"
            )


class FeatureRows:
    """Appends dense features to a store; `finish` comes when the split is there too."""

    def __init__(self, writer: GraphStoreWriter, options: ConvertOptions):
        """Opens the unnamed file where rows have to wait; it is closed with the writer.

        Raises ConfigError where the options ask something of features, and there are none.
        """
        self.writer, self.options, self.num_filled = writer, options, 0
        self.width = writer.spec.num_features
        if not self.width:
            refuse_without(options, writer.spec.name)
        self.as_is = np.zeros(self.width, bool)
        "Columns that stay as they are: 0 and 1 for a value of text."
        self.spool: IO[bytes] | None = None
        if self.width and (options.standardize or options.fill == "mean"):
            spool = tempfile.TemporaryFile(dir=writer.folder)  # noqa: SIM115
            self.spool = writer.stack.enter_context(spool)

    def append(self, rows: np.ndarray, origin: Origin) -> None:
        """The next rows, numbers (k, D); NaN is refused unless there is something to fill in."""
        fill = self.options.fill
        missing = np.isnan(rows) if fill is not None and rows.dtype.kind == "f" else None
        if missing is not None and missing.any():
            self.num_filled += int(np.count_nonzero(missing))
            rows = np.where(missing, fill if isinstance(fill, float | int) else 0.0, rows)
        if self.spool is None:
            self.writer.append_features(prepare_features(rows, self.options, origin))
            return
        check_finite(rows, origin)
        rows = rows.astype(np.float64)
        if missing is not None and fill == "mean":
            rows[missing] = np.nan
        self.spool.write(rows.tobytes())

    def finish(self) -> Record:
        """Append rows that waited; what to say of them."""
        said: Record = {}
        of = "the training vertices"
        if self.spool is not None:
            if not self._num_train():
                of = "all vertices, as none trains"
            said = self._append_waiting(of)
        if self.options.fill is not None:
            what = f"the mean of {of}" if self.options.fill == "mean" else f"{self.options.fill:g}"
            said["missing features"] = f"{self.num_filled:,} filled with {what}"
        return said

    def _num_train(self) -> int:
        by_part = self.writer.tally.by_part
        return 0 if by_part is None else int(by_part[0, TRAIN])

    def _chunks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(float64 (k, D) with NaN where it is missing, bool (k,): what means are of)."""
        step, first = max(FEATURE_CHUNK_BYTES // (8 * self.width), 1), 0
        everyone, spool = not self._num_train(), self.spool
        if spool is None:
            return
        spool.seek(0)
        while raw := spool.read(step * 8 * self.width):
            rows = np.frombuffer(raw).reshape(-1, self.width)
            split = self.writer.split_rows(first, len(rows))
            yield rows, np.ones(len(rows), bool) if everyone else split == TRAIN
            first += len(rows)

    def _append_waiting(self, of: str) -> Record:
        mean, is_constant = self._means()
        deviation = self._deviations(mean)
        is_constant |= deviation == 0
        deviation[is_constant | self.as_is] = 1.0
        first = 0
        for rows, _ in self._chunks():
            rows = np.where(np.isnan(rows), mean, rows)
            if self.options.standardize:
                rows -= np.where(self.as_is, 0.0, mean)
                rows /= deviation
            origin = Origin(f"{self.writer.spec.name}: features", first)
            self.writer.append_features(prepare_features(rows, self.options, origin))
            first += len(rows)
        if not self.options.standardize:
            return {}
        constant = int(np.count_nonzero(is_constant & ~self.as_is))
        return {
            "standardized": f"mean 0 and deviation 1 of {of}"
            + (f"; {constant:,} constant columns are 0 there" if constant else "")
        }

    def _means(self) -> tuple[np.ndarray, np.ndarray]:
        """(float64 (D,): mean of what is known, 0 of nothing; bool (D,): all of it is the same)."""
        count, total = np.zeros(self.width, np.int64), np.zeros(self.width)
        low, high = np.full(self.width, np.inf), np.full(self.width, -np.inf)
        for rows, chosen in self._chunks():
            rows = rows[chosen]
            known = ~np.isnan(rows)
            count += known.sum(axis=0)
            total += np.where(known, rows, 0.0).sum(axis=0)
            low = np.minimum(low, np.where(known, rows, np.inf).min(axis=0, initial=np.inf))
            high = np.maximum(high, np.where(known, rows, -np.inf).max(axis=0, initial=-np.inf))
        mean = np.where(low == high, low, total / np.maximum(count, 1))
        return np.where(count, mean, 0.0), (low == high) | (count == 0)

    def _deviations(self, mean: np.ndarray) -> np.ndarray:
        """float64 (D,): of the population, where what is missing has the mean."""
        squares, count = np.zeros(self.width), 0
        for rows, chosen in self._chunks():
            apart = rows[chosen] - mean
            squares += np.square(np.where(np.isnan(apart), 0.0, apart)).sum(axis=0)
            count += len(apart)
        return np.sqrt(squares / max(count, 1))
