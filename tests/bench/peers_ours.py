"""Worker of the comparison: BatchGNN itself, on the ranks that mpirun started, or on one.

The first rank talks with the driver; the others sleep between its messages.
"""

import sys
import time
from itertools import count
from pathlib import Path

from idle import Idle
from peers_worker import Tally, Task, answer, peak_rss_bytes, say

from batchgnn.modes.assembly import settings_of
from batchgnn.modes.macrobatch.mode import DrawnSteps, MacrobatchMode, Minibatch
from batchgnn.modes.mode import StepResult
from batchgnn.modes.open import make_mode
from batchgnn.modes.share import Share
from batchgnn.run.session import open_session
from batchgnn.watch import trace

POLL_S = 0.02


class Trainer:
    """Steps of a mode, of which a number can be timed with all that they prepared."""

    def __init__(self, mode: MacrobatchMode):
        self.mode, self.fetch = mode, mode.fetch
        mode.fetch = self._fetch
        self.idle = Idle(mode)
        self.tally, self.epochs = Tally(), count()
        self._begin_epoch()

    def train(self, steps: int) -> dict:
        """The answer for `steps` steps; what is prepared meanwhile is awaited and counted.

        They are steps of one epoch, which goes on after them for as long as is prepared ahead.
        """
        have, ahead = self.mode.num_steps, 2 * self.mode.macrobatch
        if self.mode.macrobatch + steps + ahead > have:
            sys.exit(f"an epoch has {have} steps, too few for turns of {steps}: lower --steps")
        if self.num_trained + steps + ahead > have:
            self.steps.close()
            self._begin_epoch()
            for _ in range(self.mode.macrobatch):
                self._step()
            self.idle.wait(self.num_trained)
        trace.reset()
        self.tally, begin = Tally(), time.perf_counter()
        for _ in range(steps):
            result = self._step()
            self.tally.add(loss=result.loss_sum, num_seeds=result.num_seeds)
        self.idle.wait(self.num_trained)
        seconds = time.perf_counter() - begin
        for lane in trace.snapshot().values():
            self.tally.phases |= {name: each["seconds"] for name, each in lane["phases"].items()}
        return answer(self.tally, seconds, steps)

    def _begin_epoch(self) -> None:
        self.num_trained = 0
        self.idle.begin_epoch()
        self.steps = self.mode.epoch(next(self.epochs))

    def _step(self) -> StepResult:
        self.num_trained += 1
        return next(self.steps)

    def _fetch(self, drawn: DrawnSteps) -> list[Minibatch]:
        for blocks in drawn.blocks:
            edges = sum(len(block.indices) for block in blocks)
            self.tally.add(edges=edges, input_rows=blocks[-1].num_sources)
        return self.fetch(drawn)


def serve(share: Share) -> None:
    """Train on command until the first rank's input ends."""
    world = share.grid.world
    share.own.load_features()
    trainer = Trainer(make_mode(share))
    if share.is_first:
        say(ready=True, ranks=world.size, threads=share.threads, peak_rss_bytes=peak_rss_bytes())
    while steps := told(world):
        said = world.gather({**trainer.train(steps), "peak_rss_bytes": peak_rss_bytes()})
        if share.is_first:
            say(**joined(said))


def told(world) -> int:
    """The steps that the driver wants, on every rank; 0 at the end."""
    if world.rank == 0:
        steps = int(sys.stdin.readline() or 0)
        for rank in range(1, world.size):
            world.send(steps, rank)
        return steps
    while not world.iprobe(source=0):  # a blocking receive would spin
        time.sleep(POLL_S)
    return world.recv(source=0)


def joined(ranks: list[dict]) -> dict:
    """The slowest rank's seconds and phases, the sums of everything else."""
    phases = {name: max(r["phases"][name] for r in ranks) for name in ranks[0]["phases"]}
    seeds = sum(r["num_seeds"] for r in ranks)
    joined = {name: sum(r[name] for r in ranks) for name in ranks[0] if name != "phases"}
    loss = joined["loss"] / seeds
    return {**joined, "seconds": max(r["seconds"] for r in ranks), "phases": phases, "loss": loss}


def main() -> None:
    """Open the shards and serve."""
    task = Task.from_arguments()
    links = {"task": "links", "embedding": task.hidden} if task.links else {}
    settings = settings_of(
        model="sage",
        layers=len(task.fanouts),
        hidden=task.hidden,
        fanouts=tuple(task.fanouts),
        batch_size=task.batch,
        dropout=0.0,
        lr=task.learning_rate,
        threads=task.threads,
        **{"macrobatch": 8, **links, **(task.options or {})},
    )
    with open_session(Path(task.shards), settings) as share:
        serve(share)


if __name__ == "__main__":
    main()
