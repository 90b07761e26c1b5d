"""Counters of collectives and phases."""

import os
import subprocess
import sys
import threading
import time

import pytest

from batchgnn.watch import trace

WORLD = "world"


@pytest.fixture(autouse=True)
def _fresh():
    trace.reset()
    yield
    trace.reset()


def test_calls_and_bytes_add_up_by_name():
    for sent in (10, 20):
        with trace.collective("rows", WORLD, sent):
            pass
    with trace.collective("ids", WORLD, 1):
        pass
    counted = trace.snapshot()["main"]["collectives"]
    assert (counted["rows"]["calls"], counted["rows"]["bytes"]) == (2, 30)
    assert counted["ids"]["bytes"] == 1


def test_each_lane_counts_by_itself():
    def work():
        trace.use_lane("background")
        with trace.phase("fetch"):
            pass

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    counted = trace.snapshot()
    assert list(counted) == ["background"]
    assert counted["background"]["phases"]["fetch"]["calls"] == 1


def test_a_failed_collective_is_counted_and_left():
    with pytest.raises(OSError, match="gone"), trace.collective("rows", WORLD, 5):
        raise OSError("gone")
    assert trace.snapshot()["main"]["collectives"]["rows"]["calls"] == 1
    assert not trace.last_calls()["main"].under_way


def test_the_call_under_way_has_name_number_and_mark():
    with trace.collective("first", WORLD):
        number = trace.last_calls()["main"].number
    trace.mark("epoch 3 step 17")
    try:
        with trace.collective("rows", WORLD, detail="shard 2"):
            call = trace.last_calls()["main"]
    finally:
        trace.mark("")
    assert call.under_way
    assert (call.name, call.mark, call.number) == (
        "rows (shard 2)", "epoch 3 step 17", number + 1,
    )  # fmt: skip


def test_collectives_are_numbered_by_communicator_and_last_calls_are_by_lane_too():
    before = trace.last_calls_on()
    numbers = []
    for comm in ("evens", "odds", "evens"):
        with trace.collective("rows", comm):
            numbers.append(trace.last_calls_on()[comm].number)
    assert not {"evens", "odds"} & set(before)
    assert numbers == [1, 1, 2]
    last = trace.last_calls_on()
    assert (last["evens"].number, last["odds"].number) == (2, 1)
    assert not last["evens"].under_way
    assert trace.last_calls()["main"] == last["evens"]


def test_each_collective_is_printed_when_asked(monkeypatch, capsys):
    monkeypatch.setenv("BATCHGNN_TRACE", "1")
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "3")
    with trace.collective("rows", WORLD, 1234):
        pass
    assert "rank 3 main: rows 1234 bytes 0.0" in capsys.readouterr().err


def test_ranks_are_merged_to_the_slowest_and_the_sum():
    def rank(seconds, sent):
        calls = {"rows": {"calls": 2, "bytes": sent, "seconds": seconds}}
        phases = {"fetch": {"calls": 1, "seconds": seconds, "own_seconds": seconds / 2}}
        return {"background": {"phases": phases, "collectives": calls}}, 1000

    line = trace.merge([rank(1.0, 10), rank(3.0, 20)])
    assert line == {
        "phase_seconds": {"fetch": 3.0},
        "collective_seconds": {"rows": 3.0},
        "collective_bytes": {"rows": 30},
        "collective_calls": {"rows": 2},
        "peak_memory_bytes": [1000, 1000],
        "rank_sent_bytes": [10, 20],
        "rank_phase_seconds": {"background": {"fetch": [0.5, 1.5]}},
    }


def test_a_rank_that_was_never_in_a_phase_has_zero_seconds_of_it():
    phases = {"wait": {"calls": 1, "seconds": 2.0, "own_seconds": 2.0}}
    busy = {"main": {"phases": phases, "collectives": {}}}
    line = trace.merge([({}, 1), (busy, 1)])
    assert line["rank_phase_seconds"] == {"main": {"wait": [0.0, 2.0]}}
    assert line["rank_sent_bytes"] == [0, 0]


def test_spans_are_those_that_were_counted_and_only_while_recording():
    with trace.phase("before"):
        pass
    trace.record(10)
    with trace.phase("fetch"), trace.collective("rows", WORLD, 7):
        pass
    spans, num_dropped = trace.recorded()
    with trace.phase("after"):
        pass
    rows, fetch = spans
    assert rows[:3] == ("main", "collectives", "rows")
    assert fetch[:3] == ("main", "phases", "fetch")
    assert (rows.sent_bytes, fetch.sent_bytes, num_dropped) == (7, 0, 0)
    assert fetch.begin_s <= rows.begin_s <= rows.end_s <= fetch.end_s
    counted = trace.snapshot()["main"]["phases"]["fetch"]["seconds"]
    assert fetch.end_s - fetch.begin_s == counted
    assert trace.recorded() == ([], 0)


def test_own_seconds_leave_out_the_phases_inside():
    with trace.phase("outer"):
        for _ in range(2):
            with trace.phase("inner"):
                time.sleep(0.002)
    with trace.phase("later"):
        pass
    counted = trace.snapshot()["main"]["phases"]
    inner = counted["inner"]
    assert inner["own_seconds"] == inner["seconds"] >= 0.004
    outer = counted["outer"]
    assert outer["own_seconds"] == pytest.approx(outer["seconds"] - inner["seconds"], abs=1e-9)
    assert counted["later"]["own_seconds"] == counted["later"]["seconds"]


def test_a_recording_holds_so_many_spans_and_counts_the_others():
    trace.record(2)
    for name in "abcde":
        with trace.phase(name):
            pass
    spans, num_dropped = trace.recorded()
    assert [span.name for span in spans] == ["a", "b"]
    assert num_dropped == 3


def test_peak_memory_is_that_of_the_program_and_not_of_what_started_it():
    """A child of a process that holds 256 MiB; `ru_maxrss` would have them."""
    held = bytearray(os.urandom(1 << 20)) * 256
    program = "from batchgnn.watch import trace; print(trace.peak_memory_bytes())"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert len(held) == 256 << 20
    assert 1 << 20 < int(said.stdout) < 128 << 20 < trace.peak_memory_bytes()


def test_seconds_computed_leave_out_what_was_waited():
    trace.computed_s()
    with trace.phase("forward"):
        time.sleep(0.05)
        with trace.phase("wait"):
            time.sleep(0.2)
    with trace.collective("rows", WORLD):
        time.sleep(0.2)
    assert 0.05 <= trace.computed_s() < 0.15
    assert trace.computed_s() < 0.05


def test_the_last_collective_of_a_killed_process_is_kept(tmp_path):
    program = (
        "import os, sys, pathlib\nfrom batchgnn.watch import trace\n"
        "trace.keep_last_call(pathlib.Path(sys.argv[1]))\n"
        "trace.mark('after epoch 3 step 17')\n"
        "with trace.collective('ids', 'world'):\n    pass\n"
        "with trace.collective('rows', 'world', detail='x' * 500):\n    os.kill(os.getpid(), 9)\n"
    )
    path = tmp_path / "0"
    done = subprocess.run([sys.executable, "-c", program, path])
    assert done.returncode == -9
    kept = path.read_bytes()
    assert len(kept) == trace.KEPT_BYTES
    assert kept.startswith(b"after epoch 3 step 17, at collective 2, rows (xxx")
