"""Ratings that were given elsewhere come in: the table or the lines that ``export`` writes, or a person's own with its columns.

Nothing that is there is ever overwritten.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core.data.files import RawRow, read_file
from core.errors import ReviewError
from core.storage.workspace import now
from review.rating import Rating, check_fits, check_reviewer, make_rating
from review.store import ReviewStore
from review.votes import rating_columns

_NEEDED = ("row", "reviewer", "a", "b", "verdict")
_TRUE = {"1", "true", "True", "yes"}


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a file of ratings."""

    added: int
    known: int  # by reviewers who have judged the pair here already
    refused: tuple[tuple[int, str], ...]  # row of the file, and why


def import_ratings(store: ReviewStore, name: str, path: Path) -> Imported:
    """Add a file's ratings to a review, each to the pair of its ``row`` and of its contenders ``a`` and ``b``.

    Rows that cannot be used are told of and do not stop the others. Raises ReviewError when the file has not the columns
    row, reviewer, a, b and verdict, DataError when it cannot be read.
    """
    review = store.find(name)
    raw = read_file(path).rows
    fields = {key for row in raw if isinstance(row.value, Mapping) for key in row.value}
    if missing := [column for column in _NEEDED if column not in fields]:
        raise ReviewError(f"{path.name} has no column {', '.join(missing)}: ratings need {', '.join(_NEEDED)}.")
    pairs = _pairs(store, review["id"])
    added = known = 0
    refused: list[tuple[int, str]] = []
    for row in raw:
        try:
            given = _fields(row)
            is_new = _add(store, pairs, given, review["answers"])
        except ReviewError as error:
            refused.append((row.number, str(error)))
            continue
        added, known = added + is_new, known + (not is_new)
    return Imported(added, known, tuple(refused))


def imported_sentence(found: Imported) -> str:
    """Say what became of the file."""
    words = f"{found.added:,} ratings added, {found.known:,} were there already, {len(found.refused):,} refused."
    if not found.refused:
        return words
    return (
        words + "".join(f" Row {row}: {reason}" for row, reason in found.refused[:3]) + (" …" if len(found.refused) > 3 else "")
    )


def _fields(row: RawRow) -> dict[str, Any]:
    if not isinstance(row.value, Mapping):
        raise ReviewError(f"{row.problem or 'it is not an object with fields'}.")
    if missing := [column for column in _NEEDED if row.value.get(column) is None]:
        raise ReviewError(f"it has no {', '.join(missing)}.")
    return {key: _unguarded(value) for key, value in row.value.items()}


def _unguarded(value: object) -> object:
    """Take off the apostrophe that our tables put before what a spreadsheet would run."""
    return value[1:] if isinstance(value, str) and value[:1] == "'" and value[1:2] in tuple("=+-@\t\r") else value


def _add(
    store: ReviewStore, pairs: Mapping[tuple[int, frozenset[str]], Mapping[str, int]], given: Mapping[str, Any], answers: str
) -> bool:
    """Write one rating down, unless its reviewer has judged the pair; tell whether it was new."""
    reviewer = check_reviewer(str(given["reviewer"] or ""))
    rating = _rating(given)
    check_fits(rating, answers)
    a, b = str(given["a"]), str(given["b"] or given["a"])
    try:
        pair = pairs[int(str(given["row"])), frozenset((a, b))]
    except (KeyError, ValueError):
        raise ReviewError(f"this review has no pair of {a} and {b} in row {given['row']}.") from None
    sides = {"a_response_id": pair[a], "b_response_id": pair[b]}
    values = {"pair_id": pair["\0pair"], "reviewer": reviewer, **rating_columns(rating)}
    settles = int(str(given.get("settles", "")) in _TRUE)
    winner = {"a": pair[a], "b": pair[b]}.get(rating.verdict)
    when = _when(given.get("rated_at"))
    with store.database.transaction() as tables:
        asked = [values["pair_id"], reviewer]
        if list(tables.query("SELECT 1 FROM verdicts WHERE pair_id = ? AND reviewer = ?", asked)):
            return False
        tables.table("verdicts").insert({**values, **sides, "settles": settles, "winner_response_id": winner, "rated_at": when})
        tables.table("verdict_log").insert({**values, "action": "imported", "at": now()})
    return True


def _when(value: object) -> str:
    """Return a time as our own are written; ours where none is given. Raises ReviewError for what is no time."""
    if not value:
        return now()
    try:
        return datetime.fromisoformat(str(value)).astimezone(UTC).isoformat(timespec="microseconds")
    except ValueError:
        raise ReviewError(f"'{value}' is no time: write rated_at as 2026-01-31T12:00:00+00:00.") from None


def _rating(given: Mapping[str, Any]) -> Rating:
    a, b = ({"stars": _stars(given.get(f"stars_{side}")), "tags": _tags(given.get(f"tags_{side}"))} for side in "ab")
    marks = {mark: str(given.get(mark, "")) in _TRUE for mark in ("flagged", "knew")}
    texts = [given.get(field) or "" for field in ("comment", "correction")]
    return make_rating(given["verdict"], *texts, a=a, b=b, **marks)


def _stars(value: object) -> object:
    return int(value) if isinstance(value, str) and value.strip().isdecimal() else value or None


def _tags(value: object) -> Sequence[object]:
    if isinstance(value, str):
        return [tag.strip() for tag in value.split(",") if tag.strip()]
    return value if isinstance(value, list) else []


def _pairs(store: ReviewStore, review_id: int) -> dict[tuple[int, frozenset[str]], dict[str, int]]:
    """Return the responses of every pair by contender, and the pair itself, by row and contenders."""
    rows = store.database.query(
        """SELECT pairs.id, data_row, one.name AS one, two.name AS two, first_response_id, second_response_id FROM pairs
           JOIN prompts ON prompts.id = pairs.prompt_id
           JOIN responses a ON a.id = first_response_id JOIN contenders one ON one.id = a.contender_id
           JOIN responses b ON b.id = second_response_id JOIN contenders two ON two.id = b.contender_id
           WHERE pairs.review_id = ?""",
        [review_id],
    )
    return {
        (row["data_row"], frozenset((row["one"], row["two"]))): {
            row["one"]: row["first_response_id"], row["two"]: row["second_response_id"], "\0pair": row["id"],
        }
        for row in rows
    }  # fmt: skip
