"""Where the first layer's aggregation of the input features can be kept."""

from typing import Any

from batchgnn.base.errors import ConfigError
from batchgnn.modes.chosen import model_of
from batchgnn.modes.inputs import inputs_of
from batchgnn.modes.options import VertexInputs
from batchgnn.nn.options import Layers
from batchgnn.sampling.options import KeptInputs
from batchgnn.settings.general import Features
from batchgnn.settings.settings import Settings


def can_keep(settings: Settings) -> bool:
    """Whether the model aggregates its input features as they are, and they stay so."""
    learned = model_of(settings).learned_inputs or inputs_of(settings).is_trained
    return not learned and not settings[Layers].input_dropout


def check_kept(settings: Settings) -> None:
    """Raise ConfigError where inputs are to be kept and cannot be."""
    kept, model = settings[KeptInputs], model_of(settings)
    if not kept.is_kept:
        return
    if model.learned_inputs:
        raise ConfigError(
            f"--aggregate-cache {kept.aggregate_cache} cannot serve --model {model.name}, "
            f"{model.learned_inputs}: take sage, gcn or gin, or leave --aggregate-cache out."
        )
    _check_made(inputs_of(settings), kept)
    if dropout := settings[Layers].input_dropout:
        raise ConfigError(
            f"--aggregate-cache {kept.aggregate_cache} cannot serve --input-dropout {dropout:g}, "
            "which changes the features before they are aggregated: set it to 0 (--dropout between "
            "the layers is fine), or leave --aggregate-cache out."
        )


def _check_made(inputs: VertexInputs, kept: KeptInputs) -> None:
    if inputs.is_trained:
        raise ConfigError(
            f"--aggregate-cache {kept.aggregate_cache} cannot serve --inputs embedding, whose rows "
            "move in every step: leave --aggregate-cache out."
        )
    if inputs.is_made and kept.aggregate_cache == "store":
        raise ConfigError(
            "--aggregate-cache store keeps what is made from the features in the shards, and "
            f"--inputs {inputs.inputs} does not read them: take --aggregate-cache memory."
        )


def decisive(settings: Settings) -> dict[str, Any]:
    """What of resolved options decides about the numbers of a step: a resume may not change it.

    Where kept inputs lie does not, but whether they are kept does; and how many, where they are
    rounded to half-width numbers.
    """
    options, free = settings.options(), settings.free()
    found = {name: value for name, value in options.items() if name not in free}
    if KeptInputs in settings:
        found["aggregate_cache"] = settings[KeptInputs].is_kept
    if "aggregate_memory" in options and settings[Features].feature_dtype != "float32":
        found["aggregate_memory"] = options["aggregate_memory"]
    return found
