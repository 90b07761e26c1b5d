"""Trainers of their own, averaged by the clock (RandomTMA and SuperTMA, Zhu et al.).

Each trainer has the edges among its own shards alone, and sends no message between two averages
but among its own ranks. Approximate: edges between trainers are left out in training. Scores are
exact, over all edges, by all ranks together.
"""

import math
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from functools import cached_property

import numpy as np

from batchgnn.comm.bell import Bell
from batchgnn.comm.exchange import allreduce_max, allreduce_sum
from batchgnn.comm.loss import numbers
from batchgnn.comm.pieces import finish
from batchgnn.comm.step_sum import Words
from batchgnn.comm.values import values_of_all
from batchgnn.modes.averaging.check import ranks_of_trainer, ranks_that_train
from batchgnn.modes.averaging.evaluator import Evaluator
from batchgnn.modes.averaging.mean import RoundMean
from batchgnn.modes.averaging.options import Trainers
from batchgnn.modes.averaging.rounds import parse_round
from batchgnn.modes.averaging.server import make_server
from batchgnn.modes.averaging.trainer import Trainer
from batchgnn.modes.macrobatch.mode import chunked_inference
from batchgnn.modes.mode import Earlier, StepResult
from batchgnn.modes.share import Share
from batchgnn.modes.survival import Survival
from batchgnn.sampling.inference import Inference
from batchgnn.settings.general import Training
from batchgnn.store.mode_state import ModeState
from batchgnn.tasks.score import Score
from batchgnn.watch import interrupt, trace

QUIET = Words(requeue=0, end=0, own_s=0, all_s=0, num_bad=0, is_finite=True)
"What ranks tell each other between two averages: nothing."

LISTEN_S = 0.01
"Between two looks of an evaluator's rank at whether the round is over."
POLL_S = 1e-3
"Between two looks of a trainer at whether all others have come."


class AveragingMode:
    """An epoch is a round, at whose end all parameters are equal; every method is collective."""

    def __init__(self, share: Share):
        """Part the ranks and the edges among trainers; raises ConfigError."""
        options, grid = share.settings[Trainers], share.grid
        self.share, self.round = share, parse_round(options.round)
        width = ranks_of_trainer(share.settings, grid.size)
        self.num_training = ranks_that_train(share.settings, grid.size)
        self.num_trainers, self.trains = self.num_training // width, grid.rank < self.num_training
        self.trainer = Trainer(share, width, trains=self.trains)
        edges = np.array([self.trainer.num_edges, share.own.degree_in.sum()], np.float64)
        of_trainer = edges[:1].copy()
        allreduce_sum(self.trainer.grid.world, of_trainer, "edges")
        allreduce_sum(grid.world, edges, "edges")
        self.kept_edges = float(edges[0] / max(edges[1], 1))
        share_of_edges = float(of_trainer[0] / max(edges[0], 1))
        weight = share_of_edges if options.average == "edges" else 1.0
        buffer = share.model.parameters.buffer
        self.mean = RoundMean(grid.world, buffer, weight * self.trainer.is_first)
        self.server, self.evaluator = make_server(share), None
        if options.evaluator:
            self.evaluator = Evaluator(share, self.trainer.grid, is_here=not self.trains)
        self.bell = Bell(grid.some(0).world)
        self.hosts = values_of_all(grid.world, grid.host)
        self.steps_of_rank: Sequence[int] = [0] * grid.size
        self.deadline_s = share.settings[Survival].straggler_deadline
        self.num_rounds = self.steps_of_round = self.num_left_out = 0

    @property
    def num_steps(self) -> int:
        """Of a round; 0 where it goes by the clock."""
        return self.round.steps or 0

    @property
    def weight(self) -> float:
        """Of this rank's parameters in the mean."""
        return self.mean.weight

    @property
    def exactness(self) -> str:
        """What is left out."""
        engine = self.trainer.engine
        if self.num_trainers == 1 and engine is not None and not self.share.grid.lost:
            return engine.exactness
        lost = len(self.share.grid.lost)
        return (
            f"approximate: {self.num_trainers} trainers, each on the edges among its own shards "
            f"({self.kept_edges:.1%} of all), averaged every {self.round}"
            f"{f', after {lost} were lost' * bool(lost)}"
        )

    def epoch(self, epoch: int, first_step: int = 0) -> Generator[StepResult, None, None]:
        """Train a round; yields after each step of this rank's trainer."""
        end_s, own_s = time.monotonic() + (self.round.seconds or 0), 0.0
        if not self.trains:
            yield self._sit_out(end_s)
            return
        with closing(self.trainer.steps()) as results:  # what is prepared ahead is let go
            for step, result in enumerate(results):
                own_s += result.words.own_s
                is_over, words = self._is_over(step + 1, end_s), QUIET
                if is_over:
                    self._wait_for_late()
                    if self.server is not None:  # its messages are of all ranks, on their grid
                        results.close()
                    words, self.steps_of_round = self._average(own_s), step + 1
                counted = result.loss_sum, result.num_seeds
                if not result.words.is_finite:  # left out of the mean, and of the loss
                    counted = 0.0, 0
                yield StepResult(step, *counted, words)
                if is_over:
                    return

    def _sit_out(self, end_s: float) -> StepResult:
        """What a rank of the evaluator does in a round: wait for its end."""
        while self.round.steps is None and not self._is_over(0, end_s):
            time.sleep(LISTEN_S)
        self._wait_for_late(rings=False)
        words, self.steps_of_round = self._average(0.0), 0
        return StepResult(0, 0.0, 0, words)

    def _is_over(self, step: int, end_s: float) -> bool:
        """Whether the round ends here; the same on all ranks of the trainer."""
        by_clock, is_heard = self.round.steps is None, False
        if step == self.round.steps:
            return True
        if by_clock or self.deadline_s is not None:
            is_heard = self.bell.is_heard()
        if by_clock and not is_heard and (time.monotonic() >= end_s or any(interrupt.asked())):
            self.bell.ring()
            is_heard = True
        if not (by_clock or self.deadline_s is not None):
            return False
        return bool(allreduce_max(self.trainer.grid.world, int(is_heard), "clock"))

    def _wait_for_late(self, *, rings: bool = True) -> None:
        """Of a round of steps: after the deadline those that are late hear that it is over.

        rings: whether this rank tells them
        """
        if self.round.steps is None or self.deadline_s is None or self.num_trainers == 1:
            return
        here = self.share.grid.world.Ibarrier()
        end_s = time.monotonic() + (self.deadline_s if rings else math.inf)
        while not (are_here := here.Test()) and time.monotonic() < end_s:
            time.sleep(POLL_S)
        if not are_here and not self.bell.is_heard():
            self.bell.ring()
        with trace.collective("late trainers", self.share.grid.world.name):
            finish([here])

    def _average(self, own_s: float) -> Words:
        """Make all parameters equal."""
        with trace.phase("average"):
            words, num_rung = self.mean(own_s, is_rung=self.bell.is_rung)
            self.bell.settle(num_rung)
        optimizer = self.trainer.optimizer
        if words.num_bad and not all(np.isfinite(each).all() for each in optimizer.arrays.values()):
            for moments in optimizer.arrays.values():
                moments[:] = 0
        if self.server is not None and words.is_finite:
            words = words._replace(is_finite=self.server.correct())
        self.num_rounds += 1
        self.num_left_out += round(words.num_bad)
        return words

    def inference(self) -> Inference:
        """The exact model, over all edges."""
        return chunked_inference(self.share)

    @cached_property
    def _evaluation(self) -> Inference:
        return self.inference()

    def evaluate(self) -> dict[str, list[Score]] | list[Earlier]:
        """Exact scores of the splits "val" and "test"; an evaluator tells its own.

        After the last round all ranks together evaluate what it left.
        """
        if self.evaluator is None:
            return self._scores()
        is_last = self.num_rounds == self.share.settings[Training].epochs
        found = self.evaluator.exchange(self.num_rounds, wait=is_last)
        if is_last:
            now = self.share.model.parameters.buffer.copy()
            found.append(Earlier(self.num_rounds, self._scores(), now))
        return found

    def _scores(self) -> dict[str, list[Score]]:
        """Of the present parameters, by all ranks."""
        return self.share.evaluate(self._evaluation, "val", "test")

    def state(self) -> ModeState:
        """Of each trainer: its moments, and how far it is in its passes."""
        optimizer = self.trainer.optimizer
        place = np.array([*self.trainer.at, optimizer.steps], np.int64)
        state = ModeState(
            by_trainer={"trainer_place": place, **optimizer.arrays},
            trainer=self.trainer.number,
            scalars={"rounds": self.num_rounds, "left_out": self.num_left_out},
        )
        if self.server is not None:
            self.server.keep(state)
        return state

    def load(self, state: ModeState) -> None:
        """Go on from them; a trainer that nobody was begins with the parameters alone."""
        optimizer = self.trainer.optimizer
        self.num_rounds = int(state.scalars["rounds"])
        self.num_left_out = int(state.scalars["left_out"])
        if self.server is not None:
            self.server.load(state)
        if state.by_trainer:
            *at, optimizer.steps = state.by_trainer["trainer_place"].tolist()
            self.trainer.at = at[0], at[1]
            for name, array in optimizer.arrays.items():
                array[:] = state.by_trainer[name]

    def counts(self) -> dict[str, float]:
        """Steps of the trainers in the round."""
        mine = self.steps_of_round, self.trainer.optimizer.steps
        every = values_of_all(self.share.grid.world, mine)[: self.num_training]
        of_round, self.steps_of_rank = zip(*every, strict=True)
        return {"fewest_steps": min(of_round), "most_steps": max(of_round)}

    def totals(self) -> dict[str, object]:
        """Who trained, and how much, over all rounds so far; sends no message."""
        told: dict[str, object] = {"trainers": self._trainers()}
        if self.evaluator is not None:
            rest = list(range(self.num_training, len(self.hosts)))
            told["evaluator"] = {"ranks": rest, "evaluations": self.evaluator.num_evaluated}
        return {
            **told,
            "rounds": self.num_rounds,
            "kept_edges": round(self.kept_edges, 6),
            "left_out_as_not_finite": self.num_left_out,
        }

    def _trainers(self) -> list[dict[str, object]]:
        """Those that are left, and those that were lost; ranks as when the job began."""
        width, lost = self.trainer.grid.size, self.share.grid.lost
        called = numbers(self.share.grid.size, lost)
        found: list[dict[str, object]] = []
        for first in range(0, self.num_training, width):
            mine = range(first, first + width)
            ranks, hosts = [called[rank] for rank in mine], {self.hosts[rank] for rank in mine}
            steps = self.steps_of_rank[first]
            found.append(_told(ranks, sorted(hosts), self.num_rounds) | {"steps": steps})
        return found + [
            _told([each.rank], [each.host], each.epoch - 1, each.epoch) for each in lost
        ]


def _told(
    ranks: list[int], hosts: list[str], rounds: int, lost: int | None = None
) -> dict[str, object]:
    """What result.json tells of a trainer; lost: the round in which it was."""
    first = {"rank": ranks[0], "host": hosts[0]}
    return {**first, "ranks": ranks, "hosts": hosts, "rounds": rounds, "lost": lost}
