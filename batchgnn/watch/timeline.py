"""The timeline of one epoch: what every thread of every rank did when, in `timeline.json`.

The file is a Chrome trace: Perfetto (ui.perfetto.dev, a page that keeps files on the user's
machine) and chrome://tracing open it as it is. `batchgnn report` draws it.
Source: "Trace Event Format", the JSON object format with complete events.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batchgnn.base.errors import StoreError
from batchgnn.base.parse import parse_json
from batchgnn.watch.trace import Span

FORMAT = "batchgnn-timeline"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class RankSpans:
    """The spans of one rank, in seconds since all ranks began the epoch together.

    num_more: how many spans there were after those that are kept
    """

    host: str
    spans: list[Span]
    num_more: int = 0

    @property
    def lanes(self) -> list[str]:
        """Threads of the rank, the main one first."""
        names = {span.lane for span in self.spans}
        return sorted(names, key=lambda name: (name != "main", name))


@dataclass(frozen=True)
class Timeline:
    """The epoch, the step it began with (a resume begins in the middle), and all ranks."""

    epoch: int
    first_step: int
    ranks: list[RankSpans]


def chrome_trace(timeline: Timeline) -> str:
    """The timeline as JSON: a process is a rank, a thread a lane, an event a span."""
    events: list[dict[str, Any]] = []
    num_threads = 0
    for rank, each in enumerate(timeline.ranks):
        process = rank + 1  # Perfetto keeps process 0 and thread 0 for idling
        events += [
            _name("process_name", process, 0, f"rank {rank} on {each.host}"),
            {**_name("process_sort_index", process, 0, ""), "args": {"sort_index": rank}},
        ]
        thread_of = {}
        for lane in each.lanes:
            num_threads += 1
            thread_of[lane] = num_threads
            events.append(_name("thread_name", process, num_threads, lane))
        events += [_event(process, thread_of[span.lane], span) for span in each.spans]
    about = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "epoch": timeline.epoch,
        "first_step": timeline.first_step,
        "hosts": [each.host for each in timeline.ranks],
        "spans_not_kept": [each.num_more for each in timeline.ranks],
    }
    whole = {"displayTimeUnit": "ms", "otherData": about, "traceEvents": events}
    return json.dumps(whole, separators=(",", ":"))


def _name(kind: str, process: int, thread: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": kind, "pid": process, "tid": thread, "args": {"name": name}}


def _event(process: int, thread: int, span: Span) -> dict[str, Any]:
    """Times are microseconds, to the nanosecond."""
    event = {
        "ph": "X",
        "name": span.name,
        "cat": span.kind,
        "pid": process,
        "tid": thread,
        "ts": round(span.begin_s * 1e6, 3),
        "dur": round((span.end_s - span.begin_s) * 1e6, 3),
    }
    about = {"bytes": span.sent_bytes} if span.kind == "collectives" else span.about
    return event | ({"args": about} if about else {})


def read_timeline(path: Path) -> Timeline:
    """Read what `chrome_trace` wrote; raises StoreError when it is none, newer or damaged."""
    try:
        whole = parse_json(path.read_text())
        about, events = whole["otherData"], whole["traceEvents"]
        if about["format"] != FORMAT:
            raise KeyError("format")
        version = int(about["format_version"])
        if version <= FORMAT_VERSION:
            return _timeline(about, events)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise StoreError(
            f"{path} is no timeline of batchgnn, or damaged ({type(error).__name__}: {error}). "
            f"Copy it again, or remove it: the report is then made without a timeline."
        ) from error
    raise StoreError(
        f"{path} has format version {version}, this batchgnn reads up to {FORMAT_VERSION}. "
        "Update: pip install --upgrade batchgnn"
    )


def _timeline(about: dict[str, Any], events: list[dict[str, Any]]) -> Timeline:
    lane_of = {
        each["tid"]: each["args"]["name"] for each in events if each["name"] == "thread_name"
    }
    spans: list[list[Span]] = [[] for _ in about["hosts"]]
    for each in events:
        if each["ph"] == "X":
            spans[each["pid"] - 1].append(_span(lane_of[each["tid"]], each))
    held = zip(about["hosts"], spans, about["spans_not_kept"], strict=True)
    return Timeline(about["epoch"], about["first_step"], [RankSpans(*each) for each in held])


def _span(lane: str, event: dict[str, Any]) -> Span:
    begin, args = event["ts"] / 1e6, dict(event.get("args", {}))
    sent, end = args.pop("bytes", 0), (event["ts"] + event["dur"]) / 1e6
    return Span(lane, event["cat"], event["name"], begin, end, sent, args or None)
