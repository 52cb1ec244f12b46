"""Other models as judges on the Results screen: planned, let go, watched, stopped, read, forgotten."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from review.domain.rating import make_rating
from review.judges.by_category import CategoryScore
from review.judges.of_singles import JudgedMean
from review.judging.judge import Judge
from review.statistics.powered_strengths import PoweredStrength, PoweredStrengths
from review.statistics.prediction_powered import PoweredMean
from tests.conftest import POCKET
from tests.endpoints import answering
from tests.reviews import write_review
from tests.tabs.conftest import HOSTILE, Open, Opened, upload, wait_until
from tests.unit.test_annotations import annotations
from tests.unit.test_judges import report_with
from ui.markup import fill_template
from ui.results.tab import build_results_tab
from ui.services import Services

WORDS = "{task}{expected}{first}{second}"


@pytest.fixture
def page(services: Services, open_tab: Open, small_file: Path) -> Opened:
    texts = {name: f"{HOSTILE} {name} {{prompt}}" for name in ("base", "tuned")}
    write_review(services.workspace, small_file, texts, 6)
    return open_tab(build_results_tab)


def says(text: str) -> Callable[[dict[str, Any]], tuple[int, dict[str, Any]]]:
    choice = {"message": {"content": text}, "finish_reason": "stop"}
    return lambda _: (200, {"choices": [choice]})


def tasks(page: Opened) -> list[dict[str, Any]]:
    read = page.server_function("judging-now", "read_judging")
    found: list[dict[str, Any]] = read({"review": "r"})["tasks"]
    return found


def rested(page: Opened) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = wait_until(
        lambda: tasks(page), lambda all_of: not any(one["going_on"] for one in all_of)
    )
    return found


def test_a_judge_is_planned_let_go_and_judged(services: Services, page: Opened) -> None:
    judge = Judge(services.reviews, "r", "Amina")
    for _ in range(3):
        judge.rate(judge.next_pairs(1)[0].id, make_rating("a", "", "", a={}, b={}))
    with answering(body=says("Reasons.\nVERDICT: A")) as (address, asked):
        form = ("r", f"{address}#judge", "pairwise", 4, "", WORDS)
        card = page.trigger("plan_judging", *form)
        assert "8 of 8 questions are left" in card and not asked
        assert "<script>" not in card and "&lt;script&gt;" in card
        page.trigger("start_judging", *form)
        assert [one["words"] for one in rested(page)] == [""]
        assert len(asked) == 8
        markup, value = page.trigger("show_judges", "r")
        assert "4 of 6 judged." in markup and "The order of the answers decided 100%." in markup
        assert "<script>" not in markup and json.loads(value)["review"] == "r"
        change = page.server_function("judging-now", "change_judge")
        number = services.reviews.database.query("SELECT id FROM judges")[0]["id"]
        assert change({"review": "r", "what": "rest", "judge": number}) == {"done": "rest"}
        rested(page)
        assert len(asked) == 12
        assert "6 of 6 judged." in page.trigger("show_judges", "r")[0]
        behind = page.server_function("result-charts", "list_pairs")
        assert behind({"review": "r", "judge": number})["title"].endswith(": 0 pairs")
        assert "no such judge" in behind({"review": "r", "judge": 99})["error"]
        assert change({"review": "r", "what": "forget", "judge": number}) == {"done": "forget"}
    assert services.reviews.database.query("SELECT * FROM judge_comparisons") == []
    assert services.reviews.database.query("SELECT count(*) AS n FROM verdicts")[0]["n"] == 3


def test_where_people_name_another_winner_can_be_read(services: Services, page: Opened) -> None:
    judge = Judge(services.reviews, "r", "Amina")
    for pair in judge.next_pairs(6):
        judge.rate(pair.id, make_rating("a" if "base" in pair.a else "b", "mine", "", a={}, b={}))

    def prefers_tuned(question: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        text = question["messages"][0]["content"]
        first = text.index(" tuned ") < text.index(" base ")
        return says(f"Because.\nVERDICT: {'A' if first else 'B'}")(question)

    with answering(body=prefers_tuned) as (address, _):
        page.trigger("start_judging", "r", f"{address}#judge", "pairwise", 0, "", WORDS)
        rested(page)
    markup = page.trigger("show_judges", "r")[0]
    assert "Read the 6 on which people name another winner" in markup
    number = services.reviews.database.query("SELECT id FROM judges")[0]["id"]
    behind = page.server_function("result-charts", "list_pairs")
    found = behind({"review": "r", "judge": number})
    assert len(found["pairs"]) == 6
    said = found["pairs"][0]["said"]
    assert said[0] == ("Amina", "base better", "mine")
    assert [one[1] for one in said[1:]] == ["tuned better", "tuned better"]
    assert said[1][2] == "Because. VERDICT: B" or said[2][2] == "Because. VERDICT: B"


def test_a_judge_is_stopped_and_keeps_what_it_said(services: Services, page: Opened) -> None:
    let_go, answered = threading.Event(), []

    def stalls(question: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        answered.append(question)
        if len(answered) > 3:
            let_go.wait(30)
        return says("SCORE: 70")(question)

    with answering(body=stalls) as (address, _):
        form = ("r", f"{address}#judge", "score", 0, "", "{task}{first}")
        page.trigger("start_judging", *form)
        with pytest.raises(gr.Error, match="is going on: wait for it, or stop it"):
            page.trigger("start_judging", *form)
        wait_until(lambda: len(answered), lambda many: many > 3)
        [task] = wait_until(lambda: tasks(page), lambda all_of: all_of[0]["share"])
        change = page.server_function("judging-now", "change_judge")
        change({"review": "r", "what": "stop", "name": task["name"]})
        let_go.set()
        assert rested(page)[0]["words"] == "Stopped; what it said is kept."
        kept = services.reviews.database.query("SELECT count(*) AS n FROM judge_scores")[0]["n"]
        assert 1 <= kept <= 6
        change({"review": "r", "what": "hide", "name": task["name"]})
        assert [one["words"] for one in tasks(page)] == [""]
        page.trigger("start_judging", *form)
        assert rested(page)[0]["words"] == ""
    assert services.reviews.database.query("SELECT count(*) AS n FROM judge_scores")[0]["n"] == 12


def test_what_keeps_a_judge_from_judging_is_said(services: Services, page: Opened) -> None:
    with pytest.raises(gr.Error, match="Choose a judge"):
        page.trigger("start_judging", "r", " ", "pairwise", 0, "", WORDS)
    with pytest.raises(gr.Error, match=r"no place for \{second\}"):
        page.trigger("start_judging", "r", "pocket", "pairwise", 0, "", "{task}{first}")
    with answering(500, {"error": "broken"}) as (address, _):
        page.trigger("start_judging", "r", f"{address}#judge", "pairwise", 1, "", WORDS)
        assert "answered 500" in rested(page)[0]["words"]
    page.trigger("start_judging", "r", "no-such-model", "alpaca", 1, "", WORDS)
    assert "There is no model 'no-such-model'" in rested(page)[1]["words"]
    assert "no question" not in page.trigger("show_judges", None)[0]


def test_a_score_that_is_missing_in_a_category_hides_nothing() -> None:
    scores = tuple(
        CategoryScore(contender=name, category=category, answers=2, mean=7.0, low=None, high=None)
        for category, name in (("", "a"), ("", "b"), ("Math", "a"), ("math", "b"))
    )
    report = report_with(protocol="mt-bench", scores=scores, scale=(1.0, 10.0))
    markup = fill_template(
        "judges", reports=[report], graded={}, is_possible=True, kin_sentence=lambda _: ""
    )
    assert (
        "<th>Math</th>" in markup and "<th>math</th>" in markup and markup.count("<td>–</td>") == 2
    )


def test_strengths_stand_beside_those_of_people_alone() -> None:
    values = {"rating": 1123.4, "low": 1002.2, "high": 1244.6, "people_rating": 1110.0}
    one = PoweredStrength(name="<a>", people_low=900.0, people_high=1320.0, **values)
    found = PoweredStrengths(strengths=(one,), weight=0.5, saved=0.31)
    markup = fill_template(
        "judges", reports=[report_with(strengths=found)], graded={}, is_possible=True,
        kin_sentence=lambda _: "",
    )  # fmt: skip
    assert "<th>&lt;a&gt;</th><td>1,123 <small>1,002 to 1,245</small></td>" in markup
    assert "<td>1,110 <small>900 to 1,320</small></td>" in markup
    assert "saves about 31% of people" in markup


def test_means_of_single_responses_stand_on_people_s_scale() -> None:
    powered = PoweredMean(value=0.5, low=0.25, high=0.75, weight=0.5, people_low=0.2,
                          people_high=0.8, saved=0.2)  # fmt: skip
    known = {"contender": "<a>", "responses": 60, "mean": 0.6, "low": 0.5, "high": 0.7}
    means = (
        JudgedMean(powered=powered, human_responses=40, stars=5, **known),
        JudgedMean(powered=None, human_responses=0, stars=0, **known),
    )
    markup = fill_template(
        "judges", reports=[report_with(means=means, is_of_singles=True)], graded={},
        is_possible=True, kin_sentence=lambda _: "",
    )  # fmt: skip
    assert "&lt;a&gt;: <b>3.4 stars</b> by the judge alone (3.0 stars to 3.8 stars, 60" in markup
    assert (
        "<b>3.0 stars</b> (2.0 stars to 4.0 stars); people alone 1.8 stars to 4.2 stars." in markup
    )
    assert "&lt;a&gt;: <b>60%</b> by the judge alone (50% to 70%, 60 responses)" in markup
    assert "of the same 120 responses" in markup and "people’s ratings" in markup


def test_a_judge_whose_process_cannot_start_says_so(services: Services, page: Opened) -> None:
    services.workspace.judges.write_text("a file where the folder should be")
    page.trigger("start_judging", "r", "pocket", "alpaca", 1, "", WORDS)
    assert "could not be started" in rested(page)[0]["words"]


def test_an_address_lists_what_it_serves(page: Opened) -> None:
    with answering() as (address, _):
        offered = page.trigger("list_judges", address)
        assert offered.choices[:2] == [(f"{address}#{one}",) * 2 for one in ("first", "second")]
    with pytest.raises(gr.Error, match="does not answer"):
        page.trigger("list_judges", address)
    with pytest.raises(gr.Error, match="is no address"):
        page.trigger("list_judges", "http://user@127.0.0.1:1/v1")
    assert ("pocket (base)", "pocket") in page.trigger("list_judges", POCKET.name).choices


def test_the_words_of_a_protocol_are_shown_and_may_be_others(page: Opened) -> None:
    criteria, words = page.trigger("judge_words", "rubric")
    assert criteria.visible and "{criterion}" in words
    assert "{second}" in page.trigger("judge_words", "alpaca")[1]
    choices, words = page.trigger("judge_words", "classify")
    assert choices.visible and "right and complete = 1" in choices.value and "{choices}" in words
    assert not page.trigger("judge_words", "score")[0].visible


def test_annotations_are_brought_in_on_the_page(
    services: Services, page: Opened, tmp_path: Path
) -> None:
    file = tmp_path / "annotations.json"
    file.write_text(json.dumps(annotations()))
    chosen, said = page.trigger("import_ratings", "r", upload(services, file))
    assert chosen.value == "annotations-1" and "40 graded verdicts by gpt" in said
    markup = page.trigger("show_judges", "annotations-1")[0]
    assert "gpt, graded verdicts of a file" in markup and "at equal lengths" in markup
    number = services.reviews.database.query("SELECT id FROM judges")[0]["id"]
    change = page.server_function("judging-now", "change_judge")
    asked = {"review": "annotations-1", "what": "forget", "judge": number}
    assert change(asked) == {"done": "forget"}
    again, _ = page.trigger("import_ratings", "annotations-1", upload(services, file))
    assert again.value == "annotations-1"
