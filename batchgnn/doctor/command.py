"""`batchgnn doctor`: what a job will run on, what is wrong with it, and what to type against it."""

import dataclasses
import json as json_format
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numba

from batchgnn.base.bytes import format_bytes
from batchgnn.base.environment import rank_from_environment
from batchgnn.base.errors import RankError
from batchgnn.base.parse import parse_json
from batchgnn.base.threads import choose_threading_layer, own_cores, threads_for, use_threads
from batchgnn.comm.failure import abort_on_exception
from batchgnn.comm.grid import describe, start
from batchgnn.comm.mpi import NoMpiError
from batchgnn.comm.values import values_at_first, values_of_all
from batchgnn.doctor import machine

SEGMENT_BYTES = 16 << 20
"What Open MPI takes of /dev/shm for every rank of a node."

NO_MPI = {"vendor": "none", "version": "", "threads": "MPI_THREAD_MULTIPLE", "library": "none"}
"In place of what `describe` says; nothing is wrong with its threads."

Job = dict[str, Any]
"What is the same on all ranks (`mpi`, `safe_layer`), and `ranks`, the facts of each."


@dataclass(frozen=True)
class Finding:
    """Something wrong; an error will make runs fail, a warning makes them slow or differ."""

    level: Literal["error", "warning"]
    text: str


def doctor(*, json: bool = False) -> None:
    """Print what a job would run on, and what is wrong; under mpirun, of all its ranks.

    Exit status 1 when something will make runs fail.

    Parameters
    ----------
    json
        print everything as JSON
    """
    safe = choose_threading_layer()
    try:
        with start() as grid, abort_on_exception(grid.world):
            threads = threads_for(None, own_cores(), values_of_all(grid.node, own_cores()))
            ranks = values_at_first(grid.world, _facts(grid.rank, threads))
            failed = False
            if ranks is not None:
                job = {"mpi": describe(), "safe_layer": safe, "ranks": ranks}
                failed = report(job, list(diagnose(job)), json)
            failed = any(values_of_all(grid.world, failed))
    except NoMpiError as error:
        threads = threads_for(None, own_cores(), [own_cores()])
        job = {"mpi": NO_MPI, "safe_layer": safe, "ranks": [_facts(0, threads)]}
        failed = report(job, [Finding("error", str(error)), *diagnose(job)], json)
    except RankError as error:
        if error.on_all_ranks or rank_from_environment() != 0:
            raise
        failed = report(None, [Finding("error", str(error))], json)
    if failed:
        sys.exit(1)


def _facts(rank: int, threads: int) -> dict[str, Any]:
    """The facts of this process, with the threads that a run would have."""
    with use_threads(threads):
        found = {"kernel_threads": numba.get_num_threads(), "layer": numba.threading_layer()}
        return machine.facts() | found | {"rank": rank, "threads": threads}


def report(job: Job | None, findings: list[Finding], as_json: bool) -> bool:
    """Print a job and what is wrong with it; whether runs will fail."""
    if as_json:
        said = {"job": job, "findings": [dataclasses.asdict(each) for each in findings]}
        print(json_format.dumps(said, indent=2), flush=True)
    else:
        lines = [] if job is None else [*table(job), ""]
        lines += [f"{each.level}: {each.text}" for each in findings] or ["Nothing wrong found."]
        print("\n".join(lines), flush=True)
    return any(each.level == "error" for each in findings)


def table(job: Job) -> list[str]:
    """Lines for people: what the ranks have in common, then a line for each rank."""
    mpi, ranks = job["mpi"], job["ranks"]
    first = ranks[0]
    memory, shared, cache = first["memory"], first["shared_memory"], first["cache"]
    rows = {
        "versions": ", ".join(f"{name} {each}" for name, each in first["versions"].items()),
        "MPI": f"{mpi['vendor']} {mpi['version']}, {mpi['threads']}, {mpi['library']}",
        "ranks": f"{len(ranks)}; nodes: {len(by_host(ranks))}",
        "kernels": f"threading layer {first['layer']}, "
        + ("safe" if job["safe_layer"] else "not safe")
        + " with the background thread",
        "BLAS": "; ".join(first["blas"]) or "unknown",
        "cache": f"{cache['folder']} ({cache['file_system']}), {cache['kernels']} kernels",
        "memory": f"{format_bytes(memory['available'])} of {format_bytes(memory['total'])} free"
        + _limited(
            memory["total"] < memory["machine"],
            f"the machine has {format_bytes(memory['machine'])}",
        ),
        "/dev/shm": f"{format_bytes(shared['free'])} of {format_bytes(shared['total'])} free",
        "huge pages": first["huge_pages"],
        **first["variables"],
    }
    width = max(map(len, rows))
    lines = [f"{name:{width}}  {value}" for name, value in rows.items()]
    return lines + [
        f"{'rank ' + str(each['rank']):{width}}  {each['host']}, threads: {each['threads']}, "
        f"cores: {spans(each['cores'])} of {each['machine_cores']}"
        + _limited(each["core_limit"] is not None, f"{each['core_limit'] or 0:g} cores' time")
        for each in ranks
    ]


def _limited(is_limited: bool, what: str) -> str:
    """Whether a container or a batch job has less than the machine, and what."""
    return f" (the limit of the container or job: {what})" * is_limited


def spans(cores: list[int]) -> str:
    """Ascending numbers, runs of them joined: `0-3 8`."""
    runs: list[list[int]] = []
    for core in cores:
        if runs and core == runs[-1][-1] + 1:
            runs[-1].append(core)
        else:
            runs.append([core])
    return " ".join(f"{run[0]}-{run[-1]}" if run[1:] else str(run[0]) for run in runs)


def by_host(ranks: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The ranks of each node."""
    hosts: dict[str, list[dict[str, Any]]] = {}
    for rank in ranks:
        hosts.setdefault(rank["host"], []).append(rank)
    return hosts


def diagnose(job: Job) -> Iterator[Finding]:
    """What is wrong, the worst first."""
    ranks = job["ranks"]
    yield from _different_software(ranks)
    for host, here in by_host(ranks).items():
        yield from _small_shared_memory(host, here, job["mpi"]["vendor"])
    if job["mpi"]["threads"] != "MPI_THREAD_MULTIPLE" or not job["safe_layer"]:
        yield from _no_overlap(job)
    for host, here in by_host(ranks).items():
        yield from _crowded(host, here)
        yield from _slow_cache(host, here[0]["cache"])
    yield from _ignored_variables(ranks[0])
    if not ranks[0]["blas"]:
        yield Finding(
            "warning",
            "numpy's BLAS is not one whose threads can be set, so that ranks may crowd each other "
            "out: install numpy from PyPI or conda-forge (OpenBLAS or MKL).",
        )


def _different_software(ranks: list[dict[str, Any]]) -> Iterator[Finding]:
    kinds = Counter(json_format.dumps(each["versions"]) for each in ranks)
    if len(kinds) > 1:
        usual = parse_json(kinds.most_common(1)[0][0])
        other = next(each for each in ranks if each["versions"] != usual)
        name = next(name for name in usual if other["versions"][name] != usual[name])
        yield Finding(
            "error",
            f"{other['host']} has {name} {other['versions'][name]} where others have "
            f"{usual[name]}: start all ranks from the same environment.",
        )


def _small_shared_memory(host: str, here: list[dict[str, Any]], vendor: str) -> Iterator[Finding]:
    free, needed = here[0]["shared_memory"]["free"], SEGMENT_BYTES * len(here)
    if len(here) > 1 and vendor == "Open MPI" and free < needed:
        yield Finding(
            "error",
            f"/dev/shm of {host} has {format_bytes(free)} free and {len(here)} ranks of Open MPI "
            f"need {format_bytes(needed)}, or they end with a bus error: start the container with "
            "--shm-size=1g, or set OMPI_MCA_btl=self,tcp.",
        )


def _no_overlap(job: Job) -> Iterator[Finding]:
    if not job["safe_layer"]:
        yield Finding(
            "warning",
            "Numba found no threading layer that two threads may use, so that training goes on "
            "with --no-overlap: install an OpenMP run-time (libgomp1) or pip install tbb.",
        )
    if job["mpi"]["threads"] != "MPI_THREAD_MULTIPLE":
        yield Finding(
            "warning",
            f"this MPI gives {job['mpi']['threads']}, so that training goes on with --no-overlap: "
            "load an MPI built with MPI_THREAD_MULTIPLE.",
        )


def _crowded(host: str, here: list[dict[str, Any]]) -> Iterator[Finding]:
    """More threads than cores, or cores that several ranks share although there are enough."""
    seen = Counter(core for each in here for core in each["cores"])
    threads = sum(each["threads"] for each in here)
    if threads > len(seen):
        fitting = max(1, len(seen) // here[0]["threads"])
        yield Finding(
            "warning",
            f"{len(here)} ranks with {threads} threads in all share {len(seen)} cores of {host}: "
            f"start {fitting}, with batchgnn launch -n {fitting}, or ask for more cores.",
        )
    elif max(seen.values()) > 1:
        each = max(1, len(seen) // len(here))
        yield Finding(
            "warning",
            f"the ranks of {host} are not bound to cores of their own: start them with batchgnn "
            f"launch, with mpirun --bind-to core --map-by slot:PE={each}, or with srun "
            f"--cpu-bind=cores -c {each}.",
        )
    elif len(here) == 1 and len(seen) < here[0]["machine_cores"] and here[0]["started_ranks"] > 1:
        yield Finding(
            "warning",
            f"the one rank of {host} uses {len(seen)} of its {here[0]['machine_cores']} cores: "
            f"mpirun --map-by node:PE={here[0]['machine_cores']} gives it all.",
        )


def _slow_cache(host: str, cache: dict[str, Any]) -> Iterator[Finding]:
    if not cache["writable"]:
        yield Finding(
            "warning",
            f"{cache['folder']} cannot be written on {host}, so that kernels are compiled anew in "
            "every run: set BATCHGNN_CACHE to a folder that can.",
        )
    elif machine.is_network(cache["file_system"]):
        yield Finding(
            "warning",
            f"the kernels' cache of {host} is on a network file system ({cache['file_system']}), "
            "slow when many ranks start: set BATCHGNN_CACHE to a folder of the node, such as "
            "/tmp/batchgnn.",
        )


def _ignored_variables(rank: dict[str, Any]) -> Iterator[Finding]:
    threads, wish = rank["threads"], rank["variables"].get("OMP_NUM_THREADS")
    if wish is not None and wish != str(threads):
        yield Finding(
            "warning",
            f"OMP_NUM_THREADS={wish} does not count, a rank uses its cores, here {threads}: give "
            f"--threads {wish} if you mean it.",
        )
    if rank["kernel_threads"] < threads:
        yield Finding(
            "warning",
            f"NUMBA_NUM_THREADS holds kernels to {rank['kernel_threads']} of {threads} threads: "
            "unset it.",
        )
