"""Pairs on which reviewers differ, for somebody else to settle. The verdicts that differ stay."""

from collections.abc import Collection

from core.storage.database import Database
from review.store.rows import ReviewRow

_DISPUTED = """
    FROM pairs INDEXED BY disputed_pairs WHERE review_id = :review AND is_disputed = 1
    AND NOT EXISTS (SELECT 1 FROM verdicts WHERE pair_id = pairs.id AND reviewer = :reviewer)
"""


class Adjudication:
    """The disagreements of others that one person may settle."""

    def __init__(self, database: Database, review: ReviewRow, reviewer: str) -> None:
        """Nothing is written."""
        self._database = database
        self._asked = {"review": review["id"], "reviewer": reviewer}

    def progress(self) -> tuple[int, int]:
        """Return how many this person has settled, and that and how many more there are for them."""
        settled = self._count(
            """FROM verdicts JOIN pairs ON pairs.id = pair_id
               WHERE review_id = :review AND reviewer = :reviewer AND adjudicates = 1"""
        )
        return settled, settled + self._count(_DISPUTED)

    def next_ids(
        self, count: int, passed_over: Collection[int] = (), shown: Collection[int] = ()
    ) -> list[int]:
        """Return the next of them, without those ``shown``, those passed over last."""
        found: list[int] = []
        for without in (passed_over, ()):
            if len(found) < count:
                sql = f"SELECT id {_DISPUTED} AND id NOT IN (SELECT value FROM json_each(:without))"
                asked = {
                    **self._asked,
                    "without": str(sorted({*found, *without, *shown})),
                    "count": count - len(found),
                }
                found += [
                    row["id"]
                    for row in self._database.query(
                        f"{sql} ORDER BY shuffle_key LIMIT :count", asked
                    )
                ]
        return found

    def has(self, pair_id: int) -> bool:
        """Return whether others differ on a pair and this person has not judged it."""
        return bool(
            self._database.one(
                f"SELECT id {_DISPUTED} AND id = :pair", {**self._asked, "pair": pair_id}
            )
        )

    def _count(self, what: str) -> int:
        return int(self._database.scalar(f"SELECT count(*) {what}", self._asked))
