"""HTML and SVG as text: elements, tables and numbers; everything that is not `Html` is escaped."""

import html
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from batchgnn.base.bytes import format_bytes
from batchgnn.run.run_scores import say_number

NOTHING = "-"
"What stands for a number that is not known."

STAR = "★"
"What stands beside the best of several numbers."


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


@dataclass(frozen=True)
class Cell:
    """A table's cell: what is shown, and the number behind it, in full."""

    text: str
    value: float | int | None = None
    kind: str = ""


def escape(value: object) -> Html:
    """A value as markup; `Html` stays as it is."""
    return value if isinstance(value, Html) else Html(html.escape(str(value)))


def tag(name: str, *children: object, **attributes: object) -> Html:
    """An element. `class_` is class, `stroke_width` is stroke-width; None leaves one out."""
    said = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(_short(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inner = "".join(map(escape, children))
    return Html(f"<{name}{said}>{inner}</{name}>")


def _short(value: object) -> str:
    """Coordinates need no more than two decimals."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def join(parts: Sequence[str]) -> Html:
    """Markup one after the other."""
    return Html("".join(map(escape, parts)))


def seconds(value: float | None) -> Cell:
    """A time: `1.23 s`, `45.6 ms`; None is a dash."""
    return Cell(NOTHING) if value is None else Cell(say_seconds(value), value)


def size(value: float | None) -> Cell:
    """Bytes: `1.5 MiB`; None is a dash."""
    return Cell(NOTHING) if value is None else Cell(format_bytes(value), value)


def number(value: float | int | None, digits: int = 4) -> Cell:
    """A number: whole ones in full, others as `say_number` says them; None is a dash."""
    if value is None:
        return Cell(NOTHING)
    if isinstance(value, int) or (abs(value) < 1e15 and value.is_integer()):
        return Cell(f"{int(value):,}", value)
    return Cell(say_number(value, digits), value)


def starred(cell: Cell) -> Cell:
    """The cell of the best of several numbers; a dash stays one."""
    return cell if cell.value is None else replace(cell, text=f"{cell.text} {STAR}")


def share(value: float | None) -> Cell:
    """A part of a whole: `12 %`."""
    return Cell(NOTHING) if value is None else Cell(f"{100 * value:.0f} %", value)


def say_date(seconds_s: float) -> str:
    """Seconds since 1970 for people, `2026-11-28 09:45 UTC`; a dash outside of calendars."""
    if not 0 <= seconds_s < 1e11:
        return NOTHING
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds_s))


def say_seconds(value: float) -> str:
    """Seconds for people, three digits: `12.3 s`, `4.56 ms`, `0 s`."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        scaled = value * factor
        if abs(scaled) >= 1 or unit == "µs":
            decimals = 0 if abs(scaled) >= 100 else 1 if abs(scaled) >= 10 else 2
            return f"{scaled:,.{decimals}f} {unit}" if value else "0 s"
    raise AssertionError


def table(
    caption: object,
    head: Sequence[object],
    rows: Sequence[Sequence[object]],
    *,
    groups: Sequence[tuple[object, int]] = (),
    foot: Sequence[Sequence[object]] = (),
    class_: str | None = None,
    label: str | None = None,
) -> Html:
    """A table in a frame that scrolls by mouse and keyboard; the first column heads its rows.

    groups: titles over several columns of the head, as (title, number of columns)
    """
    above = [tag("th", title, colspan=n, scope="colgroup") for title, n in groups]
    lines = [tag("tr", *above)] if groups else []
    lines.append(tag("tr", *(tag("th", each, scope="col") for each in head)))
    parts = [
        tag("caption", caption),
        tag("thead", *lines),
        tag("tbody", *map(_row, rows)),
        *([tag("tfoot", *map(_row, foot))] if foot else []),
    ]
    name = label or str(caption)
    return tag("div", tag("table", *parts, class_=class_), **_region(name))


def _region(name: str) -> dict[str, object]:
    return {"class_": "scroll", "role": "region", "aria_label": name, "tabindex": 0}


def _row(cells: Sequence[object]) -> Html:
    first, *others = cells
    return tag("tr", tag("th", first, scope="row"), *map(_cell, others))


def _cell(each: object) -> Html:
    if not isinstance(each, Cell):
        return tag("td", each)
    kind = " ".join(filter(None, ["number" if each.value is not None else "", each.kind]))
    value = None if each.value is None else repr(each.value)
    return tag("td", each.text, class_=kind or None, data_value=value)
