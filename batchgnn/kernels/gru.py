"""Gates of a GRU, forward and backward, element by element; the products are the caller's.

PyTorch's order of gates: reset r, update z, candidate n. Eq. of torch.nn.GRUCell.
"""

import numpy as np
from numba import prange

from batchgnn.kernels.jit import parallel_kernel


@parallel_kernel(fastmath={"contract"})
def gru_gates(gates, hidden, state, out):
    """out = (1 - z) n + z state, with r, z = sigmoid of theirs, n = tanh(its own + r hidden).

    gates   float32 or float64 (n, 3 d)  in: inputs of r, z (both parts), n (the input's part); out:
                                         r, z, n
    hidden  as gates (n, d)  the state's part of n's input
    state   as gates (n, d)  before
    out     as gates (n, d)  overwritten
    """
    width = out.shape[1]
    one = gates.dtype.type(1)
    for i in prange(out.shape[0]):
        gate, h, s, o = gates[i], hidden[i], state[i], out[i]
        for j in range(2 * width):
            gate[j] = one / (one + np.exp(-gate[j]))
        for j in range(width):
            n = np.tanh(gate[2 * width + j] + gate[j] * h[j])
            z = gate[width + j]
            gate[2 * width + j] = n
            o[j] = (one - z) * n + z * s[j]


@parallel_kernel(fastmath={"contract"})
def gru_gates_adjoint(dout, gates, hidden, state, dgates, dhidden):
    """Gradients by the inputs of `gru_gates`, which left `gates`; the state is a constant.

    dout     as gates (n, d)
    dgates   as gates (n, 3 d)  overwritten
    dhidden  as gates (n, d)    overwritten
    """
    width = dout.shape[1]
    one = gates.dtype.type(1)
    for i in prange(dout.shape[0]):
        gate, h, s, d, dg = gates[i], hidden[i], state[i], dout[i], dgates[i]
        for j in range(width):
            r, z, n = gate[j], gate[width + j], gate[2 * width + j]
            dn = d[j] * (one - z) * (one - n * n)
            dg[j] = dn * h[j] * r * (one - r)
            dg[width + j] = d[j] * (s[j] - n) * z * (one - z)
            dg[2 * width + j] = dn
            dhidden[i, j] = dn * r
