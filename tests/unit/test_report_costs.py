"""The report's seconds, bytes and ranks are those of the lines; its bars have their sizes."""

import re

import numpy as np
import pytest
from runs import (
    BESIDE,
    COLLECTIVES,
    MAIN,
    lines_of,
    make_lines,
    make_run,
    mean,
    page_of,
    write_lines,
)

from batchgnn.report import svg
from batchgnn.report.html import say_seconds
from batchgnn.report.run import read_run


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
    assert sum(heights["epoch 1, main"].values()) == pytest.approx(svg.HEIGHT, abs=0.05)
    cut = [text.text for text in picture.iter("text") if text.get("class") == "cut"]
    assert cut == [f"↑ {say_seconds(lines[0]['seconds'] + 0.125)}"]


def test_many_epochs_are_drawn_in_groups(tmp_path):
    make_run(tmp_path / "run", num_epochs=130)
    picture = page_of(tmp_path / "run").pictures["Seconds of each epoch of run by phase"]
    bars = {rect.find("title").text.split(",")[0] for rect in picture.iter("rect")}
    assert len(bars) == 44
    assert {"epochs 1-3", "epochs 4-6", "epoch 130"} < bars


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


def test_one_rank_alone_has_no_collectives(tmp_path):
    make_run(tmp_path / "run", num_ranks=1)
    lines = lines_of(tmp_path / "run")
    for line in lines:
        line |= {f"collective_{key}": {} for key in ("bytes", "calls", "seconds")}
    write_lines(tmp_path / "run", lines)
    assert "One rank alone: nothing was sent." in page_of(tmp_path / "run").words()


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
