"""Arrays by name, as a converter reads them: their headers first, then their rows in chunks.

`npz_file.NpzFile` has those of an archive, `ArraysInMemory` those that a program holds.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from batchgnn.base.errors import DataError

Header = tuple[tuple[int, ...], bool, np.dtype]
"Shape, whether in Fortran order, dtype."


class Arrays(ABC):
    """Some arrays.

    path    what messages call them
    header  by name
    names   usual name -> the name that an array came with, where it was renamed
    """

    path: Path
    header: dict[str, Header]
    names: dict[str, str]

    @abstractmethod
    def read(self, key: str) -> np.ndarray:
        """A small array, whole."""

    @abstractmethod
    def rows(
        self, key: str, chunk: int, begin: int = 0, end: int | None = None
    ) -> Iterator[np.ndarray]:
        """(k, ...) with k <= chunk: rows begin .. end - 1 of an array, in order."""

    @abstractmethod
    def pairs(self, key: str, chunk: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The two rows of a (2, E) array side by side, (k,) and (k,)."""

    def rename(self, key: str, name: str) -> None:
        """Let the array `key` go by the name `name`."""
        self.header[name] = self.header.pop(key)
        self.names[name] = key

    def __contains__(self, key: str) -> bool:
        """Whether there is an array `key`."""
        return key in self.header

    def shape(self, key: str) -> tuple[int, ...]:
        """Shape of an array; raises DataError when it is missing."""
        if key not in self.header:
            raise DataError(
                f"{self.path}: there is no array {key}; found {', '.join(sorted(self.header))}"
            )
        return self.header[key][0]

    def length(self, key: str) -> int:
        """Rows of an array; raises DataError when it is missing, or one value without a shape."""
        shape = self.shape(key)
        if not shape:
            raise DataError(
                f"{self.path}: {key} is one value, not an array of rows. Save it anew as an array"
            )
        return shape[0]

    def dtype(self, key: str) -> np.dtype:
        """Dtype of an array."""
        self.shape(key)
        return self.header[key][2]


class ArraysInMemory(Arrays):
    """Arrays that a program holds: read where they are."""

    def __init__(self, name: str, arrays: Mapping[str, np.ndarray]):
        """name: what messages call them; raises DataError for an array of Python objects."""
        self.path, self.arrays, self.names = Path(name), dict(arrays), {}
        for key, array in self.arrays.items():
            if array.dtype.hasobject:
                raise DataError(
                    f"{name}: {key} is an array of Python objects, needed numbers or text. Make "
                    f"one of a plain type: np.asarray({key}, str), or float"
                )
        self.header = {key: (a.shape, False, a.dtype) for key, a in self.arrays.items()}

    def replace(self, key: str, array: np.ndarray) -> None:
        """Let `key` be another array."""
        self.arrays[self.names.get(key, key)] = array
        self.header[key] = array.shape, False, array.dtype

    def _at(self, key: str) -> np.ndarray:
        return self.arrays[self.names.get(key, key)]

    def read(self, key: str) -> np.ndarray:
        """The array."""
        return self._at(key)

    def rows(
        self, key: str, chunk: int, begin: int = 0, end: int | None = None
    ) -> Iterator[np.ndarray]:
        """(k, ...) with k <= chunk: views of rows begin .. end - 1."""
        array = self._at(key)
        end = len(array) if end is None else end
        yield from (array[i : min(i + chunk, end)] for i in range(begin, end, chunk))

    def pairs(self, key: str, chunk: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Views of the two rows, (k,) and (k,)."""
        top, bottom = self._at(key)
        yield from ((top[i : i + chunk], bottom[i : i + chunk]) for i in range(0, len(top), chunk))
