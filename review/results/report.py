"""Verdicts become a result: who won how often, and how sure that is.

Knows no table and no screen.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from types import MappingProxyType

from review.results.stars_and_tags import StarsAndTags, count_stars_and_tags
from review.statistics.agreement import cohen_kappa, krippendorff_alpha
from review.statistics.bradley_terry import Bout, Ranking, rank
from review.statistics.intervals import (
    ENOUGH_EVIDENCE,
    can_be_settled,
    clustered_mean,
    effective_count,
    evidence,
    prompts_still_needed,
    sign_test,
    wilson_interval,
)
from review.statistics.length_control import LengthControlled, control_length
from review.store.reviews import Contender, ReviewStore
from review.store.verdicts import (
    EVERYTHING,
    Filters,
    SecondLook,
    Vote,
    by_pair,
    decisive,
    read_second_looks,
    read_votes,
)

# of the tolerated false alarms, for meetings as a whole where there are categories too
_SHARE_OF_ALL = 0.8


@dataclass(frozen=True, slots=True)
class Match:
    """Two contenders against each other, seen from the first."""

    contender: str
    against: str
    wins: int  # verdicts for ``contender``
    losses: int  # verdicts for ``against``
    ties: int  # neither is better
    both_bad: int  # neither is any good; counted apart from ties
    prompts_won: int  # prompts whose first decided verdict went to ``contender``
    prompts_lost: int  # prompts whose first decided verdict went to ``against``
    pairs: int  # on which there is a verdict
    independent: (
        float  # decided verdicts, those on one prompt counted as far as they tell something new
    )
    equal_lengths: LengthControlled | None  # the win rate if both answers were equally long
    required: float | None = (
        # evidence, given all that is looked at in the report; None where it is filtered
        ENOUGH_EVIDENCE
    )
    identical: int = 0  # prompts that both answer with the same words; nobody is asked about them
    unjudged: int = 0  # pairs without a verdict

    @property
    def ratings(self) -> int:
        """All verdicts on the two."""
        return self.wins + self.losses + self.ties + self.both_bad

    @property
    def win_rate(self) -> float | None:
        """The share of ``contender`` in the decided verdicts; None when none is decided."""
        decided = self.wins + self.losses
        return self.wins / decided if decided else None

    @property
    def score(self) -> float | None:
        """Wins and half the undecided, over all verdicts; None without verdicts."""
        return (
            (self.wins + (self.ties + self.both_bad) / 2) / self.ratings if self.ratings else None
        )

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % Wilson interval of the win rate, of as many verdicts as are independent."""
        return wilson_interval((self.win_rate or 0.0) * self.independent, self.independent)

    @property
    def evidence(self) -> float:
        """See review.statistics.intervals.evidence.

        Each prompt counts once, by its first decided verdict.
        Later ones are not independent of it, and a prompt that changed sides would be no fair bet.
        """
        return evidence(self.prompts_won, self.prompts_lost)

    @property
    def is_enough(self) -> bool:
        """Whether the evidence is what is required."""
        return self.required is not None and self.evidence >= self.required

    @property
    def p_value(self) -> float:
        """The sign test's, for one look at the end; each prompt counts once."""
        return sign_test(self.prompts_won, self.prompts_lost)

    @property
    def still_needed(self) -> tuple[int, int] | None:
        """About how many more judged prompts would be enough, at least and at most."""
        judged = self.prompts_won + self.prompts_lost
        undecided = max(self.pairs - judged, 0)
        return prompts_still_needed(
            self.prompts_won, self.prompts_lost, undecided, self.required or ENOUGH_EVIDENCE
        )

    @property
    def can_be_settled(self) -> bool:
        """Whether the prompts that are left could still bring enough evidence."""
        return can_be_settled(
            self.prompts_won, self.prompts_lost, self.unjudged, self.required or ENOUGH_EVIDENCE
        )

    def flipped(self) -> "Match":
        """Return the same, seen from the second."""
        rate = self.equal_lengths
        turned = (
            replace(rate, rate=1 - rate.rate, low=1 - rate.high, high=1 - rate.low)
            if rate
            else None
        )
        sides = {
            "contender": self.against,
            "against": self.contender,
            "wins": self.losses,
            "losses": self.wins,
        }
        prompts = {"prompts_won": self.prompts_lost, "prompts_lost": self.prompts_won}
        return replace(self, **sides, **prompts, equal_lengths=turned)  # type: ignore[arg-type]

    @property
    def has_repeated_prompts(self) -> bool:
        """Whether some prompt was judged more than once."""
        return self.wins + self.losses > self.prompts_won + self.prompts_lost


@dataclass(frozen=True, slots=True)
class Reviewer:
    """One person's verdicts."""

    name: str
    ratings: int
    chose_a: int  # of the decided verdicts, those for the answer on the left
    chose_b: int
    looked_again: int = 0  # pairs that they judged twice, sides exchanged
    said_the_same: int = 0  # of those, with the same outcome
    took_the_side: int = 0  # of those, for the same side and so for the other response

    @property
    def side_p_value(self) -> float:
        """How often chance alone would favour a side as much: sides are random, so an even chance
        is fair.
        """
        return sign_test(self.chose_a, self.chose_b)


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far reviewers agree, on pairs that several judged."""

    pairs: int
    alpha: float | None  # Krippendorff's, over all reviewers
    # two reviewers, pairs that both judged, Cohen's kappa
    kappas: tuple[tuple[str, str, int, float | None], ...]


@dataclass(frozen=True, slots=True)
class LossAndScore:
    """What training said of a contender, and what people say."""

    contender: str
    loss: float  # on the validation split, in nats a token
    verdicts: int
    score: float  # wins and half the undecided, over all its verdicts
    # 95 %, verdicts on one prompt counted together; None where too few tell
    interval: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a review so far."""

    review: str
    contenders: tuple[str, ...]
    pairs: int
    ratings: int
    settled: int  # pairs that a later verdict has settled, which alone counts for them
    disputed: int  # pairs on which reviewers differ still
    left_out: int  # ratings that are not counted, because the reviewer knew which is which
    reviewers: tuple[Reviewer, ...]
    matches: tuple[Match, ...]
    # the same by category; empty where prompts have none or one
    categories: tuple[tuple[str, tuple[Match, ...]], ...]
    losses: tuple[LossAndScore, ...]  # of contenders that were tuned here, the lowest loss first
    ranking: Ranking | None  # None for fewer than three contenders: the one match says it all
    agreement: Agreement
    said: tuple[StarsAndTags, ...]  # stars and tags, by contender
    comments: int
    corrections: int
    # only some of the verdicts are looked at, so nothing is concluded from them
    is_filtered: bool = False
    tuned: frozenset[str] = frozenset()  # contenders that were tuned here
    learnt: tuple[
        tuple[str, int], ...
    ] = ()  # contenders that were trained on prompts of the review, and on how many

    def told(self, match: Match) -> Match:
        """Return a match seen from the contender that was tuned, whose result people ask for."""
        return (
            match.flipped()
            if match.against in self.tuned and match.contender not in self.tuned
            else match
        )


def report_review(store: ReviewStore, name: str, filters: Filters = EVERYTHING) -> Report:
    """Count a review's verdicts, all or some. Raises ReviewError when there is no such review."""
    review = store.find(name)
    entrants = store.contenders(review["id"])
    contenders = [contender.name for contender in entrants]
    given = read_votes(store, review["id"], filters)
    # a verdict that was not blind is no evidence
    votes = [vote for vote in given if not vote.unblinded]
    counted = decisive(votes)
    bouts = [Bout(vote.a, vote.b, vote.score(vote.a), vote.prompt) for vote in counted]
    looks = read_second_looks(store, review["id"])
    is_filtered = filters != EVERYTHING
    meetings, categories = list(combinations(contenders, 2)), _by_category(counted)
    sizes = store.meetings(review["id"])
    required = _required(len(meetings), len(categories), is_filtered=is_filtered)
    return Report(
        review=name,
        contenders=tuple(contenders),
        pairs=review["pair_count"],
        ratings=len(votes),
        left_out=len(given) - len(votes),
        settled=store.count_settled(review["id"]),
        disputed=store.people(name)["disputed"],
        reviewers=tuple(
            _reviewer(person, votes, looks)
            for person in dict.fromkeys(vote.reviewer for vote in votes)
        ),
        matches=_matches(meetings, counted, required[0], sizes),
        categories=tuple(
            (category, _matches(meetings, found, required[1])) for category, found in categories
        ),
        losses=_losses(counted, entrants),
        ranking=rank(contenders, bouts) if len(contenders) > 2 else None,
        agreement=_agreement(votes, contenders),
        said=count_stars_and_tags(votes, contenders),
        comments=sum(bool(vote.comment) for vote in votes),
        corrections=sum(bool(vote.correction) for vote in votes),
        is_filtered=is_filtered,
        tuned=frozenset(entrant.name for entrant in entrants if entrant.facts.get("run")),
        learnt=store.learnt(review["id"]),
    )


def _required(
    meetings: int, categories: int, *, is_filtered: bool
) -> tuple[float | None, float | None]:
    """Return the evidence that a meeting, and one within a category, must show so that a report is
    wrong in 5 % at most.

    Each of so many may be wrong by chance, so the share of false alarms is divided among them (by
    Ville's inequality and the union bound); where there are categories, all meetings as a whole
    have four fifths of it. Under a filter nothing is concluded: which verdicts are looked at may
    have been chosen by what they say.
    """
    if is_filtered:
        return None, None
    if not categories:
        return ENOUGH_EVIDENCE * meetings, None
    return ENOUGH_EVIDENCE * meetings / _SHARE_OF_ALL, ENOUGH_EVIDENCE * meetings * categories / (
        1 - _SHARE_OF_ALL
    )


def _by_category(votes: Sequence[Vote]) -> list[tuple[str, list[Vote]]]:
    by_category: dict[str, list[Vote]] = {}
    for vote in votes:
        by_category.setdefault(vote.category, []).append(vote)
    return sorted(by_category.items()) if len(by_category) > 1 else []


def _losses(votes: Sequence[Vote], entrants: Sequence[Contender]) -> tuple[LossAndScore, ...]:
    found = []
    for entrant in entrants:
        loss = entrant.facts.get("validation_loss")
        own = [vote for vote in votes if entrant.name in {vote.a, vote.b}]
        if isinstance(loss, int | float) and own:
            scores = [(vote.prompt, vote.score(entrant.name)) for vote in own]
            found.append(
                LossAndScore(entrant.name, loss, len(own), *clustered_mean(scores, (0.0, 0.5, 1.0)))
            )
    return tuple(sorted(found, key=lambda one: one.loss))


def _matches(
    meetings: Sequence[tuple[str, str]],
    votes: Sequence[Vote],
    required: float | None,
    sizes: Mapping[frozenset[str], tuple[int, int]] = MappingProxyType({}),
) -> tuple[Match, ...]:
    """Count every meeting; ``sizes`` holds the identical answers and unjudged pairs of each."""
    between = _by_meeting(votes)
    return tuple(
        _match(pair, between.get(frozenset(pair), []), required, sizes.get(frozenset(pair), (0, 0)))
        for pair in meetings
    )


def _by_meeting(votes: Sequence[Vote]) -> dict[frozenset[str], list[Vote]]:
    """Return the verdicts on every two contenders, in the order in which they were given."""
    found: dict[frozenset[str], list[Vote]] = {}
    for vote in votes:
        found.setdefault(frozenset((vote.a, vote.b)), []).append(vote)
    return found


def _match(
    meeting: tuple[str, str],
    votes: Sequence[Vote],
    required: float | None,
    sizes: tuple[int, int],
) -> Match:
    """Count the verdicts on two contenders, which are all that ``votes`` holds; ``sizes`` are their
    identical answers, and their pairs without a verdict.
    """
    first, second = meeting
    outcomes = Counter(vote.outcome for vote in votes)
    sides = Counter(_first_decided(votes, meeting).values())
    lengths = [vote.lengths if vote.a == first else vote.lengths[::-1] for vote in votes]
    scores, prompts = [vote.score(first) for vote in votes], [vote.prompt for vote in votes]
    identical, unjudged = sizes
    return Match(
        contender=first,
        against=second,
        wins=outcomes[first],
        losses=outcomes[second],
        ties=outcomes["\0tie"],
        both_bad=outcomes["\0both_bad"],
        prompts_won=sides[first],
        prompts_lost=sides[second],
        pairs=len({vote.pair for vote in votes}),
        independent=_independent(votes, meeting),
        equal_lengths=control_length(scores, lengths, prompts),
        required=required,
        identical=identical,
        unjudged=unjudged,
    )


def _first_decided(votes: Sequence[Vote], meeting: tuple[str, str]) -> dict[int, str]:
    """Return by prompt who won the first verdict on it that was decided."""
    decided: dict[int, str] = {}
    for vote in votes:  # in the order in which they were given
        if vote.outcome in meeting:
            decided.setdefault(vote.prompt, vote.outcome)
    return decided


def _independent(votes: Sequence[Vote], meeting: tuple[str, str]) -> float:
    """Return how many independent verdicts the decided ones are worth."""
    won, lost = (Counter(vote.prompt for vote in votes if vote.outcome == one) for one in meeting)
    prompts = {vote.prompt for vote in votes}
    return effective_count([(won[one], lost[one]) for one in prompts]) if won or lost else 0.0


def _reviewer(name: str, votes: Sequence[Vote], looks: Sequence[SecondLook]) -> Reviewer:
    verdicts = Counter(vote.verdict for vote in votes if vote.reviewer == name)
    own = [look for look in looks if look.reviewer == name]
    again = (len(own), sum(look.same_outcome for look in own), sum(look.same_side for look in own))
    return Reviewer(name, verdicts.total(), verdicts["a"], verdicts["b"], *again)


def _agreement(votes: Sequence[Vote], contenders: Sequence[str]) -> Agreement:
    """Compare verdicts as first, second, tie or both bad: with names, pairs of different contenders
    would differ by nature.
    """

    def label(vote: Vote) -> str:
        first, second = sorted((vote.a, vote.b), key=contenders.index)
        return {first: "first", second: "second"}.get(vote.outcome, vote.outcome)

    units = by_pair(votes, label)
    people = list(dict.fromkeys(vote.reviewer for vote in votes))
    kappas = []
    for one, other in combinations(people, 2):
        both = [
            (unit[one], unit[other]) for unit in units.values() if one in unit and other in unit
        ]
        if both:
            kappas.append((one, other, len(both), cohen_kappa(both)))
    shared = [list(unit.values()) for unit in units.values() if len(unit) > 1]
    return Agreement(len(shared), krippendorff_alpha(shared), tuple(kappas))
