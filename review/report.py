"""Verdicts become a result: who won how often, and how sure that is. Knows SQLite, no screen."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

from review.statistics import ENOUGH_EVIDENCE, evidence, ratings_still_needed, sign_test, wilson_interval
from review.store import ReviewStore, Row


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
        """The 95 % Wilson interval of the win rate; too narrow where several people judged the same prompts."""
        return wilson_interval(self.wins, self.wins + self.losses)

    @property
    def evidence(self) -> float:
        """See review.statistics.evidence; 20 is enough. Each prompt counts once: verdicts on one prompt are not independent."""
        return evidence(self.prompts_won, self.prompts_lost)

    @property
    def still_needed(self) -> int | None:
        """About how many more ratings would be enough."""
        return ratings_still_needed(self.prompts_won, self.prompts_lost, self.ties + self.both_bad)

    @property
    def has_repeated_prompts(self) -> bool:
        """Whether some prompt was judged more than once."""
        return self.wins + self.losses > self.prompts_won + self.prompts_lost


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a review so far."""

    review: str
    contenders: tuple[str, ...]
    pairs: int
    ratings: int
    reviewers: dict[str, int]  # ratings by reviewer
    matches: tuple[Match, ...]
    tags: dict[str, int]
    comments: int
    corrections: int


def report_review(store: ReviewStore, name: str) -> Report:
    """Count a review's verdicts. Raises ReviewError when there is no such review."""
    review = store.find(name)
    contenders = [contender.name for contender in store.contenders(review["id"])]
    votes = _votes(store, review["id"])
    pairs = store.database.one("SELECT count(*) AS n FROM pairs WHERE review_id = ?", [review["id"]])
    return Report(
        review=name,
        contenders=tuple(contenders),
        pairs=pairs["n"] if pairs else 0,
        ratings=len(votes),
        reviewers=dict(Counter(vote["reviewer"] for vote in votes)),
        matches=tuple(_match(first, second, votes) for first, second in combinations(contenders, 2)),
        tags=dict(Counter(tag for vote in votes for tag in json.loads(vote["tags"])).most_common()),
        comments=sum(bool(vote["comment"]) for vote in votes),
        corrections=sum(bool(vote["correction"]) for vote in votes),
    )


def report_object(report: Report) -> dict[str, Any]:
    """Return a report for ``--json``; the plain names speak of the first contender against the second."""
    matches = [_match_object(match) for match in report.matches]
    rest = {"pairs": report.pairs, "reviewers": report.reviewers, "tags": report.tags, "corrections": report.corrections}
    head = {"review": report.review, "contenders": list(report.contenders), "ratings": report.ratings}
    return {**head, **{name: value for name, value in matches[0].items() if name != "ratings"}, **rest, "matches": matches}


def match_sentence(match: Match) -> str:
    """Say in one sentence what the verdicts mean."""
    if match.win_rate is None:
        return f"No verdict between {match.contender} and {match.against} is decided yet."
    won = match.prompts_won - match.prompts_lost
    ahead, behind = (match.contender, match.against) if won > 0 else (match.against, match.contender)
    if won == 0:
        return f"{ahead} and {behind} have won equally often so far."
    if match.evidence >= ENOUGH_EVIDENCE:
        return f"Enough evidence: {ahead} is better than {behind}."
    needed = match.still_needed
    more = (
        f"about {needed} more ratings like these would settle it"
        if needed
        else "the two are close, so it takes very many ratings"
    )
    return f"Not enough evidence yet: {ahead} is ahead of {behind}, and {more}."


def report_text(report: Report) -> str:
    """Return a report as words."""
    lines = [f"{report.review}: {report.ratings} ratings of {report.pairs} pairs by {len(report.reviewers)} reviewers"]
    for match in report.matches:
        rate = "–" if match.win_rate is None else f"{match.win_rate:.0%}"
        low, high = match.interval
        lines.append(
            f"{match.contender} against {match.against}: {match.wins} won, {match.losses} lost, {match.ties} tied, "
            f"{match.both_bad} both bad; win rate {rate} (95 % interval {low:.0%} to {high:.0%})"
        )
        lines.append(f"  {match_sentence(match)}")
    return "\n".join(lines)


def _votes(store: ReviewStore, review_id: int) -> list[Row]:
    return store.database.query(
        """SELECT verdicts.*, one.name AS a_name, two.name AS b_name
           FROM verdicts JOIN pairs ON pairs.id = pair_id
           JOIN responses a ON a.id = a_response_id JOIN contenders one ON one.id = a.contender_id
           JOIN responses b ON b.id = b_response_id JOIN contenders two ON two.id = b.contender_id
           WHERE pairs.review_id = ? ORDER BY verdicts.id""",
        [review_id],
    )


def _match(first: str, second: str, votes: Sequence[Row]) -> Match:
    between = [vote for vote in votes if {vote["a_name"], vote["b_name"]} == {first, second}]
    won = Counter(_winner(vote) for vote in between)
    leads: Counter[int] = Counter()
    for vote in between:
        leads[vote["pair_id"]] += (_winner(vote) == first) - (_winner(vote) == second)
    by_prompt = sum(lead > 0 for lead in leads.values()), sum(lead < 0 for lead in leads.values())
    return Match(first, second, won[first], won[second], won["\0tie"], won["\0both_bad"], *by_prompt)


def _winner(vote: Row) -> str:
    sides = {"a": vote["a_name"], "b": vote["b_name"]}
    return str(sides.get(vote["verdict"], "\0" + vote["verdict"]))


def _match_object(match: Match) -> dict[str, Any]:
    return {
        **asdict(match),
        "ratings": match.ratings,
        "win_rate": match.win_rate,
        "score": match.score,
        "interval": list(match.interval),
        "p_value": sign_test(match.prompts_won, match.prompts_lost),
        "evidence": match.evidence,
        "enough_evidence": match.evidence >= ENOUGH_EVIDENCE,
        "still_needed": match.still_needed,
    }
