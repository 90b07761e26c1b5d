"""Run folders and folders of pipelines whose small files are damaged."""

import json
import os
import random
from pathlib import Path

from runs import make_run

from fuzz import damage
from fuzz.oracle import EITHER, REFUSED, TAKEN, Case, Step

NASTY = (
    None, True, False, -1, 0, 2**70, -(2**70), 0.5, float("nan"), float("inf"), "", "x", "\0",
    "../..", "\n", [], [1], {}, {"a": 1}, "9" * 400,
)  # fmt: skip
DEAD = {"pid": 2**22 - 3, "pid_started": 1.5, "host": os.uname().nodename, "slurm_job": None}
JSON_FILES = (
    "job.json",
    "progress.json",
    "stopped.json",
    "result.json",
    "metrics.jsonl",
    "lock.json",
)


def run_case(rng: random.Random, folder: Path) -> Case:
    """A run folder with a damaged file, asked for by every command that reads one."""
    run = folder / "run"
    make_run(run, seed=rng.randrange(9), num_epochs=rng.randint(1, 4))
    _more_files(run)
    path = rng.choice([run / name for name in (*JSON_FILES, "config.toml")])
    is_text = True
    if rng.random() < 0.4:
        said = damage.damage(rng, [path])
        is_text = _is_text(path)
    else:
        said = f"{path.name}: {_mutated(rng, path)}"
    told = path.name not in ("job.json", "lock.json")  # each stands in for the other
    status = REFUSED if told and not is_text else EITHER
    out = folder / "report.html"
    steps = (
        Step(("status", run), status),
        Step(("report", run, "--out", out), EITHER),
        Step(("cancel", run), TAKEN),
        Step(("evaluate", run), REFUSED),
        Step(("export", run, folder / "x"), REFUSED, folder / "x"),
    )
    return Case(f"run folder, {said}", tuple(rng.sample(steps, 2)))


def jobs_case(rng: random.Random, folder: Path) -> Case:
    """The folder of a pipeline with a damaged list of jobs."""
    (folder / "jobs").mkdir()
    path = folder / "jobs" / "jobs.json"
    jobs = [{"step": step, "number": str(n), "is_array": False} for n, step in enumerate("abc", 7)]
    path.write_text(json.dumps(jobs, indent=2))
    is_text = True
    if rng.random() < 0.4:
        said = damage.damage(rng, [path])
        is_text = _is_text(path)
    else:
        said = f"{path.name}: {_mutated(rng, path)}"
    status = EITHER if is_text else REFUSED
    return Case(
        f"jobs, {said}", (Step(("status", folder), status), Step(("cancel", folder), TAKEN))
    )


def _more_files(run: Path) -> None:
    (run / "job.json").write_text(json.dumps(DEAD | {"ranks": 1, "started": 1.0}))
    (run / "lock.json").write_text(json.dumps(DEAD))
    progress = {"epoch": 2, "epochs": 5, "step": 1, "num_steps": 4, "time": 1.8e9}
    (run / "progress.json").write_text(json.dumps(progress))
    (run / "stopped.json").write_text('{"requeue": false, "epoch": 1, "step": 0}')
    os.utime(run / "result.json")


def _is_text(path: Path) -> bool:
    """Whether a damaged file is still of JSON or TOML, as far as it is read."""
    data = path.read_bytes()
    if path.suffix == ".toml":
        return True  # many damaged texts are other settings
    if path.suffix == ".jsonl":
        data = data[: data.rfind(b"\n") + 1]
    try:
        for text in data.decode().splitlines() if path.suffix == ".jsonl" else [data.decode()]:
            json.loads(text)
    except ValueError:
        return False
    return True


def _mutated(rng: random.Random, path: Path) -> str:
    """A value somewhere in the file is another one, or gone."""
    text = path.read_text()
    if path.suffix == ".toml":
        lines = text.splitlines()
        row = rng.randrange(len(lines))
        value = rng.choice([*map(json.dumps, NASTY), "nan", "", "[", "1979-05-27", "'''"])
        lines[row] = f"{lines[row].partition('=')[0]}= {value}"
        path.write_text("\n".join(lines))
        return lines[row]
    lines = text.splitlines() if path.suffix == ".jsonl" else [text]
    row = rng.randrange(len(lines))
    values = json.loads(lines[row])
    said = _change(rng, values)
    lines[row] = json.dumps(values)
    path.write_text("\n".join(lines) + "\n")
    return said


def _change(rng: random.Random, values: dict | list) -> str:
    keys = list(values) if isinstance(values, dict) else list(range(len(values)))
    key = rng.choice(keys)
    if isinstance(values[key], dict | list) and values[key] and rng.random() < 0.6:
        return f"{key}: {_change(rng, values[key])}"
    if rng.random() < 0.2:
        del values[key]
        return f"{key} is gone"
    values[key] = rng.choice(NASTY)
    return f"{key} is {values[key]!r:.40}"
