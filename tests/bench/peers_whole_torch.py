"""What the torch workers of the whole-graph comparison share: an epoch, timed by phase."""

import torch
from peers_worker import Tally, WholeTask, serve
from torch.nn.functional import cross_entropy


def train_whole(model: torch.nn.Module, arrays: dict[str, torch.Tensor], task: WholeTask) -> None:
    """Train `model` of the features alone, epochs on command; arrays: of peers_graph.py."""
    features, rows = arrays["features"], arrays["train"]
    label = arrays["label"][rows]
    optimizer = torch.optim.Adam(model.parameters(), lr=task.learning_rate)

    def train(steps: int, tally: Tally) -> None:
        for _ in range(steps):
            with tally.phase("forward"):
                loss = cross_entropy(model(features)[rows], label)
            with tally.phase("backward"):
                optimizer.zero_grad()
                loss.backward()
            with tally.phase("update"):
                optimizer.step()
            tally.add(loss=loss.item())

    serve(train)
