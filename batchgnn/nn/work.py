"""What a layer has to do, by its widths: matrix products, products with the edges, rows between.

Follows `nn.conv`: which of (A x) W and A (x W) a layer takes, and what backward leaves out.
"""

from dataclasses import dataclass, field
from itertools import pairwise

from batchgnn.nn.model import Model


@dataclass(frozen=True)
class LayerWork:
    """Forward and backward of a layer over given rows.

    flops     of matrix products
    gathers   widths of the products with the edges, forward and backward
    attends   widths (all heads together), and heads, of attention, forward with backward
    elements  numbers that pass bias, activation and dropout
    """

    flops: float
    gathers: list[int] = field(default_factory=list)
    attends: list[tuple[int, int]] = field(default_factory=list)
    elements: float = 0.0


def layer_work(
    model: str,
    d_in: int,
    d_out: int,
    num_sources: float,
    num_targets: float,
    *,
    first: bool,
    kept: bool = False,
    heads: int = 1,
) -> LayerWork:
    """One convolution of `model` with its epilogue.

    first: no gradient of x is needed; kept: A x was computed before training
    heads: of gat
    """
    passes = 2 + (not first)
    product = 2 * d_in * d_out
    elements = num_targets * d_out
    if model == "gat":
        scores = 3 * 2 * d_out * heads * (num_sources + num_targets)
        flops = passes * product * num_sources + scores
        return LayerWork(flops, [], [(d_out, heads)], elements)
    transforms = not kept and d_out * num_sources <= d_in * num_targets
    rows = num_sources if transforms else num_targets
    flops = passes * product * rows
    if model == "sage":
        flops += passes * product * num_targets
    if model == "gin":
        flops += 3 * 2 * d_out * d_out * num_targets
    if kept:
        gathers = []
    elif transforms:
        gathers = [d_out, d_out]
    else:
        gathers = [d_in] * (1 + (not first))
    return LayerWork(flops, gathers, [], elements)


def whole_graph_work(
    model: Model, kept: bool, num_rows: float, trained: bool = False
) -> list[LayerWork]:
    """A step over the whole graph, of which a rank has so many rows.

    kept: the first layer's aggregation is computed before training
    trained: the input rows have a gradient (its part in gcnii's linear layer is not counted)
    """
    spec, widths = model.spec, model.widths
    if spec.model == "gcnii":
        return _gcnii(widths, num_rows)
    return [
        layer_work(
            spec.model,
            d_in,
            d_out,
            num_rows,
            num_rows,
            first=n == 0 and not trained,
            kept=n == 0 and kept,
            heads=1 if n == model.num_layers - 1 else spec.heads,
        )
        for n, (d_in, d_out) in enumerate(pairwise(widths))
    ]


def _gcnii(widths: list[int], num_rows: float) -> list[LayerWork]:
    """A linear layer before the convolutions, and one after them."""
    before, hidden, after = widths[0], widths[1], widths[-1]
    work = [LayerWork(2 * 2 * before * hidden * num_rows, elements=hidden * num_rows)]
    deep = LayerWork(3 * 2 * hidden**2 * num_rows, [hidden, hidden], [], 3 * hidden * num_rows)
    work += [deep] * (len(widths) - 2)
    return [*work, LayerWork(3 * 2 * hidden * after * num_rows, elements=after * num_rows)]


def decoupled_work(model: Model) -> list[LayerWork]:
    """An MLP for one row, and in its last layer as many products with the edges as layers, twice.

    arXiv:1902.07153, arXiv:1810.05997: the products are on the width of the classes alone. The two
    scores of attention, which has one head, are one product of the MLP's result.
    """
    widths = model.widths
    work = [
        LayerWork((2 + (n > 0)) * 2 * d_in * d_out, elements=d_out)
        for n, (d_in, d_out) in enumerate(pairwise(widths))
    ]
    if model.aggregation == "attention":
        return [*work, LayerWork(3 * 2 * widths[-1] * 2, [], [(widths[-1], 1)] * len(work))]
    return [*work, LayerWork(0.0, [widths[-1]] * (2 * len(work)))]


def decoupled_messages(rounds: LayerWork) -> LayerWork:
    """What of the last of `decoupled_work` is sent: rows are split and joined once each way."""
    return LayerWork(0.0, rounds.gathers[:2], rounds.attends[:1])
