"""OpenAI Evals, read from a registry as it lies in that project: `evals/*.yaml`, `modelgraded/*.yaml`
and `data/**.jsonl`. Match, Includes, FuzzyMatch, JsonMatch, and ModelBasedClassify with a judge.

Its checks are those of openai/evals (MIT); the words a judge is asked in are ours. Knows no model.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from core.errors import DataError, EvaluationError
from core.evaluation.layouts.folder import DataFolder, read_json_lines, read_text
from core.evaluation.metrics import normalise_squad
from core.text import shortened

PREFIX = "evals:"
Doc = dict[str, Any]
Config = dict[str, Any]
Messages = Sequence[Mapping[str, str]]
Render = Callable[[Messages], str]  # a conversation as a model is asked it
Judge = Callable[[Sequence[str]], list[str]]  # questions to another model → what it says

_LONGEST_ANSWER = 256  # tokens
_BASIC = {"Match", "Includes", "FuzzyMatch", "JsonMatch"}
_GRADED = "ModelBasedClassify"
_ROLES = {"example_user": "user", "example_assistant": "assistant"}
_INVALID = "(no choice)"
_VERDICT = "\n\x1e--- the judge ---\n"  # between an answer and what is said of it


@dataclass(frozen=True, slots=True)
class EvalSpec:
    """One eval of a registry."""

    name: str
    kind: str  # the name of its class
    args: Mapping[str, Any]
    registry: Path


@lru_cache(maxsize=4)
def list_evals(folder: DataFolder) -> dict[str, EvalSpec]:
    """Return the evals of the registry in a folder, those that can be asked here, by their names.

    Raises DataError for a file that is broken.
    """
    found: dict[str, EvalSpec] = {}
    for path in folder.find_all(r"registry/evals/[^/]+\.ya?ml").values():
        entries = _read_yaml(path)
        for name, entry in entries.items():
            target = entries.get(str(entry.get("id"))) if isinstance(entry, dict) else None
            if isinstance(target, dict) and "class" in target:
                kind = str(target["class"]).rpartition(":")[2]
                if kind in {*_BASIC, _GRADED}:
                    found[name] = EvalSpec(name, kind, target.get("args") or {}, path.parents[1])
    return found


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", 0) + 1
        raise DataError(f"{path}, line {line}: the YAML is broken; fetch it anew.") from error
    return document if isinstance(document, dict) else {}


def eval_task(spec: EvalSpec, render: Render, judge: Judge | None) -> tuple[Config, list[Doc]]:
    """Return an eval as a task in lm-eval's words, and its samples.

    Raises EvaluationError where it takes a judge and there is none, DataError where its samples are
    missing or broken.
    """
    docs = _samples(spec)
    config: Config = {
        "task": f"{PREFIX}{spec.name}",
        "dataset_path": "openai/evals",
        "dataset_name": spec.name,
        "output_type": "generate_until",
        "test_split": "test",
        "num_fewshot": 0,
        "asks": lambda doc: _as_text(json.loads(doc["messages"])),
        "doc_to_text": lambda doc: render(json.loads(doc["messages"])),
        "doc_to_target": lambda doc: " / ".join(doc["ideal"]),
        "generation_kwargs": {
            "until": [], "max_gen_toks": _LONGEST_ANSWER, "do_sample": False,
        },
        "metadata": {"version": 1.0},
    }  # fmt: skip
    if spec.kind == _GRADED:
        return config | _graded(spec, judge), docs
    check = _CHECKS[spec.kind]
    ignore_case = bool(spec.args.get("ignore_case"))

    def checked(doc: Doc, results: Sequence[str]) -> Doc:
        right, f1 = check(results[0], doc["ideal"], ignore_case)
        return {"accuracy": right} | ({"f1_score": f1} if spec.kind == "FuzzyMatch" else {})

    names = ["accuracy", *(["f1_score"] if spec.kind == "FuzzyMatch" else [])]
    return config | {"process_results": checked, "metric_list": _metrics(names)}, docs


def _metrics(names: Sequence[str]) -> list[Doc]:
    return [{"metric": name, "aggregation": "mean", "higher_is_better": True} for name in names]


def _samples(spec: EvalSpec) -> list[Doc]:
    path = _data_file(spec, "samples_jsonl")
    examples: list[Doc] = []
    if (count := int(spec.args.get("num_few_shot") or 0)) > 0:
        examples = read_json_lines(_data_file(spec, "few_shot_jsonl"), ["sample"])[:count]
    docs = []
    for number, row in enumerate(read_json_lines(path, ["input"]), start=1):
        ideal = row.get("ideal", "")
        messages = _messages(row["input"], path, number)
        for example in examples:
            messages[-1:-1] = _messages(example["sample"], path, number)
        docs.append(
            {
                "messages": json.dumps(messages, ensure_ascii=False),
                "ideal": [str(one) for one in (ideal if isinstance(ideal, list) else [ideal])],
                "rest": json.dumps({k: v for k, v in row.items() if k not in {"input", "ideal"}}),
            }
        )
    return docs


def _data_file(spec: EvalSpec, name: str) -> Path:
    where = str(spec.args.get(name, ""))
    data = (spec.registry / "data").resolve()
    path = (data / where).resolve()
    if not where or not path.is_relative_to(data) or not path.is_file():
        raise DataError(f"The eval '{spec.name}' reads {data / where}, which is not there.")
    return path


def _messages(value: object, path: Path, number: int) -> list[dict[str, str]]:
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise DataError(f"{path}, line {number}: 'input' is neither a text nor messages.")
    return [
        {
            "role": _ROLES.get(str(one.get("name")), str(one.get("role", "user"))),
            "content": str(one.get("content", "")),
        }
        for one in value
    ]


def _match(said: str, ideal: Sequence[str], _: bool) -> tuple[float, float]:  # noqa: FBT001 - one of several checks
    return float(any(said.strip().startswith(one) for one in ideal)), 0.0


def _includes(said: str, ideal: Sequence[str], ignore_case: bool) -> tuple[float, float]:  # noqa: FBT001 - likewise
    text = said.lower() if ignore_case else said
    return float(any((one.lower() if ignore_case else one) in text for one in ideal)), 0.0


def _fuzzy(said: str, ideal: Sequence[str], _: bool) -> tuple[float, float]:  # noqa: FBT001 - likewise
    text = normalise_squad(said)
    wanted = [normalise_squad(one) for one in ideal]
    right = any((one in text or text in one) if one and text else one == text for one in wanted)
    return float(right), max((_words_f1(text, one) for one in wanted), default=0.0)


def _words_f1(first: str, second: str) -> float:
    """Return F1 of two texts' words, as FuzzyMatch counts them: 0 where both are empty, unlike SQuAD's."""
    a, b = Counter(first.split()), Counter(second.split())
    both = (a & b).total()
    return 2 * both / (a.total() + b.total()) if both else 0.0


def _json(said: str, ideal: Sequence[str], _: bool) -> tuple[float, float]:  # noqa: FBT001 - likewise
    try:
        value = json.loads(said)
    except ValueError:
        return 0.0, 0.0
    return float(any(_is_same_json(json.loads(one), value) for one in ideal if _is_json(one))), 0.0


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _is_same_json(one: object, other: object) -> bool:
    """Compare two values part by part as theirs do: null is never right, a missing key like null."""
    if one is None or other is None:
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return all(_is_same_json(one.get(key), other.get(key)) for key in {*one, *other})
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_same_json, one, other))
    return one == other


_CHECKS: dict[str, Callable[[str, Sequence[str], bool], tuple[float, float]]] = {
    "Match": _match, "Includes": _includes, "FuzzyMatch": _fuzzy, "JsonMatch": _json,
}  # fmt: skip

_HOW = {
    "classify": "Answer with one of {choices} and nothing else.",
    "classify_cot": (
        "Write one of {choices} on the first line. Then explain, step by step, how you came to it."
    ),
    "cot_classify": (
        "Think it through in writing, step by step, before you decide. Then write one of {choices} "
        "on a line of its own, and nothing after it."
    ),
}


@dataclass(frozen=True, slots=True)
class Rubric:
    """A model-graded spec: what a judge is asked, and what its choices count."""

    prompt: str
    choices: tuple[str, ...]
    scores: Mapping[str, float]  # empty where choices are counted only
    is_reasoned_first: bool

    def question(self, values: Mapping[str, str]) -> str:
        """Return what a judge is asked; braces in what it judges stay text."""
        return re.sub(
            r"\{(\w+)\}", lambda found: values.get(found.group(1), found.group(0)), self.prompt
        )

    def choice(self, said: str) -> str:
        """Return the choice that a judge made, the last line's where it reasoned first."""
        lines = [line.strip(" \t.,:;!\"'`*()[]") for line in said.splitlines() if line.strip()]
        for line in reversed(lines) if self.is_reasoned_first else lines:
            for one in self.choices:
                if line.startswith(one) or line.endswith(one):
                    return one
        return _INVALID

    def score(self, choice: str) -> float:
        """Return what a choice counts; one that cannot be read counts the least."""
        return self.scores.get(choice, min(self.scores.values(), default=0.0))


def read_rubric(spec: EvalSpec) -> Rubric:
    """Return the rubric of a model-graded eval. Raises EvaluationError or DataError."""
    wanted = str(spec.args.get("modelgraded_spec", ""))
    found = None
    for path in sorted((spec.registry / "modelgraded").glob("*.yaml")):
        found = found or _read_yaml(path).get(wanted)
    if not isinstance(found, dict):
        raise DataError(f"The eval '{spec.name}' is graded by '{wanted}', which is not there.")
    choices = found.get("choice_strings", ())
    if spec.args.get("metaeval"):
        raise EvaluationError(
            f"The eval '{spec.name}' measures a judge, not the model that is asked."
        )
    if choices == "from_n" or spec.args.get("multicomp_n") or found.get("format_type"):
        raise EvaluationError(
            f"The eval '{spec.name}' compares several answers or continues the conversation, which "
            "is not asked here."
        )
    names = tuple(map(str, choices))
    how = str(spec.args.get("eval_type") or found.get("eval_type") or "cot_classify")
    if how not in _HOW:
        raise EvaluationError(f"The eval '{spec.name}' asks its judge '{how}', which is not known.")
    told = _HOW[how].replace("{choices}", " or ".join(f'"{one}"' for one in names))
    scores = found.get("choice_scores") or {}
    if scores == "from_strings":
        scores = {one: float(one) for one in names}
    has_own = "eval_type" in found
    prompt = str(found["prompt"]) if has_own else f"{found['prompt']}\n\n{told}"
    return Rubric(prompt, names, scores, is_reasoned_first=how == "cot_classify")


def _graded(spec: EvalSpec, judge: Judge | None) -> Config:
    rubric = read_rubric(spec)
    if judge is None:
        raise EvaluationError(f"The eval '{spec.name}' is graded by a model: name one (--judge M).")
    more = {
        name: str(value) for name, value in (spec.args.get("modelgraded_spec_args") or {}).items()
    }

    def grade(responses: Any, docs: Sequence[Doc]) -> list[str]:
        answers = [one[0] for one in responses]
        questions = [
            rubric.question(
                more | {"completion": answer, "ideal": " / ".join(doc["ideal"]),
                        "input": _as_text(json.loads(doc["messages"]))}
            )
            for answer, doc in zip(answers, docs, strict=True)
        ]  # fmt: skip
        said = judge(questions)
        return [
            f"{answer}{_VERDICT}{verdict}" for answer, verdict in zip(answers, said, strict=True)
        ]

    def counted(_doc: Doc, results: Sequence[str]) -> Doc:
        choice = rubric.choice(results[0].partition(_VERDICT)[2])
        shares = {f"chose {one}": float(choice == one) for one in (*rubric.choices, _INVALID)}
        return ({"score": rubric.score(choice)} if rubric.scores else {}) | shares

    names = [
        *(["score"] if rubric.scores else []),
        *(f"chose {one}" for one in (*rubric.choices, _INVALID)),
    ]
    filters = [{"name": "graded", "filter": [{"function": "custom", "filter_fn": grade}]}]
    return {"filter_list": filters, "process_results": counted, "metric_list": _metrics(names)}


def _as_text(messages: Messages) -> str:
    """Return a conversation as a judge reads it."""
    if len(messages) == 1:
        return messages[0]["content"]
    return "\n\n".join(f"{one['role']}: {one['content']}" for one in messages)


def eval_named(folder: DataFolder | None, task: str) -> EvalSpec:
    """Return the eval that a task's name stands for. Raises EvaluationError."""
    known = list_evals(folder) if folder is not None else {}
    name = task.removeprefix(PREFIX)
    if name not in known:
        raise EvaluationError(
            f"There is no eval '{shortened(name, 60)}' in the data's registry; it has "
            f"{shortened(', '.join(known), 200) or 'none'}."
        )
    return known[name]
