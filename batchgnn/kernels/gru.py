"""Gates of a GRU, forward and backward, element by element; the products are the caller's.

PyTorch's order of gates: reset r, update z, candidate n. Eq. of torch.nn.GRUCell. In float32
tanh is a rational function, right to 5e-7, that a compiler turns into vector instructions; the C
library's is called a number at a time.
"""

import numpy as np
from numba import prange, types
from numba.extending import overload, register_jitable

from batchgnn.kernels.jit import parallel_kernel

BOUND = np.float32(7.90531110763549805)
"From here on tanh is 1 in float32."
A1, A3, A5, A7 = map(
    np.float32, (4.89352455891786e-3, 6.37261928875436e-4, 1.48572235717979e-5, 5.12229709037114e-8)
)
A9, A11, A13 = map(np.float32, (-8.60467152213735e-11, 2.00018790482477e-13, -2.76076847742355e-16))
B0, B2, B4, B6 = map(
    np.float32, (4.89352518554385e-3, 2.26843463243900e-3, 1.18534705686654e-4, 1.19825839466702e-6)
)
"Of x P(x^2) / Q(x^2), as in Eigen's generic_fast_tanh_float."


@register_jitable
def rational_tanh(x):
    """tanh of a float32."""
    x = BOUND if x > BOUND else (-BOUND if x < -BOUND else x)  # not min, which loses a NaN
    s = x * x
    above = A1 + s * (A3 + s * (A5 + s * (A7 + s * (A9 + s * (A11 + s * A13)))))
    return x * above / (B0 + s * (B2 + s * (B4 + s * B6)))


def tanh(x):
    """tanh, by the type of x."""
    return np.tanh(x)


@overload(tanh, inline="always")
def _tanh_of(x):
    if x == types.float32:
        return lambda x: rational_tanh(x)
    return lambda x: np.tanh(x)


@parallel_kernel(fastmath={"contract"})
def gru_gates(gates, hidden, bias, hidden_bias, state, out):
    """out = (1 - z) n + z state, with r, z = sigmoid of theirs, n = tanh(its own + r hidden).

    gates   float32 or float64 (n, 3 d)  in: inputs of r, z (both parts), n (the input's part),
                                         without biases; out: r, z, n
    hidden  as gates (n, d)  in: the state's part of n's input, without bias; out: with it
    bias, hidden_bias  as gates (3 d,), (d,)
    state   as gates (n, at least d)  before, in its first d columns
    out     as gates (n, d)  overwritten
    """
    width = out.shape[1]
    one, half = gates.dtype.type(1), gates.dtype.type(0.5)
    for i in prange(out.shape[0]):
        gate, h, s, o = gates[i], hidden[i], state[i], out[i]
        for j in range(2 * width):
            gate[j] = half + half * tanh(half * (gate[j] + bias[j]))
        for j in range(width):
            h[j] += hidden_bias[j]
            n = tanh(gate[2 * width + j] + bias[2 * width + j] + gate[j] * h[j])
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
