"""What the Results screen shows of a review of pairs, as safe markup made from a report."""

import json

from markupsafe import Markup

from review.results.report import Agreement, Match, Report
from review.results.text import (
    agreement_sentence,
    disputes_sentence,
    headline,
    identical_sentence,
    learnt_sentence,
    left_out_sentence,
    length_sentence,
    match_sentence,
    side_sentence,
)
from review.statistics.bradley_terry import Ranking, Standing
from review.store.verdicts import NO_CATEGORY
from ui.results.pieces import disputes_markup, said_markup, span_markup

_LARGEST_SHOWN = 9_999
_HOW_TO_READ = (
    "An interval that spans 50 % leaves open who is better; it is for one look at the end, and "
    "speaks of these reviewers and of "
    "prompts like these, not of other people. Verdicts on one prompt count in it as far as they "
    "tell something new. For the "
    "evidence each prompt counts once, by its first decided verdict; it holds however often you "
    "look, for all that this page "
    "compares."
)


def result_markup(report: Report) -> Markup:
    """Return a report: counts, the ranking, then every match as a bar, an interval and a sentence,
    then the reviewers.
    """
    head = Markup(
        "<p><b>{}</b>: {} ratings of {} pairs. Comments: {}. Corrections: {}. {} {} {}</p>"
    ).format(
        report.review,
        f"{report.ratings:,}",
        f"{report.pairs:,}",
        report.comments,
        report.corrections,
        left_out_sentence(report),
        f"{disputes_sentence(report)} {learnt_sentence(report)}",
        disputes_markup(report),
    )
    parts = [head]
    if report.ranking and report.ratings:
        parts.append(_ranking(report.ranking))
    parts += [match_markup(report.told(match)) for match in report.matches]
    if report.categories:
        parts.append(_categories(report))
    if report.ratings:
        parts += [
            Markup('<p class="fuata-note">{}</p>').format(_HOW_TO_READ),
            said_markup(report.said),
            _people(report),
        ]
    return Markup('<section aria-label="Result" data-ratings="{}">{}</section>').format(
        report.ratings, Markup("").join(parts)
    )


def _ranking(ranking: Ranking) -> Markup:
    if ranking.obstacle:
        return Markup('<article class="fuata-result"><h3>Ranking</h3><p>{}</p></article>').format(
            ranking.obstacle
        )
    low, high = (
        min(one.low for one in ranking.standings),
        max(one.high for one in ranking.standings),
    )
    lines = Markup("").join(_standing(standing, low, high) for standing in ranking.standings)
    return Markup(
        '<article class="fuata-result" aria-label="Ranking"><h3>Ranking</h3>'
        '<div class="scroll" tabindex="0" aria-label="Table of the ranking"><table>'
        "<thead><tr><th>rank</th><th>contender</th><th>rating</th><th>95 % interval</th><th></th>"
        "<th>verdicts</th></tr></thead><tbody>{}</tbody></table></div>"
        '<p class="fuata-note">Bradley–Terry strengths on Elo’s scale, 1,000 in the mean: 100 '
        "points more win 64 % of the time. "
        "Verdicts on one prompt count together. A rank is a range where the verdicts leave it "
        "open; ranks and intervals "
        "are for one look at the end. {}</p></article>"
    ).format(lines, ranking.note)


def _standing(standing: Standing, low: float, high: float) -> Markup:
    span = max(high - low, 1e-9)
    ranks = (
        f"{standing.best_rank}"
        if standing.best_rank == standing.worst_rank
        else f"{standing.best_rank}–{standing.worst_rank}"
    )
    return Markup(
        "<tr><td>{}</td><td>{}</td><td>{}</td><td>{} to {}</td>"
        '<td class="place"><div class="interval plain" aria-hidden="true"><i '
        'style="left:{:.2f}%;width:{:.2f}%"></i>'
        '<b style="left:{:.2f}%"></b></div></td><td>{}</td></tr>'
    ).format(
        ranks,
        standing.name,
        f"{standing.rating:,.0f}",
        f"{standing.low:,.0f}",
        f"{standing.high:,.0f}",
        100 * (standing.low - low) / span,
        100 * (standing.high - standing.low) / span,
        100 * (standing.rating - low) / span,
        f"{standing.bouts:,}",
    )


def _people(report: Report) -> Markup:
    lines = [side_sentence(person, len(report.reviewers)) for person in report.reviewers]
    items = Markup("").join(Markup("<li>{}</li>").format(line) for line in lines)
    return Markup(
        '<article class="fuata-result" '
        'aria-label="Reviewers"><h3>Reviewers</h3><ul>{}</ul>{}</article>'
    ).format(items, _agreement(report.agreement))


def _agreement(agreement: Agreement) -> Markup:
    sentence = agreement_sentence(agreement)
    if not sentence:
        return Markup(
            '<p class="fuata-note">No pair was judged by two people yet, so nothing can be said '
            "of agreement.</p>"
        )
    kappas = ", ".join(
        f"{one} and {other} {kappa:.2f} ({both:,} pairs)"
        for one, other, both, kappa in agreement.kappas
        if kappa is not None
    )
    return Markup("<p>{}{}</p>").format(sentence, f" Cohen’s kappa: {kappas}." if kappas else "")


def match_markup(match: Match) -> Markup:
    """Return one contender against another."""
    title = Markup("<h3>{} against {}</h3>").format(match.contender, match.against)
    if match.ratings == 0:
        return Markup('<article class="fuata-result">{}<p>No ratings yet.</p></article>').format(
            title
        )
    words = (
        _evidence(match),
        _bar(match),
        _rate(match),
        _interval(match),
        _length(match),
        identical_sentence(match),
    )
    return Markup(
        '<article class="fuata-result" data-wins="{}" data-losses="{}">{}<p '
        'class="headline">{}</p>{}{}{}{}<p>{}</p></article>'
    ).format(match.wins, match.losses, title, *words)


def _bar(match: Match) -> Markup:
    parts = [
        ("wins", match.wins, f"{match.contender} better", "first"),
        ("ties", match.ties, "tie", "tie"),
        ("bad", match.both_bad, "both bad", "both_bad"),
        ("losses", match.losses, f"{match.against} better", "second"),
    ]
    spans = Markup("").join(
        Markup(
            '<button type="button" class="{}" style="flex:{}" title="{}: {}. Press to see the '
            'pairs." '
            'aria-label="{}: {}. Show the pairs" data-behind="{}" data-meeting="{}">{}</button>'
        ).format(kind, count, words, count, words, count, outcome, _meeting(match), count)
        for kind, count, words, outcome in parts
        if count
    )
    keys = Markup("").join(
        Markup('<i class="key {}"></i>{} {}').format(kind, count, words)
        for kind, count, words, _ in parts
    )
    return Markup('<div class="bar">{}</div><p>{}</p>').format(spans, keys)


def _meeting(match: Match) -> str:
    return json.dumps([match.contender, match.against])


def _categories(report: Report) -> Markup:
    lines = Markup("").join(
        Markup(
            "<tr><td>{}</td><td>{} against {}</td><td>{} / {} / {} / {}</td><td>{}</td><td>{}</td>"
            '<td><button type="button" class="fuata-link" data-behind="" data-meeting="{}" '
            'data-category="{}">{}</button>'
            "</td></tr>"
        ).format(
            name or "none",
            match.contender,
            match.against,
            match.wins,
            match.ties,
            match.both_bad,
            match.losses,
            "–" if match.win_rate is None else f"{match.win_rate:.0%}",
            "–"
            if match.win_rate is None
            else f"{match.interval[0]:.0%} to {match.interval[1]:.0%}",
            _meeting(match),
            name or NO_CATEGORY,
            "1 pair" if match.pairs == 1 else f"{match.pairs:,} pairs",
        )
        for name, found in report.categories
        for match in map(report.told, found)
        if match.ratings
    )
    return Markup(
        '<article class="fuata-result" aria-label="By category"><h3>By category</h3>'
        '<div class="scroll" tabindex="0" aria-label="Table by category"><table>'
        "<thead><tr><th>category</th><th>contenders</th><th>won / tied / both bad / "
        "lost</th><th>win rate</th>"
        "<th>95 % interval</th><th></th></tr></thead><tbody>{}</tbody></table></div>"
        '<p class="fuata-note">Many categories are many chances to find a difference that is '
        "none: of twenty intervals one "
        "misses by chance.</p></article>"
    ).format(lines)


def _rate(match: Match) -> Markup:
    if match.win_rate is None:
        return Markup("<p>No verdict is decided yet: all are ties or both bad.</p>")
    low, high = match.interval
    return Markup(
        "<p>{} was preferred in <b>{}</b> of {} decided; 95 % Wilson interval {} to {}.</p>"
    ).format(
        match.contender,
        f"{match.win_rate:.0%}",
        match.wins + match.losses,
        f"{low:.0%}",
        f"{high:.0%}",
    )


def _interval(match: Match) -> Markup:
    if match.win_rate is None:
        return Markup("")
    return span_markup(match.win_rate, match.interval, "Win rate")


def _evidence(match: Match) -> Markup:
    if match.required is None:
        return Markup("<b>{}</b> {}").format(headline(match), match_sentence(match))
    return Markup(
        "<b>{}</b> {} <span class='fuata-note'>(Evidence {}; {} is enough.)</span>"
    ).format(
        headline(match), match_sentence(match), _number(match.evidence), f"{match.required:,.0f}"
    )


def _number(evidence: float) -> str:
    return f"{evidence:.1f}" if evidence < _LARGEST_SHOWN else f"over {_LARGEST_SHOWN:,}"


def _length(match: Match) -> Markup:
    sentence = length_sentence(match)
    note = "Length-controlled win rate; not comparable with AlpacaEval’s leaderboard."
    return (
        Markup("<p>{} <span class='fuata-note'>({})</span></p>").format(sentence, note)
        if sentence
        else Markup("")
    )
