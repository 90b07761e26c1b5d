"""`batchgnn launch`: a command on several ranks, with cores bound and threads counted."""

import os
import shlex
import sys
from typing import Annotated

from cyclopts import Parameter

from batchgnn.base.errors import ConfigError
from batchgnn.launch.local import own_command, run
from batchgnn.launch.mpirun import (
    Mpirun,
    Placement,
    drops_lost_ranks,
    find_mpirun,
    job_environment,
    mpirun_argv,
    num_cores,
    place,
)
from batchgnn.launch.restart import go_on, parse_hosts, run_folder_of, run_restarting
from batchgnn.settings.checks import AT_LEAST_ONE, NOT_NEGATIVE


def launch(
    *command: Annotated[str, Parameter(allow_leading_hyphen=True)],
    ranks: Annotated[int, Parameter(name=("--ranks", "-n")), AT_LEAST_ONE],
    threads: Annotated[int | None, AT_LEAST_ONE] = None,
    mpirun: str | None = None,
    bind: bool = True,
    hosts: str | None = None,
    max_restarts: Annotated[int, NOT_NEGATIVE] = 0,
    dry_run: bool = False,
) -> None:
    """Run a command of batchgnn on several ranks: `batchgnn launch -n 4 -- train SHARDS --run RUN`.

    Parameters
    ----------
    command
        the command and its options, after `--`
    ranks
        MPI processes
    threads
        threads of each rank; by default an even share of this machine's cores
    mpirun
        the launcher to use; by default this Python's own, then the first on PATH
    bind
        bind each rank to cores of its own, when there are enough
    hosts
        HOST:RANKS,HOST:RANKS; by default this machine, or what mpirun knows of
    max_restarts
        times that training is started again, from its last checkpoint and on the hosts
        that are left, when a rank or a host is lost
    dry_run
        print the command line and what is added to the environment, start nothing
    """
    command = command[1:] if command[:1] == ("batchgnn",) else command
    if not command:
        raise ConfigError("nothing to launch. Try: batchgnn launch -n 2 -- train SHARDS --run RUN")
    on = None if hosts is None else parse_hosts(hosts)
    if max_restarts:
        run_folder_of(list(command))
    found = find_mpirun(mpirun)
    placement = _placed(ranks, threads, bind, elsewhere="SLURM_JOB_ID" in os.environ or bool(on))
    if dry_run:
        _show(found, placement, [*own_command(), *command], on)
        return
    if max_restarts:
        program, words = own_command(), list(command)
        ended = run_restarting(
            found, placement, program, words, hosts=on, max_restarts=max_restarts
        )
    else:
        ended = run(found, placement, [*own_command(), *command], on, tells_success=True)
    if ended.sentence:
        print(" ".join([ended.sentence, *go_on(list(command))]), file=sys.stderr, flush=True)
    if ended.status:
        sys.exit(ended.status)


def _placed(ranks: int, threads: int | None, bind: bool, *, elsewhere: bool) -> Placement:
    """Where ranks run; says so on stderr when they cannot have cores of their own."""
    placement = place(ranks, threads, num_cores(), elsewhere=elsewhere)
    if not bind:
        return Placement(placement.ranks, placement.threads, bind=False)
    if not placement.bind:
        print(
            f"batchgnn: {ranks} ranks x {placement.threads} threads on {num_cores()} cores: "
            "ranks are not bound and share them.",
            file=sys.stderr,
        )
    return placement


def _show(found: Mpirun, placement: Placement, line: list[str], on: dict[str, int] | None) -> None:
    """Print the command line and what is added to the environment."""
    added = job_environment(found, placement, os.geteuid(), "...")
    settings = [f"{name}={shlex.quote(value)}" for name, value in added.items()]
    survives = drops_lost_ranks(line)
    argv = mpirun_argv(found, placement, line, hosts=on, survives=survives)
    print(" \\\n  ".join([*settings, shlex.join(argv)]))
