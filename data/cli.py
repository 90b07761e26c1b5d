"""`batchgnn data generate KIND OUT.h5` and `batchgnn data convert FORMAT INPUT OUT.h5`.

The options are the fields of the generators' and converters' dataclasses.
"""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from batchgnn.base.examples import ending
from batchgnn.data.communities import CommunityOptions, generate_communities
from batchgnn.data.convert import ConvertOptions
from batchgnn.data.convert_edges import convert_edges as convert_edge_list
from batchgnn.data.convert_events import convert_events as convert_stream
from batchgnn.data.convert_npy import NpyOptions
from batchgnn.data.convert_npy import convert_npy as convert_folder
from batchgnn.data.convert_npz import convert_npz as convert_archive
from batchgnn.data.convert_ogb import OgbOptions
from batchgnn.data.convert_ogb import convert_ogb as convert_ogb_folder
from batchgnn.data.digits import DigitOptions, generate_digits
from batchgnn.data.edge_options import EdgeListOptions
from batchgnn.data.event_options import EventOptions
from batchgnn.data.event_stream import StreamOptions, generate_events
from batchgnn.data.grid import GridOptions, generate_grid
from batchgnn.data.rmat import RmatOptions, generate_rmat
from batchgnn.store.graph_store import GraphStore

LISTS = Parameter(consume_multiple=True, negative_iterable=())
FLAT = Parameter(name="*")

COMMUNITY, RMAT, GRID, DIGIT = CommunityOptions(), RmatOptions(), GridOptions(), DigitOptions()
CONVERT, EDGELIST, OGB = ConvertOptions(), EdgeListOptions(), OgbOptions()
EVENTS, STREAM, NPY = EventOptions(), StreamOptions(), NpyOptions()

app = App(
    name="data",
    help="Make graph stores: generate a graph, or convert one.",
    help_epilogue=ending("data"),
)
generators = App(
    name="generate",
    help="Write a random graph, or the digits.",
    default_parameter=LISTS,
    help_epilogue=ending("data generate"),
)
converters = App(
    name="convert",
    help="Convert a graph from another format, in bounded memory.",
    default_parameter=LISTS,
    help_epilogue=ending("data convert"),
)
app.command(generators)
app.command(converters)


def describe(path: Path) -> None:
    """Print what was generated."""
    graph = GraphStore(path)
    kind = "directed" if graph.directed else "undirected"
    print(
        f"{path}:\n  {graph.num_vertices:,} vertices, {graph.num_edges:,} {kind} edges, "
        f"{graph.num_features:,} features, {graph.num_classes:,} classes"
    )


@generators.command(help_epilogue=ending("data generate communities"))
def communities(out: Path, /, *, options: Annotated[CommunityOptions, FLAT] = COMMUNITY) -> None:
    """Planted communities with power-law degrees; the community is the label, features are noisy.

    Parameters
    ----------
    out:
        Graph store to write (.h5); must not exist.
    """
    describe(generate_communities(out, options))


@generators.command(help_epilogue=ending("data generate rmat"))
def rmat(out: Path, /, *, options: Annotated[RmatOptions, FLAT] = RMAT) -> None:
    """An R-MAT graph: very skewed degrees, nested communities, double edges.

    Parameters
    ----------
    out:
        Graph store to write (.h5); must not exist.
    """
    describe(generate_rmat(out, options))


@generators.command(help_epilogue=ending("data generate grid"))
def grid(out: Path, /, *, options: Annotated[GridOptions, FLAT] = GRID) -> None:
    """A square grid of degree 4, or 8 with diagonals; classes are bands of columns.

    Parameters
    ----------
    out:
        Graph store to write (.h5); must not exist.
    """
    describe(generate_grid(out, options))


@generators.command(help_epilogue=ending("data generate digits"))
def digits(out: Path, /, *, options: Annotated[DigitOptions, FLAT] = DIGIT) -> None:
    """Nearest neighbours among scikit-learn's 1,797 handwritten digits: a real graph, no download.

    Parameters
    ----------
    out:
        Graph store to write (.h5); must not exist.
    """
    describe(generate_digits(out, options))


@generators.command(name="events", help_epilogue=ending("data generate events"))
def stream(out: Path, /, *, options: Annotated[StreamOptions, FLAT] = STREAM) -> None:
    """A stream of events: Zipf degrees, partners that come back, popularity that drifts.

    Parameters
    ----------
    out:
        Graph store to write (.h5); must not exist.
    """
    print(generate_events(out, options))


@converters.command(help_epilogue=ending("data convert npz"))
def npz(source: Path, out: Path, /, *, options: Annotated[ConvertOptions, FLAT] = CONVERT) -> None:
    """One .npz archive: CSR or edge_index, dense or sparse features, labels, masks.

    Arrays: `indptr, indices` or `edge_index` or `source, target`, `edge_weight`, `directed`; `x` or
    `x_indptr, x_indices, x_shape, x_data`; `y`; `train_mask, val_mask, test_mask`, (N,) or (N, R).
    What was taken as what, and which arrays were not used, is printed.

    Parameters
    ----------
    source:
        Archive to read (.npz).
    out:
        Graph store to write (.h5); must not exist.
    """
    print(convert_archive(source, out, options))


@converters.command(help_epilogue=ending("data convert npy"))
def npy(source: Path, out: Path, /, *, options: Annotated[NpyOptions, FLAT] = NPY) -> None:
    """A folder of .npy files, as IGB's: edge_index (E, 2), node_feat, node_label_19; mapped.

    Arrays by the names of their files, as `npz` knows them; edges are arcs unless --arcs says so.

    Parameters
    ----------
    source:
        Folder to read, or one with a folder `processed`.
    out:
        Graph store to write (.h5); must not exist.
    """
    print(convert_folder(source, out, options))


@converters.command(help_epilogue=ending("data convert edges"))
def edges(
    source: Path, out: Path, /, *, options: Annotated[EdgeListOptions, FLAT] = EDGELIST
) -> None:
    """An edge list and a vertex table, CSV (also packed) or Parquet; ids may be integers or text.

    Parameters
    ----------
    source:
        Edge list to read, a row for each edge (see --arcs; default: undirected, listed once): a
        file, or a folder of files, which are read by name.
    out:
        Graph store to write (.h5); must not exist.
    """
    print(convert_edge_list(source, out, options))


@converters.command(help_epilogue=ending("data convert ogb"))
def ogb(source: Path, out: Path, /, *, options: Annotated[OgbOptions, FLAT] = OGB) -> None:
    """An OGB node-property folder as downloaded, with raw/ and split/.

    Parameters
    ----------
    source:
        Folder of the dataset, as ogbn_arxiv/.
    out:
        Graph store to write (.h5); must not exist.
    """
    print(convert_ogb_folder(source, out, options))


@converters.command(help_epilogue=ending("data convert events"))
def events(source: Path, out: Path, /, *, options: Annotated[EventOptions, FLAT] = EVENTS) -> None:
    """A stream of events, CSV (also packed) or Parquet: who met whom, and when.

    Times may be in any order and any unit; equal times and repeated events are kept.

    Parameters
    ----------
    source:
        File to read, a row for each event, or a folder of files, which are read by name.
    out:
        Graph store to write (.h5); must not exist.
    """
    print(convert_stream(source, out, options))
