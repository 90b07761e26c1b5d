"""What the first layer reads of a vertex, by `VertexInputs`: how many columns, and who serves them.

Whatever it is, it stands where features would: models, operators and memory plans read it as such.
"""

import numpy as np
from numpy.typing import DTypeLike

from batchgnn.base.errors import ConfigError
from batchgnn.modes.options import VertexInputs
from batchgnn.nn.options import Layers
from batchgnn.nn.row_table import RowTable
from batchgnn.settings.general import Features, Optimiser, Training
from batchgnn.settings.settings import Settings
from batchgnn.store.made_inputs import MADE, MadeInputs, manifest_of_made
from batchgnn.store.own_shards import OwnShards
from batchgnn.store.shard_store import Manifest, Shard, ShardStore

DEFAULT_WIDTH = 64
FEATURES = VertexInputs()


def inputs_of(settings: Settings) -> VertexInputs:
    """What the settings say; features where there is no such choice."""
    return settings.get(VertexInputs) or FEATURES


def resolve_inputs(settings: Settings, stored: str) -> tuple[Settings, str]:
    """With the width of trained rows, and what input rows are stored as; raises ConfigError.

    stored: what features are stored as
    """
    inputs = inputs_of(settings)
    if inputs.is_made and settings[Features].features == "mapped":
        raise ConfigError(
            f"--features mapped is of stored features, and --inputs {inputs.inputs} does not read "
            "them: leave one of the two out."
        )
    if not inputs.is_trained and inputs.input_width is not None:
        raise ConfigError(
            f"--input-width {inputs.input_width} is of trained rows, and --inputs is "
            f"{inputs.inputs}: add --inputs embedding, or leave it out."
        )
    if inputs.is_trained:
        _check_trained(settings)
        settings = settings.replace(input_width=inputs.input_width or DEFAULT_WIDTH)
    return settings, "float32" if inputs.is_made else stored


def _check_trained(settings: Settings) -> None:
    """Raise ConfigError where an option takes rows for constant that are trained."""
    rounded, layers = settings[Features].feature_dtype, settings.get(Layers)
    if rounded not in (None, "float32"):
        raise ConfigError(
            f"--feature-dtype {rounded} rounds input rows, and --inputs embedding trains them: "
            "leave one of the two out."
        )
    if layers is not None and layers.input_dropout:
        raise ConfigError(
            f"--input-dropout {layers.input_dropout:g} is given, but not built for the rows "
            "of --inputs embedding: set it to 0 (--dropout between the layers is fine)."
        )


def manifest_as_read(manifest: Manifest, settings: Settings) -> Manifest:
    """The manifest, with as many features as the first layer reads."""
    inputs = inputs_of(settings)
    return manifest_of_made(manifest, _width(inputs)) if inputs.is_made else manifest


def store_as_read(store: ShardStore, settings: Settings) -> ShardStore:
    """The store, with what the first layer reads as features."""
    inputs = inputs_of(settings)
    if not inputs.is_made:
        return store
    width = _width(inputs)

    def untrained(shard: Shard) -> np.ndarray:
        return np.broadcast_to(np.float32(0), (shard.num_vertices, width))

    return MadeInputs(store, width, MADE.get(inputs.inputs, untrained))


def make_table(own: OwnShards, settings: Settings, dtype: DTypeLike) -> RowTable | None:
    """The trained rows of own vertices, as they begin, which are served as features from now on.

    None where inputs are not trained.
    """
    inputs, how = inputs_of(settings), settings[Optimiser]
    if not inputs.is_trained:
        return None
    table = RowTable(
        own.original_id,
        _width(inputs),
        seed=settings[Training].seed,
        optimizer=how.optimizer,
        lr=how.lr,
        dtype=dtype,
    )
    own.serve(table.rows)
    return table


def _width(inputs: VertexInputs) -> int:
    return inputs.input_width or DEFAULT_WIDTH if inputs.is_trained else 1
