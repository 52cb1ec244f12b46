"""A result as words and as an object for ``--json``. Knows no table and no screen."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from review.domain.rating import MOST_STARS
from review.results.report import Agreement, Match, Report, Reviewer
from review.results.single_responses import Passed, SinglesReport
from review.results.stars_and_tags import StarsAndTags

_TELLS_NOTHING = 0.8  # width of an interval from which no rate is claimed
_FAIR = 0.05  # a side favoured less likely than this by chance is told


def report_object(report: Report) -> dict[str, Any]:
    """Return a report for ``--json``; the plain names speak of the first contender against the
    second.
    """
    matches = [_match_object(match) for match in report.matches]
    head = {
        "review": report.review,
        "contenders": list(report.contenders),
        "ratings": report.ratings,
    }
    rest = {
        "pairs": report.pairs,
        "left_out": report.left_out,
        "learnt": dict(report.learnt),
        "is_filtered": report.is_filtered,
        "settled": report.settled,
        "disputed": report.disputed,
        "reviewers": {person.name: person.ratings for person in report.reviewers},
        "said": [asdict(said) for said in report.said],
        "corrections": report.corrections,
        "categories": {
            name: [_match_object(match) for match in found] for name, found in report.categories
        },
        "loss_against_score": [asdict(one) for one in report.losses],
        "ranking": asdict(report.ranking) if report.ranking else None,
        "agreement": asdict(report.agreement),
        "sides": {
            person.name: asdict(person) | {"p_value": person.side_p_value}
            for person in report.reviewers
        },
    }
    return {
        **head,
        **{name: value for name, value in matches[0].items() if name != "ratings"},
        **rest,
        "matches": matches,
    }


def match_sentence(match: Match) -> str:
    """Say in one sentence what the verdicts mean."""
    if match.win_rate is None:
        return f"No verdict between {match.contender} and {match.against} is decided yet."
    won = match.prompts_won - match.prompts_lost
    ahead, behind = (
        (match.contender, match.against) if won > 0 else (match.against, match.contender)
    )
    if match.required is None:
        return "Only a part of the verdicts is looked at: nothing is concluded from it."
    if match.is_enough:
        return f"Enough evidence: {ahead} is better than {behind}."
    if won == 0:
        return f"No difference yet: {ahead} and {behind} were each preferred on as many prompts."
    # first verdicts say one thing, all together the other
    if (match.win_rate > 0.5) == (ahead != match.contender):
        return f"No difference yet: counted by prompts {ahead} is ahead, counted by verdicts {behind} is not behind."
    return f"Not enough evidence yet: {ahead} is ahead of {behind}, {_still_needed(match)}."


def _still_needed(match: Match) -> str:
    """Say how many more prompts it takes, where that can be told, and whether there are so many."""
    left = "1 pair is" if match.unjudged == 1 else f"{match.unjudged:,} pairs are"
    if not match.can_be_settled:
        return f"and the {match.unjudged:,} pairs that no one has judged cannot settle it: add rows to the review"
    needed = match.still_needed
    if needed is None:
        return f"but the verdicts leave open who is better; {left} not judged yet"
    least, most = needed
    about = f"about {least:,}" if least == most else f"about {least:,} to {most:,}"
    if least > match.unjudged:
        return (
            f"and it takes {about} more judged prompts like these, of which {match.unjudged:,} "
            "are left: add rows to the review"
        )
    return f"and {about} more judged prompts like these would settle it; {left} not judged yet"


def headline(match: Match) -> str:
    """Say first what people ask first: how often the one that was tuned was preferred."""
    decided = match.wins + match.losses
    return (
        f"{match.contender} was preferred in {match.wins:,} of {decided:,} decided verdicts."
        if decided
        else ""
    )


def identical_sentence(match: Match) -> str:
    """Say how often both answered with the same words; '' for never."""
    if not match.identical:
        return ""
    which, them = (
        ("1 prompt", "it") if match.identical == 1 else (f"{match.identical:,} prompts", "them")
    )
    return f"On {which} both say the same, so nobody is asked about {them}."


def learnt_sentence(report: Report) -> str:
    """Say which contenders were trained on prompts of the review; '' for none."""
    names = [f"{name} learnt {count:,} of its prompts" for name, count in report.learnt]
    return f"{'; '.join(names)}: that it answers these well proves nothing." if names else ""


def length_sentence(match: Match) -> str:
    """Say what is left of a win rate when answers are equally long; '' where the verdicts do not
    tell.
    """
    found = match.equal_lengths
    if found is None:
        return ""
    if found.high - found.low > _TELLS_NOTHING:
        return "What the win rate would be if both answers were equally long these verdicts cannot tell."
    rate = f"{found.rate:.0%} ({found.low:.0%} to {found.high:.0%})"
    words = f"If both answers were equally long, {match.contender} would win {rate}"
    if not found.effect_is_sure:
        return f"{words}; whether length itself is preferred these verdicts leave open."
    return f"{words}: the {'longer' if found.effect > 0 else 'shorter'} answer is preferred, other things equal."


def agreement_sentence(agreement: Agreement) -> str:
    """Say how far reviewers agree; '' where no pair was judged by two."""
    if agreement.pairs == 0:
        return ""
    judged = f"{agreement.pairs:,} pair{'s' if agreement.pairs > 1 else ''} judged by more than one person"
    if agreement.alpha is None:
        return f"{judged}: all verdicts on them are the same."
    return f"{judged}: Krippendorff's alpha {agreement.alpha:.2f} (1 is perfect agreement, 0 what chance would give)."


def side_sentence(person: Reviewer, people: int = 1) -> str:
    """Say which side a reviewer took how often, and whether that is more than chance makes of one
    of so many ``people``.
    """
    decided = person.chose_a + person.chose_b
    if decided == 0:
        return f"{person.name}: {person.ratings:,} ratings, none decided{_again(person)}"
    fair = (
        "as chance would"
        if person.side_p_value >= _FAIR / people
        else f"more one-sided than chance (p {person.side_p_value:.3f})"
    )
    taken = f"A in {person.chose_a / decided:.0%} of {decided:,} decided"
    return f"{person.name}: {person.ratings:,} ratings, {taken}, {fair}{_again(person)}"


def _again(person: Reviewer) -> str:
    """Say how far a reviewer agrees with themselves."""
    if not person.looked_again:
        return ""
    words = (
        f"; of {person.looked_again:,} pairs seen again with the sides exchanged, "
        f"the same verdict on {person.said_the_same:,}"
    )
    return (
        f"{words}, the same side instead on {person.took_the_side:,}"
        if person.took_the_side
        else words
    )


def stars_sentence(said: StarsAndTags) -> str:
    """Say how many stars a contender's responses were given; '' where nobody gave any."""
    if said.stars is None:
        return ""
    interval = (
        f" ({said.stars.interval[0]:.1f} to {said.stars.interval[1]:.1f})"
        if said.stars.interval
        else ""
    )
    return f"{said.stars.mean:.1f} of {MOST_STARS} stars{interval} in {said.stars.count:,}"


def tags_sentence(said: StarsAndTags) -> str:
    """List a contender's tags with their numbers; '' for none."""
    return ", ".join(f"{tag} {count:,}" for tag, count in said.tags.items())


def disputes_sentence(report: Report | SinglesReport) -> str:
    """Say where reviewers differ and what was settled; '' where they do not."""
    parts = []
    what = "pair" if isinstance(report, Report) else "response"
    if report.disputed:
        which = f"1 {what}" if report.disputed == 1 else f"{report.disputed:,} {what}s"
        parts.append(f"On {which} reviewers differ: somebody else can settle that.")
    if report.settled:
        which = f"1 {what} was" if report.settled == 1 else f"{report.settled:,} {what}s were"
        parts.append(f"{which} settled by a later verdict, which alone counts there.")
    return " ".join(parts)


def loss_sentence(report: Report) -> str:
    """Say whether training's loss and people's verdicts agree on the order; '' for fewer than two
    tuned contenders.
    """
    if len(report.losses) < 2:
        return ""
    lowest, best = report.losses[0], max(report.losses, key=lambda one: one.score)
    if lowest.contender == best.contender:
        return f"{lowest.contender} has the lowest validation loss and is preferred most often too."
    return (
        f"{lowest.contender} has the lowest validation loss, but {best.contender} is preferred "
        "more often: "
        "loss cannot tell a well-formed wrong answer from a right one."
    )


def left_out_sentence(report: Report | SinglesReport) -> str:
    """Say how many ratings are not counted and why; '' for none."""
    if not report.left_out:
        return ""
    which = "1 rating is" if report.left_out == 1 else f"{report.left_out:,} ratings are"
    return f"{which} left out: their reviewers knew which is which."


def report_text(report: Report) -> str:
    """Return a report as words."""
    lines = [
        (
            f"{report.review}: {report.ratings} ratings of {report.pairs} pairs by "
            f"{len(report.reviewers)} reviewers"
        )
    ]
    lines += [
        words
        for words in (left_out_sentence(report), disputes_sentence(report), learnt_sentence(report))
        if words
    ]
    for match in map(report.told, report.matches):
        rate = "–" if match.win_rate is None else f"{match.win_rate:.0%}"
        low, high = match.interval
        lines.append(
            f"{match.contender} against {match.against}: {match.wins} won, {match.losses} lost, "
            f"{match.ties} tied, "
            f"{match.both_bad} both bad; win rate {rate} (95 % interval {low:.0%} to {high:.0%})"
        )
        lines += [
            f"  {sentence}"
            for sentence in (
                match_sentence(match),
                length_sentence(match),
                identical_sentence(match),
            )
            if sentence
        ]
    if report.ranking:
        lines += [words for words in (report.ranking.obstacle, report.ranking.note) if words]
        for standing in report.ranking.standings:
            ranks = f"{standing.best_rank}–{standing.worst_rank}"
            interval = f"{standing.low:.0f} to {standing.high:.0f}"
            lines.append(
                f"{standing.name}: {standing.rating:.0f} ({interval}), rank {ranks}, "
                f"{standing.bouts} verdicts"
            )
    lines += [agreement_sentence(report.agreement)] if report.agreement.pairs else []
    return "\n".join(
        [
            *lines,
            *_said_lines(report.said),
            *(side_sentence(person, len(report.reviewers)) for person in report.reviewers),
        ]
    )


def singles_object(report: SinglesReport) -> dict[str, Any]:
    """Return the result of a review of single responses for ``--json``."""
    passed = [asdict(one) | {"rate": one.rate} for one in report.passed]
    plain = {
        ("answers" if name == "response_mode" else name): value
        for name, value in asdict(report).items()
    }
    return plain | {"passed": passed, "said": [asdict(said) for said in report.said]}


def singles_text(report: SinglesReport) -> str:
    """Return the result of a review of single responses as words."""
    lines = [
        (
            f"{report.review}: {report.ratings} ratings of {report.responses} responses by "
            f"{len(report.people)} reviewers"
        )
    ]
    lines += [words for words in (left_out_sentence(report), disputes_sentence(report)) if words]
    lines += [passed_sentence(one) for one in report.passed]
    lines += [alpha_sentence(report)] if report.alpha is not None else []
    return "\n".join([*lines, *_said_lines(report.said)])


def alpha_sentence(report: SinglesReport) -> str:
    """Say how far reviewers of the same responses agree; '' where that cannot be told."""
    if report.alpha is None:
        return ""
    distance = (
        ", where two stars apart weigh four times as much as one"
        if report.response_mode == "stars"
        else ""
    )
    return (
        f"Krippendorff’s alpha between reviewers of the same responses: {report.alpha:.2f} (1 is "
        "perfect agreement, 0 what "
        f"chance would give{distance})."
    )


def _said_lines(everything: Sequence[StarsAndTags]) -> list[str]:
    """Return a line for each contender of which something was said."""
    found = [
        (said.contender, "; ".join(filter(None, (stars_sentence(said), tags_sentence(said)))))
        for said in everything
    ]
    return [f"{contender}: {words}" for contender, words in found if words]


def passed_sentence(one: Passed) -> str:
    """Say how often a contender's responses were found good."""
    if one.rate is None:
        return f"{one.contender}: no verdict yet."
    low, high = one.interval
    count = one.passed + one.failed
    return f"{one.contender}: {one.passed:,} of {count:,} pass, {one.rate:.0%} (95 % Wilson interval {low:.0%} to {high:.0%})."


def _match_object(match: Match) -> dict[str, Any]:
    return {
        **asdict(match),
        "ratings": match.ratings,
        "win_rate": match.win_rate,
        "score": match.score,
        "interval": list(match.interval),
        "p_value": match.p_value,
        "evidence": match.evidence,
        "enough_evidence": match.is_enough,
        "still_needed": match.still_needed,
        "can_be_settled": match.can_be_settled,
    }
