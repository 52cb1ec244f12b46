"""What the Results screen shows of a review of single responses."""

from markupsafe import Markup

from review.results.single_responses import SinglesReport
from review.results.text import (
    alpha_sentence,
    disputes_sentence,
    left_out_sentence,
    passed_sentence,
)
from ui.results.pieces import disputes_markup, said_markup, span_markup


def singles_markup(report: SinglesReport) -> Markup:
    """Return the result of a review of single responses."""
    head = Markup("<p><b>{}</b>: {} ratings of {} responses by {}. {} {} {}</p>").format(
        report.review,
        f"{report.ratings:,}",
        f"{report.responses:,}",
        ", ".join(f"{name} ({count:,})" for name, count in report.people.items()) or "nobody",
        left_out_sentence(report),
        disputes_sentence(report),
        disputes_markup(report),
    )
    parts = [head]
    for one in report.passed:
        title = Markup("<h3>{}</h3>").format(one.contender)
        words = Markup("<p>{}</p>").format(passed_sentence(one))
        bar = (
            span_markup(one.rate, one.interval, "Share that passes")
            if one.rate is not None
            else Markup("")
        )
        parts.append(
            Markup('<article class="fuata-result">{}{}{}</article>').format(title, words, bar)
        )
    if agreed := alpha_sentence(report):
        parts.append(Markup("<p>{}</p>").format(agreed))
    parts.append(said_markup(report.said))
    return Markup('<section aria-label="Result" data-ratings="{}">{}</section>').format(
        report.ratings, Markup("").join(parts)
    )
