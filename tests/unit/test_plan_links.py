"""Plans of link prediction: edges are counted as edges, and trainers have vertices of their own."""

import io
import re

import pytest
from graphs import learnable_graph, shards_of
from rich.console import Console

from batchgnn.modes.assembly import settings_of
from batchgnn.plan.choose import compare_modes
from batchgnn.plan.rates import ASSUMED
from batchgnn.plan.table import plan_table
from batchgnn.store.shard_store import read_manifest


@pytest.mark.parametrize("negatives", ["uniform:1", "shared:20", "in-batch", "local:2"])
def test_edges_that_are_trained_on_are_no_share_of_the_vertices(tmp_path, negatives):
    """Of which there are fewer."""
    links = shards_of(learnable_graph(), tmp_path / "links", links=(0.8, 0.1, 0.1))
    manifest, settings = read_manifest(links), settings_of(mode="auto", negatives=negatives)
    seeds = int(manifest.num_seeds.sum())
    assert seeds > manifest.num_vertices
    choice = compare_modes(links, manifest, settings, 2, 2, ASSUMED)
    assert choice.labelled <= 1
    assert ("averaging" in choice.refused) == (negatives in ("uniform:1", "shared:20"))
    printed = io.StringIO()
    Console(file=printed, width=500).print(plan_table(manifest, choice, 2, 2))
    said = printed.getvalue()
    assert f"{seeds:,} edges trained on" in said
    assert [each for each in re.findall(r"([\d.,]+) ?%", said) if float(each) > 100] == []
