"""Ratings that come in from a file, and the report that is taken away."""

import json
from pathlib import Path

import pytest

from core.errors import ReviewError
from core.storage.workspace import Workspace
from review.domain.rating import make_rating
from review.exchange.export import export_review
from review.exchange.import_ratings import Imported, import_ratings, imported_sentence
from review.judging.judge import Judge
from review.results.report import report_review
from review.store.reviews import ReviewStore
from tests.reviews import write_review
from ui.results.review_report import write_result

TEXTS = {"base": "base {prompt}", "tuned": "tuned {prompt}"}


def judged(folder: Path, file: Path) -> ReviewStore:
    store = write_review(Workspace(folder), file, TEXTS, 8)
    for person in ("amina", "=juma"):
        judge = Judge(store, "r", person)
        for number, pair in enumerate(judge.next_pairs(8)):
            said = {"stars": 1 + number % 5, "tags": ["repeats", "too long"]}
            verdict = ("a", "b", "tie", "both_bad")[number % 4]
            judge.rate(
                pair.id,
                make_rating(
                    verdict, "=why", "+better", a=said, flagged=number == 1, unblinded=number == 2
                ),
            )
    return store


@pytest.mark.parametrize(("form", "name"), [("csv", "out.csv"), ("jsonl", "out.jsonl")])
def test_what_is_exported_comes_in_elsewhere_unchanged(
    tmp_path: Path, small_file: Path, form: str, name: str
) -> None:
    first = judged(tmp_path / "one", small_file)
    file = tmp_path / name
    file.write_text(export_review(first, "r", form), newline="")
    second = write_review(Workspace(tmp_path / "two"), small_file, TEXTS, 8)
    assert import_ratings(second, "r", file) == Imported(16, 0, ())
    assert export_review(second, "r", "jsonl") == export_review(first, "r", "jsonl")
    assert report_review(second, "r").matches == report_review(first, "r").matches
    assert import_ratings(second, "r", file) == Imported(0, 16, ())
    assert second.people("r")["ratings"] == 16
    log = second.database.query("SELECT DISTINCT action FROM verdict_log")
    assert log == [{"action": "imported"}]
    assert Judge(second, "r", "amina").undo().id  # is one's own like any other


def test_an_imported_verdict_can_be_changed_and_taken_back_whatever_the_sides_here(
    tmp_path: Path, small_file: Path
) -> None:
    first = write_review(Workspace(tmp_path / "one"), small_file, TEXTS, 16)
    judge = Judge(first, "r", "amina")
    for pair in judge.next_pairs(16):
        judge.rate(pair.id, make_rating("a" if pair.a.startswith("base") else "b"))
    file = tmp_path / "out.csv"
    file.write_text(export_review(first, "r", "csv"), newline="")
    second = write_review(Workspace(tmp_path / "two"), small_file, TEXTS, 16)
    import_ratings(second, "r", file)
    judge = Judge(second, "r", "amina")
    for number in range(1, 17):
        given = judge.judged(number)
        assert getattr(given.pair, given.rating.verdict).startswith("base")
        judge.rate(number, make_rating("tie"))
    assert report_review(second, "r").matches[0].ties == 16
    for _ in range(16):
        judge.undo()
    assert report_review(second, "r").matches[0].wins == 16


def test_what_was_imported_is_taken_back_after_all_that_was_judged_here(
    tmp_path: Path, small_file: Path
) -> None:
    first = write_review(Workspace(tmp_path / "one"), small_file, TEXTS, 3)
    imported = next(pair for pair in Judge(first, "r", "amina").next_pairs(3) if pair.row == 3)
    Judge(first, "r", "amina").rate(imported.id, make_rating("a"))
    file = tmp_path / "out.csv"
    file.write_text(export_review(first, "r", "csv"), newline="")
    second = write_review(Workspace(tmp_path / "two"), small_file, TEXTS, 3)
    judge = Judge(second, "r", "amina")
    own = next(pair for pair in judge.next_pairs(3) if pair.row == 1)
    judge.rate(own.id, make_rating("a"))
    import_ratings(second, "r", file)
    assert [judge.undo().row for _ in range(2)] == [1, 3]
    with pytest.raises(ReviewError, match="nothing to undo"):
        judge.undo()


def test_bad_rows_are_told_of_and_stop_no_others(
    workspace: Workspace, small_file: Path, tmp_path: Path
) -> None:
    store = write_review(workspace, small_file, TEXTS, 3)
    good = {"row": 1, "reviewer": "amina", "a": "tuned", "b": "base", "verdict": "a"}
    rows = [
        good,
        good | {"row": 9},
        good | {"b": "other"},
        good | {"verdict": "better"},
        good | {"row": 2, "reviewer": " "},
        good | {"row": 3, "stars_a": 9},
        good | {"row": "x"},
        good | {"row": 2, "verdict": "both_bad"},
        {"row": 3, "reviewer": "juma"},
        good | {"row": 3, "rated_at": "yesterday"},
        good | {"row": 3, "stars_a": "²"},
    ]
    file = tmp_path / "ratings.json"
    file.write_text(json.dumps(rows))
    found = import_ratings(store, "r", file)
    assert (found.added, found.known, [row for row, _ in found.refused]) == (
        2,
        0,
        [2, 3, 4, 5, 6, 7, 9, 10, 11],
    )
    assert (
        "2 ratings added, 0 were there already, 9 refused. Row 2: this review has no pair of "
        "tuned and base in row 9." in (imported_sentence(found))
    )
    [first] = store.database.query(
        "SELECT verdict, winner_response_id = a_response_id AS is_a FROM verdicts WHERE verdict "
        "= 'a'"
    )
    assert first["is_a"] == 1
    assert report_review(store, "r").matches[0].losses == 1  # base lost


def test_a_file_that_holds_no_ratings_gets_one_sentence(
    workspace: Workspace, small_file: Path, tmp_path: Path
) -> None:
    store = write_review(workspace, small_file, TEXTS, 3)
    file = tmp_path / "x.csv"
    file.write_text("row,reviewer\n1,amina\n")
    with pytest.raises(
        ReviewError, match="has no column a, b, verdict: ratings need row, reviewer"
    ):
        import_ratings(store, "r", file)


def test_the_report_holds_the_result_and_asks_no_other_host(
    tmp_path: Path, small_file: Path
) -> None:
    store = judged(tmp_path / "one", small_file)
    with store.database.transaction() as tables:
        tables.execute("UPDATE reviews SET rubric_name = 'True <b>', rubric = 'first'")
    page = str(write_result(store, "r"))
    assert (
        page.startswith("<!doctype html>")
        and "base against tuned" in page
        and "Rubric: True &lt;b&gt;" in page
    )
    assert "SHA-256" in page and "everybody" in page and "<svg" in page
    assert not any(asks in page for asks in ("<link", "<script", 'src="', "url(", "@import"))
