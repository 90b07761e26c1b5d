"""Options of `batchgnn data convert edges`."""

from dataclasses import dataclass
from pathlib import Path

from batchgnn.base.errors import ConfigError
from batchgnn.data.convert import ConvertOptions


@dataclass(frozen=True, kw_only=True)
class EdgeListOptions(ConvertOptions):
    """Options of `convert edges`. Columns go by name, or by number from 1 without a header."""

    source: str | None = None
    """Column of the edges' sources; default: source, src, from or a name like these, else the first
    of two columns."""

    target: str | None = None
    """Column of the edges' targets; default: target, dst, to or a name like these, else the second
    of two columns."""

    weight: str | None = None
    "Column of the edges' weights; default: no weights."

    edge_split: str | None = None
    """Column of the edges' parts for link prediction: train, val or test, or 1, 2, 3; `partition`
    holds out what is not of training. Default: none, edges are split by `partition --links`."""

    val_edges: tuple[Path, ...] = ()
    """Files of edges that are for validation of link prediction, with the same columns; all others
    are for training, or test."""

    test_edges: tuple[Path, ...] = ()
    "The same, for test."

    more: tuple[Path, ...] = ()
    "More files of edges, with the same columns, read after the first in this order."

    vertices: tuple[Path, ...] = ()
    """Vertex table, CSV or Parquet, one file or several, or a folder of them (by name): a row for
    each vertex with id, features, label, split."""

    id: str | None = None
    """Column of the vertices' ids; default: id, node_id or a name like these, else a first column
    without a name, or the first of a table without header."""

    label: tuple[str, ...] = ()
    """Column of labels, integers (-1 or empty = none) or text, or numbers (--task regression);
    several columns of 0 and 1 make a multi-label task; default: label, y, class or target, if there
    is one."""

    no_label: tuple[str, ...] = ()
    "Texts that stand for no label, beside -1, NaN, NA, N/A, NULL, None and an empty cell."

    split_column: str | None = None
    """Column of the split: train, val, test or none; default: split, if there is one, or the three
    columns train_mask, val_mask and test_mask."""

    split_values: tuple[str, str, str] | None = None
    "What the split's column has for train, validation and test, as 0 1 2; all else is an error."

    features: tuple[str, ...] = ()
    """Columns of features, numbers or lists of as many numbers; default: all that are neither id,
    label nor split, nor an index that pandas wrote."""

    one_hot: tuple[str, ...] = ()
    """Columns of features, text or numbers, that become a feature of 0 and 1 for each of their
    values; an empty cell has none of them. --standardize leaves them as they are."""

    features_npy: Path | None = None
    "Features instead as an .npy file (vertices, features), rows as in the vertex table."

    link_features: bool = False
    "Leave the features in the .npy file and link it (float32 or float16), rather than copy."

    delimiter: str | None = None
    r"What parts the cells, one character or \t; default: tab, comma, semicolon or space."

    header: bool | None = None
    """Whether the first line names the columns; default: where it has names that are known or given
    by an option, or text above numbers."""

    @property
    def holds_out(self) -> bool:
        """Whether some files are of edges that are held out."""
        return bool(self.val_edges or self.test_edges)

    def check(self) -> None:
        """Raise ConfigError when an option cannot be."""
        super().check()
        if self.link_features and self.features_npy is None:
            raise ConfigError("--link-features: needed --features-npy FILE, the file to link")
        if self.link_features and self.normalize_features != "none":
            raise ConfigError(
                "--link-features leaves the features as they are: use it without "
                "--normalize-features, or leave it out to copy them"
            )
        if self.edge_split and self.holds_out:
            raise ConfigError("--edge-split and --val-edges, --test-edges: choose one of the two")
        if self.features and self.features_npy is not None:
            raise ConfigError("--features and --features-npy: choose one of the two")
        if self.link_features and (self.standardize or self.fill is not None):
            raise ConfigError(
                "--link-features leaves the features as they are: use it without --standardize and "
                "--fill, or leave it out to copy them"
            )
        if self.one_hot and self.features_npy is not None:
            raise ConfigError("--one-hot and --features-npy: choose one of the two")
        of_table = (
            self.id or self.label or self.features or self.split_column or self.task
            or self.no_label or self.split_values or self.one_hot
        )  # fmt: skip
        if not self.vertices and of_table:
            raise ConfigError(
                "--id, --label, --no-label, --features, --one-hot, --split-column, --split-values "
                "and --task are about columns of the vertex table: give it as --vertices FILE"
            )
