"""Verdicts become a result: who won how often, and how sure that is. Knows no table and no screen."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from review.agreement import cohen_kappa, krippendorff_alpha
from review.disputes import count_settled
from review.length_control import LengthControlled, control_length
from review.ranking import Bout, Ranking, rank
from review.remarks import Said, count_remarks
from review.statistics import effective_count, evidence, ratings_still_needed, sign_test, wilson_interval
from review.store import Contender, ReviewStore
from review.votes import EVERYTHING, Filters, SecondLook, Vote, by_pair, decisive, read_second_looks, read_votes


@dataclass(frozen=True, slots=True)
class Match:
    """Two contenders against each other, seen from the first."""

    contender: str
    against: str
    wins: int  # verdicts for ``contender``
    losses: int  # verdicts for ``against``
    ties: int  # neither is better
    both_bad: int  # neither is any good; counted apart from ties
    prompts_won: int  # prompts on which most verdicts went to ``contender``
    prompts_lost: int  # prompts on which most verdicts went to ``against``
    pairs: int  # on which there is a verdict
    independent: float  # decided verdicts, those on one prompt counted as far as they tell something new
    equal_lengths: LengthControlled | None  # the win rate if both answers were equally long

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
        return (self.wins + (self.ties + self.both_bad) / 2) / self.ratings if self.ratings else None

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % Wilson interval of the win rate, of as many verdicts as are independent."""
        return wilson_interval((self.win_rate or 0.0) * self.independent, self.independent)

    @property
    def evidence(self) -> float:
        """See review.statistics.evidence; 20 is enough. Each prompt counts once: verdicts on one prompt are not independent."""
        return evidence(self.prompts_won, self.prompts_lost)

    @property
    def p_value(self) -> float:
        """The sign test's, for one look at the end; each prompt counts once."""
        return sign_test(self.prompts_won, self.prompts_lost)

    @property
    def still_needed(self) -> int | None:
        """About how many more ratings would be enough."""
        return ratings_still_needed(self.prompts_won, self.prompts_lost, self.ties + self.both_bad)

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
        """How often chance alone would favour a side as much: sides are random, so an even chance is fair."""
        return sign_test(self.chose_a, self.chose_b)


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far reviewers agree, on pairs that several judged."""

    pairs: int
    alpha: float | None  # Krippendorff's, over all reviewers
    kappas: tuple[tuple[str, str, int, float | None], ...]  # two reviewers, pairs that both judged, Cohen's kappa


@dataclass(frozen=True, slots=True)
class LossAndScore:
    """What training said of a contender, and what people say."""

    contender: str
    loss: float  # on the validation split, in nats a token
    score: float  # wins and half the undecided, over all its verdicts
    verdicts: int
    interval: tuple[float, float]  # 95 % Wilson, each prompt counted once


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
    categories: tuple[tuple[str, tuple[Match, ...]], ...]  # the same by category; empty where prompts have none or one
    losses: tuple[LossAndScore, ...]  # of contenders that were tuned here, the lowest loss first
    ranking: Ranking | None  # None for fewer than three contenders: the one match says it all
    agreement: Agreement
    said: tuple[Said, ...]  # stars and tags, by contender
    comments: int
    corrections: int


def report_review(store: ReviewStore, name: str, filters: Filters = EVERYTHING) -> Report:
    """Count a review's verdicts, all or some. Raises ReviewError when there is no such review."""
    review = store.find(name)
    entrants = store.contenders(review["id"])
    contenders = [contender.name for contender in entrants]
    given = read_votes(store, review["id"], filters)
    votes = [vote for vote in given if not vote.knew]  # a verdict that was not blind is no evidence
    counted = decisive(votes)
    bouts = [Bout(vote.a, vote.b, vote.score(vote.a), vote.prompt) for vote in counted]
    looks = read_second_looks(store, review["id"])
    return Report(
        review=name,
        contenders=tuple(contenders),
        pairs=review["pair_count"],
        ratings=len(votes),
        left_out=len(given) - len(votes),
        settled=count_settled(store.database, review["id"]),
        disputed=store.people(name)["disputed"],
        reviewers=tuple(_reviewer(person, votes, looks) for person in dict.fromkeys(vote.reviewer for vote in votes)),
        matches=tuple(_match(first, second, counted) for first, second in combinations(contenders, 2)),
        categories=_categories(counted, contenders),
        losses=_losses(counted, entrants),
        ranking=rank(contenders, bouts) if len(contenders) > 2 else None,
        agreement=_agreement(votes, contenders),
        said=count_remarks(votes, contenders),
        comments=sum(bool(vote.comment) for vote in votes),
        corrections=sum(bool(vote.correction) for vote in votes),
    )


def _categories(votes: Sequence[Vote], contenders: Sequence[str]) -> tuple[tuple[str, tuple[Match, ...]], ...]:
    by_category: dict[str, list[Vote]] = {}
    for vote in votes:
        by_category.setdefault(vote.category, []).append(vote)
    if len(by_category) < 2:
        return ()
    meetings = list(combinations(contenders, 2))
    return tuple((name, tuple(_match(*pair, found) for pair in meetings)) for name, found in sorted(by_category.items()))


def _losses(votes: Sequence[Vote], entrants: Sequence[Contender]) -> tuple[LossAndScore, ...]:
    found = []
    for entrant in entrants:
        loss = entrant.facts.get("validation_loss")
        own = [vote for vote in votes if entrant.name in {vote.a, vote.b}]
        if isinstance(loss, int | float) and own:
            score = sum(vote.score(entrant.name) for vote in own) / len(own)
            prompts = len({vote.prompt for vote in own})
            found.append(LossAndScore(entrant.name, loss, score, len(own), wilson_interval(score * prompts, prompts)))
    return tuple(sorted(found, key=lambda one: one.loss))


def _match(first: str, second: str, votes: Sequence[Vote]) -> Match:
    between = [vote for vote in votes if {vote.a, vote.b} == {first, second}]
    outcomes = Counter(vote.outcome for vote in between)
    won, lost = (Counter(vote.prompt for vote in between if vote.outcome == name) for name in (first, second))
    prompts = {vote.prompt for vote in between}
    lengths = [vote.lengths if vote.a == first else vote.lengths[::-1] for vote in between]
    return Match(
        first,
        second,
        outcomes[first],
        outcomes[second],
        outcomes["\0tie"],
        outcomes["\0both_bad"],
        sum(won[prompt] > lost[prompt] for prompt in prompts),
        sum(won[prompt] < lost[prompt] for prompt in prompts),
        len({vote.pair for vote in between}),
        effective_count([(won[prompt], lost[prompt]) for prompt in prompts]) if won or lost else 0.0,
        control_length([vote.score(first) for vote in between], lengths, [vote.prompt for vote in between]),
    )


def _reviewer(name: str, votes: Sequence[Vote], looks: Sequence[SecondLook]) -> Reviewer:
    verdicts = Counter(vote.verdict for vote in votes if vote.reviewer == name)
    own = [look for look in looks if look.reviewer == name]
    again = (len(own), sum(look.same_outcome for look in own), sum(look.same_side for look in own))
    return Reviewer(name, verdicts.total(), verdicts["a"], verdicts["b"], *again)


def _agreement(votes: Sequence[Vote], contenders: Sequence[str]) -> Agreement:
    """Compare verdicts as first, second, tie or both bad: with names, pairs of different contenders would differ by nature."""

    def label(vote: Vote) -> str:
        first, second = sorted((vote.a, vote.b), key=contenders.index)
        return {first: "first", second: "second"}.get(vote.outcome, vote.outcome)

    units = by_pair(votes, label)
    people = list(dict.fromkeys(vote.reviewer for vote in votes))
    kappas = []
    for one, other in combinations(people, 2):
        both = [(unit[one], unit[other]) for unit in units.values() if one in unit and other in unit]
        if both:
            kappas.append((one, other, len(both), cohen_kappa(both)))
    shared = [list(unit.values()) for unit in units.values() if len(unit) > 1]
    return Agreement(len(shared), krippendorff_alpha(shared), tuple(kappas))
