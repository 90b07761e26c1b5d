"""The report's curves and epochs are those of the lines; the best is by the score's direction."""

import json

import numpy as np
import pytest
from runs import lines_of, make_run, page_of, write_lines


def test_the_epochs_are_those_of_the_metrics(tmp_path):
    lines = make_run(tmp_path / "a", num_epochs=4)
    other = make_run(tmp_path / "b", num_epochs=6, seed=1, eval_every=3)
    table = page_of(tmp_path / "a", tmp_path / "b").tables["Epochs"]
    assert list(table.rows) == ["1", "2", "3", "4", "5", "6"]
    for n, held in enumerate((lines, other)):
        for head, key in (
            ("loss", "loss"),
            ("validation accuracy", "val_accuracy"),
            ("test accuracy", "test_accuracy"),
            ("seconds", "seconds"),
        ):
            shown = table.column(head, skip=n)
            expected = {str(line["epoch"]): line.get(key, "-") for line in held}
            assert shown == dict.fromkeys(table.rows, "-") | expected


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


REGRESSION = ("rmse", "mae", "r2")


def write_scores(path, name, values):
    """Make these the validation scores of the epochs; the run is under way."""
    lines = lines_of(path)
    for line, value in zip(lines, values, strict=True):
        line[f"val_{name}"] = value
    write_lines(path, lines)
    (path / "result.json").unlink(missing_ok=True)


def starred(table, name):
    """Row heads of the cells with a star."""
    place = table.head.index(name) - 1
    return [head for head, texts in table.texts.items() if texts[place].endswith("★")]


@pytest.mark.parametrize(("name", "best"), [("rmse", "3"), ("mae", "3"), ("accuracy", "2")])
def test_the_best_epoch_of_a_run_under_way_is_by_the_scores_direction(tmp_path, name, best):
    make_run(tmp_path / "run", scores=(name,))
    write_scores(tmp_path / "run", name, [3.5, 4.0, 1.5, None, 1.5])
    shown = page_of(tmp_path / "run")
    assert starred(shown.tables["Epochs"], f"validation {name}") == [best]
    rows = shown.tables["Summary of the runs"].rows
    assert rows["Best epoch"] == [float(best)]
    assert rows["Validation score"] == [1.5 if best == "3" else 4.0]
    direction = "lower" if best == "3" else "higher"
    assert rows["Score"] == [f"{name} ({direction} is better)"]


def test_the_result_says_the_direction_of_a_score_without_a_known_one(tmp_path):
    for higher, expected in ((True, ["2 ★", "1"]), (False, ["2", "1 ★"])):
        runs = [tmp_path / f"{higher}-{value}" for value in (2, 1)]
        for path, value in zip(runs, (2, 1), strict=True):
            make_run(path, scores=("gap",), val_gap=value, higher_is_better=higher)
        table = page_of(*runs).tables["Summary of the runs"]
        assert table.texts["Validation score"] == expected


def test_a_result_without_a_direction_is_of_a_score_that_rises(tmp_path):
    for name, value in (("a", 0.7), ("b", 0.9)):
        make_run(tmp_path / name, val_accuracy=value)
        result = json.loads((tmp_path / name / "result.json").read_text())
        del result["higher_is_better"]
        (tmp_path / name / "result.json").write_text(json.dumps(result))
    table = page_of(tmp_path / "a", tmp_path / "b").tables["Summary of the runs"]
    assert table.texts["Validation score"] == ["0.7000", "0.9000 ★"]


def test_runs_are_compared_only_with_those_of_the_same_score(tmp_path):
    for name, score, value in (("a", "rmse", 0.7), ("b", "rmse", 0.4), ("c", "accuracy", 0.1)):
        make_run(tmp_path / name, scores=(score,), **{f"val_{score}": value})
    table = page_of(*(tmp_path / name for name in "abc")).tables["Summary of the runs"]
    assert table.texts["Validation score"] == ["0.7000", "0.4000 ★", "0.1000"]


def test_each_score_has_a_curve_and_only_the_one_that_chooses_a_ring(tmp_path):
    make_run(tmp_path / "run", scores=REGRESSION)
    write_scores(tmp_path / "run", "rmse", [3.5, 4.0, 1.5, 1.75, 1.625])
    shown = page_of(tmp_path / "run")
    for name in REGRESSION:
        picture = shown.pictures[f"Scores: {name}"]
        assert len(picture.findall(".//polyline")) == 2
        labels = [text.text for text in picture.iter("text") if text.get("class") == "label"]
        assert labels == ["epoch", name]
        rings = [(e.get("cx"), e.get("cy")) for e in picture.iter("circle") if is_ring(e)]
        points = [e.get("cx") for e in picture.iter("circle") if not is_ring(e)]
        assert [x for x, _ in rings] == ([points[2]] if name == "rmse" else [])
    assert f"Validation {REGRESSION[0]} by seconds" in shown.pictures
    assert f"Validation {REGRESSION[1]} by seconds" not in shown.pictures
    words = shown.words()
    assert "A ring is the best epoch by validation (lower is better)." in words
    assert "accuracy" not in words


def is_ring(circle):
    return circle.get("class") == "ring"


def test_the_other_scores_are_those_of_the_best_epoch(tmp_path):
    lines = make_run(tmp_path / "run", scores=REGRESSION)
    rows = page_of(tmp_path / "run").tables["Summary of the runs"].rows
    assert rows["Validation score"] == [0.8125]
    for name in REGRESSION[1:]:
        assert rows[f"Validation {name}"] == [lines[3][f"val_{name}"]]
        assert rows[f"Test {name}"] == [lines[3][f"test_{name}"]]


@pytest.mark.parametrize("values", [(2e-7, 1e-7), (4e8, 3e8), (1e6, 1e6 + 1)])
def test_numbers_of_any_size_have_their_place_beside_the_axis(tmp_path, values):
    make_run(tmp_path / "run", num_epochs=2, scores=("rmse",))
    write_scores(tmp_path / "run", "rmse", values)
    shown = page_of(tmp_path / "run")
    picture = shown.pictures["Validation rmse by seconds"]
    said = [text.text for text in picture.iter("text") if text.get("text-anchor") == "end"]
    assert len(set(said)) == len(said) > 1
    assert max(map(len, said)) <= 9
    assert "0.0000" not in shown.tables["Epochs"].texts["1"][1]


def test_a_run_without_any_evaluation_has_a_page(tmp_path):
    make_run(tmp_path / "run", finished=False, eval_every=9)
    shown = page_of(tmp_path / "run")
    assert "Best epoch" not in shown.tables["Summary of the runs"].rows
    assert [name for name in shown.pictures if name.startswith("Scores")] == []
