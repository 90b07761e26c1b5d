"""The report's stages: slots of the timeline, beside what all epochs had."""

from runs import make_run, page_of, write_lines

from batchgnn.watch.timeline import RankSpans, Timeline, chrome_trace
from batchgnn.watch.trace import Span


def test_slots_of_stages_are_shown_where_there_are_some(run, tmp_path):
    """With the guard's readings, and how old rows were."""
    path = tmp_path / "staged"
    slots = {"chunks": 3, "each_way": 4, "bubble": 0.25, "imbalance": 0.0625}
    slots |= {"idle": [0.3, 0.375]}
    stale = {"epochs": 23, "share_of_edges": 0.125}
    lines = make_run(path, stages=[3, 2], slots=slots, staleness=stale)
    lines[3] |= {"guard_loss_gap": 0.125, "guard_disagreement": 0.5}
    write_lines(path, lines)
    ranks = []
    for name in ("chunk forward", "chunk backward"):
        spans = [Span("main", "phases", name, n, n + 0.5, 0, {"slot": n}) for n in range(3)]
        ranks.append(RankSpans("host", spans))
    (path / "timeline.json").write_text(chrome_trace(Timeline(2, 0, ranks)))
    shown = page_of(path)
    rows = shown.tables["Stages of staged"].rows
    assert rows["rank 0"] == [0, 3, 3, 1.5, 0.5, 0, 0, 0, 0.3]
    assert rows["rank 1"] == [1, 2, 0, 0, 0, 3, 1.5, 0.5, 0.375]
    assert rows["bubble"][-1] == 0.25
    assert rows["bubble of unequal slots"][-1] == 0.3125
    assert shown.tables["Guard of staged"].rows == {"epoch 4": [0.125, 0.5]}
    assert "nothing to do in 25.0% of them (the bubble)" in shown.words()
    assert "make that 31.2%; measured were 33.8%" in shown.words()
    assert "12.5% of the edges read a row that is up to 23 epochs old" in shown.words()
    assert len(shown.pictures["Slots of epoch 2, staged"].findall(".//rect")) == 6
    assert "stages" not in page_of(run).sections
