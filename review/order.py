"""Which pairs a reviewer sees next, in a time that does not grow with their number. Knows no prompt and no response.

Every pair has a random place on a circle, fixed when it is made. A reviewer begins at a place of their own and walks round it
once; an index holds only the pairs that still want a verdict. Pairs that were passed over, or opened again behind the walker,
are looked for when the round is done.
"""

import hashlib
import time
from collections.abc import Collection, Iterator

from sqlite_utils import Database as SqliteUtils

from core.storage.database import Database
from review.store import Row

_HELD_S = 600.0  # how long a pair that is shown to somebody is kept from others, where few people judge each
_ROUNDING = 1e-12  # of a distance that was subtracted and is added again
_WANTED = """
    SELECT id FROM pairs WHERE review_id = :review AND is_open = 1 AND place >= :low AND place < :high
    AND NOT EXISTS (SELECT 1 FROM verdicts WHERE pair_id = pairs.id AND reviewer = :reviewer)
    AND (:overlap = 0 OR verdict_count < :overlap - (SELECT count(*) FROM holds
         WHERE pair_id = pairs.id AND reviewer <> :reviewer AND until > :now))
    AND id NOT IN (SELECT value FROM json_each(:without))
    ORDER BY place LIMIT :count
"""


class Walk:
    """One reviewer's way round the pairs of one review."""

    def __init__(self, database: Database, review: Row, reviewer: str) -> None:
        """Find the reviewer's own beginning; nothing is written."""
        self._database = database
        self._review = review
        self._reviewer = reviewer
        digest = hashlib.sha256(f"{review['side_seed']}:order:{reviewer}".encode()).digest()
        self._start = int.from_bytes(digest[:6]) / 2**48

    def progress(self) -> tuple[int, int]:
        """Return how many pairs this reviewer has judged, and that and how many more there may be for them."""
        review = self._database.one("SELECT pair_count, open_count FROM reviews WHERE id = ?", [self._review["id"]])
        walk = self._walk()
        assert review is not None
        left = min(review["open_count"], review["pair_count"] - walk["judged"])
        return walk["judged"], walk["judged"] + left

    def next_ids(self, count: int, passed_over: Collection[int] = (), shown: Collection[int] = ()) -> list[int]:
        """Return the next pairs that want a verdict of this reviewer, without those ``shown`` already, those passed over last.

        Where only so many people shall judge each pair, they are kept from others for a while.
        """
        if not self._review["overlap"]:
            return self._find(count, passed_over, shown)
        with self._database.transaction() as tables:  # looked for and kept in one, so that two never find the same
            found = self._find(count, passed_over, shown)
            self._hold(tables, found)
        return found

    def _find(self, count: int, passed_over: Collection[int], shown: Collection[int]) -> list[int]:
        found: list[int] = []
        went = self._walk()["went"]
        for first, last, without in ((went, 1.0, passed_over), (0.0, 1.0, passed_over), (0.0, 1.0, ())):
            if len(found) < count:
                found += self._wanted(first, last, count - len(found), {*found, *without, *shown})
        return found

    def note(self, tables: SqliteUtils, pair_id: int, *, judged: bool) -> None:
        """Remember, in the transaction of a verdict, that a pair is behind this reviewer, or is to be seen again."""
        place = next(iter(tables.query("SELECT place FROM pairs WHERE id = ?", [pair_id])))["place"]
        here = (place - self._start) % 1.0 - (0.0 if judged else _ROUNDING)
        tables.execute(
            f"UPDATE walks SET went = {'max' if judged else 'min'}(went, ?) WHERE review_id = ? AND reviewer = ?",  # noqa: S608 - our words
            [max(here, 0.0), self._review["id"], self._reviewer],
        )

    def _walk(self) -> Row:
        row = self._database.one(
            "SELECT went, judged FROM walks WHERE review_id = ? AND reviewer = ?", [self._review["id"], self._reviewer]
        )
        return row or {"went": 0.0, "judged": 0}

    def _wanted(self, first: float, last: float, count: int, without: Collection[int]) -> list[int]:
        """Return wanted pairs between two distances from the beginning."""
        found: list[int] = []
        for low, high in self._arcs(first, last):
            asked = {
                "review": self._review["id"], "reviewer": self._reviewer, "overlap": self._review["overlap"], "now": time.time(),
                "low": low, "high": high, "without": str(sorted(without)), "count": count - len(found),
            }  # fmt: skip
            found += [row["id"] for row in self._database.query(_WANTED, asked)]
        return found

    def _arcs(self, first: float, last: float) -> Iterator[tuple[float, float]]:
        """Yield the stretches of the circle between two distances from the beginning, each without a jump from 1 to 0."""
        low, high = self._start + first, self._start + last
        if low < 1:
            yield low, min(high, 1.0)
        if high > 1:
            yield max(low - 1, 0.0), high - 1

    def _hold(self, tables: SqliteUtils, pairs: Collection[int]) -> None:
        now = time.time()
        tables.execute("DELETE FROM holds WHERE until <= ?", [now])
        for pair in pairs:
            tables.execute("INSERT OR REPLACE INTO holds VALUES (?, ?, ?)", [pair, self._reviewer, now + _HELD_S])
