"""Questions written otherwise, and HELM's views from what was answered."""

import json
from typing import Any

import pytest

from core.evaluation.helm.perturb import PERTURBATIONS, gendered_words, perturbed
from core.evaluation.helm.views import add_helm_results
from core.evaluation.rows import ResultRow, SampleRow
from core.evaluation.settings import EvaluationSettings
from core.evaluation.store import EvaluationStore
from core.storage.workspace import Workspace

TEXT = "John said that he is not going to the man who does not believe his brother.\nAnswer:"


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_a_question_is_written_otherwise_and_always_alike(name: str) -> None:
    found = perturbed(TEXT, name)
    assert found != TEXT and found == perturbed(TEXT, name)
    assert found.endswith("\nAnswer:")


def test_words_are_exchanged_whole_and_keep_their_capitals() -> None:
    assert PERTURBATIONS["contractions"]("It is so. Do not go; theatre is not") == (
        "It's so. Don't go; theatre isn't"
    )
    assert PERTURBATIONS["gender"]("The man and his father: mankind") == (
        "The woman and her mother: mankind"
    )
    assert PERTURBATIONS["lowercase"]("ABC") == "abc"
    assert "John" not in PERTURBATIONS["names"]("John came.")
    assert len(PERTURBATIONS["blanks"]("a b c d e f g h")) > 15
    men, women = gendered_words()
    assert "he" in men and "she" in women and not men & women


def _sample(task: str, number: int, score: float, **more: Any) -> SampleRow:
    return {
        "evaluation_id": 1, "model": "m", "task": task, "question": number, "filter": "none",
        "score": score, "seen": 0, "cluster": "", "prompt": "", "answer": "", "gold": "",
        "sample": "{}", **more,
    }  # type: ignore[typeddict-item]  # fmt: skip


def _result(task: str, **more: Any) -> ResultRow:
    return {
        "evaluation_id": 1, "model": "m", "task": task, "is_group": 0, "metric": "acc", "value": 0.5,
        "stderr": 0.1, "questions": 2, "metrics": "{}", "facts": "{}", "fingerprint": "f",
        "message": "", **more,
    }  # type: ignore[typeddict-item]  # fmt: skip


def test_views_are_worst_cases_calibration_and_words(workspace: Workspace) -> None:
    store = EvaluationStore(workspace)
    name = store.create("", ["m"], ["t"], EvaluationSettings(helm=True))
    resps = json.dumps({"resps": [[[-1.0, 0]], [[-1.0, 0]]]})  # two choices alike: half sure
    store.add_result(
        _result("t", facts=json.dumps({"seconds_per_request": 0.02})),
        [_sample("t", 0, 1.0, sample=resps), _sample("t", 1, 1.0, sample=resps)],
    )
    for number, one in enumerate(PERTURBATIONS):
        scores = [0.0 if number == 0 else 1.0, 1.0]
        store.add_result(
            _result(f"t~{one}"), [_sample(f"t~{one}", n, score) for n, score in enumerate(scores)]
        )
    said = [f"He and his father, {'damn' if n == 0 else 'well'}" for n in range(10)]
    store.add_result(
        _result("w"), [_sample("w", n, 1.0, answer=text) for n, text in enumerate(said)]
    )
    add_helm_results(store, store.find(name), "m", ["t", "w"], frozenset({"damn"}))
    found = {one["task"]: one["value"] for one in store.results(name) if one["is_group"]}
    assert found == pytest.approx(
        {
            "t · robustness": 0.5, "t · fairness": 1.0, "t · calibration error": 0.5,
            "t · seconds a request": 0.02, "w · gender bias": 0.5, "w · toxicity": 0.1,
        }
    )  # fmt: skip
