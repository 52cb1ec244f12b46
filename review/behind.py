"""The pairs behind a number of the result: what was asked, answered and said."""

from collections.abc import Iterator
from dataclasses import dataclass

from review.rating import MOST_STARS
from review.store import ReviewStore
from review.votes import EVERYTHING, Filters, Vote, decisive, read_votes


@dataclass(frozen=True, slots=True)
class JudgedPair:
    """One pair with its contenders' names, and who judged it how."""

    row: int
    category: str
    prompt: str
    expected: str
    responses: tuple[tuple[str, str], ...]  # contender, response
    said: tuple[tuple[str, str, str], ...]  # reviewer, outcome in words, comment


def pairs_behind(
    store: ReviewStore, name: str, meeting: tuple[str, str], outcome: str = "", filters: Filters = EVERYTHING
) -> list[JudgedPair]:
    """Return the pairs of two contenders on which counted verdicts have an ``outcome``; '' takes every one.

    An outcome is the better contender's name, ``tie`` or ``both_bad``. Raises ReviewError when there is no such review.
    """
    review = store.find(name)
    votes = decisive([vote for vote in read_votes(store, review["id"], filters) if not vote.knew])
    wanted = [vote for vote in votes if {vote.a, vote.b} == set(meeting) and outcome in {"", _named(vote)}]
    return list(_pairs(store, wanted))


def disputed_pairs(store: ReviewStore, name: str) -> list[JudgedPair]:
    """Return the pairs on which reviewers differ, and then those on which they did until somebody settled it, with all verdicts.

    Raises ReviewError when there is no such review.
    """
    review = store.find(name)
    rows = store.database.query("SELECT id FROM pairs WHERE review_id = ? AND is_disputed = 1 ORDER BY place", [review["id"]])
    votes = [vote for vote in read_votes(store, review["id"]) if not vote.knew]
    pairs = dict.fromkeys([*(row["id"] for row in rows), *(vote.pair for vote in votes if vote.settles)])
    place = {pair: number for number, pair in enumerate(pairs)}
    return list(_pairs(store, sorted((vote for vote in votes if vote.pair in place), key=lambda vote: place[vote.pair])))


def _pairs(store: ReviewStore, votes: list[Vote]) -> Iterator[JudgedPair]:
    for pair in dict.fromkeys(vote.pair for vote in votes):
        row = store.database.one(
            """SELECT data_row, category, prompt, expected, one.name AS one, a.text AS a, two.name AS two, b.text AS b,
               first_response_id = second_response_id AS is_single FROM pairs
               JOIN prompts ON prompts.id = pairs.prompt_id
               JOIN responses a ON a.id = first_response_id JOIN contenders one ON one.id = a.contender_id
               JOIN responses b ON b.id = second_response_id JOIN contenders two ON two.id = b.contender_id WHERE pairs.id = ?""",
            [pair],
        )
        assert row is not None
        said = tuple((vote.reviewer, _in_words(vote), vote.comment) for vote in votes if vote.pair == pair)
        responses = ((row["one"], row["a"]), (row["two"], row["b"]))[: 1 if row["is_single"] else 2]
        yield JudgedPair(row["data_row"], row["category"], row["prompt"], row["expected"], responses, said)


def _named(vote: Vote) -> str:
    return vote.outcome.removeprefix("\0")


def _in_words(vote: Vote) -> str:
    stars = vote.remarks[0].stars
    words = {"tie": "tie", "both_bad": "both bad", "pass": "pass", "fail": "fail", "stars": f"{stars} of {MOST_STARS} stars"}
    said = words.get(_named(vote), f"{_named(vote)} better")
    return f"{said} (settles it)" if vote.settles else said
