"""Ratings leave the workspace: as a table, as lines, and as training rows that TRL reads.

Knows SQLite, no screen. Shapes of TRL 1.16: SFT ``{messages}``, DPO ``{prompt, chosen, rejected}``,
KTO ``{prompt, completion, label}``, all conversational. Training rows do not contradict each other:
of every two texts that answer a prompt, and of every text by itself, they say what most verdicts
say, and nothing where as many say the contrary.
"""

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import pairwise

from core.datasets.conversation import Turn, turn_text
from core.errors import ReviewError
from review.exchange.formats import EXPORT_FORMATS
from review.exchange.spreadsheets import guard
from review.store.reviews import ReviewStore
from review.store.rows import Row

_COLUMNS = (
    "review",
    "row",
    "reviewer",
    "verdict",
    "winner",
    "a",
    "b",
    "prompt",
    "expected",
    "response_a",
    "response_b",
    "tags_a",
    "tags_b",
    "stars_a",
    "stars_b",
    "comment",
    "correction",
    "flagged",
    "knew",
    "settles",
    "rated_at",
)
# a single response with so many or more is a good example, with so few or fewer a bad one
_GOOD_STARS, _BAD_STARS = (4, 2)
_TAG_COLUMNS = ("tags_a", "tags_b")
_RESPONSES = ("response_a", "response_b")


def export_review(store: ReviewStore, name: str, form: str) -> str:
    """Return a review's ratings as the text of a file.

    Raises ReviewError for an unknown review or format.
    """
    found = EXPORT_FORMATS.get(form)
    if found is None or not found.is_of_people:
        known = (name for name, one in EXPORT_FORMATS.items() if one.is_of_people)
        raise ReviewError(f"There is no format '{form}': use {', '.join(known)}.")
    ratings = _ratings(store, name)
    if form == "csv":
        return _as_csv(ratings)
    if found.is_for_training:  # what was said in several rounds is no answer to one prompt
        settled = {rating["pair_id"] for rating in ratings if rating["settles"]}
        ratings = [
            rating for rating in ratings if _is_one_round(rating) and _counts(rating, settled)
        ]
    rows = [json.dumps(row, ensure_ascii=False) + "\n" for row in _WRITERS[form](ratings)]
    if found.is_for_training and not rows:
        raise ReviewError(
            f"Nothing in the review '{name}' makes {form.upper()} rows yet: {found.nothing}."
        )
    return "".join(rows)


def _counts(rating: Row, settled: Collection[int]) -> bool:
    """Return whether the result counts a rating: it was blind, and no later one settles its pair."""
    return not rating["knew"] and (bool(rating["settles"]) or rating["pair_id"] not in settled)


def _is_one_round(rating: Row) -> bool:
    roles = [turn["role"] for turn in json.loads(rating["turns"])]
    return all(one != other for one, other in pairwise(roles))


def _ratings(store: ReviewStore, name: str) -> list[Row]:
    review = store.find(name)
    ratings = store.database.query(
        """SELECT :name AS review, data_row AS row, reviewer, verdict,
                  CASE verdict WHEN 'a' THEN a_contender WHEN 'b' THEN b_contender
                               ELSE verdict END AS winner,
                  a_contender AS a, b_contender AS b, prompt, expected,
                  a_text AS response_a, b_text AS response_b, a_tags AS tags_a, b_tags AS tags_b,
                  a_stars AS stars_a, b_stars AS stars_b, comment, correction, flagged,
                  unblinded AS knew, adjudicates AS settles, rated_at, pair_id, turns
           FROM verdict_sides WHERE review_id = :review ORDER BY id""",
        {"name": review["name"], "review": review["id"]},
    )
    if review["response_mode"] != "pairs":
        ratings = [
            rating | {"b": "", "response_b": "", "tags_b": "[]", "stars_b": None, "winner": ""}
            for rating in ratings
        ]
    return ratings


def _as_csv(ratings: list[Row]) -> str:
    text = io.StringIO("\ufeff")  # a spreadsheet reads UTF-8 where it begins so
    text.seek(0, io.SEEK_END)
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(_COLUMNS)
    for rating in ratings:
        writer.writerow([_cell(rating, column) for column in _COLUMNS])
    return text.getvalue()


def _cell(rating: Row, column: str) -> object:
    value = rating[column]
    if column in _TAG_COLUMNS:
        value = ", ".join(json.loads(value))
    return guard(value) if isinstance(value, str) else value


def _lines(ratings: Sequence[Row]) -> Iterator[Row]:
    for rating in ratings:
        yield {
            column: json.loads(rating[column]) if column in _TAG_COLUMNS else rating[column]
            for column in _COLUMNS
        }


def _sft(ratings: Sequence[Row]) -> Iterator[Row]:
    """Yield the corrections, each once."""
    for prompt, corrected in dict.fromkeys(
        _correction(one) for one in ratings if one["correction"]
    ):
        yield {"messages": [*json.loads(prompt), _answer(corrected)]}


def _dpo(ratings: Sequence[Row]) -> Iterator[Row]:
    """Yield one row for every two texts of a prompt of which one is preferred, and for every text
    that was corrected.
    """
    preferred: Counter[tuple[str, str, str]] = Counter()
    for rating in ratings:
        chosen, rejected = _sides(rating)
        if chosen is not None and rejected:
            preferred[_prompt_key(rating), chosen, rejected[0]] += 1
    for (prompt, better, worse), count in preferred.items():
        if better != worse and count > preferred[prompt, worse, better]:
            yield {
                "prompt": json.loads(prompt),
                "chosen": [_answer(better)],
                "rejected": [_answer(worse)],
            }
    corrections = {_correction(one) for one in ratings if one["correction"]}
    corrected = [
        (*_correction(one), one[side].strip())
        for one in ratings
        if one["correction"]
        for side in _RESPONSES
    ]
    for prompt, better, worse in dict.fromkeys(corrected):
        # what one person corrected another may have written so
        if worse and (prompt, worse) not in corrections:
            yield {
                "prompt": json.loads(prompt),
                "chosen": [_answer(better)],
                "rejected": [_answer(worse)],
            }


def _kto(ratings: Sequence[Row]) -> Iterator[Row]:
    """Yield every text once, as good or bad, whichever more verdicts say."""
    said: dict[tuple[str, str], int] = {}
    for rating in ratings:
        chosen, rejected = _sides(rating)
        if chosen is not None:
            said[_prompt_key(rating), chosen] = said.get((_prompt_key(rating), chosen), 0) + 1
        for worse in rejected:
            said[_prompt_key(rating), worse] = said.get((_prompt_key(rating), worse), 0) - 1
    for (prompt, text), balance in said.items():
        if balance:
            yield {
                "prompt": json.loads(prompt),
                "completion": [_answer(text)],
                "label": balance > 0,
            }


def _sides(rating: Row) -> tuple[str | None, list[str]]:
    """Return the better response, if any, and the worse ones: none for a tie, two when both are
    bad.
    """
    a, b = (rating[side].strip() for side in _RESPONSES)
    outcomes: dict[str, tuple[str | None, list[str]]] = {
        "a": (a, [b]),
        "b": (b, [a]),
        "tie": (None, []),
        "both_bad": (None, [a, b]),
        "pass": (a, []),
        "fail": (None, [a]),
        "stars": (
            a if (rating["stars_a"] or 0) >= _GOOD_STARS else None,
            [a] if (rating["stars_a"] or 0) <= _BAD_STARS else [],
        ),
    }
    return outcomes[rating["verdict"]]


def _prompt_key(rating: Row) -> str:
    """Return a prompt's turns as JSON, by which verdicts on one prompt are put together."""
    turns = [Turn(**turn) for turn in json.loads(rating["turns"])]
    return json.dumps(
        [{"role": turn.role, "content": turn_text(turn, named=False)} for turn in turns],
        ensure_ascii=False,
    )


def _correction(rating: Row) -> tuple[str, str]:
    """Return a prompt's key and the answer that somebody wrote in place of what was answered."""
    return _prompt_key(rating), rating["correction"].strip()


def _answer(text: str) -> Row:
    return {"role": "assistant", "content": text}


_WRITERS: dict[str, Callable[[Sequence[Row]], Iterator[Row]]] = {
    "jsonl": _lines,
    "sft": _sft,
    "dpo": _dpo,
    "kto": _kto,
}
