"""Options of every run: training, the optimiser, input rows, the machine and its checkpoints."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from cyclopts import Parameter

from batchgnn.settings.checks import AT_LEAST_ONE, NOT_NEGATIVE, POSITIVE

FeatureDtype = Literal["float32", "float16", "bfloat16"]

Tool = Literal["tensorboard", "mlflow", "wandb"]
"Tools that show curves; each has a module in run/logs/ and an extra in setup.cfg."


@dataclass(frozen=True, kw_only=True)
class Training:
    """How long."""

    FREE: ClassVar = ("epochs", "patience", "eval_every")

    epochs: Annotated[int, AT_LEAST_ONE] = 20
    "Passes over the seeds."

    patience: Annotated[int, NOT_NEGATIVE] = 0
    "Stop after this many evaluations without a better validation score; 0 = never."

    eval_every: Annotated[int, AT_LEAST_ONE] = 1
    "Epochs between exact evaluations."

    split_index: Annotated[int, NOT_NEGATIVE] = 0
    "Which of the graph's official splits to use, from 0."

    seed: Annotated[int, NOT_NEGATIVE] = 0
    "Seed of every random draw."


@dataclass(frozen=True, kw_only=True)
class Optimiser:
    """What a step does with a gradient."""

    optimizer: Literal["adam", "sgd"] = "adam"
    "Adam, or SGD with momentum 0.9."

    lr: Annotated[float, POSITIVE] = 0.003
    "Learning rate."

    weight_decay: Annotated[float, NOT_NEGATIVE] = 0.0
    "L2 penalty, added to the gradient."


@dataclass(frozen=True, kw_only=True)
class Features:
    """The rows of features."""

    FREE: ClassVar = ("features",)

    features: Literal["auto", "memory", "mapped"] = "auto"
    """Where a rank's own feature rows are: copied into memory, where they are read faster, or in
    the mapped shards, whose pages the system may drop; auto = copied if they take no more than a
    quarter of the rank's memory."""

    feature_dtype: FeatureDtype | None = None
    """What input rows are kept and sent as: float16 and bfloat16 halve the bytes and round the
    features; arithmetic stays float32. [default: as the shards have them]"""


@dataclass(frozen=True, kw_only=True)
class Run:
    """The machine, checkpoints, and what a run tells of itself."""

    FREE: ClassVar = (
        "threads",
        "memory",
        "stage_to",
        "checkpoint_seconds",
        "checkpoint_keep",
        "timeline_epoch",
        "collective_timeout",
        "log",
    )

    threads: Annotated[int | None, AT_LEAST_ONE] = None
    "Threads per rank. [default: the cores that the rank is bound to]"

    memory: str | None = None
    "Memory that a rank may use, such as 8G. [default: its share of the node's free memory]"

    stage_to: str | None = None
    """Folder on a disk of each node, such as /local/scratch: every rank copies its shards there
    first, verified, and reads them there. Whole copies of an earlier run are used again."""

    checkpoint_seconds: Annotated[float, NOT_NEGATIVE] = 30.0
    "Least seconds between the checkpoints at the ends of epochs; the last epoch always has one."

    checkpoint_keep: Annotated[int, AT_LEAST_ONE] = 2
    "Checkpoints kept."

    timeline_epoch: Annotated[int, NOT_NEGATIVE] = 2
    """Epoch whose timeline is written, for `batchgnn report` and Perfetto; the last where there are
    fewer; 0 = none."""

    collective_timeout: Annotated[float, NOT_NEGATIVE] = 600.0
    "Seconds after which a collective that waits for a silent rank ends the job; 0 = never."

    log: Annotated[
        tuple[Tool, ...], Parameter(consume_multiple=True, negative=(), show_default=False)
    ] = ()
    """Write the curves for these tools too, each into a folder of its name in --run; nothing is
    sent anywhere."""
