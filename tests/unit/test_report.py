"""The report: its numbers are those of the run folders, its pictures have their sizes, runs in any
state have a page or one clear message."""

import json
import os
import re
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from runs import BESIDE, COLLECTIVES, MAIN, Page, make_lines, make_run, make_timeline, write_lines

from batchgnn.base.errors import ConfigError, StoreError
from batchgnn.report import svg
from batchgnn.report.command import report
from batchgnn.report.html import escape, say_seconds, tag
from batchgnn.report.page import page
from batchgnn.report.run import read_run, read_runs
from batchgnn.report.spans import steps_near
from batchgnn.watch.timeline import chrome_trace
from batchgnn.watch.trace import Span

ROOT = Path(__file__).parents[2]


def page_of(*paths):
    return Page(page(read_runs(paths), "batchgnn report"))


def mean(values):
    return pytest.approx(np.mean(values), rel=1e-12)


@pytest.fixture
def run(tmp_path):
    make_run(tmp_path / "run")
    return tmp_path / "run"


def lines_of(path):
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


# Numbers


def test_the_epochs_are_those_of_the_metrics(tmp_path):
    lines = make_run(tmp_path / "a", num_epochs=4)
    other = make_run(tmp_path / "b", num_epochs=6, seed=1, eval_every=3)
    table = page_of(tmp_path / "a", tmp_path / "b").tables["Epochs"]
    assert list(table.rows) == ["1", "2", "3", "4", "5", "6"]
    for n, held in enumerate((lines, other)):
        for head, key in (
            ("loss", "loss"),
            ("validation", "val_accuracy"),
            ("test", "test_accuracy"),
            ("seconds", "seconds"),
        ):
            shown = table.column(head, skip=n)
            expected = {str(line["epoch"]): line.get(key, "-") for line in held}
            assert shown == dict.fromkeys(table.rows, "-") | expected


def test_the_summary_is_that_of_the_result_and_the_means_leave_out_the_first_epoch(run):
    lines, rows = lines_of(run), page_of(run).tables["Summary of the runs"].rows
    assert rows["Exactness"] == ["exact; first layer unsampled"]
    assert rows["State"] == ["finished"]
    assert rows["Validation score"] == [0.8125]
    assert rows["Test score"] == [0.75]
    assert rows["Best epoch"] == [4]
    assert rows["Parameters"] == [12345]
    assert rows["First epoch"] == [lines[0]["seconds"]]
    assert rows["Seconds an epoch"] == [mean([line["seconds"] for line in lines[1:]])]
    sent = [sum(line["collective_bytes"].values()) for line in lines[1:]]
    assert rows["Bytes sent an epoch"] == [mean(sent)]
    assert rows["Collective calls an epoch"] == [sum(COLLECTIVES.values())]
    assert rows["Peak memory of a rank"] == [max(max(li["peak_memory_bytes"]) for li in lines)]
    assert rows["Ranks"] == ["2 ranks, 2 threads each"]
    assert "Remote rows found in the cache" not in rows


def test_a_run_of_one_epoch_is_its_own_mean(tmp_path):
    (line,) = make_run(tmp_path / "run", num_epochs=1)
    rows = page_of(tmp_path / "run").tables["Summary of the runs"].rows
    assert rows["Seconds an epoch"] == [line["seconds"]]


def test_phases_are_means_over_epochs_and_ranks_and_add_up_to_the_epoch(run):
    lines = lines_of(run)[1:]
    table = page_of(run).tables["Seconds an epoch by phase (means without the first epoch)"]
    for lane, names in {"main": [*MAIN, "evaluate"], **BESIDE}.items():
        for name in names:
            held = np.array([line["rank_phase_seconds"][lane][name] for line in lines])
            middle, part, slowest = table.rows[f"{name} ({lane})"]
            assert middle == mean(held)
            assert slowest == pytest.approx(held.mean(axis=0).max())
            wall = np.mean([line["seconds"] + line["evaluate_seconds"] for line in lines])
            assert part == pytest.approx(held.mean() / wall)
    shown = [cells for head, cells in table.rows.items() if head.endswith("(main)")]
    wall, whole, _ = table.rows["epoch with evaluation"]
    assert sum(cells[0] for cells in shown) == pytest.approx(wall)
    assert sum(cells[1] for cells in shown) == pytest.approx(whole) == 1


def test_bars_are_as_high_as_their_seconds_and_the_first_is_cut(run):
    lines = lines_of(run)
    picture = page_of(run).pictures["Seconds of each epoch of run by phase"]
    heights = {}
    for rect in picture.iter("rect"):
        bar, part = re.fullmatch(r"(epoch .*), ([\w ]+): .*", rect.find("title").text).groups()
        heights.setdefault(bar, {})[part] = float(rect.get("height"))
    scale = heights["epoch 2, main"]["forward"] / np.mean(
        lines[1]["rank_phase_seconds"]["main"]["forward"]
    )
    for line in lines[1:]:
        for lane, phases in line["rank_phase_seconds"].items():
            shown = heights[f"epoch {line['epoch']}, {lane}"]
            rest = line["seconds"] + 0.125 - sum(np.mean(ranks) for ranks in phases.values())
            other = {"other": [rest]} if lane == "main" else {}
            for name, ranks in (phases | other).items():
                assert shown[name] == pytest.approx(np.mean(ranks) * scale, abs=0.02)
    plotted = svg.HEIGHT - svg.TOP - svg.BOTTOM
    assert sum(heights["epoch 1, main"].values()) == pytest.approx(plotted, abs=0.05)
    cut = [text.text for text in picture.iter("text") if text.get("class") == "cut"]
    assert cut == [f"↑ {say_seconds(lines[0]['seconds'] + 0.125)}"]


def test_many_epochs_are_drawn_in_groups(tmp_path):
    make_run(tmp_path / "run", num_epochs=130)
    picture = page_of(tmp_path / "run").pictures["Seconds of each epoch of run by phase"]
    bars = {rect.find("title").text.split(",")[0] for rect in picture.iter("rect")}
    assert len(bars) == 44
    assert {"epochs 1-3", "epochs 4-6", "epoch 130"} < bars


def test_the_points_of_a_curve_are_the_epochs(run):
    lines = lines_of(run)
    picture = page_of(run).pictures["Loss"]
    points = [
        tuple(map(float, p.split(","))) for p in picture.find(".//polyline").get("points").split()
    ]
    xs, ys = np.transpose(points)
    assert len(points) == len(lines)
    assert np.corrcoef(xs, [line["epoch"] for line in lines])[0, 1] == pytest.approx(1, abs=1e-6)
    assert np.corrcoef(ys, [line["loss"] for line in lines])[0, 1] == pytest.approx(-1, abs=1e-4)


def test_an_epoch_without_a_number_leaves_a_gap(run):
    lines = lines_of(run)
    lines[2]["loss"] = lines[2]["val_accuracy"] = None  # what nan and infinity become
    write_lines(run, lines)
    shown = page_of(run)
    assert shown.tables["Epochs"].column("loss")["3"] == "-"
    assert len(shown.pictures["Loss"].find(".//polyline").get("points").split()) == 4


def test_a_run_that_diverged_at_once_has_a_page(run):
    lines = [line | {"loss": None, "val_accuracy": None} for line in lines_of(run)]
    write_lines(run, lines)
    assert set(page_of(run).tables["Epochs"].column("loss").values()) == {"-"}


def test_collectives_are_means_of_bytes_calls_and_seconds(run):
    lines = lines_of(run)[1:]
    table = page_of(run).tables["Collectives an epoch (means without the first epoch)"]
    for name, calls in COLLECTIVES.items():
        sent = [line["collective_bytes"][name] for line in lines]
        slowest = [line["collective_seconds"][name] for line in lines]
        assert table.rows[name] == [calls, mean(sent), mean(slowest)]
    sent = [cells[1] for head, cells in table.rows.items() if head != "all"]
    assert table.rows["all"][:2] == [sum(COLLECTIVES.values()), pytest.approx(sum(sent))]
    assert sent == sorted(sent, reverse=True)


def test_a_collective_that_some_epochs_lack_counts_as_none_there(run):
    lines = lines_of(run)
    for key in ("collective_bytes", "collective_calls", "collective_seconds"):
        lines[-1][key]["score counts"] = 4
    write_lines(run, lines)
    table = page_of(run).tables["Collectives an epoch (means without the first epoch)"]
    assert table.rows["score counts"] == [1, 1, 1]


def test_ranks_have_their_seconds_bytes_and_shares(tmp_path):
    make_run(tmp_path / "run", num_ranks=3)
    lines = lines_of(tmp_path / "run")
    table = page_of(tmp_path / "run").tables["Ranks of run"]
    ranks = [f"{r} on host{r // 2}" for r in range(3)]
    assert list(table.rows) == [*ranks, "max / mean"]
    busy = np.mean(
        [[line["rank_phase_seconds"]["main"][name] for name in MAIN] for line in lines[1:]], axis=0
    )
    waiting = busy[[MAIN.index("wait"), MAIN.index("allreduce")]].sum(axis=0)
    shown = table.column("waiting (main)")
    assert [shown[rank] for rank in ranks] == pytest.approx(waiting)
    assert shown["max / mean"] == pytest.approx(waiting.max() / waiting.mean())
    shown = table.column("busy (main)")
    assert [shown[rank] for rank in ranks] == pytest.approx(busy.sum(axis=0) - waiting + 0.1)
    for lane, *phases in (("sampler", "sample", "locate"), ("fetcher", "fetch")):
        spent = [[line["rank_phase_seconds"][lane][p] for p in phases] for line in lines[1:]]
        busy = np.sum(np.mean(spent, axis=0), axis=0)
        shown = table.column(f"busy ({lane})")
        assert [shown[rank] for rank in ranks] == pytest.approx(busy)
    sent = np.mean([line["rank_sent_bytes"] for line in lines[1:]], axis=0)
    assert [table.column("sent")[rank] for rank in ranks] == pytest.approx(sent)
    peaks = lines[-1]["peak_memory_bytes"]
    assert [table.column("peak memory")[rank] for rank in ranks] == peaks
    assert table.column("vertices") == dict(zip(ranks, (100, 110, 120), strict=True)) | {
        "max / mean": pytest.approx(120 / 110)
    }


def test_a_resume_on_more_ranks_is_compared_only_where_it_has_as_many(run):
    more = make_lines(9, 3, seed=5)[5:]
    write_lines(run, lines_of(run) + more)
    read = read_run(run, "run")
    assert read.num_ranks == 3
    assert [line["epoch"] for line in read.settled] == [6, 7, 8, 9]
    assert page_of(run).tables["Ranks of run"].rows["2"]


# Timeline


def test_spans_are_drawn_where_they_were(run):
    picture = page_of(run).pictures["Timeline: Epoch 2, run"]
    last = max(span.end_s for span in make_timeline(1).ranks[0].spans)
    scale = (svg.TIMELINE_WIDTH - svg.TIMELINE_LEFT - 12) / last
    drawn = {}
    for rect in picture.iter("rect"):
        begin = (float(rect.get("x")) - svg.TIMELINE_LEFT) / scale
        name = rect.find("title").text.split(",")[0]
        drawn.setdefault(name, []).append((begin, float(rect.get("width")) / scale))
    for name, first, length in (("forward", 0, 0.004), ("gradient", 0.0085, 0.001)):
        expected = [(0.01 * step + first, length) for step in range(8) for _ in range(2)]
        np.testing.assert_allclose(sorted(drawn[name]), expected, atol=0.02 / scale)


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


# Plan, settings, safety


def test_a_plan_stands_beside_what_was_measured(tmp_path):
    terms = [
        {"name": "epoch", "unit": "s", "predicted": 2.0, "measured": 2.5},
        {"name": "halo", "unit": "bytes", "predicted": 1 << 20, "measured": 1 << 20},
        {"name": "rounds", "unit": "rounds", "predicted": 8, "measured": None},
    ]
    make_run(tmp_path / "planned", plan={"why": "the fastest exact mode that fits", "terms": terms})
    make_run(tmp_path / "plain")
    shown = page_of(tmp_path / "planned", tmp_path / "plain")
    assert shown.tables["Plan of planned"].rows == {
        "epoch": [2.0, 2.5, 1.25],
        "halo": [1 << 20, 1 << 20, 1],
        "rounds": [8, "-", "-"],
    }
    assert "the fastest exact mode that fits" in shown.words()
    assert "plan" not in page_of(tmp_path / "plain").sections


def test_settings_that_differ_are_marked(tmp_path):
    make_run(tmp_path / "a", seed=1)
    make_run(tmp_path / "b", seed=2)
    shown = page_of(tmp_path / "a", tmp_path / "b")
    texts = shown.tables["Settings, as resolved (≠: they differ)"].texts
    assert texts["≠ seed"] == ["1", "2"]
    assert texts["fanouts"] == ["10 5", "10 5"]
    assert texts["overlap"] == ["yes", "yes"]
    assert texts["shards"] == ["/data/<shards>"] * 2


def test_the_page_loads_nothing_and_runs_nothing(tmp_path):
    bad = tmp_path / "<script>alert(1)<" / "x\"onload='y'"
    make_run(bad)
    text = page(read_runs([bad]), "batchgnn report '<img src=x>'")
    assert "<script" not in text
    assert "<img" not in text
    assert re.findall(r'(?:src|href)="([^#][^"]*)"', text) == []
    assert "url(" not in text
    assert "@import" not in text
    assert "default-src 'none'" in text
    assert Page(text).sections[0] == "summary"


def test_what_is_no_markup_is_escaped():
    assert (
        tag("td", "<b> & 'x'", title='"') == '<td title="&quot;">&lt;b&gt; &amp; &#x27;x&#x27;</td>'
    )
    assert escape(tag("i", "x")) == "<i>x</i>"


def test_runs_of_the_same_name_are_told_apart(tmp_path):
    for folder in ("x/run", "y/run"):
        make_run(tmp_path / folder)
    read = read_runs([tmp_path / "x/run", tmp_path / "y/run"])
    assert [each.name for each in read] == [str(tmp_path / "x/run"), str(tmp_path / "y/run")]


def test_one_rank_alone_has_no_collectives(tmp_path):
    make_run(tmp_path / "run", num_ranks=1)
    lines = lines_of(tmp_path / "run")
    for line in lines:
        line |= {f"collective_{key}": {} for key in ("bytes", "calls", "seconds")}
    write_lines(tmp_path / "run", lines)
    assert "One rank alone: nothing was sent." in page_of(tmp_path / "run").words()


# Unfinished, old and damaged runs


def test_a_run_under_way_has_a_page_of_what_is_there(tmp_path):
    run = tmp_path / "run"
    make_run(run, num_epochs=3, finished=False)
    config = (run / "config.toml").read_text()
    (run / "config.toml").write_text(config.replace("epochs = 3", "epochs = 30"))
    rows = page_of(run).tables["Summary of the runs"].rows
    assert re.fullmatch(
        r"not finished: 3 of 30 epochs, the last written \d+ seconds ago: still running, or killed",
        rows["State"][0],
    )
    assert rows["Exactness"] == ["known when training ends"]
    job = {"host": socket.gethostname(), "pid": os.getpid()}
    started = psutil.Process().create_time()
    (run / "job.json").write_text(json.dumps(job | {"pid_started": started}))
    assert read_run(run, "run").state == "running: 3 of 30 epochs"
    (run / "job.json").write_text(json.dumps(job | {"pid_started": 0}))
    assert read_run(run, "run").state == (
        "ended too soon, killed or by an error, after 3 of 30 epochs; --resume goes on"
    )
    (run / "stopped.json").write_text('{"requeue": true, "epoch": 3, "step": 0}')
    assert (
        read_run(run, "run").state == "stopped by a signal after 3 of 30 epochs; --resume goes on"
    )


def test_a_result_of_fewer_epochs_is_of_before_the_resume(run):
    write_lines(run, make_lines(9, 2))
    assert read_run(run, "run").state.startswith("not finished: 9 of 5 epochs")


def test_what_a_killed_job_left_of_its_last_line_is_passed_over(run):
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 6, "lo')
    shown = page_of(run)
    assert len(shown.tables["Epochs"].rows) == 5
    assert "Line 6 of metrics.jsonl is cut off and was left out." in shown.words()


def test_a_run_of_an_older_version_says_what_it_lacks(run):
    lines = lines_of(run)
    for line in lines:
        del line["rank_phase_seconds"], line["rank_sent_bytes"]
    write_lines(run, lines)
    (run / "timeline.json").unlink()
    config = (run / "config.toml").read_text()
    (run / "config.toml").write_text(config.replace("timeline-epoch = 2\n", ""))
    shown = page_of(run)
    assert {"balance", "timeline"}.isdisjoint(shown.sections)
    assert {"learning", "time", "communication"} <= set(shown.sections)
    assert "seconds are those of the slowest rank" in shown.words()
    assert "An older version wrote this run: it has no timeline." in shown.words()
    table = shown.tables["Seconds an epoch by phase (means without the first epoch)"]
    slowest = [line["phase_seconds"]["sample"] for line in lines[1:]]
    assert table.rows["sample (background)"][0] == mean(slowest)


@pytest.mark.parametrize(
    ("spoil", "meant"),
    [
        (lambda run: run.rename(run.with_name("gone")), "is no folder: needed a run folder"),
        (lambda run: (run / "config.toml").unlink(), "has no config.toml: needed a run folder"),
        (lambda run: (run / "config.toml").write_text("a = "), r"config\.toml is damaged"),
        (lambda run: (run / "metrics.jsonl").unlink(), r"no finished epoch yet .*missing"),
        (lambda run: (run / "metrics.jsonl").write_text(""), r"no finished epoch yet .*empty"),
        (lambda run: (run / "metrics.jsonl").write_text('{"epo'), "line 1 is no epoch"),
        (lambda run: (run / "metrics.jsonl").write_text("[]\n{}\n"), "line 1 is no epoch"),
        (lambda run: (run / "result.json").write_text("{"), r"result\.json is damaged"),
        (lambda run: (run / "timeline.json").write_text("{}"), r"timeline\.json is no timeline"),
        (lambda run: (run / "timeline.json").write_bytes(b"\xff"), r"timeline\.json is no timel"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named_and_nothing_is_written(run, spoil, meant):
    out = run.parent / "out.html"
    spoil(run)
    with pytest.raises(StoreError, match=meant):
        report(run, out=out)
    assert not out.exists()


def test_a_timeline_of_a_newer_version_is_refused(run):
    text = (run / "timeline.json").read_text()
    (run / "timeline.json").write_text(text.replace('"format_version":1', '"format_version":2'))
    with pytest.raises(StoreError, match="format version 2, this batchgnn reads up to 1"):
        read_run(run, "run")


# The command


def test_the_page_of_one_run_goes_into_it_and_of_several_into_the_present_folder(
    run, tmp_path, monkeypatch, capsys
):
    make_run(tmp_path / "other")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    report(run)
    assert Page((run / "report.html").read_text()).sections[0] == "summary"
    report(run, tmp_path / "other")
    assert "Ranks of other" in (tmp_path / "here" / "report.html").read_text()
    said = capsys.readouterr().out
    assert f"{run / 'timeline.json'}: its timeline, for ui.perfetto.dev" in said


def test_a_page_is_not_written_over_unless_asked(run, tmp_path):
    out = tmp_path / "page.html"
    out.write_text("mine")
    with pytest.raises(ConfigError, match=r"Add --overwrite, or choose another --out"):
        report(run, out=out)
    assert out.read_text() == "mine"
    report(run, out=out, overwrite=True)
    assert out.read_text().startswith("<!DOCTYPE html>")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html", "run"]


def test_reading_runs_needs_neither_mpi_nor_the_jit():
    program = (
        "import sys, batchgnn.report.command\n"
        "print(sorted({'mpi4py', 'numba', 'scipy', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


def test_a_thread_with_collectives_alone_has_one_row(run):
    whole = make_timeline(1)
    spans = [span._replace(lane="sampler") for span in whole.ranks[0].spans]
    calls = [span for span in spans if span.kind == "collectives"]
    only = [replace(whole.ranks[0], spans=[*whole.ranks[0].spans[:1], *calls])]
    (run / "timeline.json").write_text(chrome_trace(replace(whole, ranks=only)))
    picture = page_of(run).pictures["Timeline: Epoch 2, run"]
    names = [text.text for text in picture.iter("text") if (text.text or "").startswith("rank")]
    assert names == ["rank 0 main", "rank 0 sampler"]


def test_too_many_runs_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"9 runs are too many .* leave out 1"):
        report(*[tmp_path / str(n) for n in range(9)])
