"""Optimisers on the flat buffer of parameters. Their state is flat arrays and a step count."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from batchgnn.kernels.optim import AdamRates, adam, sgd
from batchgnn.nn.parameters import Parameters

Decays = Sequence[tuple[str, float]]
"Beginnings of names, each with the weight decay of the parameters that are called so."


class Optimizer(Protocol):
    """What moves parameters by their gradient: its state is `arrays` and `steps`."""

    steps: int
    arrays: dict[str, np.ndarray]

    def step(self) -> None:
        """Move the parameters by their gradient."""


class Adam:
    """torch.optim.Adam: bias correction, and weight decay as an L2 penalty. arXiv:1412.6980."""

    def __init__(
        self,
        parameters: Parameters,
        *,
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        decays: Decays = (),
    ):
        """parameters: whose buffer is moved by its grad; betas, eps: as torch has them."""
        self.parameters, self.lr = parameters, lr
        self.parts = _parts(parameters, weight_decay, decays)
        self.betas, self.eps = betas, eps
        self.steps = 0
        moments = np.zeros((2, len(parameters.buffer)), parameters.buffer.dtype)
        self.arrays = {"first_moment": moments[0], "second_moment": moments[1]}

    def step(self) -> None:
        """Move the parameters by their gradient."""
        self.steps += 1
        for moved, weight_decay in self.parts:
            adam(
                self.parameters.buffer[moved],
                self.parameters.grad[moved],
                self.arrays["first_moment"][moved],
                self.arrays["second_moment"][moved],
                AdamRates(self.lr, *self.betas, self.eps, weight_decay),
                self.steps,
            )


class Sgd:
    """torch.optim.SGD: momentum without dampening, and weight decay as an L2 penalty."""

    def __init__(
        self,
        parameters: Parameters,
        *,
        lr: float,
        weight_decay: float = 0.0,
        momentum: float = 0.9,
        decays: Decays = (),
    ):
        """parameters: whose buffer is moved by its grad."""
        self.parameters, self.lr = parameters, lr
        self.parts = _parts(parameters, weight_decay, decays)
        self.momentum, self.steps = momentum, 0
        self.arrays = {"velocity": np.zeros_like(parameters.buffer)}

    def step(self) -> None:
        """Move the parameters by their gradient."""
        self.steps += 1
        for moved, weight_decay in self.parts:
            sgd(
                self.parameters.buffer[moved],
                self.parameters.grad[moved],
                self.arrays["velocity"][moved],
                self.lr,
                self.momentum,
                weight_decay,
            )


def make_optimizer(
    name: str, parameters: Parameters, *, lr: float, weight_decay: float, decays: Decays = ()
) -> Optimizer:
    """The optimiser called "adam" or "sgd" (momentum 0.9).

    decays: other weight decays, by the beginning of the parameters' names
    """
    kind = {"adam": Adam, "sgd": Sgd}[name]
    return kind(parameters, lr=lr, weight_decay=weight_decay, decays=decays)


def _parts(
    parameters: Parameters, weight_decay: float, decays: Decays
) -> list[tuple[slice, float]]:
    """Slices of the buffer that are moved, each with its weight decay; consecutive ones joined."""
    begins = [(0, weight_decay)]
    for name, (begin, _) in parameters.layout.items():
        given = [decay for prefix, decay in decays if name.startswith(prefix)]
        decay = given[0] if given else weight_decay
        if decay != begins[-1][1] and begin < parameters.num_trained:
            begins.append((begin, decay))
    ends = [begin for begin, _ in begins[1:]] + [parameters.num_trained]
    return [(slice(begin, end), decay) for (begin, decay), end in zip(begins, ends, strict=True)]
