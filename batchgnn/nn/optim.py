"""Optimisers on the flat buffer of parameters. Their state is flat arrays and a step count."""

import numpy as np

from batchgnn.kernels.optim import adam, sgd
from batchgnn.nn.parameters import Parameters


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
    ):
        """parameters: whose buffer is moved by its grad; betas, eps: as torch has them."""
        self.parameters, self.lr, self.weight_decay = parameters, lr, weight_decay
        self.betas, self.eps = betas, eps
        self.steps = 0
        moments = np.zeros((2, len(parameters.buffer)), parameters.buffer.dtype)
        self.arrays = {"first_moment": moments[0], "second_moment": moments[1]}

    def step(self) -> None:
        """Move the parameters by their gradient."""
        self.steps += 1
        moved = slice(self.parameters.num_trained)
        adam(
            self.parameters.buffer[moved],
            self.parameters.grad[moved],
            self.arrays["first_moment"][moved],
            self.arrays["second_moment"][moved],
            self.lr,
            *self.betas,
            self.eps,
            self.weight_decay,
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
    ):
        """parameters: whose buffer is moved by its grad."""
        self.parameters, self.lr, self.weight_decay = parameters, lr, weight_decay
        self.momentum, self.steps = momentum, 0
        self.arrays = {"velocity": np.zeros_like(parameters.buffer)}

    def step(self) -> None:
        """Move the parameters by their gradient."""
        self.steps += 1
        moved = slice(self.parameters.num_trained)
        sgd(
            self.parameters.buffer[moved],
            self.parameters.grad[moved],
            self.arrays["velocity"][moved],
            self.lr,
            self.momentum,
            self.weight_decay,
        )


def make_optimizer(name: str, parameters: Parameters, *, lr: float, weight_decay: float):
    """The optimiser called "adam" or "sgd" (momentum 0.9)."""
    return {"adam": Adam, "sgd": Sgd}[name](parameters, lr=lr, weight_decay=weight_decay)
