"""All modes predicted side by side, and which of them `--mode auto` takes, and why."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from batchgnn.base.bytes import format_bytes
from batchgnn.base.errors import ConfigError, StoreError
from batchgnn.graph.cut_rows import group_shards
from batchgnn.modes.assembly import changed, mode_of, resolved, task_of
from batchgnn.modes.chosen import Chosen
from batchgnn.modes.inputs import manifest_as_read
from batchgnn.modes.kinds import MODES
from batchgnn.modes.open import build_model, check_split
from batchgnn.plan.job import Job
from batchgnn.plan.prediction import Prediction
from batchgnn.plan.predictions import PREDICTIONS
from batchgnn.plan.rates import Rates
from batchgnn.plan.shares import Shares, share_graph
from batchgnn.settings.general import Training
from batchgnn.settings.settings import Settings
from batchgnn.store.shard_check import BYTES_A_SECOND
from batchgnn.store.shard_store import Manifest

FEW_LABELS = 0.01
"""Share of the vertices that are trained on, under which whole-graph training computes mostly for
vertices that no loss needs (it lost 5 to 12 times there in NeutronTP's own tables)."""


@dataclass(frozen=True)
class Choice:
    """What is known of every mode before a run.

    predictions  those that fit first, the quickest epoch first
    refused      mode -> why these settings cannot be trained in it
    labelled     share of the vertices that are trained on
    shares       whole shards on the ranks; None where there are fewer shards than ranks
    """

    predictions: list[Prediction]
    refused: dict[str, str]
    labelled: float
    rates: Rates
    shares: Shares | None

    @property
    def is_possible(self) -> bool:
        """Whether any exact mode fits."""
        return any(each.fits and each.is_exact for each in self.predictions)

    @property
    def best(self) -> Prediction:
        """The mode to take: macrobatch under FEW_LABELS, else the quickest that fits.

        Raises ConfigError where none fits.
        """
        fitting = [each for each in self.predictions if each.fits and each.is_exact]
        if not fitting:
            raise ConfigError(self._nothing_fits())
        sampled = [each for each in fitting if each.is_sampled]
        return sampled[0] if sampled and self.labelled < FEW_LABELS else fitting[0]

    @property
    def why(self) -> str:
        """Why `best` is the best, in a sentence or two."""
        best = self.best
        others = [each for each in self.predictions if each is not best and each.is_exact]
        if best.is_sampled and self.labelled < FEW_LABELS:
            text = (
                f"{best.name}, because {self.labelled:.2%} of the vertices are trained on: "
                "whole-graph modes would compute mostly for others"
            )
        elif others:
            beaten = ", ".join(f"{each.name} {epoch_text(each)}" for each in others)
            text = (
                f"{best.name} has the shortest predicted epoch that fits into memory, "
                f"{best.epoch_s:.3g} s ({beaten})"
            )
        else:
            text = f"{best.name} is the only mode for these settings"
        if best.steps == 1:
            text += "; an epoch is one optimiser step there, so it needs more of them"
        return f"{text}. Rates {self.rates.where}."

    def _nothing_fits(self) -> str:
        needs = ", ".join(
            f"{each.name} {format_bytes(each.memory.total)}" for each in self.predictions
        )
        reasons = " ".join(self.refused.values())
        if not self.predictions:
            return f"--mode auto: no mode can train these settings. {reasons}"
        allowed = min(each.allowed for each in self.predictions)
        return (
            f"--mode auto: no mode fits into {format_bytes(allowed)} of memory a rank: {needs}. "
            "Start ranks on more nodes, lower --hidden, --batch-size or --fanouts, or raise "
            "--memory."
        )


def epoch_text(prediction: Prediction) -> str:
    """Its seconds, or that it does not fit."""
    if prediction.fits:
        return f"{prediction.epoch_s:.3g} s"
    return f"needs {format_bytes(prediction.memory.total)}"


def compare_modes(
    shards: Path,
    manifest: Manifest,
    settings: Settings,
    num_ranks: int,
    per_node: int,
    rates: Rates,
) -> Choice:
    """Every mode that there is, with these settings; `settings.mode` does not matter.

    shards: named where there are too few; per_node: ranks that share a node's memory
    """
    predictions, refused, shares = [], {}, None
    for mode, options in candidates(settings, num_ranks, of_events=manifest.events is not None):
        try:
            asked = changed(settings, mode=mode, **options)
            job = make_job(shards, manifest, asked, num_ranks, per_node)
            found = predict(job, rates)
            is_exact = found.is_exact and "model" not in options
            found = replace(found, options=options, is_exact=is_exact)
            is_other = "model" in options
            predictions.append(replace(found, exactness="another model") if is_other else found)
            shares = job.shares if job.ways == 1 else shares
        except (ConfigError, StoreError) as error:
            if not options:
                refused[mode] = str(error)
    predictions.sort(key=lambda each: (not each.is_exact, not each.fits, each.epoch_s))
    return Choice(predictions, refused, labelled_share(manifest, settings), rates, shares)


def candidates(
    settings: Settings, num_ranks: int, *, of_events: bool = False
) -> list[tuple[str, dict[str, Any]]]:
    """The modes for events or for vertices, with options that the settings leave open."""
    kinds = {mode: kind for mode, kind in PREDICTIONS.items() if MODES[mode].of_events == of_events}
    found: list[tuple[str, dict[str, Any]]] = [(mode, {}) for mode in kinds]
    for mode, kind in kinds.items():
        found += [(mode, options) for options in kind.variants(settings, num_ranks)]
    return found


def make_job(
    shards: Path, manifest: Manifest, settings: Settings, num_ranks: int, per_node: int
) -> Job:
    """What a mode's prediction needs. Raises ConfigError, StoreError where it cannot be run."""
    check_split(manifest, settings, shards)
    settings = resolved(settings, manifest.task, manifest.feature_name)
    ways = PREDICTIONS[settings[Chosen].mode].ways(settings, num_ranks)
    group_shards(manifest, num_ranks, ways, shards)  # refuses ways that are no divisor
    shares = share_graph(manifest, num_ranks // ways, shards)
    model = build_model(manifest, settings, task_of(settings).make(settings))
    read = manifest_as_read(manifest, settings)
    return Job(shards, read, settings, model, shares, per_node, ways)


def predict(job: Job, rates: Rates) -> Prediction:
    """The prediction of the job's mode."""
    mode = mode_of(job.settings)
    found = PREDICTIONS[mode.name].predict(job, rates)
    check_s = job.mapped_bytes / BYTES_A_SECOND
    return replace(found, mode=mode.name, is_sampled=not mode.whole_graph, check_s=check_s)


def labelled_share(manifest: Manifest, settings: Settings) -> float:
    """Seeds of training over vertices, 1 at most: edges that are seeds may be more."""
    index = settings[Training].split_index
    if index >= manifest.num_splits:
        return 0.0
    return min(int(manifest.num_seeds[:, index].sum()) / max(manifest.num_vertices, 1), 1.0)
