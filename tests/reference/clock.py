"""Encodings of time spans, by NumPy in float64."""

import numpy as np


def encode_spans(span, place, frequency, phase, cosine, sine):
    angle = np.outer(span, frequency.astype(np.float64)) + phase.astype(np.float64)
    cosine[place >= 0] = np.cos(angle)[place >= 0]
    if len(sine):
        sine[place >= 0] = np.sin(angle)[place >= 0]


encode_spans_exactly = encode_spans
