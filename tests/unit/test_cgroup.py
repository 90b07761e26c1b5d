"""Limits of control groups, of both versions, as containers and batch systems lay them out."""

import os
import subprocess
import sys
import uuid
from pathlib import Path

import psutil
import pytest

from batchgnn.base import bytes as sizes
from batchgnn.base import threads
from batchgnn.base.cgroup import MemoryLimit, core_limit, memory_limit

MIB = 1 << 20
V1_NONE = 9223372036854771712
V1 = "31 23 0:32 {top} /sys/fs/cgroup/{name} rw,relatime - cgroup cgroup rw,{name}\n"
V2 = "30 23 0:26 {top} /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"


@pytest.fixture
def machine(tmp_path):
    """A function that lays files out below a root: {path: text}."""

    def laid_out(files):
        for path, text in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(str(text))
        return tmp_path

    return laid_out


def test_docker_of_version_2_sees_its_own_group_as_the_top(machine):
    root = machine(
        {
            "proc/self/cgroup": "0::/\n",
            "proc/self/mountinfo": V2.format(top="/"),
            "sys/fs/cgroup/memory.max": 400 * MIB,
            "sys/fs/cgroup/memory.current": 150 * MIB,
            "sys/fs/cgroup/memory.stat": f"anon 1\ninactive_file {30 * MIB}\nactive_file {MIB}\n",
            "sys/fs/cgroup/cpu.max": "150000 100000\n",
        }
    )
    assert memory_limit(root) == MemoryLimit(400 * MIB, (400 - 150 + 31) * MIB)
    assert core_limit(root) == 1.5


def test_slurm_of_version_2_limits_the_job_above_the_task(machine):
    job = "system.slice/slurmstepd.scope/job_7"
    root = machine(
        {
            "proc/self/cgroup": f"0::/{job}/step_0/user/task_0\n",
            "proc/self/mountinfo": V2.format(top="/"),
            f"sys/fs/cgroup/{job}/step_0/user/task_0/memory.max": "max\n",
            f"sys/fs/cgroup/{job}/step_0/memory.max": 900 * MIB,
            f"sys/fs/cgroup/{job}/step_0/memory.current": 0,
            f"sys/fs/cgroup/{job}/memory.max": 800 * MIB,
            f"sys/fs/cgroup/{job}/memory.current": 100 * MIB,
            f"sys/fs/cgroup/{job}/cpu.max": "max 100000\n",
        }
    )
    assert memory_limit(root) == MemoryLimit(800 * MIB, 700 * MIB)
    assert core_limit(root) is None


def test_docker_of_version_1_is_mounted_from_its_own_group(machine):
    root = machine(
        {
            "proc/self/cgroup": "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n0::/\n",
            "proc/self/mountinfo": V1.format(top="/docker/abc", name="memory")
            + V1.format(top="/docker/abc", name="cpu,cpuacct"),
            "sys/fs/cgroup/memory/memory.limit_in_bytes": 512 * MIB,
            "sys/fs/cgroup/memory/memory.usage_in_bytes": 500 * MIB,
            "sys/fs/cgroup/memory/memory.stat": f"active_file 5\ntotal_active_file {100 * MIB}\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": 200000,
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": 100000,
        }
    )
    assert memory_limit(root) == MemoryLimit(512 * MIB, 112 * MIB)
    assert core_limit(root) == 2


def test_a_group_of_version_1_without_a_limit_has_that_of_its_job(machine):
    step = "slurm/uid_0/job_1/step_0"
    root = machine(
        {
            "proc/self/cgroup": f"9:name=systemd:/\n4:memory:/{step}\n1:cpu:/\n",
            "proc/self/mountinfo": V1.format(top="/", name="memory")
            + V1.format(top="/", name="cpu"),
            f"sys/fs/cgroup/memory/{step}/memory.limit_in_bytes": V1_NONE,
            "sys/fs/cgroup/memory/slurm/uid_0/job_1/memory.limit_in_bytes": 64 * MIB,
            "sys/fs/cgroup/memory/memory.limit_in_bytes": V1_NONE,
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": -1,
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": 100000,
        }
    )
    assert memory_limit(root) == MemoryLimit(64 * MIB, 64 * MIB)
    assert core_limit(root) is None


@pytest.mark.parametrize(
    "files", [{}, {"proc/self/cgroup": "nonsense\n4:memory\n", "proc/self/mountinfo": "1 - x\n"}]
)
def test_files_that_are_missing_or_strange_set_no_limit(machine, files):
    assert memory_limit(machine(files)) is core_limit(machine(files)) is None


def test_a_limit_above_the_machine_is_none(monkeypatch):
    more = MemoryLimit(1 << 50, 1 << 50)
    monkeypatch.setattr(sizes, "memory_limit", lambda: more)
    assert sizes.memory_here().total == psutil.virtual_memory().total


def test_ranks_share_what_a_container_may_use(monkeypatch):
    monkeypatch.setattr(sizes, "memory_limit", lambda: MemoryLimit(400 * MIB, 300 * MIB))
    monkeypatch.setattr(threads, "core_limit", lambda: 2.0)
    assert sizes.allowed_bytes(None, 3) == 100 * MIB
    assert sizes.allowed_bytes("1G", 3) == 1 << 30
    assert threads.threads_for(None, list(range(8)), [list(range(8))]) == 2
    assert threads.threads_for(None, [0, 1, 2, 3], [[0, 1, 2, 3], [4, 5, 6, 7]]) == 1
    assert threads.usable_cores(64) == 2


def test_more_threads_than_a_container_has_are_refused(monkeypatch):
    monkeypatch.setattr(threads, "core_limit", lambda: 0.5)
    with pytest.raises(threads.ConfigError, match=r"the container or job on .* has 1 cores"):
        threads.threads_for(2, [0], [[0]])


def test_the_real_group_of_this_machine_is_what_doctor_goes_by():
    group = _new_group()
    try:
        line = f"echo $$ > {group}/cgroup.procs && exec {sys.executable} -m batchgnn doctor"
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=300)
        [memory] = [each for each in done.stdout.splitlines() if each.startswith("memory")]
        assert "of 700.0 MiB free (the limit of the container or job" in memory
    finally:
        group.rmdir()


def _new_group():
    """A group of this machine with 700 MiB, of whichever version it can be made."""
    name = f"batchgnn-test-{uuid.uuid4().hex[:8]}"
    for top, limit in (("memory", "memory.limit_in_bytes"), ("", "memory.max")):
        group = Path("/sys/fs/cgroup") / top / name
        try:
            group.mkdir()
        except OSError:
            continue
        if os.access(group / limit, os.W_OK):
            (group / limit).write_text(str(700 * MIB))
            return group
        group.rmdir()
    pytest.skip("no control group can be made here")
    return None
