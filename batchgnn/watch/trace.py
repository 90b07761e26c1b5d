"""What communication and computation cost: calls, bytes and seconds, by name.

Counters are kept per *lane*: the main thread, and those that sample, fetch or move rows
beside it. `BATCHGNN_TRACE=1` also prints each collective as it ends. A watchdog reads from here
which collective runs on a communicator. When asked to `record`, each phase and collective is also
kept as a span, for a timeline.
"""

import mmap
import os
import resource
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from batchgnn.base.environment import rank_from_environment

KEPT_BYTES = 256


@dataclass(frozen=True)
class Call:
    """A collective that a lane is in, or was in last.

    comm    name of the communicator it runs on
    number  counts the collectives of the communicator: the same is the same call on all its ranks
    """

    lane: str
    comm: str
    name: str
    number: int
    mark: str
    entered_s: float
    under_way: bool = True


class Span(NamedTuple):
    """A phase or collective that has ended; seconds of `time.perf_counter`.

    kind: "phases" or "collectives"; sent_bytes: to other ranks, by a collective
    about: numbers that tell it from others of its name
    """

    lane: str
    kind: str
    name: str
    begin_s: float
    end_s: float
    sent_bytes: int = 0
    about: dict[str, int] | None = None


class _Local(threading.local):
    lane = "main"
    inner_s = 0.0  # seconds of the phases that ended inside the present one
    waited_s = 0.0  # in collectives and in phases "wait", since `computed_s` was last asked
    asked_s = 0.0  # when that was


_local = _Local()
_lock = threading.Lock()
_counters: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
_last_of_lane: dict[str, Call] = {}
_last_on_comm: dict[str, Call] = {}
_mark = ""
_kept: mmap.mmap | None = None
_spans: list[Span] | None = None
_most_spans = 0
_num_spans = 0


def use_lane(name: str) -> None:
    """Name the lane of the calling thread."""
    _local.lane = name


def mark(text: str) -> None:
    """Say where the program is, such as "epoch 3 step 17"; shown beside collectives."""
    global _mark
    _mark = text


def where() -> str:
    """What `mark` said last, and the last collective of the main lane; parted by commas."""
    call = last_calls().get("main")
    said = f"at collective {call.number}, {call.name}" if call else ""
    return ", ".join(filter(None, [_mark, said]))


def computed_s() -> float:
    """Seconds that the calling thread did not wait for others, since it asked this last."""
    now = time.perf_counter()
    seconds = now - _local.asked_s - _local.waited_s
    _local.asked_s, _local.waited_s = now, 0.0
    return max(seconds, 0.0)


def keep_last_call(path: Path) -> None:
    """From now on a new file has `where()` as of the last collective, however this process ends.

    The file is mapped: writing it costs a copy of KEPT_BYTES in memory.
    """
    global _kept
    with path.open("xb+") as file:
        file.truncate(KEPT_BYTES)
        _kept = mmap.mmap(file.fileno(), KEPT_BYTES)


@contextmanager
def phase(name: str, **about: int) -> Iterator[None]:
    """Count the seconds of the block under `name`; about: what its span tells besides."""
    outer, _local.inner_s = _local.inner_s, 0.0
    begin = time.perf_counter()
    try:
        yield
    finally:
        end = time.perf_counter()
        seconds = end - begin
        own, _local.inner_s = seconds - _local.inner_s, outer + seconds
        if name == "wait":
            _local.waited_s += seconds
        _count("phases", name, calls=1, seconds=seconds, own_seconds=own)
        if _spans is not None:
            _keep(Span(_local.lane, "phases", name, begin, end, 0, about or None))


@contextmanager
def collective(name: str, comm: str, sent_bytes: int = 0, detail: str = "") -> Iterator[None]:
    """Count one collective call that sends `sent_bytes` from this rank to others.

    comm: name of the communicator, whose ranks all make its calls in one order: the watchdog
        compares their numbers
    """
    lane = _local.lane
    said = f"{name} ({detail})" if detail else name
    with _lock:
        number = _last_on_comm[comm].number + 1 if comm in _last_on_comm else 1
        call = Call(lane, comm, said, number, _mark, time.monotonic())
        _last_of_lane[lane] = _last_on_comm[comm] = call
    if _kept is not None and lane == "main":
        _kept[:] = where().encode()[:KEPT_BYTES].ljust(KEPT_BYTES)
    begin = time.perf_counter()
    try:
        yield
    finally:
        end = time.perf_counter()
        seconds = end - begin
        _local.waited_s += seconds
        with _lock:
            ended = replace(call, under_way=False)
            for last, key in ((_last_of_lane, lane), (_last_on_comm, comm)):
                if last[key] is call:
                    last[key] = ended
        _count("collectives", name, calls=1, bytes=int(sent_bytes), seconds=seconds)
        if _spans is not None:
            _keep(Span(lane, "collectives", name, begin, end, int(sent_bytes)))
        if os.environ.get("BATCHGNN_TRACE") == "1":
            line = f"{lane}: {said} {sent_bytes} bytes {seconds:.6f} s {_mark}".rstrip()
            sys.stderr.write(f"rank {rank_from_environment()} {line}\n")


def _count(kind: str, name: str, **amounts: float) -> None:
    with _lock:
        lane = _counters.setdefault(_local.lane, {"phases": {}, "collectives": {}})
        entry = lane[kind].setdefault(name, dict.fromkeys(amounts, 0))
        for key, amount in amounts.items():
            entry[key] += amount


def record(most_spans: int) -> None:
    """From now on keep every span that ends, the first `most_spans` of them."""
    global _spans, _most_spans, _num_spans
    with _lock:
        _spans, _most_spans, _num_spans = [], most_spans, 0


def recorded() -> tuple[list[Span], int]:
    """The spans kept since `record`, and how many more there were; ends the recording."""
    global _spans, _num_spans
    with _lock:
        spans, _spans = _spans or [], None
        num_more, _num_spans = _num_spans - len(spans), 0
        return spans, num_more


def _keep(span: Span) -> None:
    global _num_spans
    with _lock:
        if _spans is not None:
            _num_spans += 1
            if len(_spans) < _most_spans:
                _spans.append(span)


def last_calls() -> dict[str, Call]:
    """The last collective that each lane entered, whether or not it has ended."""
    with _lock:
        return dict(_last_of_lane)


def last_calls_on() -> dict[str, Call]:
    """The last collective that was entered on each communicator, by its name."""
    with _lock:
        return dict(_last_on_comm)


def snapshot() -> dict[str, Any]:
    """Counts of this rank since the last reset, by lane, by "phases" or "collectives", by name.

    A phase has `calls`, `seconds` and `own_seconds`, those outside the phases within it; a
    collective has `calls`, `seconds` and `bytes`, those sent to other ranks.
    """
    with _lock:
        return {
            lane: {kind: {n: dict(a) for n, a in names.items()} for kind, names in kinds.items()}
            for lane, kinds in _counters.items()
        }


def reset() -> None:
    """Start counting anew."""
    with _lock:
        _counters.clear()


def peak_memory_bytes() -> int:
    """Largest resident memory of this program so far: its own, and mapped pages of files.

    Where the system says it, of this program alone: `ru_maxrss` begins with what was resident in
    the process that started it.
    """
    with suppress(OSError), open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def counts() -> tuple[dict[str, Any], int]:
    """What `merge` takes of this rank: its snapshot and its peak memory."""
    return snapshot(), peak_memory_bytes()


def sent() -> tuple[int, int]:
    """Bytes that this rank sent since the last reset, and the collectives that it was in."""
    each = list(_over_lanes(snapshot(), "collectives").values())
    return sum(int(a["bytes"]) for a in each), sum(int(a["calls"]) for a in each)


def merge(ranks: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """The `counts` of all ranks as a line of metrics has them.

    `phase_seconds` and `collective_seconds` are those of the slowest rank, `collective_bytes` sums
    over ranks, `collective_calls` is that of one rank. Lists over ranks are `peak_memory_bytes`,
    `rank_sent_bytes` (by all collectives) and `rank_phase_seconds`: own seconds, which add up, by
    lane, by phase.
    """
    seconds: dict[str, dict[str, float]] = {"phases": {}, "collectives": {}}
    sent: dict[str, int] = {}
    calls: dict[str, int] = {}
    for counts, _ in ranks:
        for kind, slowest in seconds.items():
            for name, amounts in _over_lanes(counts, kind).items():
                slowest[name] = max(slowest.get(name, 0.0), round(amounts["seconds"], 6))
                if kind == "collectives":
                    sent[name] = sent.get(name, 0) + int(amounts["bytes"])
                    calls[name] = max(calls.get(name, 0), int(amounts["calls"]))
    return {
        "phase_seconds": seconds["phases"],
        "collective_seconds": seconds["collectives"],
        "collective_bytes": sent,
        "collective_calls": calls,
        "peak_memory_bytes": [peak for _, peak in ranks],
        "rank_sent_bytes": [_sent_bytes(counts) for counts, _ in ranks],
        "rank_phase_seconds": _by_rank([counts for counts, _ in ranks]),
    }


def _sent_bytes(counts: dict[str, Any]) -> int:
    return sum(int(each["bytes"]) for each in _over_lanes(counts, "collectives").values())


def _by_rank(ranks: list[dict[str, Any]]) -> dict[str, dict[str, list[float]]]:
    """Own seconds of every rank in a phase, by lane, by phase; 0 where it was never in it."""
    seconds: dict[str, dict[str, list[float]]] = {}
    for rank, counts in enumerate(ranks):
        for lane, kinds in counts.items():
            for name, amounts in kinds["phases"].items():
                each = seconds.setdefault(lane, {}).setdefault(name, [0.0] * len(ranks))
                each[rank] = round(amounts["own_seconds"], 6)
    return seconds


def _over_lanes(counts: dict[str, Any], kind: str) -> dict[str, dict[str, float]]:
    total: dict[str, dict[str, float]] = {}
    for kinds in counts.values():
        for name, amounts in kinds[kind].items():
            entry = total.setdefault(name, dict.fromkeys(amounts, 0))
            for key, amount in amounts.items():
                entry[key] += amount
    return total
