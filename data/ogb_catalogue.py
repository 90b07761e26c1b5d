"""OGB's catalogue of node-property datasets: what it says of each, beside the files.

After `ogb/nodeproppred/master.csv` of OGB 1.3.6.
"""

from dataclasses import dataclass
from pathlib import Path

from batchgnn.base.errors import DataError
from batchgnn.store.labels import MULTICLASS, MULTILABEL


@dataclass(frozen=True, kw_only=True)
class OgbEntry:
    """A dataset of the catalogue.

    add_inverse_edge  its edges are listed once, and stand for both directions
    split             folder below split/
    num_classes       of a multi-class dataset; None: as many as columns of labels
    metric            what OGB scores it by
    """

    name: str
    add_inverse_edge: bool = False
    split: str = "time"
    task: str = MULTICLASS
    num_classes: int | None = None
    metric: str = "accuracy"
    heterogeneous: bool = False


CATALOGUE = {
    entry.name: entry
    for entry in (
        OgbEntry(
            name="ogbn-products", add_inverse_edge=True, split="sales_ranking", num_classes=47
        ),
        OgbEntry(
            name="ogbn-proteins", add_inverse_edge=True, split="species", task=MULTILABEL,
            metric="ROC-AUC",
        ),
        OgbEntry(name="ogbn-arxiv", num_classes=40),
        OgbEntry(name="ogbn-papers100M", num_classes=172),
        OgbEntry(name="ogbn-mag", num_classes=349, heterogeneous=True),
    )
}  # fmt: skip

DOWNLOAD_NAMES = {"proteinfunc": "proteins", "papers100m_bin": "papers100m"}
ENDINGS = ("_pyg", "_dgl", "_v1", "_v2", "_v3", "_v4")
OF_TYPES = (
    "triplet-type-list.csv.gz", "num-node-dict.csv.gz", "nodetype-has-feat.csv.gz", "relations",
    "node-feat", "edge_index_dict.npz", "num_nodes_dict.npz",
)  # fmt: skip
"What lies in raw/ of a dataset with several types of vertices or edges."


def entry_of(*names: str) -> OgbEntry | None:
    """The entry that goes by one of the names, as `ogbn_products`, `products`, `ogbn-products`."""
    for name in names:
        plain = name.lower().replace("-", "_").removeprefix("ogbn_")
        for ending in ENDINGS:
            plain = plain.removesuffix(ending)
        plain = DOWNLOAD_NAMES.get(plain, plain)
        for entry in CATALOGUE.values():
            if entry.name.lower() == f"ogbn-{plain}":
                return entry
    return None


def refuse_heterogeneous(source: Path, entry: OgbEntry | None) -> None:
    """Raise DataError for a dataset with several types of vertices or edges."""
    signs = [name for name in OF_TYPES if (source / "raw" / name).exists()]
    if (entry is not None and entry.heterogeneous) or signs:
        found = f" (raw/{signs[0]})" if signs else ""
        raise DataError(
            f"{source} is a heterogeneous graph{found}, with several types of vertices or edges: "
            f"needed one type. Make a graph of one type of it, as CSV: batchgnn data convert edges"
        )
