"""The report's timeline: spans are drawn where they were, narrow ones gathered, and added up."""

from dataclasses import replace

import numpy as np
import pytest
from runs import make_timeline, page_of

from batchgnn.base.errors import StoreError
from batchgnn.report import svg
from batchgnn.report.run import read_run
from batchgnn.report.spans import steps_near
from batchgnn.watch.timeline import chrome_trace
from batchgnn.watch.trace import Span


def test_spans_are_drawn_where_they_were(run):
    picture = page_of(run).pictures["Timeline: Epoch 2, run"]
    last = max(span.end_s for span in make_timeline(1).ranks[0].spans)
    scale = 100 / last
    drawn = {}
    for rect in picture.iter("rect"):
        begin, length = (float(rect.get(key).rstrip("%")) / scale for key in ("x", "width"))
        name = rect.find("title").text.split(",")[0]
        drawn.setdefault(name, []).append((begin, length))
    for name, first, length in (("forward", 0, 0.004), ("gradient", 0.0085, 0.001)):
        expected = [(0.01 * step + first, length) for step in range(8) for _ in range(2)]
        np.testing.assert_allclose(sorted(drawn[name]), expected, atol=0.002 / scale)


def test_what_lies_inside_is_drawn_over_it():
    spans = make_timeline(1, num_steps=2).ranks[0].spans
    phases = [span for span in spans if span.lane == "main" and span.kind == "phases"]
    outer, inner = svg.by_depth(phases)
    assert [span.name for span in outer] == ["forward", "backward", "allreduce"] * 2
    assert [span.name for span in inner] == ["wait", "wait"]


def test_many_narrow_spans_become_few_rectangles():
    rng = np.random.default_rng(0)
    edges = np.sort(rng.random(40_001))
    names = rng.choice(["forward", "backward"], 40_000, p=[0.8, 0.2])
    spans = [
        Span("main", "phases", n, a, b) for n, a, b in zip(names, edges, edges[1:], strict=False)
    ]
    drawn = svg.filled(spans, 0.0, 1.0, 0.01)
    assert 95 <= len(drawn) <= 100
    assert sum(b - a for a, b, _ in drawn) == pytest.approx(1, abs=0.06)
    alone = [Span("main", "phases", "wait", 0.5, 0.5001)]
    assert svg.filled(alone, 0.0, 1.0, 0.01) == []


def test_a_thread_with_collectives_alone_has_one_row(run):
    whole = make_timeline(1)
    spans = [span._replace(lane="sampler") for span in whole.ranks[0].spans]
    calls = [span for span in spans if span.kind == "collectives"]
    only = [replace(whole.ranks[0], spans=[*whole.ranks[0].spans[:1], *calls])]
    (run / "timeline.json").write_text(chrome_trace(replace(whole, ranks=only)))
    picture = page_of(run).pictures["Timeline: Epoch 2, run"]
    names = [text.text for text in picture.iter("text") if (text.text or "").startswith("rank")]
    assert names == ["rank 0 main", "rank 0 sampler"]


def test_the_table_of_spans_adds_them_up(run):
    table = page_of(run).tables["Spans of epoch 2 of run"]
    assert table.rows["forward (main)"] == [16, pytest.approx(0.064), pytest.approx(0.004), "-"]
    count, _, _, sent = table.rows["gradient (main, collective)"]
    assert (count, sent) == (16, 16000)
    assert list(table.rows)[:2] == ["wait (main)", "forward (main)"]


def test_the_near_view_has_whole_steps():
    spans = make_timeline(1).ranks[0].spans
    assert steps_near(spans) == pytest.approx((0.02, 0.05))
    assert steps_near(make_timeline(1, num_steps=5).ranks[0].spans) is None


def test_a_cut_or_resumed_timeline_says_so(run):
    whole = make_timeline(2)
    cut = [replace(each, num_more=1500) for each in whole.ranks]
    (run / "timeline.json").write_text(chrome_trace(replace(whole, first_step=7, ranks=cut)))
    words = page_of(run).words()
    assert "3,000 later ones are not in the file" in words
    assert "A resume began at step 7" in words


def test_a_timeline_of_a_newer_version_is_refused(run):
    text = (run / "timeline.json").read_text()
    (run / "timeline.json").write_text(text.replace('"format_version":1', '"format_version":2'))
    with pytest.raises(StoreError, match="format version 2, this batchgnn reads up to 1"):
        read_run(run, "run")
