"""Runs' metrics become Plotly figures and a few words. Knows no component; colours fit both themes.

Figures are written as the objects that Plotly's script reads; building them through Plotly's
classes takes tens of milliseconds a second and page, all of it checks (a test has them checked).
"""

import json
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import Any, Literal

from plotly.subplots import make_subplots

from core.training.runs.rows import MetricRow
from ui.train.metrics_cache import History

Trace = dict[str, Any]
Figure = dict[str, Any]
Point = tuple[float, float, float]  # x, loss, epoch
MOST_POINTS = 1000  # drawn per line; more slow the page and no eye can tell them apart
_FEW = 300  # for overlays and small charts
_TRAIN, _VALIDATION, _BASE = "#0d9488", "#ea580c", "#64748b"
_OTHERS = ("#7c3aed", "#2563eb", "#be185d", "#65a30d", "#b45309", "#0891b2")
_RISES_IN_A_ROW = 2
_GUARD_SMOOTHING = 0.9
_Axis = Literal["step", "epoch", "seen_tokens"]
_AXES: dict[str, _Axis] = {"steps": "step", "epochs": "epoch", "tokens": "seen_tokens"}
_SMALL = (  # column, title
    ("learning_rate", "learning rate"),
    ("gradient_norm", "gradient norm"),
    ("tokens_per_s", "tokens/s"),
    ("peak_memory_mib", "memory, MiB"),
)


@dataclass(frozen=True, slots=True)
class ChartOptions:
    """How a user wants to see curves."""

    axis: str = "steps"  # or epochs, tokens
    smoothing: float = 0.9  # weight of the past, 0 to below 1
    log: bool = False


def read_chart_options(question: Mapping[str, Any]) -> ChartOptions:
    """Return what a page asks for; whatever is none of the choices is as usual."""
    axis, smoothing = question.get("axis"), question.get("smoothing")
    usual = ChartOptions()
    return ChartOptions(
        axis if isinstance(axis, str) and axis in _AXES else usual.axis,
        float(smoothing)
        if isinstance(smoothing, int | float) and 0 <= smoothing < 1
        else usual.smoothing,
        question.get("log") is True,
    )


def draw_curves(run: History, look: ChartOptions, others: Sequence[History] = ()) -> Figure:
    """Return the loss curves as a Plotly figure: y in nats per trained token, the others' as
    overlays.
    """
    traces, shapes = _draw_run(run, look)
    for other, color in zip(others, _OTHERS, strict=False):
        smoothed = smooth([row["loss"] for row in other.train], look.smoothing)
        points = [
            _point(other, row, look, loss)
            for row, loss in _thin(list(zip(other.train, smoothed, strict=True)), _FEW)
        ]
        traces.append(_line(points, name=f"{other.name}: train", color=color, width=1.2))
        points = [_point(other, row, look) for row in other.validation]
        traces.append(
            _line(
                points, name=f"{other.name}: validation", color=color, width=2, mode="lines+markers"
            )
        )
    layout = {
        "xaxis": {"title": {"text": look.axis}, "rangemode": "tozero"},
        "yaxis": {
            "title": {"text": "loss (nats per token)"},
            "rangemode": "tozero",
            "type": "log" if look.log else "linear",
        },
        "hovermode": "x unified",
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "margin": {"l": 56, "r": 12, "t": 8, "b": 44},
        "shapes": shapes,
    }
    return {"data": traces, "layout": layout}


def draw_small_multiples(run: History, look: ChartOptions) -> Figure:
    """Return four small charts of what else was noted at every step."""
    rows = _thin(run.train, _FEW)
    x = [row[_AXES[look.axis]] for row in rows]
    traces = []
    for at, (column, title) in enumerate(_SMALL):
        number = str(at + 1) if at else ""
        traces.append(
            {
                "type": "scatter",
                "x": x,
                "y": [row[column] for row in rows],
                "mode": "lines",
                "name": title,
                "line": {"color": _TRAIN, "width": 1.5},
                "xaxis": f"x{number}",
                "yaxis": f"y{number}",
                "hovertemplate": "%{y:.4g}",
            }
        )
    return {"data": traces, "layout": _small_layout()}


def smooth(values: Sequence[float], weight: float) -> list[float]:
    """Return the exponential moving average with ``weight`` on the past, corrected for its start at
    zero.
    """
    averages = accumulate(
        values, lambda average, value: weight * average + (1 - weight) * value, initial=0.0
    )
    return [average / (1 - weight**count) for count, average in enumerate(averages) if count]


def training_warning(run: History, *, goes_on: bool) -> str:
    """Say it when no evaluation is better than the base model, or when a run overfits; else ''."""
    losses = [row["loss"] for row in _tuned(run)]
    if run.base_loss is not None and losses and min(losses) > run.base_loss:
        best = f"{min(losses):.4f} at best, {run.base_loss:.4f} before"
        return f"{'So far no' if goes_on else 'No'} evaluation is better than the base model: {best}. Try a lower learning rate."
    return _overfitting_words(run, goes_on=goes_on)


def _overfitting_words(run: History, *, goes_on: bool) -> str:
    """Say it when the validation loss has risen several times in a row while the train loss fell;
    else ''.
    """
    tuned = _tuned(run)
    rises = 0
    while rises + 1 < len(tuned) and tuned[-rises - 1]["loss"] > tuned[-rises - 2]["loss"]:
        rises += 1
    if rises < _RISES_IN_A_ROW:
        return ""
    turn = tuned[-rises - 1]["step"]
    if not _fits_better_since(run, turn):
        return ""
    return (
        f"Overfitting: the validation loss has risen {rises} times in a row since step {turn} "
        "while the train loss fell. "
        f"The best model is kept{'; stopping now loses nothing' if goes_on else ''}."
    )


def _tuned(run: History) -> list[MetricRow]:
    """Return the evaluations of the model that is tuned, the untuned one's left out."""
    return [row for row in run.validation if row["step"] > 0]


def _fits_better_since(run: History, step: int) -> bool:
    """Return whether the train loss has fallen since a step, by a smoothing of its own, however the
    line is drawn.
    """
    smoothed = smooth([row["loss"] for row in run.train], _GUARD_SMOOTHING)
    before = next(
        (value for row, value in zip(run.train, smoothed, strict=True) if row["step"] >= step),
        math.inf,
    )
    return bool(smoothed) and smoothed[-1] < before


def _draw_run(run: History, look: ChartOptions) -> tuple[list[Trace], list[Trace]]:
    """Return a run's lines, and the shade over what overfits."""
    smoothed = smooth([row["loss"] for row in run.train], look.smoothing)
    shown = _thin(list(zip(run.train, smoothed, strict=True)), MOST_POINTS)
    raw = [_point(run, row, look) for row, _ in shown]
    validation = [_point(run, row, look) for row in run.validation]
    smoothed_points = [_point(run, row, look, loss) for row, loss in shown]
    traces = [
        _line(raw, name="train", color=_TRAIN, width=1, opacity=0.35),
        _line(smoothed_points, name="train, smoothed", color=_TRAIN, width=2.5),
        _line(validation, name="validation", color=_VALIDATION, width=2.5, mode="lines+markers"),
    ]
    if run.base_loss is not None and validation:
        end = max(
            [x for x, *_ in raw + validation] + ([run.total_steps] if look.axis == "steps" else [])
        )
        traces.append(
            {
                "type": "scatter",
                "x": [0, end],
                "y": [run.base_loss] * 2,
                "name": "base model",
                "mode": "lines",
                "line": {"color": _BASE, "dash": "dash", "width": 1.5},
                "hovertemplate": "%{y:.4f}",
            }
        )
    tuned = _tuned(run)
    if not tuned:
        return traces, []
    best = min(tuned, key=lambda row: row["loss"])
    risen = tuned[-1]["loss"] > best["loss"]
    ends = [_point(run, row, look) for row in (best, tuned[-1])]
    return [*traces, _star(ends[0])], [_shade(*ends)] if risen and _fits_better_since(
        run, best["step"]
    ) else []


def _point(run: History, row: MetricRow, look: ChartOptions, loss: float | None = None) -> Point:
    """Return where a row lies: x on the chosen axis, a loss, the epoch."""
    x = row[_AXES[look.axis]]
    if x is None:  # an evaluation counts no tokens: it lies where the step before it ended
        before = bisect_right(run.train, row["step"], key=lambda trained: trained["step"])
        x = (run.train[before - 1][_AXES[look.axis]] if before else 0) or 0
    return x, row["loss"] if loss is None else loss, row["epoch"]


def _line(points: Sequence[Point], *, name: str, color: str, **look: Any) -> Trace:
    return {
        "type": "scatter",
        "x": [x for x, _, _ in points],
        "y": [loss for _, loss, _ in points],
        "customdata": [epoch for _, _, epoch in points],
        "name": name,
        "mode": look.get("mode", "lines"),
        "opacity": look.get("opacity", 1),
        "line": {"color": color, "width": look["width"]},
        "marker": {"color": color, "size": 6},
        "hovertemplate": "%{y:.4f} (epoch %{customdata:.2f})",
    }


def _star(best: Point) -> Trace:
    marker = {"symbol": "star", "size": 15, "color": _VALIDATION}
    star = {
        "type": "scatter",
        "x": [best[0]],
        "y": [best[1]],
        "name": "best",
        "mode": "markers",
        "marker": marker,
    }
    return star | {"hovertemplate": "%{y:.4f}, kept"}


def _shade(best: Point, last: Point) -> Trace:
    """Shade what lies beyond the best evaluation."""
    place = {
        "type": "rect",
        "xref": "x",
        "yref": "y domain",
        "x0": best[0],
        "x1": last[0],
        "y0": 0,
        "y1": 1,
    }
    return place | {"fillcolor": _VALIDATION, "opacity": 0.08, "line": {"width": 0}}


@cache
def _small_layout() -> Trace:
    """Return the layout of two by two charts with their titles."""
    figure = make_subplots(
        rows=2, cols=2, subplot_titles=[title for _, title in _SMALL], vertical_spacing=0.2
    )
    figure.update_layout(
        showlegend=False, margin={"l": 48, "r": 12, "t": 28, "b": 32}, hovermode="x"
    )
    figure.update_yaxes(rangemode="tozero")
    figure.update_annotations(font_size=12)  # the charts' titles
    layout: Trace = json.loads(figure.to_json())["layout"]
    layout.pop("template", None)  # the page brings its own colours
    return layout


def _thin(points: list[Any], most: int) -> list[Any]:
    """Keep every n-th point and the last one."""
    stride = max(math.ceil(len(points) / most), 1)
    kept = points[::stride]
    return kept if not points or kept[-1] is points[-1] else [*kept, points[-1]]
