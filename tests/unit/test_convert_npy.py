"""`convert npy`: folders of .npy files as IGB has them, mapped; every refusal names the file."""

import numpy as np
import pytest
from converters import PATH, X, edges_of

from batchgnn.base.errors import ConfigError, DataError
from batchgnn.data.cli import app
from batchgnn.data.convert_npy import NpyOptions, convert_npy
from batchgnn.store.graph_store import GraphStore

ARCS = np.array([[0, 1], [1, 2], [3, 1]])


def save(folder, **arrays):
    for name, array in arrays.items():
        path = folder / f"{name}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, array)


@pytest.fixture
def igb(tmp_path):
    """IGB's layout, with what else lies there."""
    folder = tmp_path / "tiny"
    paper = folder / "processed" / "paper"
    save(paper, node_feat=X, node_label_19=[1.0, 0.0, 2.0, 1.0], node_label_2K=[7.0, 3.0, 9.0, 1.0])
    save(paper, paper_id_index_mapping=np.array({"W1": 0}, object))
    save(folder / "processed" / "paper__cites__paper", edge_index=ARCS)
    save(folder / "processed" / "author", node_feat=X)
    return folder


def converted(folder, out="g.h5", **options):
    said = convert_npy(folder, folder.parent / out, NpyOptions(**options), show=False)
    return GraphStore(folder.parent / out), str(said)


def test_the_layout_of_igb(igb):
    graph, said = converted(igb, label="node_label_19")
    assert edges_of(graph) == [(0, 1), (1, 2), (3, 1)]
    assert graph.directed
    assert graph.name == "tiny"
    np.testing.assert_array_equal(graph.read_features(), X)
    assert graph.read_labels().tolist() == [1, 0, 2, 1]
    assert "edges taken as: arcs, source to target" in said
    assert graph.taken["label"] == "node_label_19"
    assert graph.taken["arrays not used"] == ["author/node_feat", "node_label_2K"]
    assert graph.taken["split"].startswith("random split 0.6 0.2 0.2")


def test_which_labels_is_asked(igb):
    with pytest.raises(ConfigError, match=r"node_label_19 or node_label_2K\? Say --label node"):
        converted(igb)
    with pytest.raises(ConfigError, match=r"--label node_label_3: .* has no such array"):
        converted(igb, label="node_label_3")
    out = igb.parent / "c.h5"
    app(["convert", "npy", str(igb), str(out), "--label", "node_label_2K", "--arcs", "once"],
        result_action="return_value")  # fmt: skip
    assert GraphStore(out).read_labels().tolist() == [7, 3, 9, 1]
    assert not GraphStore(out).directed


def test_a_flat_folder_with_masks_and_edges_of_two_rows(tmp_path):
    masks = {name: PATH[name] for name in ("train_mask", "val_mask", "test_mask")}
    save(tmp_path / "flat", edge_index=ARCS.T, x=np.asfortranarray(X), y=PATH["y"], **masks)
    graph, _ = converted(tmp_path / "flat")
    assert edges_of(graph) == [(0, 1), (1, 2), (3, 1)]
    np.testing.assert_array_equal(graph.read_features(), X)
    assert graph.read_split()[:, 0].tolist() == [1, 2, 3, 0]


def test_features_are_mapped_not_loaded(tmp_path, monkeypatch):
    save(tmp_path / "f", edge_index=ARCS, node_feat=X, labels=PATH["y"])
    seen = []
    load = np.load
    monkeypatch.setattr(np, "load", lambda *a, **k: seen.append(k["mmap_mode"]) or load(*a, **k))
    converted(tmp_path / "f")
    assert seen == ["r"] * 3


def test_bad_folders_are_refused(tmp_path):
    folder = tmp_path / "bad"
    with pytest.raises(DataError, match="does not exist: needed a folder of"):
        converted(folder)
    folder.mkdir()
    with pytest.raises(DataError, match=r"has no \.npy file"):
        converted(folder)
    save(folder, edge_index=ARCS)
    with pytest.raises(DataError, match="how many vertices are there"):
        converted(folder)
    save(folder, node_feat=X)
    content = (folder / "node_feat.npy").read_bytes()
    (folder / "node_feat.npy").write_bytes(content[:-4])
    with pytest.raises(
        DataError, match=r"node_feat\.npy: no array of numpy's .npy format, or trun"
    ):
        converted(folder)
    save(folder, node_feat=X, edge_index=ARCS + 9)
    with pytest.raises(DataError, match=r"edge_index, row 0: vertex 10 is out of range"):
        converted(folder)
    assert not (tmp_path / "g.h5").exists()
