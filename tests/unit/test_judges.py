"""Models as judges: how they are asked and read, what is kept, how they are judged themselves."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.datasets.conversation import Turn
from core.datasets.dataset import load_dataset
from core.datasets.store import DatasetStore
from core.errors import ModelError, ReviewError, StoppedError
from core.generation.model_cache import ModelCache
from core.generation.sampling import Sampling
from core.storage.workspace import Workspace
from review.cli.main import main
from review.domain.rating import make_rating
from review.judges.agreement import JudgeReport, report_judges
from review.judges.protocols import (
    find_protocol,
)
from review.judges.run import judge_review, plan_judging
from review.judges.store import JudgeStore
from review.judges.text import report_object, report_text
from review.judging.judge import Judge
from review.setup.generate_responses import RowChoice, answer_review, create_review, plan_review
from review.statistics.prediction_powered import powered_mean
from review.store.reviews import ReviewStore
from tests.endpoints import answering
from tests.reviews import GOOD, make_brought_review


@pytest.fixture
def review(workspace: Workspace, tmp_path: Path) -> str:
    """A review of thirty prompts, of which the first contender answers well and the second does not."""
    return make_brought_review(workspace, tmp_path, {"better": GOOD, "worse": "bad"})


def verdict_of(question: dict[str, Any], place: str) -> tuple[int, Any]:
    """A judge that takes the answer with the good word, wherever it stands."""
    text = question["messages"][-1]["content"]
    first = re.search(rf"<{place} \w+>\n(.*?)\n</", text, re.DOTALL)
    is_good = first is not None and f"a {GOOD}" in first[1]
    said = f"Because.\nVERDICT: {'A' if is_good else 'B'}"
    return 200, {"choices": [{"message": {"content": said}, "finish_reason": "stop"}]}


def test_pairs_are_judged_in_both_orders_and_nothing_is_asked_twice(
    workspace: Workspace, review: str
) -> None:
    with answering(body=lambda question: verdict_of(question, "answer A")) as (address, asked):
        judge = f"{address}#judge"
        protocol = find_protocol("pairwise")
        judge_review(workspace, review, judge, protocol, most=4)
        assert len(asked) == 8
        judge_review(workspace, review, judge, protocol)
        assert len(asked) == 60
    store = ReviewStore(workspace)
    [report] = report_judges(store, review)
    assert (report.judged, report.errors, report.order_decides, report.compared) == (30, 0, 0.0, 0)
    [match] = report.matches
    assert {match.contender, match.against} == {"better", "worse"}
    assert match.win_rate == (1.0 if match.contender == "better" else 0.0)
    assert store.find(review)["verdict_count"] == 0  # no verdict of a person
    assert "cannot be said yet" in report.sentence
    [row] = JudgeStore(store).of_review(store.find(review)["id"])
    assert json.loads(row["facts"])["model"] == "judge" and row["template"] == protocol.template


def test_a_judge_who_follows_the_order_only_ties(workspace: Workspace, review: str) -> None:
    said = {"choices": [{"message": {"content": "VERDICT: A"}, "finish_reason": "stop"}]}
    with answering(body=said) as (address, _):
        judge_review(workspace, review, f"{address}#first", find_protocol("pairwise"))
    [report] = report_judges(ReviewStore(workspace), review)
    assert report.order_decides == 1.0 and report.matches[0].win_rate == 0.5


def test_what_cannot_be_read_is_asked_once_more_and_then_an_error(
    workspace: Workspace, review: str
) -> None:
    said = {"choices": [{"message": {"content": "Both are fine."}, "finish_reason": "stop"}]}
    with answering(body=said) as (address, asked):
        judge_review(workspace, review, f"{address}#vague", find_protocol("pairwise"), most=3)
        assert len(asked) == 12
        assert "could not be read" in asked[-1]["messages"][-1]["content"]
    [report] = report_judges(ReviewStore(workspace), review)
    assert (report.judged, report.errors) == (0, 6)


def test_a_judge_that_fails_in_the_middle_loses_nothing(workspace: Workspace, review: str) -> None:
    count = 0

    def failing(question: dict[str, Any]) -> tuple[int, Any]:
        nonlocal count
        count += 1
        return verdict_of(question, "answer A") if count != 20 else (400, {"error": "no"})

    with answering(body=failing) as (address, asked):
        judge = f"{address}#judge"
        with pytest.raises(ModelError, match="answered 400"):
            judge_review(workspace, review, judge, find_protocol("pairwise"))
        kept = len(_comparisons(workspace, review))
        assert 0 < kept < 60
        before = len(asked)
        judge_review(workspace, review, judge, find_protocol("pairwise"))
        assert len(asked) - before == 60 - kept
    with answering(body=failing) as (address, _), pytest.raises(StoppedError):
        judge_review(
            workspace,
            review,
            f"{address}#stopped",
            find_protocol("pairwise"),
            should_stop=lambda: True,
        )


def _comparisons(workspace: Workspace, review: str) -> list[Any]:
    store = ReviewStore(workspace)
    judges = JudgeStore(store)
    return [
        row
        for one in judges.of_review(store.find(review)["id"])
        for row in judges.comparisons(one["id"])
    ]


def test_one_token_gives_a_preference(workspace: Workspace, review: str) -> None:
    def preferring(question: dict[str, Any]) -> tuple[int, Any]:
        assert (question["max_tokens"], question["logprobs"]) == (1, True)
        text = question["messages"][-1]["content"]
        first = re.search(r"<model m \w+>\n(.*?)\n</", text, re.DOTALL)
        likely = "m" if first and f"a {GOOD}" in first[1] else "M"
        tops = [
            {"token": likely, "logprob": np.log(0.8)},
            {"token": "mM".replace(likely, ""), "logprob": np.log(0.2)},
        ]
        logprobs = {"content": [{"top_logprobs": tops}]}
        return 200, {"choices": [{"message": {"content": likely}, "logprobs": logprobs}]}

    with answering(body=preferring) as (address, _):
        judge_review(workspace, review, f"{address}#alpaca", find_protocol("alpaca"))
    [report] = report_judges(ReviewStore(workspace), review)
    [match] = report.matches
    assert match.win_rate == pytest.approx(0.8 if match.contender == "better" else 0.2)


def test_a_judge_is_compared_with_people_and_adds_to_them(
    workspace: Workspace, review: str
) -> None:
    store = ReviewStore(workspace)
    person = Judge(store, review, "Asha")
    for number in range(24):
        [pair] = person.next_pairs(1)
        better = "a" if GOOD in pair.a else "b"
        wrong = {"a": "b", "b": "a"}[better]
        person.rate(pair.id, make_rating(better if number % 6 else wrong, "", ""))
    with answering(body=lambda question: verdict_of(question, "answer A")) as (address, _):
        judge_review(workspace, review, f"{address}#judge", find_protocol("pairwise"))
    [report] = report_judges(store, review)
    assert report.compared == 24 and report.agreement == pytest.approx(20 / 24)
    assert len(report.disagreements) == 4 and sum(report.confusion.values()) == 24
    [match] = report.matches
    assert match.powered is not None and match.human_pairs == 24
    assert match.powered.low < 20 / 24 < match.powered.high or match.contender == "worse"
    found = report_object(report)
    assert (
        found["agreement"]["pairs"] == 24 and found["matches"][0]["with_people"]["verdicts"] == 24
    )
    assert "With 24 verdicts of people" in report_text(report)


def report_with(**changes: Any) -> JudgeReport:
    fields = {
        "id": 1, "model": "m", "protocol": "pairwise", "possible": 200, "asked": 200, "judged": 200, "errors": 0, "compared": 120,
        "agreement": 0.85, "agreement_low": 0.78, "agreement_high": 0.9, "kappa": 0.7,
        "human_agreement": None, "confusion": {}, "order_decides": 0.1, "prefers_longer": None,
        "people_prefer_longer": None, "kin": (), "kin_win": None, "matches": (), "disagreements": (),
    }  # fmt: skip
    return JudgeReport(**(fields | changes))


def test_trust_is_said_in_a_sentence() -> None:
    assert report_with().sentence.endswith("it agrees.")
    assert "hardly more than chance" in report_with(kappa=0.1).sentence
    assert "100 would tell more" in report_with(compared=60).sentence
    assert "takes 50" in report_with(compared=49).sentence
    text = report_text(report_with(kin=("mine",), kin_win=(0.9, 0.55)))
    assert "tuned from it: mine. They win 90% by the judge and 55% by people" in text


def test_kin_of_a_judge_are_found_and_what_it_makes_of_them_is_told(
    workspace: Workspace, review: str
) -> None:
    store = ReviewStore(workspace)
    person = Judge(store, review, "Asha")
    for _ in range(10):
        person.rate(person.next_pairs(1)[0].id, make_rating("tie"))
    with store.database.transaction() as tables:
        number = store.find(review)["id"]
        facts = json.dumps({"run_settings": {"model": "http://127.0.0.1:1/v1#base"}})
        tables.execute(
            "UPDATE contenders SET facts = ? WHERE review_id = ? AND name = 'worse'",
            [facts, number],
        )
    judges, protocol = JudgeStore(store), find_protocol("pairwise")
    judge = judges.add(number, "http://127.0.0.1:1/v1#base", protocol, {})
    for pair in judges.pairs(number):
        for is_turned in (0, 1):
            choice = "first" if pair["first_contender"] == "worse" else "second"
            judges.add_comparison(
                {
                    "judge_id": judge["id"], "pair_id": pair["pair_id"], "is_turned": is_turned,
                    "choice": choice, "preference": None, "said": "", "judged_at": "",  # type: ignore[typeddict-item]
                }
            )  # fmt: skip
    [report] = report_judges(store, review)
    assert report.kin == ("worse",) and report.kin_win == (1.0, 0.5)


def test_of_three_contenders_strengths_are_told_with_people(
    workspace: Workspace, tmp_path: Path
) -> None:
    worth = {"better": GOOD, "fair": "fair", "worse": "bad"}
    name = make_brought_review(workspace, tmp_path, worth)
    store = ReviewStore(workspace)
    person = Judge(store, name, "Asha")
    order = list(worth.values())

    def rank_of(answer: str) -> int:
        return next(place for place, word in enumerate(order) if f"a {word}" in answer)

    for number in range(45):
        [pair] = person.next_pairs(1)
        better = "a" if rank_of(pair.a) < rank_of(pair.b) else "b"
        wrong = {"a": "b", "b": "a"}[better]
        person.rate(pair.id, make_rating(better if number % 7 else wrong, "", ""))

    def taking_the_better(question: dict[str, Any]) -> tuple[int, Any]:
        text = question["messages"][-1]["content"]
        ranks = [
            rank_of(one) for one in re.findall(r"<answer [AB] \w+>\n(.*?)\n</", text, re.DOTALL)
        ]
        said = f"VERDICT: {'A' if ranks[0] < ranks[1] else 'B'}"
        return 200, {"choices": [{"message": {"content": said}}]}

    with answering(body=taking_the_better) as (address, _):
        judge_review(workspace, name, f"{address}#j", find_protocol("pairwise"))
    [report] = report_judges(store, name)
    assert report.strengths is not None
    assert [one.name for one in report.strengths.strengths] == list(worth)
    told = report_object(report)["strengths"]
    assert [one["name"] for one in told["strengths"]] == list(worth)
    assert "With people better has " in report_text(report)


def test_powered_means_cover_and_are_never_much_wider() -> None:
    rng = np.random.default_rng(3)
    for right in (0.2, 0.5, 0.85):
        covered = 0
        for _ in range(200):
            truth = (rng.random(330) < 0.65).astype(float)
            judged = np.where(rng.random(330) < right, truth, 1 - truth)
            found = powered_mean(truth[:30].tolist(), judged[:30].tolist(), judged[30:].tolist())
            assert found is not None
            covered += found.low <= 0.65 <= found.high
            assert found.high - found.low <= 1.06 * (found.people_high - found.people_low)
        assert covered >= 0.9 * 200
    assert powered_mean([1.0] * 19, [1.0] * 19, [1.0] * 99) is None
    alone = powered_mean([1.0, 0.0] * 20, [1.0, 0.0] * 20, [])
    assert alone is not None and (alone.weight, alone.saved) == (0, 0)


def test_single_responses_are_not_for_judges_who_compare(
    workspace: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "prompts.json").write_text(json.dumps([{"instruction": "Q", "output": "A"}]))
    (tmp_path / "one.json").write_text(json.dumps([{"row": 1, "response": "said"}]))
    dataset = load_dataset(tmp_path / "prompts.json")
    DatasetStore(workspace).keep(dataset)
    words = [f"file:{tmp_path}/one.json"]
    plan = plan_review(workspace, dataset, "s", words, RowChoice(None), Sampling())
    create_review(workspace, dataset, replace(plan, response_mode="pass"))
    answer_review(workspace, "s", ModelCache(workspace), lambda: False, lambda _done, _total: None)
    with pytest.raises(ReviewError, match="of single responses, and 'pairwise' compares two"):
        judge_review(workspace, "s", "http://127.0.0.1:9/v1#m", find_protocol("pairwise"))


def test_the_expected_answer_is_hidden_where_it_is_a_contender(
    workspace: Workspace, tmp_path: Path
) -> None:
    prompts = [{"instruction": f"Q{n}", "output": f"secret {n}"} for n in range(3)]
    (tmp_path / "prompts.json").write_text(json.dumps(prompts))
    rows = [{"row": n + 1, "response": f"said {n}"} for n in range(3)]
    (tmp_path / "one.json").write_text(json.dumps(rows))
    dataset = load_dataset(tmp_path / "prompts.json")
    DatasetStore(workspace).keep(dataset)
    words = [f"file:{tmp_path}/one.json", "expected"]
    plan = plan_review(workspace, dataset, "e", words, RowChoice(None), Sampling())
    create_review(workspace, dataset, plan)
    answer_review(workspace, "e", ModelCache(workspace), lambda: False, lambda _done, _total: None)
    said = {"choices": [{"message": {"content": "VERDICT: A"}, "finish_reason": "stop"}]}
    with answering(body=said) as (address, asked):
        judge_review(workspace, "e", f"{address}#j", find_protocol("pairwise"))
    assert len(asked) == 6
    for question in asked:  # once, as one of the two answers
        assert question["messages"][-1]["content"].count("secret") == 1


@pytest.mark.parametrize(
    ("tops", "rate"),
    [
        ([("m", 0.3), (" m", 0.3), ("M", 0.4)], 0.6),  # spellings of one name add up
        ([("m", 0.2), (" M", 0.8)], 0.2),
    ],
)
def test_probabilities_of_a_name_s_spellings_add_up(
    workspace: Workspace, review: str, tops: list[tuple[str, float]], rate: float
) -> None:
    listed = [{"token": token, "logprob": float(np.log(value))} for token, value in tops]
    said = {
        "choices": [
            {"message": {"content": "m"}, "logprobs": {"content": [{"top_logprobs": listed}]}}
        ]
    }
    with answering(body=said) as (address, _):
        judge_review(workspace, review, f"{address}#a", find_protocol("alpaca"), most=1)
    for row in _comparisons(workspace, review):
        second = 1 - rate if not row["is_turned"] else rate
        assert row["preference"] == pytest.approx(second)


@pytest.mark.parametrize(
    "logprobs",
    [
        [], "x", {"content": "x"}, {"content": [7]}, {"content": [{"top_logprobs": "mM"}]},
        {"content": [{"top_logprobs": [{"token": 3, "logprob": "high"}]}]},
        {"content": [{"top_logprobs": [{"token": "m", "logprob": None}]}]},
    ],
)  # fmt: skip
def test_probabilities_that_are_none_leave_the_letter(
    workspace: Workspace, review: str, logprobs: object
) -> None:
    said = {"choices": [{"message": {"content": "m"}, "logprobs": logprobs}]}
    with answering(body=said) as (address, _):
        judge_review(workspace, review, f"{address}#a", find_protocol("alpaca"), most=1)
    assert [row["choice"] for row in _comparisons(workspace, review)] == ["first", "second"]


def test_a_judge_whose_weights_changed_is_refused(workspace: Workspace, review: str) -> None:
    store = ReviewStore(workspace)
    number = store.find(review)["id"]
    judges = JudgeStore(store)
    protocol = find_protocol("pairwise")
    judges.add(number, "m", protocol, {"fingerprint": "one"})
    assert judges.add(number, "m", protocol, {"fingerprint": "one"})["model"] == "m"
    with pytest.raises(ReviewError, match="has other weights than when it began"):
        judges.add(number, "m", protocol, {"fingerprint": "two"})


def test_a_plan_says_what_is_asked_and_asks_nothing(
    workspace: Workspace, review: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*more: str) -> dict[str, Any]:
        where = ["--workspace", str(workspace.folder), "--name", review]
        assert main(["judge", *where, "--judge", judge, "--most", "4", "--json", *more]) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    with answering(body=lambda question: verdict_of(question, "answer A")) as (address, asked):
        judge = f"{address}#judge"
        before = run("--plan")
        assert (before["questions"], before["left"], before["tokens_read"]) == (8, 8, None)
        longest = find_protocol("pairwise").longest_answer
        assert before["most_tokens_written"] == 8 * longest
        assert asked == []
        store = ReviewStore(workspace)
        assert JudgeStore(store).of_review(store.find(review)["id"]) == []
        run()
        sent = [question["messages"][-1]["content"] for question in asked]
        assert sum(map(len, sent)) == before["characters"]
        marks = re.compile(r"[0-9a-f]{8}")
        assert marks.sub("", before["first"]) in {marks.sub("", one) for one in sent}
        after = run("--plan")
        assert (after["questions"], after["left"], after["characters"]) == (8, 0, 0)


def test_a_plan_counts_tokens_by_the_judge_s_own_tokenizer(
    workspace: Workspace, review: str
) -> None:
    plan = plan_judging(workspace, review, "pocket", find_protocol("pairwise"), most=2)
    encoder = ModelCache(workspace).get("pocket").encoder
    one = len(encoder.encode_prompt([Turn("user", plan.first)]))
    assert plan.tokens_read is not None
    assert 0.9 * 4 * one < plan.tokens_read < 1.1 * 4 * one
