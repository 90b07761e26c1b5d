"""A tool's log by the tool's name: its module is imported here, and nowhere else."""

from importlib import import_module
from typing import get_args

from batchgnn.base.errors import ConfigError
from batchgnn.run.logs.log import Log, said
from batchgnn.settings.general import Tool

TOOLS = get_args(Tool)


def log_of(tool: str) -> type[Log]:
    """The class of a tool's log; raises ConfigError where there is none, or not its package."""
    if tool not in TOOLS:
        raise ConfigError(f"there is no log {tool}: needed one of {', '.join(TOOLS)}")
    try:
        found: type[Log] = import_module(f"{__package__}.{tool}").ToolLog
    except Exception as error:  # of other people's code, of any kind
        raise ConfigError(
            f"--log {tool} needs a package that cannot be loaded ({said(error)}): "
            f"pip install 'batchgnn[{tool}]'"
        ) from error
    return found
