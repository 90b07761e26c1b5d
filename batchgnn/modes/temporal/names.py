"""From the user's ids of vertices to those of a stream."""

import numpy as np

from batchgnn.base.errors import ConfigError
from batchgnn.modes.temporal.stream import Stream


class Names:
    """All vertices of a stream by the user's ids, which `where` is said to hold in errors."""

    def __init__(self, stream: Stream, where: str):
        self.where = where
        self.order = np.argsort(stream.name, kind="stable")
        self.known = stream.name[self.order]

    def vertices(self, ids: np.ndarray) -> np.ndarray:
        """int64, as `ids`: numbers or text. Raises ConfigError where one is no vertex."""
        if self.known.dtype.kind == "S":
            ids = np.char.encode(ids, "utf-8") if ids.dtype.kind == "U" else ids.astype("S")
        place = np.minimum(np.searchsorted(self.known, ids), len(self.known) - 1)
        strange = self.known[place] != ids
        if strange.any():
            raise ConfigError(f"{self.where}: no vertex of the stream is {ids[strange][0]}.")
        return self.order[place]
