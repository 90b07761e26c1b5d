"""Worker of the whole-graph comparison: BatchGNN's `--mode fullgraph` on one rank."""

from itertools import count
from pathlib import Path

from peers_worker import Tally, WholeTask, serve

from batchgnn.modes.assembly import settings_of
from batchgnn.modes.open import make_mode
from batchgnn.run.session import open_session
from batchgnn.watch import trace


def main() -> None:
    """Open the shards and train on command."""
    task = WholeTask.from_arguments()
    settings = settings_of(
        mode="fullgraph",
        model=task.model,
        layers=task.layers,
        hidden=task.hidden,
        dropout=0.0,
        lr=task.learning_rate,
        threads=task.threads,
        **(task.options or {}),
    )
    with open_session(Path(task.shards), settings) as share:
        mode, epochs = make_mode(share), count()

        def train(steps: int, tally: Tally) -> None:
            trace.reset()
            for _ in range(steps):
                (result,) = mode.epoch(next(epochs))
                tally.add(loss=result.loss_sum / result.num_seeds)
            for lane in trace.snapshot().values():
                tally.phases |= {name: each["seconds"] for name, each in lane["phases"].items()}

        serve(train)


if __name__ == "__main__":
    main()
