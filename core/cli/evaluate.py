"""The commands that measure models: evaluate on benchmarks, score continuations."""

import argparse
import json
import os
import signal
import threading
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

from core.cli.output import emit, say, show
from core.errors import DataError, EvaluationError, SettingsError
from core.evaluation.choices import is_endpoint
from core.evaluation.exchange import import_results, lm_eval_archive, results_csv
from core.evaluation.rows import ResultRow
from core.evaluation.settings import EvaluationSettings
from core.evaluation.store import EvaluationStore
from core.evaluation.suites import SUITES
from core.generation.openai_endpoint import find_endpoint
from core.models.resolve import find_model
from core.processes.messages import Progress, report
from core.storage.atomic_write import check_writable, told_by_path, write_file
from core.storage.workspace import Workspace
from core.text import shortened

_LINES_AT_ONCE = 4096


def evaluate(chosen: argparse.Namespace) -> int:
    """Ask models the questions of benchmarks, and print what came of it."""
    if chosen.list_suites:
        return _list_suites(as_json=chosen.json)
    workspace = Workspace(chosen.workspace)
    store = EvaluationStore(workspace)
    if chosen.plan:
        return _plan(chosen, workspace)
    if chosen.out is not None:
        with told_by_path(chosen.out):
            check_writable(chosen.out)  # before models have answered for an hour
    if chosen.brought is not None:
        name = import_results(store, chosen.brought.expanduser(), chosen.name)
        return _hand_over(chosen, store, name)
    name = _evaluation(chosen, workspace, store)
    _stay_offline(store.settings(name))
    from core.evaluation.run import run_evaluation

    run_evaluation(workspace, name, _tell, _stop_on_signal().is_set)
    results = store.results(name)
    if results and all(one["message"] for one in results):
        raise EvaluationError(f"None of the tasks could be run. {results[0]['message']}")
    return _hand_over(chosen, store, name)


def _hand_over(chosen: argparse.Namespace, store: EvaluationStore, name: str) -> int:
    """Write an evaluation's results where that is asked for, and print them."""
    if chosen.out is not None:
        is_table = chosen.out.suffix.lower() == ".csv"
        content = results_csv(store, name).encode() if is_table else lm_eval_archive(store, name)
        with told_by_path(chosen.out):
            write_file(chosen.out, content)
    return print_results(store, name, as_json=chosen.json)


def print_results(store: EvaluationStore, name: str, *, as_json: bool) -> int:
    """Print an evaluation's results."""
    results = store.results(name)
    show(
        {"evaluation": name, "results": _by_model(results), "failed": _failed(results)},
        _as_text(results),
        as_json=as_json,
    )
    return 0


def _evaluation(chosen: argparse.Namespace, workspace: Workspace, store: EvaluationStore) -> str:
    """Return the evaluation to go on with, or a new one that is now written down."""
    if chosen.resume:
        if not chosen.name:
            raise SettingsError({"name": "--resume needs --name, the evaluation to go on with"})
        store.find(chosen.name)
        return str(chosen.name)
    models, tasks, settings = _asked(chosen, workspace)
    return store.create(chosen.name, models, tasks, settings)


def _stay_offline(settings: EvaluationSettings) -> None:
    """Keep libraries from the network, unless it was asked for."""
    if not settings.from_hub:
        os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"


def _plan(chosen: argparse.Namespace, workspace: Workspace) -> int:
    """Say what would be asked, and how long that takes."""
    models, tasks, settings = _asked(chosen, workspace)
    _stay_offline(settings)
    from core.evaluation.plan import plan_evaluation, plan_text

    plan = plan_evaluation(
        workspace, models, tasks, settings, lambda told: _tell(Progress(stage=told))
    )
    show(plan.as_object(), plan_text(plan), as_json=chosen.json)
    return 0


def _asked(
    chosen: argparse.Namespace, workspace: Workspace
) -> tuple[list[str], list[str], EvaluationSettings]:
    """Return the models, the tasks and how they are asked. Raises SettingsError or ModelError."""
    tasks = [word.strip() for word in chosen.tasks.split(",") if word.strip()]
    missing = {
        name: reason
        for name, value, reason in (
            ("model", chosen.models, "name one model at least"),
            ("tasks", tasks, "name one task at least; --list says which suites there are"),
        )
        if not value
    }
    if missing:
        raise SettingsError(missing)
    for model in [*chosen.models, *([chosen.judge] if chosen.judge else [])]:
        find_endpoint(model) if is_endpoint(model) else find_model(model, workspace)
    settings = EvaluationSettings(
        data=str(chosen.data.expanduser().resolve()) if chosen.data else "",
        from_hub=chosen.from_hub, few_shot=chosen.few_shot, limit=chosen.limit,
        chat_template=chosen.chat_template, few_shot_as_turns=chosen.few_shot_as_turns,
        system=chosen.system, prompt_apart=chosen.prompt_apart, helm=chosen.helm, judge=chosen.judge, run_code=chosen.run_code,
    )  # fmt: skip
    return list(dict.fromkeys(chosen.models)), tasks, settings


def _tell(progress: Progress) -> None:
    report(progress)
    say(str(progress))


def _stop_on_signal() -> threading.Event:
    """Return an event that Ctrl-C and SIGTERM set."""
    stop = threading.Event()

    def ask(_number: int, _frame: FrameType | None) -> None:
        say("Stopping, and keeping what is answered …")
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask)
    return stop


def _by_model(results: Iterable[ResultRow]) -> dict[str, dict[str, Any]]:
    """Return {model: {task: {metric, value, stderr, n, metrics}}} of what there is a result of."""
    found: dict[str, dict[str, Any]] = {}
    for one in results:
        if not one["message"]:
            found.setdefault(one["model"], {})[one["task"]] = {
                "metric": one["metric"], "value": one["value"], "stderr": one["stderr"],
                "n": one["questions"], "metrics": json.loads(one["metrics"]),
                **json.loads(one["facts"]),
            }  # fmt: skip
    return found


def _failed(results: Iterable[ResultRow]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for one in results:
        if one["message"]:
            found.setdefault(one["model"], {})[one["task"]] = one["message"]
    return found


def _as_text(results: Iterable[ResultRow]) -> str:
    """Return results as lines of a table."""
    lines = []
    for one in results:
        if one["message"]:
            lines.append(f"{one['model']:24} {one['task']:36} not run: {one['message']}")
            continue
        error = f" ± {one['stderr']:.4f}" if one["stderr"] is not None else ""
        lines.append(
            f"{one['model']:24} {one['task']:36} {one['metric']} {one['value'] or 0.0:.4f}{error} "
            f"({one['questions']:,} questions)"
        )
    return "\n".join(lines)


def _list_suites(*, as_json: bool) -> int:
    told = [
        f"{name:16} {one.title}: {one.metric}. Reads {one.reads}." for name, one in SUITES.items()
    ]
    show({name: asdict(one) for name, one in SUITES.items()}, "\n".join(told), as_json=as_json)
    return 0


def keep_benchmark(chosen: argparse.Namespace) -> int:
    """Keep a benchmark of a user's own rows."""
    from core.cli.open_dataset import opened_dataset
    from core.datasets.samples import home_path
    from core.datasets.store import DatasetStore
    from core.evaluation.layouts.folder import read_text
    from core.evaluation.own_benchmarks import PREFIX, OwnBenchmark, OwnBenchmarks

    workspace = Workspace(chosen.workspace)
    code = read_text(home_path(str(chosen.code))) if chosen.code is not None else ""
    with opened_dataset(chosen, [chosen.file]) as dataset:
        content_hash = DatasetStore(workspace).keep(dataset)
    benchmark = OwnBenchmark(
        name=chosen.name, content_hash=content_hash,
        split=None if chosen.split == "all" else chosen.split, check=chosen.check,
        pattern=chosen.pattern, code=code, max_new_tokens=chosen.max_new_tokens,
        after_runs=chosen.after_runs,
    )  # fmt: skip
    own = OwnBenchmarks(workspace)
    own.save(benchmark)
    rows = len(own.rows(benchmark, []))
    show(
        {"task": f"{PREFIX}{chosen.name}", "rows": rows},
        f"Kept: {rows:,} rows. Ask it as --tasks {PREFIX}{chosen.name}",
        as_json=chosen.json,
    )
    return 0


def score(chosen: argparse.Namespace) -> int:
    """Print the log-probability of each continuation of a file."""
    from core.evaluation.text_encoder import TextEncoder
    from core.generation.model_cache import ModelCache
    from core.scoring.score import Request, score_all

    pairs = _read_pairs(chosen.file)
    chat_model = ModelCache(Workspace(chosen.workspace)).get(chosen.model)
    text = TextEncoder(chat_model.encoder.tokenizer)
    for start in range(0, len(pairs), _LINES_AT_ONCE):
        part = pairs[start : start + _LINES_AT_ONCE]
        requests = [Request(*text.encode_pair(*pair)) for pair in part]
        found = dict(score_all(chat_model.model, requests, chat_model.context))
        for number in range(len(part)):
            one = found[number]
            emit(
                {
                    "logprob": one.log_probability,
                    "is_greedy": one.is_greedy,
                    "tokens": len(one.token_log_probabilities),
                }
            )
        say(f"{start + len(part)} of {len(pairs)}")
    return 0


def _read_pairs(path: Path) -> list[tuple[str, str]]:
    """Return contexts and continuations. Raises DataError for a line that holds none."""
    from core.evaluation.layouts.folder import read_json_lines

    pairs = []
    for number, row in enumerate(read_json_lines(path, ["context", "continuation"]), start=1):
        pair = (row["context"], row["continuation"])
        if not all(isinstance(one, str) for one in pair) or not pair[1]:
            raise DataError(
                f"{path}, line {number}: context and continuation must be texts, the continuation "
                f"not empty, and not {shortened(json.dumps(row), 80)}."
            )
        pairs.append(pair)
    return pairs
