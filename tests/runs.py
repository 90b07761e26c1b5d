"""Run folders made by hand, of any size and in any state, and the report's page read again."""

import json
import re
from xml.etree import ElementTree

import numpy as np
import pytest
import tomli_w

from batchgnn.report.page import page
from batchgnn.report.run import read_runs
from batchgnn.watch.timeline import RankSpans, Timeline, chrome_trace
from batchgnn.watch.trace import Span

BEGAN_S = 1_795_000_000
"When runs made by hand began; the first epoch ends 50.125 s later, the others every minute."

MAIN = ("wait", "forward", "backward", "allreduce", "update")
BESIDE = {"sampler": ("sample", "locate"), "fetcher": ("wait for blocks", "fetch")}
BY_CLASS = ("precision", "recall", "f1", "vertices", "predicted")
COLLECTIVES = {"input rows": 5, "gradient": 12, "sample requests counts": 8}


def make_lines(num_epochs, num_ranks, seed=0, eval_every=1, scores=("accuracy",)):
    """Lines of metrics.jsonl; the first epoch takes far longer than the others.

    scores rise by the epoch, as if higher were better
    """
    rng = np.random.default_rng(seed)
    lines = []
    for epoch in range(1, num_epochs + 1):
        slow = 40.0 if epoch == 1 else 1.0
        main = {name: (slow * rng.uniform(0.1, 0.2, num_ranks)).tolist() for name in MAIN}
        beside = {
            lane: {name: (slow * rng.uniform(0.1, 0.3, num_ranks)).tolist() for name in names}
            for lane, names in BESIDE.items()
        }
        line = {"epoch": epoch, "loss": 3 / epoch + rng.random(), "seconds": slow * 1.25}
        line["time"] = BEGAN_S + 50.125 + 60 * (epoch - 1)
        if epoch % eval_every == 0:
            for name in scores:
                line |= {f"val_{name}": 1 - 0.9 / epoch, f"test_{name}": 1 - 0.95 / epoch}
            line["evaluate_seconds"] = 0.125
            main["evaluate"] = [0.1] * num_ranks
        sent = rng.integers(1, 10**6, (len(COLLECTIVES), num_ranks))
        lanes = {"main": main, **beside}
        slowest = {name: max(ranks) for each in lanes.values() for name, ranks in each.items()}
        lines.append(
            line
            | {
                "deduplication": 0.5,
                "phase_seconds": slowest,
                "collective_seconds": dict.fromkeys(COLLECTIVES, 0.01 * epoch),
                "collective_bytes": dict(zip(COLLECTIVES, sent.sum(axis=1).tolist(), strict=True)),
                "collective_calls": dict(COLLECTIVES),
                "peak_memory_bytes": rng.integers(10**8, 10**9, num_ranks).tolist(),
                "rank_sent_bytes": sent.sum(axis=0).tolist(),
                "rank_phase_seconds": lanes,
            }
        )
    return lines


def make_timeline(num_ranks, num_steps=8):
    """Steps of 10 ms: forward with a wait inside, backward, all-reduce with its collective."""
    ranks = []
    for rank in range(num_ranks):
        spans = []
        for step in range(num_steps):
            t = 0.01 * step
            spans += [
                Span("main", "phases", "wait", t + 0.001, t + 0.002),
                Span("main", "phases", "forward", t, t + 0.004),
                Span("main", "phases", "backward", t + 0.004, t + 0.008),
                Span("main", "collectives", "gradient", t + 0.0085, t + 0.0095, 1000),
                Span("main", "phases", "allreduce", t + 0.008, t + 0.0099),
                Span("sampler", "phases", "sample", t, t + 0.005),
            ]
        ranks.append(RankSpans(f"host{rank // 2}", spans, 0))
    return Timeline(2, 0, ranks)


def make_run(
    path, *, num_epochs=5, num_ranks=2, seed=0, eval_every=1, finished=True,
    scores=("accuracy",), **result,
):  # fmt: skip
    """A run folder of the present version; returns its lines.

    scores: names, the one that chooses first
    result: entries of result.json
    """
    path.mkdir(parents=True)
    settings = {
        "shards": "/data/<shards>", "mode": "macrobatch", "model": "sage", "layers": 2,
        "hidden": 64, "fanouts": [10, 5], "epochs": num_epochs, "overlap": True,
        "metric": scores[0], "seed": seed, "timeline-epoch": 2,
    }  # fmt: skip
    (path / "config.toml").write_text(tomli_w.dumps(settings))
    lines = make_lines(num_epochs, num_ranks, seed, eval_every, scores)
    write_lines(path, lines)
    (path / "timeline.json").write_text(chrome_trace(make_timeline(num_ranks)))
    if finished:
        about = {
            "metric": scores[0], "higher_is_better": scores[0] not in ("rmse", "mae"),
            f"test_{scores[0]}": 0.75, f"val_{scores[0]}": 0.8125, "best_epoch": 4,
            "epochs": num_epochs, "ranks": num_ranks, "threads": 2, "mode": "macrobatch",
            "exactness": "exact; first layer unsampled", "num_parameters": 12345,
            "hosts": [f"host{rank // 2}" for rank in range(num_ranks)],
            "rank_vertices": [100 + 10 * rank for rank in range(num_ranks)],
            "rank_edges": [1000] * num_ranks, "rank_seeds": [30] * num_ranks,
            "versions": {"batchgnn": "0.1.0"},
            "graph": {
                "name": "toy", "kind": "undirected", "vertices": 210, "edges": 1000,
                "features": 16, "classes": 2,
            },
            "class_counts": {"cats": [10, 40, 30, 20], "<dogs>": [20, 20, 40, 30]},
            "class_scores": {
                "cats": dict(zip(BY_CLASS, (0.5, 0.75, 0.6, 20, 30), strict=True)),
                "<dogs>": dict(zip(BY_CLASS, (None, 0.0, 0.0, 30, 0), strict=True)),
            },
        }  # fmt: skip
        (path / "result.json").write_text(json.dumps(about | result))
    return lines


def write_lines(path, lines):
    """Write metrics.jsonl."""
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def lines_of(path):
    """Read metrics.jsonl."""
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def page_of(*paths):
    """The report's page of these run folders."""
    return Page(page(read_runs(paths), "batchgnn report"))


def mean(values):
    """What a mean is to be, up to rounding."""
    return pytest.approx(np.mean(values), rel=1e-12)


class Page:
    """The page's `main` as a tree: tables and pictures by the names that screen readers say."""

    def __init__(self, text):
        self.text = text
        found = re.search("<main.*</main>", text, re.S)
        self.main = ElementTree.fromstring(found[0])
        self.sections = [each.get("id") for each in self.main.iter("section")]
        self.tables = {
            e.get("aria-label"): Table(e) for e in self.main.iter("div") if e.get("role")
        }
        self.pictures = {e.get("aria-label"): e for e in self.main.iter("svg") if e.get("role")}

    def words(self):
        """All text of the page."""
        return " ".join("".join(self.main.itertext()).split())


class Table:
    """A table's rows by their heads; cells as the numbers behind them, or their texts."""

    def __init__(self, region):
        self.head = ["".join(th.itertext()) for th in region.find(".//thead/tr[last()]")]
        lines = [*region.findall(".//tbody/tr"), *region.findall(".//tfoot/tr")]
        self.rows = {"".join(tr[0].itertext()): [cell(td) for td in tr[1:]] for tr in lines}
        self.texts = {
            "".join(tr[0].itertext()): ["".join(td.itertext()) for td in tr[1:]] for tr in lines
        }

    def column(self, name, skip=0):
        """The cells of the column with this head, the `skip`-th of those from the left."""
        place = [n for n, head in enumerate(self.head) if head == name][skip] - 1
        return {head: cells[place] for head, cells in self.rows.items()}


def cell(td):
    """A number in full where the cell has one."""
    value = td.get("data-value")
    return "".join(td.itertext()) if value is None else float(value)
