"""What options of a mode over the whole graph mean together."""

from batchgnn.base.errors import ConfigError
from batchgnn.modes.chosen import model_of
from batchgnn.modes.kept_check import can_keep, check_kept
from batchgnn.modes.options import Halo, Wire
from batchgnn.nn.options import Attention
from batchgnn.sampling.options import KeptInputs
from batchgnn.settings.settings import Settings


def resolve_whole(settings: Settings) -> Settings:
    """With inputs kept in memory where they can be and nothing was said; raises ConfigError."""
    if settings[KeptInputs].aggregate_cache is None:
        keep = "memory" if can_keep(settings) else "off"
        settings = settings.replace(aggregate_cache=keep)
    check_kept(settings)
    _check_wire(settings)
    return _with_halo(settings)


def _check_wire(settings: Settings) -> None:
    """Raise ConfigError where numbers are to be rounded that are not built to be."""
    wire, model = settings.get(Wire), model_of(settings)
    if wire is not None and wire.bits is not None and (Attention in settings or model.propagates):
        raise ConfigError(
            f"--wire {wire.wire} rounds what is summed by weights that stay, layer by layer, and "
            f"is not built for --model {model.name}: take sage, gcn or gin, or leave it out."
        )


def _with_halo(settings: Settings) -> Settings:
    """With what travels where nothing was said; raises ConfigError."""
    said, attends = settings[Halo].halo, Attention in settings
    if attends and said == "cover":
        raise ConfigError(
            f"--halo cover adds rows up by weights that stay, and those of --model "
            f"{model_of(settings).name} change in every step: take --halo rows, or leave it out."
        )
    return settings.replace(halo=said or ("rows" if attends else "cover"))
