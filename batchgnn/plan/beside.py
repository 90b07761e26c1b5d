"""The plan beside the measurement: what was predicted of the mode that ran, for result.json."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from batchgnn.base.errors import StoreError
from batchgnn.modes.share import Share
from batchgnn.plan.choose import make_job, predict
from batchgnn.plan.prediction import (
    AGGREGATION,
    FILLING,
    MESSAGES,
    PACKING,
    PRODUCTS,
    ROWS,
    SAMPLING,
    TERMS,
    Prediction,
)
from batchgnn.plan.rates import ASSUMED, Rates, rates_path, read_rates


def rates_of(fingerprint: str, num_ranks: int, host: str | None = None) -> Rates:
    """What was measured on this host for so many ranks; assumed where nothing can be read."""
    try:
        return read_rates(rates_path(num_ranks, host), fingerprint) or ASSUMED
    except StoreError:
        return ASSUMED


def plan_of(share: Share, shards: Path) -> tuple[Prediction, Rates]:
    """The prediction of a share's mode, of any rank."""
    manifest, grid = share.manifest, share.grid
    rates = rates_of(manifest.fingerprint, grid.size)
    job = make_job(shards, manifest, share.settings, grid.size, grid.node_size)
    return predict(job, rates), rates


def plan_entry(prediction: Prediction, why: str, lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """`plan` of result.json (run/README.md).

    lines: of metrics.jsonl; means leave out the first epoch, which also compiles
    """
    counted = lines[1:] or lines
    terms = [("epoch", "s", prediction.epoch_s, _mean(counted, lambda line: line["seconds"]))]
    terms += [(name, "s", s, m) for name, s, m in _phases(prediction, counted)]
    terms += [(name, "s", prediction.seconds.get(name, 0.0), None) for name in TERMS]
    terms += [
        ("hidden behind products", "s", prediction.hidden_s, None),
        (
            "sent by all ranks in an epoch",
            "bytes",
            prediction.bytes,
            _mean(counted, lambda line: line["training_bytes"]),
        ),
        (
            "collectives of a rank in an epoch",
            "calls",
            prediction.calls,
            _mean(counted, lambda line: line["training_calls"]),
        ),
        (
            "peak memory of a rank",
            "bytes",
            prediction.memory.total,
            max((max(line["peak_memory_bytes"]) for line in lines), default=None),
        ),
    ]
    keys = ("name", "unit", "predicted", "measured")
    return {"why": why, "terms": [dict(zip(keys, term, strict=True)) for term in terms]}


def _phases(
    prediction: Prediction, lines: Sequence[dict[str, Any]]
) -> list[tuple[str, float, float | None]]:
    """Terms as far as the phases of training tell them apart: name, predicted, measured."""
    seconds = prediction.seconds
    computed = seconds[AGGREGATION] + seconds[PRODUCTS] + seconds[ROWS]
    moved = seconds[PACKING] + seconds[MESSAGES] - prediction.hidden_s
    moved += seconds.get(FILLING, 0.0)

    def measured(*names: str) -> float | None:
        return _mean(
            lines, lambda line: sum(line["phase_seconds"].get(name, 0.0) for name in names)
        )

    trained = measured("forward", "backward")
    if not prediction.is_sampled:  # rows travel inside the layers
        whole = measured("forward", "backward", "allreduce")
        return [("forward, backward, gradient", computed + moved, whole)]
    prepared = measured("sample", "locate", "fetch", "allreduce")
    return [
        ("forward and backward", computed, trained),
        ("sampling, fetching, gradient", seconds[SAMPLING] + moved, prepared),
    ]


def _mean(lines: Sequence[dict[str, Any]], of: Callable[[dict[str, Any]], float]) -> float | None:
    """None where there is no line, or none with that number: of an older version."""
    try:
        values = [of(line) for line in lines]
    except KeyError:
        return None
    return sum(values) / len(values) if values else None
