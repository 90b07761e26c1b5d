"""Plots as inline SVG: lines over epochs, stacked bars, bars of ranks, rows of a timeline.

Drawn here and not by matplotlib, whose SVG takes 20 to 100 KB a plot, has its colours fixed (the
page follows the reader's light or dark mode by classes) and its text as outlines. Nothing is drawn
that the page does not also have as a number in a table.

A picture is as wide as its frame allows, and no text shrinks with it: margins are padding in
pixels, and within them x is a percentage of what is left, y is pixels.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from batchgnn.report.html import Html, join, say_seconds, tag
from batchgnn.watch.trace import Span

WIDTH, TIMELINE_WIDTH = 560, 960
"Pixels of pictures that have room."

HEIGHT = 220.0
"Of the axes of a plot, without margins."

BIN = 0.09
"Width of the narrowest thing that is drawn in a timeline, in percent: 0.75 pixels at most."

NARROW = 240
"Pixels between the margins of a plot on a phone."

CLOCK_S = 2e-9
"What rounding to nanoseconds may shift two times."


@dataclass(frozen=True)
class Margins:
    """Pixels around what is drawn, for numbers and names."""

    top: float
    right: float
    bottom: float
    left: float


AROUND_AXES = Margins(18, 12, 42, 66)


@dataclass(frozen=True)
class Series:
    """A line of a plot: points from left to right; class_ gives its colour.

    ringed: where on the x axis the point lies that has a ring; None: none has
    """

    name: str
    class_: str
    points: list[tuple[float, float]]
    ringed: float | None = None


@dataclass(frozen=True)
class Axes:
    """Where values lie in a plot, `x` and `y` being (least, most)."""

    x: tuple[float, float]
    y: tuple[float, float]

    def at(self, x: float, y: float) -> tuple[float, float]:
        """The point of a value: percent from the left, pixels from the top."""
        (x0, x1), (y0, y1) = self.x, self.y
        return 100 * (x - x0) / (x1 - x0 or 1), HEIGHT * (1 - (y - y0) / (y1 - y0 or 1))

    def draw(
        self,
        x_label: str,
        y_label: str,
        say_x: Callable[[float], str],
        say_y: Callable[[float], str],
        *,
        whole_x: bool = True,
    ) -> Html:
        """Grid lines, numbers and labels."""
        parts = []
        for value in ticks(*self.y):
            _, y = self.at(self.x[0], value)
            parts += [
                tag("line", x1=0, x2="100%", y1=y, y2=y, class_="grid"),
                tag("text", say_y(value), x=-6, y=y + 4, text_anchor="end"),
            ]
        for value in ticks(*self.x, count=8, whole=whole_x):
            x, _ = self.at(value, self.y[0])
            parts.append(
                tag("text", say_x(value), x=percent(x), y=HEIGHT + 17, text_anchor="middle")
            )
        label: dict[str, object] = {"text_anchor": "middle", "class_": "label"}
        turned = f"translate({13 - AROUND_AXES.left:g} {HEIGHT / 2:g}) rotate(-90)"
        parts += [
            tag("text", x_label, x="50%", y=HEIGHT + AROUND_AXES.bottom - 6, **label),
            tag("text", y_label, transform=turned, **label),
        ]
        return join(parts)


def ticks(low: float, high: float, count: int = 5, *, whole: bool = False) -> list[float]:
    """Round values between low and high, about `count` of them: multiples of 1, 2 or 5 x 10^k."""
    if not high > low:
        return [low]
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= raw * 0.999)
    if whole:
        step = max(1.0, round(step))
    first = math.ceil(low / step - 1e-9)
    return [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]


def percent(value: float) -> str:
    """A place or a length across a picture, to a hundredth of a pixel."""
    return f"{value:.3f}".rstrip("0").rstrip(".") + "%"


def picture(
    name: str, height: float, around: Margins, *parts: object, class_: str = "plot"
) -> Html:
    """An SVG around what is so many pixels high; `name` is what a screen reader says."""
    width = TIMELINE_WIDTH if "timeline" in class_ else WIDTH
    padding = f"{around.top:g}px {around.right:g}px {around.bottom:g}px {around.left:g}px"
    whole = around.top + height + around.bottom
    style = f"width:{width}px;height:{whole:g}px;padding:{padding}"
    return tag("svg", *parts, style=style, class_=class_, role="img", aria_label=name)


def lines(
    name: str, series: Sequence[Series], x_label: str, y_label: str, *, whole_x: bool = True
) -> Html:
    """Lines with a dot at each point."""
    xs = [x for each in series for x, _ in each.points]
    ys = [y for each in series for _, y in each.points]
    room = 0.05 * (max(ys) - min(ys)) or 0.05 * abs(max(ys)) or 1.0
    axes = Axes((min(xs), max(xs)), (min(ys) - room, max(ys) + room))
    frame = axes.draw(x_label, y_label, _whole, _say_between(*axes.y), whole_x=whole_x)
    return picture(name, HEIGHT, AROUND_AXES, frame, *(_line(each, axes) for each in series))


def _line(series: Series, axes: Axes) -> Html:
    points = [axes.at(*point) for point in series.points]
    path = " ".join(f"{x:.2f},{y:.1f}" for x, y in points)
    wide = {"viewBox": f"0 0 100 {HEIGHT:g}", "preserveAspectRatio": "none", "width": "100%"}
    line = tag("svg", tag("polyline", points=path), **wide, height=HEIGHT)
    radius = 2.5 if len(points) <= 60 else 1.0
    dots = [
        tag(
            "circle",
            tag("title", f"{series.name}: {y:.6g} at {x:.6g}"),
            cx=percent(px),
            cy=py,
            r=radius,
        )
        for (x, y), (px, py) in zip(series.points, points, strict=True)
    ]
    rings = [
        tag("circle", cx=percent(px), cy=py, r=6, class_="ring")
        for (x, _), (px, py) in zip(series.points, points, strict=True)
        if x == series.ringed
    ]
    return tag("g", line, *dots, *rings, class_=f"line {series.class_}")


@dataclass(frozen=True)
class Bar:
    """A stack: its place on the axis, what to call it, and (class, name, amount) from below."""

    where: float
    name: str
    parts: list[tuple[str, str, float]]

    @property
    def total(self) -> float:
        """The height of the stack."""
        return sum(amount for _, _, amount in self.parts)


def stacks(
    name: str,
    bars: Sequence[Bar],
    width: float,
    top: float,
    x_range: tuple[float, float],
    x_label: str,
    y_label: str,
) -> Html:
    """Stacked seconds, each bar `width` wide on the axis; one above `top` is cut, its sum above."""
    axes = Axes(x_range, (0.0, top))
    unit, factor = _unit(top)
    frame = axes.draw(x_label, f"{y_label} ({unit})", _whole, lambda y: f"{y * factor:g}")
    drawn, free = [], 0.0
    for bar in bars:
        x0, _ = axes.at(bar.where - width / 2, 0)
        x1, _ = axes.at(bar.where + width / 2, 0)
        below = 0.0
        for class_, part, amount in bar.parts:
            _, y0 = axes.at(0, min(below, top))
            _, y1 = axes.at(0, min(below + amount, top))
            below += amount
            if y0 - y1 > 0.05:
                said = tag("title", f"{bar.name}, {part}: {say_seconds(amount)}")
                across = {"x": percent(x0), "width": percent(x1 - x0)}
                drawn.append(tag("rect", said, class_=class_, y=y1, height=y0 - y1, **across))
        if below > top * 1.0001 and x0 >= free:
            text = f"↑ {say_seconds(below)}"
            drawn.append(tag("text", text, x=percent(x0), y=-5, class_="cut"))
            free = x0 + 100 * 7.0 * len(text) / NARROW
    return picture(name, HEIGHT, AROUND_AXES, frame, *drawn)


def rows(name: str, bars: Sequence[Bar], say: Callable[[float], str]) -> Html:
    """Stacked bars lying below each other, each with its name and its total; `where` is unused."""
    most = max((bar.total for bar in bars), default=0) or 1
    around = Margins(4, 84, 4, 8.0 + 6.2 * max(len(bar.name) for bar in bars))
    drawn = []
    for n, bar in enumerate(bars):
        y, x = 18.0 * n, 0.0
        drawn.append(tag("text", bar.name, x=-6, y=y + 11, text_anchor="end"))
        for class_, part, amount in bar.parts:
            long = 100 * amount / most
            if long > 0.01:
                said = tag("title", f"{bar.name}, {part}: {say(amount)}")
                across = {"x": percent(x), "width": percent(long)}
                drawn.append(tag("rect", said, class_=class_, y=y, height=14, **across))
            x += long
        drawn.append(tag("text", say(bar.total), x=percent(x), dx=6, y=y + 11))
    return picture(name, 18.0 * len(bars), around, *drawn)


@dataclass(frozen=True)
class Row:
    """A row of a timeline: spans that nest, inner ones drawn over outer ones."""

    name: str
    spans: list[Span]
    height: float


def timeline(
    name: str, rows_: Sequence[Row], begin: float, end: float, class_of: Callable[[Span], str]
) -> Html:
    """Rows of spans between two times, and an axis; a bin of it shows what fills it most."""
    below = sum(row.height + 3 for row in rows_) + 4
    scale = 100 / (end - begin)
    unit, factor = _unit(end)
    drawn, y = [], 0.0
    for value in ticks(begin, end, 8):
        x, said = percent((value - begin) * scale), f"{value * factor:.6g}"
        drawn += [
            tag("line", x1=x, x2=x, y1=-2, y2=below, class_="grid"),
            tag("text", said, x=x, y=below + 14, text_anchor="middle"),
        ]
    drawn.append(tag("text", unit, x=-24, y=below + 14, text_anchor="end"))
    for row in rows_:
        middle = y + row.height / 2 + 4
        drawn.append(tag("text", row.name, x=-8, y=middle, text_anchor="end"))
        for depth, spans in enumerate(by_depth(row.spans)):
            low = row.height * 0.3 * min(depth, 2)
            for a, b, span in filled(spans, begin, end, BIN / scale):
                shown = f"{span.name}, {say_seconds(a)} to {say_seconds(b)}"
                shape = {"x": percent((a - begin) * scale), "width": percent((b - a) * scale)}
                shape |= {"y": f"{y + low:g}", "height": f"{row.height - low:g}"}
                drawn.append(tag("rect", tag("title", shown), class_=class_of(span), **shape))
        y += row.height + 3
    return picture(name, below, Margins(4, 12, 22, 126), *drawn, class_="plot timeline")


def by_depth(spans: Sequence[Span]) -> list[list[Span]]:
    """Spans by how many others of the thread they lie in: depth 0 first."""
    levels: list[list[Span]] = []
    around: list[Span] = []
    for span in sorted(spans, key=lambda each: (each.begin_s, -each.end_s)):
        while around and around[-1].end_s <= span.begin_s + CLOCK_S:
            around.pop()
        if len(levels) == len(around):
            levels.append([])
        levels[len(around)].append(span)
        around.append(span)
    return levels


def filled(
    spans: Sequence[Span], begin: float, end: float, bin_s: float
) -> list[tuple[float, float, Span]]:
    """Times and spans to draw: whole spans where they are wider than a bin, else one for many.

    Spans of one depth do not overlap. Those narrower than a bin are gathered by bins, of which
    each is drawn, as the longest of them, if they fill half of it.
    """
    wide: list[tuple[float, float, Span]] = []
    narrow: dict[int, list[tuple[float, Span]]] = {}
    for span in spans:
        a, b = max(span.begin_s, begin), min(span.end_s, end)
        if b - a >= bin_s:
            wide.append((a, b, span))
        elif b > a:
            place = int((a - begin) / bin_s)
            narrow.setdefault(place, []).append((b - a, span))
    for place, held in narrow.items():
        if sum(length for length, _ in held) >= bin_s / 2:
            a = begin + place * bin_s
            wide.append((a, a + bin_s, max(held, key=lambda each: each[0])[1]))
    return sorted(wide, key=lambda each: each[0])


def swatch(class_: str, name: str) -> Html:
    """An entry of a legend: a square of the class's colour and a name."""
    square = tag("rect", class_=class_, width=12, height=12)
    shown = tag("svg", square, viewBox="0 0 12 12", class_="swatch", aria_hidden="true")
    return tag("li", shown, name)


def stroke(class_: str, name: str) -> Html:
    """An entry of a legend: a line as in the plot and a name."""
    line = tag("line", x1=0, x2=30, y1=6, y2=6)
    group = tag("g", line, class_=f"line {class_}")
    shown = tag("svg", group, viewBox="0 0 30 12", class_="swatch wide", aria_hidden="true")
    return tag("li", shown, name)


def _say_between(low: float, high: float) -> Callable[[float], str]:
    """How numbers of an axis are said: with the digits that its length needs."""
    most, step = math.log10(max(abs(low), abs(high))), math.log10(high - low)
    digits = max(0, 1 - math.floor(step))
    if digits <= 5 and most < 6:
        return lambda value: f"{value:.{digits}f}"
    significant = 2 + math.floor(most) - math.floor(step)
    return lambda value: f"{value:.{significant}g}"


def _whole(value: float) -> str:
    return f"{value:g}"


def _unit(most: float) -> tuple[str, float]:
    """The unit of an axis of seconds, and how many of it a second has."""
    return ("s", 1.0) if most >= 1 else ("ms", 1e3) if most >= 1e-3 else ("µs", 1e6)


def nice_top(values: Sequence[float]) -> float:
    """An axis's end just above the largest value."""
    most = float(np.max(values)) if len(values) else 1.0
    return (most or 1.0) * 1.06
