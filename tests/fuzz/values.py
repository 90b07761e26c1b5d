"""Values of options and of Slurm's pipelines: strategies, and what must become of each."""

import json
import math
import shlex
import subprocess
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from hypothesis import strategies as st

from batchgnn.modes.assembly import TABLES, every_subject
from batchgnn.settings.checks import AT_LEAST_ONE, NOT_NEGATIVE, POSITIVE, PROBABILITY
from batchgnn.settings.settings import flag, options_of
from fuzz import sound
from fuzz.oracle import EITHER, REFUSED, Case, Step

# --- options of training ---------------------------------------------------------------------

HUGE = "100000000000000000000"
NO_NUMBERS = ("x", "", "1_x", "--", "1,5", "½", "1;2", "True", "[1]")
OUTSIDE = {
    AT_LEAST_ONE: ("0", "-1"),
    NOT_NEGATIVE: ("-1",),
    POSITIVE: ("0", "-1"),
    PROBABILITY: ("1", "-0.1", "2"),
}
SIZES = ("memory", "aggregate_memory", "feature_cache", "macrobatch_memory")
NO_SIZES = ("lots", "", "G", "-1G", "1.5.2G", "1 2", "nan", "infG", "1e400G", "0x10", "1Q")
GOOD = {
    "epochs": ["1", "2"],
    "layers": ["1", "2", "4"],
    "hidden": ["1", "8", "33"],
    "fanouts": ["3 3", "1 -1"],
    "threads": ["1"],
    "split_index": ["0"],
    "metric": ["accuracy", "macro-f1", "roc-auc", "micro-f1"],
    **{name: ["1G", "40000000", "2.5GiB", "100M"] for name in SIZES},
}
"Values of options that are right by themselves, where numbers alone do not say which."


@dataclass(frozen=True)
class Value:
    """Words of the command line for an option, and whether they can be right."""

    words: tuple[str, ...]
    is_right: bool


def values_of(name: str, kind: Any) -> st.SearchStrategy[Value]:
    """Right and wrong values of an option of `train`."""
    extras: tuple = ()
    if get_origin(kind) is Annotated:
        kind, *extras = get_args(kind)
    kinds = [k for k in (get_args(kind) if _is_union(kind) else (kind,)) if k is not type(None)]
    if name in TABLES:
        right, wrong = [*TABLES[name]], ["", "x", "Sage", "mode"]
    elif kinds == [bool]:
        plain = Value((flag(name),), True)
        no = Value((f"--no-{flag(name)[2:]}",), True)
        return st.sampled_from([plain, no, Value((f"{flag(name)}=x",), False)])
    elif get_origin(kinds[0]) is Literal:
        right, wrong = [*get_args(kinds[0])], ["", "x", "of"]
        right += ["2"] if int in kinds else []
    elif name in SIZES:
        right, wrong = GOOD[name], list(NO_SIZES)
    elif kinds[0] in (int, float) or get_origin(kinds[0]) is tuple:
        is_float = kinds[0] is float
        right = GOOD.get(name, ["0.5", "0.25", "1e-9"] if is_float else ["1", "2", "7"])
        wrong = [*NO_NUMBERS, "nan", "inf", "-inf", *([] if is_float else ["1.5", "1e3"])]
        wrong += [value for extra in extras for value in OUTSIDE.get(extra, ())]
    else:
        right, wrong = GOOD.get(name, []), ["", "x"]
    made = [Value((flag(name), *value.split()), True) for value in right]
    made += [Value((f"{flag(name)}={value}",), False) for value in wrong]
    return st.sampled_from(made)


def _is_union(kind: Any) -> bool:
    return type(None) in get_args(kind) or get_origin(kind) is typing.Union


def every_option() -> dict[str, Any]:
    """Name -> type of each option of `train` but those that name a place."""
    kinds = {
        name: typing.get_type_hints(subject, include_extras=True)[name]
        for subject in every_subject()
        for name in options_of(subject)
    }
    return {name: kind for name, kind in kinds.items() if name not in ("stage_to", "task")}


def training_options() -> st.SearchStrategy[tuple[Value, ...]]:
    """Up to five options."""
    each = {name: values_of(name, kind) for name, kind in every_option().items()}
    names = st.lists(st.sampled_from(sorted(each)), min_size=1, max_size=5, unique=True)
    return names.flatmap(lambda chosen: st.tuples(*(each[name] for name in chosen)))


def options_case(values: tuple[Value, ...], folder: Path) -> Case:
    """Training with these options: one wrong value is refused; else it ends, or says why not."""
    words = [word for value in values for word in value.words]
    given = {word.partition("=")[0] for word in words}
    few = (("--epochs", "1"), ("--threads", "1"), ("--batch-size", "60"), ("--hidden", "8"))
    words += [w for pair in few[:2] if pair[0] not in given for w in pair]
    run = folder / "run"
    must = EITHER if all(value.is_right for value in values) else REFUSED
    argv = ("train", sound.shards(), "--run", run, *words)
    return Case(f"options {shlex.join(words)}", (Step(argv, must, run, lambda: _trained(run)),))


def _trained(run: Path) -> str:
    result = json.loads((run / "result.json").read_text())
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines]
    good = all(loss is not None and math.isfinite(loss) for loss in losses)
    return "" if good and result["epochs"] == len(lines) else f"losses {losses}"


# --- Slurm -----------------------------------------------------------------------------------

CANARY = "canary"
NASTY = (
    f"$(touch {CANARY})", f"`touch {CANARY}`", f"; touch {CANARY}", f"x\ntouch {CANARY}", "'", '"',
    f"x\r\n#SBATCH --uid=0\ntouch {CANARY}", f"&& touch {CANARY} #", "a b", "$HOME", "*", "~", "\\",
    f"'; touch {CANARY}; '", f"|touch {CANARY}", f">{CANARY}", "x\u2028y", "x\x1b[2J", "#", "é",
    "${IFS}x", "%j", "-n", "--dry-run", "x\tb",
)  # fmt: skip
TEXT = st.one_of(
    st.sampled_from(NASTY),
    st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=8),
    st.text(st.characters(exclude_characters="\0"), min_size=1, max_size=4),
)
SLURM_TEXTS = ("name", "memory", "partition", "account", "venv", "modules", "sbatch", "time")


def pipelines() -> st.SearchStrategy[dict[str, str]]:
    """Values of some options of `slurm write`; `folder` and `place` are names of folders."""
    names = TEXT.filter(lambda text: "/" not in text and text not in (".", ".."))
    optional = dict.fromkeys((*SLURM_TEXTS, "train", "sweep"), TEXT)
    optional |= {"folder": names, "place": names}
    return st.fixed_dictionaries({}, optional=optional).filter(bool)


def slurm_case(values: dict[str, str], folder: Path) -> Case:
    """Scripts of a pipeline with such values: refused, or every value stays what it is."""
    home = folder / values.get("folder", "pipeline")
    place = folder / ("shards " + values.get("place", "") if "place" in values else "shards")
    place.symlink_to(sound.shards())
    (folder / "venv" / "bin").mkdir(parents=True)
    (folder / "venv" / "bin" / "activate").touch()
    words = ["--shards", str(place), "--mpi", "openmpi", "--no-report"]
    words += [] if "venv" in values else ["--venv", str(folder / "venv")]
    train = f"--layers 2 --stage-to {shlex.quote(values.get('train', '/x'))}"
    words += [f"--train={train}"]
    words += [f"--{name}={values[name]}" for name in (*SLURM_TEXTS, "sweep") if name in values]
    hidden = [t for t in values.values() if not t.replace("\t", " ").isprintable()]
    must = REFUSED if hidden else EITHER
    argv = ("slurm", "write", home, *words)
    said = f"slurm {shlex.join(words)} in {home.name!r}"
    step = Step(argv, must, home / "jobs", lambda: _unfaithful(home, place, values, folder))
    return Case(said, (step,))


def _unfaithful(home: Path, place: Path, values: dict[str, str], folder: Path) -> str:
    """What the shell, or sbatch, would take otherwise than it was given."""
    for script in sorted((home / "jobs").iterdir()):
        lines = script.read_text().split("\n")
        options = [line for line in lines if line.startswith("#SBATCH")]
        plain = 8 + sum(name in values for name in ("memory", "partition", "account", "sbatch"))
        plain += ("sweep" in values) + 1 * script.name.endswith("train.sh")
        if len(options) > plain:
            return f"{script.name} has options of sbatch that nobody gave: {options}"
        done = subprocess.run(["bash", "-n", script], capture_output=True, text=True)
        if done.returncode:
            return f"bash: {done.stderr}"
    return _called_otherwise(home, place, values, folder)


def _called_otherwise(home: Path, place: Path, values: dict[str, str], folder: Path) -> str:
    """Run the script of training with programs that only note how they were called."""
    stubs, said = folder / "stubs", folder / "called"
    stubs.mkdir()
    for name in ("mpirun", "module", "scontrol", "grep", "sleep", "rm"):
        note = f'printf "%s\\0" "$@" > {shlex.quote(str(said))}' if name == "mpirun" else ":"
        (stubs / name).write_text(f"#!/bin/bash\n{note}\n")
        (stubs / name).chmod(0o755)
    (stubs / "touch").symlink_to("/usr/bin/touch")
    script = next((home / "jobs").glob("*-train.sh"))
    environment = {"PATH": str(stubs), "SLURM_ARRAY_TASK_ID": "0", "SLURM_JOB_ID": "1"}
    (home / "logs").mkdir(exist_ok=True)
    ended = subprocess.run(
        ["/bin/bash", script], env=environment, cwd=home, capture_output=True, timeout=60
    )
    if any(folder.rglob(CANARY)):
        return f"a value was run as a command: {script.read_text()}"
    if not said.exists():
        return f"training was not started: {ended.stderr.decode(errors='replace')}"
    words = said.read_bytes().decode().split("\0")
    needed = ["train", str(place), values.get("train", "/x")]
    return "" if all(word in words for word in needed) else f"called as {words}"
