"""The board's server side: what board.js asks for and what its buttons do. Knows no component."""

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from cachetools import LRUCache

from core.errors import EvaluationError
from core.evaluation.exchange import evals_archive, lm_eval_archive, results_csv
from core.evaluation.report import EvaluationReport, report_evaluation, title_of
from core.evaluation.rows import SampleRow
from core.evaluation.store import EvaluationStore
from core.progress import TimeLeft
from ui.benchmarks.evaluation_report import write_evaluation_report
from ui.benchmarks.to_review import is_written, review_answers
from ui.benchmarks.views import GOING_ON, evaluation_view, question_view
from ui.error_messages import answers_errors, text, whole_number
from ui.services import Services

Question = dict[str, Any]
_ON_A_PAGE = 10
_REPORTS = 8


@dataclass(frozen=True, slots=True)
class _Export:
    title: str
    ending: str


EXPORTS = {
    "lm-eval": _Export("lm-eval's files, with every sample (zip)", "-lm-eval.zip"),
    "evals": _Export("Logs as OpenAI Evals writes them (zip)", "-evals.zip"),
    "csv": _Export("Table (CSV)", ".csv"),
    "html": _Export("Report to print (HTML)", ".html"),
}


def export_content(store: EvaluationStore, name: str, wanted: str) -> bytes:
    """Return an evaluation as a file."""
    if wanted == "lm-eval":
        return lm_eval_archive(store, name)
    if wanted == "evals":
        return evals_archive(store, name)
    if wanted == "html":
        return str(write_evaluation_report(report_evaluation(store, name))).encode()
    return results_csv(store, name).encode()


def board_functions(services: Services) -> list[Callable[[Question], Any]]:
    """Return the functions that board.js calls by name."""
    store, jobs = services.evaluations, services.evaluation_jobs
    paces: dict[str, TimeLeft] = defaultdict(TimeLeft)
    reports = _Reports(store)

    @answers_errors
    def read_evaluation(question: Question) -> dict[str, Any]:
        name = text(question, "name")
        report = reports.read(name, text(question, "baseline"))
        progress = jobs.progress(name) if report.evaluation["state"] in GOING_ON else None
        left = None
        if progress:
            left = paces[name].seconds(progress.stage, progress.done, progress.total)
        return evaluation_view(report, progress, left)

    @answers_errors
    def change_evaluation(question: Question) -> dict[str, Any]:
        name, what = text(question, "name"), text(question, "what")
        actions = {"stop": jobs.stop, "go-on": jobs.submit, "delete": store.delete}
        if what not in actions:
            raise EvaluationError("The page asks in a way that is not understood: reload it.")
        actions[what](name)
        return {"done": what}

    @answers_errors
    def read_questions(question: Question) -> dict[str, Any]:
        name, task = text(question, "name"), text(question, "task")
        page, which = max(whole_number(question, "page"), 0), text(question, "which")
        models = json.loads(store.find(name)["models"])
        numbers = _chosen_questions(store, name, task, models, which)
        start = page * _ON_A_PAGE
        wanted = numbers[start : start + _ON_A_PAGE]
        return {
            "title": f"{title_of(task)}: {len(numbers):,} questions",
            "page": page,
            "more": start + _ON_A_PAGE < len(numbers),
            "words": f"{start + 1:,} to {start + len(wanted):,} of {len(numbers):,}" if wanted else "None.",
            "written": bool(wanted) and is_written(store, name, models, task, wanted[:1]),
            "questions": [
                question_view(samples)
                for samples in _samples(store, name, task, models, wanted)
            ],
        }  # fmt: skip

    @answers_errors
    def judge_questions(question: Question) -> dict[str, Any]:
        return {"review": review_answers(services, text(question, "name"), text(question, "task"))}

    return [read_evaluation, change_evaluation, read_questions, judge_questions]


class _Reports:
    """Reports that were made last, for as long as nothing was written: a page asks every second, and a
    report goes through every question.
    """

    def __init__(self, store: EvaluationStore) -> None:
        self._store = store
        self._made: LRUCache[tuple[str, str], tuple[str, EvaluationReport]] = LRUCache(_REPORTS)

    def read(self, name: str, baseline: str) -> EvaluationReport:
        """Return the report of an evaluation. Raises EvaluationError."""
        now, known = self._store.signature(name), self._made.get((name, baseline))
        if known is None or known[0] != now:
            known = (now, report_evaluation(self._store, name, baseline))
            self._made[name, baseline] = known
        return replace(known[1], evaluation=self._store.find(name))


def _chosen_questions(
    store: EvaluationStore, name: str, task: str, models: list[str], which: str
) -> list[int]:
    """Return the numbers of a task's questions: all, where models differ, or that the first model
    has wrong.
    """
    scores = {model: store.scores(name, model, task) for model in models}
    known = sorted({number for of_model in scores.values() for number in of_model})
    if which == "differ":
        return [
            number
            for number in known
            if len({of[number][0] for of in scores.values() if number in of}) > 1
        ]
    if which == "wrong":
        first = scores[models[0]]
        return [number for number in known if number in first and first[number][0] < 1]
    return known


def _samples(
    store: EvaluationStore, name: str, task: str, models: list[str], numbers: list[int]
) -> list[dict[str, SampleRow]]:
    """Return for each question what each model answered."""
    found: dict[int, dict[str, SampleRow]] = {number: {} for number in numbers}
    for model in models:
        for one in store.questions(name, model, task, numbers):
            found[one["question"]].setdefault(model, one)
    return [of_one for of_one in found.values() if of_one]
