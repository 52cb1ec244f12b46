"""What the Results screen shows of a review, as markup made from a report."""

import json
from collections.abc import Sequence

from markupsafe import Markup

from review.results import text
from review.results.report import Match, Report
from review.results.single_responses import SinglesReport
from review.store.verdicts import NO_CATEGORY
from ui.markup import fill_template

_LARGEST_SHOWN = 9_999


def pairs_markup(report: Report, benchmarks: tuple[str, Sequence[str]] = ("", ())) -> Markup:
    """Return the result of a review of pairs; beside it what an evaluation, named, says of the same
    models on benchmarks.
    """
    told = [
        (name, match)
        for name, found in report.categories
        for match in map(report.told, found)
        if match.ratings
    ]
    return fill_template(
        "pairs_result",
        report=report,
        categories=told,
        no_category=NO_CATEGORY,
        words=text,
        evaluation=benchmarks[0],
        sentences=benchmarks[1],
        meeting=_meeting,
        evidence_words=_evidence_words,
    )


def singles_markup(report: SinglesReport) -> Markup:
    """Return the result of a review of single responses."""
    return fill_template("singles_result", report=report, words=text)


def _meeting(match: Match) -> str:
    return json.dumps([match.contender, match.against])


def _evidence_words(evidence: float) -> str:
    return f"{evidence:.1f}" if evidence < _LARGEST_SHOWN else f"over {_LARGEST_SHOWN:,}"
