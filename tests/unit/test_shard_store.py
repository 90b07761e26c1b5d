"""Shard stores: what is read back, and the message for each kind of damage."""

import os
import resource
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from reference import partition as reference
from shards import Whole, accept_shards, edited, graph_of, two_triangles

from batchgnn.base.errors import StoreError
from batchgnn.kernels.partition import count_neighbor_shards, row_sums
from batchgnn.partition.write import write_shards
from batchgnn.store.seal import seal
from batchgnn.store.shard_store import ATTRIBUTE, ShardStore
from batchgnn.store.shard_verify import verify

HALVES = np.array([0, 0, 0, 1, 1, 1], np.int32)


@pytest.fixture
def halves(tmp_path):
    """The two triangles, a shard each, in `tmp_path / "shards"`."""
    write_shards(two_triangles(weighted=True), tmp_path / "shards", HALVES, num_shards=2)
    return tmp_path / "shards"


def test_the_two_triangles_lie_in_their_shards(halves):
    store = ShardStore(halves)
    left, right = store.shard(0), store.shard(1)
    np.testing.assert_array_equal(left.in_indptr, [0, 2, 4, 7])
    np.testing.assert_array_equal(left.in_indices, [1, 2, 0, 2, 0, 1, 3])
    np.testing.assert_array_equal(right.in_indices, [2, 4, 5, 3, 5, 3, 4])
    np.testing.assert_array_equal(right.degree_in, [3, 2, 2])
    np.testing.assert_array_equal(right.degree_out, [3, 2, 2])
    assert right.first_vertex == 3
    assert right.out_indptr is None
    assert right.name is None


def test_the_manifest_counts_the_cut(halves):
    m = ShardStore(halves).manifest
    assert (m.num_vertices, m.num_edges, m.edge_cut) == (6, 14, 1)  # arcs: 2 x 7 edges
    assert m.halo_factor == pytest.approx(2 / 6)
    assert m.balance == 1.0
    np.testing.assert_array_equal(m.offset, [0, 3, 6])
    np.testing.assert_array_equal(m.shard_edges, [7, 7])
    np.testing.assert_array_equal(m.num_halo, [1, 1])
    assert {d: n for d, n in enumerate(m.degree_count[0]) if n} == {2: 4, 3: 2}
    np.testing.assert_array_equal(m.quotient_indptr, [0, 1, 2])
    np.testing.assert_array_equal(m.quotient_indices, [1, 0])
    np.testing.assert_array_equal(m.quotient_weight, [2, 2])  # 2 -> 3 and 3 -> 2
    assert m.id_dtype == np.uint32
    assert m.weighted
    assert not m.directed
    assert not m.has_name


def test_arrays_are_aligned_read_only_maps(halves):
    shard = ShardStore(halves).shard(1)
    for name in ATTRIBUTE.values():
        array = getattr(shard, name)
        if array is not None:
            assert isinstance(array, np.memmap), name
            assert array.ctypes.data % 64 == 0, name
            assert not array.flags.writeable, name


def test_a_directed_graph_has_out_lists(tmp_path):
    graph = graph_of([(0, 1), (0, 1), (2, 2), (1, 0)], 3, directed=True, weighted=True)
    write_shards(graph, tmp_path / "s", np.array([1, 0, 1], np.int32), num_shards=2)
    first, second = Whole(tmp_path / "s").shards  # new ids: 1 -> 0, 0 -> 1, 2 -> 2
    np.testing.assert_array_equal(first.in_indices, [1, 1])
    np.testing.assert_array_equal(first.in_weight, graph.weight[:2])  # doubles as they came
    np.testing.assert_array_equal(second.out_indices, [0, 0, 2])
    np.testing.assert_array_equal(second.out_indptr, [0, 2, 3])
    np.testing.assert_array_equal(second.degree_in, [1, 1])
    np.testing.assert_array_equal(second.degree_out, [2, 1])
    np.testing.assert_allclose(first.weighted_in, [graph.weight[:2].sum()], rtol=1e-6)


def test_a_graph_without_edges_has_empty_lists(tmp_path):
    write_shards(
        graph_of([], 3, directed=True), tmp_path / "s", np.zeros(3, np.int32), num_shards=1
    )
    shard = ShardStore(tmp_path / "s").shard(0)
    assert len(shard.in_indices) == len(shard.out_indices) == 0
    np.testing.assert_array_equal(shard.in_indptr, [0, 0, 0, 0])
    assert verify(tmp_path / "s").balance == 1.0


def test_a_sound_store_verifies(halves):
    assert verify(halves).fingerprint == ShardStore(halves).manifest.fingerprint


LABELS = {
    "-1 or a class": (np.array([0, 1, -1, 2, 1, 0], np.int32), 2),
    "0, 1 or 255": (np.array([[0], [1], [0], [2], [1], [0]], np.uint8), 1),
    "finite or NaN": (np.array([0.5, np.nan, -1, np.inf, 1, 0], np.float32), 1),
}


@pytest.mark.parametrize("claim", LABELS)
def test_verify_says_what_labels_of_the_task_may_be(tmp_path, claim):
    label, num_classes = LABELS[claim]
    graph = replace(two_triangles(), label=label, num_classes=num_classes)
    write_shards(graph, tmp_path / "s", HALVES, num_shards=2)
    with pytest.raises(StoreError, match=rf"shard-00001\.h5: vertex/label: {claim} does not hold"):
        verify(tmp_path / "s")


def test_no_shard_store(tmp_path):
    with pytest.raises(StoreError, match=r"nothing does not exist.*batchgnn partition"):
        ShardStore(tmp_path / "nothing")
    with pytest.raises(StoreError, match=r"has no manifest\.h5.*batchgnn partition"):
        ShardStore(tmp_path)
    (tmp_path / "file").write_text("text")
    with pytest.raises(StoreError, match="file is a file: needed a shard store"):
        ShardStore(tmp_path / "file")


def test_missing_shard(halves):
    (halves / "shard-00001.h5").unlink()
    for read in (lambda: ShardStore(halves).shard(1), lambda: verify(halves)):
        with pytest.raises(StoreError, match=r"shard-00001\.h5 is missing.*holds 2 shards"):
            read()


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.99])
def test_truncated_shard(halves, keep):
    path = halves / "shard-00001.h5"
    os.truncate(path, int(keep * path.stat().st_size))
    for read in (lambda: ShardStore(halves).shard(1), lambda: verify(halves)):
        with pytest.raises(StoreError, match=r"shard-00001\.h5 is (truncated|no HDF5 file)"):
            read()


def test_shard_of_another_run(halves, tmp_path):
    other = tmp_path / "other"
    write_shards(two_triangles(), other, HALVES[::-1].copy(), num_shards=2)
    shutil.copy(other / "shard-00001.h5", halves / "shard-00001.h5")
    with pytest.raises(StoreError, match=r"shard-00001\.h5 belongs to another partitioning"):
        ShardStore(halves).shard(1)


def test_shards_in_each_others_place(halves):
    (halves / "shard-00000.h5").rename(halves / "x")
    (halves / "shard-00001.h5").rename(halves / "shard-00000.h5")
    with pytest.raises(StoreError, match=r"shard-00000\.h5 holds shard 1, not 0"):
        ShardStore(halves).shard(0)


def set_version(folder, name, version):
    with h5py.File(folder / name, "r+") as file:
        file.attrs["format_version"] = version
    if name == "manifest.h5":
        seal(folder / name)
    else:
        accept_shards(folder)


@pytest.mark.parametrize("name", ["manifest.h5", "shard-00000.h5"])
def test_newer_format(halves, name):
    set_version(halves, name, 99)
    with pytest.raises(StoreError, match=rf"{name} has format version 99.*Update"):
        ShardStore(halves).shard(0)


@pytest.mark.parametrize("name", ["manifest.h5", "shard-00000.h5"])
def test_a_store_of_an_older_version_is_cut_again(halves, name):
    set_version(halves, name, 1)
    with pytest.raises(StoreError, match=rf"{name} was made by an older.*batchgnn partition GRAPH"):
        ShardStore(halves).shard(0)


def test_manifest_of_another_kind(halves):
    with edited(halves / "manifest.h5") as file:
        file.attrs["format"] = "batchgnn-graph"
    with pytest.raises(
        StoreError, match=r"no shard store.*batchgnn-graph.*needed 'batchgnn-shards'"
    ):
        ShardStore(halves)


def test_manifest_without_one_of_its_parts(halves):
    with edited(halves / "manifest.h5") as file:
        del file["shard/num_halo"]
    with pytest.raises(StoreError, match=r"manifest\.h5.*num_halo"):
        ShardStore(halves)


@pytest.mark.parametrize(
    "name",
    [n for n in ATTRIBUTE if n != "vertex/name" and not n.startswith(("out/", "event/", "link/"))],
)
def test_verify_names_the_dataset_with_a_flipped_byte(halves, name):
    path = halves / "shard-00001.h5"
    with h5py.File(path) as file:
        offset, size = file[name].id.get_offset(), file[name].nbytes
    with path.open("r+b") as file:
        file.seek(offset + size - 1)
        last = file.read(1)[0]
        file.seek(offset + size - 1)
        file.write(bytes([last ^ 1]))
    with pytest.raises(StoreError, match=rf"shard-00001\.h5: dataset {name} is damaged"):
        verify(halves)


def test_verify_finds_a_manifest_that_was_changed(halves):
    with edited(halves / "manifest.h5") as file:
        file["checksum"][0, 0] = b"0" * 32
    with pytest.raises(StoreError, match=r"manifest\.h5: fingerprint"):
        verify(halves)


def test_nothing_is_written_over(halves):
    before = (halves / "manifest.h5").read_bytes()
    with pytest.raises(StoreError, match="exists already"):
        write_shards(two_triangles(), halves, HALVES, num_shards=2)
    assert (halves / "manifest.h5").read_bytes() == before


def big_graph(megabytes):
    """A graph whose features alone take that much room."""
    graph = graph_of([(0, 1), (1, 2)], 1024)
    object.__setattr__(graph, "features", np.ones((1024, 256 * megabytes), np.float32))
    return graph


def test_a_file_size_limit_is_a_full_disk(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
        with pytest.raises(StoreError, match="no room"):
            write_shards(big_graph(4), tmp_path / "s", np.zeros(1024, np.int32), num_shards=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert list(tmp_path.iterdir()) == []


FILL = """
import sys
sys.path[:0] = sys.argv[3:]
from test_shard_store import big_graph
import numpy as np
from batchgnn.base.errors import StoreError
from batchgnn.partition.write import write_shards
shard = np.arange(1024, dtype=np.int32) % 4
try:
    write_shards(big_graph(4), sys.argv[1], shard, num_shards=4)
except StoreError as error:
    print(error)
"""


def can_mount():
    return (
        os.geteuid() == 0
        and shutil.which("unshare")
        and not subprocess.run(
            ["unshare", "-m", "true"], capture_output=True, check=False
        ).returncode
    )


@pytest.mark.skipif(not can_mount(), reason="a small disk needs a root that may mount one")
@pytest.mark.parametrize("size", ["16k", "64k", "1m", "3m", "4m"])
def test_a_full_disk(tmp_path, size):
    disk, root = tmp_path / "disk", Path(__file__).parents[2]
    disk.mkdir()
    folders = f"{root} {root / 'tests'} {root / 'tests/unit'}"
    command = (
        f"mount -t tmpfs -o size={size} none {disk} && "
        f"{sys.executable} -c '{FILL}' {disk}/s x {folders} && echo LEFT && ls -A {disk}"
    )
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", command], capture_output=True, text=True, check=False
    )
    assert "no room to write" in done.stdout, done.stdout + done.stderr
    assert done.stdout.endswith("LEFT\n"), done.stdout  # nothing is left behind


def test_row_sums_are_the_reference():
    indptr, weight = np.array([0, 2, 2, 5]), np.array([0.5, 1, 2, 3, 4], np.float32)
    out, wanted = np.full(3, np.nan, np.float32), np.empty(3, np.float32)
    row_sums(indptr, weight, out)
    reference.row_sums(indptr, weight, wanted)
    np.testing.assert_array_equal(out, wanted)


@pytest.mark.parametrize("s", [0, 1, 2])
def test_neighbor_shards_are_the_reference(s):
    rng, offset = np.random.default_rng(s), np.array([0, 3, 4, 9])
    indices = rng.integers(0, 9, 20).astype(np.uint32)
    seen, arcs = np.full((2, 9), -1, np.int32), np.full((2, 3), -7)
    halo = count_neighbor_shards(indices, s, offset, seen[0], arcs[0])
    assert halo == reference.count_neighbor_shards(indices, s, offset, seen[1], arcs[1])
    np.testing.assert_array_equal(seen[0], seen[1])
    np.testing.assert_array_equal(arcs[0], arcs[1])
