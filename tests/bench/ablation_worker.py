"""One rank of a row of the ablation: holds its session open and trains steps on command.

The first rank reads a JSON command a line and answers with a line; between commands all ranks
sleep, so that rows can take turns. A slice is timed from all ranks idle to all ranks idle: what
is sampled and fetched meanwhile counts in full, as much was ready when the slice began.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
from bench.idle import Idle
from cluster.traffic import measure

from batchgnn.comm.pieces import finish
from batchgnn.comm.values import values_of_all
from batchgnn.modes.assembly import settings_of
from batchgnn.modes.macrobatch.mode import MacrobatchMode
from batchgnn.modes.open import make_mode
from batchgnn.modes.options import Messages
from batchgnn.modes.share import Share
from batchgnn.nn.options import Layers
from batchgnn.run.session import open_session
from batchgnn.watch import trace

POLL_S = 0.01
MESSAGE_BYTES = 1 << 12


class Slices:
    """Slices of an epoch's steps; every method is collective."""

    def __init__(self, share: Share, mode: MacrobatchMode):
        self.mode, self.world = mode, share.grid.world
        self.idle = Idle(mode)
        self.steps = iter(())
        self.num_trained = 0

    def start(self, epoch: int, steps: int) -> dict:
        """Begin an epoch and train its first `steps` steps."""
        if hasattr(self.steps, "close"):
            self.steps.close()
        self.num_trained = 0
        self.idle.begin_epoch()
        self.steps = iter(self.mode.epoch(epoch))
        return self.train(steps)

    def train(self, steps: int) -> dict:
        """The next `steps` steps, and what they cost; seconds are the slowest rank's."""
        self._meet()
        trace.reset()
        inputs = self._inputs()
        sums, cpu, begin = np.zeros(2), time.process_time(), time.perf_counter()
        for _ in range(steps):
            result = next(self.steps)
            sums += [result.loss_sum, result.num_seeds]
        self.num_trained += steps
        self.idle.wait(self.num_trained)
        self._meet()
        seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
        inputs = self._inputs() - inputs
        counted = trace.merge(values_of_all(self.world, trace.counts()))
        ranks = self.world.allgather((seconds, cpu, *sums, *inputs))
        slowest, _, *_ = np.max(ranks, axis=0)
        _, cpu, loss, num_seeds, num_inputs, num_distinct = np.sum(ranks, axis=0)
        return counted | {
            "steps": steps,
            "seconds": float(slowest),
            "cpu_seconds": float(cpu),
            "num_seeds": int(num_seeds),
            "loss": float(loss / num_seeds),
            "input_rows": int(num_inputs),
            "distinct_input_rows": int(num_distinct),
        }

    def _inputs(self) -> np.ndarray:
        counts = self.mode.input_counts
        return np.array([counts.num_inputs, counts.num_distinct])

    def _meet(self) -> None:
        finish([self.world.Ibarrier()])  # a blocking barrier would spin on the others' cores


def serve(share: Share) -> None:
    """Do what the first rank's input says, until it ends."""
    world = share.grid.world
    mode = make_mode(share)
    slices = Slices(share, mode)
    do = {
        "start": slices.start,
        "train": slices.train,
        "traffic": lambda num_bytes: measure(world, num_bytes, 3),
    }
    _say(
        share,
        {"ranks": world.size, "threads": share.threads, "num_steps": mode.num_steps,
         "layers": share.settings[Layers].layers, "overlap": share.settings[Messages].overlap,
         "parameter_bytes": share.model.parameters.grad.nbytes},
    )  # fmt: skip
    while (command := _told(world))["do"] != "end":
        _say(share, do[command.pop("do")](**command))


def _told(world) -> dict:
    """The next command, on every rank; "end" when the first rank's input is closed."""
    message = np.zeros(MESSAGE_BYTES, np.uint8)
    if world.rank == 0:
        text = sys.stdin.readline().encode()
        message[: len(text)] = np.frombuffer(text, np.uint8)
    request = world.Ibcast(message, root=0)
    while not request.Test():
        time.sleep(POLL_S)
    return json.loads(message.tobytes().rstrip(b"\0") or '{"do": "end"}')


def _say(share: Share, answer: dict) -> None:
    if share.is_first:
        print(json.dumps(answer), flush=True)


def main() -> None:
    """`ablation_worker.py SHARDS SETTINGS`, the settings as JSON."""
    values = json.loads(sys.argv[2])
    values["fanouts"] = tuple(values["fanouts"])
    with open_session(Path(sys.argv[1]), settings_of(values)) as share:
        serve(share)


if __name__ == "__main__":
    main()
