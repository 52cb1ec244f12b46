"""A user's own benchmarks: rows of a dataset whose answers are checked by a rule, no judge needed.

A check compares an answer with the expected one: exact match, containing it, words in common, the
last number, equal JSON, a regular expression, a choice among the answers that there are, or a Python
function of the user's that runs in the sandbox.
"""

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from core.datasets.conversation import Example, SplitName, Turn
from core.datasets.splits import split_examples
from core.datasets.store import DatasetStore
from core.errors import EvaluationError, SettingsError
from core.evaluation.choices import OWN_CHECKS, Check
from core.evaluation.metrics import exact_match, normalise_squad, rouge_l, token_f1
from core.evaluation.own_tasks import CodeCheck
from core.storage.workspace import Workspace, check_new_name, now
from core.training.runs.store import find_split_settings

PREFIX = "own:"
Doc = dict[str, Any]
Config = dict[str, Any]
RenderTurns = Callable[[Sequence[Turn]], str]

_NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?|[-+]?\.\d+")
_MOST_CHOICES = 50
_LONGEST_PATTERN, _LONGEST_CODE = 2000, 20_000  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnBenchmark:
    """A benchmark that a user made."""

    name: str
    content_hash: str  # of the dataset's version
    split: SplitName | None  # which rows; None for all
    check: Check
    pattern: str = ""  # of a regular expression; '' for the expected answer as one
    code: str = ""  # of a Python function check(prompt, expected, answer)
    max_new_tokens: int = 128
    after_runs: bool = False  # asked of every run when it has finished

    def __post_init__(self) -> None:
        """Check every field. Raises SettingsError naming all wrong ones."""
        wrong = {
            "check": (self.check not in OWN_CHECKS, f"must be one of {', '.join(OWN_CHECKS)}"),
            "pattern": (not _compiles(self.pattern), "is no regular expression"),
            "code": (self.check == "python" and not _defines_check(self.code),
                     "must define a function check(prompt, expected, answer)"),
            "max_new_tokens": (not 1 <= self.max_new_tokens <= 4096, "must lie between 1 and 4096"),
        }  # fmt: skip
        if problems := {name: sentence for name, (is_wrong, sentence) in wrong.items() if is_wrong}:
            raise SettingsError(problems)


def _compiles(pattern: str) -> bool:
    if len(pattern) > _LONGEST_PATTERN:
        return False
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        return False
    return True


def _defines_check(code: str) -> bool:
    if len(code) > _LONGEST_CODE:
        return False
    try:
        compile(code, "check", "exec")
    except (SyntaxError, ValueError, RecursionError):
        return False
    return re.search(r"^def check\(", code, re.MULTILINE) is not None


class OwnBenchmarks:
    """The benchmarks that users of a workspace made."""

    def __init__(self, workspace: Workspace) -> None:
        """Work in a workspace."""
        self._workspace = workspace
        self._database = workspace.database

    def save(self, benchmark: OwnBenchmark) -> None:
        """Keep a benchmark under its name, in place of one that has it.

        Raises WorkspaceError for a name that is unfit, or a dataset that is not there.
        """
        check_new_name(benchmark.name)
        DatasetStore(self._workspace).load(benchmark.content_hash)
        with self._database.transaction() as tables:
            tables.table("own_benchmarks").insert(
                {
                    "name": benchmark.name, "content_hash": benchmark.content_hash,
                    "split": benchmark.split or "", "check_name": benchmark.check,
                    "pattern": benchmark.pattern, "code": benchmark.code,
                    "max_new_tokens": benchmark.max_new_tokens,
                    "after_runs": int(benchmark.after_runs), "created_at": now(),
                },
                pk="name", replace=True,
            )  # fmt: skip

    def all(self) -> list[OwnBenchmark]:
        """Return all of them, the latest first."""
        rows = self._database.query("SELECT * FROM own_benchmarks ORDER BY created_at DESC")
        return [
            OwnBenchmark(
                name=row["name"], content_hash=row["content_hash"], split=row["split"] or None,
                check=row["check_name"], pattern=row["pattern"], code=row["code"],
                max_new_tokens=row["max_new_tokens"], after_runs=bool(row["after_runs"]),
            )
            for row in rows
        ]  # fmt: skip

    def find(self, name: str) -> OwnBenchmark:
        """Return one by its name. Raises EvaluationError where there is none."""
        found = next((one for one in self.all() if one.name == name), None)
        if found is None:
            raise EvaluationError(f"There is no benchmark of your own called '{name[:60]}'.")
        return found

    def delete(self, name: str) -> None:
        """Forget one; evaluations that asked it stay."""
        with self._database.transaction() as tables:
            tables.execute("DELETE FROM own_benchmarks WHERE name = ?", [name])

    def rows(self, benchmark: OwnBenchmark, models: Sequence[str]) -> Sequence[Example]:
        """Return its rows; a run's own split says which are test rows. Raises WorkspaceError."""
        examples = DatasetStore(self._workspace).load(benchmark.content_hash).examples
        asked = [example for example in examples if not example.is_text]
        if benchmark.split is None:
            return asked
        names = [model.partition("@")[0] for model in models]
        settings = find_split_settings(self._workspace, benchmark.content_hash, names)
        found = split_examples(examples, settings).named(benchmark.split)
        return [example for example in found if not example.is_text]


def own_benchmark_task(
    benchmark: OwnBenchmark, rows: Sequence[Example], render: RenderTurns, check_code: CodeCheck
) -> tuple[Config, list[Doc]]:
    """Return a benchmark as a task in lm-eval's words, and its questions.

    Prompts are ``render``'s: the model's own style. Raises EvaluationError where there are no rows.
    """
    if not rows:
        raise EvaluationError(f"The benchmark '{benchmark.name}' has no rows to ask.")
    docs = [
        {
            "row": example.row,
            "number": number,
            "expected": example.answer,
            "category": example.category,
        }
        for number, example in enumerate(rows)
    ]
    config: Config = {
        "task": f"{PREFIX}{benchmark.name}",
        "dataset_path": "own",
        "test_split": "test",
        "num_fewshot": 0,
        "asks": lambda doc: rows[doc["number"]].prompt_text,
        "doc_to_text": lambda doc: render(rows[doc["number"]].prompt),
        "metadata": {"version": 1.0},
    }
    if benchmark.check == "choice":
        return config | _choice(benchmark, rows), docs

    def checked(doc: Doc, results: Sequence[str]) -> Doc:
        example = rows[doc["number"]]
        return {benchmark.check: _check(benchmark, example, results[0], check_code)}

    return config | {
        "output_type": "generate_until",
        "doc_to_target": "{{expected}}",
        "generation_kwargs": {
            "until": [], "max_gen_toks": benchmark.max_new_tokens, "do_sample": False,
        },
        "process_results": checked,
        "metric_list": [_metric(benchmark.check)],
    }, docs  # fmt: skip


def _metric(name: str) -> Doc:
    return {"metric": name, "aggregation": "mean", "higher_is_better": True}


def _choice(benchmark: OwnBenchmark, rows: Sequence[Example]) -> Config:
    choices = list(dict.fromkeys(example.answer for example in rows))
    if not 2 <= len(choices) <= _MOST_CHOICES:
        raise EvaluationError(
            f"The benchmark '{benchmark.name}' has {len(choices)} different answers to choose from; "
            f"that takes 2 to {_MOST_CHOICES}."
        )
    return {
        "output_type": "multiple_choice",
        "doc_to_target": lambda doc: choices.index(doc["expected"]),
        "doc_to_choice": lambda _doc: choices,
        "target_delimiter": "",
        "metric_list": [_metric("acc")],
    }


def _check(benchmark: OwnBenchmark, example: Example, answer: str, check_code: CodeCheck) -> float:
    if benchmark.check == "python":
        given = [example.prompt_text, example.answer, answer]
        program = f"{benchmark.code}\n\nassert check(*{given!r})\n"
        return float(check_code([program])[0])
    if benchmark.check == "regex":
        return _matches(benchmark.pattern or example.answer, answer)
    return _RULES[benchmark.check](answer, example.answer)


def _matches(pattern: str, answer: str) -> float:
    try:
        return float(re.search(pattern, answer) is not None)
    except (re.error, RecursionError, OverflowError):
        return 0.0


def _contains(answer: str, expected: str) -> float:
    wanted = normalise_squad(expected)
    return float(bool(wanted) and wanted in normalise_squad(answer))


def _same_number(answer: str, expected: str) -> float:
    """Return whether the last numbers of two texts are equal."""
    said, wanted = _NUMBER.findall(answer), _NUMBER.findall(expected)
    if not said or not wanted:
        return 0.0
    first, second = (float(one[-1].replace(",", "")) for one in (said, wanted))
    return float(math.isclose(first, second, rel_tol=1e-6, abs_tol=1e-9))


def _same_json(answer: str, expected: str) -> float:
    """Return whether two texts are equal JSON; what stands around it in a block of code is left out."""
    values = []
    for text in (answer, expected):
        inside = re.search(r"```(?:json)?\s*(.*?)```", text, re.DOTALL)
        try:
            values.append(json.loads(inside.group(1) if inside else text))
        except (ValueError, RecursionError):
            return 0.0
    # True is no 1, and 1 is 1.0
    return float(values[0] == values[1] and _kinds(values[0]) == _kinds(values[1]))


def _kinds(value: Any) -> Any:
    """Return a JSON value with booleans marked, which Python takes for numbers."""
    if isinstance(value, dict):
        return {name: _kinds(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_kinds(one) for one in value]
    return isinstance(value, bool)


_RULES: dict[str, Callable[[str, str], float]] = {
    "exact": lambda answer, expected: exact_match(answer, [expected]),
    "contains": _contains,
    "f1": lambda answer, expected: token_f1(answer, [expected]),
    "rouge_l": rouge_l,
    "numeric": _same_number,
    "json": _same_json,
}
