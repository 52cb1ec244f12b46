"""A review's result as one HTML file that opens without a network and prints."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from markupsafe import Markup

from review.results.report import report_review
from review.results.single_responses import report_singles
from review.store.reviews import ReviewStore
from review.store.rows import ReviewRow
from ui.markup import fill_template
from ui.results.charts import draw_losses, draw_win_rates
from ui.results.views import pairs_markup, singles_markup
from ui.svg_chart import svg_chart

_RESULT_CSS = Path(__file__).parents[1] / "static" / "result.css"


def write_result(store: ReviewStore, name: str) -> Markup:
    """Return the whole result of a review, with what it was made of.

    Raises ReviewError when there is no such review.
    """
    review = store.find(name)
    result, figures = _result(store, name, single=review["response_mode"] != "pairs")
    return fill_template(
        "review_report",
        title=f"Review {name}",
        result_css=_RESULT_CSS.read_text(encoding="utf-8"),
        result=result,
        charts=[svg_chart(figure) for figure in figures],
        contenders={
            contender.name: _described(contender.kind, contender.facts)
            for contender in store.contenders(review["id"])
        },
        made=_facts(review),
        rubric_name=review["rubric_name"],
        rubric=review["rubric"],
    )


def _result(store: ReviewStore, name: str, *, single: bool) -> tuple[Markup, list[dict[str, Any]]]:
    if single:
        return singles_markup(report_singles(store, name)), []
    report = report_review(store, name)
    return pairs_markup(report), [
        figure for figure in (draw_win_rates(report), draw_losses(report)) if figure
    ]


def _described(kind: str, facts: dict[str, Any]) -> str:
    plain = {key: value for key, value in facts.items() if value not in ("", None, {})}
    known = [
        f"{key} {value}"
        for key, value in plain.items()
        if key != "kind" and not isinstance(value, dict)
    ]
    settings, versions = (plain.get(f"run_{what}", {}) for what in ("settings", "versions"))
    known += [f"trained with {_listed(settings)}"] if settings else []
    known += [f"by {_listed(versions)}"] if versions else []
    return f"{kind}: {', '.join(known)}" if known else kind


def _listed(values: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in values.items())


def _facts(review: ReviewRow) -> dict[str, Any]:
    sampling, versions = json.loads(review["sampling"]), json.loads(review["versions"])
    return {
        "dataset": f"SHA-256 {review['content_hash']}, {review['split']} rows",
        "made": f"{review['created_at']} (UTC)",
        "this page": f"{datetime.now(UTC).isoformat(timespec='seconds')}",
        "sampling": _listed(sampling),
        "people per pair": review["overlap"] or "everybody",
        "libraries": _listed(versions),
    }
