"""FastChat's first reviews: two scores on a line, and answers that lie in other files."""

import json
from pathlib import Path
from typing import Any

import pytest

from core.errors import DataError
from core.storage.workspace import Workspace
from review.cli.main import main
from review.judges.agreement import report_judges
from review.judges.annotations import holds_annotations, import_annotations
from review.judges.export import export_any
from review.judges.score_pairs import read_score_pair, read_score_pairs
from review.store.reviews import ReviewStore

TEXTS = [
    "8 9\nReasons, 3 4.",
    "9 8.5",
    "7,7\nAlike.",
    "8, 9\nA blank too many.",
    "Both get 9.",
    "10 9\n",
]
PAIRS = [(8.0, 9.0), (9.0, 8.5), (7.0, 7.0), None, None, (10.0, 9.0)]


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    """A table as FastChat's repository has it: questions, a file of answers for each model, reviews."""
    table, numbers = tmp_path / "table", range(1, len(TEXTS) + 1)
    lines(table / "question.jsonl", [
        {"question_id": n, "text": f"Question {n}?", "category": "generic"} for n in numbers
    ])  # fmt: skip
    for model in ("bard:1", "vicuna-13b"):
        lines(table / "answer" / f"answer_{model[:4]}.jsonl", [
            {"answer_id": f"{model}-{n}", "model_id": model, "question_id": n,
             "text": f"{model} says {n}"} for n in numbers
        ])  # fmt: skip
    return lines(table / "review" / "of-vicuna" / "review_bard_vicuna.jsonl", [
        {"review_id": f"r{n}", "question_id": n, "answer1_id": f"bard:1-{n}",
         "answer2_id": f"vicuna-13b-{n}", "reviewer_id": "gpt-4", "text": text,
         "score": list(pair or (-1, -1))}
        for n, text, pair in zip(numbers, TEXTS, PAIRS, strict=True)
    ])  # fmt: skip


def test_scores_are_read_as_fastchat_reads_them() -> None:
    assert [read_score_pair(text) for text in TEXTS] == PAIRS
    for text in ("", "8", "8 9 10", "8\n9", "a b", "nan 1", "inf 2", " 8 9", "8 9 "):
        assert read_score_pair(text) is None


def test_reviews_become_a_review_with_both_answers_and_what_was_said(
    workspace: Workspace, reviews: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert holds_annotations(reviews)
    words = ["import", "--name", "old", "--file", str(reviews), "--json"]
    assert main([*words, "--workspace", str(workspace.folder)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["judge"], told["judged"], told["errors"]) == ("gpt-4", 4, 2)
    assert (told["contender"], told["against"]) == ("vicuna-13b", "bard-1")
    assert told["win_rate"] == pytest.approx((1 + 0 + 0.5 + 0) / 4)
    store = ReviewStore(workspace)
    [report] = report_judges(store, "old")
    assert (report.judged, report.errors) == (4, 2)
    rows = [json.loads(line) for line in export_any(store, "old", "judgements").splitlines()]
    found = {row["row"]: (row["scores"] and tuple(row["scores"]), row["said"]) for row in rows}
    assert found == {n: (pair, text) for n, (pair, text) in
                     enumerate(zip(PAIRS, TEXTS, strict=True), start=1)}  # fmt: skip
    again = import_annotations(workspace, "old", reviews)
    assert (again.judged, again.errors) == (4, 2)  # in place of those before
    assert len(report_judges(store, "old")) == 1


def test_what_is_missing_is_said_with_file_and_row(workspace: Workspace, reviews: Path) -> None:
    table = reviews.parents[2]
    kept = (table / "answer" / "answer_bard.jsonl").read_text()
    (table / "answer" / "answer_bard.jsonl").write_text("\n".join(kept.splitlines()[:3]))
    with pytest.raises(
        DataError, match=r"row 4: no file of the folder 'answer' has the answer bard:1-4"
    ):
        import_annotations(workspace, "old", reviews)
    assert ReviewStore(workspace).all() == []
    (table / "answer" / "answer_bard.jsonl").write_text(kept)
    lines(table / "question.jsonl", [{"question_id": 1, "text": "Q?"}])
    with pytest.raises(DataError, match=r"row 2: question.jsonl has no text of question 2"):
        read_score_pairs(reviews)
    (table / "question.jsonl").unlink()
    with pytest.raises(DataError, match="names its questions and answers by number"):
        read_score_pairs(reviews)
