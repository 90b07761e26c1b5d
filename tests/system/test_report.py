"""Reports of real runs: the timeline adds up to the counters, and a real browser shows the page."""

import json
import re
from collections import defaultdict
from itertools import pairwise

import pytest
from browser import Browser, find_browser
from commands import refused, succeed
from graphs import learnable_graph, shards_of
from runs import Page, make_run

from batchgnn.report.svg import by_depth
from batchgnn.watch.timeline import read_timeline

OPTIONS = ["--layers", 2, "--fanouts", 6, 4, "--hidden", 16, "--batch-size", 60, "--epochs", 3]
LATE_S = 0.05
"How much later than the first rank another may end the epoch, on a busy machine."


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run on one rank without overlap, and one on two ranks with it."""
    folder = tmp_path_factory.mktemp("report")
    shards = shards_of(learnable_graph(), folder / "shards")
    succeed("train", shards, "--run", folder / "alone", *OPTIONS, "--no-overlap")
    succeed("train", shards, "--run", folder / "pair", *OPTIONS, "--overlap", ranks=2)
    return folder


@pytest.fixture(scope="module")
def page(runs):
    out = runs / "both.html"
    succeed("report", runs / "alone", runs / "pair", "--out", out)
    return out


def line_of(run, epoch):
    return json.loads((run / "metrics.jsonl").read_text().splitlines()[epoch - 1])


@pytest.mark.parametrize("name", ["alone", "pair"])
def test_spans_nest_and_add_up_to_what_the_epoch_counted(runs, name):
    line, timeline = line_of(runs / name, 2), read_timeline(runs / name / "timeline.json")
    assert (timeline.epoch, timeline.first_step) == (2, 0)
    assert len(timeline.ranks) == len(line["peak_memory_bytes"])
    wall = line["seconds"] + line["evaluate_seconds"]
    own, calls, sent = defaultdict(float), defaultdict(int), defaultdict(int)
    for rank, each in enumerate(timeline.ranks):
        assert each.num_more == 0
        assert each.lanes == (["main", "fetcher", "sampler"] if name == "pair" else ["main"])
        assert min(span.begin_s for span in each.spans) >= 0
        assert max(span.end_s for span in each.spans) <= 1.5 * wall + LATE_S
        for lane in each.lanes:
            assert_nested([span for span in each.spans if span.lane == lane])
            for span, seconds in own_seconds(each.spans, lane):
                own[rank, lane, span.name] += seconds
        for span in each.spans:
            if span.kind == "collectives":
                calls[rank, span.name] += 1
                sent[span.name] += span.sent_bytes
    counted = {
        (rank, lane, phase): seconds
        for lane, phases in line["rank_phase_seconds"].items()
        for phase, ranks in phases.items()
        for rank, seconds in enumerate(ranks)
    }
    assert own.keys() == counted.keys()
    assert own == pytest.approx(counted, abs=2e-6, rel=1e-6)
    assert {n for r, n in calls if r == 0} == line["collective_calls"].keys()
    for collective, number in line["collective_calls"].items():
        assert max(calls[rank, collective] for rank in range(len(timeline.ranks))) == number
    assert dict(sent) == line["collective_bytes"]


def assert_nested(spans):
    """Two spans of one thread are apart, or one lies in the other; times are to the nanosecond."""
    for level in by_depth(spans):
        for a, b in pairwise(level):
            assert a.end_s <= b.begin_s + 3e-9
    outer = by_depth(spans)
    for level, around in zip(outer[1:], outer, strict=False):
        for span in level:
            assert any(
                a.begin_s - 3e-9 <= span.begin_s and span.end_s <= a.end_s + 3e-9 for a in around
            )


def own_seconds(spans, lane):
    """Each phase of a thread with its seconds outside the phases in it."""
    phases = [span for span in spans if span.lane == lane and span.kind == "phases"]
    for depth, level in enumerate(levels := by_depth(phases)):
        inner = levels[depth + 1] if depth + 1 < len(levels) else []
        for span in level:
            inside = [s for s in inner if span.begin_s - 3e-9 <= s.begin_s <= span.end_s - 3e-9]
            yield span, (span.end_s - span.begin_s) - sum(s.end_s - s.begin_s for s in inside)


def test_the_timeline_is_of_the_epoch_that_was_asked_for(runs, tmp_path):
    """The last where there are fewer; a resume that passes by it again writes it anew."""
    run, shards = tmp_path / "run", runs / "shards"
    start = ["train", shards, "--run", run, *OPTIONS[:-2], "--epochs"]
    succeed(*start, 1)
    assert read_timeline(run / "timeline.json").epoch == 1
    first = (run / "timeline.json").read_bytes()
    succeed(*start, 2, "--resume", "--timeline-epoch", 0)
    assert (run / "timeline.json").read_bytes() == first
    succeed(*start, 4, "--resume", "--timeline-epoch", 3)
    assert read_timeline(run / "timeline.json").epoch == 3


def test_the_trace_is_what_perfetto_reads(runs):
    """The JSON object format of the trace events: complete events, ids above 0, named threads."""
    whole = json.loads((runs / "pair" / "timeline.json").read_text())
    events = whole["traceEvents"]
    threads = {(e["pid"], e["tid"]) for e in events if e["name"] == "thread_name"}
    assert len(threads) == len({tid for _, tid in threads}) == 6
    names = {e["args"]["name"].split(" on ")[0] for e in events if e["name"] == "process_name"}
    assert names == {"rank 0", "rank 1"}
    for event in events:
        assert event["ph"] in ("X", "M")
        if event["ph"] == "X":
            assert (event["pid"], event["tid"]) in threads
            assert event["pid"] > 0 < event["tid"]
            assert event["dur"] >= 0
            assert event["cat"] in ("phases", "collectives")


def test_the_page_says_what_the_runs_say(runs, page):
    shown = Page(page.read_text())
    rows = shown.tables["Summary of the runs"].rows
    for n, name in enumerate(("alone", "pair")):
        result = json.loads((runs / name / "result.json").read_text())
        assert rows["Test score"][n] == result["test_accuracy"]
        assert rows["Exactness"][n] == result["exactness"]
        assert shown.tables["Epochs"].column("loss", skip=n) == {
            str(e): line_of(runs / name, e)["loss"] for e in (1, 2, 3)
        }
    result = json.loads((runs / "pair" / "result.json").read_text())
    table = shown.tables["Ranks of pair"]
    heads = [f"{rank} on {result['hosts'][rank]}" for rank in range(2)]
    assert [table.column("vertices")[head] for head in heads] == result["rank_vertices"]
    assert sum(result["rank_vertices"]) == 400
    assert sum(result["rank_edges"]) == sum(
        json.loads((runs / "alone" / "result.json").read_text())["rank_edges"]
    )
    graph = shown.tables["Graph"].rows
    assert (graph["Vertices"], graph["Features of a vertex"]) == ([400, 400], [12, 12])
    assert graph["Edges"] == [sum(result["rank_edges"]) / 2] * 2
    classes = shown.tables["Classes of alone"].rows
    labels, split = learnable_graph().label, learnable_graph().split
    for c, cells in enumerate(classes.values()):
        roles = [((labels == c) & (split == role)).sum() for role in range(4)]
        assert cells == [sum(roles), sum(roles) / (labels >= 0).sum(), *roles]
    assert "Classes of pair" not in shown.tables
    by_class = [json.loads((runs / n / "result.json").read_text()) for n in ("alone", "pair")]
    for name, result in zip(("alone", "pair"), by_class, strict=True):
        held = result["class_scores"].values()
        assert len(held) == 4
        assert sum(each["vertices"] for each in held) == (labels[split == 3] >= 0).sum()
        found = sum((each["recall"] or 0) * each["vertices"] for each in held)
        given = sum(each["predicted"] for each in held)
        assert found / given == pytest.approx(result["test_accuracy"])
        assert result["class_scores"] == by_class[0]["class_scores"], "on any number of ranks"
        again = shown.tables[f"Scores of classes of {name}"].column("recall")
        assert again == {c: each["recall"] for c, each in result["class_scores"].items()}
    sections = "summary graph learning classes time communication balance timeline plan"
    assert shown.sections == [*sections.split(), "configuration", "versions"]


def test_mistakes_get_one_message(runs, tmp_path):
    assert "is no folder: needed a run folder" in refused("report", tmp_path / "none")
    assert "Add --overwrite" in refused(
        "report", runs / "alone", "--out", runs / "alone" / "result.json"
    )


# In a browser


@pytest.fixture(scope="module")
def browser():
    program = find_browser()
    if program is None:
        pytest.skip("no Chromium: apt-get install chromium-headless-shell, or BATCHGNN_CHROMIUM")
    with Browser(program) as browser:
        yield browser


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A page of eight runs with long names, one of them of 40 ranks and 200 epochs."""
    folder = tmp_path_factory.mktemp("large")
    names = [f"a-rather-long-name-of-a-run-{n}" for n in range(8)]
    for n, name in enumerate(names):
        size = {"num_epochs": 200, "num_ranks": 40} if n == 0 else {"seed": n}
        plan = {"terms": [{"name": "epoch", "unit": "s", "predicted": 1.0, "measured": 1.1}]}
        make_run(folder / name, plan=plan, **size)
    succeed("report", *(folder / name for name in names), "--out", folder / "page.html")
    return folder / "page.html"


BOXES = """[...document.querySelectorAll('svg:not(svg svg)')].map(e => {
    const box = e.getBoundingClientRect();
    return [e.getAttribute('aria-label') || e.getAttribute('class'), box.width, box.height]
})"""

SPILLED = """[...document.querySelectorAll('svg[role=img] text')].filter(e => {
    const own = e.getBoundingClientRect(), around = e.closest('svg').getBoundingClientRect();
    return own.left < around.left - 1 || own.right > around.right + 1
        || own.top < around.top - 1 || own.bottom > around.bottom + 1
}).map(e => e.closest('svg').getAttribute('aria-label') + ': ' + e.textContent)"""

SIZES = """[...document.querySelectorAll('svg[role=img] text')].map(e => {
    const scale = e.getScreenCTM();
    return parseFloat(getComputedStyle(e).fontSize) * Math.hypot(scale.a, scale.b)
})"""

OVERLAPS = """[...document.querySelectorAll('svg[role=img]')].flatMap(svg => {
    const texts = [...svg.querySelectorAll('text')].map(e => [e, e.getBoundingClientRect()]);
    return texts.flatMap(([e, a], n) => texts.slice(n + 1).filter(([_, b]) =>
        Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
        && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3
    ).map(([f]) => svg.getAttribute('aria-label') + ': ' + e.textContent + ', ' + f.textContent))
})"""

CONTRASTS = """(() => {
    const canvas = new OffscreenCanvas(1, 1).getContext('2d');
    const light = color => {
        canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
        const parts = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map(c => {
            c /= 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4 });
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2] };
    const behind = e => {
        for (; e; e = e.parentElement) {
            const color = getComputedStyle(e).backgroundColor;
            if (color !== 'rgba(0, 0, 0, 0)') return color;
        }
        return 'white' };
    const seen = {};
    for (const e of document.querySelectorAll('h1, h2, p, a:not(.skip), th, td, figcaption, li,'
            + ' footer, caption, .differs, svg text')) {
        const style = getComputedStyle(e), ink = e.closest('svg') ? style.fill : style.color;
        const [a, b] = [light(ink), light(behind(e))].sort((x, y) => y - x);
        const name = e.closest('svg') ? 'svg text' : e.tagName;
        seen[name] = Math.min(seen[name] ?? 99, (a + 0.05) / (b + 0.05));
    }
    return seen
})()"""


@pytest.mark.parametrize("which", ["page", "large"])
@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 400)])
def test_a_browser_shows_the_page_without_a_network(browser, request, which, scheme, width):
    browser.open(request.getfixturevalue(which), scheme=scheme, width=width)
    assert browser.requests() == []
    assert browser.complaints() == []
    boxes = browser.value(BOXES)
    assert len(boxes) > 20
    assert [box for box in boxes if min(box[1:]) < 6] == []
    assert browser.value(SPILLED) == []
    assert min(browser.value(SIZES)) >= 11, "pixels of text in pictures"
    assert browser.value(OVERLAPS) == []
    assert browser.value("document.documentElement.scrollWidth") <= width
    low = {name: ratio for name, ratio in browser.value(CONTRASTS).items() if ratio < 4.5}
    assert low == {}
    dark = browser.value("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    assert dark == (scheme == "dark")


def test_all_of_the_page_is_reached_by_keyboard(browser, page):
    browser.open(page)
    browser.press("Tab")
    assert browser.value("document.activeElement.className") == "skip"
    assert browser.value("document.activeElement.getBoundingClientRect().left") >= 0
    reached = []
    for _ in range(40):
        browser.press("Tab")
        name = "document.activeElement.getAttribute('aria-label') || document.activeElement.href"
        reached.append(browser.value(name))
    links = {each for each in reached if "#" in (each or "")}
    anchors = {each.split("#")[1] for each in links} - {"main"}
    assert anchors == set(Page(page.read_text()).sections)
    assert {"Epochs", "Ranks of pair", "Spans of epoch 2 of pair"} <= set(reached)


def test_the_page_prints(browser, page):
    browser.open(page, media="print")
    clipped = """[...document.querySelectorAll('.scroll')].filter(
        e => e.scrollHeight > e.clientHeight + 1).map(e => e.getAttribute('aria-label'))"""
    assert browser.value(clipped) == []
    assert browser.value("getComputedStyle(document.querySelector('nav')).display") == "none"
    printed = browser.pdf()
    assert printed.startswith(b"%PDF")
    assert 3 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 20


def test_the_driver_sees_what_a_page_does_wrong(browser, tmp_path):
    """So that the silence above means something."""
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<img src='http://192.0.2.1/x.png'><script>console.error('one'); nothing()</script>"
    )
    browser.open(bad)
    assert browser.requests() == ["http://192.0.2.1/x.png"]
    said = json.dumps(browser.complaints())
    assert "one" in said
    assert "nothing is not defined" in said
