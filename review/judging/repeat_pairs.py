"""Pairs that a reviewer is shown for a second time, sides exchanged: how far they agree with
themselves.

What is said the second time is kept apart and never counted as a verdict.
"""

import hashlib
from collections.abc import Collection

from sqlite_utils import Database as SqliteUtils

from core.storage.database import Database
from core.storage.workspace import now
from review.domain.rating import Rating
from review.store.rows import ReviewRow, Row
from review.store.verdicts import rating_columns

_APART = 5  # verdicts between the two at least, so that the first is not just remembered


class RepeatPairs:
    """One reviewer's second looks in one review."""

    def __init__(self, database: Database, review: ReviewRow, reviewer: str) -> None:
        """Nothing is written."""
        self._database = database
        self._review = review
        self._reviewer = reviewer

    def due(self, judged: int, shown: Collection[int]) -> int | None:
        """Return a pair to be shown again now, or None: as many are as the review's share of what
        was judged wants.
        """
        wanted = int(judged * self._review["repeats"] / 100)
        # a single response has no sides
        if not wanted or judged <= _APART or self._review["response_mode"] != "pairs":
            return None
        given = self._count("repeat_judgments", "1") + self._count(
            "verdicts", "pair_id IN (SELECT value FROM json_each(:shown))", shown
        )
        if given >= wanted:
            return None
        place = int.from_bytes(
            hashlib.sha256(
                f"{self._review['side_seed']}:again:{self._reviewer}:{judged}".encode()
            ).digest()[:6]
        )
        row = self._database.one(
            """SELECT pair_id FROM (
                   SELECT pair_id FROM verdicts JOIN pairs ON pairs.id = pair_id
                   WHERE review_id = :review AND reviewer = :reviewer ORDER BY rated_at LIMIT :old
               ) WHERE pair_id NOT IN (SELECT pair_id FROM repeat_judgments WHERE reviewer = :reviewer)
               AND pair_id NOT IN (SELECT value FROM json_each(:shown))
               ORDER BY (pair_id * 2654435761 + :place) % 4294967296 LIMIT 1""",
            {**self._asked(shown), "old": judged - _APART, "place": place % 2**32},
        )
        return row["pair_id"] if row else None

    def offer(self, tables: SqliteUtils, pair_id: int) -> None:
        """Note that a pair is shown again now: the page cannot tell, so its next verdict on it is
        the second.
        """
        tables.execute(
            "INSERT OR IGNORE INTO offered_repeats VALUES (?, ?)", [pair_id, self._reviewer]
        )

    def is_offered(self, pair_id: int) -> bool:
        """Return whether a pair is shown to this reviewer for the second time."""
        sql = "SELECT 1 FROM offered_repeats WHERE pair_id = ? AND reviewer = ?"
        return self._database.one(sql, [pair_id, self._reviewer]) is not None

    def given(self) -> int:
        """Return how many second looks this reviewer has given."""
        return self._count("repeat_judgments", "1")

    def save(self, tables: SqliteUtils, pair_id: int, rating: Rating, winner: int | None) -> None:
        """Keep what was said the second time, in a transaction; A and B are as they were shown
        then.
        """
        key = {
            "pair_id": pair_id,
            "reviewer": self._reviewer,
            "winner_response_id": winner,
            "rated_at": now(),
        }
        [log] = tables.query("SELECT coalesce(max(id), 0) AS last FROM verdict_log")
        tables.table("repeat_judgments").insert(
            {**key, **rating_columns(rating), "after_log": log["last"]}, replace=True
        )
        tables.execute(
            "DELETE FROM offered_repeats WHERE pair_id = ? AND reviewer = ?",
            [pair_id, self._reviewer],
        )

    def last(self, tables: SqliteUtils) -> Row | None:
        """Return this reviewer's latest second look, or None."""
        sql = """SELECT repeat_judgments.* FROM repeat_judgments JOIN pairs ON pairs.id = pair_id
                 WHERE review_id = ? AND reviewer = ? ORDER BY after_log DESC, rated_at DESC LIMIT 1"""
        return next(iter(tables.query(sql, [self._review["id"], self._reviewer])), None)

    def remove(self, tables: SqliteUtils, pair_id: int) -> None:
        """Take a second look back."""
        tables.execute(
            "DELETE FROM repeat_judgments WHERE pair_id = ? AND reviewer = ?",
            [pair_id, self._reviewer],
        )

    def _count(self, table: str, condition: str, shown: Collection[int] = ()) -> int:
        sql = f"""SELECT count(*) FROM {table} JOIN pairs ON pairs.id = pair_id
                  WHERE review_id = :review AND reviewer = :reviewer AND {condition}"""
        return int(self._database.scalar(sql, self._asked(shown)))

    def _asked(self, shown: Collection[int]) -> Row:
        return {
            "review": self._review["id"],
            "reviewer": self._reviewer,
            "shown": str(sorted(shown)),
        }
