"""Which pair next, verdicts, undo. A verdict that was returned from here is on disk."""

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from sqlite_utils import Database as SqliteUtils

from core.errors import ReviewError
from core.storage.workspace import now
from review.order import Walk
from review.store import ReviewStore, Row

Verdict = Literal["a", "b", "tie", "both_bad"]
VERDICTS: tuple[str, ...] = get_args(Verdict)
TAGS = ("wrong fact", "ignores the instruction", "bad format", "incomplete", "repeats", "unsafe", "too long", "made up")
_LOGGED = ("pair_id", "verdict", "tags", "comment", "correction", "flagged", "knew")
_LONGEST_TEXT = 100_000
_LONGEST_NAME = 64


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

    def winner(self, verdict: str) -> int | None:
        """Return the response that a verdict is for; None for a tie and for both bad."""
        return {"a": self.a_response_id, "b": self.b_response_id}.get(verdict)


@dataclass(frozen=True, slots=True)
class Rating:
    """What a reviewer says of a pair."""

    verdict: Verdict
    tags: tuple[str, ...] = ()
    comment: str = ""
    correction: str = ""
    flagged: bool = False  # somebody should look at this pair again
    knew: bool = False  # the reviewer could tell which contender is which: the verdict is not blind


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict that a reviewer has given, as they may look at it again."""

    pair: Pair
    rating: Rating
    rated_at: str


class Judge:
    """One reviewer's way through one review."""

    def __init__(self, store: ReviewStore, review: str, reviewer: str) -> None:
        """Open a review for a reviewer. Raises ReviewError when there is no such review or no name."""
        self.reviewer = check_reviewer(reviewer)
        self._database = store.database
        self._review = store.find(review)
        self._walk = Walk(self._database, self._review, self.reviewer)
        if self._review["state"] == "generating":
            raise ReviewError(f"The review '{review}' has not all its responses yet: wait for them, or continue it.")

    def progress(self) -> tuple[int, int]:
        """Return how many pairs this reviewer has judged, and that and how many more there may be for them."""
        return self._walk.progress()

    def next_pairs(self, count: int, passed_over: Collection[int] = (), shown: Collection[int] = ()) -> list[Pair]:
        """Return the next unjudged pairs in this reviewer's own order, without those ``shown``, those passed over last."""
        return [self.pair(pair_id) for pair_id in self._walk.next_ids(count, passed_over, shown)]

    def pair(self, pair_id: int) -> Pair:
        """Return one pair with the sides as this reviewer sees them. Raises ReviewError when it is not of this review."""
        row = self._database.one(
            """SELECT pairs.id, data_row, prompt, expected, one.text AS first_text, two.text AS second_text,
                      first_response_id, second_response_id
               FROM pairs JOIN prompts ON prompts.id = pairs.prompt_id
               JOIN responses one ON one.id = first_response_id JOIN responses two ON two.id = second_response_id
               WHERE pairs.id = ? AND pairs.review_id = ?""",
            [pair_id, self._review["id"]],
        )
        if row is None:
            raise ReviewError(f"The review '{self._review['name']}' has no pair {pair_id}.")
        sides = [(row["first_text"], row["first_response_id"]), (row["second_text"], row["second_response_id"])]
        if self._puts_second_first(pair_id):
            sides.reverse()
        (a, a_id), (b, b_id) = sides
        return Pair(row["id"], row["data_row"], row["prompt"], row["expected"], a, b, a_id, b_id)

    def rate(self, pair_id: int, rating: Rating) -> int:
        """Write a rating down, replacing this reviewer's earlier one of the pair, and return its id."""
        pair = self.pair(pair_id)
        values: Row = {
            "pair_id": pair_id,
            "reviewer": self.reviewer,
            "verdict": rating.verdict,
            "a_response_id": pair.a_response_id,
            "b_response_id": pair.b_response_id,
            "winner_response_id": pair.winner(rating.verdict),
            "tags": json.dumps(rating.tags),
            "comment": rating.comment,
            "correction": rating.correction,
            "flagged": int(rating.flagged),
            "knew": int(rating.knew),
            "rated_at": now(),
        }
        with self._database.transaction() as tables:
            earlier = list(tables.table("verdicts").rows_where("pair_id = ? AND reviewer = ?", [pair_id, self.reviewer]))
            self._log(tables, "changed" if earlier else "rated", values)
            if earlier:
                tables.table("verdicts").update(earlier[0]["id"], values)
                return int(earlier[0]["id"])
            saved = int(cast("int", tables.table("verdicts").insert(values).last_pk))
            self._walk.note(tables, pair_id, judged=True)
            return saved

    def history(self, count: int, before: int = 0) -> list[Judged]:
        """Return this reviewer's latest verdicts, the last one first; of those given ``before`` a pair's where it is named."""
        rows = self._database.query(
            """SELECT verdicts.* FROM verdicts JOIN pairs ON pairs.id = pair_id
               WHERE review_id = :review AND reviewer = :reviewer AND (:before = 0 OR (rated_at, verdicts.id) <
                     (SELECT rated_at, id FROM verdicts WHERE pair_id = :before AND reviewer = :reviewer))
               ORDER BY rated_at DESC, verdicts.id DESC LIMIT :count""",
            {"review": self._review["id"], "reviewer": self.reviewer, "before": before, "count": count},
        )
        return [self._judged(row) for row in rows]

    def judged(self, pair_id: int) -> Judged:
        """Return this reviewer's verdict on a pair. Raises ReviewError when there is none."""
        row = self._database.one("SELECT * FROM verdicts WHERE pair_id = ? AND reviewer = ?", [pair_id, self.reviewer])
        if row is None:
            raise ReviewError(f"You have not judged pair {pair_id}.")
        return self._judged(row)

    def undo(self) -> Pair:
        """Take back what this reviewer did last, a rating or its change, and return the pair.

        After a change the rating is again what it was before. Raises ReviewError when there is nothing to take back.
        """
        with self._database.transaction() as tables:
            last = next(
                tables.query(
                    """SELECT verdicts.* FROM verdicts JOIN pairs ON pairs.id = pair_id
                       WHERE review_id = ? AND reviewer = ? ORDER BY rated_at DESC, verdicts.id DESC LIMIT 1""",
                    [self._review["id"], self.reviewer],
                ),
                None,
            )
            if last is None:
                raise ReviewError("There is nothing to undo.")
            former = self._before_change(tables, last["pair_id"])
            self._log(tables, "undone", last)
            if former is None:
                tables.table("verdicts").delete(last["id"])
                self._walk.note(tables, last["pair_id"], judged=False)
            else:
                tables.table("verdicts").update(last["id"], former)
        return self.pair(last["pair_id"])

    def _before_change(self, tables: SqliteUtils, pair_id: int) -> Row | None:
        """Return what a verdict was before it was changed for the last time, by the log; None when it is as first given."""
        given: list[Row] = []
        sql = "SELECT * FROM verdict_log WHERE pair_id = ? AND reviewer = ? ORDER BY id"
        for logged in tables.query(sql, [pair_id, self.reviewer]):
            if logged["action"] == "undone":
                given.pop()
            else:
                given.append(logged)
        if len(given) < 2:
            return None
        former = given[-2]
        winner = self.pair(pair_id).winner(former["verdict"])
        return {name: former[name] for name in _LOGGED} | {"winner_response_id": winner, "rated_at": former["at"]}

    def _judged(self, row: Row) -> Judged:
        rating = Rating(
            row["verdict"], tuple(json.loads(row["tags"])), row["comment"], row["correction"],
            bool(row["flagged"]), bool(row["knew"]),
        )  # fmt: skip
        return Judged(self.pair(row["pair_id"]), rating, row["rated_at"])

    def _log(self, tables: Any, action: str, values: Row) -> None:
        logged = {name: values[name] for name in _LOGGED}
        tables.table("verdict_log").insert({**logged, "reviewer": self.reviewer, "action": action, "at": now()})

    def _puts_second_first(self, pair_id: int) -> bool:
        """Tell how the sides lie: at random, but the same at every call, so that nothing is stored before a vote."""
        text = f"{self._review['side_seed']}:side:{self.reviewer}:{pair_id}"
        return bool(hashlib.sha256(text.encode()).digest()[0] & 1)


def make_rating(
    verdict: object,
    tags: Sequence[object] = (),
    comment: object = "",
    correction: object = "",
    *,
    flagged: object = False,
    knew: object = False,
) -> Rating:
    """Check what came from outside and return it as a Rating. Raises ReviewError naming what is wrong."""
    if verdict not in VERDICTS:
        raise ReviewError(f"The verdict must be one of {', '.join(VERDICTS)}.")
    if not isinstance(comment, str) or not isinstance(correction, str) or max(len(comment), len(correction)) > _LONGEST_TEXT:
        raise ReviewError(f"Comment and correction must be text of at most {_LONGEST_TEXT:,} characters.")
    unknown = [tag for tag in tags if tag not in TAGS]
    if unknown:
        raise ReviewError(f"There is no tag {unknown[0]!r}: use {', '.join(TAGS)}.")
    chosen = tuple(str(tag) for tag in TAGS if tag in tags)
    return Rating(cast("Verdict", verdict), chosen, comment.strip(), correction.strip(), flagged is True, knew is True)


def check_reviewer(name: str) -> str:
    """Return a reviewer's name without outer space. Raises ReviewError when it is empty or too long."""
    name = " ".join(name.split())
    if not name or len(name) > _LONGEST_NAME:
        raise ReviewError(f"A reviewer needs a name of 1 to {_LONGEST_NAME} characters.")
    return name
