"""Reviews as FastChat's first judges wrote them: two scores on the first line of a text, for two answers
that lie in other files (`table/review`, `table/answer` and `table/question.jsonl` of its repository).
"""

from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from core.errors import DataError
from core.evaluation.layouts.folder import read_json_lines

_LEVELS = 4  # folders above the reviews in which questions are looked for
SCORE_PAIR_FIELDS = ("question_id", "answer1_id", "answer2_id", "text")


def read_score_pair(text: str) -> tuple[float, float] | None:
    """Return the scores of the first and the second answer: two numbers alone on the first line, with a
    blank or a comma between them; None where they do not stand so (FastChat's `parse_score`).
    """
    words = text.split("\n", 1)[0].replace(",", " ").split(" ")
    try:
        first, second = map(float, words)
    except ValueError:
        return None
    return (first, second) if isfinite(first) and isfinite(second) else None


def read_score_pairs(path: Path) -> list[dict[str, Any]]:
    """Return reviews as AlpacaEval's annotations, with what was ``said``: 1 where the first score is the
    higher, 2 where the second is, 1.5 where they are equal, null where they cannot be read.

    Raises DataError for a file that is broken, or whose questions and answers are not beside it.
    """
    table = _table_of(path)
    asked = read_json_lines(table / "question.jsonl", ("question_id", "text"))
    questions = {str(row["question_id"]): row["text"] for row in asked}
    files = sorted((table / "answer").glob("*.jsonl"))
    said = (row for file in files for row in read_json_lines(file, ("answer_id", "text")))
    answers = {str(row["answer_id"]): row for row in said}
    found = []
    for number, row in enumerate(read_json_lines(path, SCORE_PAIR_FIELDS), start=1):
        sides = [_answer(answers, row, side, f"{path.name}, row {number}") for side in (1, 2)]
        question = questions.get(str(row["question_id"]))
        if not isinstance(question, str):
            raise DataError(
                f"{path.name}, row {number}: question.jsonl has no text of question "
                f"{str(row['question_id'])[:20]}."
            )
        found.append(_annotation(row, question, sides))
    return found


def _annotation(
    row: Mapping[str, Any], question: str, sides: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    said = str(row["text"])
    scores = read_score_pair(said)
    preference = None
    if scores is not None:
        preference = 1.5 if scores[0] == scores[1] else 1.0 if scores[0] > scores[1] else 2.0
    return {
        "instruction": question, "output_1": sides[0]["text"], "output_2": sides[1]["text"],
        "generator_1": sides[0].get("model_id"), "generator_2": sides[1].get("model_id"),
        "annotator": str(row.get("reviewer_id") or "reviewer"), "preference": preference, "said": said,
    }  # fmt: skip


def _table_of(path: Path) -> Path:
    """Return the folder of questions and answers above a file of reviews, or its own. Raises DataError."""
    for folder in list(path.resolve().parents)[:_LEVELS]:
        if (folder / "question.jsonl").is_file() and (folder / "answer").is_dir():
            return folder
    raise DataError(
        f"{path.name} names its questions and answers by number: put question.jsonl and the folder "
        "'answer' beside it or above it, as FastChat's table has them, and bring it by the command "
        "'import'."
    )


def _answer(
    answers: Mapping[str, dict[str, Any]], row: Mapping[str, Any], side: int, where: str
) -> Mapping[str, Any]:
    name = str(row[f"answer{side}_id"])
    found = answers.get(name)
    if found is None or not isinstance(found["text"], str):
        raise DataError(f"{where}: no file of the folder 'answer' has the answer {name[:40]}.")
    return found
