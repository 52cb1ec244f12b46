"""Which pair next, verdicts, undo. A verdict that was returned from here is on disk."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import cast

from core.errors import ReviewError
from core.storage.workspace import now
from review.domain.contender import EXPECTED
from review.domain.rating import Rating, check_fits, check_reviewer
from review.domain.rubric import Rubric
from review.domain.states import ReviewState
from review.judging.adjudication import Adjudication
from review.judging.assignment import Assignment
from review.judging.repeat_pairs import RepeatPairs
from review.judging.self_identification import named_model
from review.store.reviews import ReviewStore
from review.store.rows import Row
from review.store.verdict_log import VerdictLog
from review.store.verdicts import rating_columns, stored_remarks


@dataclass(frozen=True, slots=True)
class Pair:
    """Two responses to one prompt as one reviewer sees them; no name is in it."""

    id: int
    row: int
    prompt: str
    expected: str
    a: str
    b: str
    a_response_id: int
    b_response_id: int
    named: tuple[str, str] = ("", "")  # the words by which A and B name a model, if they do
    response_mode: str = "pairs"  # or "pass" or "stars": the response A alone is judged
    again: bool = False  # the reviewer has judged it before, with the sides exchanged

    def winner(self, verdict: str) -> int | None:
        """Return the response that a verdict is for; None for a tie and for both bad."""
        return {"a": self.a_response_id, "b": self.b_response_id}.get(verdict)


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict that a reviewer has given, as they may look at it again."""

    pair: Pair
    rating: Rating
    rated_at: str


class Judge:
    """One reviewer's way through one review."""

    def __init__(
        self, store: ReviewStore, review: str, reviewer: str, *, adjudicates: bool = False
    ) -> None:
        """Open a review for a reviewer, or only the disagreements of others, for one who
        ``settles`` them.

        Raises ReviewError when there is no such review or no name.
        """
        self._adjudicates = adjudicates
        self.reviewer = store.known_reviewer(check_reviewer(reviewer))
        self._database = store.database
        self._review = store.find(review)
        self._assignment = Assignment(self._database, self._review, self.reviewer)
        self._repeat_pairs = RepeatPairs(self._database, self._review, self.reviewer)
        self._log = VerdictLog(self._review["id"], self.reviewer)
        self._adjudication = Adjudication(self._database, self._review, self.reviewer)
        contenders = store.contenders(self._review["id"])
        self._contenders = [contender.name for contender in contenders]
        self._expected = next(
            (contender.id for contender in contenders if contender.kind == EXPECTED), None
        )
        is_empty = self._review["pair_count"] == 0
        if is_empty and self._review["state"] == ReviewState.READY:
            raise ReviewError(
                f"In the review '{review}' all contenders say the same, so there is nothing to "
                "judge."
            )
        if is_empty:  # one that only a new contender still answers can be judged meanwhile
            raise ReviewError(
                f"The review '{review}' has not all its responses yet: wait for them, or "
                "continue it."
            )

    @property
    def rubric(self) -> Rubric:
        """What the reviewer is to judge by."""
        return Rubric(self._review["rubric_name"], self._review["rubric"])

    def progress(self) -> tuple[int, int]:
        """Return how many pairs this reviewer has judged, and that and how many more there may be
        for them.
        """
        if self._adjudicates:
            return self._adjudication.progress()
        return self._assignment.progress()

    def shown_progress(self) -> tuple[int, int]:
        """Return the same with second looks counted in, so that the counter moves on at one as at
        any other pair.
        """
        judged, total = self.progress()
        if self._adjudicates or not self._review["repeats"]:
            return judged, total
        given = self._repeat_pairs.given()
        wanted = max(int(total * self._review["repeats"] / 100), given) if judged < total else given
        return judged + given, total + wanted

    def next_pairs(
        self,
        count: int,
        passed_over: Collection[int] = (),
        shown: Collection[int] = (),
        *,
        repeats: bool = False,
    ) -> list[Pair]:
        """Return the next unjudged pairs in this reviewer's own order, without those ``shown``,
        those passed over last.

        With ``repeats`` one that they have judged may follow, sides exchanged, where the review
        wants that.
        """
        if self._adjudicates:
            return [
                self.pair(pair_id)
                for pair_id in self._adjudication.next_ids(count, passed_over, shown)
            ]
        pairs = [
            self.pair(pair_id) for pair_id in self._assignment.next_ids(count, passed_over, shown)
        ]
        again = (
            self._repeat_pairs.due(self.progress()[0], {*shown, *passed_over}) if repeats else None
        )
        if again is None:
            return pairs
        with self._database.transaction() as tables:
            self._repeat_pairs.offer(tables, again)
        return [*pairs, self.pair(again, again=True)]

    def pair(self, pair_id: int, *, again: bool = False) -> Pair:
        """Return one pair with the sides as this reviewer sees them, exchanged when they see it
        ``again``.

        Raises ReviewError when it is not of this review.
        """
        row = self._database.one(
            """SELECT pair_sides.*, given.a_response_id AS shown_as_a,
                      :expected IN (first_contender_id, second_contender_id) AS has_expected
               FROM pair_sides LEFT JOIN verdicts given
                    ON given.pair_id = pair_sides.pair_id AND given.reviewer = :reviewer
               WHERE pair_sides.pair_id = :pair AND pair_sides.review_id = :review""",
            {
                "reviewer": self.reviewer,
                "pair": pair_id,
                "review": self._review["id"],
                "expected": self._expected,
            },
        )
        if row is None:
            raise ReviewError(f"The review '{self._review['name']}' has no pair {pair_id}.")
        sides = [
            (row["first_text"], row["first_response_id"]),
            (row["second_text"], row["second_response_id"]),
        ]
        swaps = self._puts_second_first(pair_id)
        # as it lay when it was judged, here or where the rating comes from
        if row["shown_as_a"] is not None:
            swaps = row["shown_as_a"] != row["first_response_id"]
        if swaps is not again:
            sides.reverse()
        (a, a_id), (b, b_id) = sides
        named = (
            named_model(a, self._contenders),
            named_model(b, self._contenders) if b_id != a_id else "",
        )
        texts = {text.strip() for text in (a, b)}
        # the key E would say whose answer one of them is
        tells = row["has_expected"] or row["expected"].strip() in texts
        asked = (row["pair_id"], row["data_row"], row["prompt"], "" if tells else row["expected"])
        return Pair(*asked, a, b, a_id, b_id, named, self._review["response_mode"], again)

    def give(self, pair_id: int, rating: Rating, *, changes: bool = False) -> None:
        """Write down what comes from a page: a first verdict, a second look where one was offered,
        or a change.

        Raises ReviewError for a pair that was judged, perhaps in another window, where no change is
        meant.
        """
        if not changes and self._repeat_pairs.is_offered(pair_id):
            self.rate_again(pair_id, rating)
            return
        if not changes and self._has_judged(pair_id):
            raise ReviewError(
                "You have judged this pair already, perhaps in another window: open it in your "
                "history to change it."
            )
        self.rate(pair_id, rating)

    def rate(self, pair_id: int, rating: Rating) -> int:
        """Write a rating down, replacing this reviewer's earlier one of the pair, and return its
        id.
        """
        check_fits(rating, self._review["response_mode"])
        pair = self.pair(pair_id)
        values: Row = {
            "pair_id": pair_id,
            "reviewer": self.reviewer,
            **rating_columns(rating),
            "a_response_id": pair.a_response_id,
            "b_response_id": pair.b_response_id,
            "winner_response_id": pair.winner(rating.verdict),
            "rated_at": now(),
        }
        with self._database.transaction() as tables:
            earlier = list(
                tables.table("verdicts").rows_where(
                    "pair_id = ? AND reviewer = ?", [pair_id, self.reviewer]
                )
            )
            self._log.write(tables, "changed" if earlier else "rated", values)
            values["adjudicates"] = (
                earlier[0]["adjudicates"]
                if earlier
                else int(self._adjudicates and self._adjudication.has(pair_id))
            )
            if earlier:
                tables.table("verdicts").update(earlier[0]["id"], values)
                return int(earlier[0]["id"])
            saved = int(cast("int", tables.table("verdicts").insert(values).last_pk))
            self._assignment.note(tables, pair_id, judged=True)
            return saved

    def rate_again(self, pair_id: int, rating: Rating) -> None:
        """Keep what a reviewer says of a pair that they see for the second time.

        Raises ReviewError when they do not.
        """
        check_fits(rating, self._review["response_mode"])
        self.judged(pair_id)
        winner = self.pair(pair_id, again=True).winner(rating.verdict)
        with self._database.transaction() as tables:
            self._repeat_pairs.save(tables, pair_id, rating, winner)

    def history(self, count: int, before: int = 0) -> list[Judged]:
        """Return this reviewer's latest verdicts, the last one first; of those given ``before`` a
        pair's where it is named.
        """
        rows = self._database.query(
            """WITH given AS (
                   SELECT verdicts.*, (SELECT max(id) FROM verdict_log line
                                       WHERE line.pair_id = verdicts.pair_id AND line.reviewer = verdicts.reviewer) AS line
                   FROM verdicts JOIN pairs ON pairs.id = verdicts.pair_id
                   WHERE review_id = :review AND reviewer = :reviewer AND adjudicates >= :adjudicates)
               SELECT * FROM given
               WHERE :before = 0 OR line < (SELECT line FROM given WHERE pair_id = :before)
               ORDER BY line DESC LIMIT :count""",  # by the log: clocks may stand or go back
            {
                "review": self._review["id"],
                "reviewer": self.reviewer,
                "before": before,
                "count": count,
                "adjudicates": self._adjudicates,
            },
        )
        return [self._judged(row) for row in rows]

    def judged(self, pair_id: int) -> Judged:
        """Return this reviewer's verdict on a pair. Raises ReviewError when there is none."""
        row = self._database.one(
            "SELECT * FROM verdicts WHERE pair_id = ? AND reviewer = ?", [pair_id, self.reviewer]
        )
        if row is None:
            raise ReviewError(f"You have not judged pair {pair_id}.")
        return self._judged(row)

    def undo(self) -> Pair:
        """Take back what this reviewer did last, a rating or its change, and return the pair.

        After a change the rating is again what it was before. Raises ReviewError when there is
        nothing to take back.
        """
        with self._database.transaction() as tables:
            last, done_at = self._log.last(tables, adjudicates=self._adjudicates)
            if last is None:
                raise ReviewError("There is nothing to undo.")
            again = None if self._adjudicates else self._repeat_pairs.last(tables)
            if again is not None and again["after_log"] >= done_at:
                self._repeat_pairs.remove(tables, again["pair_id"])
                self._repeat_pairs.offer(tables, again["pair_id"])
                return self.pair(again["pair_id"], again=True)
            former = self._log.before_change(tables, last["pair_id"])
            self._log.write(tables, "undone", last)
            if former is None:
                tables.table("verdicts").delete(last["id"])
                self._assignment.note(tables, last["pair_id"], judged=False)
            else:
                winner = self.pair(last["pair_id"]).winner(former["verdict"])
                tables.table("verdicts").update(
                    last["id"], {**former, "winner_response_id": winner}
                )
        return self.pair(last["pair_id"])

    def _has_judged(self, pair_id: int) -> bool:
        sql = "SELECT 1 FROM verdicts WHERE pair_id = ? AND reviewer = ?"
        return self._database.one(sql, [pair_id, self.reviewer]) is not None

    def _judged(self, row: Row) -> Judged:
        said = (
            row["comment"],
            row["correction"],
            *stored_remarks(row),
            bool(row["flagged"]),
            bool(row["unblinded"]),
        )
        rating = Rating(row["verdict"], *said)
        return Judged(self.pair(row["pair_id"]), rating, row["rated_at"])

    def _puts_second_first(self, pair_id: int) -> bool:
        """Tell how the sides lie: at random, but the same at every call, so that nothing is stored
        before a vote.
        """
        text = f"{self._review['side_seed']}:side:{self.reviewer}:{pair_id}"
        return bool(hashlib.sha256(text.encode()).digest()[0] & 1)
