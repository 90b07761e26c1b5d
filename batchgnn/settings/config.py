"""The settings of a training run: one frozen dataclass holds each name, type, default and help.

The command line, `--help`, TOML files and "did you mean" all come from it through cyclopts.
"""

import dataclasses
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import tomli_w
from cyclopts import Group, Parameter, validators
from cyclopts.config import Toml

from batchgnn.base.bytes import parse_bytes
from batchgnn.base.errors import ConfigError

MODEL, SAMPLING = Group("Model"), Group("Sampling (mode macrobatch)")
OPTIMISER, RUN = Group("Optimiser"), Group("Run")
AT_LEAST_ONE = validators.Number(gte=1)
PROBABILITY = validators.Number(gte=0, lt=1)
NOT_NEGATIVE = validators.Number(gte=0)
FeatureDtype = Literal["float32", "float16", "bfloat16"]
Metric = Literal["accuracy", "micro-f1", "macro-f1", "roc-auc"]
DEFAULT_FANOUTS = (15, 10, 5)
MOST_CHUNKS = 1 << 14


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a model is trained. Settings named in `FREE` may change on a resume."""

    mode: Annotated[Literal["macrobatch", "fullgraph", "tensor", "auto"], Parameter(group=RUN)] = (
        "macrobatch"
    )
    """When things happen; see the table of modes in README.md. auto: the one with the shortest
    epoch of those that fit into memory, as `batchgnn plan` predicts it."""

    model: Annotated[Literal["sage", "gcn", "gin", "gat", "gcnii"], Parameter(group=MODEL)] = "sage"
    """GraphSAGE with mean aggregation, GCN, GIN or GAT, as PyTorch Geometric defines them; gcnii: a
    deep GCN whose layers see the first one's rows again (whole-graph modes)."""

    layers: Annotated[int, Parameter(group=MODEL, validator=AT_LEAST_ONE)] = 3
    "Convolutions; the model sees this many hops."

    hidden: Annotated[int, Parameter(group=MODEL, validator=AT_LEAST_ONE)] = 256
    "Width of the hidden layers; for gat: heads x width of a head."

    heads: Annotated[int, Parameter(group=MODEL, validator=AT_LEAST_ONE)] = 4
    "Attention heads of gat's hidden layers; its last layer has one, and so has --decoupled."

    norm: Annotated[Literal["none", "layer", "batch"], Parameter(group=MODEL)] = "none"
    """Normalisation between layers: layer = of each row; batch = of each column over all vertices
    (whole-graph modes), by running averages once trained."""

    alpha: Annotated[float, Parameter(group=MODEL, validator=PROBABILITY)] = 0.1
    "Share of the first layer's rows in every layer of gcnii."

    theta: Annotated[float, Parameter(group=MODEL, validator=NOT_NEGATIVE)] = 0.5
    "How much the weights of gcnii's layers count: layer l's as log(theta / l + 1)."

    residual: Annotated[bool, Parameter(group=MODEL)] = False
    "Hidden layers add their input to their output: for deep models."

    dropout: Annotated[float, Parameter(group=MODEL, validator=PROBABILITY)] = 0.5
    "Probability of dropping an element between layers."

    input_dropout: Annotated[float, Parameter(group=MODEL, validator=PROBABILITY)] = 0.0
    "Probability of dropping an input feature."

    attention_dropout: Annotated[float, Parameter(group=MODEL, validator=PROBABILITY)] = 0.0
    "Probability of dropping an attention coefficient of gat."

    fanouts: Annotated[
        tuple[int, ...] | None,
        Parameter(group=SAMPLING, consume_multiple=True, negative=()),
    ] = None
    """Neighbours kept per hop, from the seeds outward, one per layer; -1 = all.
    [default: 15 10 5, then 5]"""

    batch_size: Annotated[int, Parameter(group=SAMPLING, validator=AT_LEAST_ONE)] = 1024
    "Seeds per optimiser step, over all ranks."

    macrobatch: Annotated[Literal["auto"] | int, Parameter(group=SAMPLING)] = "auto"
    """Minibatches whose sampling and feature fetching share one round of communication; auto = as
    many as --macrobatch-memory holds, at most 16."""

    macrobatch_memory: Annotated[str, Parameter(group=SAMPLING)] = "1G"
    "Memory per rank for the macrobatches of --macrobatch auto; one minibatch always fits."

    topology: Annotated[Literal["sharded", "node-shared"], Parameter(group=SAMPLING)] = "sharded"
    """sharded: who owns a vertex draws its neighbours, asked by messages. node-shared: the ranks of
    a node have a copy of all edges in shared memory, and sampling needs no messages; they read each
    other's input rows there too, where these are held in memory."""

    overlap: Annotated[bool | None, Parameter(group=RUN)] = None
    """Communicate in threads of their own: macrobatch fetches the rows of the next macrobatch and
    samples the one after it while this one trains, fullgraph fetches remote rows while own ones are
    multiplied, tensor sends the rows of a chunk while another is multiplied. [default: where ranks
    send each other rows]"""

    aggregate_cache: Annotated[Literal["off", "memory", "store"] | None, Parameter(group=RUN)] = (
        None
    )
    """Aggregate the input features over all in-neighbours once, and keep that in memory or beside
    the shards: with macrobatch the first layer is then not sampled, and the last number of
    --fanouts not used. [default: off; with fullgraph and tensor memory, where it can be used]"""

    aggregate_memory: Annotated[str | None, Parameter(group=SAMPLING)] = None
    """Memory per rank for --aggregate-cache memory, such as 2G: the vertices most likely to be
    needed are kept, the others aggregated in every step. [default: all are kept]"""

    features: Annotated[Literal["auto", "memory", "mapped"], Parameter(group=RUN)] = "auto"
    """Where a rank's own feature rows are: copied into memory, where they are read faster, or in
    the mapped shards, whose pages the system may drop; auto = copied if they take no more than a
    quarter of the rank's memory."""

    feature_dtype: Annotated[FeatureDtype | None, Parameter(group=SAMPLING)] = None
    """What input rows are kept and sent as: float16 and bfloat16 halve the bytes and round the
    features; arithmetic stays float32. [default: as the shards have them]"""

    feature_cache: Annotated[str | None, Parameter(group=SAMPLING)] = None
    """Memory per rank, such as 512M, for copies of the remote rows that it will need most often;
    they are fetched once, before training. [default: no copies]"""

    chunks: Annotated[Literal["auto"] | int, Parameter(group=RUN)] = "auto"
    """With mode tensor: the edges are walked in so many chunks, and rows of the next and results of
    the last one travel meanwhile; auto = by the size of messages, and so many that the edges fit
    into --memory a chunk at a time where all of them do not."""

    decoupled: Annotated[bool, Parameter(group=MODEL)] = False
    """With mode tensor and model gcn or gat: another model, an MLP of --layers layers and then as
    many propagations of its result, by GCN's matrix, or by attention: one head, whose coefficients
    follow from the MLP's result and are the same in all. 4 all-to-alls an epoch whatever --layers,
    and 2 of gat's scores."""

    tensor_ways: Annotated[int | None, Parameter(group=RUN, validator=AT_LEAST_ONE)] = None
    """With mode tensor: groups of so many ranks slice the columns among themselves, and the shards
    are dealt to the groups, which exchange a halo; a divisor of the number of ranks. Let a group be
    on one node. [default: all ranks are one group]"""

    optimizer: Annotated[Literal["adam", "sgd"], Parameter(group=OPTIMISER)] = "adam"
    "Adam, or SGD with momentum 0.9."

    lr: Annotated[float, Parameter(group=OPTIMISER, validator=validators.Number(gt=0))] = 0.003
    "Learning rate."

    weight_decay: Annotated[float, Parameter(group=OPTIMISER, validator=NOT_NEGATIVE)] = 0.0
    "L2 penalty, added to the gradient."

    conv_weight_decay: Annotated[
        float | None, Parameter(group=OPTIMISER, validator=NOT_NEGATIVE)
    ] = None
    """That of the convolutions, where it is another than that of what stands around them: of
    norms, and of gcnii's linear layers. [default: as --weight-decay]"""

    epochs: Annotated[int, Parameter(group=OPTIMISER, validator=AT_LEAST_ONE)] = 20
    "Passes over the training vertices."

    patience: Annotated[int, Parameter(group=OPTIMISER, validator=NOT_NEGATIVE)] = 0
    "Stop after this many evaluations without a better validation score; 0 = never."

    eval_every: Annotated[int, Parameter(group=OPTIMISER, validator=AT_LEAST_ONE)] = 1
    "Epochs between exact evaluations over all vertices."

    metric: Annotated[Metric | None, Parameter(group=OPTIMISER)] = None
    "Score that chooses the best epoch. [default: accuracy; micro-f1 for multi-label]"

    split_index: Annotated[int, Parameter(group=RUN, validator=NOT_NEGATIVE)] = 0
    "Which of the graph's official splits to use, from 0."

    seed: Annotated[int, Parameter(group=RUN, validator=NOT_NEGATIVE)] = 0
    "Seed of every random draw."

    threads: Annotated[int | None, Parameter(group=RUN, validator=AT_LEAST_ONE)] = None
    "Threads per rank. [default: the cores that the rank is bound to]"

    memory: Annotated[str | None, Parameter(group=RUN)] = None
    "Memory that a rank may use, such as 8G. [default: its share of the node's free memory]"

    stage_to: Annotated[str | None, Parameter(group=RUN)] = None
    """Folder on a disk of each node, such as /local/scratch: every rank copies its shards there
    first, verified, and reads them there. Whole copies of an earlier run are used again."""

    checkpoint_every: Annotated[int, Parameter(group=RUN, validator=NOT_NEGATIVE)] = 0
    "Optimiser steps between checkpoints inside an epoch; 0 = only at the ends of epochs."

    checkpoint_seconds: Annotated[float, Parameter(group=RUN, validator=NOT_NEGATIVE)] = 30.0
    "Least seconds between the checkpoints at the ends of epochs; the last epoch always has one."

    checkpoint_keep: Annotated[int, Parameter(group=RUN, validator=AT_LEAST_ONE)] = 2
    "Checkpoints kept."

    timeline_epoch: Annotated[int, Parameter(group=RUN, validator=NOT_NEGATIVE)] = 2
    """Epoch whose timeline is written, for `batchgnn report` and Perfetto; the last where there are
    fewer; 0 = none."""

    collective_timeout: Annotated[float, Parameter(group=RUN, validator=NOT_NEGATIVE)] = 600.0
    "Seconds after which a collective that waits for a silent rank ends the job; 0 = never."

    @property
    def hops(self) -> tuple[int, ...]:
        """Fanouts of the hops that are sampled, once resolved."""
        assert self.fanouts is not None
        all_aggregated = self.aggregate_cache != "off" and self.aggregate_memory is None
        return self.fanouts[:-1] if all_aggregated else self.fanouts

    @property
    def score_name(self) -> Metric:
        """The metric, once resolved."""
        assert self.metric is not None
        return self.metric

    def resolved(self, task: str, stored: str = "float32") -> "Settings":
        """With defaults that depend on other settings filled in; raises ConfigError.

        task, stored: the task of the shards, and what their features are stored as
        """
        if self.aggregate_cache is None:
            keeps = self.mode != "macrobatch" and self.model not in ("gat", "gcnii")
            keeps = keeps and not self.input_dropout and not self.decoupled
            return dataclasses.replace(self, aggregate_cache="memory" if keeps else "off").resolved(
                task, stored
            )
        if self.mode != "macrobatch":
            self._check_no_sampling()
        self._check_tensor()
        self._check_norm()
        self._check_gcnii()
        fanouts = self._resolved_fanouts() if self.mode == "macrobatch" else None
        self._check_aggregates()
        self._check_features(stored)
        if self.model == "gat" and not self.decoupled and self.hidden % self.heads:
            raise ConfigError(
                f"--hidden {self.hidden} is not a multiple of --heads {self.heads}: gat joins "
                f"heads of equal width. Try --hidden {self.hidden - self.hidden % self.heads}."
            )
        if self.macrobatch != "auto" and self.macrobatch < 1:
            raise ConfigError(f"--macrobatch {self.macrobatch}: give at least 1, or auto.")
        parse_bytes(self.macrobatch_memory)
        if self.topology == "node-shared" and self.aggregate_memory is not None:
            raise ConfigError(
                "--topology node-shared samples without asking the owners of the vertices, who "
                "alone know which of them --aggregate-memory keeps: leave one of the two out."
            )
        metric: Metric = self.metric or ("micro-f1" if task == "multilabel" else "accuracy")
        if metric == "accuracy" and task == "multilabel":
            raise ConfigError(
                "--metric accuracy is for one label per vertex; this graph has several. "
                "Use micro-f1, macro-f1 or roc-auc."
            )
        feature_dtype = self.feature_dtype or cast(FeatureDtype, stored)
        return dataclasses.replace(
            self, fanouts=fanouts, metric=metric, feature_dtype=feature_dtype
        )

    def _resolved_fanouts(self) -> tuple[int, ...]:
        """One number per layer; the last is -1 when the first layer is not sampled."""
        cached = self.aggregate_cache != "off"
        fanouts = self.fanouts
        if fanouts is None:
            fanouts = (DEFAULT_FANOUTS + (DEFAULT_FANOUTS[-1],) * self.layers)[: self.layers]
        if cached and len(fanouts) == self.layers - 1:
            fanouts = (*fanouts, -1)
        if len(fanouts) != self.layers:
            raise ConfigError(
                f"--fanouts {' '.join(map(str, fanouts))} has {len(fanouts)} numbers for "
                f"--layers {self.layers}: give one per layer, from the seeds outward."
            )
        if any(f == 0 or f < -1 for f in fanouts):
            raise ConfigError(f"--fanouts {fanouts}: each must be at least 1, or -1 for all.")
        return (*fanouts[:-1], -1) if cached else tuple(fanouts)

    def _check_norm(self) -> None:
        """Raise ConfigError for a norm whose statistics would depend on the number of ranks."""
        if self.norm == "batch" and self.mode == "macrobatch":
            raise ConfigError(
                "--norm batch takes its means over the vertices of a step, and which of them two "
                "ranks both count depends on their number: take --norm layer, or --mode fullgraph."
            )

    def _check_gcnii(self) -> None:
        """Raise ConfigError for what gcnii does not have."""
        if self.model != "gcnii":
            return
        if self.mode == "macrobatch":
            raise ConfigError(
                "--model gcnii is for deep models, whose neighbourhoods sampling cannot follow: "
                "take --mode fullgraph, or --model gcn."
            )
        if self.residual or self.norm != "none":
            raise ConfigError(
                "--model gcnii adds the first layer's rows to each layer and has no norm: leave "
                "--residual and --norm out."
            )

    def _check_no_sampling(self) -> None:
        """Raise ConfigError for options that only minibatches have."""
        given = {
            "--fanouts": self.fanouts is not None,
            "--feature-cache": self.feature_cache is not None,
            "--aggregate-memory": self.aggregate_memory is not None,
            "--topology": self.topology != "sharded",
        }
        for option, is_given in given.items():
            if is_given:
                raise ConfigError(
                    f"{option} is for sampled minibatches; --mode {self.mode} trains on the whole "
                    f"graph in every step. Leave {option} out, or take --mode macrobatch."
                )

    def _check_tensor(self) -> None:
        """Raise ConfigError for options that mode tensor alone has, or lacks."""
        if self.chunks != "auto" and self.mode != "tensor":
            raise ConfigError(
                f"--chunks is how --mode tensor walks the edges; this is --mode {self.mode}: leave "
                "it out."
            )
        if self.decoupled:
            self._check_decoupled()
        if self.tensor_ways is not None and self.mode != "tensor":
            raise ConfigError(
                "--tensor-ways makes groups of ranks for --mode tensor; this is --mode "
                f"{self.mode}: leave it out."
            )
        if self.chunks != "auto" and not 1 <= self.chunks <= MOST_CHUNKS:
            raise ConfigError(f"--chunks {self.chunks}: give 1 to {MOST_CHUNKS}, or auto.")
        if self.mode == "tensor" and self.aggregate_cache == "store":
            raise ConfigError(
                "--aggregate-cache store keeps a file for each shard, and --mode tensor deals "
                "vertices in other runs: take --aggregate-cache memory."
            )

    def _check_decoupled(self) -> None:
        """Raise ConfigError for what a decoupled model has not."""
        lacking = {
            f"--mode {self.mode}": self.mode != "tensor",
            f"--model {self.model}": self.model not in ("gcn", "gat"),
            f"--norm {self.norm}": self.norm != "none",
            "--residual": self.residual,
            "--tensor-ways": self.tensor_ways is not None,
            f"--aggregate-cache {self.aggregate_cache}": self.aggregate_cache != "off",
        }
        for option, is_given in lacking.items():
            if is_given:
                raise ConfigError(
                    f"--decoupled, an MLP and then propagations, is not there with {option}: take "
                    "--mode tensor --model gcn or gat, and leave --decoupled out for the model of "
                    "that name."
                )

    def _check_features(self, stored: str) -> None:
        """Raise ConfigError for rows that cannot be made, or a cache of no size."""
        wanted = self.feature_dtype or stored
        if wanted != stored and stored != "float32":
            raise ConfigError(
                f"--feature-dtype {wanted}: these shards hold {stored}, which lacks digits for it. "
                f"Leave it out, or cut the graph again: batchgnn partition GRAPH.h5 SHARDS "
                f"--feature-dtype {wanted}"
            )
        if self.feature_cache is not None:
            parse_bytes(self.feature_cache)

    def _check_aggregates(self) -> None:
        """Raise ConfigError where aggregated inputs cannot be kept."""
        if self.aggregate_memory is not None:
            if self.aggregate_cache != "memory":
                raise ConfigError(
                    "--aggregate-memory bounds --aggregate-cache memory, which is "
                    f"{self.aggregate_cache}: give both, or leave --aggregate-memory out."
                )
            parse_bytes(self.aggregate_memory)
        if self.aggregate_cache == "off":
            return
        if self.model == "gat":
            raise ConfigError(
                f"--aggregate-cache {self.aggregate_cache} cannot serve --model gat, whose "
                "learned attention weighs the neighbours anew in every step: take sage, gcn or "
                "gin, or leave --aggregate-cache out."
            )
        if self.model == "gcnii":
            raise ConfigError(
                f"--aggregate-cache {self.aggregate_cache} cannot serve --model gcnii, whose first "
                "convolution aggregates learned rows, not features: leave --aggregate-cache out."
            )
        if self.input_dropout:
            raise ConfigError(
                f"--aggregate-cache {self.aggregate_cache} cannot serve --input-dropout "
                f"{self.input_dropout:g}, which changes the features before they are aggregated: "
                "set it to 0 (--dropout between the layers is fine), or leave --aggregate-cache "
                "out."
            )


FREE = {
    "epochs", "features", "macrobatch", "macrobatch_memory", "topology", "overlap", "threads",
    "chunks", "tensor_ways",
    "memory", "checkpoint_every", "checkpoint_seconds", "checkpoint_keep", "timeline_epoch",
    "collective_timeout", "stage_to", "patience", "eval_every", "aggregate_cache",
    "aggregate_memory", "feature_cache",
}  # fmt: skip
"Settings that do not change the numbers of a step, or may change on a resume."


def settings_files(app: Any, commands: Any, arguments: Any) -> None:
    """Take what the command line leaves open from `--config`, then from the run being resumed."""
    used = [a for a in arguments if a.tokens]
    given = {a.name: a.tokens[0].value for a in used}
    paths = [Path(given["--config"])] if "--config" in given else []
    resume = any(a.name == "--resume" and a.tokens[0].keyword == "--resume" for a in used)
    if resume and "--run" in given:
        paths.append(Path(given["--run"]) / "config.toml")
    for path in paths:
        if not path.is_file():
            raise ConfigError(
                f"{path}: no such settings file. Check --config, or --run with --resume."
            )
        try:
            tomllib.loads(path.read_text())
        except ValueError as error:  # also of bytes that are no UTF-8
            raise ConfigError(f"{path} is not valid TOML: {error}.") from error
        Toml(path, allow_unknown=False, use_commands_as_keys=False)(app, commands, arguments)


def write_settings(path: Path, shards: Path, settings: Settings) -> None:
    """Write a TOML file that `--config` reads back to the same settings."""
    values: dict[str, Any] = {"shards": str(shards.absolute())}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if value is not None:
            values[field.name.replace("_", "-")] = (
                list(value) if isinstance(value, tuple) else value
            )
    path.write_text(tomli_w.dumps(values))


def read_settings(path: Path) -> tuple[Path, Settings]:
    """The shard store and the settings that `write_settings` wrote."""
    values = tomllib.loads(path.read_text())
    shards = Path(values.pop("shards"))
    values = {name.replace("-", "_"): value for name, value in values.items()}
    if values.get("fanouts") is not None:
        values["fanouts"] = tuple(values["fanouts"])
    return shards, Settings(**values)
