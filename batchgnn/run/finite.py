"""A run ends where its numbers are nan or infinite, on all ranks in the same step.

What is looked at is the same on every rank: sums over the ranks, and what follows from them.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from batchgnn.base.errors import NotFiniteError, StoreError
from batchgnn.comm.step_sum import Words, is_finite
from batchgnn.modes.share import Share
from batchgnn.nn.parameters import Parameters
from batchgnn.settings.general import Optimiser


def require_finite_step(share: Share, words: Words, where: str) -> None:
    """Raise NotFiniteError for a step whose loss or gradient is not finite; where: the step."""
    if words.is_finite:
        return
    bad = bad_names(share.model.parameters.grads)
    said = [f"the loss on {int(words.num_bad)} of {share.grid.size} ranks"] if words.num_bad else []
    if bad:
        count = len(share.model.parameters)
        which = "all parameters" if len(bad) == count else f"{len(bad)} of {count} parameters"
        said.append(f"the gradient of {bad[0]} ({which})")
    raise NotFiniteError(f"{where}: {' and '.join(said)} is not finite. {advice(share)}")


def require_finite_state(share: Share, state: Mapping[str, np.ndarray], where: str) -> None:
    """Raise NotFiniteError for weights or moments that are not finite, before they are saved.

    state: arrays by name, each the same on every rank; flat parameters are told apart by layer
    """
    for name, array in state.items():
        if array.dtype.kind != "f" or is_finite(array.reshape(-1)):
            continue
        views = share.model.parameters.views_of(array)
        first = next(iter(bad_names(views)), "")
        raise NotFiniteError(
            f"{where}: {name.replace('_', ' ')} of {first} are not finite. {advice(share)}"
        )


def require_finite_weights(path: Path, weights: np.ndarray) -> None:
    """Raise StoreError for a model nobody can use."""
    if weights.dtype.kind != "f" or weights.ndim != 1:
        raise StoreError(f"{path} is damaged: its weights are {weights.dtype} {weights.shape}.")
    if not is_finite(weights):
        count = int((~np.isfinite(weights)).sum())
        raise StoreError(
            f"{path}: {count:,} of {len(weights):,} weights are nan or infinite: the file is "
            "damaged, or its training went astray. Train again in a new --run, with a smaller --lr."
        )


def put_weights(path: Path, parameters: Parameters, weights: np.ndarray) -> None:
    """Put a file's weights into a model's; raises StoreError where they are not as many."""
    if weights.shape != parameters.buffer.shape:
        raise StoreError(
            f"{path} holds {weights.size:,} weights and the run's model has "
            f"{parameters.buffer.size:,}: it is another model's, or the shards have other features "
            "or classes than those it was trained on."
        )
    parameters.buffer[:] = weights


def bad_names(views: Mapping[str, np.ndarray]) -> list[str]:
    """Names of the arrays that are not finite, from the input on."""
    return [name for name, view in views.items() if not np.isfinite(view).all()]


def advice(share: Share) -> str:
    """What to do now."""
    rate = share.settings[Optimiser].lr
    return (
        "The run ends; what was saved before stays. Train in a new --run with a smaller --lr (now "
        f"{rate:g}), or look for features that are very large or not finite: "
        f"batchgnn verify {share.own.path}"
    )
