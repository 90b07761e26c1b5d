"""`batchgnn launch`: a command on several ranks, with cores bound and threads counted."""

import os
import shlex
import sys
from typing import Annotated

from cyclopts import Parameter, validators

from batchgnn.errors import ConfigError
from batchgnn.launch.local import own_command, run
from batchgnn.launch.mpirun import (
    Placement,
    find_mpirun,
    job_environment,
    mpirun_argv,
    num_cores,
    place,
)

AT_LEAST_ONE = validators.Number(gte=1)


def launch(
    *command: Annotated[str, Parameter(allow_leading_hyphen=True)],
    ranks: Annotated[int, Parameter(name=("--ranks", "-n"), validator=AT_LEAST_ONE)],
    threads: Annotated[int | None, Parameter(validator=AT_LEAST_ONE)] = None,
    mpirun: str | None = None,
    bind: bool = True,
    dry_run: bool = False,
) -> None:
    """Run a command of batchgnn on several ranks: `batchgnn launch -n 4 -- train SHARDS --run RUN`.

    Parameters
    ----------
    command: the command and its options, after `--`
    ranks: MPI processes
    threads: threads of each rank; by default an even share of this machine's cores
    mpirun: the launcher to use; by default this Python's own, then the first on PATH
    bind: bind each rank to cores of its own, when there are enough
    dry_run: print the command line and what is added to the environment, start nothing
    """
    if not command:
        raise ConfigError("nothing to launch. Try: batchgnn launch -n 2 -- train SHARDS --run RUN")
    found = find_mpirun(mpirun)
    placement = place(ranks, threads, num_cores(), elsewhere="SLURM_JOB_ID" in os.environ)
    if not bind:
        placement = Placement(placement.ranks, placement.threads, bind=False)
    elif not placement.bind:
        print(
            f"batchgnn: {ranks} ranks x {placement.threads} threads on {num_cores()} cores: "
            "ranks are not bound and share them.",
            file=sys.stderr,
        )
    line = [*own_command(), *command]
    if dry_run:
        added = job_environment(found, placement, os.geteuid(), "...")
        settings = [f"{name}={shlex.quote(value)}" for name, value in added.items()]
        print(" \\\n  ".join([*settings, shlex.join(mpirun_argv(found, placement, line))]))
        return
    ended = run(found, placement, line)
    if ended.sentence:
        print(ended.sentence, file=sys.stderr, flush=True)
    if ended.status:
        sys.exit(ended.status)
