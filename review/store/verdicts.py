"""Verdicts as values, read from the tables: who judged what, between whom, and how.

Knows no statistics.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from review.domain.rating import Rating, Remarks
from review.store.reviews import ReviewStore
from review.store.rows import Row

UNDECIDED = ("tie", "both_bad")
Label = TypeVar("Label")


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """One reviewer's verdict on one pair."""

    pair: int
    prompt: int
    category: str  # of the prompt, as the dataset names it; '' where it does not
    reviewer: str
    a: str  # the contender that this reviewer saw as A
    b: str
    verdict: str  # a, b, tie or both_bad
    lengths: tuple[int, int]  # of both answers, in characters
    remarks: tuple[Remarks, Remarks]  # on A and on B
    comment: str
    correction: str
    unblinded: bool  # the reviewer could tell which is which
    adjudicates: bool  # it decides between earlier ones that differ

    @property
    def outcome(self) -> str:
        """The winner's name, ``tie`` or ``both_bad``: what reviewers who saw the sides otherwise
        agree on.
        """
        return {"a": self.a, "b": self.b}.get(self.verdict, f"\0{self.verdict}")

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags of both responses."""
        return self.remarks[0].tags + self.remarks[1].tags

    def score(self, contender: str) -> float:
        """Return 1 where a contender of the pair won, 0 where it lost, one half where neither is
        better.
        """
        return 0.5 if self.verdict in UNDECIDED else float(self.outcome == contender)


@dataclass(frozen=True, slots=True)
class Filters:
    """Which verdicts are looked at; empty takes all."""

    reviewer: str = ""
    tag: str = ""  # given to either response
    category: str = ""  # of the prompt
    split: str = ""  # of the prompt


NO_CATEGORY = "(none)"  # asks for prompts without one
EVERYTHING = Filters()


def read_votes(store: ReviewStore, review_id: int, filters: Filters = EVERYTHING) -> list[Vote]:
    """Return a review's verdicts in the order they were first given, all or some."""
    rows = store.database.query(
        """SELECT *, length(a_text) AS a_length, length(b_text) AS b_length FROM verdict_sides
           WHERE review_id = :review AND :reviewer IN ('', reviewer)
           AND :category IN ('', CASE category WHEN '' THEN '(none)' ELSE category END)
           AND :split IN ('', split) ORDER BY id""",
        {
            "review": review_id,
            "reviewer": filters.reviewer,
            "category": filters.category,
            "split": filters.split,
        },
    )
    votes = [
        Vote(
            pair=row["pair_id"],
            prompt=row["prompt_id"],
            category=row["category"],
            reviewer=row["reviewer"],
            a=row["a_contender"],
            b=row["b_contender"],
            verdict=row["verdict"],
            lengths=(row["a_length"], row["b_length"]),
            remarks=stored_remarks(row),
            comment=row["comment"],
            correction=row["correction"],
            unblinded=bool(row["unblinded"]),
            adjudicates=bool(row["adjudicates"]),
        )
        for row in rows
    ]
    return [vote for vote in votes if not filters.tag or filters.tag in vote.tags]


def by_pair(votes: Sequence[Vote], label: Callable[[Vote], Label]) -> dict[int, dict[str, Label]]:
    """Return what each reviewer said of each pair, without verdicts that settle: those knew that
    others differ.
    """
    said: dict[int, dict[str, Label]] = {}
    for vote in votes:
        if not vote.adjudicates:
            said.setdefault(vote.pair, {})[vote.reviewer] = label(vote)
    return said


def decisive(votes: Sequence[Vote]) -> list[Vote]:
    """Return the verdicts that count: where a later one settles a pair, it alone."""
    settled = {vote.pair for vote in votes if vote.adjudicates}
    return [vote for vote in votes if vote.adjudicates or vote.pair not in settled]


@dataclass(frozen=True, slots=True)
class SecondLook:
    """What a reviewer said of a pair at first, and when they saw it again with the sides exchanged."""

    reviewer: str
    same_outcome: bool
    same_side: bool  # A both times, or B both times: the side, not the response


def read_second_looks(store: ReviewStore, review_id: int) -> list[SecondLook]:
    """Return every pair that was judged twice by one person."""
    rows = store.database.query(
        """SELECT verdicts.reviewer, verdicts.verdict AS first, repeat_judgments.verdict AS second,
                  verdicts.winner_response_id IS repeat_judgments.winner_response_id AS same_winner
           FROM repeat_judgments JOIN verdicts USING (pair_id, reviewer)
           JOIN pairs ON pairs.id = pair_id WHERE review_id = ?""",
        [review_id],
    )
    return [
        SecondLook(
            row["reviewer"],
            bool(row["same_winner"])
            and (row["first"] == row["second"] or row["first"] not in UNDECIDED),
            row["first"] == row["second"] and row["first"] not in UNDECIDED,
        )
        for row in rows
    ]


def rating_columns(rating: Rating) -> Row:
    """Return what a reviewer says as the columns that hold it, wherever it is written down."""
    sides: Row = {}
    for side, said in (("a", rating.a), ("b", rating.b)):
        sides |= {f"{side}_stars": said.stars, f"{side}_tags": json.dumps(said.tags)}
    texts = {"verdict": rating.verdict, "comment": rating.comment, "correction": rating.correction}
    return {**texts, **sides, "flagged": int(rating.flagged), "unblinded": int(rating.unblinded)}


def stored_remarks(row: Row) -> tuple[Remarks, Remarks]:
    """Return what a row of verdicts says of A and of B."""
    a, b = (Remarks(row[f"{side}_stars"], tuple(json.loads(row[f"{side}_tags"]))) for side in "ab")
    return a, b
