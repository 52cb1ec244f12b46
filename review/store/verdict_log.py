"""What one reviewer said in one review, in the order in which it was written down.

Knows no sides and no walk.
It is the log that tells what was done last: clocks may stand or go back.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from sqlite_utils import Database as SqliteUtils

from core.storage.workspace import now
from review.store.rows import Row

_LOGGED = (
    "pair_id",
    "verdict",
    "a_tags",
    "b_tags",
    "a_stars",
    "b_stars",
    "comment",
    "correction",
    "flagged",
    "unblinded",
)


class VerdictLog:
    """One reviewer's lines of the log; all is read and written in a transaction of the caller's."""

    def __init__(self, review_id: int, reviewer: str) -> None:
        """Nothing is read."""
        self._review_id = review_id
        self._reviewer = reviewer

    def write(self, tables: SqliteUtils, action: str, values: Mapping[str, Any]) -> None:
        """Add a line: a verdict was ``rated``, ``changed`` or ``undone``."""
        logged = {name: values[name] for name in _LOGGED}
        tables.table("verdict_log").insert(
            {**logged, "reviewer": self._reviewer, "action": action, "at": now()}
        )

    def last(self, tables: SqliteUtils, *, adjudicates: bool) -> tuple[Row | None, int]:
        """Return the verdict that was given or changed last, and the number of its line; only of
        settling ones on request.

        What was imported for the reviewer comes after all that they did here, as line 0.
        """
        imported: list[Row] = []
        for line in self._standing(tables):
            where, asked = (
                "pair_id = ? AND reviewer = ? AND adjudicates >= ?",
                [line["pair_id"], self._reviewer, adjudicates],
            )
            for verdict in tables.table("verdicts").rows_where(where, asked):
                if line["action"] != "imported":
                    return verdict, line["id"]
                imported.append(verdict)
        return next(iter(imported), None), 0

    def before_change(self, tables: SqliteUtils, pair_id: int) -> Row | None:
        """Return what a verdict was before it was changed for the last time; None when it is as
        first given.
        """
        lines = list(self._standing(tables, pair_id))
        if len(lines) < 2:
            return None
        return {name: lines[1][name] for name in _LOGGED} | {"rated_at": lines[1]["at"]}

    def _standing(self, tables: SqliteUtils, pair_id: int | None = None) -> Iterator[Row]:
        """Yield the lines that were not taken back, the latest first, of one pair on request."""
        taken_back: Counter[int] = Counter()
        of_one = "" if pair_id is None else "AND pair_id = :pair"
        sql = f"""SELECT verdict_log.* FROM verdict_log JOIN pairs ON pairs.id = pair_id
                  WHERE review_id = :review AND reviewer = :reviewer {of_one} ORDER BY verdict_log.id DESC"""
        asked = {"review": self._review_id, "reviewer": self._reviewer, "pair": pair_id}
        for line in tables.query(sql, asked):
            if line["action"] == "undone":
                taken_back[line["pair_id"]] += 1
            elif taken_back[line["pair_id"]]:
                taken_back[line["pair_id"]] -= 1
            else:
                yield line
