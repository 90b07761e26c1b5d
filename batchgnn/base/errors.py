"""The errors a user can cause: where, what was found, what was needed, what to type.

The command line prints the message of a `BatchGNNError` once, without a traceback, and exits with
status 2. Any other exception is a fault of the program and keeps its traceback.
"""


class BatchGNNError(Exception):
    """Base of every error that a user can cause and mend.

    `on_all_ranks` is set on an error that every rank raises together, so that none waits.
    `severity` is how bad it is, in bytes or another unit of its kind: of many ranks that fail alike
    the worst is quoted.

    >>> import batchgnn
    >>> try:
    ...     batchgnn.Run("elsewhere")
    ... except batchgnn.BatchGNNError as error:
    ...     print(str(error).partition(":")[0])
    elsewhere/config.toml is missing
    """

    exit_status = 2
    on_all_ranks = False
    severity: float = 0


class ConfigError(BatchGNNError):
    """A setting, or a combination of settings, that cannot work."""


class DataError(BatchGNNError):
    """An input file with a bad value: the message names file, row and remedy."""


class StoreError(BatchGNNError):
    """A store, checkpoint or run folder that is missing, damaged or of another kind."""


class MemoryPlanError(BatchGNNError):
    """A run that would need more memory than it may use."""


class RankError(BatchGNNError):
    """A failure on one or more ranks, raised on every rank together."""


class NotFiniteError(BatchGNNError):
    """A loss, gradient or weight that is nan or infinite: on all ranks at once, as their sum is."""

    on_all_ranks = True


class Stopped(BatchGNNError):
    """A run that a signal asked to stop, and that has saved its state on the way out.

    `requeue` says whether it is to be started again: then its exit status is 0.
    """

    on_all_ranks = True
    requeue = False
