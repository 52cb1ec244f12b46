"""A run's metrics become a Plotly figure and a few words. Knows no component; colours fit both themes."""

import json
import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

Row = dict[str, Any]
MOST_POINTS = 1000  # drawn per line; more slow the page and no eye can tell them apart
_TRAIN, _VALIDATION, _BASE = "#0d9488", "#ea580c", "#64748b"
_SMOOTHING = 0.9
_RISES_IN_A_ROW = 2


def draw_curves(train: Sequence[Row], validation: Sequence[Row], base_loss: float | None, total_steps: int) -> dict[str, Any]:
    """Return the loss curves as a Plotly figure object: x in steps, y in nats per trained token."""
    figure = go.Figure()
    shown = _thin(list(zip(train, smooth([row["loss"] for row in train]), strict=True)))
    rows = [row for row, _ in shown]
    _line(figure, rows, [row["loss"] for row in rows], name="train", color=_TRAIN, width=1, opacity=0.35)
    _line(figure, rows, [value for _, value in shown], name="train, smoothed", color=_TRAIN, width=2.5)
    losses = [row["loss"] for row in validation]
    _line(figure, validation, losses, name="validation", color=_VALIDATION, width=2.5, mode="lines+markers")
    if base_loss is not None and validation:
        ends = {"x": [0, total_steps], "y": [base_loss, base_loss]}
        dashed = {"color": _BASE, "dash": "dash", "width": 1.5}
        figure.add_scatter(**ends, name="base model", mode="lines", line=dashed, hovertemplate="%{y:.4f}")
    tuned = [row for row in validation if row["step"] > 0]
    if tuned:
        _mark_best(figure, tuned)
    figure.update_layout(
        xaxis={"title": {"text": "step"}, "range": None, "rangemode": "tozero"},
        yaxis={"title": {"text": "loss (nats per token)"}, "rangemode": "tozero"},
        hovermode="x unified",
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        margin={"l": 56, "r": 12, "t": 8, "b": 44},
    )
    document: dict[str, Any] = json.loads(figure.to_json())
    document["layout"].pop("template", None)  # the page brings its own colours
    return document


def smooth(values: Sequence[float]) -> list[float]:
    """Return the exponential moving average with weight 0.9 on the past, corrected for its start at zero."""
    smoothed, average = [], 0.0
    for count, value in enumerate(values, start=1):
        average = _SMOOTHING * average + (1 - _SMOOTHING) * value
        smoothed.append(average / (1 - _SMOOTHING**count))
    return smoothed


def overfitting_words(train: Sequence[Row], validation: Sequence[Row]) -> str:
    """Say it when the validation loss has risen several times in a row while the train loss fell; else ''."""
    tuned = [row for row in validation if row["step"] > 0]
    rises = 0
    while rises + 1 < len(tuned) and tuned[-rises - 1]["loss"] > tuned[-rises - 2]["loss"]:
        rises += 1
    if rises < _RISES_IN_A_ROW:
        return ""
    turn = tuned[-rises - 1]["step"]
    smoothed = smooth([row["loss"] for row in train])
    at_turn = next((value for row, value in zip(train, smoothed, strict=True) if row["step"] >= turn), math.inf)
    if not smoothed or smoothed[-1] >= at_turn:
        return ""
    return (
        f"Overfitting: the validation loss has risen {rises} times in a row since step {turn} while the train loss fell. "
        "The best model is kept; stopping now loses nothing."
    )


def _line(figure: go.Figure, rows: Sequence[Row], values: Sequence[float], *, name: str, color: str, **look: Any) -> None:
    figure.add_scatter(
        x=[row["step"] for row in rows],
        y=list(values),
        customdata=[row["epoch"] for row in rows],
        name=name,
        mode=look.get("mode", "lines"),
        opacity=look.get("opacity", 1),
        line={"color": color, "width": look["width"]},
        marker={"color": color, "size": 6},
        hovertemplate="%{y:.4f} (epoch %{customdata:.2f})",
    )


def _mark_best(figure: go.Figure, tuned: Sequence[Row]) -> None:
    """Put a star on the best evaluation and shade what lies beyond it when the loss has risen since."""
    best = min(tuned, key=lambda row: row["loss"])
    star = {"symbol": "star", "size": 15, "color": _VALIDATION}
    figure.add_scatter(
        x=[best["step"]], y=[best["loss"]], name="best", mode="markers", marker=star, hovertemplate="%{y:.4f}, kept"
    )
    last = tuned[-1]
    if last["step"] > best["step"] and last["loss"] > best["loss"]:
        figure.add_vrect(x0=best["step"], x1=last["step"], fillcolor=_VALIDATION, opacity=0.08, line_width=0)


def _thin(points: list[Any]) -> list[Any]:
    """Keep every n-th point and the last one."""
    stride = max(math.ceil(len(points) / MOST_POINTS), 1)
    kept = points[::stride]
    return kept if not points or kept[-1] is points[-1] else [*kept, points[-1]]
