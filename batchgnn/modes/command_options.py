"""The options of `train` and `plan` on the command line: all subjects, each under its heading."""

from batchgnn.modes.assembly import TABLES, every_subject
from batchgnn.modes.chosen import AUTO
from batchgnn.settings.command_line import Options
from batchgnn.settings.settings import table_of


def _title(subject: type) -> str:
    """The subject, and which modes, models or tasks have it where not all do."""
    name = table_of(subject).replace("-", " ").capitalize()
    for what, table in TABLES.items():
        with_it = [kind.name for kind in table.values() if subject in kind.options]
        if with_it and len(with_it) < len(table):
            return f"{name} (--{what} {', '.join(with_it)})"
    return name


TRAINING_OPTIONS = Options(
    {subject: _title(subject) for subject in every_subject()},
    {name: (*table, AUTO) if name == "mode" else tuple(table) for name, table in TABLES.items()},
)
"Alike for every command that describes a run."
