"""Runs in a folder, trained by the ranks that a test is on: `train` without its command line."""

from contextlib import contextmanager, suppress

from batchgnn.base.errors import Stopped
from batchgnn.run.folder import RunFolder
from batchgnn.run.session import open_session
from batchgnn.run.train import train_share


@contextmanager
def trained(comm, shards, out, settings, *, resume=False):
    """The share of a run that all ranks of `comm` have trained, to its end or until it stopped."""
    with open_session(shards, settings, comm) as share:
        if share.is_first:
            RunFolder(out).open(resume=resume)
        comm.Barrier()
        with suppress(Stopped):
            train_share(share, RunFolder(out), shards, resume)
        comm.Barrier()
        yield share


def trained_in_two(comm, shards, out, settings, *, epochs):
    """The folder of a run that ended after so many epochs, and was resumed to its end."""
    with trained(comm, shards, out, settings.replace(epochs=epochs)):
        pass
    with trained(comm, shards, out, settings, resume=True):
        pass
    return out
