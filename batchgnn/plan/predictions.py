"""How each mode is predicted: one row each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from batchgnn.modes.assembly import changed
from batchgnn.modes.chosen import model_of
from batchgnn.modes.pipeline.check import not_of_wavefront
from batchgnn.modes.pipeline.options import Stages
from batchgnn.modes.tensor.options import Slices
from batchgnn.nn.models import MODELS
from batchgnn.plan.averaging import predict_averaging
from batchgnn.plan.job import Job
from batchgnn.plan.pipeline import predict_pipeline
from batchgnn.plan.prediction import Prediction
from batchgnn.plan.rates import Rates
from batchgnn.plan.sampled import predict_macrobatch
from batchgnn.plan.temporal import predict_temporal
from batchgnn.plan.whole import predict_fullgraph, predict_tensor
from batchgnn.settings.settings import Settings


def _whole_parts(settings: Settings, num_ranks: int) -> int:
    """Each rank works on a part of its own."""
    return 1


def _no_variants(settings: Settings, num_ranks: int) -> list[dict[str, Any]]:
    return []


@dataclass(frozen=True, kw_only=True)
class PredictionKind:
    """A row of the table.

    predict   an epoch of a job
    ways      ranks that slice the columns of a part among themselves
    variants  options to compare besides those of the settings
    """

    predict: Callable[[Job, Rates], Prediction]
    ways: Callable[[Settings, int], int] = _whole_parts
    variants: Callable[[Settings, int], list[dict[str, Any]]] = _no_variants


def _ways(settings: Settings, num_ranks: int) -> int:
    return settings[Slices].tensor_ways or num_ranks


def _tensor_variants(settings: Settings, num_ranks: int) -> list[dict[str, Any]]:
    """Grids, and the decoupled model of the same operator."""
    slices = changed(settings, mode="tensor")[Slices]
    if slices.tensor_ways is not None or model_of(settings).propagates:
        return []
    grids = [{"tensor_ways": w} for w in range(2, num_ranks) if num_ranks % w == 0]
    decoupled = f"decoupled-{model_of(settings).name}"
    return [*grids, {"model": decoupled}] if decoupled in MODELS else list(grids)


def _exact_pipeline(settings: Settings, num_ranks: int) -> list[dict[str, Any]]:
    """The exact order of the chunks, where there are stages."""
    stages = changed(settings, mode="pipeline")[Stages]
    others = stages.wavefront or not_of_wavefront(stages)
    return [] if others or num_ranks == 1 else [{"wavefront": True}]


PREDICTIONS = {
    "macrobatch": PredictionKind(predict=predict_macrobatch),
    "fullgraph": PredictionKind(predict=predict_fullgraph),
    "tensor": PredictionKind(predict=predict_tensor, ways=_ways, variants=_tensor_variants),
    "pipeline": PredictionKind(predict=predict_pipeline, variants=_exact_pipeline),
    "averaging": PredictionKind(predict=predict_averaging),
    "temporal": PredictionKind(predict=predict_temporal),
}
