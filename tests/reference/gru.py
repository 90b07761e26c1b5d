"""Gates of a GRU on whole matrices."""

import numpy as np


def gru_gates(gates, hidden, bias, hidden_bias, state, out):
    r, z, n = np.split(gates.astype(np.float64) + bias, 3, axis=1)
    hidden += hidden_bias
    r, z = 1 / (1 + np.exp(-r)), 1 / (1 + np.exp(-z))
    n = np.tanh(n + r * hidden)
    gates[:] = np.hstack([r, z, n])
    out[:] = (1 - z) * n + z * state[:, : out.shape[1]]


def gru_gates_adjoint(dout, gates, hidden, state, dgates, dhidden):
    r, z, n = np.split(gates.astype(np.float64), 3, axis=1)
    state = state[:, : dout.shape[1]]
    dn = dout * (1 - z) * (1 - n**2)
    dgates[:] = np.hstack([dn * hidden * r * (1 - r), dout * (state - n) * z * (1 - z), dn])
    dhidden[:] = dn * r
