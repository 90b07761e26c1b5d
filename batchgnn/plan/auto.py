"""`train --mode auto`: the first rank compares the modes, and tells the others what it takes."""

from pathlib import Path

from batchgnn.comm.failure import fail_together
from batchgnn.comm.grid import Grid
from batchgnn.comm.values import values_of_all
from batchgnn.modes.assembly import changed
from batchgnn.modes.chosen import AUTO, Chosen
from batchgnn.plan.beside import rates_of
from batchgnn.plan.choose import compare_modes
from batchgnn.settings.settings import Settings, flag
from batchgnn.store.shard_store import read_manifest


def choose_mode(grid: Grid, shards: Path, settings: Settings) -> tuple[Settings, str]:
    """Settings with the best exact mode that fits, and why; collective. Raises ConfigError.

    Settings with a mode are returned as they are, with an empty sentence.
    """
    if settings[Chosen].mode != AUTO:
        return settings, ""
    said = None
    with fail_together(grid.world, "choosing a mode"):
        if grid.rank == 0:
            manifest = read_manifest(shards)
            rates = rates_of(manifest.fingerprint, grid.size)
            numbers = grid.size, grid.node_size
            choice = compare_modes(shards, manifest, settings, *numbers, rates)
            said = [choice.best.mode, choice.best.options, choice.why]
    mode, options, why = next(each for each in values_of_all(grid.world, said) if each)
    chosen = changed(settings, mode=mode, **options)
    if grid.rank == 0:
        print(f"batchgnn: --mode auto: {why}", flush=True)
        if unused := sorted(settings.given.keys() - chosen.given.keys()):
            names = ", ".join(map(flag, unused))
            print(f"batchgnn: not used, for --mode {mode} has no such options: {names}", flush=True)
    return chosen, why
