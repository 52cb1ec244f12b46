"""Plotly figures drawn as SVG, for pages that must open without a network and without 5 MB of script.

Draws what our figures are made of and no more: scatter traces as lines, markers, text and error
bars on linear, logarithmic or named axes, rectangles and lines behind them, a legend. Knows no run
and no review. Elements are made by ElementTree, which escapes every text.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from markupsafe import Markup

Figure = Mapping[str, Any]
_WIDTH = 960
_HEIGHT = 420
_LEGEND_PX = 26
_GRID, _TEXT, _LINE = "#e2e8f0", "#475569", "#0f766e"
_LETTER_PX = 6.6  # of a digit or letter at 12 px, on average
_TICKS = 6
_STAR = 5  # corners


@dataclass(frozen=True, slots=True)
class _Axis:
    """Where values lie on one axis, in pixels."""

    ticks: tuple[tuple[float, str], ...]  # pixel, label
    place: Callable[[Any], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Box:
    """A chart's area in pixels."""

    left: float
    right: float
    top: float
    bottom: float


def svg_chart(figure: Figure) -> Markup:
    """Return a figure as an SVG element that takes the width of its page."""
    layout = figure["layout"]
    height = int(layout.get("height", _HEIGHT))
    root = Element(
        "svg",
        {
            "viewBox": f"0 0 {_WIDTH} {height}", "role": "img", "class": "chart",
            "aria-label": _described(figure), "font-size": "12", "fill": _TEXT,
        },
    )  # fmt: skip
    has_legend = layout.get("showlegend", True) and len(figure["data"]) > 1
    for suffix, traces in _by_axes(figure["data"]).items():
        box = _box(layout, suffix, traces, height, legend=has_legend)
        _draw_chart(root, box, traces, layout, suffix)
    if has_legend:
        _draw_legend(root, figure["data"])
    for note in layout.get("annotations", ()):
        x, y = note["x"] * _WIDTH, (1 - note["y"]) * (height - 24) + 14
        _text(root, x, y, str(note["text"]), anchor="middle")
    return Markup(tostring(root, encoding="unicode"))  # noqa: S704 - ElementTree has escaped it


def _described(figure: Figure) -> str:
    names = [str(trace["name"]) for trace in figure["data"] if trace.get("name")]
    axis = figure["layout"].get("yaxis", {}).get("title", {}).get("text", "")
    return ": ".join(filter(None, [axis, ", ".join(names)])) or "chart"


def _by_axes(traces: Sequence[Figure]) -> dict[str, list[Figure]]:
    """Return the traces of each chart, by the number at the end of its axes' names."""
    found: dict[str, list[Figure]] = {}
    for trace in traces:
        found.setdefault(str(trace.get("xaxis", "x"))[1:], []).append(trace)
    return found


def _box(
    layout: Figure, suffix: str, traces: Sequence[Figure], height: int, *, legend: bool
) -> _Box:
    """Return where a chart lies: its part of the figure, less the room for labels."""
    x0, x1 = layout.get(f"xaxis{suffix}", {}).get("domain", (0, 1))
    y0, y1 = layout.get(f"yaxis{suffix}", {}).get("domain", (0, 1))
    names = [len(str(y)) for trace in traces for y in trace["y"] if isinstance(y, str)]
    left_px = max([52.0, *(length * _LETTER_PX + 12 for length in names)])
    top_px = _LEGEND_PX if legend else 10
    return _Box(
        left=x0 * _WIDTH + min(left_px, _WIDTH / 2),
        right=x1 * _WIDTH - 26,
        top=(1 - y1) * height + top_px + (14 if layout.get("annotations") else 0),
        bottom=(1 - y0) * height - 40,
    )


def _draw_chart(
    root: Element, box: _Box, traces: Sequence[Figure], layout: Figure, suffix: str
) -> None:
    x_of, y_of = (layout.get(f"{letter}axis{suffix}", {}) for letter in "xy")
    x = _axis(x_of, _values(traces, "x"), box.left, box.right)
    y = _axis(y_of, _values(traces, "y"), box.bottom, box.top)
    for pixel, label in x.ticks:
        _line(root, (pixel, box.top), (pixel, box.bottom), _GRID)
        _text(root, pixel, box.bottom + 16, label, anchor="middle")
    for pixel, label in y.ticks:
        _line(root, (box.left, pixel), (box.right, pixel), _GRID)
        _text(root, box.left - 8, pixel + 4, label, anchor="end")
    for axis, where in ((x_of, "x"), (y_of, "y")):
        _draw_title(root, box, str(axis.get("title", {}).get("text", "")), where)
    for shape in layout.get("shapes", ()) if not suffix else ():
        _draw_shape(root, box, shape, x)
    for trace in traces:
        _draw_trace(root, trace, x, y)


def _values(traces: Sequence[Figure], letter: str) -> list[Any]:
    """Return all values of an axis, the ends of error bars among them."""
    found: list[Any] = []
    for trace in traces:
        found += trace[letter]
        errors = trace.get(f"error_{letter}")
        for middle, up, down in _error_bars(trace[letter], errors) if errors else ():
            found += [middle + up, middle - down]
    return found


def _error_bars(middles: Sequence[Any], errors: Figure) -> Iterator[tuple[float, float, float]]:
    yield from zip(middles, errors["array"], errors["arrayminus"], strict=True)


def _axis(options: Figure, values: Sequence[Any], start: float, end: float) -> _Axis:
    """Return an axis from ``start`` to ``end``, in pixels."""
    if any(isinstance(value, str) for value in values):
        return _named_axis(list(dict.fromkeys(values)), start, end, options)
    numbers = [float(value) for value in values if value is not None and math.isfinite(value)]
    is_log = options.get("type") == "log" and bool(numbers) and min(numbers) > 0
    low, high = _range(options, numbers, is_log=is_log)
    scale: Callable[[float], float] = math.log10 if is_log else float

    def place(value: float) -> float:
        safe = max(value, low) if is_log else value
        return start + (end - start) * (scale(safe) - scale(low)) / (scale(high) - scale(low))

    ticks = _log_ticks(low, high) if is_log else _ticks(low, high)
    return _Axis(tuple((place(one), _label(one, options)) for one in ticks), place)


def _named_axis(names: Sequence[str], start: float, end: float, options: Figure) -> _Axis:
    """Return an axis of names, the first at its end where it is reversed, as tables read."""
    order = list(reversed(names)) if options.get("autorange") == "reversed" else list(names)
    step = (end - start) / len(order)
    at = {name: start + step * (number + 0.5) for number, name in enumerate(order)}
    return _Axis(tuple((pixel, name) for name, pixel in at.items()), at.__getitem__)


def _range(options: Figure, numbers: Sequence[float], *, is_log: bool) -> tuple[float, float]:
    if "range" in options:
        return float(options["range"][0]), float(options["range"][1])
    low, high = (min(numbers), max(numbers)) if numbers else (0.0, 1.0)
    if is_log:
        return low / 1.1, high * 1.1
    if options.get("rangemode") == "tozero":
        low, high = min(low, 0.0), max(high, 0.0)
    room = (high - low or abs(high) or 1.0) * 0.05
    return low if low == 0 else low - room, high + room


def _ticks(low: float, high: float) -> list[float]:
    """Return round numbers between two: steps of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * times for times in (1, 2, 5, 10) if power * times >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found = [times * 10.0**power for power in powers for times in (1, 2, 5)]
    return [one for one in found if low <= one <= high]


def _label(value: float, options: Figure) -> str:
    if options.get("tickformat") == ".0%":
        return f"{value:.0%}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value + 0.0:.4g}"


def _draw_title(root: Element, box: _Box, title: str, where: str) -> None:
    if not title:
        return
    if where == "x":
        _text(root, (box.left + box.right) / 2, box.bottom + 34, title, anchor="middle")
        return
    element = _text(root, 0, 0, title, anchor="middle")
    middle = (box.top + box.bottom) / 2
    element.set("transform", f"translate({box.left - 40:.1f} {middle:.1f}) rotate(-90)")


def _draw_shape(root: Element, box: _Box, shape: Figure, x: _Axis) -> None:
    """Draw a shape that spans the whole height: between two values of x, or at one."""
    first, last = x.place(shape["x0"]), x.place(shape["x1"])
    if shape["type"] == "line":
        line = shape.get("line", {})
        dash = "6 4" if line.get("dash") else ""
        _line(root, (first, box.top), (last, box.bottom), str(line.get("color", _TEXT)), dash=dash)
        return
    SubElement(
        root,
        "rect",
        {
            "x": f"{min(first, last):.1f}", "y": f"{box.top:.1f}",
            "width": f"{abs(last - first):.1f}", "height": f"{box.bottom - box.top:.1f}",
            "fill": str(shape["fillcolor"]), "opacity": str(shape.get("opacity", 1)),
        },
    )  # fmt: skip


def _draw_trace(root: Element, trace: Figure, x: _Axis, y: _Axis) -> None:
    pairs = zip(trace["x"], trace["y"], strict=True)
    points = [(x.place(one), y.place(other)) for one, other in pairs if other is not None]
    group = SubElement(root, "g", {"opacity": str(trace.get("opacity", 1))})
    mode, color = str(trace.get("mode", "lines")), _color(trace)
    if "lines" in mode and points:
        line = trace.get("line", {})
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
        drawn = {"points": path, "fill": "none", "stroke": color}
        drawn |= {"stroke-width": str(line.get("width", 2)), "stroke-linejoin": "round"}
        drawn |= {"stroke-dasharray": "6 4"} if line.get("dash") else {}
        SubElement(group, "polyline", drawn)
    _draw_errors(group, trace, points, (x, y), color)
    if "markers" in mode:
        for at, point in enumerate(points):
            _draw_marker(group, point, trace, color, f"{trace['x'][at]}, {trace['y'][at]}")
    if "text" in mode:
        for (px, py), text in zip(points, trace["text"], strict=True):
            _text(group, px + 12, py + 4, str(text))


def _color(trace: Figure) -> str:
    return str(trace.get("line", {}).get("color") or trace.get("marker", {}).get("color") or _LINE)


def _draw_errors(
    group: Element,
    trace: Figure,
    points: Sequence[tuple[float, float]],
    axes: tuple[_Axis, _Axis],
    color: str,
) -> None:
    for number, letter in enumerate("xy"):
        if not (errors := trace.get(f"error_{letter}")):
            continue
        bars = _error_bars(trace[letter], errors)
        for point, (middle, up, down) in zip(points, bars, strict=True):
            ends = []
            for value in (middle - down, middle + up):
                end = list(point)
                end[number] = axes[number].place(value)
                ends.append((end[0], end[1]))
            _line(group, ends[0], ends[1], color, width=2)
            for px, py in ends:  # a bar across each end
                across = (0, 5) if number == 0 else (5, 0)
                start, stop = (px - across[0], py - across[1]), (px + across[0], py + across[1])
                _line(group, start, stop, color, width=2)


def _draw_marker(
    group: Element, point: tuple[float, float], trace: Figure, color: str, told: str
) -> None:
    px, py = point
    size = float(trace.get("marker", {}).get("size", 6)) / 2
    if trace.get("marker", {}).get("symbol") == "star":
        corners = []
        for number in range(2 * _STAR):
            radius = size if number % 2 == 0 else size * 0.45
            angle = math.pi * number / _STAR - math.pi / 2
            corners.append(
                f"{px + radius * math.cos(angle):.1f},{py + radius * math.sin(angle):.1f}"
            )
        marker = SubElement(group, "polygon", {"points": " ".join(corners), "fill": color})
    else:
        circle = {"cx": f"{px:.1f}", "cy": f"{py:.1f}", "r": f"{size:g}", "fill": color}
        marker = SubElement(group, "circle", circle)
    SubElement(marker, "title").text = told  # shown by the browser under the pointer


def _draw_legend(root: Element, traces: Sequence[Figure]) -> None:
    left = 52.0
    for trace in traces:
        name = str(trace.get("name", ""))
        if name:
            dash = "6 4" if trace.get("line", {}).get("dash") else ""
            _line(root, (left, 12), (left + 22, 12), _color(trace), width=2.5, dash=dash)
            _text(root, left + 28, 16, name)
            left += 28 + len(name) * _LETTER_PX + 24


def _line(
    parent: Element,
    start: tuple[float, float],
    end: tuple[float, float],
    color: str,
    *,
    width: float = 1,
    dash: str = "",
) -> None:
    drawn = {"x1": f"{start[0]:.1f}", "y1": f"{start[1]:.1f}"}
    drawn |= {"x2": f"{end[0]:.1f}", "y2": f"{end[1]:.1f}", "stroke": color}
    drawn |= {"stroke-width": f"{width:g}"} | ({"stroke-dasharray": dash} if dash else {})
    SubElement(parent, "line", drawn)


def _text(parent: Element, x: float, y: float, text: str, *, anchor: str = "start") -> Element:
    element = SubElement(parent, "text", {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor})
    element.text = text
    return element
