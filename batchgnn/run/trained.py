"""What a run takes from another one, `--trained RUN`: the model's parameters, and its options."""

from pathlib import Path
from typing import Any

from batchgnn.base.errors import ConfigError
from batchgnn.modes.assembly import task_of
from batchgnn.modes.open import build_model
from batchgnn.modes.share import Share
from batchgnn.run.finite import put_weights
from batchgnn.run.folder import RunFolder
from batchgnn.settings.settings import flag
from batchgnn.tasks.options import Trained

ALIKE = (
    *("model", "state_width", "time_width", "state_heads", "state_layers", "time_encoder"),
    *("recent", "static", "batch_size", "seed"),
)
"Options that the model's rows follow from; the seed is that of pretrained static rows."


def with_trained(options: dict[str, Any]) -> dict[str, Any]:
    """Options with those of the run that one of them names; raises StoreError."""
    if (run := options.get("trained")) is None:
        return options
    before = RunFolder(Path(run)).settings().options()
    return {name: before[name] for name in ALIKE if name in before} | options


def take_trained(share: Share) -> None:
    """Put the best parameters of the run that the options name, if any, into the model.

    Raises ConfigError where it is another model or walks the stream otherwise, and StoreError where
    it cannot be read, or was trained on other shards.
    """
    subject = share.settings.get(Trained)
    if subject is None or subject.trained is None:
        return
    folder = RunFolder(Path(subject.trained))
    settings = folder.settings()
    before, now = settings.options(), share.settings.options()
    for name in ALIKE:
        if before.get(name) != now.get(name):
            raise ConfigError(
                f"{flag(name)} {now.get(name)}: {folder.path} was trained with "
                f"{before.get(name)}: leave it out."
            )
    task = task_of(settings).make(settings)
    model = build_model(share.manifest, settings, task)
    best = folder.read_model(share.manifest.fingerprint)
    put_weights(folder.model, model.parameters, best.parameters)
    for name in model.parameters.keys() - task.head().keys():
        share.model.parameters[name][:] = model.parameters[name]
