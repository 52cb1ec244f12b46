"""What an evaluation says: every score with its interval, and what differs from a baseline, question
by question. Knows no screen.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from core.evaluation.compare import (
    Comparison,
    adjust,
    compare_scores,
    comparison_sentence,
    interval_of,
)
from core.evaluation.helm.perturb import MARK
from core.evaluation.rows import EvaluationRow, ResultRow
from core.evaluation.store import EvaluationStore
from core.evaluation.suites import SUITES

_Z = 1.96
_TITLES = {
    "pocket_choice": "pocket's families, choosing", "pocket_exact": "pocket's families, written",
    "multirc_official": "MultiRC", "triviaqa_f1": "TriviaQA (EM, F1)", "sglue_rte": "RTE (SuperGLUE)",
    "stsb": "STS-B", "sst2": "SST-2", "cola": "CoLA", "record": "ReCoRD", "boolq": "BoolQ",
    "humaneval_10": "HumanEval, 10 programs each",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What one model reached in one task."""

    value: float | None  # 0 to 1, but for correlations; None where the task failed
    low: float | None
    high: float | None
    questions: int
    metric: str
    notes: tuple[str, ...]
    message: str  # why there is no score


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One task, or a group of them, with all models."""

    task: str
    title: str
    is_group: bool
    cells: tuple[Cell | None, ...]  # in the order of the models; None where it was not asked yet


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationReport:
    """All that is said of an evaluation."""

    evaluation: EvaluationRow
    models: tuple[str, ...]
    baseline: str
    lines: tuple[Line, ...]
    comparisons: tuple[Comparison, ...]
    sentences: tuple[str, ...]  # one for each comparison, what is shown first


def report_evaluation(store: EvaluationStore, name: str, baseline: str = "") -> EvaluationReport:
    """Return the report of an evaluation; models are compared with ``baseline``, by default the
    first. Raises EvaluationError where there is no such evaluation.
    """
    row = store.find(name)
    results = store.results(name)
    models = tuple(json.loads(row["models"]))
    baseline = baseline if baseline in models else (models[0] if models else "")
    lines = _lines(store, name, models, results)
    comparisons = _comparisons(store, name, [m for m in models if m != baseline], baseline, results)
    order = sorted(comparisons, key=lambda one: (not one.is_shown, one.adjusted_p))
    scales = {one["task"]: _scale(one) for one in results}
    return EvaluationReport(
        evaluation=row,
        models=models,
        baseline=baseline,
        lines=tuple(lines),
        comparisons=tuple(order),
        sentences=tuple(
            comparison_sentence(one, title_of(one.task), scales.get(one.task, 1.0)) for one in order
        ),
    )


def sentences_about(store: EvaluationStore, models: Collection[str]) -> tuple[str, list[str]]:
    """Return the latest evaluation that two or more of some models were asked in, and what it says of
    them; ('', []) for none.
    """
    for row in store.all():
        asked = [model for model in json.loads(row["models"]) if model in models]
        if len(asked) < 2:
            continue
        report = report_evaluation(store, row["name"], asked[0])
        found = [
            sentence
            for one, sentence in zip(report.comparisons, report.sentences, strict=True)
            if one.model in asked
        ]
        if found:
            return row["name"], found
    return "", []


def title_of(task: str) -> str:
    """Return what a task is called on a page."""
    own, mark, perturbation = task.partition(MARK)
    own, dot, view = own.partition(" · ")
    ending = f", {perturbation}" if mark else f": {view}" if dot else ""
    return f"{_plain_title(own)}{ending}"


def _plain_title(task: str) -> str:
    if task.startswith(("own:", "evals:")):
        return task.partition(":")[2]
    if task.startswith("mmlu_") and task not in SUITES:
        return f"MMLU, {task.removeprefix('mmlu_').replace('_', ' ')}"
    known = SUITES[task].title if task in SUITES else task.replace("_", " ")
    return _TITLES.get(task, known)


def _lines(
    store: EvaluationStore, name: str, models: Sequence[str], results: Sequence[ResultRow]
) -> list[Line]:
    by_task: dict[str, dict[str, ResultRow]] = {}
    for one in sorted(results, key=lambda one: (not one["is_group"], one["task"])):
        by_task.setdefault(one["task"], {})[one["model"]] = one
    return [
        Line(
            task=task,
            title=title_of(task),
            is_group=any(one["is_group"] for one in of_task.values()),
            cells=tuple(
                _cell(store, name, of_task[model]) if model in of_task else None for model in models
            ),
        )
        for task, of_task in by_task.items()
    ]


def _cell(store: EvaluationStore, name: str, one: ResultRow) -> Cell:
    facts = json.loads(one["facts"])
    value = None if one["value"] is None else one["value"] / _scale(one)
    low = high = None
    if value is not None:
        scores = {} if one["is_group"] else store.scores(name, one["model"], one["task"])
        mean = sum(score for score, _ in scores.values()) / len(scores) if scores else None
        if mean is not None and abs(mean - value) < 1e-9:
            low, high = interval_of(scores) or (None, None)
        # an error of nothing says that no draw of the bootstrap differed, not that it is sure
        if low is None and one["stderr"]:
            half = _Z * one["stderr"] / _scale(one)
            low, high = value - half, value + half
    notes = [*facts.get("notes", ()), *_seen_notes(store, name, one)]
    return Cell(
        value=value, low=low, high=high, questions=one["questions"], metric=one["metric"],
        notes=tuple(notes), message=one["message"],
    )  # fmt: skip


def _seen_notes(store: EvaluationStore, name: str, one: ResultRow) -> list[str]:
    """Say how many questions a model was trained on, and its score without them."""
    if one["is_group"] or one["message"]:
        return []
    seen, others = store.unseen_scores(name, one["model"], one["task"])
    if not seen:
        return []
    told = f"{seen:,} of these questions stand in its training rows"
    if not others:
        return [told]
    return [f"{told}; without them {100 * sum(others) / len(others):.1f} %"]


def _scale(one: ResultRow) -> float:
    facts: dict[str, Any] = json.loads(one["facts"])
    return float(facts.get("scale", 1))


def _comparisons(
    store: EvaluationStore,
    name: str,
    models: Sequence[str],
    baseline: str,
    results: Sequence[ResultRow],
) -> list[Comparison]:
    """Compare each model with the baseline on every task, and allow for their number."""
    found: list[Comparison] = []
    tasks = sorted(
        {
            one["task"]
            for one in results
            if not one["is_group"] and not one["message"] and MARK not in one["task"]
        }
    )
    for task in tasks:
        theirs = store.scores(name, baseline, task)
        for model in models:
            mine = store.scores(name, model, task)
            if (one := compare_scores(task, (model, mine), (baseline, theirs))) is not None:
                found.append(one)
    return adjust(found)
