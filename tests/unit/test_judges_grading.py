"""Judges that grade single responses: in points, by criteria, in classes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import ReviewError
from core.storage.workspace import Workspace
from review.cli.main import main
from review.domain.rating import make_rating
from review.judges.agreement import report_judges
from review.judges.protocols import find_protocol
from review.judges.run import judge_review
from review.judges.store import JudgeStore
from review.judges.text import report_object, report_text
from review.judging.judge import Judge
from review.store.reviews import ReviewStore
from tests.endpoints import answering
from tests.reviews import GOOD, make_brought_review, write_review


@pytest.fixture
def review(workspace: Workspace, tmp_path: Path) -> str:
    return make_brought_review(workspace, tmp_path, {"better": GOOD, "worse": "bad"})


@pytest.mark.parametrize(("name", "said"), [("score", "SCORE: {}"), ("rubric", "{}")])
def test_single_responses_are_scored(
    workspace: Workspace, review: str, name: str, said: str
) -> None:
    def scoring(question: dict[str, Any]) -> tuple[int, Any]:
        is_good = f"a {GOOD}" in question["messages"][-1]["content"]
        value = {"score": (90, 10), "rubric": (5, 2)}[name][0 if is_good else 1]
        return 200, {"choices": [{"message": {"content": said.format(value)}}]}

    with answering(body=scoring) as (address, asked):
        judge_review(workspace, review, f"{address}#{name}", find_protocol(name))
        assert len(asked) == (60 if name == "score" else 60 * 4)  # each criterion by itself
    [report] = report_judges(ReviewStore(workspace), review)
    assert (report.judged, report.errors) == (60, 0)
    [match] = report.matches
    assert match.win_rate == (1.0 if match.contender == "better" else 0.0)


def test_a_rubric_is_the_mean_of_its_levels_by_their_probabilities(
    workspace: Workspace, review: str
) -> None:
    def unsure(question: dict[str, Any]) -> tuple[int, Any]:
        assert question["max_tokens"] == 1
        is_clear = "alone: that it is clear." in question["messages"][-1]["content"]
        share = {"5": 0.5, "4": 0.5} if is_clear else {"2": 0.75, "1": 0.25}
        tops = [{"token": one, "logprob": float(np.log(value))} for one, value in share.items()]
        said = {"message": {"content": "2"}, "logprobs": {"content": [{"top_logprobs": tops}]}}
        return 200, {"choices": [said]}

    criteria = ("is right", "is clear")
    with answering(body=unsure) as (address, _):
        judge_review(
            workspace, review, f"{address}#r", find_protocol("rubric", "", criteria), most=3
        )
    store = ReviewStore(workspace)
    judges = JudgeStore(store)
    [judge] = judges.of_review(store.find(review)["id"])
    rows = judges.scores(judge["id"])
    assert len(rows) == 3
    for row in rows:
        assert json.loads(row["levels"]) == pytest.approx([1.75, 4.5])
        assert row["score"] == pytest.approx(3.125)
    with pytest.raises(ReviewError, match=r"no place for \{criterion\}"):
        find_protocol("rubric", "{task}{first}")


def test_answers_are_put_in_classes_with_reasons_or_by_probabilities(
    workspace: Workspace, review: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def classed(question: dict[str, Any]) -> tuple[int, Any]:
        text = question["messages"][-1]["content"]
        assert "A: right\nB: in part\nC: wrong" in text
        letter = "A" if f"a {GOOD}" in text else "C"
        said: dict[str, Any] = {"message": {"content": f"So it is.\nCHOICE: {letter}"}}
        if question["max_tokens"] == 1:
            share = {letter: 0.6, "B": 0.4}
            tops = [{"token": one, "logprob": float(np.log(part))} for one, part in share.items()]
            said = {
                "message": {"content": letter},
                "logprobs": {"content": [{"top_logprobs": tops}]},
            }
        return 200, {"choices": [said]}

    choices = ["right = 1", "in part = 0.5", "wrong = 0"]
    words = ["judge", "--name", review, "--workspace", str(workspace.folder), "--json"]
    with answering(body=classed) as (address, asked):
        words += ["--judge", f"{address}#j"]
        assert main([*words, "--protocol", "cot-classify", "--choices", *choices]) == 0
        reasoned = json.loads(capsys.readouterr().out)
        assert main([*words, "--protocol", "classify", "--choices", *choices]) == 0
        assert len(asked) == 120
        assert main([*words, "--protocol", "score", "--choices", *choices]) == 2
    at_once = json.loads(capsys.readouterr().out.splitlines()[0])
    assert reasoned["errors"] == at_once["errors"] == 0
    means = {one["contender"]: one["mean"] for one in reasoned["scores"]}
    assert means == {"better": 1.0, "worse": 0.0}
    means = {one["contender"]: one["mean"] for one in at_once["scores"]}
    assert means == {"better": pytest.approx(0.8), "worse": pytest.approx(0.2)}
    for found in (reasoned, at_once):
        chosen = {(one["contender"], one["choice"]): one["answers"] for one in found["choices"]}
        assert chosen["better", "right"] == chosen["worse", "wrong"] == 30
        assert sum(chosen.values()) == 60 and len(chosen) == 6
    report = report_judges(ReviewStore(workspace), review)[0]
    assert "better, right: 100% (" in report_text(report)


def test_half_a_rubric_that_cannot_be_read_is_an_error(workspace: Workspace, review: str) -> None:
    def half(question: dict[str, Any]) -> tuple[int, Any]:
        said = "4" if "it is right." in question["messages"][-1]["content"] else "well"
        return 200, {"choices": [{"message": {"content": said}}]}

    with answering(body=half) as (address, asked):
        protocol = find_protocol("rubric", "", ("is right", "is clear"))
        judge_review(workspace, review, f"{address}#r", protocol, most=2)
        assert len(asked) == 6  # what cannot be read is asked once more, and only that
    [report] = report_judges(ReviewStore(workspace), review)
    assert (report.asked, report.errors) == (2, 2)


@pytest.mark.parametrize(("mode", "protocol"), [("pass", "classify"), ("stars", "score")])
def test_single_responses_are_rated_by_people_and_judge_together(
    workspace: Workspace, tmp_path: Path, mode: str, protocol: str
) -> None:
    file = tmp_path / "rows.csv"
    rows = "".join(f"Say {n}.,It is {n}.\n" for n in range(60))
    file.write_text(f"instruction,output\n{rows}")
    texts = {"better": "a good answer to {prompt}", "worse": "a bad answer to {prompt}"}
    store = write_review(workspace, file, texts, 60, response_mode=mode)
    person = Judge(store, "r", "Asha")
    for number in range(80):
        [pair] = person.next_pairs(1)
        is_good = ("good" in pair.a) != (number % 8 == 0)
        verdict = ("pass" if is_good else "fail") if mode == "pass" else "stars"
        stars = {"stars": 5 if is_good else 2} if mode == "stars" else {}
        person.rate(pair.id, make_rating(verdict, "", "", a=stars))

    def graded(question: dict[str, Any]) -> tuple[int, Any]:
        is_good = "a good answer" in question["messages"][-1]["content"]
        said = (
            ("A" if is_good else "C")
            if protocol == "classify"
            else f"SCORE: {90 if is_good else 20}"
        )
        return 200, {"choices": [{"message": {"content": said}}]}

    with answering(body=graded) as (address, _):
        judge_review(workspace, "r", f"{address}#j", find_protocol(protocol))
    [report] = report_judges(store, "r")
    assert (report.judged, report.errors, report.compared) == (120, 0, 80)
    assert report.is_of_singles and report.matches == () and report.disagreements == ()
    assert report.agreement == pytest.approx(70 / 80) and "of 80 responses" in report.sentence
    better, worse = report.means
    assert (better.contender, better.responses) == ("better", 60) and better.mean > worse.mean
    assert better.powered is not None and better.powered.saved > 0
    assert better.powered.low < better.powered.value < better.powered.high
    width = better.powered.high - better.powered.low
    assert width <= 1.06 * (better.powered.people_high - better.powered.people_low)
    text = report_text(report)
    unit = "%" if mode == "pass" else " stars"
    assert f"{unit} by the judge alone, 60 responses. With " in text
    assert report_object(report)["means"][0]["contender"] == "better"
