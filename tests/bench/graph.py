"""The graph of 1.2 M vertices that the programs of this folder are measured on."""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

GRAPH = ["--vertices", "1200000", "--degree", "48", "--features", "100", "--classes", "47",
         "--split", "0.08", "0.02", "0.02"]  # fmt: skip
"Options of `batchgnn data generate communities` that make the graph of issue 3."


def python_path() -> str:
    """Where workers find BatchGNN and the tests' modules."""
    return f"{ROOT}:{HERE.parent}"


LINKS = ["--links", "0.85", "0.05", "0.10"]
"Options of `batchgnn partition` where edges are held out."


def make_shards(work: Path, *, links: bool = False) -> Path:
    """The graph of issue 3, generated and cut for up to four ranks unless it is there.

    links: with held-out edges
    """
    graph, shards = work / "communities.h5", work / ("shards-4-links" if links else "shards-4")
    batchgnn = [sys.executable, "-m", "batchgnn"]
    environment = dict(os.environ) | {"PYTHONPATH": python_path()}
    work.mkdir(parents=True, exist_ok=True)
    if not shards.exists():
        if not graph.exists():
            command = [*batchgnn, "data", "generate", "communities", graph, *GRAPH]
            subprocess.run(command, env=environment, check=True)
        held_out = LINKS if links else []
        command = [*batchgnn, "partition", graph, shards, "--shards", "4", *held_out]
        subprocess.run(command, env=environment, check=True)
    return shards
