"""Which of the two orders of chunks a run has."""

from batchgnn.modes.mode import Mode
from batchgnn.modes.pipeline.mode import PipelineMode
from batchgnn.modes.pipeline.options import Stages
from batchgnn.modes.pipeline.wave_mode import WavefrontMode
from batchgnn.modes.share import Share


def make_pipeline(share: Share) -> Mode:
    """The mode of a share; collective."""
    return WavefrontMode(share) if share.settings[Stages].wavefront else PipelineMode(share)
