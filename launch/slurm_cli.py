"""`batchgnn slurm write` and `batchgnn slurm submit`."""

import dataclasses
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from cyclopts import App
from cyclopts.config import Dict

from batchgnn.base.errors import BatchGNNError, ConfigError, StoreError
from batchgnn.base.examples import ending
from batchgnn.base.parse import parse_toml
from batchgnn.launch import queue
from batchgnn.launch.mpirun import Flavour, find_mpirun
from batchgnn.launch.slurm import Pipeline, scripts
from batchgnn.settings.mistakes import whole_numbers
from batchgnn.store.format import atomic_folder

SCRIPTS, JOBS = "jobs", "jobs.json"
NOTHING_SET = Pipeline()


def pipeline_file(app: Any, commands: tuple[str, ...], arguments: Any) -> None:
    """Take what the command line leaves open from `--config`.

    Not cyclopts' reader of TOML: it passes over keys that are also commands, `train` among them.
    """
    path = next((a.tokens[0].value for a in arguments if a.name == "--config" and a.tokens), None)
    if path is None:
        return
    try:
        values = parse_toml(Path(path).read_text())
    except OSError as error:
        raise ConfigError(f"--config {path}: {error.strerror}.") from error
    except ValueError as error:  # also of bytes that are no UTF-8
        raise ConfigError(f"{path} is not valid TOML: {error}.") from error
    for command in reversed(commands):
        values = {command: values}
    Dict(values, source=path, allow_unknown=False)(app, commands, arguments)


app = App(
    name="slurm",
    help="Batch scripts for Slurm: convert, partition, train, evaluate, report.",
    config=(pipeline_file, whole_numbers),
    help_epilogue=ending("slurm"),
)


@app.command(help_epilogue=ending("slurm write"))
def write(
    folder: Path,
    /,
    *,
    config: Path | None = None,
    pipeline: Pipeline = NOTHING_SET,
    dry_run: bool = False,
) -> None:
    """Write the batch scripts of a pipeline into FOLDER/jobs, to be read, edited and submitted.

    Parameters
    ----------
    folder
        holds what the steps make: graph.h5, shards, run, logs
    config
        TOML file with the same settings; the command line wins
    dry_run
        print the scripts, write nothing
    """
    made = _made(pipeline, folder.absolute())
    if dry_run:
        for name, text in _named(made).items():
            print(f"==> {folder / SCRIPTS / name} <==\n{text}")
        return
    _write(folder, made)
    print(f"{folder / SCRIPTS}: {', '.join(_named(made))}\nNext: batchgnn slurm submit {folder}")


@app.command(help_epilogue=ending("slurm submit"))
def submit(
    folder: Path,
    /,
    *,
    config: Path | None = None,
    pipeline: Pipeline = NOTHING_SET,
    dry_run: bool = False,
) -> None:
    """Submit the scripts of FOLDER/jobs, each to begin when the one before has ended well.

    They are written first where they are not there; written ones are submitted as they are. Steps
    that are done are passed over, so a pipeline that failed is submitted again as it was.

    Parameters
    ----------
    folder
        as for `write`
    config
        TOML file with the same settings; the command line wins
    dry_run
        print what would be called, submit nothing
    """
    if pipeline != NOTHING_SET:
        made = _made(pipeline, folder.absolute())
        if (folder / SCRIPTS).exists():
            _refuse_others(folder, made)
        elif not dry_run:
            _write(folder, made)
    else:
        made = _written(folder)
    _refuse_running(folder)
    jobs: list[queue.Submitted] = []
    try:
        for name, text in _named(made).items():
            step, is_array = name[2:-3], "#SBATCH --array=" in text
            argv = _sbatch(folder / SCRIPTS / name, is_array, jobs)
            if dry_run:
                print(shlex.join(argv))
            number = step.upper() if dry_run else _submitted(argv)
            jobs.append(queue.Submitted(step, number, is_array))
    except BatchGNNError:
        queue.cancel([job.number for job in jobs])
        raise
    if dry_run:
        print(f"Nothing is submitted. Next, without --dry-run: batchgnn slurm submit {folder}")
        return
    queue.write_jobs(folder / SCRIPTS / JOBS, jobs)
    said = ", ".join(f"{job.step} {job.number}" for job in jobs)
    print(
        f"submitted: {said}\nFollow them: batchgnn status {folder}\n"
        f"End them: batchgnn cancel {folder}"
    )


def _made(pipeline: Pipeline, folder: Path) -> dict[str, str]:
    """The scripts of a pipeline in which nothing is left to be found wrong by a job."""
    from batchgnn.launch.slurm_check import check_pipeline  # slow: it loads what the jobs load

    pipeline.check()
    resolved = _resolved(pipeline)
    check_pipeline(resolved, folder)
    return scripts(resolved, folder)


def _resolved(pipeline: Pipeline) -> Pipeline:
    """With what is looked up here: the MPI, this Python's environment, and absolute paths."""
    mpi, own = pipeline.mpi, Path(sys.prefix)
    is_plain = pipeline.container is None and pipeline.program == NOTHING_SET.program
    if pipeline.venv is None and is_plain and (own / "bin" / "activate").exists():
        pipeline = dataclasses.replace(pipeline, venv=own)
    if mpi is None:
        mpi = "mpich" if find_mpirun().flavour is Flavour.MPICH else "openmpi"
    paths = {
        name: value.absolute()
        for name in ("graph", "shards", "venv")
        if (value := getattr(pipeline, name)) is not None
    }
    return dataclasses.replace(pipeline, mpi=mpi, **paths)


def _named(made: dict[str, str]) -> dict[str, str]:
    """File name -> text; names sort in the order of the steps."""
    return {f"{number}-{step}.sh": text for number, (step, text) in enumerate(made.items(), 1)}


def _write(folder: Path, made: dict[str, str]) -> None:
    with atomic_folder(folder / SCRIPTS) as beside:
        for name, text in _named(made).items():
            (beside / name).write_text(text)
        (folder / "logs").mkdir(exist_ok=True)


def _written(folder: Path) -> dict[str, str]:
    """The scripts of an earlier `write`; raises StoreError."""
    found = sorted((folder / SCRIPTS).glob("[1-9]-*.sh"))
    if not found:
        raise StoreError(
            f"{folder / SCRIPTS} has no scripts. Say what to run: batchgnn slurm submit {folder} "
            '--config pipeline.toml, or --train "--model sage ..."'
        )
    return {path.name[2:-3]: path.read_text() for path in found}


def _refuse_others(folder: Path, made: dict[str, str]) -> None:
    """Raise StoreError when other scripts were written: they may have been edited."""
    if _written(folder) != made:
        raise StoreError(
            f"{folder / SCRIPTS} has other scripts than these settings make. Submit them as they "
            f"are: batchgnn slurm submit {folder}; or remove that folder; or choose another."
        )


def _refuse_running(folder: Path) -> None:
    path = folder / SCRIPTS / JOBS
    running = [job for job in queue.read_jobs(path) if queue.is_live(job.number)]
    if running:
        said = ", ".join(f"{job.step} {job.number}" for job in running)
        raise StoreError(
            f"{folder} has jobs in the queue: {said}. Follow them: batchgnn status {folder}; or "
            f"end them: batchgnn cancel {folder}"
        )


def _sbatch(path: Path, is_array: bool, before: list[queue.Submitted]) -> list[str]:
    argv = ["sbatch", "--parsable"]
    if before:
        kind = "aftercorr" if is_array and before[-1].is_array else "afterok"
        argv += [f"--dependency={kind}:{before[-1].number}", "--kill-on-invalid-dep=yes"]
    return [*argv, str(path)]


def _submitted(argv: list[str]) -> str:
    """The number of the new job; raises BatchGNNError with what sbatch says."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BatchGNNError(f"sbatch could not be run: {error}. Is this a login node?") from error
    if done.returncode:
        raise BatchGNNError(f"{shlex.join(argv)}: {done.stderr.strip()}. Nothing is submitted.")
    return done.stdout.strip().partition(";")[0]
