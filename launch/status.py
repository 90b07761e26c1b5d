"""`batchgnn status` and `batchgnn cancel`: of a run folder, or of the folder of a pipeline."""

import os
import signal
import sys
from pathlib import Path

from batchgnn.base.errors import StoreError
from batchgnn.launch import queue
from batchgnn.launch.next_step import after_pipeline, after_run
from batchgnn.launch.slurm_cli import JOBS, SCRIPTS
from batchgnn.launch.variants import table_of
from batchgnn.run.outlook import say_left
from batchgnn.run.run_scores import SPLITS, best_runs, say_number
from batchgnn.run.run_state import JOB, LOCK, RunState, read_run

LOG_END_BYTES = 1 << 14
"Of a log, in which its last line is looked for."


def status(path: Path, /) -> None:
    """Print how far a run or a pipeline is: its jobs, the last epoch, the time left.

    Parameters
    ----------
    path
        run folder, or the folder of `batchgnn slurm`
    """
    jobs, runs, damage = found(path)
    for job in jobs:
        print(f"{job.step:10} {job_line(job.number)}")
        for line in log_lines(path, job):
            print(line)
    for run in runs:
        print("\n".join(run_lines(run, own_job=not jobs)))
    if len(runs) > 1:
        print("\n".join(table_of(runs)))
    for n in best_runs([run.scores for run in runs]):
        print(f"best of these runs: {runs[n].path}, {best_line(runs[n])}")
    if damage:
        raise StoreError("\n".join([*damage, "What else there is was printed."]))
    alone = [run for run in runs if run.path == path]
    then = (
        after_run(alone[0], alone[0].stands(runs=_runs(alone[0])))
        if alone
        else after_pipeline(path, jobs, runs)
    )
    print(then, end="\n" if then else "")


def cancel(path: Path, /, *, now: bool = False) -> None:
    """End a run or a pipeline: training saves its state first, and `--resume` goes on with it.

    Parameters
    ----------
    path
        run folder, or the folder of `batchgnn slurm`
    now
        do not let it save first
    """
    jobs, runs, damage = found(path)
    for said in damage:
        print(f"batchgnn: {said}", file=sys.stderr)
    numbers = [job.number for job in jobs] or [
        run.job["slurm_job"] for run in runs if run.job.get("slurm_job")
    ]
    live = [state for number in numbers for state in queue.states(number) if state.is_live]
    trains = {job.number for job in jobs if job.step == "train"} if jobs else set(numbers)
    saving = [s.number for s in live if s.state == "RUNNING" and _in(s.number, trains) and not now]
    queue.cancel([state.number for state in live if state.number not in saving])
    for number in saving:
        queue.ask_to_end(number)
        print(f"job {number} saves its state and ends")
    here = [r for r in runs if r.is_here and not (r.job.get("slurm_job") and queue.has_slurm())]
    for run in here:
        _signal(run, signal.SIGKILL if now else signal.SIGTERM)
        print(f"{run.path} {'is ended' if now else 'saves its state and ends'}")
    ended = len(live) - len(saving)
    print(f"{ended} other jobs are ended." if ended else "", end="\n" if ended else "")
    if not live and not here:
        print(f"{path}: nothing of it runs or waits, as far as is known on this machine.")


def _signal(run: RunState, number: signal.Signals) -> None:
    """To the first rank, which may have ended just now; raises StoreError."""
    try:
        os.kill(run.job["pid"], number)
    except ProcessLookupError:
        pass
    except PermissionError as error:
        who = f"process {run.job['pid']}"
        raise StoreError(f"{run.path}: {who} is another user's, who alone may end it.") from error


def found(path: Path) -> tuple[list[queue.Submitted], list[RunState], list[str]]:
    """The jobs and the runs below a folder, and what of their files is damaged, in sentences.

    Raises StoreError when it is neither kind of folder.
    """
    if any((path / name).exists() for name in ("config.toml", JOB, LOCK)):
        run = read_run(path)
        return [], [run], [*run.damage]
    if (path / SCRIPTS).is_dir():
        jobs: list[queue.Submitted] = []
        damage: list[str] = []
        try:
            jobs = queue.read_jobs(path / SCRIPTS / JOBS)
        except StoreError as error:
            damage.append(str(error))
        named = sorted(path.glob("run-*"), key=lambda run: (len(run.name), run.name))
        runs = [read_run(run) for run in [path / "run", *named] if run.is_dir()]
        return jobs, runs, damage + [said for run in runs for said in run.damage]
    raise StoreError(
        f"{path} is neither a run folder (it has no config.toml) nor one of `batchgnn slurm` (it "
        f"has no {SCRIPTS}/)."
    )


def job_line(number: str) -> str:
    """A job in a line; of an array, how many of its tasks are in which state."""
    states = queue.states(number)
    if not states:
        return f"job {number}: Slurm knows nothing of it any more"
    if len(states) == 1:
        return f"job {states[0].number}: {states[0].line()}"
    names = [state.state for state in states]
    counts = ", ".join(f"{names.count(name)} {name}" for name in sorted(set(names)))
    return f"job {number}: {len(states)} runs, {counts}"


def log_lines(path: Path, job: queue.Submitted) -> list[str]:
    """Where the log of each failed job, or task of a job array, is, and how it ends."""
    lines = []
    for state in queue.states(job.number):
        log = path / "logs" / f"{job.step}-{state.number.replace('_', '-')}.log"
        if state.has_failed and log.is_file():
            with log.open("rb") as file:
                file.seek(max(0, log.stat().st_size - LOG_END_BYTES))
                said = file.read().decode(errors="replace").split("\n")
            last = next((line.strip() for line in reversed(said) if line.strip()), "it is empty")
            lines.append(f"  {log}: {last}")
    return lines


def run_lines(run: RunState, *, own_job: bool = True) -> list[str]:
    """A run in two or three lines; own_job: with its Slurm job."""
    lines = [f"{run.path}: {_stands(run)}"]
    if run.lines:
        last = run.lines[-1]
        keys = [f"{split}_{name}" for name in run.scores.names for split in SPLITS]
        scores = [f"{key} {say_number(last[key])}" for key in keys if last.get(key) is not None]
        loss = "-" if last["loss"] is None else say_number(last["loss"])
        words = [f"epoch {last['epoch']}: loss {loss}", *scores]
        lines.append(f"  {', '.join(words)}, {last['seconds']:.1f} s")
    if best := best_line(run):
        lines.append(f"  best: {best}")
    number = run.job.get("slurm_job")
    if own_job and number and queue.has_slurm():
        lines.append(f"  {job_line(number)}")
    return lines


def best_line(run: RunState) -> str:
    """The best score of a run, and when it was reached; empty before the first evaluation."""
    best = run.scores.at_best("val")
    if best is None:
        return ""
    said = f"val_{run.scores.metric} {say_number(best)} in epoch {run.scores.best_epoch}"
    return f"{said} ({run.scores.direction})"


def _stands(run: RunState) -> str:
    epochs, scores, stands = run.epochs, run.scores, run.stands(runs=_runs(run))
    if stands == "finished":
        test, best = scores.at_best("test"), scores.best_epoch
        said = f"test {scores.metric} {'-' if test is None else test}"
        return f"finished; {said} at the best epoch, {'-' if best is None else best}"
    if stands == "stopped" and "why" in run.stopped:
        return f"ended in epoch {run.stopped['epoch'] + 1} of {epochs}. {run.stopped['why']}"
    if stands == "stopped":
        then = "waits to go on" if run.stopped["requeue"] else "was ended; go on with --resume"
        return f"saved in epoch {run.stopped['epoch'] + 1} of {epochs} by a signal, {then}"
    if stands == "gone":
        return (
            f"does not run, as far as is known here; {len(run.lines)} of {epochs} epochs are done. "
            "Go on with --resume"
        )
    words = [f"trains {epochs} epochs", run.place, say_left(run.seconds_left)]
    return ", ".join(filter(None, words))


def _runs(run: RunState) -> bool | None:
    """What Slurm says; None where it is not asked."""
    number = run.job.get("slurm_job")
    if number and queue.has_slurm():
        return any(state.state == "RUNNING" for state in queue.states(number))
    return None


def _in(number: str, jobs: set[str]) -> bool:
    """Whether a job, or the array that it is a task of, is among `jobs`."""
    return number in jobs or number.partition("_")[0] in jobs
