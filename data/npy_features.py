"""Features in one .npy file (N, D): read in chunks of rows, or linked where they lie."""

from pathlib import Path

import numpy as np

from batchgnn.base.errors import DataError
from batchgnn.data.checks import Origin, check_finite
from batchgnn.data.convert import FEATURE_CHUNK_BYTES
from batchgnn.data.features import FeatureRows
from batchgnn.data.npz_file import read_npy_header
from batchgnn.store.graph_writer import RawFeatures


class NpyFeatures:
    """Features in one .npy file, (N, D)."""

    def __init__(self, path: Path):
        """Read the header; raises DataError unless it is a matrix of numbers by rows."""
        if not path.is_file():
            raise DataError(f"{path} does not exist: needed an .npy file of features")
        self.path = path
        with path.open("rb") as file:
            self.shape, fortran, self.dtype = read_npy_header(file, str(path))
            self.offset_bytes = file.tell()
        if len(self.shape) != 2 or self.dtype.kind not in "fiu" or 0 in self.shape:
            raise DataError(
                f"{path}: {self.dtype} {self.shape}, needed numbers (vertices, features)"
            )
        if fortran:
            raise DataError(
                f"{path} is stored by columns (Fortran order). Save it again with "
                f"np.save(FILE, np.ascontiguousarray(x))"
            )
        found, needed = path.stat().st_size, self.offset_bytes + self.num_bytes
        if found < needed:
            raise DataError(f"{path} is truncated: {found:,} bytes, needed {needed:,}")

    @property
    def num_bytes(self) -> int:
        """Bytes of the matrix."""
        return self.shape[0] * self.shape[1] * self.dtype.itemsize

    def raw(self) -> RawFeatures:
        """The matrix as it can be linked; raises DataError when its dtype cannot."""
        if self.dtype not in (np.dtype(np.float32), np.dtype(np.float16)):
            raise DataError(
                f"{self.path} is {self.dtype.str}: only native float32 or float16 can be linked. "
                f"Leave out --link-features to convert a copy"
            )
        return RawFeatures(self.path, self.offset_bytes)

    def append(self, features: FeatureRows, *, link: bool) -> None:
        """Check all rows, and copy them unless they are linked."""
        step = max(FEATURE_CHUNK_BYTES // (4 * self.shape[1]), 1)
        with self.path.open("rb") as file:
            file.seek(self.offset_bytes)
            for first in range(0, self.shape[0], step):
                count = min(step, self.shape[0] - first)
                raw = file.read(count * self.shape[1] * self.dtype.itemsize)
                rows = np.frombuffer(raw, self.dtype).reshape(count, self.shape[1])
                origin = Origin(str(self.path), first)
                if link:
                    check_finite(rows, origin)
                else:
                    features.append(rows, origin)
