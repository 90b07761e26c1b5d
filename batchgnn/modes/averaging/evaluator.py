"""Ranks that do not train: they evaluate the last mean while the others train on."""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numba
import numpy as np

from batchgnn.base.errors import ConfigError
from batchgnn.comm.failure import fail_together
from batchgnn.comm.grid import Grid
from batchgnn.comm.values import values_of_all
from batchgnn.graph.assign import assign_shards
from batchgnn.graph.ownership import Ownership
from batchgnn.modes.chosen import Chosen
from batchgnn.modes.inputs import inputs_of, store_as_read
from batchgnn.modes.macrobatch.memory import evaluation_chunk
from batchgnn.modes.mode import Earlier
from batchgnn.modes.share import Share
from batchgnn.nn.models import make_model
from batchgnn.sampling.inference import Inference
from batchgnn.settings.general import Features
from batchgnn.store.own_shards import OwnShards
from batchgnn.store.shard_store import ShardStore
from batchgnn.tasks.kinds import TASKS
from batchgnn.tasks.score import Score
from batchgnn.watch import trace

Scores = Mapping[str, list[Score]]


class Evaluator:
    """On every rank; those of the evaluator have all vertices among them, and a thread for it.

    The thread has a model of its own, so that a round that ends meanwhile is not held up.
    """

    def __init__(self, share: Share, grid: Grid, *, is_here: bool):
        """grid: of this rank's group. Collective over all ranks; raises ConfigError."""
        self.world, self.parameters = share.grid.world, share.model.parameters
        self.given, self.given_round, self.num_evaluated = self.parameters.buffer.copy(), 0, 0
        self.work = None
        with fail_together(self.world, "giving ranks to the evaluator"):
            if not share.grid.thread_multiple:
                raise ConfigError(
                    "--evaluator needs an MPI that several threads may call: leave it out."
                )
            own = _all_vertices(share, grid) if is_here else None
        if own is not None:
            self.work = Evaluation(share, grid, own)
            share.grid.before_free.append(self.work.close)

    def exchange(self, now: int, *, wait: bool = False) -> list[Earlier]:
        """The scores that have become known, and then the present parameters are evaluated.

        now: the round that has ended; wait: for scores, and evaluate nothing more. Collective.
        """
        said = None if self.work is None else self.work.told(wait=wait)
        told = [each for each in values_of_all(self.world, said) if each is not None]
        if not all(is_done for is_done, _ in told):
            return []
        found = []
        if self.given_round:
            scores = {
                split: [Score(*each) for each in all_of] for split, all_of in told[0][1].items()
            }
            found.append(Earlier(self.given_round, scores, self.given.copy()))
            self.num_evaluated += 1
        self.given_round = 0 if wait else now
        self.given[:] = self.parameters.buffer
        if self.work is not None and not wait:
            self.work.begin(self.given)
        return found


class Evaluation:
    """Exact scores, in a thread; every method is called by all ranks of the evaluator."""

    def __init__(self, share: Share, grid: Grid, own: OwnShards):
        """own: this rank's part of all vertices. Collective over the grid."""
        self.share, self.comm = replace(share, own=own), grid.background
        self.task = TASKS[share.settings[Chosen].task or ""].make(share.settings)
        sizes = own.features.width, self.task.width(share.manifest)
        how: dict[str, Any] = {"extra": self.task.head(), "seed": share.seed}
        self.model = make_model(
            share.model.spec, *sizes, **how, dtype=share.model.parameters.buffer.dtype
        )
        self.task.attach(self.model.parameters)
        self.inference = Inference(
            self.comm, own, self.model, chunk_bytes=evaluation_chunk(share.settings)
        )
        threads = numba.get_num_threads()  # a setting of each thread

        def start() -> None:
            trace.use_lane("evaluator")
            numba.set_num_threads(threads)

        self.executor = ThreadPoolExecutor(1, "evaluator", start)
        self.future: Future[Scores] | None = None

    def begin(self, parameters: np.ndarray) -> None:
        """Evaluate these; the one before is done."""
        self.model.parameters.buffer[:] = parameters
        self.future = self.executor.submit(self._scores)

    def told(self, *, wait: bool) -> tuple[bool, Scores]:
        """Whether this rank is done, and the scores, if it is."""
        if self.future is None:
            return True, {}
        if not wait and not self.future.done():
            return False, {}
        return True, self.future.result()

    def close(self) -> None:
        """Wait until nothing is evaluated."""
        self.executor.shutdown()

    def _scores(self) -> Scores:
        rows = self.share.rows_of("val", "test")
        with trace.phase("evaluate"):
            return self.task.scores(self.comm, self.share.own, self.inference, rows)


def _all_vertices(share: Share, grid: Grid) -> OwnShards:
    """This rank's part of all shards, dealt to the evaluator's ranks."""
    store = store_as_read(ShardStore(share.own.path), share.settings)
    ranks = assign_shards(store.manifest, grid.size, store.path)
    ownership = Ownership(store.manifest.offset, ranks)
    own = OwnShards(store, ownership, grid.rank, share.settings[Features].feature_dtype)
    own.features_in_memory = inputs_of(share.settings).is_made
    return own
