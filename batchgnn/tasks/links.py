"""Link prediction on a static graph: is there an edge between two vertices?

A seed is an edge of the training part, a number as `store.links` has it. Its loss compares the
vertex that it leads to with others, drawn anew in each step. Held-out edges are scored among
vertices that are the same in every run.
"""

import math
from collections.abc import Iterator, Mapping

import numpy as np

from batchgnn.comm.exchange import allreduce_max, allreduce_sum
from batchgnn.comm.grid import Comm
from batchgnn.comm.rows_by_id import RowsById
from batchgnn.nn.init import Declared
from batchgnn.nn.parameters import Parameters
from batchgnn.settings.general import Training
from batchgnn.settings.settings import Settings
from batchgnn.store.links import LinkSpec, stands_for_edge
from batchgnn.store.own_shards import OwnShards
from batchgnn.store.shard_store import Manifest
from batchgnn.tasks.against import Against
from batchgnn.tasks.decoders import DECODERS
from batchgnn.tasks.negatives import (
    MOST_IN_BATCH,
    NONE,
    TrainingNegatives,
    scoring_negatives,
)
from batchgnn.tasks.options import Decoding, Losses, Negatives, Scoring
from batchgnn.tasks.ordered import auc, precision
from batchgnn.tasks.pair_losses import PAIR_LOSSES
from batchgnn.tasks.ranking import reciprocal_ranks
from batchgnn.tasks.score import Score
from batchgnn.tasks.task import NO_FACTS, ClassCounts, Inference, Loss, Roots, Seeds

CHUNK_NUMBERS = 1 << 22
"Of the rows of pairs that are decoded, or fetched for scores, together."
HITS = (1, 10, 50, 100)


class Links:
    """A decoder of two vertices' rows, whose parameters lie behind the model's."""

    seeds_are, unit = "edges", "edge"
    facts = NO_FACTS
    class_counts: ClassCounts | None = None

    def __init__(
        self,
        metric: str,
        loss: str,
        decoder: str,
        width: int,
        negatives: TrainingNegatives,
        num_scored: int,
        seed: int,
    ):
        """metric: of `scores`, the one that chooses; loss: of PAIR_LOSSES; decoder: of DECODERS.

        width: of a row; negatives: of training; num_scored: of an edge in scores; seed: of draws
        """
        self.metric, self._loss, self._decoder = metric, PAIR_LOSSES[loss], DECODERS[decoder]
        self._width, self._seed = width, seed
        self.negatives, self._num_scored = negatives, num_scored

    def width(self, manifest: Manifest) -> int:
        """Columns of an embedding."""
        return self._width

    def head(self) -> Mapping[str, Declared]:
        """The decoder."""
        head = self._decoder.head(self._width)
        return {f"decoder.{name}": each for name, each in head.items()}

    def attach(self, parameters: Parameters) -> None:
        """Keep the decoder's parameters and gradients."""
        self.p, self.grads = parameters.scope("decoder."), parameters.scope_grads("decoder.")

    def seeds(self, own: OwnShards, split_index: int) -> Seeds:
        """The training edges out of own vertices."""
        return Seeds(own.link_seeds(), own.manifest.num_seeds[:, split_index])

    def roots(self, own: OwnShards, seeds: np.ndarray, epoch: int = 0, step: int = 0) -> Roots:
        """Both ends of the edges, and their negatives, wherever they live.

        targets: list of `Against`, of roots
        """
        key = self._seed, epoch, step
        groups = self.negatives.against(own, seeds, key)
        flat = [each.ravel() for group in groups for each in group if each is not None]
        ids, row = np.unique(np.concatenate([np.empty(0, np.int64), *flat]), return_inverse=True)
        rows = iter(np.split(row, np.cumsum([len(each) for each in flat])))
        targets = [group.replaced(rows) for group in groups]
        return Roots(
            ids, targets, len(seeds), np.stack(np.divmod(seeds, own.manifest.num_vertices))
        )

    def loss(self, rows: np.ndarray, roots: Roots, scale: float) -> Loss:
        """rows: float (roots, width); some edges at a time."""
        total, drows = 0.0, np.zeros_like(rows)
        for grad in self.grads.values():
            grad[...] = 0
        for group in roots.targets:
            size = max(1, CHUNK_NUMBERS // (rows.shape[1] * group.rows_of_edge))
            for some in group.parts(size):
                with np.errstate(over="ignore", invalid="ignore"):  # the step's sum tells all ranks
                    total += self._add_loss(rows, some, scale, drows)
        return Loss(total, drows)

    def _add_loss(
        self, rows: np.ndarray, against: Against, scale: float, drows: np.ndarray
    ) -> float:
        """The sum of some edges' losses, whose gradient is added to `drows`."""
        decoded, shapes = [], []
        for left, right in against.pairs():
            decoded.append(self._decoder.logits(self.p, rows[left], rows[right]))
            shapes.append(decoded[-1][0].shape)
        num_edges = against.ends.shape[1]
        logits = np.concatenate([each.reshape(-1, num_edges) for each, _ in decoded])
        logits[1:][against.absent] = -np.inf
        total, slope = self._loss(logits)
        slopes = np.split((scale * slope).astype(rows.dtype).ravel(), [math.prod(shapes[0])])
        for (left, right), (_, saved), shape, each in zip(
            against.pairs(), decoded, shapes, slopes, strict=False
        ):
            dleft, dright = self._decoder.backward(
                self.p, self.grads, rows[left], rows[right], each.reshape(shape), saved
            )
            np.add.at(drows, left, dleft)
            np.add.at(drows, right, dright)
        return total

    def scores(
        self, comm: Comm, own: OwnShards, inference: Inference, splits: Mapping[str, np.ndarray]
    ) -> dict[str, list[Score]]:
        """Of the edges of each split, whose vertices do not matter; `metric` first; collective.

        `mrr` and `hits@k` rank an edge's target among all its negatives, by the mean rank of ties
        (`-worst`: by the worst); `roc-auc` and `ap` are over all edges with one negative each
        """
        rows, known = inference.logits(), own.known_links()
        found = {}
        for name in splits:
            values = self._ranked(comm, own, rows, self._chosen(own, name), known)
            scores = [Score(*each) for each in _scores(comm, *values).items()]
            found[name] = sorted(scores, key=lambda each: each.name != self.metric)
        return found

    def _chosen(self, own: OwnShards, split: str) -> np.ndarray:
        """int64 (E,): the edges of a split that are scored here, each once."""
        if split == "train":
            return np.concatenate(own.link_seeds())
        source, target = own.held_out(split).astype(np.int64).T
        chosen = stands_for_edge(source, target, directed=own.manifest.directed)
        return source[chosen] * own.manifest.num_vertices + target[chosen]

    def _ranked(
        self, comm: Comm, own: OwnShards, rows: np.ndarray, edges: np.ndarray, known: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        """float (E,) each: 1 / rank by the mean and by the worst of ties, logits of the targets and
        of their first negatives, -inf where there is none; rows of others are fetched in chunks.
        """
        size = max(1, CHUNK_NUMBERS // (rows.shape[1] * (1 + self._num_scored)))
        parts = [np.zeros((4, 0))]
        for some in _parts(comm, edges, size):
            logits = self._logits(comm, own, rows, some, known)
            parts.append(np.stack([*reciprocal_ranks(logits), *logits[:2]]))
        return tuple(np.concatenate(parts, axis=1))

    def _logits(
        self, comm: Comm, own: OwnShards, rows: np.ndarray, edges: np.ndarray, known: np.ndarray
    ) -> np.ndarray:
        """(1 + n, B): of the edges, above those of their negatives; collective."""
        num_vertices, links = own.manifest.num_vertices, own.manifest.links or LinkSpec(1, 0, 0)
        others = scoring_negatives(edges, self._num_scored, num_vertices, links.seed, known)
        vertices = np.stack([edges % num_vertices, *others])
        ids, at = np.unique(np.maximum(vertices, 0), return_inverse=True)
        fetched = RowsById(comm, own.ownership, ids, "scored rows").fetch(rows)
        left = rows[own.ownership.local_rows(edges // num_vertices)]
        logits, _ = self._decoder.logits(self.p, left, fetched[at.reshape(vertices.shape)])
        logits[vertices == NONE] = -np.inf
        return logits

    def pair_logits(
        self, comm: Comm, own: OwnShards, rows: np.ndarray, source: np.ndarray, target: np.ndarray
    ) -> np.ndarray:
        """(n,): of pairs of any vertices, int64 (n,) on this rank; rows: own; collective."""
        size = max(1, CHUNK_NUMBERS // (4 * rows.shape[1]))
        found = [rows[:0, 0]]
        for some in _parts(comm, np.column_stack([source, target]), size):
            ids, at = np.unique(some, return_inverse=True)
            fetched = RowsById(comm, own.ownership, ids, "scored rows").fetch(rows)
            left, right = fetched[at.reshape(some.shape).T]
            found.append(self._decoder.logits(self.p, left, right[None])[0][0])
        return np.concatenate(found)

    def predict(self, inference: Inference) -> dict[str, np.ndarray]:
        """`embedding`, float32 (num_own, width); collective."""
        return {"embedding": inference.logits().astype(np.float32)}


def _parts(comm: Comm, edges: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """The edges in parts of a size, as many parts on every rank; collective."""
    for begin in range(0, allreduce_max(comm, len(edges), "edges to score"), size):
        yield edges[begin : begin + size]


def _scores(
    comm: Comm, mean: np.ndarray, worst: np.ndarray, target: np.ndarray, other: np.ndarray
) -> dict[str, float]:
    """Of the edges of all ranks; collective. nan of none."""
    by_rank = {"mrr": mean, "mrr-worst": worst}
    by_rank |= {f"hits@{k}": (mean >= 1 / k).astype(float) for k in HITS}
    by_rank["hits@10-worst"] = (worst >= 1 / 10).astype(float)
    total = np.array([len(mean), *(each.sum() for each in by_rank.values())])
    allreduce_sum(comm, total, "score sums")
    means = total[1:] / total[0] if total[0] else np.full(len(by_rank), np.nan)
    found = dict(zip(by_rank, means.tolist(), strict=True))
    values, there = np.concatenate([target, other]), np.isfinite(np.concatenate([target, other]))
    positive = np.repeat([True, False], len(target))
    pairs = values[there], positive[there]
    return found | {"roc-auc": auc(comm, *pairs), "ap": precision(comm, *pairs)}


def make_links(settings: Settings) -> Links:
    """The task of the settings."""
    decoding, negatives = settings[Decoding], settings[Negatives]
    return Links(
        settings[Scoring].score,
        settings[Losses].chosen,
        decoding.decoder,
        decoding.embedding,
        TrainingNegatives(*negatives.drawn),
        negatives.eval_negatives,
        settings[Training].seed,
    )


def begin_links(task: Links, comm: Comm, own: OwnShards, settings: Settings) -> None:
    """What its negatives ask of all ranks; collective."""
    task.negatives.begin(comm, own)


def roots_of_links(settings: Settings, num_seeds: float, num_shards: int) -> float:
    """Most vertices whose rows the loss of some edges needs, which are of so many shards."""
    kind, count = settings[Negatives].drawn
    if kind == "shared":
        return 2 * num_seeds + count * num_shards
    return (2 + count * (1 + (kind == "pairs"))) * num_seeds


def link_bytes(
    settings: Settings, own: int, num_seeds: int, num_shards: int, num_vertices: int, item: int
) -> int:
    """Peak bytes of a step over so many edges, and of scores, besides what the mode holds.

    own: edges of the rank
    """
    width, (kind, count) = settings[Decoding].embedding, settings[Negatives].drawn
    ends = int(roots_of_links(settings, num_seeds, num_shards))
    roots = min(ends, num_vertices)
    if kind == "in-batch":
        count = MOST_IN_BATCH
        ends += min(num_seeds, count * num_shards)
    chunk = max(CHUNK_NUMBERS, width * (2 + count)) * (5 * item + 16)
    degrees = 32 * num_vertices if kind == "degree" else 0
    return 64 * own + 48 * ends + roots * (64 + 5 * width * item) + chunk + degrees
