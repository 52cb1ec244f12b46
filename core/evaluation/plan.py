"""What an evaluation will ask, and how long that takes here: its questions are read and a few of them
asked. What they are answered is kept, as in the evaluation itself.

Loads lm-eval, so it belongs in a process of its own.
"""

import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import psutil

from core.errors import UserError
from core.evaluation.answers import AnswerStore
from core.evaluation.choices import bare_name, is_endpoint
from core.evaluation.run import (
    asked_model,
    data_folder,
    model_fingerprint,
    sources_of,
    told_of_failures,
    with_perturbations,
)
from core.evaluation.settings import EvaluationSettings
from core.generation.model_cache import ModelCache
from core.storage.workspace import Workspace

_PROBED = 4  # questions of a task, the first of which warms up
_COUNTED = 60  # requests whose tokens are counted
_MOST_S = 20.0  # for all that is probed with one model


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTask:
    """What one task asks one model."""

    model: str
    task: str
    questions: int
    requests: int
    tokens: int  # that are read, beginnings that are shared counted each time
    seconds: float | None  # None where nothing was tried
    note: str
    message: str  # why it cannot be asked


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationPlan:
    """What an evaluation asks in all."""

    tasks: tuple[PlannedTask, ...]
    memory_mib: int  # of the process that asked

    def as_object(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)


def plan_evaluation(
    workspace: Workspace,
    models: Sequence[str],
    tasks: Sequence[str],
    settings: EvaluationSettings,
    tell: Callable[[str], None] = lambda _: None,
) -> EvaluationPlan:
    """Return what models would be asked, and for how long. Raises UserError for a model or a name
    that is not there; what is wrong with one task's data stands in its line.
    """
    from core.evaluation.tasks import expand, quiet_libraries

    quiet_libraries()
    names = with_perturbations(expand(tasks, data_folder(settings))[0], settings)
    cache = ModelCache(workspace)
    planned: list[PlannedTask] = []
    for model in settings.contenders(models):
        spent = 0.0
        for name in names:
            tell(f"{name} with {model}")
            one = _plan_task(
                workspace, cache, model, name, settings, models, may_ask=spent < _MOST_S
            )
            planned.append(one[0])
            spent += one[1]
        cache.free()
    used = int(psutil.Process().memory_info().rss / 2**20)
    return EvaluationPlan(tasks=tuple(planned), memory_mib=used)


def _plan_task(  # noqa: PLR0913 - what a line is made of
    workspace: Workspace,
    cache: ModelCache,
    model: str,
    name: str,
    settings: EvaluationSettings,
    everyone: Sequence[str],
    *,
    may_ask: bool,
) -> tuple[PlannedTask, float]:
    """Return one line of the plan, and the seconds that its questions took."""
    from core.evaluation.asked_model import Pace
    from core.evaluation.tasks import build_requests, load_task

    empty: dict[str, Any] = {
        "model": model, "task": name, "questions": 0, "requests": 0, "tokens": 0, "seconds": None,
        "note": "", "message": "",
    }  # fmt: skip
    try:
        pace = Pace(lambda _kind, _more: None, lambda: False)
        folder = data_folder(settings)
        settings, bare = settings.for_model(model), bare_name(model)
        sources = sources_of(workspace, cache, bare, settings, folder, pace, everyone)
        loaded = told_of_failures(name, load_task, name, sources)
        known = model if is_endpoint(model) else model_fingerprint(cache.find(bare))
        lm = asked_model(cache, bare, AnswerStore(workspace.database, known), pace)
        with contextlib.redirect_stdout(sys.stderr):
            requests = told_of_failures(name, build_requests, loaded, lm, settings)
    except UserError as error:
        return PlannedTask(**{**empty, "message": str(error)}), 0.0
    step = max(len(requests) // _COUNTED, 1)
    counted = [lm.count_tokens(str(one.args[0])) for one in requests[::step]]
    questions = len({one.doc_id for one in requests})
    seconds, took = _timed(lm, requests) if may_ask else (None, 0.0)
    line = {
        **empty,
        "questions": questions,
        "requests": sum(one.repeats or 1 for one in requests),
        "tokens": round(sum(counted) / max(len(counted), 1) * len(requests)),
        "seconds": seconds,
        "note": loaded.note,
    }
    return PlannedTask(**line), took


def _timed(lm: Any, requests: Sequence[Any]) -> tuple[float | None, float]:
    """Return how long all questions that are not answered yet will take by the first of these, and
    how long those took.
    """
    known = lm.known(requests)
    left = sorted(
        {one.doc_id for one, is_known in zip(requests, known, strict=True) if not is_known}
    )
    chosen = left[:_PROBED]
    if not chosen:
        return 0.0, 0.0
    began = time.perf_counter()
    paces = []
    for number in chosen:
        started = time.perf_counter()
        of_one = [one for one in requests if one.doc_id == number]
        for kind in {one.request_type for one in of_one}:
            getattr(lm, kind)([one for one in of_one if one.request_type == kind])
        paces.append(time.perf_counter() - started)
    took = time.perf_counter() - began
    steady = paces[1:] or paces
    return round(sum(steady) / len(steady) * len(left), 1), took


def plan_text(plan: EvaluationPlan) -> str:
    """Return a plan as text for a terminal."""
    lines = []
    for one in plan.tasks:
        if one.message:
            lines.append(f"{one.model:20} {one.task:34} cannot be asked: {one.message}")
            continue
        long = "not tried" if one.seconds is None else f"about {one.seconds:,.0f} s"
        note = f" ({one.note})" if one.note else ""
        lines.append(
            f"{one.model:20} {one.task:34} {one.questions:,} questions, {one.requests:,} requests, "
            f"{one.tokens:,} tokens, {long}{note}"
        )
    lines.append(f"memory: {plan.memory_mib:,} MiB")
    return "\n".join(lines)
