"""What a run folder says, read for the report: settings, epochs, result, timeline, and what of them
is missing.

A run may be under way, killed, or written by another version: what is there is read, what is not is
said in `notes`, and only a folder without any finished epoch is refused.
"""

import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from batchgnn.base.errors import StoreError
from batchgnn.run import run_state
from batchgnn.run.run_files import parse_line, read_result, read_settings, read_text
from batchgnn.run.run_scores import RunScores
from batchgnn.run.run_state import RunState
from batchgnn.watch.timeline import Timeline, read_timeline

Line = dict[str, Any]
"An epoch's line of metrics.jsonl."

WAITING = ("wait", "wait for blocks", "allreduce")
"Phases in which a rank waits for data, or for other ranks."


@dataclass(frozen=True)
class Run:
    """A run folder.

    name      what the page calls it
    settings  config.toml, without its tables
    lines     metrics.jsonl, an epoch each; at least one
    result    result.json; empty unless training has ended
    notes     what is missing, in sentences
    """

    path: Path
    name: str
    settings: dict[str, Any]
    lines: list[Line]
    result: dict[str, Any]
    timeline: Timeline | None
    state: str
    notes: list[str] = field(default_factory=list)

    @property
    def scores(self) -> RunScores:
        """Its scores, and which is the best epoch so far."""
        return RunScores(self.settings, self.result, self.lines)

    @property
    def exactness(self) -> str:
        """The run's label: exact or not, and what is not."""
        return self.result.get("exactness", "known when training ends")

    @property
    def num_ranks(self) -> int:
        """Ranks of the last epoch; a resume may change their number."""
        return len(self.lines[-1].get("peak_memory_bytes", [])) or self.result.get("ranks", 1)

    @property
    def began_s(self) -> float | None:
        """When its first epoch began, seconds since 1970; None of older versions."""
        first = self.lines[0]
        return first["time"] - wall_seconds(first) if "time" in first else None

    @property
    def ended_s(self) -> float | None:
        """When the last epoch that is done ended, seconds since 1970; None of older versions."""
        return self.lines[-1].get("time")

    @property
    def settled(self) -> list[Line]:
        """The epochs that means are taken over: all but the first, which also compiles and fills
        caches, on as many ranks as the last had."""
        later = self.lines[1:] or self.lines
        same = [line for line in later if _num_ranks(line) == _num_ranks(self.lines[-1])]
        return same or later

    def mean(self, value: Callable[[Line], float | None]) -> float | None:
        """The mean of a number over the settled epochs that have it."""
        found = [each for each in map(value, self.settled) if each is not None]
        return sum(found) / len(found) if found else None

    def names(self, table: str) -> list[str]:
        """Names in a table of the lines, such as collective_bytes, in order of appearance."""
        return list(dict.fromkeys(name for line in self.settled for name in line.get(table, {})))

    def mean_of(self, table: str, name: str) -> float:
        """The mean of one entry of such a table; an epoch without it counts as 0."""
        return self.mean(lambda line: line.get(table, {}).get(name, 0)) or 0.0

    def mean_total(self, table: str) -> float | None:
        """The mean of all entries of such a table together; None where no epoch has it."""
        if not any(table in line for line in self.lines):
            return None
        return self.mean(lambda line: sum(line.get(table, {}).values()))

    def rank_means(self, table: str) -> list[float]:
        """Means per rank of a list over ranks, such as rank_sent_bytes; empty where unknown."""
        held = [line[table] for line in self.settled if table in line]
        return [sum(each) / len(held) for each in zip(*held, strict=True)] if held else []

    def phase_means(self) -> dict[str, dict[str, list[float]]]:
        """Mean seconds of an epoch by lane, phase and rank, phases within others taken out."""
        total: dict[str, dict[str, list[float]]] = {}
        for line in self.settled:
            for lane, phases in phases_of(line).items():
                for name, ranks in phases.items():
                    before = total.setdefault(lane, {}).get(name, [0.0] * len(ranks))
                    total[lane][name] = [a + b for a, b in zip(before, ranks, strict=True)]
        n = len(self.settled)
        return {
            lane: {name: [each / n for each in ranks] for name, ranks in phases.items()}
            for lane, phases in total.items()
        }


def wall_seconds(line: Line) -> float:
    """An epoch with its evaluation."""
    return line["seconds"] + line.get("evaluate_seconds", 0.0)


def phases_of(line: Line) -> dict[str, dict[str, list[float]]]:
    """Seconds by lane, phase and rank; of the slowest rank alone where an older version wrote."""
    if "rank_phase_seconds" in line:
        return line["rank_phase_seconds"]
    lanes: dict[str, dict[str, list[float]]] = {}
    for name, spent in line.get("phase_seconds", {}).items():
        lane = "background" if name in ("sample", "fetch") else "main"
        lanes.setdefault(lane, {})[name] = [spent]
    return lanes


def stack_of(line: Line) -> dict[str, dict[str, float]]:
    """Mean seconds over ranks by lane and phase; what of the main lane is in none is "other"."""
    stack = {
        lane: {name: sum(ranks) / len(ranks) for name, ranks in phases.items()}
        for lane, phases in phases_of(line).items()
    }
    if main := stack.get("main"):
        main["other"] = max(0.0, wall_seconds(line) - sum(main.values()))
    return stack


def _num_ranks(line: Line) -> int:
    return len(line.get("peak_memory_bytes", []))


def read_runs(paths: Sequence[Path]) -> list[Run]:
    """Read run folders; a name is the folder's, or its path where that is not enough."""
    short = [path.absolute().name for path in paths]
    names = short if len(set(short)) == len(short) else [str(path) for path in paths]
    return [read_run(path, name) for path, name in zip(paths, names, strict=True)]


def read_run(path: Path, name: str) -> Run:
    """Read one run folder; raises StoreError when it is none, or has no finished epoch."""
    settings = _settings(path)
    notes: list[str] = []
    lines = _lines(path, notes)
    result = _result(path)
    timeline = None
    if (path / "timeline.json").is_file():
        timeline = read_timeline(path / "timeline.json")
    elif settings.get("timeline-epoch") != 0:
        notes.append(_no_timeline(settings, lines))
    if "rank_phase_seconds" not in lines[-1]:
        notes.append(
            "An older version wrote this run: seconds are those of the slowest rank, and there "
            "is no balance of ranks."
        )
    now = run_state.read_run(path)
    is_finished = now.stands() == "finished"
    state = "finished" if is_finished else _unfinished(now, len(lines))
    return Run(path, name, settings, lines, result if is_finished else {}, timeline, state, notes)


def _settings(path: Path) -> dict[str, Any]:
    file = path / "config.toml"
    if not file.is_file():
        found = "has no config.toml" if path.is_dir() else "is no folder"
        raise StoreError(
            f"{path} {found}: needed a run folder, which is made by: "
            f"batchgnn train SHARDS --run {path}"
        )
    try:
        return read_settings(file)
    except StoreError as error:
        raise StoreError(
            f"{error} Copy the run folder again; a run whose settings are lost has no report."
        ) from error


def _lines(path: Path, notes: list[str]) -> list[Line]:
    """metrics.jsonl; what a killed job left of its last line is passed over."""
    file = path / "metrics.jsonl"
    texts = (read_text(file) or "").splitlines()
    lines: list[Line] = []
    for n, text in enumerate(texts, start=1):
        try:
            line = parse_line(text, f"{file}: line {n}")
        except StoreError as error:
            if n == len(texts) and lines:
                notes.append(f"Line {n} of metrics.jsonl is cut off and was left out.")
                break
            raise StoreError(
                f"{error} It is no epoch of batchgnn: copy the file again, or go back to a "
                f"checkpoint: batchgnn train SHARDS --run {path} --resume"
            ) from error
        lines.append(line)
    if not lines:
        raise StoreError(
            f"{path} has no finished epoch yet (metrics.jsonl is "
            f"{'empty' if file.is_file() else 'missing'}). Wait for the first epoch, or, if the "
            f"job was killed, go on with: batchgnn train SHARDS --run {path} --resume"
        )
    return lines


def _result(path: Path) -> dict[str, Any]:
    file = path / "result.json"
    if not file.is_file():
        return {}
    try:
        return read_result(file)
    except StoreError as error:
        raise StoreError(
            f"{error} Copy it again, or remove it: the report then takes the run as unfinished."
        ) from error


def _unfinished(state: RunState, num_done: int) -> str:
    """Whether a run is running, was stopped or was killed, as far as can be told from here."""
    done = f"{num_done} of {state.epochs} epochs"
    stands = state.stands()
    if stands == "runs":
        return f"running: {done}"
    if "why" in state.stopped:
        return f"ended after {done}. {state.stopped['why']}"
    if stands == "stopped":
        return f"stopped by a signal after {done}; --resume goes on"
    if state.job.get("host") == socket.gethostname():
        return f"ended too soon, killed or by an error, after {done}; --resume goes on"
    age = max(0, round(time.time() - (state.path / "metrics.jsonl").stat().st_mtime))
    return f"not finished: {done}, the last written {say_age(age)} ago: still running, or killed"


def say_age(age_s: int) -> str:
    """An age for people: `40 seconds`, `5 minutes`, `3 hours`, `2 days`."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if age_s >= length:
            count = age_s // length
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return f"{age_s} seconds"


def _no_timeline(settings: dict[str, Any], lines: list[Line]) -> str:
    if "timeline-epoch" not in settings:
        return "An older version wrote this run: it has no timeline."
    if len(lines) < settings["timeline-epoch"]:
        return f"The timeline is that of epoch {settings['timeline-epoch']}, not yet reached."
    return "timeline.json is missing: it was removed, or not copied."
