"""The pairs behind a number of the result: what was asked, answered and said."""

from collections.abc import Iterator
from dataclasses import dataclass

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


def _pairs(store: ReviewStore, votes: list[Vote]) -> Iterator[JudgedPair]:
    for pair in dict.fromkeys(vote.pair for vote in votes):
        row = store.database.one(
            """SELECT data_row, category, prompt, expected, one.name AS one, a.text AS a, two.name AS two, b.text AS b FROM pairs
               JOIN prompts ON prompts.id = pairs.prompt_id
               JOIN responses a ON a.id = first_response_id JOIN contenders one ON one.id = a.contender_id
               JOIN responses b ON b.id = second_response_id JOIN contenders two ON two.id = b.contender_id WHERE pairs.id = ?""",
            [pair],
        )
        assert row is not None
        said = tuple((vote.reviewer, _in_words(vote), vote.comment) for vote in votes if vote.pair == pair)
        responses = ((row["one"], row["a"]), (row["two"], row["b"]))
        yield JudgedPair(row["data_row"], row["category"], row["prompt"], row["expected"], responses, said)


def _named(vote: Vote) -> str:
    return vote.outcome.removeprefix("\0")


def _in_words(vote: Vote) -> str:
    return {"tie": "tie", "both_bad": "both bad"}.get(_named(vote), f"{_named(vote)} better")
