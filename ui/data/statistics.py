"""A dataset in figures: lengths, splits, categories, turns, and a map of its rows.

Knows no component; colours fit both themes.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from core.datasets.check import CheckReport
from core.datasets.conversation import SPLIT_NAMES, Example
from core.datasets.row_map import lay_out_rows
from core.datasets.splits import Splits
from core.text import shortened

Figure = dict[str, Any]
_COLOURS = ("#0d9488", "#ea580c", "#6366f1", "#ca8a04", "#db2777", "#16a34a", "#0284c7", "#64748b")
_MOST_LENGTHS = 2_000  # of the lengths that the page counts with
_MOST_BARS = 12
_BINS = 40
_MARGIN = {"l": 55, "r": 20, "t": 10, "b": 45}


def statistics_figures(
    report: CheckReport, examples: Sequence[Example], splits: Splits
) -> dict[str, Any]:
    """Return the figures of a dataset, and its lengths for the cut-off that a user drags."""
    lengths = sorted(report.tokens.lengths)
    step = max(len(lengths) / _MOST_LENGTHS, 1)
    return {
        "lengths": _lengths(report),
        "sorted": [lengths[int(at * step)] for at in range(int(len(lengths) / step))],
        "rows": len(lengths),
        "sides": _sides(report),
        "bars": _bars(examples, splits),
    }


def _lengths(report: CheckReport) -> Figure:
    """Return the histogram of lengths with the context marked; the mark can be dragged."""
    # a context far beyond the longest row would leave no room for the rows
    longest = report.tokens.longest
    limit = report.max_tokens if report.max_tokens < 4 * longest else longest
    width = -(-report.tokens.longest // _BINS)
    counts = Counter(length // width for length in report.tokens.lengths)
    bins = range(max(counts) + 1)
    trace = {
        "type": "bar",
        "x": [width * number + width / 2 for number in bins],
        "y": [counts[number] for number in bins],
        "width": [0.95 * width] * len(bins),
        "customdata": [f"{width * n} to {width * (n + 1) - 1}" for n in bins],
        "marker": {"color": _COLOURS[0]},
        "hovertemplate": "%{customdata} tokens: %{y:,} rows<extra></extra>",
    }
    line = {"type": "line", "x0": limit, "x1": limit, "yref": "paper", "y0": 0, "y1": 1,
            "line": {"color": _COLOURS[1], "width": 3}, "editable": True}  # fmt: skip
    most = max(longest, limit)
    layout = {
        "height": 240,
        "margin": _MARGIN,
        "xaxis": {"title": {"text": "tokens of a row"}, "range": [0, 1.05 * most]},
        "yaxis": {"title": {"text": "rows"}, "fixedrange": True},
        "shapes": [line],
        "dragmode": False,
        "showlegend": False,
    }
    return {"data": [trace], "layout": layout}


def _sides(report: CheckReport) -> Figure:
    """Return prompt and answer lengths as boxes."""
    sides = (
        ("prompt", [a - b for a, b in zip(report.tokens.lengths, report.trained, strict=True)]),
        ("answer", list(report.trained)),
    )
    data = [
        {"type": "box", "x": _thinned(values), "name": name, "marker": {"color": colour},
         "boxpoints": False, "hoverinfo": "x"}
        for (name, values), colour in zip(sides, _COLOURS, strict=False)
    ]  # fmt: skip
    layout = {
        "height": 170,
        "margin": _MARGIN,
        "xaxis": {"title": {"text": "tokens"}, "rangemode": "tozero"},
        "yaxis": {"automargin": True, "fixedrange": True},
        "showlegend": False,
    }
    return {"data": data, "layout": layout}


def _thinned(values: list[int]) -> list[int]:
    ordered = sorted(values)
    step = max(len(ordered) / _MOST_LENGTHS, 1)
    return [ordered[int(at * step)] for at in range(int(len(ordered) / step))]


def _bars(examples: Sequence[Example], splits: Splits) -> Figure:
    """Return how many rows are of each split, category and number of turns, one bar each."""
    of_splits: Counter[str] = Counter({name: len(splits.named(name)) for name in SPLIT_NAMES})
    groups: list[tuple[str, Counter[str]]] = [
        ("split", of_splits),
        ("turns", Counter(str(_answers(example)) for example in examples)),
        ("category", Counter(example.category or "none" for example in examples)),
    ]
    names, counts, colours = [], [], []
    for (what, found), colour in zip(groups, _COLOURS, strict=False):
        if what != "split" and len(found) < 2:
            continue  # of all rows the same
        shown = found.most_common(_MOST_BARS)
        left = sum(found.values()) - sum(count for _, count in shown)
        for name, count in [*shown, *([("others", left)] if left else [])]:
            word = f"{name} answer{'' if name == '1' else 's'}" if what == "turns" else name
            names.append(f"{what}: {shortened(word, 30)}")
            counts.append(count)
            colours.append(colour)
    trace = {"type": "bar", "orientation": "h", "x": counts, "y": names, "text": counts,
             "textposition": "auto", "marker": {"color": colours},
             "hovertemplate": "%{y}: %{x:,} rows<extra></extra>"}  # fmt: skip
    layout = {
        "height": 70 + 24 * len(names),
        "margin": {**_MARGIN, "l": 10},
        "xaxis": {"title": {"text": "rows"}, "fixedrange": True},
        "yaxis": {"automargin": True, "autorange": "reversed", "fixedrange": True,
                  "ticklabelstandoff": 8},
        "showlegend": False,
    }  # fmt: skip
    return {"data": [trace], "layout": layout}


def _answers(example: Example) -> int:
    return sum(turn.role == "assistant" for turn in example.turns)


def map_figure(examples: Sequence[Example], splits: Splits, colour_by: str) -> Figure | None:
    """Return the map of rows, coloured by ``split`` or ``category``; None for too few rows."""
    part_of = {row.row: name for name in SPLIT_NAMES for row in splits.named(name)}
    placed = lay_out_rows(examples)
    if not placed:
        return None
    kinds = Counter(_kind(example, part_of, colour_by) for example, _, _ in placed)
    named = [name for name, _ in kinds.most_common(len(_COLOURS) - 1)]
    data = []
    for name, colour in zip([*named, "others"], _COLOURS, strict=False):
        points = [
            one
            for one in placed
            if (kind := _kind(one[0], part_of, colour_by)) == name
            or (name == "others" and kind not in named)
        ]
        if points:
            data.append(_points(name, colour, points))
    layout = {
        "height": 460,
        "margin": {"l": 10, "r": 10, "t": 10, "b": 10},
        "xaxis": {"visible": False},
        "yaxis": {"visible": False},
        "legend": {"orientation": "h", "y": -0.02},
        "dragmode": "pan",
        "hovermode": "closest",
    }
    return {"data": data, "layout": layout}


def _kind(example: Example, part_of: dict[int, Any], colour_by: str) -> str:
    return str(part_of[example.row]) if colour_by == "split" else example.category or "none"


def _points(name: str, colour: str, points: Sequence[tuple[Example, float, float]]) -> Figure:
    return {
        "type": "scattergl" if len(points) > 1_000 else "scatter",
        "mode": "markers",
        "name": shortened(name, 30),
        "x": [x for _, x, _ in points],
        "y": [y for _, _, y in points],
        "customdata": [example.row for example, _, _ in points],
        "text": [_hover(example) for example, _, _ in points],
        "marker": {"size": 6, "color": colour, "opacity": 0.7},
        "hovertemplate": "%{text}<extra></extra>",
    }


def _hover(example: Example) -> str:
    """Return a row in a few words; Plotly would read what looks like markup as such."""
    asked, answer = shortened(example.prompt_text, 90), shortened(example.answer, 90)
    plain = [text.replace("<", "\u2039").replace(">", "\u203a") for text in (asked, answer)]
    return f"row {example.row}<br>{plain[0]}<br>{plain[1]}"
