"""MT-bench: its file, both turns asked, one answer judged alone and two side by side, by category."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.datasets.prompt_lists import load_prompt_list
from core.storage.workspace import Workspace
from review.cli.main import main
from review.judges.agreement import report_judges
from review.judges.protocols import read_rating
from review.store.reviews import ReviewStore
from tests.endpoints import answering

CATEGORIES = ("writing", "math")


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    rows: list[dict[str, Any]] = [
        {
            "question_id": 81 + n, "category": CATEGORIES[n % 2],
            "turns": [f"Do {n}.", f"Now do {n} again."],
        }
        for n in range(6)
    ]  # fmt: skip
    rows[1]["reference"] = ["It is 1.", "It is 2."]
    file = tmp_path / "mt_bench.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    return file


def says(words: Callable[[str], str]) -> Callable[[dict[str, Any]], tuple[int, dict[str, Any]]]:
    def answer(question: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        said = {"content": words(question["messages"][-1]["content"])}
        return 200, {"choices": [{"message": said, "finish_reason": "stop"}]}

    return answer


def test_references_of_both_turns_are_what_is_expected(questions: Path) -> None:
    examples = load_prompt_list(questions).examples
    assert [turn.text for turn in examples[1].prompt] == ["Do 1.", "Now do 1 again."]
    assert examples[1].turns[-1].text == "1. It is 1.\n\n2. It is 2."
    assert examples[0].turns[-1].text == ""


@pytest.mark.parametrize(
    ("said", "rating"),
    [
        ("Good.\nRATING: 7", 7), ("RATING: [[10]]", 10), ("rating: 3/10", 3), ("Rating: 0", None),
        ("RATING: 11", None), ("7", None), ("RATING: 7\nor so", None), ("", None),
        ("RATING: " + "[" * 100_000 + "7", None),
    ],
)  # fmt: skip
def test_a_rating_is_read_from_the_last_line_alone(said: str, rating: int | None) -> None:
    assert read_rating(said) == rating


def test_both_turns_are_judged_alone_and_side_by_side(
    workspace: Workspace, questions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--workspace", str(workspace.folder), "--name", "mt", "--json"]
    with (
        answering(body=says(lambda asked: f"well: {asked}")) as (good, asked),
        answering(body=says(lambda asked: f"badly: {asked}")) as (bad, _),
    ):
        contenders = [f"{good}#good", f"{bad}#bad"]
        new = ["new", *where, "--data", str(questions), "--contenders", *contenders]
        assert main([*new, "--split", "all", "--rows", "6"]) == 0
        assert [len(one["messages"]) for one in asked].count(3) == 6  # the second after the first
    capsys.readouterr()

    def rate(text: str) -> str:
        assert "Now do" in text and "── Then asked:" in text
        is_good, is_math = "well: Do" in text, any(f"Do {n}." in text for n in (1, 3, 5))
        return f"So.\nRATING: {(9 if is_good else 2) - is_math}"

    def prefer(text: str) -> str:
        return f"VERDICT: {'A' if text.index('well: Do') < text.index('badly: Do') else 'B'}"

    with answering(body=says(rate)) as (single, seen), answering(body=says(prefer)) as (pair, _):
        assert main(["judge", *where, "--judge", f"{single}#j", "--protocol", "mt-bench"]) == 0
        said = json.loads(capsys.readouterr().out)
        with_reference = [one for one in seen if "It is 2." in one["messages"][-1]["content"]]
        assert len(seen) == 12 and len(with_reference) == 2
        means = {
            (s["category"], s["contender"].partition(" ")[0]): s["mean"] for s in said["scores"]
        }
        assert means == {
            ("", "good"): 8.5, ("", "bad"): 1.5, ("writing", "good"): 9, ("writing", "bad"): 2,
            ("math", "good"): 8, ("math", "bad"): 1,
        }  # fmt: skip
        assert main(["judge", *where, "--judge", f"{pair}#j", "--protocol", "pairwise"]) == 0
        said = json.loads(capsys.readouterr().out)
        [match] = said["matches"]
        assert [one["category"] for one in match["categories"]] == ["math", "writing"]
        assert {one["win_rate"] for one in match["categories"]} in ({1.0}, {0.0})
    assert main(["report", *where[:-1]]) == 0
    text = capsys.readouterr().out
    assert "Mean score of good" in text and "  writing of bad" in text
    assert len(report_judges(ReviewStore(workspace), "mt")) == 2
