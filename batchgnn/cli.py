"""The command line: `batchgnn`, the same as `python -m batchgnn`.

A command's module is loaded when the command is called, so that help needs neither MPI nor the JIT.
"""

import contextlib
import difflib
import os
import signal
import sys
import time
from typing import Literal

from cyclopts import App, CycloptsError

from batchgnn import __version__
from batchgnn.base.environment import keep_idle_threads_quiet, rank_from_environment, tell_success
from batchgnn.base.errors import BatchGNNError, ConfigError
from batchgnn.base.examples import ending
from batchgnn.settings.mistakes import mistake, whole_numbers
from batchgnn.watch.interrupt import ctrl_c_kept, kept_for_later

COMMANDS = {
    "demo": ("batchgnn.launch.demo:demo", "Generate a graph, cut it, train on 2 ranks, evaluate."),
    "data": ("batchgnn.data.cli:app", "Make graph stores: generate or convert."),
    "partition": ("batchgnn.partition.cli:partition", "Cut a graph store into shards."),
    "inspect": (
        "batchgnn.partition.cli:inspect",
        "Print what a store holds: counts, cut, balance.",
    ),
    "verify": ("batchgnn.partition.cli:verify", "Check a store's checksums and invariants."),
    "launch": ("batchgnn.launch.cli:launch", "Run a command on several ranks with mpirun."),
    "slurm": ("batchgnn.launch.slurm_cli:app", "Write and submit batch scripts for Slurm."),
    "status": ("batchgnn.launch.status:status", "Print how far a run or its jobs are."),
    "cancel": ("batchgnn.launch.status:cancel", "End a run or its jobs; training saves first."),
    "plan": ("batchgnn.plan.command:app", "Predict seconds and memory of each mode on P ranks."),
    "train": ("batchgnn.run.train:app", "Train a model on a shard store."),
    "evaluate": ("batchgnn.run.evaluate:evaluate", "Print the exact score of a run's best model."),
    "predict": (
        "batchgnn.run.predict:predict",
        "Write probabilities or embeddings of all vertices.",
    ),
    "export": ("batchgnn.run.export:export", "Write a run's best model as safetensors."),
    "report": ("batchgnn.report.command:app", "Write an HTML page about one run or several."),
    "doctor": (
        "batchgnn.doctor.command:doctor",
        "Print what a job would run on, and what is wrong.",
    ),
    "completion": ("batchgnn.cli:completion", "Print the script that completes words in a shell."),
}
"Name: where it is, and its line in `batchgnn --help`, which loads none of them."

FIRST_RANK_S = 3.0
"How much later than the others the first rank may have started."

INTERRUPTED = "batchgnn: interrupted: it has ended, and nothing half-written is left."
SIGNALLED = (["train"], ["launch"])
"Commands that a signal tells to save and be started again, from their first line on."

app = App(
    name="batchgnn",
    help="Train graph neural networks on CPU clusters, over MPI.",
    version=__version__,
    suppress_keyboard_interrupt=False,
    config=whole_numbers,
    help_epilogue=ending(""),
)
for position, (name, (path, line)) in enumerate(COMMANDS.items()):
    own = {} if path.endswith(":app") else {"help_epilogue": ending(name)}
    app.command(path, name=name, help=line, sort_key=position, **own)


def main(arguments: list[str] | None = None) -> None:
    """Run a command; a user's error prints one message, on the first rank; exit status 2."""
    given = sys.argv[1:] if arguments is None else arguments
    is_first = rank_from_environment() == 0
    keep_idle_threads_quiet()
    try:
        with (
            kept_for_later() if given[:1] in SIGNALLED else contextlib.nullcontext(),
            ctrl_c_kept(),
        ):
            run_command(given)
    except SystemExit as end:
        if is_first and not end.code:
            tell_success()
        raise
    except KeyboardInterrupt:
        if is_first:
            say(INTERRUPTED)
        sys.exit(128 + signal.SIGINT)
    except Exception as fault:
        error = users_error(fault)
        if error is None:
            raise
        if is_first:
            say(f"batchgnn: {error}")
        if is_first and not error.exit_status:
            tell_success()
        let_the_first_rank_speak(is_first)
        sys.exit(error.exit_status)


def completion(shell: Literal["bash", "zsh", "fish"], /) -> None:
    """Print the script that lets a shell complete commands and options.

    For bash: `batchgnn completion bash > ~/.local/share/bash-completion/completions/batchgnn`

    Parameters
    ----------
    shell
        the shell that will read it
    """
    print(app.generate_completion(prog_name="batchgnn", shell=shell))


def run_command(given: list[str]) -> None:
    """Run it, and see that what it printed has arrived; raises what it raises."""
    try:
        check_folder()
        check_command(given)
        app(given, exit_on_error=False, print_error=False)
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # rich makes one of the other
            raise end.__context__ from None
        if not end.code:
            sys.stdout.flush()
        raise


def users_error(fault: Exception) -> BatchGNNError | None:
    """What to tell a user of an exception; None: it is a fault of the program."""
    if isinstance(fault, BatchGNNError):
        return fault
    if isinstance(fault, CycloptsError):
        return mistake(fault)
    from batchgnn.base.refused import refused  # loads more than help needs

    return refused(fault)


def say(text: str) -> None:
    """Print on stderr; output that nobody takes is given up, so that Python's end is quiet."""
    for stream, last in ((sys.stdout, ""), (sys.stderr, f"{text}\n")):
        try:
            stream.write(last)
            stream.flush()
        except OSError:
            with contextlib.suppress(OSError), open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), stream.fileno())


def let_the_first_rank_speak(is_first: bool) -> None:
    """Before MPI runs, mpirun kills all ranks when the quickest exits: that must be the first."""
    mpi = sys.modules.get("mpi4py.MPI")
    if not is_first and not (mpi and mpi.Is_initialized()):
        time.sleep(FIRST_RANK_S)


def check_folder() -> None:
    """Refuse to work in a folder that is gone, which MPI does not bear; raises ConfigError."""
    try:
        os.getcwd()
    except FileNotFoundError:
        raise ConfigError("the folder that you are in was removed. Change to another: cd") from None


def check_command(given: list[str]) -> None:
    """Refuse an unknown command without loading all of them to compare; raises ConfigError."""
    known = [*COMMANDS, "--help", "-h", "--version"]
    if given and given[0] not in known:
        near = difflib.get_close_matches(given[0], known, 1)
        meant = f"Did you mean {near[0]}?" if near else "batchgnn --help lists all."
        raise ConfigError(f"there is no command {given[0]}. {meant}")
