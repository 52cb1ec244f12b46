"""A judge judged: how far it agrees with people on the pairs that both saw, what else decides its
choices, and what its judgements add to few verdicts of people. Knows no model.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.evaluation.choices import is_endpoint
from core.generation.openai_endpoint import find_endpoint
from review.judges.protocols import both_orders
from review.judges.store import ComparisonRow, JudgeRow, JudgeStore
from review.statistics.agreement import cohen_kappa
from review.statistics.intervals import wilson_interval
from review.statistics.prediction_powered import PoweredMean, powered_mean
from review.store.reviews import ReviewStore
from review.store.verdicts import Vote, by_pair, decisive, read_votes

_FEWEST_LABELS, _ENOUGH_LABELS = 50, 100
_SAID_FROM = 0.1  # a share of verdicts saved; below, nothing is said of it
_CHANCE_KAPPA, _GOOD_KAPPA = 0.2, 0.6
_DRAWS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedMatch:
    """Two contenders by a judge, alone and with people."""

    contender: str
    against: str
    pairs: int
    win_rate: float  # of the judge: wins and half the ties
    low: float  # 95 % interval
    high: float
    powered: PoweredMean | None  # with people; None below twenty of their verdicts
    human_pairs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeReport:
    """What is to be known of a judge before its judgements count for anything."""

    model: str
    protocol: str
    judged: int  # pairs in both orders, or responses
    errors: int  # questions whose answer could not be read
    compared: int  # pairs that people judged, too
    agreement: float | None  # share of those on which both say the same
    agreement_low: float | None
    agreement_high: float | None
    kappa: float | None
    human_agreement: float | None  # share of pairs of people who say the same
    confusion: Mapping[str, int]  # "people/judge": first, second, tie
    order_decides: float | None  # share of pairs on which the order decided
    prefers_longer: float | None  # share of its decided choices that took the longer answer
    people_prefer_longer: float | None
    is_contender: bool  # it judges its own answers
    matches: tuple[JudgedMatch, ...]
    disagreements: tuple[int, ...]  # pairs on which people and judge name different winners

    @property
    def sentence(self) -> str:
        """Whether to trust it."""
        return _trust(self)


def report_judges(reviews: ReviewStore, name: str) -> list[JudgeReport]:
    """Return a report of every judge of a review. Raises ReviewError."""
    review = reviews.find(name)
    store = JudgeStore(reviews)
    votes = [vote for vote in read_votes(reviews, review["id"]) if not vote.unblinded]
    names = {one.name for one in reviews.contenders(review["id"])}
    pairs = {row["pair_id"]: row for row in store.pairs(review["id"])}
    return [
        _of_pairs(judge, store.comparisons(judge["id"]), pairs, votes, names)
        if judge["protocol"] in {"pairwise", "alpaca"}
        else _of_scores(judge, store, votes, pairs, names)
        for judge in store.of_review(review["id"])
    ]


def _of_pairs(
    judge: JudgeRow,
    rows: Sequence[ComparisonRow],
    pairs: Mapping[int, Mapping[str, Any]],
    votes: Sequence[Vote],
    names: set[str],
) -> JudgeReport:
    orders = json.loads(judge["facts"]).get("orders", 2)
    by_order: dict[int, dict[int, ComparisonRow]] = defaultdict(dict)
    for row in rows:
        by_order[row["pair_id"]][row["is_turned"]] = row
    whole = {
        pair: both
        for pair, both in by_order.items()
        if len(both) == orders and all(one["choice"] != "error" for one in both.values())
    }
    choices = {pair: _together(both) for pair, both in whole.items()}
    turned = [both[0]["choice"] != both[1]["choice"] for both in whole.values() if len(both) == 2]
    scores = {pair: _score(both, choices[pair]) for pair, both in whole.items()}
    errors = sum(row["choice"] == "error" for row in rows)
    return _report(
        judge, scores, choices, pairs, votes, names, errors=errors,
        order_decides=sum(turned) / len(turned) if turned else None,
    )  # fmt: skip


def _together(both: Mapping[int, ComparisonRow]) -> str:
    """Return what both orders say: with probabilities their mean, else FastChat's rule."""
    preferences = [one["preference"] for one in both.values() if one["preference"] is not None]
    if len(preferences) == len(both):
        mean = sum(preferences) / len(preferences)
        return "tie" if mean == 0.5 else "second" if mean > 0.5 else "first"
    # a choice is from the first response's side already, in whatever order it was asked
    letters: dict[str, Any] = {"first": "a", "second": "b", "tie": "tie"}
    turned: dict[str, Any] = {"first": "b", "second": "a", "tie": "tie"}
    found = both_orders(letters[both[0]["choice"]], turned[both[1]["choice"]])
    return {"a": "first", "b": "second", "tie": "tie"}[found]


def _score(both: Mapping[int, ComparisonRow], choice: str) -> float:
    """Return 1 where the first response won, 0 where the second did, between them otherwise."""
    preferences = [one["preference"] for one in both.values() if one["preference"] is not None]
    if len(preferences) == len(both):
        return 1 - sum(preferences) / len(preferences)
    return {"first": 1.0, "second": 0.0, "tie": 0.5}[choice]


def _of_scores(
    judge: JudgeRow,
    store: JudgeStore,
    votes: Sequence[Vote],
    pairs: Mapping[int, Mapping[str, Any]],
    names: set[str],
) -> JudgeReport:
    """Compare scores of single responses with people's verdicts on their pairs."""
    rows = store.scores(judge["id"])
    known = {row["response_id"]: row["score"] for row in rows if row["score"] is not None}
    choices: dict[int, str] = {}
    for pair, row in pairs.items():
        first, second = (known.get(row[f"{side}_response_id"]) for side in ("first", "second"))
        if first is not None and second is not None:
            choices[pair] = "tie" if first == second else "first" if first > second else "second"
    scores = {pair: {"first": 1.0, "second": 0.0, "tie": 0.5}[one] for pair, one in choices.items()}
    errors = sum(row["score"] is None for row in rows)
    found = _report(judge, scores, choices, pairs, votes, names, errors=errors, order_decides=None)
    return JudgeReport(
        **{field: getattr(found, field) for field in found.__slots__} | {"judged": len(rows)}
    )


def _report(  # noqa: PLR0913 - what a report is made of
    judge: JudgeRow,
    scores: Mapping[int, float],
    choices: Mapping[int, str],
    pairs: Mapping[int, Mapping[str, Any]],
    votes: Sequence[Vote],
    names: set[str],
    *,
    errors: int,
    order_decides: float | None,
) -> JudgeReport:
    human = _human_scores(votes, pairs)
    labels = {pair: _label(score) for pair, score in human.items()}
    shared = sorted(set(labels) & set(choices))
    same = [labels[pair] == choices[pair] for pair in shared]
    prompts = [pairs[pair]["prompt_id"] for pair in shared]
    low, high = _clustered_interval(same, prompts)
    return JudgeReport(
        model=judge["model"], protocol=judge["protocol"], judged=len(scores), errors=errors,
        compared=len(shared), agreement=sum(same) / len(same) if same else None,
        agreement_low=low, agreement_high=high,
        kappa=cohen_kappa([(labels[pair], choices[pair]) for pair in shared]),
        human_agreement=_human_agreement(votes),
        confusion=Counter(f"{labels[pair]}/{choices[pair]}" for pair in shared),
        order_decides=order_decides,
        prefers_longer=_longer(choices, pairs), people_prefer_longer=_longer(labels, pairs),
        is_contender=_as_contender(judge) in names,
        matches=tuple(_matches(scores, human, pairs)),
        disagreements=tuple(
            pair for pair in shared if {labels[pair], choices[pair]} == {"first", "second"}
        ),
    )  # fmt: skip


def _as_contender(judge: JudgeRow) -> str:
    """Return what a judge would be called as a contender."""
    model = judge["model"]
    return find_endpoint(model).name if is_endpoint(model) else model


def _human_scores(
    votes: Sequence[Vote], pairs: Mapping[int, Mapping[str, Any]]
) -> dict[int, float]:
    """Return people's mean score of each pair's first response."""
    said: dict[int, list[float]] = defaultdict(list)
    for vote in decisive(votes):
        if vote.pair in pairs:
            said[vote.pair].append(vote.score(pairs[vote.pair]["first_contender"]))
    return {pair: sum(scores) / len(scores) for pair, scores in said.items()}


def _label(score: float) -> str:
    return "tie" if score == 0.5 else "first" if score > 0.5 else "second"


def _human_agreement(votes: Sequence[Vote]) -> float | None:
    """Return the share of pairs of people on one pair who name the same outcome."""
    same = []
    for said in by_pair(votes, lambda vote: vote.outcome).values():
        outcomes = list(said.values())
        same += [a == b for n, a in enumerate(outcomes) for b in outcomes[n + 1 :]]
    return sum(same) / len(same) if same else None


def _clustered_interval(
    same: Sequence[bool], prompts: Sequence[int]
) -> tuple[float | None, float | None]:
    """Return the 95 % interval of a share, by drawing prompts; Wilson's where each has one pair."""
    if not same:
        return None, None
    if len(set(prompts)) == len(prompts):
        return wilson_interval(float(sum(same)), float(len(same)))
    places = {prompt: n for n, prompt in enumerate(dict.fromkeys(prompts))}
    at = np.array([places[prompt] for prompt in prompts])
    hits = np.bincount(at, weights=np.array(same, dtype=float), minlength=len(places))
    sizes = np.bincount(at, minlength=len(places))
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(len(places), np.full(len(places), 1 / len(places)), size=_DRAWS)
    low, high = np.quantile((drawn @ hits) / (drawn @ sizes), [0.025, 0.975])
    return float(low), float(high)


def _longer(choices: Mapping[int, str], pairs: Mapping[int, Mapping[str, Any]]) -> float | None:
    """Return the share of decided choices that took the longer answer."""
    took = []
    for pair, choice in choices.items():
        first, second = (len(pairs[pair][f"{side}_text"]) for side in ("first", "second"))
        if choice != "tie" and first != second:
            took.append((choice == "first") == (first > second))
    return sum(took) / len(took) if took else None


def _matches(
    scores: Mapping[int, float], human: Mapping[int, float], pairs: Mapping[int, Mapping[str, Any]]
) -> list[JudgedMatch]:
    by_match: dict[tuple[str, str], list[int]] = defaultdict(list)
    for pair in scores:
        row = pairs[pair]
        by_match[row["first_contender"], row["second_contender"]].append(pair)
    found = []
    for (first, second), members in by_match.items():
        both = [pair for pair in members if pair in human]
        rest = [pair for pair in members if pair not in human]
        mean = sum(scores[pair] for pair in members) / len(members)
        low, high = wilson_interval(mean * len(members), float(len(members)))
        powered = powered_mean(
            [human[pair] for pair in both], [scores[pair] for pair in both],
            [scores[pair] for pair in rest],
        )  # fmt: skip
        found.append(
            JudgedMatch(
                contender=first, against=second, pairs=len(members), win_rate=mean, low=low,
                high=high, powered=powered, human_pairs=len(both),
            )
        )  # fmt: skip
    return found


def _trust(report: JudgeReport) -> str:
    if report.compared < _FEWEST_LABELS:
        return (
            f"Whether it agrees with people cannot be said yet: {report.compared} of its pairs have "
            f"their verdicts, and that takes {_FEWEST_LABELS}."
        )
    agrees = f"It says what people say on {report.agreement or 0:.0%} of {report.compared} pairs"
    between = f" ({report.agreement_low or 0:.0%} to {report.agreement_high or 0:.0%})"
    kappa = report.kappa or 0.0
    if kappa < _CHANCE_KAPPA:
        return f"{agrees}{between}, hardly more than chance: do not let it count for anything."
    if report.compared < _ENOUGH_LABELS or kappa < _GOOD_KAPPA:
        more = "" if report.compared >= _ENOUGH_LABELS else f" {_ENOUGH_LABELS} would tell more."
        return f"{agrees}{between}: of some use beside people, not in their place.{more}"
    return f"{agrees}{between}: it agrees."


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
        "is_contender": report.is_contender, "sentence": report.sentence,
        "matches": [],
    }  # fmt: skip
    for match in report.matches:
        powered = match.powered
        found["matches"].append(
            {
                "contender": match.contender, "against": match.against, "pairs": match.pairs,
                "win_rate": match.win_rate, "interval": [match.low, match.high],
                "with_people": None if powered is None else {
                    "win_rate": powered.value, "interval": [powered.low, powered.high],
                    "people_alone": [powered.people_low, powered.people_high],
                    "verdicts": match.human_pairs, "saved": powered.saved,
                },
            }
        )  # fmt: skip
    return json.loads(json.dumps(found))  # type: ignore[no-any-return]


def report_text(report: JudgeReport) -> str:
    """Return a report as text for a terminal or a page."""
    lines = [
        f"{report.model}, {report.protocol}: {report.judged:,} judged, {report.errors:,} could not be read."
    ]
    lines.append(report.sentence)
    if report.order_decides is not None:
        lines.append(f"The order of the answers decided {report.order_decides:.0%} of its pairs.")
    if report.is_contender:
        lines.append("It is a contender itself, and judges its own answers.")
    for match in report.matches:
        lines.append(
            f"{match.contender} against {match.against}: {match.win_rate:.0%} by the judge alone "
            f"({match.low:.0%} to {match.high:.0%}, {match.pairs:,} pairs)."
        )
        if (powered := match.powered) is not None:
            saved = (
                f" It saves about {powered.saved:.0%} of people's verdicts."
                if powered.saved >= _SAID_FROM
                else ""
            )
            lines.append(
                f"With {match.human_pairs:,} verdicts of people: {powered.value:.0%} "
                f"({powered.low:.0%} to {powered.high:.0%}; people alone {powered.people_low:.0%} to "
                f"{powered.people_high:.0%}).{saved}"
            )
    return "\n".join(lines)
