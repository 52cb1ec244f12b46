"""What a reviewer says of a pair, checked where it comes in. Knows no table and no screen."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast, get_args
from unicodedata import normalize

from core.errors import ReviewError
from core.text import has_half_character, shortened

Verdict = Literal["a", "b", "tie", "both_bad", "pass", "fail", "stars"]
VERDICTS: tuple[str, ...] = get_args(Verdict)
ResponseMode = Literal["pairs", "pass", "stars"]
ALLOWED: dict[str, tuple[str, ...]] = {  # by what a review judges
    "pairs": ("a", "b", "tie", "both_bad"),
    "pass": ("pass", "fail"),
    "stars": ("stars",),
}
TAGS = (
    "wrong fact",
    "ignores the instruction",
    "bad format",
    "incomplete",
    "repeats",
    "unsafe",
    "too long",
    "made up",
)
MOST_STARS = 5
_LONGEST_TEXT = 100_000
_LONGEST_NAME = 64


@dataclass(frozen=True, slots=True)
class Remarks:
    """What a reviewer says of one response by itself; none of it is asked for."""

    stars: int | None = None  # 1 to MOST_STARS
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rating:
    """What a reviewer says of a pair."""

    verdict: Verdict
    comment: str = ""
    correction: str = ""
    a: Remarks = Remarks()
    b: Remarks = Remarks()
    flagged: bool = False  # somebody should look at this pair again
    # the reviewer could tell which contender is which: the verdict is not blind
    unblinded: bool = False


def make_rating(
    verdict: object, comment: object = "", correction: object = "", **said: object
) -> Rating:
    """Check what came from outside and return it as a Rating.

    ``said`` may hold ``a`` and ``b``, each ``{stars, tags}`` or None, and ``flagged`` and ``knew``;
    other things are not read. Raises ReviewError naming what is wrong.
    """
    if verdict not in VERDICTS:
        raise ReviewError(f"The verdict must be one of {', '.join(VERDICTS)}.")
    if (
        not isinstance(comment, str)
        or not isinstance(correction, str)
        or max(len(comment), len(correction)) > _LONGEST_TEXT
    ):
        raise ReviewError(
            f"Comment and correction must be text of at most {_LONGEST_TEXT:,} characters."
        )
    if has_half_character(comment + correction):
        raise ReviewError(
            "Comment and correction must be whole characters: one of them has half of one (a "
            "lone surrogate)."
        )
    a, b = (_make_remarks(said.get(side)) for side in "ab")
    flagged, unblinded = (said.get(mark) is True for mark in ("flagged", "unblinded"))
    return Rating(
        cast("Verdict", verdict), comment.strip(), correction.strip(), a, b, flagged, unblinded
    )


def check_fits(rating: Rating, response_mode: str) -> None:
    """Raise ReviewError when a rating is not of the kind that a review asks for."""
    if rating.verdict not in ALLOWED[response_mode]:
        raise ReviewError(
            f"The verdict must be one of {', '.join(ALLOWED[response_mode])} in this review."
        )
    if rating.verdict == "stars" and rating.a.stars is None:
        raise ReviewError(f"Give the response 1 to {MOST_STARS} stars.")


def check_reviewer(name: str) -> str:
    """Return a reviewer's name without outer space.

    Raises ReviewError when it is empty or too long.
    """
    name = normalize("NFC", " ".join(name.split())) if not has_half_character(name) else ""
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise ReviewError(f"A reviewer needs a name of 1 to {_LONGEST_NAME} characters.")
    return name


def _make_remarks(given: object) -> Remarks:
    if given is None:
        return Remarks()
    if not isinstance(given, Mapping):
        raise ReviewError("What is said of one response must be its stars and its tags.")
    stars, tags = given.get("stars"), given.get("tags") or ()
    if stars is not None and (
        isinstance(stars, bool) or not isinstance(stars, int) or not 1 <= stars <= MOST_STARS
    ):
        raise ReviewError(f"Stars must be a whole number from 1 to {MOST_STARS}.")
    if not isinstance(tags, list | tuple):
        raise ReviewError("Tags must be a list.")
    unknown = [tag for tag in tags if tag not in TAGS]
    if unknown:
        raise ReviewError(
            f"There is no tag {shortened(str(unknown[0]), 40)!r}: use {', '.join(TAGS)}."
        )
    return Remarks(stars, tuple(tag for tag in TAGS if tag in tags))
