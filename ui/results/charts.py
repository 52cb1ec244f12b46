"""What verdicts say, as Plotly figures. Knows no component; colours fit both themes."""

from collections.abc import Sequence
from typing import Any

from review.results.report import Match, Report
from review.results.text import loss_sentence
from review.store.verdicts import NO_CATEGORY

Figure = dict[str, Any]
_WON, _LOSS = "#0d9488", "#ea580c"
_ROW_PX = 34
_MARGINS_PX = 126


def result_figures(report: Report) -> dict[str, Any]:
    """Return all figures of a report, and what the second says in words."""
    return {
        "win_rates": draw_win_rates(report),
        "losses": draw_losses(report),
        "loss_words": loss_sentence(report),
    }


def draw_win_rates(report: Report) -> Figure | None:
    """Return every meeting's win rate with its interval, overall and by category; None before
    anything is decided.

    Each point carries what the pairs behind it are found by: the two contenders and the category.
    """
    several = len(report.matches) > 1
    lines = [(_title(match), match, "") for match in map(report.told, report.matches)]
    lines += [
        (
            f"{name or 'no category'}{f': {_title(match)}' if several else ''}",
            match,
            name or NO_CATEGORY,
        )
        for name, found in report.categories
        for match in map(report.told, found)
    ]
    decided = [
        (title, match, category) for title, match, category in lines if match.win_rate is not None
    ]
    if not decided:
        return None
    matches = [match for _, match, _ in decided]
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": [match.win_rate for match in matches],
        "y": [title for title, _, _ in decided],
        "customdata": [
            [match.contender, match.against, category] for _, match, category in decided
        ],
        "error_x": _errors(
            [match.win_rate or 0.0 for match in matches], [match.interval for match in matches]
        ),
        "marker": {"size": 11, "color": _WON},
        "cliponaxis": False,
        "text": [
            f"{match.wins} won, {match.losses} lost, {match.ties} tied, {match.both_bad} both bad"
            for match in matches
        ],
        "hovertemplate": "%{x:.0%} of the decided<br>%{text}<br>press to see the "
        "pairs<extra></extra>",
    }
    return {"data": [trace], "layout": _rate_layout(len(decided))}


def _rate_layout(lines: int) -> dict[str, Any]:
    """Return the layout of win rates one below the other, with a line where both are as good."""
    axis = {
        "range": [0, 1],
        "tickformat": ".0%",
        "title": {"text": "win rate of the first<br>with its 95 % interval"},
        "fixedrange": True,
    }
    names = {"autorange": "reversed", "automargin": True, "ticklabelstandoff": 8}
    half = {"type": "line", "x0": 0.5, "x1": 0.5, "yref": "paper", "y0": 0, "y1": 1}
    return {
        "height": _MARGINS_PX + _ROW_PX * lines,
        "margin": {"l": 10, "r": 20, "t": 20, "b": 66},
        "xaxis": axis,
        "yaxis": {**names, "fixedrange": True},
        "shapes": [{**half, "line": {"dash": "dash", "color": "#64748b"}}],
        "showlegend": False,
    }


def draw_losses(report: Report) -> Figure | None:
    """Return validation loss against what people say, a point for each tuned contender; None for
    fewer than two.
    """
    if len(report.losses) < 2:
        return None
    scores = [one.score for one in report.losses]
    trace = {
        "type": "scatter",
        "mode": "markers+text",
        "x": [one.loss for one in report.losses],
        "y": scores,
        "text": [one.contender for one in report.losses],
        "textposition": "middle right",
        "cliponaxis": False,
        "error_y": _errors(
            scores, [one.interval or (one.score, one.score) for one in report.losses]
        ),
        "marker": {"size": 11, "color": _LOSS},
        "hovertemplate": "%{text}<br>loss %{x:.3f}<br>score %{y:.0%}<extra></extra>",
    }
    layout = {
        "height": 360,
        "margin": {"l": 60, "r": 30, "t": 30, "b": 50},
        "xaxis": {"title": {"text": "validation loss, nats a token"}},
        "yaxis": {
            "title": {"text": "wins and half the ties"},
            "tickformat": ".0%",
            "range": [0, 1.05],
        },
        "showlegend": False,
    }
    return {"data": [trace], "layout": layout}


def _title(match: Match) -> str:
    return f"{match.contender} against {match.against}"


def _errors(middles: Sequence[float], intervals: Sequence[tuple[float, float]]) -> Figure:
    return {
        "type": "data",
        "symmetric": False,
        "array": [high - middle for middle, (_, high) in zip(middles, intervals, strict=True)],
        "arrayminus": [middle - low for middle, (low, _) in zip(middles, intervals, strict=True)],
        "thickness": 2,
        "width": 5,
    }
