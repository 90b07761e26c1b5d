"""Numbers of 16 bits, by looking at all of them."""

import numpy as np


def narrow_rows(x, out):
    """The nearest number of the format; of two as near, the one of even bits."""
    half = out.dtype == np.uint16
    bits = np.arange(0x7C01 if half else 0x7F81, dtype=np.uint16)
    if half:
        values = bits.view(np.float16).astype(np.float64)
    else:
        values = (bits.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    values[-1] = 2.0**16 if half else 2.0**128  # infinity: where the next number would be
    num_lost = 0
    for place, value in np.ndenumerate(x):
        if np.isnan(value):
            nearest = len(bits)  # the first pattern above infinity is a nan
        else:
            away = np.abs(values - min(abs(float(value)), values[-1]))
            candidates = np.flatnonzero(away == away.min())
            nearest = candidates[np.argmin(candidates % 2)]
            num_lost += np.isfinite(value) and nearest == len(bits) - 1
        sign = 0x8000 * bool(np.signbit(value))
        out[place] = np.uint16(nearest | sign).view(out.dtype)
    return num_lost
