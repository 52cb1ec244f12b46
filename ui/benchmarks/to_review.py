"""Written answers to a benchmark's questions become a review, to be judged blind by people."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence

from core.datasets.dataset import load_dataset
from core.errors import EvaluationError
from core.evaluation.report import title_of
from core.evaluation.rows import SampleRow
from core.evaluation.store import EvaluationStore
from review.setup.from_responses import create_from_responses
from ui.services import Services

_UNFIT = re.compile(r"[^\w.-]+")
_MOST_ROWS = 500
_NOTHING = "(nothing)"


def review_answers(services: Services, name: str, task: str) -> str:
    """Make a review of what models wrote to a task's questions, and return its name.

    Raises EvaluationError where nothing was written, or by one model alone.
    """
    models = json.loads(services.evaluations.find(name)["models"])
    written = {model: _written(services, name, model, task) for model in models}
    written = {model: rows for model, rows in written.items() if rows}
    if len(written) < 2:
        raise EvaluationError(
            f"{title_of(task)} has no written answers of two models to put side by side."
        )
    shared = sorted(set.intersection(*(set(rows) for rows in written.values())))[:_MOST_ROWS]
    services.review_jobs.check_idle()
    first = next(iter(written.values()))
    stem = _UNFIT.sub("-", f"{task}-{name}")[:60]
    prompts = [
        {"instruction": first[number]["prompt"], "output": first[number]["gold"] or _NOTHING}
        for number in shared
    ]
    responses = {}
    for model, rows in written.items():
        tag = hashlib.sha256(f"{name} {task} {model}".encode()).hexdigest()[:6]
        file = services.workspace.responses / f"{_UNFIT.sub('-', model)[:40]}-{tag}.jsonl"
        responses[file] = [rows[number]["answer"] or _NOTHING for number in shared]
    review = services.reviews.free_name(stem[:40])
    create_from_responses(services.workspace, review, stem, prompts, responses, load_dataset)
    services.review_jobs.start(review)
    return review


def _written(services: Services, name: str, model: str, task: str) -> Mapping[int, SampleRow]:
    """Return what a model wrote, by question; none for choices that were only scored."""
    samples = services.evaluations.samples(name, model, task)
    return {one["question"]: one for one in samples if one["score"] is not None and _is_text(one)}


def is_written(
    store: EvaluationStore, name: str, models: Sequence[str], task: str, numbers: Sequence[int]
) -> bool:
    """Return whether two models or more wrote answers to some questions."""
    found = [store.questions(name, model, task, numbers) for model in models]
    return sum(bool(rows) and all(map(_is_text, rows)) for rows in found) > 1


def _is_text(one: SampleRow) -> bool:
    responses = json.loads(one["sample"]).get("resps") or [[""]]
    return all(isinstance(response[0], str) for response in responses)
