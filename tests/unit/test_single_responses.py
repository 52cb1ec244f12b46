"""Single responses that pass or fail or have stars: the same storage, no sides, a result of their
own.
"""

import csv
import io
import json
from pathlib import Path

import pytest

from core.errors import ReviewError
from core.storage.workspace import Workspace
from review.domain.rating import make_rating
from review.exchange.export import export_review
from review.exchange.import_ratings import Imported, import_ratings
from review.judging.judge import Judge
from review.results.drilldown import disputed_pairs
from review.results.report import report_review
from review.results.single_responses import report_singles
from review.results.text import singles_object, singles_text
from review.statistics.intervals import wilson_interval
from review.store.reviews import ReviewStore
from tests.reviews import write_review
from ui.results.review_report import write_result
from ui.results.views import singles_markup
from ui.review.judge.api import pair_object

TEXTS = {"base": "base {prompt}", "tuned": "tuned {prompt}"}


def single_review(workspace: Workspace, file: Path, answers: str, rows: int = 12) -> ReviewStore:
    return write_review(workspace, file, TEXTS, rows, response_mode=answers)


def test_each_response_is_judged_by_itself_and_passes_or_fails(
    workspace: Workspace, small_file: Path
) -> None:
    store = single_review(workspace, small_file, "pass")
    for person in ("amina", "juma"):
        judge, seen = Judge(store, "r", person), 0
        assert judge.progress() == (0, 24)
        while pairs := judge.next_pairs(1, repeats=True):
            [pair] = pairs
            assert pair.response_mode == "pass" and pair.a == pair.b
            good = pair.a.startswith("tuned") or pair.row % 4 == 0
            judge.rate(
                pair.id,
                make_rating("pass" if good else "fail", a={"tags": [] if good else ["wrong fact"]}),
            )
            seen += 1
        assert seen == 24
    report = report_singles(store, "r")
    base, tuned = report.passed
    assert (base.passed, base.failed, tuned.passed, tuned.failed) == (6, 18, 24, 0)
    # two alike verdicts on a prompt tell no more than one
    assert 0 <= wilson_interval(12, 12)[0] - tuned.interval[0] < 0.02
    assert report.alpha == 1.0 and report.people == {"amina": 24, "juma": 24}
    assert report.said[0].tags == {"wrong fact": 18}
    assert "base: 6 of 24 pass, 25% (95 % Wilson interval" in singles_text(report)
    assert json.loads(json.dumps(singles_object(report)))["passed"][1]["rate"] == 1.0
    assert "Share that passes 25%" in singles_markup(report) and "tuned: 24 of 24 pass" in str(
        write_result(store, "r")
    )
    assert report_review(store, "r").matches[0].ratings == 0


def test_stars_are_averaged_and_one_person_may_change_them(
    workspace: Workspace, small_file: Path
) -> None:
    store = single_review(workspace, small_file, "stars")
    judge = Judge(store, "r", "amina")
    for pair in judge.next_pairs(24):
        judge.rate(
            pair.id, make_rating("stars", a={"stars": 2 if pair.a.startswith("base") else 5})
        )
    base, tuned = report_singles(store, "r").said
    assert (
        base.stars is not None
        and tuned.stars is not None
        and (base.stars.mean, tuned.stars.mean) == (2.0, 5.0)
    )
    [last] = judge.history(1)
    judge.rate(last.pair.id, make_rating("stars", a={"stars": 1}))
    assert judge.judged(last.pair.id).rating.a.stars == 1
    judge.undo()
    assert judge.judged(last.pair.id).rating.a.stars == (2 if last.pair.a.startswith("base") else 5)
    assert "stars" in singles_text(report_singles(store, "r"))


@pytest.mark.parametrize(
    ("answers", "verdict", "sentence"),
    [
        ("pass", "a", "one of pass, fail in this review"),
        ("pairs", "pass", "one of a, b, tie, both_bad in this review"),
        ("stars", "pass", "one of stars in this review"),
        ("stars", "stars", "Give the response 1 to 5 stars"),
    ],
)
def test_a_verdict_of_another_kind_is_refused(
    workspace: Workspace, small_file: Path, answers: str, verdict: str, sentence: str
) -> None:
    store = single_review(workspace, small_file, answers, 2)
    with pytest.raises(ReviewError, match=sentence):
        Judge(store, "r", "amina").rate(1, make_rating(verdict))
    assert (
        store.database.query("SELECT * FROM verdicts")
        == store.database.query("SELECT * FROM verdict_log")
        == []
    )


def test_a_page_is_told_of_one_response_alone(workspace: Workspace, small_file: Path) -> None:
    store = single_review(workspace, small_file, "pass", 2)
    shown = pair_object(Judge(store, "r", "amina").next_pairs(1)[0])
    assert shown["response_mode"] == "pass" and shown["a"] and shown["b"] == ""


def test_disagreements_on_single_responses_are_settled_too(
    workspace: Workspace, small_file: Path
) -> None:
    store = single_review(workspace, small_file, "pass", 2)
    for person, verdict in (("amina", "pass"), ("juma", "fail")):
        Judge(store, "r", person).rate(1, make_rating(verdict))
    [pair] = Judge(store, "r", "neema", adjudicates=True).next_pairs(5)
    Judge(store, "r", "neema", adjudicates=True).rate(pair.id, make_rating("fail"))
    report = report_singles(store, "r")
    assert [(one.passed, one.failed) for one in report.passed if one.rate is not None] == [(0, 1)]
    assert report.alpha == 0.0  # one response, two people, two verdicts: as chance would


def test_stars_that_differ_by_two_are_a_disagreement_for_somebody_to_settle(
    workspace: Workspace, small_file: Path
) -> None:
    store = single_review(workspace, small_file, "stars")
    pairs = [pair.id for pair in Judge(store, "r", "amina").next_pairs(24)]
    for person, given in (("amina", (5, 5, 5, 2)), ("juma", (5, 4, 3, 5))):
        for pair, stars in zip(pairs, given, strict=False):
            Judge(store, "r", person).rate(pair, make_rating("stars", a={"stars": stars}))
    report = report_singles(store, "r")
    assert (report.disputed, report.settled) == (2, 0)
    assert "On 2 responses reviewers differ" in singles_text(report)
    assert "data-disputed" in singles_markup(report)
    rng = (
        sum(
            (one - other) ** 2
            for one in (5, 5, 5, 2, 5, 4, 3, 5)
            for other in (5, 5, 5, 2, 5, 4, 3, 5)
        )
        / 7
    )
    assert report.alpha == pytest.approx(1 - 2 * (0 + 1 + 4 + 9) / rng)
    assert "two stars apart weigh four times" in singles_text(report)
    third = Judge(store, "r", "neema", adjudicates=True)
    assert {pair.id for pair in third.next_pairs(9)} == set(pairs[2:4])
    third.rate(pairs[3], make_rating("stars", a={"stars": 4}))
    report = report_singles(store, "r")
    assert (report.disputed, report.settled, report.ratings) == (1, 1, 9)
    given = [said.stars for said in report.said if said.stars]
    # the one that settles alone counts for its response
    assert sum(stars.count for stars in given) == 7
    listed = disputed_pairs(store, "r").pairs
    assert [[words for _, words, _ in pair.said] for pair in listed] == [
        ["5 of 5 stars", "3 of 5 stars"],
        ["2 of 5 stars", "5 of 5 stars", "4 of 5 stars (settles it)"],
    ]
    assert [len(pair.responses) for pair in listed] == [1, 1]
    Judge(store, "r", "juma").rate(pairs[2], make_rating("stars", a={"stars": 4}))  # thinks again
    assert report_singles(store, "r").disputed == 0


def test_exports_take_good_ones_and_bad_ones_and_come_in_again(
    tmp_path: Path, small_file: Path
) -> None:
    for answers, good, bad in (("pass", {}, {}), ("stars", {"stars": 4}, {"stars": 2})):
        store = single_review(Workspace(tmp_path / answers), small_file, answers, 3)
        judge = Judge(store, "r", "amina")
        for pair in judge.next_pairs(6):
            is_good = pair.a.startswith("tuned")
            verdict = "stars" if answers == "stars" else "pass" if is_good else "fail"
            judge.rate(
                pair.id,
                make_rating(
                    verdict, correction="" if is_good else "Better.", a=good if is_good else bad
                ),
            )
        kto = [json.loads(line) for line in export_review(store, "r", "kto").splitlines()]
        assert sorted(row["label"] for row in kto) == [False] * 3 + [True] * 3
        assert all(
            row["completion"][0]["content"].startswith("tuned") is row["label"] for row in kto
        )
        dpo = [json.loads(line) for line in export_review(store, "r", "dpo").splitlines()]
        assert len(dpo) == 3 and {row["chosen"][0]["content"] for row in dpo} == {"Better."}
        table = export_review(store, "r", "csv")
        assert {row["response_b"] + row["b"] for row in csv.DictReader(io.StringIO(table))} == {""}
        file = tmp_path / f"{answers}.csv"
        file.write_text(table, newline="")
        other = single_review(Workspace(tmp_path / f"{answers}-2"), small_file, answers, 3)
        assert import_ratings(other, "r", file) == Imported(6, 0, ())
        assert report_singles(other, "r") == report_singles(store, "r")
        pairs = write_review(Workspace(tmp_path / f"{answers}-3"), small_file, TEXTS, 3)
        assert len(import_ratings(pairs, "r", file).refused) == 6


def test_one_contender_is_enough(workspace: Workspace, small_file: Path) -> None:
    store = write_review(workspace, small_file, {"tuned": "tuned"}, 4, response_mode="pass")
    assert store.find("r")["pair_count"] == 4
    with pytest.raises(ReviewError, match="needs two or more"):
        write_review(workspace, small_file, {"tuned": "tuned"}, 4, name="s")
