"""`batchgnn report`: a page about one run, or several side by side."""

import shlex
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter, validators

from batchgnn.base.bytes import format_bytes
from batchgnn.base.errors import ConfigError
from batchgnn.base.examples import ending
from batchgnn.report.page import page
from batchgnn.report.run import read_runs
from batchgnn.report.style import MOST_RUNS
from batchgnn.store.format import atomic_file

ABOUT = """
The page has loss and scores, seconds by phase, bytes and calls of each collective, the balance of
the ranks, the timeline of an epoch, the plan beside the measurement, and all settings. It is one
file that loads nothing else, for a browser or a printer. A run that is under way, was killed, or is
of an older version has a page too, of what is there. Needs no MPI.

The timeline is also in RUN/timeline.json, which ui.perfetto.dev and chrome://tracing open;
batchgnn train --timeline-epoch says of which epoch it is.
"""

app = App(name="report", help_epilogue=ending("report", ABOUT))


@app.default
def report(
    run: Path,
    /,
    *more: Path,
    out: Annotated[Path | None, Parameter(validator=validators.Path(dir_okay=False))] = None,
    overwrite: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Write one HTML page about a run, or about several side by side.

    Parameters
    ----------
    run
        run folder, made by `batchgnn train`
    more
        more run folders, to be compared with the first; at most 8 in all
    out
        page to write; must not exist. [default: RUN/report.html; report.html in the present folder
        for several runs]
    overwrite
        write the page anew where there is one, such as for a run that went on
    """
    runs = (run, *more)
    if len(runs) > MOST_RUNS:
        raise ConfigError(
            f"{len(runs)} runs are too many for one page, which tells {MOST_RUNS} apart: leave out "
            f"{len(runs) - MOST_RUNS}."
        )
    target = out or (Path("report.html") if more else run / "report.html")
    if target.is_file() and not overwrite:
        raise ConfigError(
            f"{target} exists: nothing is written over. Add --overwrite, or choose another --out."
        )
    read = read_runs(runs)
    text = page(read, shlex.join(["batchgnn", "report", *map(str, runs)]))
    with atomic_file(target, overwrite=overwrite) as beside:
        beside.write_text(text, encoding="utf-8")
    print(f"{target}: {', '.join(each.name for each in read)}; {format_bytes(len(text))}")
    for each in read:
        if each.timeline is not None:
            print(f"{each.path / 'timeline.json'}: its timeline, for ui.perfetto.dev")
