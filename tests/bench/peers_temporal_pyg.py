"""Worker of the temporal comparison: PyG's TGN, put together as in its example tgn.py.

TGNMemory with IdentityMessage and LastAggregator, TransformerConv over the LastNeighborLoader's
edges, a decoder of two linear layers; no dropout, as here.
"""

from pathlib import Path

import numpy as np
import torch
from peers_worker import Tally, TemporalTask, serve
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy
from torch_geometric.nn import TGNMemory, TransformerConv
from torch_geometric.nn.models.tgn import IdentityMessage, LastAggregator, LastNeighborLoader

MESSAGE = 1
"Columns of an event's own message, zeros: TGNMemory fails with none."


class Model(nn.Module):
    """Memory, attention and decoder."""

    def __init__(self, num_vertices: int, d: int):
        super().__init__()
        parts = IdentityMessage(MESSAGE, d, d), LastAggregator()
        self.memory = TGNMemory(num_vertices, MESSAGE, d, d, *parts)
        self.conv = TransformerConv(d, d // 2, heads=2, edge_dim=d)
        self.source, self.target, self.last = nn.Linear(d, d), nn.Linear(d, d), nn.Linear(d, 1)

    def forward(self, vertices, edges, times):
        """Rows of `vertices`; edges (2, m) among them, at `times`."""
        states, last_update = self.memory(vertices)
        span = (last_update[edges[0]] - times).to(states.dtype)
        return self.conv(states, edges, self.memory.time_enc(span))

    def score(self, source, target):
        """Logits of pairs of rows."""
        return self.last((self.source(source) + self.target(target)).relu())


class Walk:
    """Batches of the training events, again from the first after the last."""

    def __init__(self, task: TemporalTask):
        events = np.load(Path(task.graph) / "events.npz")
        self.source, self.target, self.time = (
            torch.from_numpy(events[name]) for name in ("source", "target", "time")
        )
        self.destinations, self.size = self.target.unique(), task.batch
        count = int(events["num_vertices"])
        self.model = Model(count, task.hidden)
        self.loader = LastNeighborLoader(count, size=task.recent)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=task.learning_rate)
        self.assoc = torch.empty(count, dtype=torch.long)
        self.nothing = torch.zeros(task.batch, MESSAGE)
        self.first = 0

    def step(self) -> tuple[float, int]:
        """Loss of a batch, and its events."""
        if self.first == 0:
            self.model.memory.reset_state()
            self.loader.reset_state()
        part = slice(self.first, self.first + self.size)
        source, target, time = self.source[part], self.target[part], self.time[part]
        negative = self.destinations[torch.randint(len(self.destinations), (len(source),))]
        self.optimizer.zero_grad()
        vertices, edges, event = self.loader(torch.cat([source, target, negative]).unique())
        self.assoc[vertices] = torch.arange(len(vertices))
        rows = self.model(vertices, edges, self.time[event])
        begin, end, other = (rows[self.assoc[v]] for v in (source, target, negative))
        positive, against = self.model.score(begin, end), self.model.score(begin, other)
        loss = cross_entropy(positive, torch.ones_like(positive))
        loss = loss + cross_entropy(against, torch.zeros_like(against))
        self.model.memory.update_state(source, target, time, self.nothing[: len(source)])
        self.loader.insert(source, target)
        loss.backward()
        self.optimizer.step()
        self.model.memory.detach()
        self.first = part.stop if part.stop < len(self.source) else 0
        return loss.item(), len(source)


def main() -> None:
    """Load the stream and train on command."""
    task = TemporalTask.from_arguments()
    torch.set_num_threads(task.threads)
    walk = Walk(task)

    def train(steps: int, tally: Tally) -> None:
        for _ in range(steps):
            loss, count = walk.step()
            tally.add(loss=loss, num_seeds=count)

    serve(train)


if __name__ == "__main__":
    main()
