"""The result by category, against the loss, and the pairs behind each number."""

import json
from pathlib import Path

import pytest
from plotly.graph_objects import Figure

from core.errors import ReviewError
from core.storage.workspace import Workspace
from review.domain.rating import make_rating
from review.judging.judge import Judge
from review.results.drilldown import drill_down
from review.results.report import report_review
from review.results.text import loss_sentence, report_object
from review.statistics.intervals import wilson_interval
from review.store.reviews import ReviewStore
from review.store.verdicts import Filters
from tests.reviews import write_review
from ui.results.charts import draw_losses, draw_win_rates
from ui.results.views import pairs_markup


@pytest.fixture
def judged(workspace: Workspace, tmp_path: Path) -> ReviewStore:
    """Twelve prompts of two categories: tuned wins all of one, base two thirds of the other; the
    rest are ties.
    """
    rows = [
        {"instruction": f"Do {n}.", "output": "x", "category": "sums" if n % 2 else "words"}
        for n in range(12)
    ]
    file = tmp_path / "rows.json"
    file.write_text(json.dumps(rows))
    store = write_review(workspace, file, {"base": "base", "tuned": "tuned"}, 12)
    judge = Judge(store, "r", "amina")
    for pair in judge.next_pairs(12):
        wanted = "tuned" if pair.row % 2 == 0 else "base" if pair.row % 3 else "tie"
        verdict = wanted if wanted == "tie" else ("a" if pair.a == wanted else "b")
        judge.rate(pair.id, make_rating(verdict, comment="so" if pair.row == 1 else ""))
    return store


def test_categories_are_counted_by_themselves(judged: ReviewStore) -> None:
    report = report_review(judged, "r")
    assert judged.kinds("r") == (["sums", "words"], [])
    found = {name: matches[0] for name, matches in report.categories}
    assert {name: (match.wins, match.losses, match.ties) for name, match in found.items()} == {
        "sums": (0, 6, 0),
        "words": (4, 0, 2),
    }
    assert found["words"].interval == wilson_interval(4, 4) and found["words"].pairs == 6
    assert report_object(report)["categories"]["sums"][0]["losses"] == 6
    alone = report_review(judged, "r", Filters(category="words"))
    assert (alone.ratings, alone.matches[0].wins, alone.categories) == (6, 4, ())


def test_the_pairs_behind_a_number_are_those_it_counts(judged: ReviewStore) -> None:
    meeting = ("base", "tuned")
    won = drill_down(judged, "r", meeting, "first").pairs
    assert sorted(pair.row for pair in won) == [1, 5, 7, 11]
    first = next(pair for pair in won if pair.row == 1)
    assert dict(first.responses) == {"base": "base", "tuned": "tuned"} and first.said == (
        ("amina", "base better", "so"),
    )
    assert sorted(pair.row for pair in drill_down(judged, "r", meeting, "tie").pairs) == [3, 9]
    assert drill_down(judged, "r", meeting).total == 12
    assert drill_down(judged, "r", meeting, "second", Filters(category="sums")).total == 6
    assert (
        drill_down(judged, "r", meeting, "both_bad").pairs
        == []
        == drill_down(judged, "r", ("base", "nobody")).pairs
    )
    with pytest.raises(ReviewError, match="no review 'x'"):
        drill_down(judged, "x", meeting)
    with pytest.raises(ReviewError, match="no outcome 'base': say one of first"):
        drill_down(judged, "r", meeting, "base")


def test_many_pairs_behind_a_number_are_counted_and_the_first_shown(
    judged: ReviewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("review.results.drilldown._MOST_SHOWN", 5)
    found = drill_down(judged, "r", ("base", "tuned"))
    assert (found.total, len(found.pairs)) == (12, 5)


def test_contenders_may_be_called_like_a_verdict(workspace: Workspace, small_file: Path) -> None:
    store = write_review(workspace, small_file, {"tie": "one", "pass": "two"}, 2)
    judge = Judge(store, "r", "amina")
    won, even = judge.next_pairs(2)
    judge.rate(won.id, make_rating("a" if won.a == "one" else "b"))
    judge.rate(even.id, make_rating("tie"))
    meeting = ("tie", "pass")
    for outcome, said in (("first", "tie better"), ("tie", "tie")):
        [pair] = drill_down(store, "r", meeting, outcome).pairs
        assert pair.said == (("amina", said, ""),)


def test_figures_show_what_the_report_says_and_plotly_takes_them(judged: ReviewStore) -> None:
    drawing = draw_win_rates(report_review(judged, "r"))
    assert drawing is not None
    Figure(drawing)
    [trace] = drawing["data"]
    assert trace["x"] == [0.4, 0.0, 1.0] and trace["customdata"][2] == ["base", "tuned", "words"]
    low, high = wilson_interval(4, 10)
    assert (
        trace["x"][0] - trace["error_x"]["arrayminus"][0],
        trace["x"][0] + trace["error_x"]["array"][0],
    ) == pytest.approx((low, high))
    markup = pairs_markup(report_review(judged, "r"))
    assert (
        'data-behind="tie"' in markup
        and "By category" in markup
        and 'data-category="words"' in markup
    )


def test_a_result_without_a_decided_verdict_has_no_figure(
    workspace: Workspace, small_file: Path
) -> None:
    store = write_review(workspace, small_file, {"base": "base", "tuned": "tuned"}, 3)
    report = report_review(store, "r")
    assert (
        draw_win_rates(report) is None
        and draw_losses(report) is None
        and loss_sentence(report) == ""
    )


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        ((1.0, 2.0), "but tuned is preferred more often"),
        ((2.0, 1.0), "is preferred most often too"),
    ],
)
def test_loss_stands_against_rating(
    judged: ReviewStore, losses: tuple[float, float], words: str
) -> None:
    with judged.database.transaction() as tables:
        for name, loss in zip(("base", "tuned"), losses, strict=True):
            tables.execute(
                "UPDATE contenders SET facts = ? WHERE name = ?",
                [json.dumps({"validation_loss": loss}), name],
            )
    report = report_review(judged, "r")
    assert [one.loss for one in report.losses] == sorted(losses)
    scores = {one.contender: one.score for one in report.losses}
    assert scores == pytest.approx({"base": 5 / 12, "tuned": 7 / 12})
    assert words in loss_sentence(report)
    drawing = draw_losses(report)
    assert drawing is not None and drawing["data"][0]["x"] == sorted(losses)
    Figure(drawing)
