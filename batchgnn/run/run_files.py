"""The small files of a run folder, read with a check of what is needed of them.

Damage is a StoreError with the file and what is wrong. Needs neither MPI nor HDF5.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from batchgnn.base.errors import StoreError
from batchgnn.base.parse import parse_json, parse_toml
from batchgnn.settings.tables import flattened

Kind = Any
"A type, several, [kind] for a list of such values, or {str: kind} for such values by name."

Kinds = Mapping[str, Kind]
"Key -> what its value is to be; a key that ends in ? may be missing."

NUMBER, NOTHING = (int, float), type(None)
TEXT, MAYBE = (str, NOTHING), (*NUMBER, NOTHING)
BY_NAME, BY_RANK = {str: MAYBE}, [NUMBER]

JOB_KEYS: Kinds = {
    "pid": int,
    "pid_started": NUMBER,
    "host": str,
    "slurm_job?": TEXT,
    "epochs?": int,
    "started?": NUMBER,
}
PROGRESS_KEYS: Kinds = {"epoch": int, "step": int, "num_steps": int, "time": NUMBER}
STOPPED_KEYS: Kinds = {"requeue": bool, "epoch": int, "step": int, "why?": str, "time?": NUMBER}
RANKS_OF_RESULT: Kinds = {
    "hosts?": [str],
    **dict.fromkeys(("rank_vertices?", "rank_edges?", "rank_seeds?"), BY_RANK),
}
RESULT_KEYS: Kinds = {
    **dict.fromkeys(("best_epoch?", "epochs?", "ranks?", "threads?", "num_parameters?"), int),
    **dict.fromkeys(("metric?", "mode?", "exactness?"), str),
    **RANKS_OF_RESULT,
    "higher_is_better?": bool,
    "epoch_seconds?": BY_RANK,
    **dict.fromkeys(("feature_cache_hit_rate?", "events_per_second?", "updates_lost?"), MAYBE),
    "ways?": [int],
    "mrr_along?": {str: BY_RANK},
    "graph?": {str: (str, int)},
    "class_counts?": {str: [int]},
    "class_scores?": {str: BY_NAME},
    "versions?": {str: TEXT},
    "plan?": (NOTHING, {str: (str, [{str: (*NUMBER, *TEXT)}])}),
}
RANKS_OF_LINE: Kinds = {"peak_memory_bytes?": BY_RANK, "rank_sent_bytes?": BY_RANK}
LINE_KEYS: Kinds = {
    "epoch": int,
    "loss": MAYBE,
    "scored_epoch?": int,
    "seconds": NUMBER,
    **dict.fromkeys(("evaluate_seconds?", "deduplication?", "time?"), NUMBER),
    **dict.fromkeys(("seeds_per_second?", "edges_per_second?", "events_per_second?"), NUMBER),
    **dict.fromkeys(("collective_bytes?", "collective_calls?", "collective_seconds?"), BY_NAME),
    **RANKS_OF_LINE,
    "phase_seconds?": {str: NUMBER},
    "rank_phase_seconds?": {str: {str: BY_RANK}},
}
SETTINGS_KEYS: Kinds = {"epochs?": int, "metric?": str, "timeline-epoch?": int, "patience?": int}


def read_values(file: Path, kinds: Kinds) -> dict[str, Any]:
    """A file of JSON that is one object; empty when it is not there. Raises StoreError."""
    text = read_text(file)
    return {} if text is None else parsed(text, kinds, str(file))


def read_result(file: Path) -> dict[str, Any]:
    """result.json; empty when it is not there. Raises StoreError."""
    values = read_values(file, RESULT_KEYS)
    _refuse_uneven([values[k[:-1]] for k in RANKS_OF_RESULT if k[:-1] in values], str(file))
    return checked(values, _scores_in(values), str(file))


def read_settings(file: Path) -> dict[str, Any]:
    """config.toml, without its tables; empty when it is not there. Raises StoreError."""
    text = read_text(file)
    try:
        values = flattened(parse_toml(text or ""))
    except ValueError as error:
        raise damaged(str(file), str(error)) from error
    return checked(values, SETTINGS_KEYS, str(file))


def read_lines(file: Path) -> list[dict[str, Any]]:
    """metrics.jsonl, whose last line may be half written. Raises StoreError."""
    text = read_text(file) or ""
    whole = text[: text.rfind("\n") + 1].splitlines()
    return [parse_line(line, f"{file}: line {n}") for n, line in enumerate(whole, start=1)]


def parse_line(text: str, where: str) -> dict[str, Any]:
    """An epoch's line of metrics; raises StoreError."""
    line = parsed(text, LINE_KEYS, where)
    lanes = line.get("rank_phase_seconds", {}).values()
    by_rank = [line[k[:-1]] for k in RANKS_OF_LINE if k[:-1] in line]
    _refuse_uneven([*by_rank, *(ranks for lane in lanes for ranks in lane.values())], where)
    return checked(line, _scores_in(line), where)


def _refuse_uneven(by_rank: list[list], where: str) -> None:
    """Raise StoreError unless all lists are over as many ranks, at least one."""
    if (found := sorted(set(map(len, by_rank)))) and (len(found) > 1 or found[0] == 0):
        raise damaged(where, f"it tells of {' and of '.join(map(str, found))} ranks")


def _scores_in(values: Mapping[str, Any]) -> Kinds:
    return dict.fromkeys((key for key in values if key.startswith(("val_", "test_"))), MAYBE)


def read_text(file: Path) -> str | None:
    """None when the file is not there; raises StoreError when it cannot be read, or is no text."""
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise StoreError(f"{file} may not be read by this user: chmod a+r {file}") from error
    except (OSError, ValueError) as error:
        raise damaged(str(file), getattr(error, "strerror", None) or str(error)) from error


def parsed(text: str, kinds: Kinds, where: str) -> dict[str, Any]:
    """One object of JSON with what is needed of it; raises StoreError."""
    try:
        values = parse_json(text)
    except ValueError as error:
        raise damaged(where, str(error) if text.strip() else "it is empty") from error
    if not isinstance(values, dict):
        raise damaged(where, f"it holds a {type(values).__name__}, not names and values")
    return checked(values, kinds, where)


def checked(values: dict[str, Any], kinds: Kinds, where: str) -> dict[str, Any]:
    """The values, if they are of their kinds; raises StoreError."""
    for key, kind in kinds.items():
        name = key.removesuffix("?")
        if name not in values and name != key:
            continue
        value = values.get(name)
        if name not in values or not _is_a(value, kind):
            found = f"{value!r:.40}" if name in values else "missing"
            raise damaged(where, f"{name} is {found}")
    return values


def _is_a(value: Any, kind: Kind) -> bool:
    """As isinstance, also of what is within; true and false are no numbers."""
    if isinstance(kind, tuple):
        return any(_is_a(value, each) for each in kind)
    if isinstance(kind, list):
        return isinstance(value, list) and all(_is_a(each, kind[0]) for each in value)
    if isinstance(kind, dict):
        return isinstance(value, dict) and all(_is_a(each, kind[str]) for each in value.values())
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def damaged(where: str, why: str) -> StoreError:
    """What to raise for a file that nobody can use."""
    return StoreError(f"{where} is damaged: {why.splitlines()[0] if why else 'it cannot be read'}.")
