"""Pieces of markup that the results of pairs and of single responses have in common."""

from collections.abc import Sequence

from markupsafe import Markup

from review.results.report import Report
from review.results.single_responses import SinglesReport
from review.results.stars_and_tags import StarsAndTags
from review.results.text import stars_sentence, tags_sentence


def said_markup(everything: Sequence[StarsAndTags]) -> Markup:
    """Return what was said of single responses, a line for each contender; nothing where nothing
    was.
    """
    lines = [
        Markup("<tr><td>{}</td><td>{}</td><td>{}</td></tr>").format(
            said.contender, stars_sentence(said) or "–", tags_sentence(said) or "–"
        )
        for said in everything
    ]
    if not any(said.stars or said.tags for said in everything):
        return Markup("")
    return Markup(
        '<article class="fuata-result" aria-label="Stars and tags"><h3>Stars and tags</h3>'
        '<div class="scroll" tabindex="0" aria-label="Table of stars and tags"><table>'
        "<thead><tr><th>contender</th><th>stars, 95 % "
        "interval</th><th>tags</th></tr></thead><tbody>{}</tbody></table></div>"
        "</article>"
    ).format(Markup("").join(lines))


def span_markup(rate: float, interval: tuple[float, float], what: str) -> Markup:
    """Return a share and its interval on a line from 0 to 100 %."""
    low, high = interval
    return Markup(
        '<div class="interval" role="img" aria-label="{} {} with interval {} to {}"><em></em>'
        '<i style="left:{:.2f}%;width:{:.2f}%"></i><b style="left:{:.2f}%"></b>'
        '<small style="left:0">0 %</small><small style="left:50%;transform:translateX(-50%)">50 '
        '%</small>'
        '<small style="right:0">100 %</small></div>'
    ).format(
        what, f"{rate:.0%}", f"{low:.0%}", f"{high:.0%}", 100 * low, 100 * (high - low), 100 * rate
    )  # fmt: skip


def disputes_markup(report: Report | SinglesReport) -> Markup:
    """Return the button that lists the pairs on which reviewers differ or did, where there are any."""
    if not report.disputed and not report.settled:
        return Markup("")
    return Markup('<button type="button" class="fuata-link" data-disputed>Show them</button>')
