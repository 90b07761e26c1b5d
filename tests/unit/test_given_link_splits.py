"""Edges that say themselves which part they are of: converted, cut, and what is refused."""

import csv

import numpy as np
import pyarrow
import pyarrow.parquet as parquet
import pytest
from shards import Whole

from batchgnn.base.errors import ConfigError, DataError
from batchgnn.data.convert import ConvertOptions
from batchgnn.data.convert_edges import convert_edges
from batchgnn.data.convert_npz import convert_npz
from batchgnn.data.edge_options import EdgeListOptions
from batchgnn.partition.partition import partition
from batchgnn.store.graph_store import GraphStore
from batchgnn.store.graph_verify import verify as verify_graph
from batchgnn.store.shard_verify import verify

N, WORDS = 40, np.array(["", "train", "valid", "test"])


def edges(seed=0):
    """int (m, 2), ascending pairs, each once, every vertex met; and their parts, 1 to 3."""
    rng = np.random.default_rng(seed)
    drawn = np.concatenate([rng.integers(0, N, (150, 2)), [(v, (v + 1) % N) for v in range(N)]])
    pairs = np.unique(np.sort(drawn[drawn[:, 0] != drawn[:, 1]], axis=1), axis=0)
    return pairs, rng.choice([1, 2, 3], len(pairs), p=[0.7, 0.1, 0.2])


def write_csv(path, pairs, parts):
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["part", "source", "target"])
        rows.writerows([p, *pair] for pair, p in zip(pairs.tolist(), parts, strict=True))


def write_parquet(path, pairs, parts):
    columns = {"source": pairs[:, 0], "target": pairs[:, 1], "part": list(parts)}
    parquet.write_table(pyarrow.table(columns), path)


def write_npz(path, pairs, parts, names="{}_pos", **more):
    arrays = {
        names.format(name): pairs[parts == k].T
        for k, name in ((1, "train"), (2, "val"), (3, "test"))
    }
    np.savez(path, x=np.ones((N, 3), np.float32), **arrays, **more)


def write_tables(path, pairs, parts):
    """Of training, and beside it those that are held out, without the column of parts."""
    for k, name in ((1, path.name), (2, "val.csv"), (3, "test.csv")):
        with path.with_name(name).open("w", newline="") as file:
            csv.writer(file).writerows([("source", "target"), *pairs[parts == k].tolist()])


FILES = {
    "separate tables": ("train.csv", write_tables),
    "words in CSV": ("e.csv", lambda path, pairs, parts: write_csv(path, pairs, WORDS[parts])),
    "numbers in Parquet": ("e.parquet", write_parquet),
    "arrays in npz": ("e.npz", write_npz),
    "arrays of PyG": ("e.npz", lambda *what: write_npz(*what, names="{}_pos_edge_index")),
}


def convert(source, out, **options):
    """By the end of its name."""
    if source.suffix == ".npz":
        return convert_npz(source, out, ConvertOptions(**options), show=False)
    how = {"edge_split": "part"}
    if source.name == "train.csv":
        held_out = (source.with_name("val.csv"), source.with_name("test.csv"))
        how = {"val_edges": held_out[:1], "test_edges": held_out[1:]}
    return convert_edges(source, out, EdgeListOptions(**how | options), show=False)


def held_out(found, name):
    """Sorted arcs of a part, by rows of the graph store."""
    arcs = np.concatenate([getattr(shard, name) for shard in found.shards]).astype(np.int64)
    return sorted(map(tuple, found.original[arcs].tolist()))


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("kind", FILES)
def test_shards_hold_out_what_the_edges_say(tmp_path, kind, directed):
    name, write = FILES[kind]
    pairs, parts = edges()
    write(tmp_path / name, pairs, parts)
    how = {"arcs": "directed"} if directed else {}
    convert(tmp_path / name, tmp_path / "g.h5", **how)
    graph = verify_graph(tmp_path / "g.h5")
    assert sorted(graph.read_edge_split().tolist()) == sorted(parts.tolist())
    partition(tmp_path / "g.h5", tmp_path / "s", "metis", 3, 5)
    verify(tmp_path / "s")
    found = Whole(tmp_path / "s")

    def arcs(part):
        those = list(map(tuple, pairs[parts == part].tolist()))
        return sorted(those + ([] if directed else [(v, u) for u, v in those]))

    assert [arc[:2] for arc in found.arcs("in")] == arcs(1)
    assert held_out(found, "link_val") == arcs(2)
    assert held_out(found, "link_test") == arcs(3)
    links = found.manifest.links
    assert links.is_given
    assert links.train == pytest.approx((parts == 1).mean())
    assert found.manifest.num_seeds.sum() == (parts == 1).sum()


def test_shares_of_one_choice_go_before_what_the_edges_say(tmp_path):
    write_npz(tmp_path / "e.npz", *edges())
    convert(tmp_path / "e.npz", tmp_path / "g.h5")
    found = partition(tmp_path / "g.h5", tmp_path / "s", links=(0.5, 0.2, 0.3))
    assert (found.links.train, found.links.is_given) == (0.5, False)


def test_edges_listed_in_both_directions_are_of_one_part(tmp_path):
    pairs, parts = edges()
    both = np.concatenate([pairs, pairs[:, ::-1]])
    write_csv(tmp_path / "e.csv", both, np.tile(parts, 2))
    convert(tmp_path / "e.csv", tmp_path / "g.h5", arcs="both")
    assert sorted(GraphStore(tmp_path / "g.h5").read_edge_split()) == sorted(parts)
    write_csv(tmp_path / "f.csv", both, np.concatenate([parts, np.roll(parts, 1)]))
    with pytest.raises(DataError, match=r"has no reverse .* of the same part \(\d of 1 train"):
        convert(tmp_path / "f.csv", tmp_path / "h.h5", arcs="both")
    assert not (tmp_path / "h.h5").exists()


def test_what_is_taken_instead_is_said(tmp_path, capsys):
    pairs, parts = edges()
    write_csv(tmp_path / "e.csv", pairs, parts)
    assert "no vertex has a label" not in str(convert(tmp_path / "e.csv", tmp_path / "g.h5"))
    partition(tmp_path / "g.h5", tmp_path / "given", show=True)
    assert "is not used" not in capsys.readouterr().err
    partition(tmp_path / "g.h5", tmp_path / "drawn", links=(0.8, 0.1, 0.1), show=True)
    assert "--links draws a split, and that of its edges is not used" in capsys.readouterr().err


@pytest.mark.parametrize("again", [(1, 2), (2, 3), (3, 1)])
def test_a_pair_of_two_parts_is_refused(tmp_path, again):
    """The other one in either direction: messages over one would tell of the other."""
    pairs, parts = edges()
    twice = pairs[np.flatnonzero(parts == again[0])[0]][::-1]
    write_csv(tmp_path / "e.csv", np.vstack([pairs, twice]), np.append(parts, again[1]))
    convert(tmp_path / "e.csv", tmp_path / "g.h5", arcs="directed")
    u, v = sorted(twice.tolist())
    with pytest.raises(
        DataError, match=rf"an edge between {u} and {v} .* give all edges of a pair"
    ):
        partition(tmp_path / "g.h5", tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_what_is_no_split_is_refused_in_a_sentence(tmp_path):
    pairs, parts = edges()
    write_csv(tmp_path / "e.csv", pairs, np.where(np.arange(len(parts)) == 7, 0, parts))
    with pytest.raises(
        DataError, match=r"row 9, column part: '0' is no part .* train, val or test"
    ):
        convert(tmp_path / "e.csv", tmp_path / "g.h5")
    write_csv(tmp_path / "f.csv", pairs, np.full(len(parts), 3))
    with pytest.raises(ConfigError, match="copies may differ in it"):
        convert(tmp_path / "f.csv", tmp_path / "g.h5", double_edges="drop")
    convert(tmp_path / "f.csv", tmp_path / "g.h5")
    with pytest.raises(DataError, match="no edge is of training"):
        partition(tmp_path / "g.h5", tmp_path / "s")
    write_tables(tmp_path / "train.csv", pairs, parts)
    with pytest.raises(ConfigError, match="choose one of the two"):
        convert(tmp_path / "train.csv", tmp_path / "h.h5", edge_split="part")
    write_npz(tmp_path / "f.npz", pairs, parts, edge_weight=np.ones(3))
    with pytest.raises(DataError, match="edge_weight does not say of which"):
        convert(tmp_path / "f.npz", tmp_path / "h.h5")
    np.savez(tmp_path / "g.npz", x=np.ones((N, 1)), train_pos=pairs, val_pos=pairs, test_pos=pairs)
    with pytest.raises(DataError, match=r"train_pos is int64 .* needed integers \(2, m\)"):
        convert(tmp_path / "g.npz", tmp_path / "h.h5")
    assert not (tmp_path / "h.h5").exists()
