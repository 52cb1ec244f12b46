"""An evaluation from its first question to its last: every task with every model, results and
samples written down task by task, so that what was cut off goes on where it was.

Loads lm-eval, so it belongs in a process of its own.
"""

import contextlib
import hashlib
import importlib.metadata
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.datasets.conversation import Example, Turn, turn_text
from core.errors import EvaluationError, StoppedError, UserError
from core.evaluation.answers import AnswerStore
from core.evaluation.choices import bare_name, is_endpoint
from core.evaluation.contamination import TrainingText, training_text_of
from core.evaluation.groups import add_group_results
from core.evaluation.helm.perturb import MARK, PERTURBATIONS
from core.evaluation.helm.views import add_helm_results
from core.evaluation.layouts.folder import DataFolder, read_text
from core.evaluation.own_benchmarks import OwnBenchmark, OwnBenchmarks
from core.evaluation.rows import EvaluationRow, EvaluationState, ResultRow
from core.evaluation.samples import (
    as_sample_rows,
    main_metric,
    normalised_score,
    stderr_of,
)
from core.evaluation.sandbox.run_code import run_programs
from core.evaluation.settings import EvaluationSettings
from core.evaluation.store import OF_EVALUATION, EvaluationStore, lock_file
from core.evaluation.suites import BUNDLED_FOLDER, PERCENT_TASKS
from core.generation.model_cache import ModelCache
from core.generation.openai_endpoint import find_endpoint
from core.models.resolve import ModelSource, tokenizer_identity, weights_identity
from core.processes.messages import Progress
from core.storage.process_lock import held
from core.storage.workspace import Workspace
from core.text import shortened

if TYPE_CHECKING:
    from core.evaluation.asked_model import AskedModel, Pace
    from core.evaluation.openai_evals import Judge
    from core.evaluation.tasks import LoadedTask, TaskSources

_BIG_BENCH = "bigbench_"
_LIBRARIES = ("lm_eval", "torch", "transformers", "datasets")
_BOOTSTRAP = 1000
_JUDGED_TOKENS = 256  # that a judge may write
_TELL_S = 1.0
_LOOK_S = 1.0  # how often it is asked whether to stop

Tell = Callable[[Progress], None]


@dataclass(slots=True)
class _Counter:
    """Requests of one task that are done, told of now and then; and whether to stop."""

    stage: str
    tell: Tell
    is_stopped: Callable[[], bool]
    total: int = 0
    done: int = 0
    told: float = 0.0
    looked: float = 0.0
    stopping: bool = False

    def count(self, _kind: str, more: int) -> None:
        self.done += more
        if time.monotonic() - self.told > _TELL_S:
            self.told = time.monotonic()
            self.tell(Progress(stage=self.stage, done=self.done, total=self.total, unit="request"))

    def should_stop(self) -> bool:
        if time.monotonic() - self.looked > _LOOK_S:
            self.looked = time.monotonic()
            self.stopping = self.stopping or self.is_stopped()
        return self.stopping


def run_evaluation(
    workspace: Workspace, name: str, tell: Tell, should_stop: Callable[[], bool] = lambda: False
) -> None:
    """Run an evaluation, or go on with one: tasks that are done with a model as it is stay.

    A task that fails is written down with its reason, and the others run. Raises StoppedError where
    it was stopped, WorkspaceError where another process runs it.
    """
    store = EvaluationStore(workspace)
    row = store.find(name)
    lock = lock_file(workspace, row["id"])
    with held(lock, f"The evaluation '{name}' is going on already."):
        store.set_state(name, EvaluationState.RUNNING)
        store.note_versions(name, {one: importlib.metadata.version(one) for one in _LIBRARIES})
        began = time.monotonic()
        state, message = EvaluationState.FAILED, "A fault in Fuata or its libraries."
        try:
            failed = _Run(workspace, row, tell, should_stop).all_tasks()
            state = EvaluationState.FINISHED
            message = f"{failed} of its tasks could not be run." if failed else ""
        except StoppedError as stopped:
            state, message = EvaluationState.STOPPED, str(stopped)
            raise
        except UserError as error:
            state, message = EvaluationState.FAILED, str(error)
            raise
        finally:
            store.set_state(name, state, message)
            store.add_time(name, time.monotonic() - began)


class _Run:
    """One evaluation under way."""

    def __init__(
        self, workspace: Workspace, row: EvaluationRow, tell: Tell, should_stop: Callable[[], bool]
    ) -> None:
        self.workspace, self.row, self.tell = workspace, row, tell
        self.store = EvaluationStore(workspace)
        self.settings = self.store.settings(row["name"])
        self.asked_to_stop = should_stop
        self.folder = data_folder(self.settings)
        self.models = ModelCache(workspace)
        self.trained_on: dict[str, TrainingText | None] = {}

    def all_tasks(self) -> int:
        """Run what is not done yet, and return how many tasks failed."""
        from core.evaluation.tasks import expand, quiet_libraries

        quiet_libraries()
        tasks, groups = expand(json.loads(self.row["tasks"]), self.folder)
        failed = 0
        for model in json.loads(self.row["models"]):
            fingerprint = self._fingerprint(model)
            done = {
                one["task"]
                for one in self.store.results(self.row["name"])
                if one["model"] == model
                and one["fingerprint"] == fingerprint
                and not one["message"]
            }
            for task in with_perturbations(tasks, self.settings):
                if task not in done:
                    failed += not self._one_task(task, model, fingerprint)
            if self.settings.helm:
                add_helm_results(self.store, self.row, model, tasks, self._toxic_words())
            add_group_results(self.store, self.row, model, fingerprint, groups)
            self.models.free()  # the next one needs the room
        return failed

    def _fingerprint(self, model: str) -> str:
        """Return what tells a model from others; what answers at an address may change between two
        evaluations.
        """
        if is_endpoint(model):
            return endpoint_fingerprint(model, self.row)
        return model_fingerprint(self.models.find(bare_name(model)))

    def _toxic_words(self) -> frozenset[str]:
        """Return the words of a list that lies with the data, none where there is no list."""
        path = self.folder.find(r"toxic[-_]words\.txt") if self.folder is not None else None
        return frozenset(read_text(path).lower().split()) if path is not None else frozenset()

    def _one_task(self, task: str, model: str, fingerprint: str) -> bool:
        """Ask one task, and return whether that went well."""
        began = time.monotonic()
        empty: ResultRow = {
            "evaluation_id": self.row["id"], "model": model, "task": task, "is_group": 0,
            "metric": "", "value": None, "stderr": None, "questions": 0, "metrics": "{}",
            "facts": "{}", "fingerprint": fingerprint, "message": "",
        }  # fmt: skip
        try:
            self._ask(task, model, empty, began)
        except StoppedError:
            raise
        except UserError as error:
            self.store.add_result({**empty, "message": str(error)}, [])
            self.tell(Progress(stage=f"{task} could not be run: {error}"))
            return False
        return True

    def _ask(self, name: str, model: str, empty: ResultRow, began: float) -> None:
        """Ask all questions of a task, and write down what came of it."""
        from core.evaluation.asked_model import Pace
        from core.evaluation.tasks import load_task

        stage = f"{name} with {model}"
        self.tell(Progress(stage=f"{stage}: reading its questions"))
        counter = _Counter(stage, self.tell, self._is_stopped)
        pace = Pace(counter.count, counter.should_stop)
        settings = self.settings.for_model(model)
        everyone = [bare_name(one) for one in json.loads(self.row["models"])]
        sources = sources_of(
            self.workspace,
            self.models,
            bare_name(model),
            settings,
            self.folder,
            pace,
            everyone,
            endpoint_fingerprint(settings.judge, self.row),
        )
        loaded = told_of_failures(name, load_task, name, sources)
        answers = AnswerStore(self.workspace.database, empty["fingerprint"])
        lm = asked_model(self.models, bare_name(model), answers, pace)
        found = _evaluated(loaded, lm, settings, counter)
        metrics = {key: value for key, value in found["results"][loaded.name].items() if "," in key}
        samples = found["samples"][name]
        if (
            name.startswith(_BIG_BENCH)
            and (found_normalised := normalised_score(samples)) is not None
        ):
            metrics["normalised,none"] = found_normalised
        metric, used_filter = main_metric(metrics)
        facts = self._facts(loaded, lm, found) | {"seconds": round(time.monotonic() - began, 2)}
        rows = as_sample_rows(samples, empty, metric, used_filter, self._is_seen(model, loaded))
        value = float(metrics[f"{metric},{used_filter}"])
        self.store.add_result(
            {
                **empty,
                "metric": metric,
                "value": value,
                "stderr": stderr_of(metrics, metric, used_filter, samples, loaded.task),
                "questions": len({one["question"] for one in rows}),
                "metrics": json.dumps(_plain(metrics)),
                "facts": json.dumps(facts, ensure_ascii=False),
            },
            rows,
        )
        self.tell(Progress(stage=f"{stage}: {metric} {value:.4f}"))

    def _facts(
        self, loaded: "LoadedTask", lm: "AskedModel", found: dict[str, Any]
    ) -> dict[str, Any]:
        """Return what has to be known of a result before it is compared with another."""
        name, settings = loaded.name, self.settings
        shortened = f"answers cut to {lm.max_length // 2} tokens" if lm.shortened else ""
        return {
            "version": str(found["versions"].get(name)),
            "few_shot": found["n-shot"].get(name, 0),
            "chat_template": settings.chat_template or loaded.renders,
            "style": lm.tokenizer_name if settings.chat_template or loaded.renders else "",
            "notes": [note for note in (loaded.note, shortened) if note],
            "questions_in_all": found["n-samples"][name]["original"],
            "scale": 100 if name in PERCENT_TASKS else 1,
            "seconds_per_request": lm.seconds_per_request,
            "higher_is_better": found["higher_is_better"].get(name, {}),
        }

    def _is_seen(self, model: str, loaded: "LoadedTask") -> Callable[[Mapping[str, Any]], bool]:
        """Return what says of a task's questions whether a model was trained on them."""
        if model not in self.trained_on:
            self.trained_on[model] = training_text_of(self.workspace, bare_name(model))
        text = self.trained_on[model]
        return lambda doc: (
            text is not None
            and text.holds(str(told_of_failures(loaded.name, loaded.question, doc)))
        )

    def _is_stopped(self) -> bool:
        return (
            self.asked_to_stop() or self.store.find(self.row["name"])["requested_action"] == "stop"
        )


def with_perturbations(tasks: Sequence[str], settings: EvaluationSettings) -> list[str]:
    """Return tasks, each with its perturbations behind it where HELM's views are wanted."""
    if not settings.helm:
        return list(tasks)
    ends = ["", *(f"{MARK}{one}" for one in PERTURBATIONS)]
    return [f"{task}{end}" for task in tasks for end in ends]


def sources_of(  # noqa: PLR0913 - what tasks are made of
    workspace: Workspace,
    models: ModelCache,
    model: str,
    settings: EvaluationSettings,
    folder: DataFolder | None,
    pace: "Pace",
    everyone: Sequence[str],
    judge_of: str = "",
) -> "TaskSources":
    """Return what tasks for one model are made of; ``everyone`` are all models that are compared, whose
    test rows must be the same.
    """
    from core.evaluation.endpoint_model import as_messages
    from core.evaluation.tasks import TaskSources

    own = OwnBenchmarks(workspace)
    system = [Turn("system", settings.system)] if settings.system else []

    def render_turns(turns: Sequence[Turn]) -> str:
        has_own = any(turn.role == "system" for turn in turns)
        asked = turns if has_own else [*system, *turns]
        if is_endpoint(model):
            return as_messages(
                [{"role": t.role, "content": turn_text(t, named=False)} for t in asked]
            )
        return models.get(model).encoder.prompt_text(asked)

    def render_messages(messages: Sequence[Mapping[str, str]]) -> str:
        if is_endpoint(model):
            return as_messages(messages)
        return models.get(model).encoder.style.fill(messages, ask=True)

    def find_own(name: str) -> tuple[OwnBenchmark, Sequence[Example]]:
        benchmark = own.find(name)
        return benchmark, own.rows(benchmark, everyone)

    return TaskSources(
        folder=folder,
        few_shot=settings.few_shot,
        check_code=run_programs if settings.run_code else refuse_code,
        render_messages=render_messages,
        render_turns=render_turns,
        find_own=find_own,
        judge=_judge(workspace, models, settings.judge, pace, judge_of) if settings.judge else None,
    )


def asked_model(models: ModelCache, name: str, answers: AnswerStore, pace: "Pace") -> "AskedModel":
    """Return what asks a model, here or behind an address. Raises ModelError."""
    if is_endpoint(name):
        from core.evaluation.endpoint_model import EndpointModel

        return EndpointModel(find_endpoint(name), answers, pace)
    from core.evaluation.language_model import FuataLM

    return FuataLM(models.get(name), answers, pace)


def _judge(
    workspace: Workspace, models: ModelCache, name: str, pace: "Pace", fingerprint: str
) -> "Judge":
    """Return what asks another model; its answers are kept like all others, those of an address under
    ``fingerprint``.
    """

    def ask(questions: Sequence[str]) -> list[str]:
        from lm_eval.api.instance import Instance

        known = fingerprint if is_endpoint(name) else model_fingerprint(models.find(name))
        lm = asked_model(models, name, AnswerStore(workspace.database, known), pace)
        options = {"until": [], "max_gen_toks": _JUDGED_TOKENS, "do_sample": False}
        requests = [
            Instance(
                request_type="generate_until", doc={}, idx=0,
                arguments=(lm.apply_chat_template([{"role": "user", "content": one}]), options),
            )
            for one in questions
        ]  # fmt: skip
        return lm.generate_until(requests)

    return ask


def refuse_code(_programs: object) -> list[bool]:
    """Raise EvaluationError: programs of a model run only where a user allowed that."""
    raise EvaluationError(
        "This task runs programs that the model writes, in a sandbox: allow it (--run-code) to go "
        "on."
    )


def endpoint_fingerprint(address: str, row: EvaluationRow) -> str:
    """Return what tells the answers of an address in one evaluation from those in another: what stands
    behind it may have changed.
    """
    return f"{address}{OF_EVALUATION}{row['id']} of {row['created_at']}"


def model_fingerprint(source: ModelSource) -> str:
    """Return what tells a model's answers from those of others: its weights and its tokenizer."""
    folders = [source.folder, *([source.base_folder] if source.base_folder else [])]
    parts = [weights_identity(folder) for folder in folders]
    generation = source.weights_folder / "generation_config.json"  # decides how it is drawn from
    drawn = hashlib.sha256(generation.read_bytes()).hexdigest()[:8] if generation.is_file() else ""
    return "-".join([*parts, tokenizer_identity(source.tokenizer_folder), drawn])


def data_folder(settings: EvaluationSettings) -> DataFolder | None:
    """Return the folder that questions are read from, None for the hub."""
    if settings.data:
        return DataFolder(Path(settings.data))
    if settings.from_hub:
        return None
    return DataFolder(BUNDLED_FOLDER)


def _evaluated(
    loaded: "LoadedTask", lm: "AskedModel", settings: EvaluationSettings, counter: _Counter
) -> dict[str, Any]:
    """Return what lm-eval makes of a task."""
    from lm_eval.evaluator import evaluate

    from core.evaluation.tasks import how_asked

    build = loaded.task.build_all_requests

    def counted(**given: Any) -> None:
        build(**given)
        counter.total = sum(one.repeats or 1 for one in loaded.task.instances)

    loaded.task.build_all_requests = counted
    # lm-eval prints what it is doing; ours is a stream of JSON
    with contextlib.redirect_stdout(sys.stderr), _one_process():
        found: dict[str, Any] = told_of_failures(
            loaded.name,
            evaluate,
            lm=lm,
            task_dict={"tasks": {loaded.name: loaded.task}, "groups": {}},
            bootstrap_iters=_BOOTSTRAP,
            log_samples=True,
            **how_asked(loaded, settings),
            confirm_run_unsafe_code=True,  # ours alone, which run in the sandbox
        )
    return found


def told_of_failures(name: str, work: Callable[..., Any], *values: Any, **given: Any) -> Any:
    """Do work for a task, whose code and data are foreign: whatever it raises is that task's trouble
    alone.

    Raises EvaluationError.
    """
    try:
        return work(*values, **given)
    except UserError:
        raise
    except LookupError as error:
        if "punkt" not in str(error):
            raise _failure_of(name, error) from error
        raise EvaluationError(
            f"'{name}' counts sentences by NLTK's punkt_tab, which is not here: fetch it with "
            "python -m nltk.downloader punkt_tab."
        ) from error
    except Exception as error:
        raise _failure_of(name, error) from error


def _failure_of(name: str, error: Exception) -> EvaluationError:
    said = shortened(" ".join(str(error).split()), 200)
    return EvaluationError(
        f"The task '{name}' failed in its own code or data ({type(error).__name__}: {said})."
    )


@contextlib.contextmanager
def _one_process() -> Any:
    """Keep lm-eval from starting processes for its bootstrap."""
    before = os.environ.get("DISABLE_MULTIPROC")
    os.environ["DISABLE_MULTIPROC"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["DISABLE_MULTIPROC"]
        else:
            os.environ["DISABLE_MULTIPROC"] = before


def _plain(metrics: dict[str, Any]) -> dict[str, float | None]:
    """Return metrics as numbers; what lm-eval calls N/A is None."""
    return {
        key: float(value) if isinstance(value, int | float) or hasattr(value, "item") else None
        for key, value in metrics.items()
    }
