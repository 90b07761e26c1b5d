"""How many vertices have which degree: counted into the manifest, for plans."""

import numpy as np

DEGREES = 256
"Degrees that are counted each; the last stands for all from there on."


def count_degrees(into: np.ndarray, out: np.ndarray, is_seed: np.ndarray) -> np.ndarray:
    """int64 (3 + R, DEGREES), as `Manifest.degree_count`, of some vertices.

    into, out  int64 (n,) degrees; is_seed: bool (n, R)
    """
    rows = [(into, None), (out, None), (into, out), *((into[s], None) for s in is_seed.T)]
    counted = [np.bincount(np.minimum(d, DEGREES - 1), each, DEGREES) for d, each in rows]
    return np.stack(counted).astype(np.int64)
