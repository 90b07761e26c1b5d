"""A training job that is started again from its last checkpoint after a rank or a host was lost."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from batchgnn.base.environment import command_to_resume
from batchgnn.base.errors import ConfigError
from batchgnn.launch.local import Ended, run
from batchgnn.launch.mpirun import Mpirun, Placement, job_environment, mpirun_argv
from batchgnn.launch.notice import ranks_on

ATTEMPTS, ANSWER_S = 2, 20.0
"How often a host is asked to start a process, and how long in all, before it counts as gone."

PAUSE_S = 2.0
"Between two starts: what the lost job held, such as ports and shared memory, is given back."

FINAL = (0, 2, 128 + signal.SIGINT, 128 + signal.SIGTERM)
"Statuses that another start would not change: success, a user's error, and ends by request."


def parse_hosts(text: str) -> dict[str, int]:
    """Host -> ranks it may have, of "n1:2,n2"; raises ConfigError."""
    hosts: dict[str, int] = {}
    for each in text.split(","):
        name, _, slots = each.partition(":")
        if not name or name in hosts or (slots and not slots.isdigit()) or slots == "0":
            raise ConfigError(f"--hosts {text}: write HOST:RANKS,HOST:RANKS, each host once.")
        hosts[name] = int(slots or 1)
    return hosts


def run_folder_of(command: list[str]) -> Path:
    """The run folder of a training command; raises ConfigError for what cannot be resumed."""
    words = [word for each in command for word in each.split("=", 1) if each.startswith("--run=")]
    words = words or command
    if command[:1] != ["train"] or "--run" not in words[:-1]:
        raise ConfigError(
            "--max-restarts is for train with its --run, which has checkpoints to go on from: "
            "batchgnn launch -n 4 --max-restarts 2 -- train SHARDS --run RUN"
        )
    return Path(words[words.index("--run") + 1])


def go_on(command: list[str]) -> list[str]:
    """The sentence that says how to go on with what the command has begun; none where nothing."""
    try:
        begun = (run_folder_of(command) / "config.toml").exists()
    except ConfigError:
        begun = False
    return [f"Go on from the last checkpoint with: {command_to_resume()}"] if begun else []


def resuming(command: list[str], folder: Path) -> list[str]:
    """The command that goes on with what is in the folder."""
    begun = (folder / "config.toml").exists() and "--resume" not in command
    return [*command, "--resume"] if begun else command


def run_restarting(
    mpirun: Mpirun,
    placement: Placement,
    program: list[str],
    command: list[str],
    *,
    hosts: dict[str, int] | None,
    max_restarts: int,
) -> Ended:
    """Run `program command`; when it is lost, again on what is left, at most so many times."""
    folder = run_folder_of(command)
    for restart in range(max_restarts + 1):
        ended = run(mpirun, placement, [*program, *command], hosts, tells_success=True)
        if ended.status in FINAL or ended.was_told or restart == max_restarts:
            return ended
        time.sleep(PAUSE_S)
        gone: list[str] = []
        if hosts is not None:
            gone = lost_hosts(mpirun, hosts)
            hosts = {name: slots for name, slots in hosts.items() if name not in gone}
            if not hosts:
                return ended
            placement = replace(placement, ranks=min(placement.ranks, sum(hosts.values())))
        command = resuming(command, folder)
        lost = ", ".join(map(str, ranks_on(gone, list(ended.hosts))))
        lost = f" (ranks {lost})" if lost else ""
        said = f"without {', '.join(gone)}{lost}, " if gone else ""
        lines = [ended.sentence] if ended.sentence else []
        lines.append(
            f"batchgnn: the job was lost (status {ended.status}); restart {restart + 1} of "
            f"{max_restarts}, {said}on {placement.ranks} ranks, from the last checkpoint."
        )
        print("\n".join(lines), file=sys.stderr, flush=True)
    raise AssertionError("the last start returns")


def lost_hosts(mpirun: Mpirun, hosts: dict[str, int]) -> list[str]:
    """The hosts on which mpirun cannot start a process any more."""
    with ThreadPoolExecutor(len(hosts)) as pool:
        answers = pool.map(lambda host: _answers(mpirun, host), hosts)
        return [host for host, answers_now in zip(hosts, answers, strict=True) if not answers_now]


def _answers(mpirun: Mpirun, host: str) -> bool:
    """Whether a process can be started there, at one of the attempts that ANSWER_S is shared by.

    What the lost job's daemons tidy up may fail the first.
    """
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(PAUSE_S)
        if _starts(mpirun, host, ANSWER_S / ATTEMPTS):
            return True
    return False


def _starts(mpirun: Mpirun, host: str, timeout_s: float) -> bool:
    """Open MPI 5's mpirun may wait for ever for a process that ends as soon as it has begun."""
    one = Placement(1, 1, bind=False)
    argv = mpirun_argv(mpirun, one, ["sleep", "1"], hosts={host: 1}, passed=())
    added = job_environment(mpirun, one, os.geteuid(), "probe")
    process = subprocess.Popen(
        argv,
        env=dict(os.environ) | added,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return process.wait(timeout_s) == 0
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return False
