"""What options of a mode over the whole graph mean together."""

from batchgnn.modes.kept_check import can_keep, check_kept
from batchgnn.sampling.options import KeptInputs
from batchgnn.settings.settings import Settings


def resolve_whole(settings: Settings) -> Settings:
    """With inputs kept in memory where they can be and nothing was said; raises ConfigError."""
    if settings[KeptInputs].aggregate_cache is None:
        keep = "memory" if can_keep(settings) else "off"
        settings = settings.replace(aggregate_cache=keep)
    check_kept(settings)
    return settings
