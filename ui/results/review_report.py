"""A review's result as one HTML file that opens without a network and prints."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from markupsafe import Markup

from review.results.report import report_review
from review.results.single_responses import report_singles
from review.store.reviews import ReviewStore
from ui.html_report import facts_table, offline_page, plots
from ui.results.charts import draw_losses, draw_win_rates
from ui.results.single_responses import singles_markup
from ui.results.views import result_markup

_LOOK = Path(__file__).parents[1] / "static" / "result.css"
_COLOURS = """:root { --border-color-primary: #cbd5e1; --body-text-color: #0f172a; --body-text-color-subdued: #475569; }
.fuata-note { color: #475569; } button { pointer-events: none; } button.fuata-link { text-decoration: none; }
[data-disputed] { display: none; } /* there is nobody to ask */
"""


def write_result(store: ReviewStore, name: str) -> Markup:
    """Return the whole result of a review, with what it was made of.

    Raises ReviewError when there is no such review.
    """
    review = store.find(name)
    result, figures = _result(store, name, single=review["response_mode"] != "pairs")
    body = Markup("{}{}<h2>Contenders</h2>{}<h2>How it was made</h2>{}{}").format(
        result,
        plots(figures),
        facts_table(
            {
                contender.name: _described(contender.kind, contender.facts)
                for contender in store.contenders(review["id"])
            }
        ),
        facts_table(_facts(review)),
        Markup("<h2>Rubric: {}</h2><p style='white-space:pre-wrap'>{}</p>").format(
            review["rubric_name"], review["rubric"]
        )
        if review["rubric"]
        else "",
    )
    return offline_page(
        f"Review {name}",
        body,
        Markup(_LOOK.read_text(encoding="utf-8") + _COLOURS),  # noqa: S704 - our own style sheet
    )


def _result(store: ReviewStore, name: str, *, single: bool) -> tuple[Markup, list[dict[str, Any]]]:
    if single:
        return singles_markup(report_singles(store, name)), []
    report = report_review(store, name)
    return result_markup(report), [
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


def _facts(review: dict[str, Any]) -> dict[str, Any]:
    sampling, versions = json.loads(review["sampling"]), json.loads(review["versions"])
    return {
        "dataset": f"SHA-256 {review['content_hash']}, {review['split']} rows",
        "made": f"{review['created_at']} (UTC)",
        "this page": f"{datetime.now(UTC).isoformat(timespec='seconds')}",
        "sampling": _listed(sampling),
        "people per pair": review["overlap"] or "everybody",
        "libraries": _listed(versions),
    }
