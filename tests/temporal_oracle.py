"""TGN event by event, vertex by vertex, with dictionaries: the slow, obvious version.

It knows nothing of rows, batches of roots or merged products; float64.
"""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class Oracle:
    """The model of `nn.temporal` on a stream (source, target, time, features (E, d_e))."""

    def __init__(self, parameters, heads, recent, source, target, time, features, layers=1):
        self.p, self.heads, self.recent = parameters, heads, recent
        self.source, self.target, self.time, self.features = source, target, time, features
        self.d = parameters["attention.W_query"].shape[1]
        self.static, self.layers = {}, layers
        self.reset()

    def reset(self):
        self.memory, self.other, self.mail, self.before = {}, {}, {}, {}

    def clock(self, scope, span):
        return np.cos(float(span) * self.p[f"{scope}.frequency"] + self.p[f"{scope}.phase"])

    def known(self, v):
        """The state of a vertex, and what is known of it at any time."""
        return self.state(v) + self.static.get(v, 0)

    def state(self, v):
        """The memory of a vertex and its mail, through the GRU."""
        p, d = self.p, self.d
        s, o = self.memory.get(v, np.zeros(d)), self.other.get(v, np.zeros(d))
        f, span = np.zeros(self.features.shape[1]), 0
        if v in self.mail:
            f = self.features[self.mail[v]]
            begin = self.time[self.before[v]] if v in self.before else self.time[0]
            span = self.time[self.mail[v]] - begin
        x = np.concatenate([s, o, f, self.clock("memory", span)])
        gi = x @ p["memory.W_input"] + p["memory.b_input"]
        gh = s @ p["memory.W_state"] + p["memory.b_state"]
        r, z = sigmoid(gi[:d] + gh[:d]), sigmoid(gi[d : 2 * d] + gh[d : 2 * d])
        n = np.tanh(gi[2 * d :] + r * gh[2 * d :])
        return (1 - z) * n + z * s

    def meetings(self, v, t):
        """(other, event) of the last events strictly before t, newest first."""
        found = []
        for e in reversed(range(len(self.source))):
            if self.time[e] < t and v in (self.source[e], self.target[e]):
                other = self.target[e] if self.source[e] == v else self.source[e]
                found.append((other, e))
        return found[: self.recent]

    def row(self, v, t, layer=None):
        """The model's output for a vertex at a time, or what a layer below makes of it."""
        layer, d = self.layers if layer is None else layer, self.d
        if not layer:
            return self.known(v)
        scope = f"layer{layer}." if layer > 1 else ""
        p = {n.removeprefix(scope): each for n, each in self.p.items() if n.startswith(scope)}
        h, attention = self.row(v, t, layer - 1), f"{scope}attention"
        q = np.concatenate([h, self.clock(attention, 0)]) @ p["attention.W_query"]
        q = q + p["attention.b_query"]
        met, out = self.meetings(v, t), np.zeros(d)
        if met:
            x = np.array(
                [
                    np.concatenate(
                        [
                            self.row(w, self.time[e], layer - 1),
                            self.features[e],
                            self.clock(attention, t - self.time[e]),
                        ]
                    )
                    for w, e in met
                ]
            )
            k = x @ p["attention.W_key"] + p["attention.b_key"]
            value = x @ p["attention.W_value"] + p["attention.b_value"]
            for h_ in np.split(np.arange(d), self.heads):
                score = k[:, h_] @ q[h_]
                a = np.exp(np.where(score > 0, score, 0.2 * score))
                out[h_] = a / a.sum() @ value[:, h_]
        y = np.concatenate([out, h]) @ p["attention.W_out"] + p["attention.b_out"]
        y = np.maximum(y, 0)
        y = (y - y.mean()) / np.sqrt(y.var() + 1e-5)
        return y * p["norm.weight"] + p["norm.bias"]

    def logit(self, u, v, t):
        p = self.p
        left = self.row(u, t) @ p["decoder.W_source"] + p["decoder.b"]
        right = self.row(v, t) @ p["decoder.W_target"]
        return np.maximum(left + right, 0) @ p["decoder.w"] + p["decoder.c"][0]

    def logits(self, first, last, negatives):
        """(1 + n, B): targets, then negatives (n, B)."""
        events = range(first, last)
        rows = [[self.logit(self.source[e], self.target[e], self.time[e]) for e in events]]
        for each in negatives:
            pairs = zip(events, each, strict=True)
            rows.append([self.logit(self.source[e], v, self.time[e]) for e, v in pairs])
        return np.array(rows)

    def tell(self, first, last):
        """What a batch leaves: of each vertex its last event alone."""
        last_of = {}
        for e in range(first, last):
            last_of[self.source[e]] = (e, self.target[e])
            last_of[self.target[e]] = (e, self.source[e])
        states = {v: self.state(v) for v in last_of}
        for v, (e, w) in last_of.items():
            self.memory[v], self.other[v] = states[v], states[w]
            if v in self.mail:
                self.before[v] = self.mail[v]
            self.mail[v] = e
