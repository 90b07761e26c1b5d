"""Training that goes on when ranks are lost: those that are left take up what they have in memory.

The epoch, which is a round, ends there: their parameters are averaged by their weights, what is
left of its end is done again, and the job goes on as a resume on fewer ranks would.
"""

import gc
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from batchgnn.base.environment import tell_success
from batchgnn.base.errors import BatchGNNError
from batchgnn.comm.grid import Comm
from batchgnn.comm.loss import (
    NEEDED,
    Lost,
    RankLostError,
    all_ranks,
    can_go_on,
    is_loss,
    numbers,
    ranks_left,
    revoke,
)
from batchgnn.comm.values import values_of_all
from batchgnn.modes.assembly import mode_of
from batchgnn.modes.share import Share
from batchgnn.modes.survival import Survival, SurvivingMode, drops
from batchgnn.run.kept import Kept
from batchgnn.settings.general import Run
from batchgnn.settings.settings import Settings

NOT_HERE = (
    "batchgnn: --on-loss drop: this MPI, as it was started, does not go on without a lost rank, so "
    f"that the job will end with it: {NEEDED}."
)


class Survivor:
    """This rank of a job: which are left, and what it keeps of the run when others are lost."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.comm: Comm | None = None
        self.lost: tuple[Lost, ...] = ()
        self.kept: Kept | None = None
        self.is_over = False
        self._loop: Any = None
        self._hosts: dict[int, str] = {}

    def begin(self, share: Share, run: Path, resume: bool) -> bool:
        """A session is open; whether it resumes the run. Collective."""
        self._loop, world = None, share.grid.world
        called = numbers(world.size, self.lost)
        self._hosts = dict(zip(called, values_of_all(world, share.grid.host), strict=True))
        if self.lost:
            return bool(values_of_all(world, (run / "config.toml").exists())[0])
        if drops(self.settings) and share.is_first and not can_go_on():
            print(NOT_HERE, file=sys.stderr, flush=True)
        return resume

    def follow(self, loop: Any) -> None:
        """This loop trains from now on."""
        self._loop = loop

    def rejoin(self) -> None:
        """Meet the ranks that are left, and agree on what they go on from; collective over them."""
        before = self.comm or all_ranks()
        called = numbers(before.size, self.lost)
        with _bounded(self.settings[Run].collective_timeout):
            comm = ranks_left(before)
        try:
            self._agree(comm, called, called[before.rank])
        except Exception:
            revoke([comm])
            raise

    def _agree(self, comm: Comm, called: list[int], me: int) -> None:
        """What is gone on from, by those of the ranks `called` that are left; collective."""
        kept = self._held()
        mine = None if kept is None else (kept.num_means, kept.state.epoch)
        said = values_of_all(comm, [me, mine])
        there = [(each[0], each[1]) for _, each in said if each is not None]
        all_keep = len(there) == len(said)
        if kept is not None and all_keep and not self._all_finished(comm):
            kept.end_epoch(comm, there)
        self.kept = kept if all_keep else None
        left = {rank for rank, _ in said}
        epoch = min((each for _, each in there), default=0)
        self._lose([rank for rank in called if rank not in left], epoch + 1, comm)

    def _lose(self, ranks: list[int], epoch: int, comm: Comm) -> None:
        """Go on without these ranks, on a communicator of the others."""
        lost = tuple(Lost(rank, self._hosts.get(rank, "?"), epoch) for rank in ranks)
        if not lost:
            raise RankLostError("a message has failed, though no rank is gone: the job ends.")
        self.comm, self.lost, self._loop = comm, (*self.lost, *lost), None
        to_go_on = mode_of(self.settings).to_go_on
        given = {name: to_go_on[name] for name in to_go_on if name in self.settings.given}
        self.settings = self.settings.replace(**given)
        if comm.rank == 0:
            self._say(lost, comm.size)
        gc.collect()  # the graph as it was opened before

    def _held(self) -> Kept | None:
        """Of the loop that was left; else what was kept before it began."""
        if self._loop is None:
            return self.kept
        mode: SurvivingMode = self._loop.mode
        return Kept(
            state=self._loop.state,
            before_end=self._loop.before_end,
            parameters=self._loop.parameters.buffer,
            of_mode=mode.state(),
            weight=mode.weight,
        )

    def _all_finished(self, comm: Comm) -> bool:
        """Whether no rank has an epoch to end."""
        mine = (self._loop is not None and self._loop.finished()) or self.is_over
        self.is_over = all(values_of_all(comm, bool(mine)))
        return self.is_over

    def _say(self, lost: tuple[Lost, ...], num_left: int) -> None:
        """Name the lost."""
        dealt = self.settings[Survival].redeal
        then = "are dealt to" if dealt else "are trained on by none of"
        for each in lost:
            print(
                f"batchgnn: rank {each.rank} (host {each.host}) was lost in round {each.epoch}: "
                f"its shards {then} the {num_left} that are left, which go on.",
                file=sys.stderr,
                flush=True,
            )

    def leave(self, error: BaseException | None = None) -> NoReturn:
        """End this process without MPI's own end, which may wait for the lost."""
        status = error.exit_status if isinstance(error, BatchGNNError) else 0
        if self.comm is not None and self.comm.rank == 0:
            if error is not None:
                print(f"batchgnn: {error}", file=sys.stderr)
            if status == 0:
                tell_success()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def surviving(train: Callable[[Survivor], None], settings: Settings) -> None:
    """Train, and go on with the ranks that are left as often as some are lost."""
    survivor, is_lost = Survivor(settings), False
    while True:
        try:
            if is_lost:
                survivor.rejoin()
            train(survivor)
            break
        except Exception as error:
            is_lost = isinstance(error, RankLostError) or is_loss(error)
            if not (is_lost and drops(settings)):
                if survivor.lost and isinstance(error, BatchGNNError):
                    survivor.leave(error)
                raise
    if survivor.lost:
        survivor.leave()


@contextmanager
def _bounded(timeout_s: float) -> Iterator[None]:
    """End this process where the block takes longer; 0: never."""
    timer = threading.Timer(timeout_s, _give_up, [timeout_s])
    timer.daemon = True
    if timeout_s:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _give_up(timeout_s: float) -> None:
    sys.stderr.write(
        f"batchgnn: a rank was lost, and others have not noticed it for {timeout_s:g} s: the job "
        "ends. Go on with --resume.\n"
    )
    sys.stderr.flush()
    os._exit(1)
