"""Batch scripts of a pipeline for Slurm: plain data in, text out; nothing is asked or started here.

The steps are convert -> partition -> train -> evaluate -> report, each a script of its own, so that
each waits, fails and is started again by itself. Templates are in templates/.
"""

import dataclasses
import itertools
import re
import shlex
import string
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter, validators

from batchgnn.base.errors import ConfigError
from batchgnn.launch.mpirun import (
    THREAD_VARIABLES,
    Flavour,
    Mpirun,
    Placement,
    drops_lost_ranks,
    mpirun_argv,
)
from batchgnn.settings.checks import AT_LEAST_ONE

WORK, PLACE, SOFTWARE = Group("Work"), Group("Resources"), Group("Software")
STEPS = ("convert", "partition", "train", "evaluate", "report")
"In the order in which they wait for each other."

TIME = re.compile(r"(\d+-)?\d+(:\d+){0,2}")
PLAIN = re.compile(r"[\w@%+=:,./ -]*")
"Options of a sweep, which the shell splits at spaces."
SHELL = ("container", "program")
"Options that are text of the shell."

WORD = re.compile(r"[^\s'\"#]*")


def _refuse_control(what: str, value: object) -> None:
    """Raise ConfigError when a value, or one of several, would begin a new line of a script."""
    for each in value if isinstance(value, tuple) else (value,):
        if isinstance(each, str | Path) and not str(each).replace("\t", " ").isprintable():
            raise ConfigError(
                f"{what} {str(each)!r}: line breaks and other control characters are not possible "
                "here, they would end up as lines of a script. Write it in one line."
            )


def convert_words(convert: str, graph: Path) -> list[str]:
    """The words of `batchgnn data`, with the graph store that it is to write."""
    words = shlex.split(convert)
    first = next((i for i, word in enumerate(words) if word.startswith("-")), len(words))
    return [*words[:first], str(graph), *words[first:]]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """What to run, on what, with which software. Every field is an option and a key of the TOML."""

    name: Annotated[str, Parameter(group=WORK)] = "batchgnn"
    "Beginning of the jobs' names."

    convert: Annotated[str | None, Parameter(group=WORK)] = None
    """How the graph store is made, as for `batchgnn data` without the output: "convert ogb DIR" or
    "generate communities --vertices 100000". [default: --graph is there]"""

    graph: Annotated[Path | None, Parameter(group=WORK)] = None
    "Graph store. [default: FOLDER/graph.h5]"

    cut: Annotated[str | None, Parameter(group=WORK, allow_leading_hyphen=True)] = None
    'Options of `batchgnn partition`, such as "--shards 32". [default: --shards is there]'

    shards: Annotated[Path | None, Parameter(group=WORK)] = None
    "Shard store. [default: FOLDER/shards]"

    train: Annotated[str, Parameter(group=WORK, allow_leading_hyphen=True)] = ""
    'Options of `batchgnn train`, such as "--model sage --epochs 20".'

    seeds: Annotated[tuple[int, ...], Parameter(group=WORK, consume_multiple=True)] = ()
    "Train once with each of these --seed, as a job array."

    sweep: Annotated[tuple[str, ...], Parameter(group=WORK, allow_leading_hyphen=True)] = ()
    """Train once with each of these options, as a job array: --sweep "--lr 0.01" --sweep
    "--lr 0.003"; with --seeds, each with each."""

    at_once: Annotated[int | None, Parameter(group=WORK), AT_LEAST_ONE] = None
    "Runs of a job array at one time. [default: as many as Slurm lets]"

    report: Annotated[bool, Parameter(group=WORK)] = True
    "End with `batchgnn report`."

    nodes: Annotated[int, Parameter(group=PLACE), AT_LEAST_ONE] = 1
    "Nodes that train and evaluate; the other steps run on one."

    ranks_per_node: Annotated[int, Parameter(group=PLACE), AT_LEAST_ONE] = 1
    "MPI processes on each of them; one per socket or NUMA domain is a good choice."

    threads_per_rank: Annotated[int, Parameter(group=PLACE), AT_LEAST_ONE] = 1
    "Cores of each rank."

    time: Annotated[str, Parameter(group=PLACE)] = "4:00:00"
    "Time limit of training, as Slurm writes it: minutes, H:M:S or D-H:M:S. It goes on after it."

    other_time: Annotated[str, Parameter(group=PLACE)] = "2:00:00"
    "Time limit of each other step."

    save_before: Annotated[int, Parameter(group=PLACE, validator=validators.Number(gte=10))] = 120
    "Seconds before the time limit at which training saves its state and waits for a new job."

    memory: Annotated[str | None, Parameter(group=PLACE)] = None
    "Memory of each node, such as 180G. [default: Slurm's]"

    partition: Annotated[str | None, Parameter(group=PLACE)] = None
    "Slurm's partition (queue)."

    account: Annotated[str | None, Parameter(group=PLACE)] = None
    "Account to charge."

    sbatch: Annotated[tuple[str, ...], Parameter(group=PLACE, allow_leading_hyphen=True)] = ()
    'Another option of sbatch, such as "--exclusive"; may be repeated.'

    modules: Annotated[tuple[str, ...], Parameter(group=SOFTWARE, consume_multiple=True)] = ()
    "Environment modules to load."

    venv: Annotated[Path | None, Parameter(group=SOFTWARE)] = None
    "Python environment to activate. [default: the one that writes the scripts]"

    container: Annotated[str | None, Parameter(group=SOFTWARE)] = None
    """Words before every batchgnn command, such as "apptainer exec image.sif"; text of the shell,
    which stands in the scripts as it is: quote what has spaces, $HOME is replaced on the node."""

    program: Annotated[str, Parameter(group=SOFTWARE)] = "batchgnn"
    'How batchgnn is called on the nodes, such as "python -m batchgnn"; text of the shell too.'

    mpi: Annotated[Literal["openmpi", "mpich"] | None, Parameter(group=SOFTWARE)] = None
    "Which MPI starts the ranks. [default: that of the mpirun found here]"

    start: Annotated[Literal["mpirun", "srun"], Parameter(group=SOFTWARE)] = "mpirun"
    "mpirun inside the allocation works everywhere; srun where Slurm and the MPI share a PMI."

    srun_mpi: Annotated[Literal["pmix", "pmi2"] | None, Parameter(group=SOFTWARE)] = None
    "srun's --mpi; `srun --mpi=list` tells. [default: pmix for Open MPI, pmi2 for MPICH]"

    bind: Annotated[bool, Parameter(group=SOFTWARE)] = True
    "Bind each rank to cores of its own."

    @property
    def ranks(self) -> int:
        """Of training."""
        return self.nodes * self.ranks_per_node

    @property
    def variants(self) -> list[str]:
        """Options of each run of the job array; empty: one run, no array."""
        seeds = [f"--seed {seed}" for seed in self.seeds] or [""]
        found = itertools.product(seeds, self.sweep or [""])
        return [" ".join(filter(None, pair)) for pair in found] if self.seeds or self.sweep else []

    def check(self) -> None:
        """Raise ConfigError for what no script can be made of."""
        for field in dataclasses.fields(self):
            _refuse_control(f"--{field.name.replace('_', '-')}", getattr(self, field.name))
        for name in ("name", "memory", "partition", "account"):
            if not WORD.fullmatch(value := getattr(self, name) or ""):
                raise ConfigError(f"--{name} {value!r}: no spaces, quotes or # are possible here.")
        if not (self.convert or self.cut or self.train):
            raise ConfigError(
                'nothing to run: give --train "--model sage ...", and --convert and --cut where '
                "the graph is not yet converted and cut. batchgnn slurm write --help lists all."
            )
        for option, value in (("--time", self.time), ("--other-time", self.other_time)):
            if not TIME.fullmatch(value):
                raise ConfigError(f"{option} {value}: write minutes, H:M:S or D-H:M:S.")
        for each in self.sweep:
            if not PLAIN.fullmatch(each):
                raise ConfigError(f"--sweep {each!r}: quotes and $ are not possible here.")
        for option in ("convert", "cut", "train", *SHELL):
            try:
                words = shlex.split(getattr(self, option) or "")
            except ValueError as error:
                raise ConfigError(f"--{option}: {error}.") from error
            if option in SHELL and any(word.startswith("#") for word in words):
                raise ConfigError(f"--{option}: # would hide the command behind it.")
        if {"--run", "--resume", "--seed"} & set(shlex.split(self.train)) - (
            set() if self.seeds else {"--seed"}
        ):
            raise ConfigError(
                "--train: the script sets --run and --resume itself, and --seed with --seeds; "
                "leave them out."
            )


class _Template(string.Template):
    delimiter = "@"


@dataclass(frozen=True)
class _Writer:
    """The scripts of one pipeline in a folder."""

    of: Pipeline
    folder: Path

    @property
    def graph(self) -> Path:
        return self.of.graph or self.folder / "graph.h5"

    @property
    def shards(self) -> Path:
        return self.of.shards or self.folder / "shards"

    def convert(self) -> str:
        words = convert_words(self.of.convert or "", self.graph)
        return self._alone("convert", "Make the graph store", ["data", *words], self.graph)

    def partition(self) -> str:
        words = ["partition", self.graph, self.shards, *shlex.split(self.of.cut or "")]
        return self._alone("partition", "Cut the graph into shards", words, self.shards)

    def train(self) -> str:
        of = self.of
        words = self._words(["train", self.shards], ' --run "$run" $resume')
        options = shlex.join(shlex.split(of.train))
        last = " ".join(filter(None, [words, options, "$options" if of.variants else ""]))
        extra = [
            "--requeue",
            f"--signal=B:USR1@{of.save_before}",
        ]
        place = f"{of.nodes} nodes x {of.ranks_per_node} ranks x {of.threads_per_rank} threads"
        return self._filled(
            "train.sh.in",
            what=f"Train on {place}",
            sbatch=self._sbatch("train", of.time, extra, array=True),
            run=self._run(options=True),
            start=self._start(),
            command=last,
            end="TERM" if of.mpi == "mpich" and of.start == "mpirun" else "USR2",
        )

    def evaluate(self) -> str:
        return self._filled(
            "ranks.sh.in",
            what="Score the best model of the run",
            sbatch=self._sbatch("evaluate", self.of.other_time, [], array=True),
            run=self._run(),
            start=self._start(),
            command=self._words(["evaluate"], ' "$run"'),
        )

    def report(self) -> str:
        return self._filled(
            "one.sh.in",
            what="Write the report of the run",
            sbatch=self._sbatch("report", self.of.other_time, [], array=True),
            command="\n".join([self._run(), self._words(["report", "--overwrite"], ' "$run"')]),
        )

    def _alone(self, step: str, what: str, words: list, made: Path) -> str:
        """A step on one node, which is passed over when it was done before."""
        output = shlex.quote(str(made))
        command = f"if [ ! -e {output} ]; then\n    {self._words(words)}\nfi"
        sbatch = self._sbatch(step, self.of.other_time, ["--requeue"])
        return self._filled("one.sh.in", what=what, sbatch=sbatch, command=command)

    def _words(self, words: list, unquoted: str = "") -> str:
        before = f"{self.of.container} " if self.of.container else ""
        return f"{before}{self.of.program} {shlex.join(map(str, words))}{unquoted}"

    def _filled(self, template: str, **values: str) -> str:
        text = files("batchgnn.launch").joinpath("templates", template).read_text()
        values |= {"folder": shlex.quote(str(self.folder)), "setup": self._setup()}
        return _Template(text).substitute(values)

    def _sbatch(self, step: str, time: str, more: list[str], array: bool = False) -> str:
        of, variants = self.of, self.of.variants if array else []
        on_all = step in ("train", "evaluate")
        log = f"{step}-%A-%a.log" if variants else f"{step}-%j.log"
        cores = of.ranks_per_node * of.threads_per_rank
        options = [
            f"--job-name={of.name}-{step}",
            f"--output={shlex.quote(str(self.folder / 'logs' / log))}",
            "--open-mode=append",
            f"--nodes={of.nodes if on_all else 1}",
            f"--ntasks-per-node={of.ranks_per_node if on_all else 1}",
            f"--cpus-per-task={of.threads_per_rank if on_all else cores}",
            f"--time={time}",
        ]
        options += [f"--mem={of.memory}"] if of.memory else []
        options += [f"--partition={of.partition}"] if of.partition else []
        options += [f"--account={of.account}"] if of.account else []
        if variants:
            limit = f"%{of.at_once}" if of.at_once else ""
            options.append(f"--array=0-{len(variants) - 1}{limit}")
        return "\n".join(f"#SBATCH {option}" for option in [*options, *more, *of.sbatch])

    def _setup(self) -> str:
        of = self.of
        lines = [f"module load {shlex.join(of.modules)}"] if of.modules else []
        lines += [f"source {shlex.quote(str(of.venv / 'bin' / 'activate'))}"] if of.venv else []
        lines += [f"export {name}=$SLURM_CPUS_PER_TASK" for name in THREAD_VARIABLES]
        return "\n".join(lines)

    def _run(self, options: bool = False) -> str:
        """Which run folder; of an array also which options."""
        run = shlex.quote(str(self.folder / "run"))
        if not self.of.variants:
            return f"run={run}"
        lines = [f"run={run}-$SLURM_ARRAY_TASK_ID"]
        if options:
            lines += ["variants=(", *(f"    '{each}'" for each in self.of.variants), ")"]
            lines.append("options=${variants[$SLURM_ARRAY_TASK_ID]}")
        return "\n".join(lines)

    def _start(self) -> str:
        """What starts the ranks, bound to cores, in front of their command."""
        of = self.of
        if of.start == "srun":
            pmi = of.srun_mpi or ("pmix" if of.mpi == "openmpi" else "pmi2")
            threads = f"--cpus-per-task={of.threads_per_rank}"
            bind = "cores" if of.bind else "none"
            return f"srun --mpi={pmi} --ntasks={of.ranks} {threads} --cpu-bind={bind}"
        flavour = Flavour.OPENMPI5 if of.mpi == "openmpi" else Flavour.MPICH
        mpirun = Mpirun("mpirun" if of.mpi == "openmpi" else "mpiexec", flavour)
        placement = Placement(of.ranks, of.threads_per_rank, bind=of.bind)
        argv = mpirun_argv(
            mpirun,
            placement,
            [],
            passed=THREAD_VARIABLES,
            per_node=of.ranks_per_node,
            survives=drops_lost_ranks(shlex.split(of.train)),
        )
        return shlex.join(argv)


def scripts(pipeline: Pipeline, folder: Path) -> dict[str, str]:
    """Step -> text of its batch script, in order, for a pipeline whose `mpi` is known.

    folder: absolute; holds what the steps make
    """
    _refuse_control("FOLDER", folder)
    pipeline.check()
    writer = _Writer(pipeline, folder)
    left_out = {
        "convert": pipeline.convert is None,
        "partition": pipeline.cut is None,
        "report": not pipeline.report,
    }
    steps = [step for step in STEPS if not left_out.get(step)]
    return {step: getattr(writer, step)() for step in steps}
