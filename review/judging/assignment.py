"""Which pairs a reviewer sees next, in a time that does not grow with their number.

Knows no prompt and no response. Every pair has a random place on a circle, fixed when it is made,
and a reviewer begins at a place of their own. Between three contenders or more the meeting whose
verdict tells most comes next, but for a share that is left to chance, so that every meeting goes on
being looked at. Of a meeting, pairs that nobody has judged come first; an index holds just those.
When there are none in any meeting, the reviewer walks round each meeting's circle once, past what
others have judged; another index holds only the pairs that still want a verdict. Pairs that were
passed over, or opened again behind the walker, are looked for when the round is done.
"""

import hashlib
import time
from collections.abc import Collection, Iterator, Sequence
from itertools import combinations

from sqlite_utils import Database as SqliteUtils

from core.storage.database import Database
from review.statistics.active_sampling import Meeting, expected_gains
from review.store.rows import ReviewRow, Row

# how long a pair that is shown to somebody is kept from others, where few people judge each
_HELD_S = 600.0
_ROUNDING = 1e-12  # of a distance that was subtracted and is added again
_LEFT_TO_CHANCE = 64  # of 256: the share of meetings that are not chosen for what they tell
_WANTED = """
    SELECT id, shuffle_key FROM pairs INDEXED BY {index} WHERE review_id = :review
    AND contender_low_id = :low_id AND contender_high_id = :high_id
    AND is_open = 1 AND shuffle_key >= :low AND shuffle_key < :high {and_that}
    AND NOT EXISTS (SELECT 1 FROM verdicts WHERE pair_id = pairs.id AND reviewer = :reviewer)
    AND (:overlap = 0 OR verdict_count < :overlap - (SELECT count(*) FROM reservations
         WHERE pair_id = pairs.id AND reviewer <> :reviewer AND until > :now))
    AND id NOT IN (SELECT value FROM json_each(:without))
    ORDER BY shuffle_key LIMIT 1
"""
_OPEN = _WANTED.format(index="open_meetings", and_that="")
_UNRATED = _WANTED.format(index="unrated_pairs", and_that="AND verdict_count = 0")


class Assignment:
    """One reviewer's way round the pairs of one review."""

    def __init__(self, database: Database, review: ReviewRow, reviewer: str) -> None:
        """Find the reviewer's own beginning; nothing is written."""
        self._database = database
        self._review = review
        self._reviewer = reviewer
        digest = hashlib.sha256(f"{review['side_seed']}:order:{reviewer}".encode()).digest()
        self._offset = int.from_bytes(digest[:6]) / 2**48
        contenders = database.query(
            "SELECT id FROM contenders WHERE review_id = ? ORDER BY id", [review["id"]]
        )
        self._is_single = review["response_mode"] != "pairs"
        ids = [row["id"] for row in contenders]
        self._meetings = (
            tuple((one, one) for one in ids) if self._is_single else tuple(combinations(ids, 2))
        )

    def progress(self) -> tuple[int, int]:
        """Return how many pairs this reviewer has judged, and that and how many more there may be
        for them.
        """
        review = self._database.one(
            "SELECT pair_count, open_count FROM reviews WHERE id = ?", [self._review["id"]]
        )
        judged = self._judged()
        assert review is not None
        left = min(review["open_count"] - self._own_open(), review["pair_count"] - judged)
        return judged, judged + left

    def _own_open(self) -> int:
        """Return how many pairs others are still to judge that this reviewer has judged; of one
        person per pair there is none.
        """
        if self._review["overlap"] < 2:
            return 0
        sql = """SELECT count(*) FROM verdicts JOIN pairs ON pairs.id = pair_id
                 WHERE reviewer = ? AND review_id = ? AND is_open = 1"""
        return int(self._database.scalar(sql, [self._reviewer, self._review["id"]]))

    def next_ids(
        self, count: int, passed_over: Collection[int] = (), shown: Collection[int] = ()
    ) -> list[int]:
        """Return the next pairs that want a verdict of this reviewer, without those ``shown``
        already, those passed over last.

        Where only so many people shall judge each pair, they are kept from others for a while.
        """
        if not self._review["overlap"]:
            return self._find(count, passed_over, shown)
        # looked for and kept in one, so that two never find the same
        with self._database.transaction() as tables:
            found = self._find(count, passed_over, shown)
            self._hold(tables, found)
        return found

    def _find(self, count: int, passed_over: Collection[int], shown: Collection[int]) -> list[int]:
        number, found = self._judged() + len(shown), list[int]()
        while (
            len(found) < count
            and (pair := self._next(number + len(found), passed_over, {*found, *shown})) is not None
        ):
            found.append(pair)
        return found

    def _next(
        self, number: int, passed_over: Collection[int], shown: Collection[int]
    ) -> int | None:
        """Return this reviewer's ``number``-th pair, or None where all is judged."""
        meetings = self._in_order(number)
        rest = {*passed_over, *shown}
        for sql, is_ahead, without in (
            (_UNRATED, False, rest),
            (_OPEN, True, rest),
            (_OPEN, False, rest),
            (_OPEN, False, shown),
        ):
            for meeting in meetings:
                if wanted := self._wanted(
                    sql, self._cursor(meeting) if is_ahead else 0.0, without, meeting
                ):
                    return int(wanted["id"])
        return None

    def _in_order(self, number: int) -> Sequence[Meeting]:
        """Return the meetings, those first whose verdict tells most, or for a share of the numbers
        as chance has it.
        """
        if len(self._meetings) < 2:
            return self._meetings
        seed = f"{self._review['side_seed']}:chance:{self._reviewer}:{number}"
        if self._is_single or hashlib.sha256(seed.encode()).digest()[0] < _LEFT_TO_CHANCE:
            return sorted(
                self._meetings,
                key=lambda meeting: hashlib.sha256(f"{seed}:{meeting}".encode()).digest(),
            )
        gains = self._gains()
        return sorted(self._meetings, key=lambda meeting: -gains[meeting])

    def _gains(self) -> dict[Meeting, float]:
        tallies: dict[Meeting, tuple[float, int]] = dict.fromkeys(self._meetings, (0.0, 0))
        for row in self._database.query(
            "SELECT * FROM matchup_counts WHERE review_id = ?", [self._review["id"]]
        ):
            first, second = row["contender_id"], row["against_id"]
            meeting = (min(first, second), max(first, second))
            score, count = tallies[meeting]
            own = row["score"] if first < second else row["verdicts"] - row["score"]
            tallies[meeting] = (score + own, count + row["verdicts"])
        return expected_gains(tallies)

    def note(self, tables: SqliteUtils, pair_id: int, *, judged: bool) -> None:
        """Remember, in the transaction of a verdict, how far this reviewer is, or that a pair is to
        be seen again.
        """
        row = next(
            iter(
                tables.query(
                    "SELECT shuffle_key, contender_low_id, contender_high_id FROM pairs WHERE "
                    "id = ?",
                    [pair_id],
                )
            )
        )
        meeting = (row["contender_low_id"], row["contender_high_id"])
        cursor = self._cursor(meeting)
        if judged:
            ahead = self._wanted(_OPEN, cursor, (), meeting)
            cursor = self._from_offset(ahead["shuffle_key"]) if ahead else 1.0
        else:
            cursor = min(cursor, self._from_offset(row["shuffle_key"]))
        sql = """INSERT OR REPLACE INTO reviewer_cursors (review_id, reviewer, contender_low_id, contender_high_id, cursor)
                 VALUES (?, ?, ?, ?, ?)"""
        tables.execute(sql, [self._review["id"], self._reviewer, *meeting, cursor])

    def _from_offset(self, place: float) -> float:
        return float(max((place - self._offset) % 1.0 - _ROUNDING, 0.0))

    def _judged(self) -> int:
        sql = "SELECT judged FROM reviewer_progress WHERE review_id = ? AND reviewer = ?"
        return int(self._database.scalar(sql, [self._review["id"], self._reviewer]) or 0)

    def _cursor(self, meeting: Meeting) -> float:
        """Return how far round a meeting's circle this reviewer is, from 0 to 1."""
        sql = """SELECT cursor FROM reviewer_cursors
                 WHERE review_id = ? AND reviewer = ? AND contender_low_id = ? AND contender_high_id = ?"""
        return float(
            self._database.scalar(sql, [self._review["id"], self._reviewer, *meeting]) or 0.0
        )

    def _wanted(
        self, sql: str, first: float, without: Collection[int], meeting: Meeting
    ) -> Row | None:
        """Return the next wanted pair of a meeting from a distance from the beginning on."""
        for low, high in self._cursor_ranges(first):
            asked = {
                "review": self._review["id"],
                "reviewer": self._reviewer,
                "overlap": self._review["overlap"],
                "now": time.time(),
                "low_id": meeting[0],
                "high_id": meeting[1],
                "low": low,
                "high": high,
                "without": str(sorted(without)),
            }
            if found := self._database.one(sql, asked):
                return found
        return None

    def _cursor_ranges(self, first: float) -> Iterator[tuple[float, float]]:
        """Yield the stretches of the circle from a distance to its end, each without a jump from 1
        to 0.
        """
        low, high = self._offset + first, self._offset + 1.0
        if low < 1:
            yield low, min(high, 1.0)
        if high > 1:
            yield max(low - 1, 0.0), high - 1

    def _hold(self, tables: SqliteUtils, pairs: Collection[int]) -> None:
        now = time.time()
        tables.execute("DELETE FROM reservations WHERE until <= ?", [now])
        for pair in pairs:
            tables.execute(
                "INSERT OR REPLACE INTO reservations VALUES (?, ?, ?)",
                [pair, self._reviewer, now + _HELD_S],
            )
