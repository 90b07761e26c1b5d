"""`batchgnn plan`: every mode on P ranks, before a job is queued; `--calibrate` measures first."""

import dataclasses
import json as json_format
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter, validators
from rich.console import Console

from batchgnn.base.environment import rank_from_environment, size_from_environment
from batchgnn.base.errors import ConfigError
from batchgnn.base.examples import ending
from batchgnn.modes.assembly import settings_of
from batchgnn.modes.chosen import AUTO
from batchgnn.modes.command_options import TRAINING_OPTIONS
from batchgnn.modes.inputs import inputs_of
from batchgnn.nn.options import Layers
from batchgnn.plan.choose import Choice, compare_modes
from batchgnn.plan.prediction import TERMS
from batchgnn.plan.rates import ASSUMED, Rates, rates_path, read_rates, write_rates
from batchgnn.plan.table import plan_table
from batchgnn.settings.general import Run
from batchgnn.settings.settings import Settings
from batchgnn.store.shard_store import Manifest, read_manifest

ABOUT = """
Without --calibrate one process reads the manifest of the shards and nothing else; seconds then come
from the rates that --calibrate kept on this host for as many ranks, else from stated defaults. To
measure them, on the ranks and nodes that will train: batchgnn launch -n P -- plan SHARDS
--calibrate. Options of `train` describe the run; --mode does not matter. After a run, result.json
and `batchgnn report` have the plan beside the measurement.
"""


def plan(
    shards: Path,
    *,
    ranks: Annotated[int | None, Parameter(validator=validators.Number(gte=1))] = None,
    ranks_per_node: Annotated[int | None, Parameter(validator=validators.Number(gte=1))] = None,
    calibrate: Annotated[bool, Parameter(negative=())] = False,
    json: Annotated[bool, Parameter(negative=())] = False,
    config: Path | None = None,
    options: dict[str, Any],
) -> None:
    """Predict memory, messages and seconds of each mode on a number of ranks.

    Parameters
    ----------
    shards
        shard store, made by `batchgnn partition`
    ranks
        ranks that will train; by default as many as were started
    ranks_per_node
        how many of them share a node and its memory; by default all, or as many as were measured
    calibrate
        first measure, on the ranks that were started, how fast products, sampling and messages are
        here, and keep that in the cache folder
    json
        print everything as JSON
    config
        TOML file with the settings of `train`
    """
    settings = settings_of({"mode": AUTO, **options})
    started = size_from_environment()
    ranks = ranks or started
    manifest = read_manifest(shards)
    if calibrate:
        _measure(shards, settings, ranks)
    if rank_from_environment() != 0:
        return
    rates = read_rates(rates_path(ranks), manifest.fingerprint) or ASSUMED
    per_node = ranks_per_node or default_ranks_per_node(ranks, rates)
    choice = compare_modes(shards, manifest, settings, ranks, per_node, rates)
    if json:
        print(json_format.dumps(as_json(manifest, choice, ranks, per_node), indent=2))
    else:
        Console().print(plan_table(manifest, choice, ranks, per_node))


app = TRAINING_OPTIONS.app(plan, name="plan", help_epilogue=ending("plan", ABOUT))


def default_ranks_per_node(num_ranks: int, rates: Rates) -> int:
    """All ranks on one node like this, unless they were measured on several."""
    return num_ranks if rates is ASSUMED else -(-num_ranks // rates.num_nodes)


def as_json(manifest: Manifest, choice: Choice, ranks: int, per_node: int) -> dict[str, Any]:
    """The plan, for programs; seconds, bytes and counts are those of an epoch."""
    shares, fits = choice.shares, choice.is_possible
    return {
        "graph": manifest.name,
        "ranks": ranks,
        "ranks_per_node": per_node,
        "kappa": None if shares is None else shares.balance,
        "rho": None if shares is None else shares.halo_factor,
        "rho_by_cover": None if shares is None else shares.cover_factor,
        "labelled": choice.labelled,
        "rates": choice.rates.where,
        "rate_values": dataclasses.asdict(choice.rates),
        "best": choice.best.name if fits else None,
        "why": choice.why if fits else None,
        "refused": choice.refused,
        "modes": [
            {
                "mode": each.mode,
                "options": each.options,
                "exactness": each.exactness,
                "fits": each.fits,
                "seconds": each.epoch_s,
                "terms": {name: each.seconds.get(name, 0.0) for name in TERMS},
                "hidden_seconds": each.hidden_s,
                "check_seconds": each.check_s,
                "steps": each.steps,
                "bytes": each.bytes,
                "calls": each.calls,
                "memory_bytes": each.memory.total,
                "memory": each.memory.parts,
                "allowed_bytes": each.allowed,
                "notes": each.notes,
            }
            for each in choice.predictions
        ],
    }


def _measure(shards: Path, settings: Settings, ranks: int) -> None:
    """Measure on all ranks that were started, and keep what was found; collective."""
    from batchgnn.comm.failure import abort_on_exception
    from batchgnn.comm.grid import start
    from batchgnn.modes.open import open_share
    from batchgnn.plan.calibrate import calibrate

    started = size_from_environment()
    if started != ranks:
        raise ConfigError(
            f"--calibrate measures on the ranks that will train, {ranks}, and {started} were "
            f"started. Start them: batchgnn launch -n {ranks} -- plan {shards} --calibrate"
        )
    threads, hidden = settings[Run].threads, (settings.get(Layers) or Layers()).hidden
    rows = {"inputs": "constant"} if inputs_of(settings).is_made else {"features": "mapped"}
    measured = settings_of({"threads": threads, "hidden": hidden, **rows})
    with (
        start() as grid,
        abort_on_exception(grid.world),
        open_share(grid, shards, measured) as share,
    ):
        rates = calibrate(share)
        if share.is_first:
            path = rates_path(ranks)
            write_rates(path, rates, share.manifest.name, share.manifest.fingerprint)
