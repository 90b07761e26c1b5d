"""The command line: `batchgnn`, the same as `python -m batchgnn`.

A command's module is loaded when the command is called, so that help needs neither MPI nor the JIT.
"""

import os
import sys

from cyclopts import App

from batchgnn import __version__
from batchgnn.errors import BatchGNNError

COMMANDS = {
    "demo": ("batchgnn.launch.demo:demo", "Generate a graph, cut it, train on 2 ranks, evaluate."),
    "data": ("batchgnn.data.cli:app", "Make graph stores: generate or convert."),
    "partition": ("batchgnn.partition.cli:partition", "Cut a graph store into shards."),
    "inspect": ("batchgnn.partition.cli:inspect", "Print what a store holds: counts, cut, balance."),
    "verify": ("batchgnn.partition.cli:verify", "Check a store's checksums and invariants."),
    "launch": ("batchgnn.launch.cli:launch", "Run a command on several ranks with mpirun."),
    "train": ("batchgnn.train:app", "Train a model on a shard store."),
    "evaluate": ("batchgnn.evaluate:evaluate", "Print the exact score of a run's best model."),
    "predict": ("batchgnn.predict:predict", "Write probabilities or embeddings of all vertices."),
    "export": ("batchgnn.export:export", "Write a run's best model as safetensors."),
}
"Name: where it is, and its line in `batchgnn --help`, which loads none of them."

RANK_VARIABLES = ("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID")

app = App(
    name="batchgnn",
    help="Train graph neural networks on CPU clusters, over MPI.",
    version=__version__,
)
for position, (name, (path, line)) in enumerate(COMMANDS.items()):
    app.command(path, name=name, help=line, sort_key=position)


def rank_from_environment() -> int:
    """The rank that the launcher gave this process; 0 without a launcher."""
    for variable in RANK_VARIABLES:
        value = os.environ.get(variable, "")
        if value.isdigit():
            return int(value)
    return 0


def main(arguments: list[str] | None = None) -> None:
    """Run a command; a user's error prints one message on the first rank and exits with status 2."""
    is_first = rank_from_environment() == 0
    try:
        app(arguments, exit_on_error=True, print_error=is_first)
    except BatchGNNError as error:
        if is_first:
            print(f"batchgnn: {error}", file=sys.stderr, flush=True)
        sys.exit(getattr(error, "exit_status", 2))
