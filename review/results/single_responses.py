"""The result of a review of single responses: how many pass, or how many stars they have.

Knows no table and no screen.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from review.results.stars_and_tags import StarsAndTags, count_stars_and_tags
from review.statistics.agreement import krippendorff_alpha, numbers_differ
from review.statistics.intervals import effective_count, wilson_interval
from review.store.reviews import ReviewStore
from review.store.verdicts import EVERYTHING, Filters, Vote, by_pair, decisive, read_votes


@dataclass(frozen=True, slots=True)
class Passed:
    """How often one contender's responses were found good."""

    contender: str
    passed: int
    failed: int
    # 95 % Wilson, verdicts on one prompt counted as far as they tell something new
    interval: tuple[float, float]

    @property
    def rate(self) -> float | None:
        """The share that passed; None without verdicts."""
        count = self.passed + self.failed
        return self.passed / count if count else None


@dataclass(frozen=True, slots=True)
class SinglesReport:
    """The result so far."""

    review: str
    response_mode: str  # "pass" or "stars"
    responses: int
    ratings: int
    settled: int  # responses that a later verdict has settled, which alone counts for them
    disputed: (
        int  # responses on which reviewers differ still, by two stars or more where there are stars
    )
    left_out: int  # ratings of reviewers who knew whose response it is
    people: dict[str, int]  # ratings by reviewer
    passed: tuple[Passed, ...]  # of a review of "pass"
    said: tuple[StarsAndTags, ...]  # stars and tags, by contender
    # Krippendorff's, between reviewers who judged the same responses; stars by their distance
    alpha: float | None


def report_singles(store: ReviewStore, name: str, filters: Filters = EVERYTHING) -> SinglesReport:
    """Count the verdicts of a review of single responses.

    Raises ReviewError when there is no such review.
    """
    review = store.find(name)
    contenders = [contender.name for contender in store.contenders(review["id"])]
    given = read_votes(store, review["id"], filters)
    votes = [vote for vote in given if not vote.unblinded]
    counted = decisive(votes)
    people: dict[str, int] = {}
    for vote in votes:
        people[vote.reviewer] = people.get(vote.reviewer, 0) + 1
    judged = review["response_mode"] == "pass"
    return SinglesReport(
        review=name,
        response_mode=review["response_mode"],
        responses=review["pair_count"],
        ratings=len(votes),
        settled=store.count_settled(review["id"]),
        disputed=store.people(name)["disputed"],
        left_out=len(given) - len(votes),
        people=people,
        passed=tuple(_passed(contender, counted) for contender in contenders) if judged else (),
        said=count_stars_and_tags(votes if judged else counted, contenders, single=True),
        alpha=_alpha(votes, judged=judged),
    )


def _passed(contender: str, votes: Sequence[Vote]) -> Passed:
    own = [vote for vote in votes if vote.a == contender]
    by_prompt: dict[int, list[int]] = {}
    for vote in own:
        by_prompt.setdefault(vote.prompt, [0, 0])[vote.verdict == "fail"] += 1
    passed = sum(vote.verdict == "pass" for vote in own)
    worth = effective_count([(good, bad) for good, bad in by_prompt.values()]) if own else 0.0
    interval = wilson_interval(passed / len(own) * worth, worth) if own else (0.0, 1.0)
    return Passed(contender, passed, len(own) - passed, interval)


def _alpha(votes: Sequence[Vote], *, judged: bool) -> float | None:
    if judged:
        return krippendorff_alpha(
            [list(said.values()) for said in by_pair(votes, lambda vote: vote.verdict).values()]
        )
    # there are some: they are the verdict
    stars = by_pair(votes, lambda vote: vote.remarks[0].stars or 0)
    return krippendorff_alpha([list(said.values()) for said in stars.values()], numbers_differ)
