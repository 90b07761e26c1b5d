"""The report's section of events: mrr by parts of the stream, as result.json has it."""

from runs import make_run, page_of

ALONG = {"val": [0.25, 0.5], "test": [0.75, 0.625, 0.5]}


def test_the_mrr_of_each_part_of_the_stream_is_shown(tmp_path):
    about = {"ways": [2, 1, 1], "updates_lost": 0.727, "events_per_second": 1234.5}
    make_run(tmp_path / "run", mrr_along=ALONG, **about)
    page = page_of(tmp_path / "run")
    rows = page.tables["mrr by part"].rows
    assert [cells[0] for cells in rows.values()] == [0.25, 0.5, 0.75, 0.625, 0.5]
    assert list(rows)[2] == "test 1 of 3"
    assert "mrr along the stream" in page.pictures
    words = page.words()
    for said in ("Slices, slots, copies", "2, 1, 1", "Updates that batches lose", "1,234.5"):
        assert said in words


def test_a_run_without_events_has_no_such_section(run):
    page = page_of(run)
    assert "stream" not in page.sections
    assert "Events a second" not in page.words()
