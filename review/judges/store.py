"""Judges and what they said, as rows. Knows no model."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict, cast

from core.errors import ReviewError
from core.storage.workspace import now
from review.judges.protocols import Protocol, ProtocolName
from review.store.reviews import ReviewStore

SideChoice = Literal["first", "second", "tie", "error"]


class JudgeRow(TypedDict):
    """One judge of a review."""

    id: int
    review_id: int
    model: str
    protocol: str
    digest: str
    template: str
    criteria: str  # JSON
    facts: str  # JSON
    created_at: str


class ComparisonRow(TypedDict):
    """What a judge said of a pair, in one order."""

    judge_id: int
    pair_id: int
    is_turned: int  # whether the second response stood first
    choice: SideChoice
    preference: float | None  # for the second response
    said: str
    judged_at: str


class ScoreRow(TypedDict):
    """What a judge said of one response."""

    judge_id: int
    response_id: int
    score: float | None
    levels: str  # JSON
    said: str
    judged_at: str


def stored_protocol(judge: JudgeRow) -> Protocol:
    """Return how a judge was asked, as it was, though no judge could be asked so anew."""
    return Protocol(
        name=cast("ProtocolName", judge["protocol"]), template=judge["template"],
        criteria=tuple(json.loads(judge["criteria"])),
    )  # fmt: skip


class JudgeStore:
    """The judges of a workspace's reviews."""

    def __init__(self, reviews: ReviewStore) -> None:
        """Work beside the reviews."""
        self._database = reviews.database

    def add(
        self, review_id: int, model: str, protocol: Protocol, facts: Mapping[str, Any]
    ) -> JudgeRow:
        """Return a review's judge of that model and way of asking; a new one where there is none."""
        with self._database.transaction() as tables:
            tables.table("judges").insert(
                {
                    "review_id": review_id, "model": model, "protocol": protocol.name,
                    "digest": protocol.digest, "template": protocol.template,
                    "criteria": json.dumps(protocol.criteria), "facts": json.dumps(dict(facts)),
                    "created_at": now(),
                },
                ignore=True,
            )  # fmt: skip
        found = cast(
            "JudgeRow",
            self._database.one(
                "SELECT * FROM judges WHERE review_id = ? AND model = ? AND digest = ?",
                [review_id, model, protocol.digest],
            ),
        )
        known = json.loads(found["facts"])
        if known.get("fingerprint") != dict(facts).get("fingerprint"):
            raise ReviewError(
                f"The judge '{model}' has other weights than when it began to judge this review: what "
                "both say would be mixed. Judge by it under another name."
            )
        return found

    def of_review(self, review_id: int) -> list[JudgeRow]:
        """Return a review's judges, the first asked first."""
        rows = self._database.query(
            "SELECT * FROM judges WHERE review_id = ? ORDER BY id", [review_id]
        )
        return cast("list[JudgeRow]", rows)

    def find(self, review_id: int, judge_id: int) -> JudgeRow:
        """Return one judge of a review. Raises ReviewError where it has no such judge."""
        for row in self.of_review(review_id):
            if row["id"] == judge_id:
                return row
        raise ReviewError("This review has no such judge; the page may be old: reload it.")

    def begin_anew(self, judge_id: int, facts: Mapping[str, Any]) -> None:
        """Forget what a judge said of pairs, and keep other facts of it: its file is brought in again."""
        with self._database.transaction() as tables:
            tables.table("judges").update(judge_id, {"facts": json.dumps(dict(facts))})
            tables.table("judge_comparisons").delete_where("judge_id = ?", [judge_id])

    def forget(self, judge_id: int) -> None:
        """Delete a judge with all that it said."""
        with self._database.transaction() as tables:
            tables.table("judges").delete(judge_id)

    def add_comparison(self, row: ComparisonRow) -> None:
        """Write down what a judge said of a pair."""
        with self._database.transaction() as tables:
            tables.table("judge_comparisons").insert(cast("dict[str, Any]", row), replace=True)

    def add_comparisons(self, rows: Sequence[ComparisonRow]) -> None:
        """Write down what a judge said of many pairs, all at once."""
        with self._database.transaction() as tables:
            tables.table("judge_comparisons").insert_all(
                (cast("dict[str, Any]", row) for row in rows), replace=True
            )

    def add_score(self, row: ScoreRow) -> None:
        """Write down what a judge said of a response."""
        with self._database.transaction() as tables:
            tables.table("judge_scores").insert(cast("dict[str, Any]", row), replace=True)

    def comparisons(self, judge_id: int) -> list[ComparisonRow]:
        """Return all that a judge said of pairs."""
        rows = self._database.query(
            "SELECT * FROM judge_comparisons WHERE judge_id = ? ORDER BY pair_id, is_turned",
            [judge_id],
        )
        return cast("list[ComparisonRow]", rows)

    def scores(self, judge_id: int) -> list[ScoreRow]:
        """Return all that a judge said of single responses."""
        rows = self._database.query(
            "SELECT * FROM judge_scores WHERE judge_id = ? ORDER BY response_id", [judge_id]
        )
        return cast("list[ScoreRow]", rows)

    def pairs(self, review_id: int) -> list[dict[str, Any]]:
        """Return a review's pairs with their texts, in the order of its rows."""
        return self._database.query(
            "SELECT * FROM pair_sides WHERE review_id = ? ORDER BY data_row, pair_id", [review_id]
        )

    def responses(self, review_id: int) -> list[dict[str, Any]]:
        """Return a review's responses with their prompts."""
        return self._database.query(
            """SELECT responses.id AS response_id, responses.text, prompts.prompt, expected, data_row, category,
                      prompts.id AS prompt_id, contenders.name AS contender
               FROM responses JOIN prompts ON prompts.id = prompt_id
               JOIN contenders ON contenders.id = contender_id
               WHERE prompts.review_id = ? AND contenders.kind <> 'expected'
               ORDER BY data_row, responses.id""",
            [review_id],
        )
