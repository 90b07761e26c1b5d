"""Defaults of mode temporal, and what cannot be."""

from batchgnn.base.errors import ConfigError
from batchgnn.modes.temporal.options import DEFAULT_BATCH_SIZE
from batchgnn.nn.options import States
from batchgnn.sampling.options import Batches
from batchgnn.settings.settings import Settings


def resolve_temporal(settings: Settings) -> Settings:
    """With the batch size; raises ConfigError where heads do not divide a state."""
    states = settings[States]
    if rest := states.state_width % states.state_heads:
        raise ConfigError(
            f"--state-width {states.state_width} is not a multiple of --state-heads "
            f"{states.state_heads}: try --state-width {states.state_width - rest}."
        )
    return settings.replace(batch_size=settings[Batches].batch_size or DEFAULT_BATCH_SIZE)
