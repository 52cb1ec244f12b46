"""Ratings that were given elsewhere come in: the table or the lines that ``export`` writes, or a
user's own with its columns.

Nothing that is there is ever overwritten.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from core.datasets.readers.raw import RawRow
from core.datasets.readers.read_file import read_file
from core.errors import ReviewError
from core.storage.workspace import now
from core.text import shortened
from review.domain.rating import Rating, check_fits, check_reviewer, make_rating
from review.exchange.spreadsheets import unguard
from review.store.reviews import ReviewStore
from review.store.rows import ReviewRow
from review.store.verdicts import rating_columns

_NEEDED = ("row", "reviewer", "a", "b", "verdict")
_TRUE = {"1", "true", "True", "yes"}


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a file of ratings."""

    added: int
    known: int  # by reviewers who have judged the pair here already
    refused: tuple[tuple[int, str], ...]  # row of the file, and why


def import_ratings(store: ReviewStore, name: str, path: Path) -> Imported:
    """Add a file's ratings to a review, each to the pair of its ``row`` and of its contenders ``a``
    and ``b``.

    A rating belongs to the responses that it was given for: where the file holds the texts
    (``prompt``, ``response_a``, ``response_b``), as our own exports do, they must be the pair's.
    Rows that cannot be used are told of and do not stop the others.

    Raises ReviewError when the file has not the columns row, reviewer, a, b and verdict, DataError
    when it cannot be read.
    """
    review = store.find(name)
    raw = read_file(path).rows
    fields = {key for row in raw if isinstance(row.value, Mapping) for key in row.value}
    if missing := [column for column in _NEEDED if column not in fields]:
        raise ReviewError(
            f"{path.name} has no column {', '.join(missing)}: ratings need {', '.join(_NEEDED)}."
        )
    pairs = _pairs(store, review["id"])
    added = known = 0
    refused: list[tuple[int, str]] = []
    for row in raw:
        try:
            given = _fields(row)
            is_new = _add(store, pairs, given, review)
        except ReviewError as error:
            refused.append((row.number, shortened(str(error), 300)))
            continue
        added, known = added + is_new, known + (not is_new)
    return Imported(added, known, tuple(refused))


def imported_sentence(found: Imported) -> str:
    """Say what became of the file."""
    words = f"{found.added:,} ratings added, {found.known:,} were there already, {len(found.refused):,} refused."
    if not found.refused:
        return words
    return (
        words
        + "".join(f" Row {row}: {reason}" for row, reason in found.refused[:3])
        + (" …" if len(found.refused) > 3 else "")
    )


def _fields(row: RawRow) -> dict[str, Any]:
    if not isinstance(row.value, Mapping):
        raise ReviewError(f"{row.problem or 'it is not an object with fields'}.")
    if missing := [column for column in _NEEDED if row.value.get(column) is None]:
        raise ReviewError(f"it has no {', '.join(missing)}.")
    return {
        key: unguard(value) if isinstance(value, str) else value for key, value in row.value.items()
    }


def _add(
    store: ReviewStore,
    pairs: Mapping[tuple[int, frozenset[str]], "_Found"],
    given: Mapping[str, Any],
    review: ReviewRow,
) -> bool:
    """Write one rating down, unless its reviewer has judged the pair; return whether it was new."""
    reviewer = store.known_reviewer(check_reviewer(str(given["reviewer"] or "")))
    rating = _rating(given)
    check_fits(rating, review["response_mode"])
    a, b = str(given["a"]), str(given["b"] or given["a"])
    try:
        pair = pairs[int(str(given["row"])), frozenset((a, b))]
    except (KeyError, ValueError):
        where = (
            f"{shortened(a, 64)} and {shortened(b, 64)} in row {shortened(str(given['row']), 20)}"
        )
        raise ReviewError(f"this review has no pair of {where}.") from None
    _check_same(given, pair, (a, b), review)
    sides = {"a_response_id": pair.responses[a], "b_response_id": pair.responses[b]}
    values = {"pair_id": pair.id, "reviewer": reviewer, **rating_columns(rating)}
    winner = {"a": pair.responses[a], "b": pair.responses[b]}.get(rating.verdict)
    when = _when(given.get("rated_at"))
    with store.database.transaction() as tables:
        if list(
            tables.query(
                "SELECT 1 FROM verdicts WHERE pair_id = ? AND reviewer = ?", [pair.id, reviewer]
            )
        ):
            return False
        adjudicates = int(_is_true(given.get("settles")) and _is_disputed(tables, pair.id))
        tables.table("verdicts").insert(
            {
                **values,
                **sides,
                "adjudicates": adjudicates,
                "winner_response_id": winner,
                "rated_at": when,
            }
        )
        tables.table("verdict_log").insert({**values, "action": "imported", "at": now()})
    return True


def _is_disputed(tables: Any, pair_id: int) -> bool:
    """Return whether reviewers differ on a pair here: only then a verdict of a file may settle it."""
    return bool(
        list(tables.query("SELECT 1 FROM pairs WHERE id = ? AND is_disputed = 1", [pair_id]))
    )


def _check_same(
    given: Mapping[str, Any], pair: "_Found", sides: tuple[str, str], review: ReviewRow
) -> None:
    """Raise ReviewError where a rating was given for other texts than this review's, or does not
    tell for which.
    """
    texts = {
        name: given[name]
        for name in ("prompt", "response_a", "response_b")
        if isinstance(given.get(name), str)
    }
    ours = {
        "prompt": pair.prompt,
        "response_a": pair.texts[sides[0]],
        "response_b": pair.texts[sides[1]],
    }
    if review["response_mode"] != "pairs":
        texts.pop("response_b", None)
    for name, text in texts.items():
        if _plain(text) != _plain(ours[name]):
            raise ReviewError(
                f"it was given for another text: its {name.replace('_', ' ')} is not this review's."
            )
    if not texts and given.get("review") not in (None, "", review["name"]):
        raise ReviewError(
            f"it was given in the review '{shortened(str(given['review']), 64)}', and holds no "
            "text to tell if it fits here."
        )


def _plain(text: str) -> str:
    """Return a text without what a table on its way may change: line ends, and blanks around it."""
    return text.replace("\r\n", "\n").replace("\x00", "").strip()


def _when(value: object) -> str:
    """Return a time as our own are written; ours where none is given.

    Raises ReviewError for what is no time.
    """
    if not value:
        return now()
    try:
        when = datetime.fromisoformat(str(value)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ReviewError(
            f"'{shortened(str(value), 40)}' is no time: write rated_at as "
            "2026-01-31T12:00:00+00:00."
        ) from None
    if when > datetime.now(UTC) + timedelta(days=1):
        raise ReviewError(f"'{shortened(str(value), 40)}' lies in the future: mend rated_at.")
    return when.isoformat(timespec="microseconds")


def _rating(given: Mapping[str, Any]) -> Rating:
    a, b = (
        {"stars": _stars(given.get(f"stars_{side}")), "tags": _tags(given.get(f"tags_{side}"))}
        for side in "ab"
    )
    # as exports name them
    marks = {"flagged": _is_true(given.get("flagged")), "unblinded": _is_true(given.get("knew"))}
    texts = [given.get(field) or "" for field in ("comment", "correction")]
    return make_rating(given["verdict"], *texts, a=a, b=b, **marks)


def _is_true(value: object) -> bool:
    return str(value).strip() in _TRUE


def _stars(value: object) -> object:
    is_short = isinstance(value, str) and value.strip().isdecimal() and len(value.strip()) < 5
    return int(str(value)) if is_short else value or None


def _tags(value: object) -> Sequence[object]:
    if isinstance(value, str):
        return [tag.strip() for tag in value.split(",") if tag.strip()]
    return value if isinstance(value, list) else []


@dataclass(frozen=True, slots=True)
class _Found:
    """A pair of the review that a rating may be for."""

    id: int
    prompt: str
    responses: Mapping[str, int]  # by contender
    texts: Mapping[str, str]


def _pairs(store: ReviewStore, review_id: int) -> dict[tuple[int, frozenset[str]], _Found]:
    """Return every pair by its row and contenders."""
    rows = store.database.query("SELECT * FROM pair_sides WHERE review_id = ?", [review_id])
    return {
        (row["data_row"], frozenset((row["first_contender"], row["second_contender"]))): _Found(
            row["pair_id"],
            row["prompt"],
            {
                row["first_contender"]: row["first_response_id"],
                row["second_contender"]: row["second_response_id"],
            },
            {
                row["first_contender"]: row["first_text"],
                row["second_contender"]: row["second_text"],
            },
        )
        for row in rows
    }
