"""A rank that is lost, where MPI can go on without it: Open MPI 5 under `mpirun --with-ft ulfm`.

User-Level Failure Mitigation (Bland et al., "Post-failure recovery of MPI communication
capability", 2013): a call that needs a lost rank raises; revoking a communicator lets all its other
ranks' calls raise too; shrinking it makes one of those that are left.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple, cast

from batchgnn.base.errors import BatchGNNError
from batchgnn.comm.mpi import MPI

if TYPE_CHECKING:
    from batchgnn.comm.grid import Grid

NEEDED = "it takes Open MPI 5 or later, started by `batchgnn launch` or `mpirun --with-ft ulfm`"


class Lost(NamedTuple):
    """A rank that is gone: its number when the job began, its host, the epoch, from 1."""

    rank: int
    host: str
    epoch: int


class RankLostError(BatchGNNError):
    """A rank is gone; every rank that is left raises it."""

    on_all_ranks = True


def is_loss(error: BaseException) -> bool:
    """Whether MPI raised this because a rank is gone, or because another rank has noticed one.

    Of several requests MPI says only that one has failed: those who are left find out whether a
    rank is gone.
    """
    if not isinstance(error, MPI.Exception):
        return False
    names = ("ERR_PROC_FAILED", "ERR_PROC_FAILED_PENDING", "ERR_REVOKED", "ERR_IN_STATUS")
    return error.Get_error_class() in [getattr(MPI, name) for name in names if hasattr(MPI, name)]


def can_go_on() -> bool:
    """Whether this MPI, as it was started, notes losses; tried on a communicator of this rank.

    Without `--with-ft ulfm` Open MPI's `Revoke` returns and does nothing.
    """
    comm = MPI.COMM_SELF.Dup()
    try:
        comm.Revoke()
        comm.Iprobe(MPI.ANY_SOURCE, 0)
    except MPI.Exception as error:
        return is_loss(error)
    except NotImplementedError:
        return False
    comm.Free()
    return False


@contextmanager
def losses_raised(grid: "Grid") -> Iterator[None]:
    """Where the block ends by a loss, let all ranks' calls end, and raise RankLostError."""
    try:
        yield
    except MPI.Exception as error:
        if not is_loss(error):
            raise
        grid.revoke()
        raise RankLostError("a rank is gone: the job ends. Go on with --resume.") from error


def revoke(comms: Sequence[MPI.Comm]) -> None:
    """Let the calls on them raise, on all their ranks; sends what it must, and waits for nobody."""
    for comm in comms:
        with suppress(MPI.Exception, NotImplementedError):
            comm.Revoke()


def ranks_left(comm: MPI.Intracomm) -> MPI.Intracomm:
    """A communicator of those that are left; collective over them."""
    return cast(MPI.Intracomm, comm.Shrink())


def all_ranks() -> MPI.Intracomm:
    """Those that the job began with."""
    return MPI.COMM_WORLD


def numbers(size: int, lost: Sequence[Lost]) -> list[int]:
    """What the ranks that are left were called when the job began, in order."""
    gone = {each.rank for each in lost}
    return [rank for rank in range(size + len(gone)) if rank not in gone]
