"""Tasks of lm-eval and of ours, made with data of a folder.

Loads lm-eval, so it belongs in a process of its own.
"""

import logging
import random
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from math import exp
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import DataError, EvaluationError
from core.evaluation.layouts.find import find_splits
from core.evaluation.layouts.folder import DataFolder, Row, Splits
from core.evaluation.metrics import Extracted, squad_v2_scores
from core.evaluation.own_tasks import CodeCheck, own_task
from core.evaluation.settings import EvaluationSettings
from core.evaluation.suites import BUNDLED_FOLDER, SUITES
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
    note: str  # what is to be known of its data, '' for nothing


@dataclass(frozen=True, slots=True)
class TaskGroup:
    """Tasks whose results are put together."""

    name: str
    members: tuple[str, ...]  # names of tasks, not of groups
    is_weighted: bool  # by their questions, else each counts alike


def expand(names: Iterable[str]) -> tuple[list[str], list[TaskGroup]]:
    """Return the tasks that names of tasks, groups, tags and suites stand for, each once, and the
    groups among them.

    Raises EvaluationError for a name that is none.
    """
    tasks: dict[str, None] = {}
    groups: dict[str, TaskGroup] = {}
    for name in names:
        if name in SUITES and SUITES[name].tasks:
            members, inner = expand(SUITES[name].tasks)
            groups[name] = TaskGroup(name, tuple(members), is_weighted=False)
            groups |= {one.name: one for one in inner}
        else:
            members = _members(name, groups)
        tasks |= dict.fromkeys(members)
    return list(tasks), list(groups.values())


def _members(name: str, groups: dict[str, TaskGroup]) -> list[str]:
    from lm_eval.tasks._index import Kind

    if name == _SQUAD_V2 or own_task(name, lambda _: []) is not None:
        return [name]
    entry = _index_of(name)[name]
    if entry.kind is Kind.TAG:
        return sorted(entry.tags)
    if entry.kind is not Kind.GROUP:
        return [name]
    config = entry.cfg or {}
    members: list[str] = []
    for child in config.get("task", []):
        members += _members(child["task"] if isinstance(child, dict) else child, groups)
    if rules := config.get("aggregate_metric_list"):
        rule = rules[0] if isinstance(rules, list) else rules
        groups[name] = TaskGroup(
            name, tuple(members), is_weighted=bool(rule.get("weight_by_size", True))
        )
    return members


def load_task(
    name: str, folder: DataFolder | None, few_shot: int | None, check_code: CodeCheck
) -> LoadedTask:
    """Return a task with the questions that lie in a folder, or on the hub where none is given.

    ``few_shot`` examples, by default as many as the task itself asks for. Raises DataError where its
    data are missing or damaged, EvaluationError where the task cannot run.
    """
    from lm_eval.api.task import ConfigurableTask

    if name == _SQUAD_V2:
        return _finished(_squad_v2(folder), name, few_shot, "")
    config = own_task(name, check_code) or _config_of(name)
    note = ""
    dataset, part = config["dataset_path"], config.get("dataset_name") or ""
    home = DataFolder(BUNDLED_FOLDER) if dataset.startswith("fuata/") else folder
    if home is not None:
        splits = find_splits(home, dataset, part)
        note = _fit_splits(config, splits, few_shot)
        config["custom_dataset"] = lambda **_: _Lazy(splits, name)
    config = {
        key: value for key, value in config.items() if key not in {"tag", "group", "task_list"}
    }
    task = ConfigurableTask(config=config)
    return _finished(task, name, few_shot, note)


def build_requests(task: "Task", lm: Any, settings: EvaluationSettings) -> "list[Instance]":
    """Return what a task asks a model class, as `evaluate` of lm-eval builds it."""
    task.build_all_requests(
        limit=settings.limit,
        rank=0,
        world_size=1,
        system_instruction=settings.system or None,
        apply_chat_template=settings.chat_template,
        fewshot_as_multiturn=settings.few_shot_as_turns,
        chat_template=lm.apply_chat_template if settings.chat_template else None,
        tokenizer_name=lm.tokenizer_name if settings.chat_template else "",
    )
    instances: list[Instance] = task.instances
    return instances


def _finished(task: "Task", name: str, few_shot: int | None, note: str) -> LoadedTask:
    """Set how many examples a task shows, as lm-eval's own `simple_evaluate` does."""
    own = task.get_config("num_fewshot")
    # a task that is made for none keeps to that
    if few_shot is not None and own != 0:
        task.set_config(key="num_fewshot", value=few_shot)
    elif own is None:
        task.set_config(key="num_fewshot", value=0)
    task.set_fewshot_seed(seed=_SEED)
    return LoadedTask(task, name, note)


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
        if config.get("fewshot_split") not in splits:
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
