"""The state of a mode in files of a checkpoint: each rank writes its share, any ranks read theirs.

    replicated.h5        what is the same on every rank, by the first
    vertices-00001.h5    rows of the vertices that rank 1 owns, one run of ids after another
    trainer-00002.h5     what trainer 2 alone has, by its first rank

A file is known by its `StateFile`, which the checkpoint's index keeps.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby, pairwise
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from batchgnn.base.errors import StoreError
from batchgnn.store.format import atomic_file, create_store, open_store

FORMAT = "batchgnn-mode-state"
REPLICATED, VERTICES, TRAINER = "replicated", "vertices", "trainer"

Arrays = dict[str, np.ndarray]


@dataclass
class ModeState:
    """What a mode has to remember between steps, beyond the graph and the settings.

    replicated  the same on every rank: parameters, optimiser moments
    by_vertex   (num_own, ...) each: rows of the vertices that this rank owns, in their order
    by_trainer  the same on the ranks of one trainer, number `trainer`
    scalars     the same on every rank
    """

    replicated: Arrays = field(default_factory=dict)
    by_vertex: Arrays = field(default_factory=dict)
    by_trainer: Arrays = field(default_factory=dict)
    trainer: int = 0
    scalars: dict[str, float | int | str] = field(default_factory=dict)


@dataclass(frozen=True)
class StateFile:
    """One file of a checkpoint.

    kind      REPLICATED, VERTICES or TRAINER
    number    of the rank that wrote rows of vertices, or of the trainer; else 0
    arrays    name -> [dtype, shape]
    runs      VERTICES: [first id, last id + 1] of each run of rows, in the order of the rows
    checksum  BLAKE2b of the file's bytes, 32 hexadecimal digits
    """

    kind: str
    number: int
    arrays: dict[str, list]
    runs: list[list[int]]
    num_bytes: int
    checksum: str

    @property
    def name(self) -> str:
        """Of the file in the folder; an index cannot name one outside of it."""
        if self.kind not in (REPLICATED, VERTICES, TRAINER):
            raise StoreError(f"a checkpoint has no files of kind {self.kind!r}")
        return _file_name(self.kind, self.number)


def write_state(
    folder: Path, state: ModeState, own_ids: np.ndarray, rank: int, *, speaks_for_trainer: bool
) -> list[StateFile]:
    """Write one rank's files of a checkpoint, none when it has nothing to write.

    own_ids             int (num_own,): global ids of the rows by vertex
    speaks_for_trainer  whether this rank is its trainer's first

    Raises StoreError when the disk is full.
    """
    for name, rows in state.by_vertex.items():
        if len(rows) != len(own_ids):
            raise ValueError(f"{name} has {len(rows)} rows for {len(own_ids)} own vertices")
    runs = runs_of(own_ids) if state.by_vertex else []
    files: list[tuple[str, int, Arrays, list[list[int]]]] = [
        (REPLICATED, 0, state.replicated if rank == 0 else {}, []),
        (VERTICES, rank, state.by_vertex if runs else {}, runs),
        (TRAINER, state.trainer, state.by_trainer if speaks_for_trainer else {}, []),
    ]
    return [_write_file(folder, *each) for each in files if each[2]]


def read_state(
    folder: Path, files: Sequence[StateFile], own_ids: np.ndarray, trainer: int
) -> ModeState:
    """The state, without its scalars, of a rank of `trainer` that owns the vertices `own_ids`.

    Own vertices may be dealt in another way than when they were written. `by_trainer` is empty
    when nobody was that trainer. Only the files that the rank needs are read, and verified.
    Raises StoreError when one is missing or damaged, or none has an own vertex.
    """
    return ModeState(
        replicated=_read_all(folder, files, REPLICATED, 0),
        by_vertex=_read_rows(folder, [f for f in files if f.kind == VERTICES], own_ids),
        by_trainer=_read_all(folder, files, TRAINER, trainer),
        trainer=trainer,
    )


def require_like(saved: ModeState, now: ModeState, where: str) -> None:
    """Raise StoreError unless a state has the arrays and scalars that the mode keeps now.

    where: the checkpoint. A trainer that nobody was has no arrays, and a mode that has not begun
    may have none by vertex yet.
    """
    for kind in (REPLICATED, "by_vertex", "by_trainer"):
        found, needed = (_described(getattr(state, kind)) for state in (saved, now))
        may_be_none = {"by_vertex": needed, "by_trainer": found}
        if found != needed and may_be_none.get(kind, True):
            names = sorted(name for name, _ in found.items() ^ needed.items())
            raise StoreError(
                f"{where}: {', '.join(names)}: of another shape or type than this mode, model and "
                f"optimiser keep, or missing: found {found}, needed {needed}. Train in a new --run."
            )
    if saved.scalars.keys() != now.scalars.keys() or any(
        type(saved.scalars[name]) is not type(value) for name, value in now.scalars.items()
    ):
        raise StoreError(
            f"{where}: its scalars are {saved.scalars}, needed {', '.join(now.scalars)}. Train in "
            "a new --run."
        )


def _described(arrays: Arrays) -> dict[str, tuple]:
    """Name -> (dtype, shape)."""
    return {name: (array.dtype.str, array.shape) for name, array in arrays.items()}


def require_fitting(files: Sequence[StateFile]) -> None:
    """Raise ValueError unless the ranks' arrays by vertex are alike and of different vertices."""
    owned = [file for file in files if file.kind == VERTICES]
    alike = {
        tuple((name, dtype, *shape[1:]) for name, (dtype, shape) in sorted(file.arrays.items()))
        for file in owned
    }
    if len(alike) > 1:
        raise ValueError(f"ranks have different arrays by vertex: {sorted(alike)}")
    runs = sorted(run for file in owned for run in file.runs)
    if any(end > begin for (_, end), (begin, _) in pairwise(runs)):
        raise ValueError("two ranks own the same vertex")


def runs_of(ids: np.ndarray) -> list[list[int]]:
    """[first, last + 1] of each run of consecutive ids: 3 4 5 9 are [3, 6] and [9, 10]."""
    if len(ids) == 0:
        return []
    last = np.append(np.flatnonzero(ids[1:] != ids[:-1] + 1), len(ids) - 1)
    first = np.append(0, last[:-1] + 1)
    return [[int(a), int(b) + 1] for a, b in zip(ids[first], ids[last], strict=True)]


class _Run(NamedTuple):
    """Ids begin : end, whose rows begin at `row` of file number `file`."""

    begin: int
    end: int
    row: int
    file: int


def _placed(runs: Sequence[Sequence[int]], file: int = 0) -> Iterator[_Run]:
    """Runs with their rows, which follow each other."""
    row = 0
    for begin, end in runs:
        yield _Run(begin, end, row, file)
        row += end - begin


def _pieces(
    files: Sequence[StateFile], own: Sequence[Sequence[int]]
) -> Iterator[tuple[int, slice, slice]]:
    """(file, rows there, own rows) of consecutive ids, all own rows once.

    Raises LookupError with the first own id that no file has.
    """
    saved = sorted(run for k, file in enumerate(files) for run in _placed(file.runs, k))
    ends = np.array([run.end for run in saved], np.int64)
    for mine in _placed(own):
        at, k = mine.begin, int(np.searchsorted(ends, mine.begin, side="right"))
        while at < mine.end:
            if k == len(saved) or saved[k].begin > at:
                raise LookupError(at)
            run = saved[k]
            count = min(run.end, mine.end) - at
            there, here = run.row + at - run.begin, mine.row + at - mine.begin
            yield run.file, slice(there, there + count), slice(here, here + count)
            at, k = at + count, k + 1


def _read_rows(folder: Path, files: Sequence[StateFile], own_ids: np.ndarray) -> Arrays:
    """Name -> (num_own, ...), from the files that have own vertices."""
    if not files:
        return {}
    arrays = {
        name: np.empty((len(own_ids), *shape[1:]), dtype)
        for name, (dtype, shape) in files[0].arrays.items()
    }
    try:
        pieces = sorted(_pieces(files, runs_of(own_ids)), key=lambda piece: piece[0])
    except LookupError as error:
        raise StoreError(f"{folder} has no state of vertex {error}: it is not whole.") from error
    for k, group in groupby(pieces, key=lambda piece: piece[0]):
        with _opened(folder, files[k]) as file:
            _copy(file, [rows for _, *rows in group], arrays)
    return arrays


def _copy(file: h5py.File, pieces: list[list[slice]], arrays: Arrays) -> None:
    for name, array in arrays.items():
        if array.size:
            for there, here in pieces:
                file[name].read_direct(array, there, here)


def _read_all(folder: Path, files: Sequence[StateFile], kind: str, number: int) -> Arrays:
    """All arrays of a file; none when there is no such file."""
    for each in files:
        if (each.kind, each.number) == (kind, number):
            with _opened(folder, each) as file:
                return {name: file[name][...] for name in each.arrays}
    return {}


@contextmanager
def _opened(folder: Path, written: StateFile) -> Iterator[h5py.File]:
    """A file of a checkpoint, verified."""
    path = folder / written.name
    if not path.is_file():
        raise missing(path)
    if path.stat().st_size != written.num_bytes or _checksum(path) != written.checksum:
        raise damaged(path)
    with open_store(path, FORMAT, "file of a checkpoint") as file:
        yield file


def _write_file(
    folder: Path, kind: str, number: int, arrays: Arrays, runs: list[list[int]]
) -> StateFile:
    with atomic_file(folder / _file_name(kind, number)) as beside:
        with create_store(beside, FORMAT) as file:
            for name, array in arrays.items():
                file.create_dataset(name, data=array)
        described = {name: [a.dtype.str, list(a.shape)] for name, a in arrays.items()}
        size = beside.stat().st_size
        return StateFile(kind, number, described, runs, size, _checksum(beside))


def _file_name(kind: str, number: int) -> str:
    return f"{kind}.h5" if kind == REPLICATED else f"{kind}-{number:05d}.h5"


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, partial(hashlib.blake2b, digest_size=16)).hexdigest()


def missing(path: Path) -> StoreError:
    """The error to raise when a file of a checkpoint is not there."""
    return StoreError(f"{path} is missing: {_advice(path.parent)}")


def damaged(path: Path) -> StoreError:
    """The error to raise when a file of a checkpoint is not as it was written."""
    return StoreError(f"{path} is damaged, not as it was written: {_advice(path.parent)}")


def _advice(folder: Path) -> str:
    return f"copy {folder} again, or remove it so that --resume takes the checkpoint before it."
