"""Scores of benchmarks as Plotly figures. Knows no component; colours fit both themes."""

from typing import Any

from core.evaluation.report import Cell, EvaluationReport, Line, title_of

Figure = dict[str, Any]
_COLOURS = ("#64748b", "#0d9488", "#ea580c", "#7c3aed", "#ca8a04", "#db2777")
_ROW_PX = 30
_MOST_BARS = 30  # lines of the chart of scores; the table has them all
_FEWEST_ON_RADAR, _MOST_ON_RADAR = 3, 12
_BETTER, _WORSE, _SAME = "#0d9488", "#dc2626", "#64748b"


def _charted(report: EvaluationReport) -> list[Line]:
    """Return the lines that a chart shows: groups first, of tasks as many as there is room for."""
    lines = [line for line in report.lines if any(_has_score(cell) for cell in line.cells)]
    groups = [line for line in lines if line.is_group]
    return [*groups, *(line for line in lines if not line.is_group)][:_MOST_BARS]


def _has_score(cell: Cell | None) -> bool:
    return cell is not None and cell.value is not None


def draw_scores(report: EvaluationReport) -> Figure | None:
    """Return every model's scores as points with their intervals, a line for each task; None before
    there is one.
    """
    lines = _charted(report)
    if not lines:
        return None
    traces = []
    for number, model in enumerate(report.models):
        cells = [(line.title, line.cells[number]) for line in lines]
        found = [
            (title, cell) for title, cell in cells if cell is not None and cell.value is not None
        ]
        values = [cell.value or 0.0 for _, cell in found]
        traces.append(
            {
                "type": "scatter", "mode": "markers", "name": model,
                "x": values, "y": [title for title, _ in found],
                "error_x": {
                    "type": "data", "symmetric": False, "thickness": 1.5, "width": 4,
                    "array": [(c.high if c.high is not None else v) - v
                              for (_, c), v in zip(found, values, strict=True)],
                    "arrayminus": [v - (c.low if c.low is not None else v)
                                   for (_, c), v in zip(found, values, strict=True)],
                },
                "marker": {"size": 10, "color": _COLOURS[number % len(_COLOURS)]},
                "cliponaxis": False,
                "hovertemplate": "%{y}<br>%{x:.3f}<extra>%{fullData.name}</extra>",
            }
        )  # fmt: skip
    layout = {
        "height": 130 + _ROW_PX * len(lines),
        "margin": {"l": 10, "r": 20, "t": 34, "b": 50},
        "xaxis": {"title": {"text": "score, with its<br>95 % interval"}, "fixedrange": True},
        "yaxis": {"autorange": "reversed", "automargin": True, "fixedrange": True,
                  "ticklabelstandoff": 8},
        "showlegend": len(traces) > 1,
        "legend": {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
    }  # fmt: skip
    return {"data": traces, "layout": layout}


def draw_radar(report: EvaluationReport) -> Figure | None:
    """Return the models' scores around a circle; None for fewer than three tasks or for more than
    can be told apart.
    """
    lines = [
        line for line in report.lines if not line.is_group and all(map(_has_score, line.cells))
    ]
    shares = [line for line in lines if all(0 <= (c.value or 0.0) <= 1 for c in line.cells if c)]
    if not _FEWEST_ON_RADAR <= len(shares) <= _MOST_ON_RADAR:
        return None
    titles = [line.title for line in shares]
    traces = [
        {
            "type": "scatterpolar", "name": model, "fill": "toself", "opacity": 0.75,
            "r": [(cell.value if (cell := line.cells[number]) else None) for line in [*shares, shares[0]]],
            "theta": [*titles, titles[0]],
            "line": {"color": _COLOURS[number % len(_COLOURS)]},
            "hovertemplate": "%{theta}<br>%{r:.3f}<extra>%{fullData.name}</extra>",
        }
        for number, model in enumerate(report.models)
    ]  # fmt: skip
    layout = {
        "height": 420,
        "margin": {"l": 70, "r": 70, "t": 40, "b": 40},
        "polar": {"bgcolor": "rgba(0,0,0,0)", "radialaxis": {"range": [0, 1], "tickformat": ".0%"}},
        "showlegend": len(traces) > 1,
        "legend": {"orientation": "h", "y": -0.08},
    }
    return {"data": traces, "layout": layout}


def draw_differences(report: EvaluationReport) -> Figure | None:
    """Return how far each model lies from the baseline on each task, question by question; None
    where nothing is compared.
    """
    found = report.comparisons[:_MOST_BARS]
    if not found:
        return None
    several = len(report.models) > 2
    titles = [f"{title_of(one.task)}{f': {one.model}' if several else ''}" for one in found]
    colours = [
        (_BETTER if one.difference > 0 else _WORSE) if one.is_shown else _SAME for one in found
    ]
    points = [100 * one.difference for one in found]
    trace = {
        "type": "scatter", "mode": "markers", "x": points, "y": titles,
        "error_x": {
            "type": "data", "symmetric": False, "thickness": 2, "width": 5,
            "array": [100 * one.high - point for one, point in zip(found, points, strict=True)],
            "arrayminus": [point - 100 * one.low for one, point in zip(found, points, strict=True)],
        },
        "marker": {"size": 10, "color": colours},
        "cliponaxis": False,
        "hovertemplate": "%{y}<br>%{x:+.1f} points<extra></extra>",
    }  # fmt: skip
    zero = {"type": "line", "x0": 0, "x1": 0, "yref": "paper", "y0": 0, "y1": 1}
    layout = {
        "height": 110 + _ROW_PX * len(found),
        "margin": {"l": 10, "r": 20, "t": 20, "b": 66},
        "xaxis": {
            "title": {"text": f"points more than<br>{report.baseline}"},
            "fixedrange": True, "zeroline": False,
        },
        "yaxis": {"autorange": "reversed", "automargin": True, "fixedrange": True,
                  "ticklabelstandoff": 8},
        "shapes": [{**zero, "line": {"dash": "dash", "color": "#64748b"}}],
        "showlegend": False,
    }  # fmt: skip
    return {"data": [trace], "layout": layout}
