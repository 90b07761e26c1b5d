"""Link prediction on a static graph: is there an edge between two vertices?

A seed is an edge of the training part, a number as `store.links` has it. Its loss compares the
vertex that it leads to with others, drawn anew in each step. Held-out edges are scored among
vertices that are the same in every run.
"""

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
from batchgnn.tasks.decoders import DECODERS
from batchgnn.tasks.negatives import NONE, scoring_negatives, training_negatives
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
        negatives: tuple[int, int],
        seed: int,
    ):
        """metric: of `scores`, the one that chooses; loss: of PAIR_LOSSES; decoder: of DECODERS.

        width: of a row; negatives: of an edge in training, and in scores; seed: of the draws
        """
        self.metric, self._loss, self._decoder = metric, PAIR_LOSSES[loss], DECODERS[decoder]
        self._width, self._seed = width, seed
        self._num_negatives, self._num_scored = negatives

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

        targets: int64 (2 + n, B), of each edge the root of its source, its target, its negatives
        """
        num_vertices, key = own.manifest.num_vertices, (self._seed, epoch, step)
        others = training_negatives(seeds, self._num_negatives, num_vertices, key)
        vertices = np.stack([seeds // num_vertices, seeds % num_vertices, *others])
        ids, rows = np.unique(vertices, return_inverse=True)
        return Roots(ids, rows.reshape(vertices.shape), len(seeds), vertices[:2].copy())

    def loss(self, rows: np.ndarray, roots: Roots, scale: float) -> Loss:
        """rows: float (roots, width); some edges at a time."""
        total, drows = 0.0, np.zeros_like(rows)
        for grad in self.grads.values():
            grad[...] = 0
        size = max(1, CHUNK_NUMBERS // (rows.shape[1] * len(roots.targets)))
        for begin in range(0, roots.num_seeds, size):
            with np.errstate(over="ignore", invalid="ignore"):  # the step's sum tells all ranks
                total += self._add_loss(rows, roots.targets[:, begin : begin + size], scale, drows)
        return Loss(total, drows)

    def _add_loss(self, rows: np.ndarray, at: np.ndarray, scale: float, drows: np.ndarray) -> float:
        """The sum of some edges' losses, whose gradient is added to `drows`."""
        left, right = rows[at[0]], rows[at[1:]]
        logits, saved = self._decoder.logits(self.p, left, right)
        total, slope = self._loss(logits)
        slope = (scale * slope).astype(rows.dtype)
        dleft, dright = self._decoder.backward(self.p, self.grads, left, right, slope, saved)
        np.add.at(drows, at[0], dleft)
        np.add.at(drows, at[1:], dright)
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
        (negatives.uniform, negatives.eval_negatives),
        settings[Training].seed,
    )


def roots_of_link(settings: Settings) -> int:
    """Vertices whose rows the loss of an edge needs."""
    return 2 + settings[Negatives].uniform


def link_bytes(settings: Settings, own: int, num_seeds: int, num_vertices: int, item: int) -> int:
    """Peak bytes of a step over so many edges, and of scores, besides what the mode holds.

    own: edges of the rank
    """
    width, ends = settings[Decoding].embedding, roots_of_link(settings)
    roots = min(ends * num_seeds, num_vertices)
    chunk = CHUNK_NUMBERS * (5 * item + 16)
    return 64 * own + num_seeds * 48 * ends + roots * (64 + 5 * width * item) + chunk
