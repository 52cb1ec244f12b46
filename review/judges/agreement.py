"""A judge judged: how far it agrees with people on the pairs that both saw, what else decides its
choices, and what its judgements add to few verdicts of people. Knows no model.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from core.evaluation.choices import is_endpoint
from core.generation.openai_endpoint import find_endpoint
from review.judges.by_category import (
    CategoryScore,
    CategoryShare,
    ChoiceShare,
    choice_shares,
    scores_by_category,
    shares_by_category,
)
from review.judges.of_singles import (
    JudgedMean,
    judged_means,
    label_of,
    values_by_judge,
    values_by_people,
)
from review.judges.protocols import COMPARING, both_orders
from review.judges.store import (
    ComparisonRow,
    JudgeRow,
    JudgeStore,
    ScoreRow,
    stored_protocol,
)
from review.statistics.agreement import cohen_kappa
from review.statistics.bradley_terry import Bout
from review.statistics.intervals import wilson_interval
from review.statistics.powered_strengths import PoweredStrengths, powered_strengths
from review.statistics.prediction_powered import PoweredMean, powered_mean
from review.store.reviews import Contender, ReviewStore
from review.store.verdicts import Vote, by_pair, decisive, read_votes

_FEWEST_LABELS, _ENOUGH_LABELS = 50, 100
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
    categories: tuple[CategoryShare, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeReport:
    """What is to be known of a judge before its judgements count for anything."""

    id: int
    model: str
    protocol: str
    possible: int  # pairs or responses that it could judge; as many as it was given, where imported
    asked: int  # of them, in both orders, whether its answers could be read or not
    judged: int  # pairs whose answers could be read in both orders, or responses
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
    kin: tuple[str, ...]  # contenders that are the judge itself, or were tuned from it
    # how often kin win against others by the judge and by people, on pairs that both judged
    kin_win: tuple[float, float] | None
    matches: tuple[JudgedMatch, ...]
    disagreements: tuple[int, ...]  # pairs on which people and judge name different winners
    scores: tuple[CategoryScore, ...] = ()  # of single responses
    choices: tuple[ChoiceShare, ...] = ()  # of a classification
    scale: tuple[float, ...] = ()  # the scores that may be given, the lowest first
    strengths: PoweredStrengths | None = None  # of three contenders or more, with people
    means: tuple[JudgedMean, ...] = ()  # of a review of single responses, which has no matches
    is_of_singles: bool = False

    @property
    def sentence(self) -> str:
        """Whether to trust it."""
        return _trust(self)


def report_judges(reviews: ReviewStore, name: str) -> list[JudgeReport]:
    """Return a report of every judge of a review. Raises ReviewError."""
    review = reviews.find(name)
    store = JudgeStore(reviews)
    votes = [vote for vote in read_votes(reviews, review["id"]) if not vote.unblinded]
    contenders = reviews.contenders(review["id"])
    pairs = {row["pair_id"]: row for row in store.pairs(review["id"])}
    responses = store.responses(review["id"])
    is_single, has_stars = review["response_mode"] != "pairs", review["response_mode"] == "stars"
    human = values_by_people(votes) if is_single else _human_scores(votes, pairs)
    labels = {pair: label_of(score) for pair, score in human.items()}
    found = []
    for judge in store.of_review(review["id"]):
        if judge["protocol"] in COMPARING:
            said = _of_pairs(judge, store.comparisons(judge["id"]), pairs)
        else:
            scores = store.scores(judge["id"])
            said = _of_scores(judge, scores, pairs, responses, is_single=is_single)
        report = _report(judge, said, pairs, votes, labels)
        if is_single:
            means = judged_means(said.scores, human, pairs, has_stars=has_stars)
            found.append(replace(report, means=means, is_of_singles=True))
        else:
            kin = _kin(judge, contenders)
            found.append(_with_matches(report, said, pairs, human, labels, kin))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """What a judge said, put together."""

    choices: Mapping[int, str]  # of a pair's number: first, second or tie
    scores: Mapping[int, float]  # of the pair's first response: 1 where it won, 0 where it lost
    possible: int
    asked: int
    judged: int
    errors: int
    order_decides: float | None = None
    by_category: tuple[CategoryScore, ...] = ()
    chosen: tuple[ChoiceShare, ...] = ()


def together(judge: JudgeRow, rows: Sequence[ComparisonRow]) -> dict[int, float]:
    """Return by a pair's number what all orders say together of its first response: 1 where it won, 0
    where it lost; pairs with an order that is not asked, or could not be read, are left out.
    """
    whole = _whole(judge, rows)[1]
    return {pair: _score(both, _together(both)) for pair, both in whole.items()}


def _whole(
    judge: JudgeRow, rows: Sequence[ComparisonRow]
) -> tuple[list[int], dict[int, dict[int, ComparisonRow]]]:
    """Return the pairs that were asked in all orders, and of those that could be read what was said."""
    orders = json.loads(judge["facts"]).get("orders", 2)
    by_order: dict[int, dict[int, ComparisonRow]] = defaultdict(dict)
    for row in rows:
        by_order[row["pair_id"]][row["is_turned"]] = row
    asked = [pair for pair, both in by_order.items() if len(both) == orders]
    read = {
        pair: by_order[pair]
        for pair in asked
        if all(one["choice"] != "error" for one in by_order[pair].values())
    }
    return asked, read


def _of_pairs(
    judge: JudgeRow, rows: Sequence[ComparisonRow], pairs: Mapping[int, Mapping[str, Any]]
) -> _Judged:
    asked, whole = _whole(judge, rows)
    orders = json.loads(judge["facts"]).get("orders", 2)
    choices = {pair: _together(both) for pair, both in whole.items()}
    turned = [both[0]["choice"] != both[1]["choice"] for both in whole.values() if len(both) == 2]
    differing = sum(pair["first_text"] != pair["second_text"] for pair in pairs.values())
    return _Judged(
        choices=choices,
        scores={pair: _score(both, choices[pair]) for pair, both in whole.items()},
        possible=differing if orders == 2 else len(asked), asked=len(asked), judged=len(whole),
        errors=sum(row["choice"] == "error" for row in rows),
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
    rows: Sequence[ScoreRow],
    pairs: Mapping[int, Mapping[str, Any]],
    responses: Sequence[Mapping[str, Any]],
    *,
    is_single: bool,
) -> _Judged:
    """Compare scores of single responses as people compare their pairs, or, where ``is_single``, put
    them on people's scale: a response is what a pair is elsewhere.
    """
    protocol = stored_protocol(judge)
    known = {row["response_id"]: row["score"] for row in rows if row["score"] is not None}
    scores = values_by_judge(known, pairs, protocol.scale) if is_single else _compared(known, pairs)
    return _Judged(
        choices={pair: label_of(score) for pair, score in scores.items()}, scores=scores,
        possible=len(responses), asked=len(rows), judged=len(rows),
        errors=sum(row["score"] is None for row in rows),
        by_category=scores_by_category(rows, responses, protocol.scale),
        chosen=choice_shares(rows, responses, [title for title, _ in protocol.choices]),
    )  # fmt: skip


def _compared(
    known: Mapping[int, float], pairs: Mapping[int, Mapping[str, Any]]
) -> dict[int, float]:
    """Return 1 for each pair whose first response has the higher score, 0 for the second's, else one
    half.
    """
    found: dict[int, float] = {}
    for pair, row in pairs.items():
        first, second = (known.get(row[f"{side}_response_id"]) for side in ("first", "second"))
        if first is not None and second is not None:
            found[pair] = 0.5 if first == second else float(first > second)
    return found


def _report(
    judge: JudgeRow,
    said: _Judged,
    pairs: Mapping[int, Mapping[str, Any]],
    votes: Sequence[Vote],
    labels: Mapping[int, str],
) -> JudgeReport:
    """Return what is said of every judge beside people's ``labels``; of pairs more follows."""
    choices = said.choices
    shared = sorted(set(labels) & set(choices))
    same = [labels[pair] == choices[pair] for pair in shared]
    prompts = [pairs[pair]["prompt_id"] for pair in shared]
    low, high = _clustered_interval(same, prompts)
    return JudgeReport(
        id=judge["id"], model=judge["model"], protocol=judge["protocol"], possible=said.possible,
        asked=said.asked, judged=said.judged, errors=said.errors,
        compared=len(shared), agreement=sum(same) / len(same) if same else None,
        agreement_low=low, agreement_high=high,
        kappa=cohen_kappa([(labels[pair], choices[pair]) for pair in shared]),
        human_agreement=_human_agreement(votes),
        confusion=Counter(f"{labels[pair]}/{choices[pair]}" for pair in shared),
        order_decides=said.order_decides,
        prefers_longer=_longer(choices, pairs), people_prefer_longer=_longer(labels, pairs),
        kin=(), kin_win=None, matches=(), disagreements=(),
        scores=said.by_category, choices=said.chosen, scale=stored_protocol(judge).scale,
    )  # fmt: skip


def _with_matches(
    report: JudgeReport,
    said: _Judged,
    pairs: Mapping[int, Mapping[str, Any]],
    human: Mapping[int, float],
    labels: Mapping[int, str],
    kin: tuple[str, ...],
) -> JudgeReport:
    """Add what a judge says of contenders who meet in pairs."""
    return replace(
        report, kin=kin, kin_win=_kin_win(kin, said.scores, human, pairs),
        matches=tuple(_matches(said.scores, human, pairs)),
        disagreements=tuple(
            pair
            for pair in sorted(said.choices)
            if {labels.get(pair), said.choices[pair]} == {"first", "second"}
        ),
        strengths=_strengths(said.scores, human, pairs),
    )  # fmt: skip


def _kin(judge: JudgeRow, contenders: Sequence[Contender]) -> tuple[str, ...]:
    """Return the contenders that are the judge itself, or were tuned from it."""
    model = judge["model"]
    named = find_endpoint(model).name if is_endpoint(model) else model
    return tuple(
        one.name
        for one in contenders
        if one.name == named or (one.facts.get("run_settings") or {}).get("model") == model
    )


def _kin_win(
    kin: Sequence[str],
    scores: Mapping[int, float],
    human: Mapping[int, float],
    pairs: Mapping[int, Mapping[str, Any]],
) -> tuple[float, float] | None:
    """Return how often kin win against others by the judge and by people; None where no pair that both
    judged has them on one side alone.
    """
    said: list[tuple[float, float]] = []
    for pair in set(scores) & set(human):
        sides = [pairs[pair][f"{side}_contender"] in kin for side in ("first", "second")]
        if sides[0] != sides[1]:
            both = (scores[pair], human[pair])
            said.append(both if sides[0] else (1 - both[0], 1 - both[1]))
    if not said:
        return None
    return sum(one for one, _ in said) / len(said), sum(one for _, one in said) / len(said)


def _human_scores(
    votes: Sequence[Vote], pairs: Mapping[int, Mapping[str, Any]]
) -> dict[int, float]:
    """Return people's mean score of each pair's first response."""
    said: dict[int, list[float]] = defaultdict(list)
    for vote in decisive(votes):
        if vote.pair in pairs:
            said[vote.pair].append(vote.score(pairs[vote.pair]["first_contender"]))
    return {pair: sum(scores) / len(scores) for pair, scores in said.items()}


def _human_agreement(votes: Sequence[Vote]) -> float | None:
    """Return the share of pairs of people on one pair or response who say the same of it."""
    same = []
    for said in by_pair(votes, _outcome).values():
        outcomes = list(said.values())
        same += [a == b for n, a in enumerate(outcomes) for b in outcomes[n + 1 :]]
    return sum(same) / len(same) if same else None


def _outcome(vote: Vote) -> str:
    return f"{vote.remarks[0].stars} stars" if vote.verdict == "stars" else vote.outcome


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
                categories=shares_by_category(scores, members, pairs),
            )
        )  # fmt: skip
    return found


def _strengths(
    scores: Mapping[int, float], human: Mapping[int, float], pairs: Mapping[int, Mapping[str, Any]]
) -> PoweredStrengths | None:
    """Return what people and judge together say of all contenders; of two their win rate says it."""
    names = sorted(
        {pairs[pair][f"{side}_contender"] for pair in scores for side in ("first", "second")}
    )
    if len(names) < 3:
        return None
    both = [pair for pair in sorted(scores) if pair in human]
    rest = [pair for pair in sorted(scores) if pair not in human]

    def bouts(known: Mapping[int, float], members: Sequence[int]) -> list[Bout]:
        rows = ((pairs[pair], known[pair]) for pair in members)
        return [
            Bout(row["first_contender"], row["second_contender"], score, row["prompt_id"])
            for row, score in rows
        ]

    return powered_strengths(names, bouts(human, both), bouts(scores, both), bouts(scores, rest))


def _trust(report: JudgeReport) -> str:
    things = "responses" if report.is_of_singles else "pairs"
    if report.compared < _FEWEST_LABELS:
        return (
            f"Whether it agrees with people cannot be said yet: {report.compared} of its {things} have "
            f"their verdicts, and that takes {_FEWEST_LABELS}."
        )
    agrees = f"It says what people say on {report.agreement or 0:.0%} of {report.compared} {things}"
    between = f" ({report.agreement_low or 0:.0%} to {report.agreement_high or 0:.0%})"
    kappa = report.kappa or 0.0
    if kappa < _CHANCE_KAPPA:
        return f"{agrees}{between}, hardly more than chance: do not let it count for anything."
    if report.compared < _ENOUGH_LABELS or kappa < _GOOD_KAPPA:
        more = "" if report.compared >= _ENOUGH_LABELS else f" {_ENOUGH_LABELS} would tell more."
        return f"{agrees}{between}: of some use beside people, not in their place.{more}"
    return f"{agrees}{between}: it agrees."
