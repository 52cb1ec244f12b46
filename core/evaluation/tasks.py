"""Tasks of lm-eval and of ours, made with data of a folder.

Loads lm-eval, so it belongs in a process of its own.
"""

import logging
import random
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import exp
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.datasets.conversation import Example, Turn
from core.errors import DataError, EvaluationError
from core.evaluation.helm.perturb import MARK, PERTURBATIONS, perturbed
from core.evaluation.layouts.find import find_splits
from core.evaluation.layouts.folder import DataFolder, Row, Splits
from core.evaluation.metrics import Extracted, squad_v2_scores
from core.evaluation.openai_evals import PREFIX as EVALS_PREFIX
from core.evaluation.openai_evals import Judge, Messages, eval_named, eval_task, list_evals
from core.evaluation.own_benchmarks import PREFIX as OWN_PREFIX
from core.evaluation.own_benchmarks import OwnBenchmark, own_benchmark_task
from core.evaluation.own_tasks import CodeCheck, own_task
from core.evaluation.pocket_families import POCKET_TASKS, pocket_task
from core.evaluation.settings import EvaluationSettings
from core.evaluation.suites import SUITES
from core.text import shortened

if TYPE_CHECKING:
    from datasets import Dataset
    from lm_eval.api.instance import Instance
    from lm_eval.api.task import Task
    from lm_eval.tasks._index import Entry

_SEED = 1234  # lm-eval's own for examples
_SQUAD_V2 = "squadv2"


@dataclass(frozen=True, slots=True)
class LoadedTask:
    """A task with its questions."""

    task: "Task"
    name: str
    note: str = ""  # what is to be known of its data
    renders: bool = False  # whether its prompts stand in the model's style already
    asks: Callable[[Mapping[str, Any]], str] | None = None  # a question alone, where it renders

    def question(self, doc: Mapping[str, Any]) -> str:
        """Return a question as it stands in the data, without examples and template."""
        if self.asks is not None:
            return self.asks(doc)
        if self.task.should_decontaminate():
            return str(self.task.doc_to_decontamination_query(doc))
        return str(self.task.doc_to_text(doc))


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSources:
    """What tasks are made of, for one model."""

    folder: DataFolder | None  # None stands for the hub
    few_shot: int | None  # examples before each question; None: the task's own number
    check_code: CodeCheck
    render_messages: Callable[[Messages], str]
    render_turns: Callable[[Sequence[Turn]], str]
    find_own: Callable[[str], tuple[OwnBenchmark, Sequence[Example]]]
    judge: Judge | None = None


@dataclass(frozen=True, slots=True)
class TaskGroup:
    """Tasks whose results are put together."""

    name: str
    members: tuple[str, ...]  # names of tasks, not of groups
    is_weighted: bool  # by their questions, else each counts alike


def expand(
    names: Iterable[str], folder: DataFolder | None = None
) -> tuple[list[str], list[TaskGroup]]:
    """Return the tasks that names of tasks, groups, tags and suites stand for, each once, and the
    groups among them; OpenAI Evals are those of a folder's registry.

    Raises EvaluationError for a name that is none.
    """
    tasks: dict[str, None] = {}
    groups: dict[str, TaskGroup] = {}
    for name in names:
        if name == "openai_evals":
            members = [f"{EVALS_PREFIX}{one}" for one in list_evals(folder)] if folder else []
        elif name in SUITES and SUITES[name].tasks:
            members, inner = expand(SUITES[name].tasks)
            groups[name] = TaskGroup(name, tuple(members), is_weighted=False)
            groups |= {one.name: one for one in inner}
        else:
            members = _members(name, groups)
        if not members:
            raise EvaluationError(f"'{name}' holds no task: there is none of it in the data.")
        tasks |= dict.fromkeys(members)
    return list(tasks), list(groups.values())


def _members(name: str, groups: dict[str, TaskGroup]) -> list[str]:
    from lm_eval.tasks._index import Kind

    is_ours = _is_rendered(name) or own_task(name, lambda _: []) is not None
    if name == _SQUAD_V2 or is_ours:
        return [name]
    entry = _index_of(name)[name]
    if entry.kind is Kind.TAG:
        return sorted(entry.tags)
    if entry.kind is not Kind.GROUP:
        return [name]
    config = entry.cfg or {}
    members: list[str] = []
    children = config.get("task", [])
    for child in children if isinstance(children, list) else [children]:
        named = child.get("task", child.get("group")) if isinstance(child, dict) else child
        for one in named if isinstance(named, list) else [named]:
            if not isinstance(one, str):
                raise EvaluationError(
                    f"'{name}' is put together in a way that is not known here: name its tasks."
                )
            members += _members(one, groups)
    if rules := config.get("aggregate_metric_list"):
        rule = rules[0] if isinstance(rules, list) else rules
        groups[name] = TaskGroup(
            name, tuple(members), is_weighted=bool(rule.get("weight_by_size", True))
        )
    return members


def load_task(name: str, sources: TaskSources) -> LoadedTask:
    """Return a task with its questions: of a folder, of the hub where none is given, of a registry of
    OpenAI Evals, or of a user's own dataset.

    Raises DataError where its data are missing or damaged, EvaluationError where the task cannot
    run.
    """
    name, _, perturbation = name.partition(MARK)
    if perturbation and _is_rendered(name):
        loaded = _load(name, _perturbing(sources, perturbation))
        return replace(loaded, name=f"{name}{MARK}{perturbation}")
    loaded = _load(name, sources)
    return _perturbed(loaded, perturbation) if perturbation else loaded


def _perturbing(sources: TaskSources, perturbation: str) -> TaskSources:
    """Return sources that write what a user says otherwise, before it stands in a template."""
    write = PERTURBATIONS[perturbation]

    def turns(said: Sequence[Turn]) -> str:
        return sources.render_turns(
            [
                replace(one, text=write(one.text), input=write(one.input))
                if one.role == "user"
                else one
                for one in said
            ]
        )

    def messages(said: Messages) -> str:
        return sources.render_messages(
            [
                {**one, "content": write(one["content"])} if one["role"] == "user" else one
                for one in said
            ]
        )

    return replace(sources, render_turns=turns, render_messages=messages)


def _perturbed(loaded: LoadedTask, perturbation: str) -> LoadedTask:
    """Return a task whose questions are written otherwise; its examples stay."""
    task = loaded.task
    write = task.doc_to_text

    def written(doc: Any, *of_examples: Any) -> Any:
        # lm-eval names what examples are written by, and nothing for the question itself
        text = write(doc, *of_examples)
        is_question = not of_examples and isinstance(text, str)
        return perturbed(text, perturbation) if is_question else text

    task.doc_to_text = written
    return replace(loaded, name=f"{loaded.name}{MARK}{perturbation}")


def _load(name: str, sources: TaskSources) -> LoadedTask:
    """Return a task as it is."""
    from lm_eval.api.task import ConfigurableTask

    folder, few_shot = sources.folder, sources.few_shot
    if name == _SQUAD_V2:
        return _finished(LoadedTask(_squad_v2(folder), name), few_shot)
    if _is_rendered(name):
        config, docs = _rendered_task(name, sources)
        config["custom_dataset"] = lambda **_: _Lazy({"test": lambda: docs}, name)
        asks = config.pop("asks")
        task = ConfigurableTask(config=config)
        return _finished(LoadedTask(task, name, renders=True, asks=asks), None)
    config = own_task(name, sources.check_code) or _config_of(name)
    note = ""
    dataset, part = config["dataset_path"], config.get("dataset_name") or ""
    if folder is not None:
        splits = find_splits(folder, dataset, part)
        note = _fit_splits(config, splits, few_shot)
        config["custom_dataset"] = lambda **_: _Lazy(splits, name)
    config = {
        key: value for key, value in config.items() if key not in {"tag", "group", "task_list"}
    }
    return _finished(LoadedTask(ConfigurableTask(config=config), name, note), few_shot)


def _is_rendered(name: str) -> bool:
    """Return whether a task's prompts are written in the model's own style whatever is asked for."""
    return name in POCKET_TASKS or name.startswith((OWN_PREFIX, EVALS_PREFIX))


def _rendered_task(name: str, sources: TaskSources) -> tuple[dict[str, Any], list[Row]]:
    """Return a task whose prompts are written in the model's own style, and its questions."""
    if name in POCKET_TASKS:
        return pocket_task(name, sources.render_turns)
    if name.startswith(EVALS_PREFIX):
        spec = eval_named(sources.folder, name)
        return eval_task(spec, sources.render_messages, sources.judge)
    benchmark, rows = sources.find_own(name.removeprefix(OWN_PREFIX))
    return own_benchmark_task(benchmark, rows, sources.render_turns, sources.check_code)


def how_asked(loaded: LoadedTask, settings: EvaluationSettings) -> dict[str, Any]:
    """Return how a task's prompts are made, as `evaluate` of lm-eval takes it."""
    in_template = settings.chat_template and not loaded.renders
    return {
        "limit": settings.limit,
        "system_instruction": (settings.system or None) if not loaded.renders else None,
        "apply_chat_template": in_template,
        "fewshot_as_multiturn": settings.few_shot_as_turns and in_template,
    }


def build_requests(loaded: LoadedTask, lm: Any, settings: EvaluationSettings) -> "list[Instance]":
    """Return what a task asks a model class, as `evaluate` of lm-eval builds it."""
    asked = how_asked(loaded, settings)
    loaded.task.build_all_requests(
        rank=0,
        world_size=1,
        chat_template=lm.apply_chat_template if asked["apply_chat_template"] else None,
        tokenizer_name=lm.tokenizer_name if asked["apply_chat_template"] else "",
        **asked,
    )
    instances: list[Instance] = loaded.task.instances
    return instances


def _finished(loaded: LoadedTask, few_shot: int | None) -> LoadedTask:
    """Set how many examples a task shows, as lm-eval's own `simple_evaluate` does."""
    task = loaded.task
    own = task.get_config("num_fewshot")
    # a task that is made for none keeps to that
    if few_shot is not None and own != 0:
        task.set_config(key="num_fewshot", value=few_shot)
    elif own is None:
        task.set_config(key="num_fewshot", value=0)
    task.set_fewshot_seed(seed=_SEED)
    return loaded


def _fit_splits(config: dict[str, Any], splits: Splits, few_shot: int | None) -> str:
    """Let a task ask for splits that are there alone, and return what is to be known of that.

    Raises DataError where examples are wanted and their split is missing.
    """
    judged = config.get("test_split") or config.get("validation_split")
    note = ""
    if judged not in splits:
        order = ("validation", "test", "dev", "train", "validation_matched")
        other = next((one for one in order if one in splits), next(iter(splits)))
        note = f"asked of the {other} rows: the {judged} file is not there"
        config |= {"test_split": other, "validation_split": None}
        named = config.get("fewshot_split")
        if (named or config.get("training_split")) not in splits:
            config["fewshot_split"] = other
    wanted = few_shot if few_shot is not None else config.get("num_fewshot") or 0
    for key in ("training_split", "fewshot_split"):
        if (split := config.get(key)) and split not in splits:
            if wanted and config.get("num_fewshot") != 0:
                raise DataError(
                    f"{config['task']} takes its {wanted} examples from the {split} file, which is "
                    "not there: add it, or ask without examples (--few-shot 0)."
                )
            config[key] = None
    return note


def _config_of(name: str) -> dict[str, Any]:
    """Return the configuration of a task of lm-eval. Raises EvaluationError."""
    from lm_eval.tasks._yaml_loader import load_yaml

    entry = _index_of(name)[name]
    if entry.yaml_path is None:
        raise EvaluationError(f"'{name}' is no task that can be asked: name one of its tasks.")
    raw = entry.cfg or {}
    if raw.get("unsafe_code"):
        raise EvaluationError(f"'{name}' runs programs of a model in a way that is not safe here.")
    if "class" in raw:
        raise EvaluationError(f"'{name}' cannot be given data of a folder: it fetches its own.")
    try:
        config: dict[str, Any] = load_yaml(entry.yaml_path)
    except Exception as error:  # a task imports whatever it likes
        raise EvaluationError(
            f"The task '{name}' cannot be loaded: {shortened(str(error), 200)}."
        ) from error
    return {**config, "metadata": {**config.get("metadata", {}), "config_source": "lm_eval"}}


class _Lazy(dict[str, Any]):
    """Splits that are read when they are asked for, as `datasets` that lm-eval takes."""

    def __init__(self, splits: Mapping[str, Any], task: str) -> None:
        super().__init__(dict.fromkeys(splits))
        self._splits = splits
        self._task = task

    def __getitem__(self, split: str) -> "Dataset":
        if super().__getitem__(split) is None:
            self[split] = _as_dataset(self._splits[split](), self._task)
        found: Dataset = super().__getitem__(split)
        return found


def _as_dataset(rows: list[Row], task: str) -> "Dataset":
    import pyarrow as pa
    from datasets import Dataset

    try:
        return Dataset.from_list(rows)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise DataError(
            f"The rows of {task} are not all of one kind ({shortened(str(error), 120)}): "
            "fetch its data anew."
        ) from error


@cache
def _index_of(name: str) -> "dict[str, Entry]":
    """Return an index of tasks that knows a name. Raises EvaluationError where none does.

    All 14,000 take ten seconds and more to look through, so the folder of its suite goes first.
    """
    suite = next((one for one in SUITES.values() if one.has(name)), None)
    if suite is not None and name in (known := _indexed(suite.folders)):
        return known
    known = _indexed(("",))
    if name not in known:
        raise EvaluationError(
            f"There is no task '{shortened(name, 60)}': the suites are {', '.join(SUITES)}; "
            "every name that lm-eval knows will do."
        )
    return known


@cache
def _indexed(folders: tuple[str, ...]) -> "dict[str, Entry]":
    import lm_eval.tasks
    from lm_eval.tasks._index import TaskIndex

    home = Path(lm_eval.tasks.__file__).parent
    found: dict[str, Entry] = TaskIndex.build([home / folder for folder in folders])
    return found


def _squad_v2(folder: DataFolder | None) -> "Task":
    """Return lm-eval's task, with its metric computed here: its own is fetched from the hub."""
    from lm_eval.tasks.squadv2.task import SQuAD2

    splits = find_splits(folder, SQuAD2.DATASET_PATH, "") if folder is not None else None

    class LocalSquad2(SQuAD2):  # type: ignore[misc]
        """SQuAD 2.0 of a folder."""

        def download(self, *given: Any, **named: Any) -> None:
            if splits is None:
                super().download(*given, **named)
            else:
                self.dataset = _Lazy(splits, _SQUAD_V2)

        def has_training_docs(self) -> bool:
            return "train" in self.dataset

        def process_results(self, doc: dict[str, Any], results: list[Any]) -> dict[str, Any]:
            said, (log_probability, _) = results
            found = Extracted(said, exp(log_probability), tuple(doc["answers"]["text"]))
            names: list[str] = [*super().process_results(doc, results)]
            return dict.fromkeys(names, found)

        def aggregation(self) -> dict[str, Any]:
            return {name: _squad_aggregation(name) for name in super().aggregation()}

    task = LocalSquad2()
    task.config.task = _SQUAD_V2
    task.OUTPUT_TYPE = "generate_until"
    return task


def _squad_aggregation(name: str) -> Any:
    return lambda found: squad_v2_scores(found).get(name, 0)


def quiet_libraries() -> None:
    """Keep what lm-eval and `datasets` say to their developers off our terminal, and fix what they
    draw by chance.
    """
    import datasets
    import numpy as np

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    logging.getLogger("datasets").setLevel(logging.ERROR)
    datasets.disable_progress_bars()
    # of metrics that are not defined on a draw of the bootstrap
    warnings.filterwarnings("ignore", module="sklearn")
    random.seed(0)
    np.random.seed(_SEED)  # noqa: NPY002 - lm-eval draws from it
