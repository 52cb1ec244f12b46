"""What leaves a review: a table that is safe to open, and rows to train on."""

import csv
import io
import json

import pytest

from core.errors import ReviewError
from review.domain.rating import make_rating
from review.exchange.export import export_review
from review.exchange.formats import EXPORT_FORMATS
from review.judging.judge import Judge
from review.store.reviews import ReviewStore


def exported(store: ReviewStore, form: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in export_review(store, "r", form).splitlines()]


def test_a_table_guards_against_spreadsheet_formulas(store: ReviewStore) -> None:
    judge = Judge(store, "r", "=cmd")
    pair = judge.next_pairs(1)[0]
    judge.rate(
        pair.id,
        make_rating("a", "=HYPERLINK(1)", "+1", b={"tags": ["repeats", "wrong fact"], "stars": 1}),
    )
    row = next(csv.DictReader(io.StringIO(export_review(store, "r", "csv"))))
    assert (row["reviewer"], row["comment"], row["correction"]) == (
        "'=cmd",
        "'=HYPERLINK(1)",
        "'+1",
    )
    assert (row["tags_a"], row["tags_b"], row["stars_b"]) == ("", "wrong fact, repeats", "1")
    assert row["winner"] == pair.a.split()[0]


def test_training_rows_follow_the_verdicts(store: ReviewStore) -> None:
    judge = Judge(store, "r", "amina")
    pairs = judge.next_pairs(4)
    for pair, verdict, correction in zip(
        pairs, ["a", "b", "tie", "both_bad"], ["", "", "", "Better."], strict=True
    ):
        judge.rate(pair.id, make_rating(verdict, correction=correction))
    dpo, kto, sft = (exported(store, form) for form in ("dpo", "kto", "sft"))
    assert [row["chosen"][0]["content"] for row in dpo] == [
        pairs[0].a,
        pairs[1].b,
        "Better.",
        "Better.",
    ]  # type: ignore[index]
    assert [row["rejected"][0]["content"] for row in dpo] == [
        pairs[0].b,
        pairs[1].a,
        pairs[3].a,
        pairs[3].b,
    ]  # type: ignore[index]
    assert [row["label"] for row in kto] == [True, False, True, False, False, False]
    assert sft == [
        {
            "messages": [
                {"role": "user", "content": pairs[3].prompt},
                {"role": "assistant", "content": "Better."},
            ]
        }
    ]
    assert all(set(row) == {"prompt", "chosen", "rejected"} for row in dpo)
    assert all(set(row) == {"prompt", "completion", "label"} for row in kto)
    assert len(exported(store, "jsonl")) == 4
    with pytest.raises(ReviewError, match="no format 'xml'"):
        export_review(store, "r", "xml")
    of_people = [name for name, one in EXPORT_FORMATS.items() if one.is_of_people]
    assert of_people == ["csv", "jsonl", "sft", "dpo", "kto"]
