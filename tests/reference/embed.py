"""Embeddings of pairs, a pair at a time."""

import numpy as np


def embed_pairs(source, target, other, rate, rows):
    for u, v, w in zip(source, target, other, strict=True):
        for x, met in ((v, 1), (w, 0)):
            if x != u:
                s, t = rows[u].astype(float), rows[x].astype(float)
                slope = rate * (met - 1 / (1 + np.exp(-s @ t)))
                rows[u], rows[x] = s + slope * t, t + slope * s
