"""The report's summary, plan and settings; its page is safe; the command writes where it should."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import tomli_w
from runs import BEGAN_S, COLLECTIVES, Page, lines_of, make_run, mean, page_of, write_lines

from batchgnn.base.errors import ConfigError
from batchgnn.report.command import report
from batchgnn.report.html import escape, say_date, tag
from batchgnn.report.page import page
from batchgnn.report.run import read_runs

ROOT = Path(__file__).parents[2]


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
    assert rows["Training began"] == [say_date(BEGAN_S)]
    assert rows["Last epoch ended"] == [say_date(BEGAN_S + 50 + 4 * 60)]


def test_a_run_of_an_older_version_has_no_dates_and_no_graph(run):
    result = json.loads((run / "result.json").read_text())
    for name in ("graph", "class_counts"):
        del result[name]
    (run / "result.json").write_text(json.dumps(result))
    lines = [{k: v for k, v in line.items() if k != "time"} for line in lines_of(run)]
    write_lines(run, lines)
    shown = page_of(run)
    assert "graph" not in shown.sections
    assert "Training began" not in shown.tables["Summary of the runs"].rows


def test_the_loss_has_a_ring_at_the_best_epoch(run):
    loss = page_of(run).pictures["Loss"]
    circles = list(loss.iter("circle"))
    (ring,) = [each for each in circles if each.get("class") == "ring"]
    dots = [each for each in circles if each.get("class") != "ring"]
    assert ring.get("cx") == dots[3].get("cx")


def test_a_run_of_one_epoch_is_its_own_mean(tmp_path):
    (line,) = make_run(tmp_path / "run", num_epochs=1)
    rows = page_of(tmp_path / "run").tables["Summary of the runs"].rows
    assert rows["Seconds an epoch"] == [line["seconds"]]


def test_stages_and_the_guard_are_told_where_there_are_some(run, tmp_path):
    guard = {"epoch": 40, "loss_gap": 0.123, "disagreement": 0.3, "every": 20, "exact_from": 40}
    make_run(tmp_path / "staged", stages=[3, 2], guard=guard)
    rows = page_of(tmp_path / "staged").tables["Summary of the runs"].rows
    assert rows["Layers of each stage"] == ["3, 2"]
    (said,) = rows["Rows beside exact ones"]
    assert said == (
        "epoch 40: loss gap 0.123, 30.0% of the predictions differ; exact from there on"
    )
    assert "Rows beside exact ones" not in page_of(run).tables["Summary of the runs"].rows


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


def test_settings_in_tables_are_read_as_flat_ones(run, tmp_path):
    shown = page_of(run)
    config = tomllib.loads((run / "config.toml").read_text())
    model = {name: config.pop(name) for name in ("layers", "hidden")}
    epochs = {name: config.pop(name) for name in ("epochs", "timeline-epoch")}
    (run / "config.toml").write_text(tomli_w.dumps(config | {"stack": model, "run": epochs}))
    tables = page_of(run).tables
    for name in ("Settings, as resolved", "Summary of the runs"):
        assert tables[name].texts == shown.tables[name].texts
    assert tables["Settings, as resolved"].texts["hidden"] == ["64"]


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


def test_too_many_runs_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"9 runs are too many .* leave out 1"):
        report(*[tmp_path / str(n) for n in range(9)])
