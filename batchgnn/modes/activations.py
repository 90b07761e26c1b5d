"""What layers of a model hold while they are trained or evaluated, in numbers; upper bounds."""

from batchgnn.nn.linear import num_parts
from batchgnn.nn.model import Model


def trained_layer(
    model: Model, n: int, targets: int, sources: int, edges: int, *, constant: bool
) -> tuple[int, int]:
    """Numbers that layer n of a stack keeps for backward, and those it holds for a while besides.

    Whether A x or x W comes first follows from the block: the larger of the two counts. targets,
    sources: at most; constant: its rows are input features, which lie elsewhere and have no
    gradient
    """
    spec, (before, after) = model.spec, model.widths[n : n + 2]
    kept, passing = targets * _results(model, after), targets * after * (1 + spec.residual)
    if model.aggregation == "attention":
        scores = edges * spec.heads
        kept += sources * (after + constant * before) + scores
        return kept, passing + sources * (after + (not constant) * before) + scores
    gathered = targets * before * (2 if model.aggregation == "mean" else 1)
    first = _transformed(before, after, targets, sources)
    if constant:
        return kept + max(gathered, first * before), passing + first * after
    scaled = targets * before * (model.aggregation != "gcn")
    return kept + gathered, passing + sources * before + scaled + max(gathered, first * after)


def evaluated_layer(model: Model, n: int, targets: int, sources: int, edges: int) -> int:
    """Numbers that layer n of a stack holds at most to be computed once."""
    before, after = model.widths[n : n + 2]
    results = targets * after * (1 + (model.spec.model == "gin")) + targets * _results(model, after)
    if model.aggregation == "attention":
        return results + sources * (before + after) + edges * model.spec.heads
    gathered = targets * before * (2 if model.aggregation == "mean" else 1)
    first = _transformed(before, after, targets, sources)
    return results + max(gathered, first * (before + after))


def _transformed(before: int, after: int, targets: int, sources: int) -> int:
    """Most sources of which x W comes before A: `nn.conv.transforms_first`."""
    return min(sources, targets * before // after)


def _results(model: Model, after: int) -> int:
    """Of a target: its result, and what stands between it and the product."""
    spec = model.spec
    return after * (1 + (spec.norm != "none") + spec.residual + (spec.model == "gin"))


def gradient_sums(model: Model, num_rows: int) -> int:
    """Numbers of the products that a weight's gradient of so many rows is summed from."""
    beside = 2 if model.aggregation == "mean" else 1
    pairs = zip(model.widths, model.widths[1:], strict=False)
    return num_parts(num_rows) * max(beside * before * after for before, after in pairs)
