"""A judge's report as words and as an object."""

import json
from dataclasses import asdict
from typing import Any

from review.judges.agreement import JudgeReport
from review.judges.by_category import CategoryScore
from review.judges.of_singles import JudgedMean
from review.statistics.prediction_powered import PoweredMean

_SAID_FROM = 0.1  # a share of verdicts saved; below, nothing is said of it


def report_object(report: JudgeReport) -> dict[str, Any]:
    """Return a report as JSON has it."""
    found: dict[str, Any] = {
        "judge": report.model, "protocol": report.protocol, "judged": report.judged,
        "errors": report.errors,
        "agreement": {
            "pairs": report.compared, "share": report.agreement,
            "interval": [report.agreement_low, report.agreement_high], "kappa": report.kappa,
            "people": report.human_agreement, "confusion": dict(report.confusion),
        },
        "order_decides": report.order_decides, "prefers_longer": report.prefers_longer,
        "people_prefer_longer": report.people_prefer_longer,
        "kin": list(report.kin), "kin_win": report.kin_win, "sentence": report.sentence,
        "scores": [asdict(one) for one in report.scores],
        "choices": [asdict(one) for one in report.choices],
        "strengths": None if report.strengths is None else asdict(report.strengths),
        "means": [asdict(one) for one in report.means],
        "matches": [],
    }  # fmt: skip
    for match in report.matches:
        powered = match.powered
        found["matches"].append(
            {
                "contender": match.contender, "against": match.against, "pairs": match.pairs,
                "win_rate": match.win_rate, "interval": [match.low, match.high],
                "categories": [asdict(one) for one in match.categories],
                "with_people": None if powered is None else {
                    "win_rate": powered.value, "interval": [powered.low, powered.high],
                    "people_alone": [powered.people_low, powered.people_high],
                    "verdicts": match.human_pairs, "saved": powered.saved,
                },
            }
        )  # fmt: skip
    return json.loads(json.dumps(found))  # type: ignore[no-any-return]


def report_text(report: JudgeReport) -> str:
    """Return a report as text for a terminal."""
    lines = [
        f"{report.model}, {report.protocol}: {report.judged:,} judged, {report.errors:,} could not be read."
    ]
    lines.append(report.sentence)
    if report.order_decides is not None:
        lines.append(f"The order of the answers decided {report.order_decides:.0%} of its pairs.")
    lines += filter(None, [kin_sentence(report)])
    lines += [_score_line(one) for one in report.scores]
    lines += [
        f"{one.contender}, {one.choice}: {one.share:.0%} ({one.low:.0%} to {one.high:.0%}), "
        f"{one.answers:,} answers."
        for one in report.choices
    ]
    if report.strengths is not None:
        lines += [
            f"With people {one.name} has {one.rating:,.0f} ({one.low:,.0f} to {one.high:,.0f}; people "
            f"alone {one.people_low:,.0f} to {one.people_high:,.0f})."
            for one in report.strengths.strengths
        ]
    lines += [_mean_line(one) for one in report.means]
    for match in report.matches:
        lines.append(
            f"{match.contender} against {match.against}: {match.win_rate:.0%} by the judge alone "
            f"({match.low:.0%} to {match.high:.0%}, {match.pairs:,} pairs)."
        )
        if (powered := match.powered) is not None:
            lines.append(
                f"With {match.human_pairs:,} verdicts of people: {powered.value:.0%} "
                f"({powered.low:.0%} to {powered.high:.0%}; people alone {powered.people_low:.0%} to "
                f"{powered.people_high:.0%}).{_saved(powered)}"
            )
        lines += [
            f"  {one.category}: {one.win_rate:.0%} ({one.low:.0%} to {one.high:.0%}, {one.pairs:,} pairs)"
            for one in match.categories
        ]
    return "\n".join(lines)


def _mean_line(one: JudgedMean) -> str:
    alone = f"{one.contender}: {one.on_scale(one.mean)} by the judge alone, {one.responses:,} responses."
    if (powered := one.powered) is None:
        return alone
    scale = one.on_scale
    return (
        f"{alone} With {one.human_responses:,} ratings of people: {scale(powered.value)} "
        f"({scale(powered.low)} to {scale(powered.high)}; people alone {scale(powered.people_low)} to "
        f"{scale(powered.people_high)}).{_saved(powered)}"
    )


def _saved(powered: PoweredMean) -> str:
    if powered.saved < _SAID_FROM:
        return ""
    return f" It saves about {powered.saved:.0%} of people's verdicts."


def _score_line(one: CategoryScore) -> str:
    where = f"  {one.category}" if one.category else "Mean score"
    between = f" ({one.low:.2f} to {one.high:.2f})" if one.low is not None else ""
    return f"{where} of {one.contender}: {one.mean:.2f}{between}, {one.answers:,} answers."


def kin_sentence(report: JudgeReport) -> str:
    """Say which contenders are the judge itself or were tuned from it, and whether it favours them;
    '' for none.
    """
    if not report.kin:
        return ""
    told = f"It judges its own answers or those of models tuned from it: {', '.join(report.kin)}."
    if report.kin_win is None:
        return told
    judge, people = report.kin_win
    return (
        f"{told} They win {judge:.0%} by the judge and {people:.0%} by people, of the same pairs."
    )
