"""What the Results screen shows, as safe markup made from a report."""

from markupsafe import Markup

from review.report import Match, Report, match_sentence
from review.statistics import ENOUGH_EVIDENCE


def result_markup(report: Report) -> Markup:
    """Return a report: counts, then every match as a bar, an interval and a sentence, then tags."""
    people = ", ".join(f"{name} ({count:,})" for name, count in report.reviewers.items()) or "nobody yet"
    tags = ", ".join(f"{tag} ({count:,})" for tag, count in report.tags.items()) or "none"
    head = Markup("<p><b>{}</b>: {} ratings of {} pairs. Reviewers: {}. Tags: {}. Comments: {}. Corrections: {}.</p>").format(
        report.review, f"{report.ratings:,}", f"{report.pairs:,}", people, tags, report.comments, report.corrections
    )
    matches = Markup("").join(match_markup(match) for match in report.matches)
    return Markup('<section aria-label="Result" data-ratings="{}">{}{}</section>').format(report.ratings, head, matches)


def match_markup(match: Match) -> Markup:
    """Return one contender against another."""
    title = Markup("<h3>{} against {}</h3>").format(match.contender, match.against)
    if match.ratings == 0:
        return Markup('<article class="fuata-result">{}<p>No ratings yet.</p></article>').format(title)
    return Markup('<article class="fuata-result" data-wins="{}" data-losses="{}">{}{}{}{}<p>{}</p></article>').format(
        match.wins, match.losses, title, _bar(match), _rate(match), _interval(match), _evidence(match)
    )


def _bar(match: Match) -> Markup:
    parts = [
        ("wins", match.wins, f"{match.contender} better"),
        ("ties", match.ties, "tie"),
        ("bad", match.both_bad, "both bad"),
        ("losses", match.losses, f"{match.against} better"),
    ]
    spans = Markup("").join(
        Markup('<span class="{}" style="flex:{}" title="{}: {}">{}</span>').format(kind, count, words, count, count)
        for kind, count, words in parts
        if count
    )
    keys = Markup("").join(Markup('<i class="key {}"></i>{} {}').format(kind, count, words) for kind, count, words in parts)
    return Markup('<div class="bar">{}</div><p>{}</p>').format(spans, keys)


def _rate(match: Match) -> Markup:
    if match.win_rate is None:
        return Markup("<p>No verdict is decided yet: all are ties or both bad.</p>")
    low, high = match.interval
    repeated = (
        " Some prompts were judged by several people, which makes it narrower than it should be." * match.has_repeated_prompts
    )
    return Markup(
        "<p>{} was preferred in <b>{}</b> of {} decided; 95 % Wilson interval {} to {}. "
        "An interval that spans 50 % leaves open who is better.{}</p>"
    ).format(match.contender, f"{match.win_rate:.0%}", match.wins + match.losses, f"{low:.0%}", f"{high:.0%}", repeated)


def _interval(match: Match) -> Markup:
    if match.win_rate is None:
        return Markup("")
    low, high = match.interval
    return Markup(
        '<div class="interval" role="img" aria-label="Win rate {} with interval {} to {}"><em></em>'
        '<i style="left:{:.2f}%;width:{:.2f}%"></i><b style="left:{:.2f}%"></b>'
        '<small style="left:0">0 %</small><small style="left:50%;transform:translateX(-50%)">50 %</small>'
        '<small style="right:0">100 %</small></div>'
    ).format(
        f"{match.win_rate:.0%}", f"{low:.0%}", f"{high:.0%}", 100 * low, 100 * (high - low), 100 * match.win_rate
    )  # fmt: skip


def _evidence(match: Match) -> Markup:
    return Markup(
        "{} <span class='fuata-note'>(Evidence {}; {} is enough, however often you look. Each prompt counts once.)</span>"
    ).format(match_sentence(match), f"{min(match.evidence, 9999):.1f}", f"{ENOUGH_EVIDENCE:.0f}")
