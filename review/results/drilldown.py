"""The pairs behind a number of the result: what was asked, answered and said."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import islice

from core.errors import ReviewError
from review.domain.rating import MOST_STARS
from review.store.reviews import ReviewStore
from review.store.verdicts import EVERYTHING, Filters, Vote, decisive, read_votes

_MOST_SHOWN = 50  # pairs at a time
_OUTCOMES = ("", "first", "second", "tie", "both_bad")


@dataclass(frozen=True, slots=True)
class JudgedPair:
    """One pair with its contenders' names, and who judged it how."""

    number: int
    row: int
    category: str
    prompt: str
    expected: str
    responses: tuple[tuple[str, str], ...]  # contender, response
    said: tuple[tuple[str, str, str], ...]  # reviewer, outcome in words, comment


@dataclass(frozen=True, slots=True)
class Drilldown:
    """The first of the pairs behind a number, and how many there are."""

    total: int
    pairs: list[JudgedPair]
    hidden: int = 0  # pairs left out, since who asks is judging the review and has not judged them


def drill_down(
    store: ReviewStore,
    name: str,
    meeting: tuple[str, str],
    outcome: str = "",
    filters: Filters = EVERYTHING,
    asked_by: str = "",
) -> Drilldown:
    """Return the pairs of two contenders on which counted verdicts have an ``outcome``.

    To ``asked_by``, where that is somebody who judges the review, only pairs that they have judged
    are shown.

    An outcome is ``first`` or ``second`` where that contender of the two is better, ``tie``,
    ``both_bad``, or '' for every one. Raises ReviewError when there is no such review or outcome.
    """
    if outcome not in _OUTCOMES:
        raise ReviewError(
            f"There is no outcome '{outcome}': say one of {', '.join(filter(None, _OUTCOMES))}."
        )
    review = store.find(name)
    votes = decisive(
        [vote for vote in read_votes(store, review["id"], filters) if not vote.unblinded]
    )
    found = [
        vote for vote in votes if {vote.a, vote.b} == set(meeting) and _has(vote, outcome, meeting)
    ]
    return _behind(store, found, _still_blind(store, review["id"], asked_by))


def disputed_pairs(store: ReviewStore, name: str, asked_by: str = "") -> Drilldown:
    """Return the pairs on which reviewers differ, and then those on which they did until somebody
    settled it, with all verdicts.

    Raises ReviewError when there is no such review.
    """
    review = store.find(name)
    rows = store.database.query(
        "SELECT id FROM pairs WHERE review_id = ? AND is_disputed = 1 ORDER BY shuffle_key",
        [review["id"]],
    )
    votes = read_votes(store, review["id"])
    settled = [vote.pair for vote in votes if vote.adjudicates and not vote.unblinded]
    return chosen_pairs(store, name, [*(row["id"] for row in rows), *settled], asked_by)


def chosen_pairs(
    store: ReviewStore, name: str, pairs: Iterable[int], asked_by: str = ""
) -> Drilldown:
    """Return pairs by their numbers, in their order, with all verdicts on them; those without one are
    left out.

    Raises ReviewError when there is no such review.
    """
    review = store.find(name)
    votes = [vote for vote in read_votes(store, review["id"]) if not vote.unblinded]
    place = {pair: number for number, pair in enumerate(dict.fromkeys(pairs))}
    found = sorted(
        (vote for vote in votes if vote.pair in place), key=lambda vote: place[vote.pair]
    )
    return _behind(store, found, _still_blind(store, review["id"], asked_by))


def _still_blind(store: ReviewStore, review_id: int, person: str) -> set[int]:
    """Return the pairs that a user who judges a review has not judged; none for somebody who does
    not judge it.
    """
    sql = """SELECT id FROM pairs WHERE review_id = :review
             AND EXISTS (SELECT 1 FROM reviewer_progress WHERE review_id = :review AND reviewer = :person AND judged > 0)
             AND NOT EXISTS (SELECT 1 FROM verdicts WHERE pair_id = pairs.id AND reviewer = :person)"""
    asked = {"review": review_id, "person": store.known_reviewer(person) if person else ""}
    return {row["id"] for row in store.database.query(sql, asked)}


def _behind(store: ReviewStore, votes: Iterable[Vote], hidden: Collection[int]) -> Drilldown:
    by_pair: dict[int, list[Vote]] = {}
    for vote in votes:
        by_pair.setdefault(vote.pair, []).append(vote)
    seen = {pair: said for pair, said in by_pair.items() if pair not in hidden}
    shown = [_judged(store, pair, said) for pair, said in islice(seen.items(), _MOST_SHOWN)]
    return Drilldown(len(seen), shown, len(by_pair) - len(seen))


def _judged(store: ReviewStore, pair: int, votes: list[Vote]) -> JudgedPair:
    row = store.database.one("SELECT * FROM pair_sides WHERE pair_id = ?", [pair])
    assert row is not None
    said = tuple((vote.reviewer, _in_words(vote), vote.comment) for vote in votes)
    sides = [(row[f"{side}_contender"], row[f"{side}_text"]) for side in ("first", "second")]
    is_single = row["first_response_id"] == row["second_response_id"]
    responses = tuple(sides[:1] if is_single else sides)
    return JudgedPair(
        pair, row["data_row"], row["category"], row["prompt"], row["expected"], responses, said
    )


def _has(vote: Vote, outcome: str, meeting: tuple[str, str]) -> bool:
    if outcome in {"first", "second"} and vote.verdict in {"a", "b"}:
        return vote.outcome == meeting[outcome == "second"]
    return outcome in {"", vote.verdict}


def _in_words(vote: Vote) -> str:
    stars = vote.remarks[0].stars
    words = {
        "both_bad": "both bad",
        "a": f"{vote.a} better",
        "b": f"{vote.b} better",
        "stars": f"{stars} of {MOST_STARS} stars",
    }
    said = words.get(vote.verdict, vote.verdict)
    return f"{said} (settles it)" if vote.adjudicates else said
