"""Classes of text cells: which cells stand for none, and which number each class gets."""

from collections.abc import Sequence

import numpy as np

from batchgnn.base.errors import DataError
from batchgnn.data.headers import is_number
from batchgnn.data.labels import are_sparse, fraction

NO_NUMBER = ("", "nan", "na", "n/a", "null", "none", "<na>", "#n/a")
"Cells that stand for nothing, in lower case."

NO_LABEL = (*NO_NUMBER, "-1", "-1.0")


def is_none(cell: str, nothing: Sequence[str], also: Sequence[str] = ()) -> bool:
    """Whether a cell stands for nothing: of `nothing` in any case, or of the user's `also`."""
    return cell.lower() in nothing or cell in also


class Classes:
    """The classes that occur: integers, or names in sorted order."""

    def __init__(self, no_label: Sequence[str] = ()):
        """no_label: the user's own texts for none."""
        self.no_label = no_label
        self.texts: set[str] = set()
        self.names: list[str] | None = None
        self.number: dict[str, int] = {}
        self.num_labelled = 0

    def add(self, texts: list[str], counts: Sequence[int]) -> None:
        """See some texts, so many cells of each."""
        for text, count in zip(texts, counts, strict=True):
            if not is_none(text, NO_LABEL, self.no_label):
                self.num_labelled += count
                self.texts.add(text)

    def close(self, place: str, *, asked: bool) -> None:
        """Decide, when all labels have been seen.

        asked  whether the user said that these are classes; else DataError for what may be numbers
               to be predicted
        """
        broken = sorted(text for text in self.texts if not is_whole(text))
        if broken and not asked and all(map(is_number, self.texts)):
            raise fraction(place, broken[0])
        if (
            not broken
            and asked
            and are_sparse(
                max(map(_integer, self.texts), default=-1) + 1, len(self.texts), self.num_labelled
            )
        ):
            self.names = sorted(self.texts, key=float)
        if broken:
            self.names = sorted(self.texts)
        if self.names is not None:
            self.number = {name: i for i, name in enumerate(self.names)}

    def labels(self, texts: list[str]) -> np.ndarray:
        """int64 (k,): -1 where there is none."""
        known = self.number
        return np.array(
            [
                -1 if is_none(t, NO_LABEL, self.no_label) else known[t] if known else _integer(t)
                for t in texts
            ],
            np.int64,
        )


def _integer(text: str) -> int:
    number = int(float(text))
    if abs(number) >= 2**53:
        raise DataError(f"label {text} is out of range: needed an integer below 2^31 - 1")
    return number


def is_whole(cell: str) -> bool:
    """Whether the text is a whole number, as `7` or `7.0`."""
    return is_number(cell) and float(cell).is_integer()
