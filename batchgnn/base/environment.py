"""What the launcher told this process through its environment, before MPI is started."""

import os
import shlex
import sys

RANK_VARIABLES = ("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID")
LAUNCH_VARIABLE = "BATCHGNN_LAUNCH"
"Set by `batchgnn launch` to the launch's own name in every rank, so that none is left behind."

LAST_CALLS_VARIABLE = "BATCHGNN_LAST_CALLS"
"""Set by `batchgnn launch` to a folder of its machine's: the ranks there keep in it which
collective they were last in, for it to say when one of them is lost."""

RESUME_VARIABLE = "BATCHGNN_RESUME"
"Set by `batchgnn launch` to its command line, as it was typed, and --resume."

BAR_VARIABLE = "BATCHGNN_BAR"
"Set by `batchgnn launch` on a terminal: the first rank tells it how far work is, it draws the bar."

HOSTS = "hosts.json"
"In that folder: the hosts' names by rank."

SEGMENTS = "segments-"
"In that folder, before a rank's number: the files in shared memory that it maps."

SIZE_VARIABLES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE")


def keep_idle_threads_quiet() -> None:
    """Let idle threads of OpenMP and OpenBLAS sleep soon, unless the user set otherwise.

    By default they spin, on the cores that other threads and ranks need. To be called before numpy
    is imported.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")


def leave_out_slow_transports() -> None:
    """Keep Open MPI from parts for one-sided messages between nodes, unless the user chose some.

    BatchGNN sends none. btl/ofi sleeps a second when MPI starts (other messages over libfabric take
    another way, mtl/ofi); osc/ucx complains when a window is made. To be called before MPI starts.
    """
    os.environ.setdefault("OMPI_MCA_btl", "^ofi")
    os.environ.setdefault("OMPI_MCA_osc", "^ucx")


def rank_from_environment() -> int:
    """The rank that the launcher gave this process; 0 without a launcher."""
    return _first(RANK_VARIABLES, 0)


def size_from_environment() -> int:
    """The number of ranks that mpirun or `srun --mpi=...` started; 1 without one.

    Slurm's own count says nothing of MPI, unless srun was told to serve PMIx.
    """
    tasks = ("SLURM_STEP_NUM_TASKS",) if "PMIX_RANK" in os.environ else ()
    return _first((*SIZE_VARIABLES, *tasks), 1)


def tasks_of_srun() -> int:
    """The tasks that srun started, where no MPI launcher says a number; 1 without srun."""
    if any(os.environ.get(name, "").isdigit() for name in SIZE_VARIABLES):
        return 1
    return _first(("SLURM_STEP_NUM_TASKS",), 1)


def command_to_resume() -> str:
    """What to type to go on with the training that this process starts, or is a rank of."""
    if told := os.environ.get(RESUME_VARIABLE):
        return told
    words, ranks = sys.argv[1:], size_from_environment()
    if ranks == 1:
        before = "batchgnn"
    elif LAUNCH_VARIABLE in os.environ:
        before = f"batchgnn launch -n {ranks} --"
    elif "SLURM_STEP_ID" in os.environ and "OMPI_COMM_WORLD_SIZE" not in os.environ:
        before = f"srun -n {ranks} batchgnn"
    else:
        before = f"mpirun -n {ranks} batchgnn"
    return f"{before} {shlex.join([word for word in words if word != '--resume'])} --resume"


def word_of_success(launch: str) -> str:
    """The line by which a job's first rank tells its launcher that it ended well.

    Open MPI 5's mpirun ends with status 0 also when it has lost a host.
    """
    return f"batchgnn: launch {launch} is done"


def word_of_progress(launch: str) -> str:
    """How the lines begin by which the first rank tells its launcher what bar to draw."""
    return f"batchgnn: launch {launch} is at "


def tell_success() -> None:
    """Say so to `batchgnn launch`, which keeps the line to itself; nothing without it."""
    if launch := os.environ.get(LAUNCH_VARIABLE):
        sys.stdout.flush()
        sys.stderr.write(f"{word_of_success(launch)}\n")
        sys.stderr.flush()


def _first(variables: tuple[str, ...], default: int) -> int:
    for variable in variables:
        value = os.environ.get(variable, "")
        if value.isdigit():
            return int(value)
    return default
