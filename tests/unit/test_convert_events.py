"""Streams of events from files: layouts, order, splits by time, names; what is refused."""

import gzip

import numpy as np
import pytest
from event_streams import TEXT, of_text, random_events, stored

from batchgnn.base.errors import ConfigError, DataError
from batchgnn.data.convert_events import convert_events
from batchgnn.data.event_stream import StreamOptions, generate_events
from batchgnn.store.event_writer import StreamSpec, write_events
from batchgnn.store.events import FEATURES, LABEL, SOURCE, SPLIT, TARGET, TIME, EventSpec
from batchgnn.store.graph_store import GraphStore
from batchgnn.store.graph_verify import verify

JODIE = """user_id,item_id,timestamp,state_label,comma_separated_list_of_features
0,0,0.0,0,0.25,1
1,0,2.5,1,0.5,2
0,1,4.0,0,0.75,3
"""
TGB = "timestamp,source,target,label,a,b\n0,0,7,0,0.25,1\n2.5,1,7,1,0.5,2\n4,0,8,0,0.75,3\n"
TGL = ",src,dst,time,ext_roll\n0,0,7,0,0\n1,1,7,2.5,1\n2,0,8,4,2\n"
LAYOUTS = {"jodie": JODIE, "tgb": TGB, "tgl": TGL}


def columns_of(graph):
    return {name: np.asarray(column) for name, column in graph.event_columns.items()}


def named_ends(graph):
    names = graph.read_names()
    ends = zip(graph.event_columns[SOURCE], graph.event_columns[TARGET], strict=True)
    return [(names[s].decode(), names[t].decode()) for s, t in ends]


def test_events_are_sorted_by_time_then_by_row(tmp_path):
    graph = of_text(tmp_path, features=("size",))
    found = columns_of(graph)
    assert found[TIME].tolist() == [1, 3, 3, 7]
    assert found[TIME].dtype == np.int64
    assert named_ends(graph) == [("bob", "cem"), ("ann", "bob"), ("ann", "ann"), ("cem", "bob")]
    assert found[LABEL].tolist() == [1, 0, 0, -1]
    np.testing.assert_array_equal(found[FEATURES], np.float32([[1], [0.5], [2], [3]]))
    assert found[SPLIT].tolist() == [1, 1, 1, 3]
    assert graph.taken["order"] == "not by time: sorted by time, then by row"
    assert graph.taken["events at the time of the one before"] == 1
    assert graph.taken["events of a vertex with itself"] == 1
    verify(graph.path)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout, tmp_path):
    npy = {}
    if layout == "tgl":
        np.save(tmp_path / "f.npy", np.float32([[0.25, 1], [0.5, 2], [0.75, 3]]))
        npy = {"features_npy": tmp_path / "f.npy"}
    found = columns_of(of_text(tmp_path, LAYOUTS[layout], layout=layout, **npy))
    np.testing.assert_array_equal(found[SOURCE], [0, 1, 0])
    np.testing.assert_array_equal(found[TARGET], [2, 2, 3])
    np.testing.assert_array_equal(found[TIME], [0, 2.5, 4])
    np.testing.assert_array_equal(found[FEATURES], np.float32([[0.25, 1], [0.5, 2], [0.75, 3]]))
    assert (LABEL in found) == (layout != "tgl")
    assert found[SPLIT].tolist() == ([1, 2, 3] if layout == "tgl" else [1, 1, 3])


def test_sides_of_jodie_count_each_for_itself(tmp_path):
    graph = of_text(tmp_path, JODIE, layout="jodie")
    assert named_ends(graph)[0] == ("source:0", "target:0")
    names = graph.read_names().tolist()
    assert names == [b"source:0", b"source:1", b"target:0", b"target:1"]


def test_packed_text_without_a_header(tmp_path):
    (tmp_path / "e.gz").write_bytes(gzip.compress(b"1 2 10\n3 1 30\n2 2 20\n"))
    convert_events(tmp_path / "e.gz", tmp_path / "e.h5", show=False)
    assert columns_of(GraphStore(tmp_path / "e.h5"))[TIME].tolist() == [10, 20, 30]


@pytest.mark.parametrize("seed", range(3))
def test_shares_are_quantiles_of_time_and_ties_lie_before_the_boundary(seed, tmp_path):
    """As TGN splits: t <= quantile(0.7) trains, t <= quantile(0.85) validates."""
    columns = random_events(seed=seed)
    time = columns[TIME] // 4
    graph = GraphStore(stored(tmp_path / "g.h5", columns | {TIME: time}))
    first, second = np.quantile(time, [0.7, 0.85])
    expected = np.where(time <= first, 1, np.where(time <= second, 2, 3))
    np.testing.assert_array_equal(graph.event_columns[SPLIT], expected)


def test_chunks_do_not_matter(tmp_path):
    columns = random_events(num_features=2)
    order = np.random.default_rng(1).permutation(len(columns[TIME]))
    shuffled = {name: column[order] for name, column in columns.items()}
    spec = StreamSpec(
        name="stream",
        num_vertices=12,
        events=EventSpec(num_features=2),
        shares=(0.7, 0.15, 0.15),
    )
    for name, step in (("a", 7), ("b", 80)):
        with write_events(tmp_path / name, spec) as writer:
            for begin in range(0, 80, step):
                rows = slice(begin, begin + step)
                writer.append({key: column[rows] for key, column in shuffled.items()})
            writer.finish()
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_generated_stream_is_the_same_in_any_chunks_and_repeats_itself(tmp_path):
    options = StreamOptions(vertices=60, sources=40, events=500, features=3, repeat=0.9)
    for name, chunk in (("a", 100), ("b", 10_000)):
        generate_events(tmp_path / name, options, chunk=chunk, show=False)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    found = columns_of(verify(tmp_path / "a"))
    assert found[SOURCE].max() < 40 <= found[TARGET].min()
    assert (np.diff(found[TIME]) >= 0).all()
    pairs = {*zip(found[SOURCE].tolist(), found[TARGET].tolist(), strict=True)}
    assert len(pairs) < 300


REFUSED = {
    "no time": ("a,b,\n", "row 2, column time: the cell is empty, needed a number"),
    "time is not finite": ("a,b,inf\n", "row 2: time is inf, needed a finite number"),
    "time is text": ("a,b,noon\n", "row 2, column time: the cell is 'noon', needed a number"),
    "ragged": ("a,b,1\nb,a,2,9\n", "row 3: 4 cells found, needed 3 as in the first row"),
    "no vertex": ("a,,1\n", "row 2: an edge without a vertex"),
    "no events": ("", "has no events"),
}


@pytest.mark.parametrize("rows", REFUSED)
def test_bad_rows_are_refused_by_file_and_row(rows, tmp_path):
    text, said = REFUSED[rows]
    with pytest.raises(DataError, match=f"e.csv.*{said}"):
        of_text(tmp_path, "source,target,time\n" + text)
    assert [each.name for each in tmp_path.iterdir()] == ["e.csv"]


def test_ragged_features_are_refused_by_file_and_row(tmp_path):
    with pytest.raises(DataError, match="row 3: 5 cells found, needed 6"):
        of_text(tmp_path, JODIE.replace("0.5,2\n", "0.5\n"), layout="jodie")
    with pytest.raises(DataError, match="row 3, column 1: feature is nan"):
        of_text(tmp_path, JODIE.replace("0.5,2\n", "0.5,nan\n"), layout="jodie")


OPTIONS = {
    "columns without known names": (
        {"text": "when,who,whom\n1,a,b\n"},
        "which columns are the events' source, target and time.*--source COLUMN",
    ),
    "a label that is no whole number": (
        {"text": TEXT.replace("cem,1,1,", "cem,1,0.5,")},
        "row 3, column label: the label is 0.5",
    ),
    "a part that comes back": (
        {"text": TGL.replace("2.5,1", "2.5,2").replace("4,2", "4,1"), "layout": "tgl"},
        "event 3 is of val, but an earlier one is of a later part",
    ),
    "a split of other words": (
        {"text": TEXT, "split_column": "size"},
        "row 2, column size: the split is '0.5'",
    ),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_what_may_be_otherwise_is_asked(case, tmp_path):
    options, said = OPTIONS[case]
    with pytest.raises(DataError, match=said):
        of_text(tmp_path, **options)


def test_features_beside_are_a_row_an_event(tmp_path):
    np.save(tmp_path / "f.npy", np.ones((3, 2), np.float32))
    with pytest.raises(DataError, match=r"f.npy has 3 rows, .*e.csv has 4 events"):
        of_text(tmp_path, features_npy=tmp_path / "f.npy")
    np.save(tmp_path / "f.npy", np.ones((5, 2), np.float32))
    with pytest.raises(DataError, match=r"f.npy has 5 rows, .*e.csv has 4 events"):
        of_text(tmp_path, features_npy=tmp_path / "f.npy")


@pytest.mark.parametrize(
    "options",
    [
        {"split": (0.5, 0.2, 0.2)},
        {"split": (0.0, 0.5, 0.5)},
        {"layout": "jodie", "source": "u"},
        {"split": (0.8, 0.1, 0.1), "split_column": "s"},
    ],
    ids=str,
)
def test_options_that_cannot_be(options, tmp_path):
    with pytest.raises(ConfigError):
        of_text(tmp_path, **options)
