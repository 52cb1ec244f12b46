"""Results of evaluations as files: in lm-eval's own layout and as CSV, and those of lm-eval and HELM
brought in. Knows no screen.
"""

import csv
import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.errors import DataError, EvaluationError
from core.evaluation.layouts.folder import read_json, read_json_lines
from core.evaluation.openai_evals import PREFIX as EVALS_PREFIX
from core.evaluation.report import report_evaluation
from core.evaluation.rows import EvaluationState, ResultRow, SampleRow
from core.evaluation.settings import EvaluationSettings
from core.evaluation.store import EvaluationStore
from core.evaluation.suites import PERCENT_TASKS
from core.text import shortened

_UNFIT = re.compile(r"[^\w.@-]+")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # with which a spreadsheet's formula begins
_HELM_METRICS = ("exact_match", "quasi_exact_match", "f1_score", "rouge_l", "final_acc")
_LONGEST_NAME = 60


def lm_eval_archive(store: EvaluationStore, name: str) -> bytes:
    """Return a zip archive in the layout that lm-eval writes: a folder for each model with
    `results_NAME.json` and `samples_TASK_NAME.jsonl`.
    """
    row = store.find(name)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for model in json.loads(row["models"]):
            folder = _UNFIT.sub("__", model)
            results = [one for one in store.results(name) if one["model"] == model]
            found = _as_lm_eval(row, model, results)
            archive.writestr(f"{folder}/results_{name}.json", json.dumps(found, indent=2))
            for one in results:
                if one["is_group"] or one["message"]:
                    continue
                samples = store.samples(name, model, one["task"])
                lines = "".join(json.dumps(sample) + "\n" for sample in map(_as_sample, samples))
                archive.writestr(f"{folder}/samples_{one['task']}_{name}.jsonl", lines)
    return packed.getvalue()


def _as_lm_eval(row: Mapping[str, Any], model: str, results: list[ResultRow]) -> dict[str, Any]:
    settings, versions = json.loads(row["settings"]), json.loads(row["versions"])
    done = [one for one in results if not one["message"]]
    tasks = [one for one in done if not one["is_group"]]
    facts = {one["task"]: json.loads(one["facts"]) for one in tasks}
    groups = {
        one["task"]: {"alias": one["task"], f"{one['metric']},none": one["value"],
                      f"{one['metric']}_stderr,none": one["stderr"]}
        for one in done if one["is_group"]
    }  # fmt: skip
    return {
        "results": {
            one["task"]: {"alias": one["task"], **json.loads(one["metrics"])} for one in tasks
        } | groups,
        "groups": groups,
        "versions": {task: of["version"] for task, of in facts.items() if "version" in of},
        "n-shot": {task: of.get("few_shot", 0) for task, of in facts.items()},
        "higher_is_better": {task: of.get("higher_is_better", {}) for task, of in facts.items()},
        "n-samples": {
            one["task"]: {
                "original": facts[one["task"]].get("questions_in_all", one["questions"]),
                "effective": one["questions"],
            }
            for one in tasks
        },
        "config": {
            "model": "fuata", "model_args": f"pretrained={model}", "limit": settings.get("limit"),
            "fingerprint": done[0]["fingerprint"] if done else "",
        },
        "model_name": model,
        "lm_eval_version": versions.get("lm_eval", ""),
        "transformers_version": versions.get("transformers", ""),
        "fewshot_as_multiturn": settings.get("few_shot_as_turns", False),
        "system_instruction": settings.get("system") or None,
    }  # fmt: skip


def _as_sample(row: SampleRow) -> dict[str, Any]:
    kept = json.loads(row["sample"])
    contexts = kept["contexts"]
    pairs = [
        [contexts[number] if len(contexts) > 1 else contexts[0], asked]
        for number, asked in enumerate(kept["asked"])
    ]
    return {
        "doc_id": row["question"], "doc": kept["doc"], "target": kept["target"],
        "arguments": pairs, "resps": kept["resps"], "filtered_resps": kept["filtered_resps"],
        "filter": row["filter"], "metrics": list(kept["metrics"]), "doc_hash": kept["doc_hash"],
        "prompt_hash": kept["prompt_hash"], "target_hash": kept["target_hash"], **kept["metrics"],
    }  # fmt: skip


def evals_archive(store: EvaluationStore, name: str) -> bytes:
    """Return a zip archive of logs as OpenAI Evals writes them, one for each eval and model.

    Raises EvaluationError where no eval was asked.
    """
    packed, written = io.BytesIO(), 0
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for one in store.results(name):
            if not one["task"].startswith(EVALS_PREFIX) or one["message"]:
                continue
            spec = one["task"].removeprefix(EVALS_PREFIX)
            lines = _evals_log(name, spec, one, store.samples(name, one["model"], one["task"]))
            text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
            archive.writestr(f"{_UNFIT.sub('__', one['model'])}/{spec}.jsonl", text)
            written += 1
    if not written:
        raise EvaluationError(f"The evaluation '{name}' asked none of OpenAI's Evals.")
    return packed.getvalue()


def _evals_log(
    name: str, spec: str, result: ResultRow, samples: list[SampleRow]
) -> Iterator[dict[str, Any]]:
    """Yield the lines of a log: what was run, each sample's answer and match, and the report."""
    run = {"run_id": f"{name}-{spec}", "created_by": "fuata"}
    yield {"spec": {**run, "completion_fns": [result["model"]], "eval_name": spec}}
    number = 0
    for one in samples:
        about = {**run, "sample_id": f"{spec}.{one['question']}"}
        right = None if one["score"] is None else one["score"] == 1
        for kind, data in (
            ("sampling", {"prompt": one["prompt"], "sampled": [one["answer"]]}),
            ("match", {"correct": right, "expected": one["gold"], "sampled": one["answer"]}),
        ):
            yield {**about, "event_id": number, "type": kind, "data": data}
            number += 1
    metrics = {key.partition(",")[0]: value for key, value in json.loads(result["metrics"]).items()}
    yield {"final_report": metrics | {"std": result["stderr"]}}


def results_csv(store: EvaluationStore, name: str) -> str:
    """Return an evaluation's results as CSV, a line for each model and task."""
    report = report_evaluation(store, name)
    written = io.StringIO()
    table = csv.writer(written)
    table.writerow(
        ["evaluation", "model", "task", "metric", "value", "low", "high", "questions", "note"]
    )
    for line in report.lines:
        for model, cell in zip(report.models, line.cells, strict=True):
            if cell is None:
                continue
            note = cell.message or "; ".join(cell.notes)
            fields = [name, model, line.task, cell.metric, cell.value, cell.low, cell.high,
                      cell.questions, note]  # fmt: skip
            table.writerow([_safe(one) for one in fields])
    return written.getvalue()


def _safe(value: object) -> object:
    """Return a field that no spreadsheet takes for a formula."""
    is_formula = isinstance(value, str) and value.startswith(_FORMULA)
    return f"'{value}" if is_formula else value


@dataclass(slots=True)
class _Brought:
    """Results of one model from elsewhere."""

    model: str
    results: list[dict[str, Any]] = field(default_factory=list)  # task, metric, value …
    samples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


def import_results(store: EvaluationStore, path: Path, name: str = "") -> str:
    """Bring in what lm-eval or HELM wrote, as an evaluation of its own, and return its name.

    ``path`` is a file `results_….json`, a folder with such files, or with run folders of HELM.
    Raises EvaluationError or DataError where it holds neither.
    """
    try:
        brought = list(_read(path))
    except (AttributeError, KeyError, TypeError, IndexError, ValueError) as error:
        raise DataError(
            f"{path} holds results in a shape that is not known ({type(error).__name__}: "
            f"{shortened(str(error), 80)})."
        ) from error
    if not brought:
        raise EvaluationError(
            f"{path} holds neither results of lm-eval (results_….json) nor a run folder of HELM "
            "(stats.json beside run_spec.json)."
        )
    models: dict[str, _Brought] = {}
    for one in brought:
        known = models.setdefault(one.model, _Brought(one.model))
        known.results += one.results
        known.samples |= one.samples
    tasks = list(dict.fromkeys(r["task"] for one in models.values() for r in one.results))
    made = store.create(name, list(models), tasks, EvaluationSettings())
    number = store.find(made)["id"]
    for one in models.values():
        for result in one.results:
            samples = one.samples.get(result["task"], [])
            store.add_result(
                _result_row(number, one.model, result),
                _sample_rows(number, one.model, result, samples),
            )
    store.set_state(made, EvaluationState.FINISHED, f"Brought in from {path.name}.")
    return made


def _result_row(number: int, model: str, result: Mapping[str, Any]) -> ResultRow:
    return {
        "evaluation_id": number, "model": model, "task": result["task"], "is_group": 0,
        "metric": result["metric"], "value": result["value"], "stderr": result["stderr"],
        "questions": result["questions"], "metrics": json.dumps(result["metrics"]),
        "facts": json.dumps(result["facts"]), "fingerprint": "", "message": "",
    }  # fmt: skip


def _sample_rows(
    number: int, model: str, result: Mapping[str, Any], samples: list[dict[str, Any]]
) -> list[SampleRow]:
    rows: dict[tuple[int, str], SampleRow] = {}
    for one in samples:
        key = (int(one["question"]), str(one.get("filter", "none")))
        rows[key] = {
            "evaluation_id": number, "model": model, "task": result["task"], "question": key[0],
            "filter": key[1], "score": one["score"], "seen": 0, "cluster": "", "prompt": one["prompt"],
            "answer": one["answer"], "gold": one["gold"], "sample": "{}",
        }  # fmt: skip
    return list(rows.values())


def _read(path: Path) -> Iterator[_Brought]:
    if path.is_file():
        yield _read_lm_eval(path)
        return
    if not path.is_dir():
        raise EvaluationError(f"There is no file or folder {path}.")
    for found in sorted(path.rglob("results*.json")):
        yield _read_lm_eval(found)
    for found in sorted(path.rglob("stats.json")):
        if found.with_name("run_spec.json").is_file():
            yield _read_helm(found.parent)


def _read_lm_eval(path: Path) -> _Brought:
    document = read_json(path)
    if not isinstance(document, dict) or not isinstance(document.get("results"), dict):
        raise EvaluationError(f"{path} is no file of results that lm-eval writes.")
    config = document.get("config") or {}
    asked = str(config.get("model_args") or "")
    named = re.search(r"(?:pretrained|model)=([^,]+)", asked)
    model = document.get("model_name") or (named.group(1) if named else config.get("model"))
    brought = _Brought(shortened(str(model or path.stem), _LONGEST_NAME))
    sizes = document.get("n-samples") or {}
    for task, metrics in document["results"].items():
        numbers = {key: value for key, value in metrics.items() if "," in key}
        main = next((key for key in numbers if "_stderr," not in key), None)
        if main is None or not isinstance(numbers[main], int | float):
            continue
        metric, _, used_filter = main.partition(",")
        error = numbers.get(f"{metric}_stderr,{used_filter}")
        brought.results.append(
            {
                "task": task, "metric": metric, "value": float(numbers[main]),
                "stderr": float(error) if isinstance(error, int | float) else None,
                "questions": int((sizes.get(task) or {}).get("effective", 0)), "metrics": numbers,
                "facts": {
                    "version": str((document.get("versions") or {}).get(task, "")),
                    "few_shot": (document.get("n-shot") or {}).get(task, 0),
                    "notes": [f"from lm-eval {document.get('lm_eval_version', '')}".strip()],
                    "scale": 100 if task in PERCENT_TASKS else 1,
                },
            }
        )  # fmt: skip
        ending = path.stem.removeprefix("results")
        samples = path.with_name(f"samples_{task}{ending}.jsonl")
        if samples.is_file():
            brought.samples[task] = [
                _lm_eval_sample(one, metric, used_filter)
                for one in read_json_lines(samples, ["doc_id", "arguments"])
            ]
    return brought


def _lm_eval_sample(one: Mapping[str, Any], metric: str, used_filter: str) -> dict[str, Any]:
    score = one.get(metric)
    arguments = one.get("arguments") or {}
    pairs = [*arguments.values()] if isinstance(arguments, dict) else arguments
    first = pairs[0]
    prompt = first.get("arg_0", "") if isinstance(first, dict) else first[0]
    said = one.get("filtered_resps") or [""]
    is_main = one.get("filter", "none") == used_filter
    return {
        "question": one["doc_id"], "filter": one.get("filter", "none"), "prompt": str(prompt),
        "answer": str(said[0] if isinstance(said[0], str) else said), "gold": str(one.get("target", "")),
        "score": float(score) if is_main and isinstance(score, int | float) else None,
    }  # fmt: skip


def _read_helm(folder: Path) -> _Brought:
    spec, stats = read_json(folder / "run_spec.json"), read_json(folder / "stats.json")
    adapter = spec.get("adapter_spec") or {}
    brought = _Brought(shortened(str(adapter.get("model", "helm")), _LONGEST_NAME))
    plain = {
        one["name"]["name"]: one
        for one in stats
        if one["name"].get("split") == "test" and not one["name"].get("perturbation")
    }
    metric = next((name for name in _HELM_METRICS if name in plain), None)
    if metric is None:
        return brought
    task = shortened(re.split(r"[,:]model=", str(spec.get("name", folder.name)))[0], _LONGEST_NAME)
    found = plain[metric]
    questions = int(plain.get("num_instances", {}).get("mean", found.get("count", 0)))
    numbers = {name: one.get("mean") for name, one in plain.items() if one.get("count")}
    brought.results.append(
        {
            "task": task, "metric": metric, "value": float(found["mean"]), "stderr": None,
            "questions": questions, "metrics": numbers,
            "facts": {"few_shot": adapter.get("max_train_instances", 0), "notes": ["from HELM"]},
        }
    )  # fmt: skip
    path = folder / "per_instance_stats.json"
    if path.is_file():
        brought.samples[task] = list(_helm_samples(path, metric))
    return brought


def _helm_samples(path: Path, metric: str) -> Iterator[dict[str, Any]]:
    number = 0
    for one in read_json(path):
        if one.get("perturbation"):
            continue
        values = [s for s in one["stats"] if s["name"]["name"] == metric and s.get("count")]
        if values:
            yield {
                "question": number, "filter": "none", "score": float(values[0]["mean"]),
                "prompt": str(one["instance_id"]), "answer": "", "gold": "",
            }  # fmt: skip
            number += 1
