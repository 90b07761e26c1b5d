"""A Slurm of the test's own: munged, slurmctld and some slurmd, all on this machine's loopback.

Each slurmd is a node n1 ... nN with a port of its own ("multiple slurmd" mode, which Debian's
packages have). All state is in one folder; nothing of the machine's own Slurm or munge is read,
and only processes that were started here are ended.

    with private_slurm(folder, nodes=4) as slurm:
        subprocess.run(["sbatch", "job.sh"], env=dict(os.environ) | slurm.environment)
"""

import contextlib
import ctypes
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

DAEMONS = ("munged", "slurmctld", "slurmd")
TOOLS = ("sbatch", "squeue", "scancel", "scontrol", "sinfo", "srun")
FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/sbin")
UP_S, DOWN_S = 30, 15
PR_SET_PDEATHSIG = 1

CONFIGURATION = """
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.sock,cred_expire=5
SlurmctldPort={port}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdSpoolDir={folder}/spool-%n
StateSaveLocation={folder}/state
TmpFS={folder}/tmp-%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_min_interval=100000,batch_sched_delay=0,bf_interval=1
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
JobRequeue=1
ReturnToService=2
KillWait=5
InactiveLimit=0
SlurmdTimeout=10
NodeName=n[1-{nodes}] NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports} CPUs={cpus}
PartitionName=main Nodes=n[1-{nodes}] Default=YES MaxTime=INFINITE State=UP
"""


def why_not() -> str | None:
    """Why no Slurm can be started here, or None."""
    missing = [name for name in (*DAEMONS, *TOOLS) if _found(name) is None]
    if missing:
        return f"a private Slurm needs {', '.join(missing)}: apt-get install slurm-wlm munge"
    return None


@dataclass
class Slurm:
    """The running cluster."""

    folder: Path
    daemons: list[subprocess.Popen] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """What makes Slurm's commands talk to this cluster."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def call(self, *argv: object) -> str:
        """What one of Slurm's commands printed; it must end well."""
        done = subprocess.run(
            list(map(str, argv)),
            env=dict(os.environ) | self.environment,
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert done.returncode == 0, f"{argv}: {done.stderr}"
        return done.stdout

    def start(self, name: str, *argv: object) -> None:
        """Start a daemon in the foreground; it is ended with this process."""
        program = _found(name)
        assert program is not None
        with (self.folder / f"{name}-{len(self.daemons)}.out").open("w") as out:
            daemon = subprocess.Popen(
                [program, *map(str, argv)],
                env=dict(os.environ) | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
        self.daemons.append(daemon)

    def processes(self) -> list[psutil.Process]:
        """What runs in the cluster's jobs, daemons included."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                mine = process.environ().get("SLURM_CONF") == self.environment["SLURM_CONF"]
                if mine or (process.name().startswith("slurmstepd") and self._has_open(process)):
                    found.append(process)
        return found

    def _has_open(self, process: psutil.Process) -> bool:
        """Whether a process, whose environment Slurm has cleared, writes to a log of ours."""
        files = Path(f"/proc/{process.pid}/fd").iterdir()
        return any(os.readlink(each).startswith(f"{self.folder}/") for each in files)

    def down(self) -> None:
        """End all jobs, then the daemons, last what they left."""
        with contextlib.suppress(AssertionError, subprocess.TimeoutExpired, OSError):
            if jobs := self.call("squeue", "-h", "-o", "%A").split():
                self.call("scancel", *jobs)
            end = time.monotonic() + DOWN_S
            while self.call("squeue", "-h") and time.monotonic() < end:
                time.sleep(0.2)
        for daemon in reversed(self.daemons):
            daemon.terminate()
        end = time.monotonic() + DOWN_S
        for daemon in self.daemons:
            with contextlib.suppress(subprocess.TimeoutExpired):
                daemon.wait(max(0.1, end - time.monotonic()))
        for process in self.processes():
            if process.pid != os.getpid():
                with contextlib.suppress(psutil.Error):
                    process.kill()
        for daemon in self.daemons:
            daemon.kill()
            daemon.wait()


@contextlib.contextmanager
def private_slurm(folder: Path, nodes: int = 4, cpus: int = 2) -> Iterator[Slurm]:
    """A cluster for the time of a block; `folder` must not exist.

    Other users may submit jobs where they may pass through the folders above it.
    """
    folder.mkdir(parents=True, mode=0o755)
    slurm = Slurm(folder)
    try:
        _munge(slurm)
        first = _free_ports(nodes + 1)
        text = CONFIGURATION.format(
            user=getpass.getuser(), folder=folder, port=first, nodes=nodes, cpus=cpus,
            ports=f"{first + 1}-{first + nodes}" if nodes > 1 else str(first + 1),
        )  # fmt: skip
        (folder / "slurm.conf").write_text(text)
        (folder / "state").mkdir()
        slurm.start("slurmctld", "-D", "-c")
        for number in range(1, nodes + 1):
            (folder / f"spool-n{number}").mkdir()
            (folder / f"tmp-n{number}").mkdir(mode=0o755)  # where srun's PMIx keeps its own
            slurm.start("slurmd", "-D", "-N", f"n{number}")
        _until(lambda: _num_idle(slurm) == nodes, "all nodes are idle", slurm)
        yield slurm
    finally:
        slurm.down()


def _munge(slurm: Slurm) -> None:
    key, sock = slurm.folder / "munge.key", slurm.folder / "munge.sock"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    files = {"key-file": "munge.key", "socket": "munge.sock", "pid-file": "munge.pid",
             "log-file": "munge.log", "seed-file": "munge.seed"}  # fmt: skip
    options = [f"--{option}={slurm.folder / name}" for option, name in files.items()]
    slurm.start("munged", "--foreground", "--force", "--num-threads=2", *options)
    _until(sock.exists, "munged listens", slurm)


def _num_idle(slurm: Slurm) -> int:
    done = subprocess.run(
        ["sinfo", "-h", "-t", "idle", "-o", "%D"],
        env=dict(os.environ) | slurm.environment,
        capture_output=True,
        text=True,
    )
    return int(done.stdout or 0) if done.stdout.strip().isdigit() else 0


def _until(is_so, what: str, slurm: Slurm) -> None:
    end = time.monotonic() + UP_S
    while not is_so():
        if time.monotonic() > end:
            said = [f"{p.name}: {p.read_text()[-500:]}" for p in slurm.folder.glob("*.out")]
            raise AssertionError("\n".join([f"not within {UP_S} s: {what}", *said]))
        time.sleep(0.1)


def _free_ports(count: int) -> int:
    """The first of `count` ports in a row that are free now."""
    for first in range(26800 + os.getpid() % 1000, 60000, count):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(first, first + count):
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
            return first
    raise AssertionError("no free ports")


def _found(name: str) -> str | None:
    return shutil.which(name) or next(
        (path for each in FOLDERS if (path := shutil.which(f"{each}/{name}"))), None
    )


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
