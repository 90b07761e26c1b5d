"""Which mpirun there is, and the command line and environment it needs."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from pathlib import Path

import psutil

from batchgnn.base.environment import LAUNCH_VARIABLE
from batchgnn.base.errors import ConfigError
from batchgnn.base.threads import usable_cores

NAMES = ("mpirun", "mpiexec")
THREAD_VARIABLES = (
    "NUMBA_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
)
MARK = LAUNCH_VARIABLE


class Flavour(StrEnum):
    """The launchers whose options are known."""

    OPENMPI4 = "Open MPI 4"
    OPENMPI5 = "Open MPI 5"
    MPICH = "MPICH"


@dataclass(frozen=True)
class Mpirun:
    """A launcher that was found."""

    path: str
    flavour: Flavour


@dataclass(frozen=True)
class Placement:
    """How many ranks, threads of each, and whether each rank is bound to cores of its own."""

    ranks: int
    threads: int
    bind: bool

    @property
    def cores(self) -> int:
        """Cores that the job would like."""
        return self.ranks * self.threads


def flavour_of(version: str) -> Flavour | None:
    """The flavour that prints `version` when asked for it; None when unknown."""
    if found := re.search(r"\(Open MPI\) (\d+)|OpenRTE\) (\d+)", version):
        major = int(found[1] or found[2])
        return Flavour.OPENMPI5 if major >= 5 else Flavour.OPENMPI4
    return Flavour.MPICH if "HYDRA" in version.upper() else None


def find_mpirun(given: str | None = None) -> Mpirun:
    """The given launcher, else that of this Python's own folder, else the first on PATH.

    Raises ConfigError when there is none, or when its flavour is unknown.
    """
    beside = [str(Path(sys.prefix) / "bin" / name) for name in NAMES]
    for candidate in [given] if given else [*beside, *NAMES]:
        if path := shutil.which(candidate):
            return _identified(path)
    if given:
        raise ConfigError(f"--mpirun {given}: no such program. Leave the option out to search.")
    raise ConfigError(
        "neither mpirun nor mpiexec was found beside this Python or on PATH. Install one with: "
        "pip install 'batchgnn[mpi]', load your cluster's MPI module, or name it with --mpirun."
    )


def _identified(path: str) -> Mpirun:
    try:
        done = subprocess.run(
            [path, "--version"],
            env=dict(os.environ) | root_environment(os.geteuid()),
            capture_output=True,
            text=True,
            timeout=60,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"{path} --version could not be run: {error}.") from error
    flavour = flavour_of(done.stdout + done.stderr)
    if flavour is None:
        first = (done.stdout + done.stderr).strip().partition("\n")[0]
        raise ConfigError(
            f'{path} calls itself "{first}"; Open MPI 4 or 5, or MPICH, is needed. Name another '
            "with --mpirun, or start the ranks yourself: YOUR-LAUNCHER batchgnn train ..."
        )
    return Mpirun(path, flavour)


def num_cores() -> int:
    """Physical cores that this process may use; a container may have a part of their time."""
    allowed = len(os.sched_getaffinity(0))
    return usable_cores(min(allowed, psutil.cpu_count(logical=False) or allowed))


def place(ranks: int, threads: int | None, cores: int, *, elsewhere: bool) -> Placement:
    """Threads default to an even share of the cores; bound unless the cores do not suffice.

    elsewhere: the ranks may run on other machines too, so that `cores` of this one says nothing.
    """
    if threads is None:
        threads = 1 if elsewhere else max(1, cores // ranks)
    return Placement(ranks, threads, bind=elsewhere or ranks * threads <= cores)


def mpirun_argv(
    mpirun: Mpirun,
    placement: Placement,
    command: list[str],
    *,
    hosts: dict[str, int] | None = None,
    per_node: int | None = None,
    passed: tuple[str, ...] = (*THREAD_VARIABLES, MARK),
    survives: bool = False,
) -> list[str]:
    """The command line that starts `command` on every rank.

    hosts     ranks that each host may have; None: as the launcher knows them
    per_node  ranks of each node of an allocation
    passed    variables of the environment that ranks on other nodes get
    survives  whether the ranks go on without a lost one
    """
    argv = [mpirun.path, "-n", str(placement.ranks)]
    if survives and mpirun.flavour is Flavour.OPENMPI5:
        argv[1:1] = ["--with-ft", "ulfm", "--mca", "coll", "^han"]
    if hosts is not None:
        option = "-hosts" if mpirun.flavour is Flavour.MPICH else "--host"
        argv += [option, ",".join(f"{host}:{slots}" for host, slots in hosts.items())]
    if mpirun.flavour is Flavour.MPICH:
        argv += ["-ppn", str(per_node)] if per_node else []
        argv += ["-bind-to", f"core:{placement.threads}"] if placement.bind else []
        return argv + command
    if placement.bind:
        each = f"ppr:{per_node}:node" if per_node else "slot"
        argv += ["--bind-to", "core", "--map-by", f"{each}:PE={placement.threads}"]
    else:
        argv += ["--bind-to", "none"]
        argv += ["--map-by", f"ppr:{per_node}:node"] if per_node else []
    for variable in passed:
        argv += ["-x", variable]
    return argv + command


def drops_lost_ranks(command: Sequence[str]) -> bool:
    """Whether the options of a command ask to go on without lost ranks."""
    return "--on-loss=drop" in command or ("--on-loss", "drop") in pairwise(command)


def root_environment(user_id: int) -> dict[str, str]:
    """Open MPI starts as root only when told twice that this is meant."""
    if user_id != 0:
        return {}
    names = ("ALLOW_RUN_AS_ROOT", "ALLOW_RUN_AS_ROOT_CONFIRM")
    return {f"{prefix}_{name}": "1" for prefix in ("OMPI", "PRTE") for name in names}


def job_environment(
    mpirun: Mpirun,
    placement: Placement,
    user_id: int,
    name: str,
) -> dict[str, str]:
    """What to add to the environment: thread counts, root, oversubscription, the launch's name."""
    added = dict.fromkeys(THREAD_VARIABLES, str(placement.threads))
    added[MARK] = name
    if mpirun.flavour is Flavour.MPICH:
        return added
    added |= root_environment(user_id)
    if not placement.bind:
        if mpirun.flavour is Flavour.OPENMPI5:
            added["PRTE_MCA_rmaps_default_mapping_policy"] = ":oversubscribe"
        else:
            added["OMPI_MCA_rmaps_base_oversubscribe"] = "1"
        added["OMPI_MCA_mpi_yield_when_idle"] = "1"
    return added
