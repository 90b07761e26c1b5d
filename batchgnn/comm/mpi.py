"""MPI, or what stands for it on a machine that has no MPI library: an error where it is called.

So that what needs no ranks (plans, predictions of memory, reports) works without.
"""

from typing import TYPE_CHECKING, Any, NoReturn

from batchgnn.base.errors import ConfigError


class NoMpiError(ConfigError):
    """There is no MPI library on this machine, and ranks are needed."""


class NoMpi:
    """Stands for the module and for all that is in it; to call it raises NoMpiError."""

    Exception = type("Exception", (BaseException,), {})
    "What calls of MPI raise: it can be caught, and never is."

    def __init__(self, why: BaseException):
        """why: what the attempt to load it ended with."""
        self._why = why

    def __getattr__(self, name: str) -> "NoMpi":
        return self

    def __or__(self, other: Any) -> "NoMpi":
        return self

    def __call__(self, *arguments: Any, **named: Any) -> NoReturn:
        """Raise NoMpiError."""
        raise NoMpiError(
            f"no MPI library could be loaded ({str(self._why).splitlines()[0]}). Install one with "
            "pip install 'batchgnn[mpi]', or load your cluster's, such as module load openmpi."
        )


if TYPE_CHECKING:
    from mpi4py import MPI as MPI
else:
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        MPI = NoMpi(error)
