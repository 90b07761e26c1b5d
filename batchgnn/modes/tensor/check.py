"""What options of mode tensor mean together."""

from batchgnn.base.errors import ConfigError
from batchgnn.modes.chosen import model_of
from batchgnn.modes.options import Halo
from batchgnn.modes.tensor.options import MOST_CHUNKS, Slices
from batchgnn.modes.whole.check import resolve_whole
from batchgnn.sampling.options import KeptInputs
from batchgnn.settings.settings import Settings


def resolve_tensor(settings: Settings) -> Settings:
    """As of the whole graph; raises ConfigError."""
    slices, halo = settings[Slices], settings[Halo].halo
    if halo is not None and slices.tensor_ways is None:
        raise ConfigError(
            f"--halo {halo} is of ranks that have the edges of their own vertices, and here all "
            "have all edges: leave it out, or give --tensor-ways, whose groups have them."
        )
    settings = resolve_whole(settings)
    if slices.tensor_ways is None:
        settings = settings.replace(halo=None)
    if slices.chunks != "auto" and not 1 <= slices.chunks <= MOST_CHUNKS:
        raise ConfigError(f"--chunks {slices.chunks}: give 1 to {MOST_CHUNKS}, or auto.")
    if settings[KeptInputs].aggregate_cache == "store":
        raise ConfigError(
            "--aggregate-cache store keeps a file for each shard, and this mode deals vertices in "
            "other runs: take --aggregate-cache memory."
        )
    if slices.chunks != "auto" and slices.tensor_ways is not None:
        raise ConfigError(
            "--chunks cuts the walk over all edges, and the groups of --tensor-ways take the edges "
            "of their part at once: leave one of the two out."
        )
    if slices.tensor_ways is not None and model_of(settings).propagates:
        raise ConfigError(
            f"--tensor-ways cannot serve --model {model_of(settings).name}, whose propagations all "
            "ranks slice among themselves: leave it out."
        )
    return settings
