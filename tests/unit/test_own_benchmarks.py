"""Benchmarks of a user's own rows: every check, what is refused, and what a run was trained on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from core.datasets.conversation import Example, Turn
from core.datasets.dataset import load_dataset
from core.datasets.samples import SAMPLE
from core.datasets.store import DatasetStore
from core.errors import EvaluationError, SettingsError, WorkspaceError
from core.evaluation.choices import Check
from core.evaluation.contamination import TrainingText, training_text_of
from core.evaluation.own_benchmarks import OwnBenchmark, OwnBenchmarks, own_benchmark_task
from core.storage.workspace import Workspace

CODE = "def check(prompt, expected, answer):\n    return answer == expected.upper()\n"


def row(answer: str, prompt: str = "Why?") -> Example:
    return Example(1, (Turn("user", prompt), Turn("assistant", answer)))


def benchmark(check: Check, **more: Any) -> OwnBenchmark:
    return OwnBenchmark(name="mine", content_hash="x", split="test", check=check, **more)


def scored(check: Check, expected: str, answer: str, **more: Any) -> float:
    def programs(texts: Sequence[str]) -> list[bool]:
        found = []
        for text in texts:
            try:
                exec(text, {})
            except AssertionError:
                found.append(False)
            else:
                found.append(True)
        return found

    config, docs = own_benchmark_task(
        benchmark(check, **more), [row(expected)], lambda turns: turns[-1].text, programs
    )
    assert config["doc_to_text"](docs[0]) == "Why?"
    return float(config["process_results"](docs[0], [answer])[check])


CHECKS: list[tuple[Check, str, str, float]] = [
    ("exact", "The dog.", "a DOG", 1),
    ("exact", "The dog.", "a dog barks", 0),
    ("contains", "Paris", "It is paris, I think.", 1),
    ("contains", "", "anything", 0),
    ("f1", "red dog", "dog", 2 / 3),
    ("rouge_l", "a b c", "a x c", 2 / 3),
    ("numeric", "The sum is 1,250.", "1000 + 250 = 1250.0", 1),
    ("numeric", "3.5", "3.4", 0),
    ("numeric", "3", "no number", 0),
    ("json", '{"a": [1, 2]}', '```json\n{"a": [1,2]}\n```', 1),
    ("json", '{"a": 1}', '{"a": 1', 0),
    ("json", '{"a": [1]}', '{"a": [true]}', 0),
    ("json", '{"a": 1}', '{"a": 1.0}', 1),
    ("regex", r"^\d{4}$", "1984", 1),
    ("regex", r"^\d{4}$", "in 1984", 0),
    ("regex", "(unclosed", "x", 0),
]


@pytest.mark.parametrize(("check", "expected", "answer", "score"), CHECKS)
def test_answers_are_checked_by_a_rule(
    check: Check, expected: str, answer: str, score: float
) -> None:
    assert scored(check, expected, answer) == pytest.approx(score)


def test_a_pattern_and_a_function_of_one_s_own() -> None:
    assert scored("regex", "anything", "AB12", pattern=r"[A-Z]{2}\d{2}") == 1
    assert scored("python", "yes", "YES", code=CODE) == 1
    assert scored("python", "yes", "yes", code=CODE) == 0


def test_a_choice_is_among_the_answers_that_there_are() -> None:
    rows = [row("yes"), row("no"), row("yes")]
    config, docs = own_benchmark_task(benchmark("choice"), rows, lambda _: "", lambda _: [])
    assert config["doc_to_choice"](docs[0]) == ["yes", "no"]
    assert [config["doc_to_target"](doc) for doc in docs] == [0, 1, 0]
    with pytest.raises(EvaluationError, match="has 1 different answers to choose from"):
        own_benchmark_task(benchmark("choice"), rows[:1], lambda _: "", lambda _: [])
    with pytest.raises(EvaluationError, match="has no rows to ask"):
        own_benchmark_task(benchmark("exact"), [], lambda _: "", lambda _: [])


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"check": "guess"}, "check: must be one of exact, contains"),
        ({"check": "regex", "pattern": "("}, "pattern: is no regular expression"),
        ({"check": "python", "code": "def other(): pass"}, "must define a function check"),
        ({"check": "python", "code": "def check(:"}, "must define a function check"),
        ({"check": "exact", "max_new_tokens": 0}, "must lie between 1 and 4096"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(more: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        OwnBenchmark(name="x", content_hash="x", split=None, **more)


def test_benchmarks_are_kept_replaced_and_forgotten(workspace: Workspace) -> None:
    content_hash = DatasetStore(workspace).keep(load_dataset(SAMPLE))
    own = OwnBenchmarks(workspace)
    made = OwnBenchmark(name="facts", content_hash=content_hash, split="test", check="exact")
    own.save(made)
    assert own.find("facts") == made and len(own.rows(made, [])) == 392
    every = OwnBenchmark(
        name="facts", content_hash=content_hash, split=None, check="f1", after_runs=True
    )
    own.save(every)
    assert own.all() == [every] and len(own.rows(every, [])) == 1570
    own.delete("facts")
    with pytest.raises(EvaluationError, match="no benchmark of your own called 'facts'"):
        own.find("facts")
    with pytest.raises(WorkspaceError, match="cannot be a name"):
        own.save(OwnBenchmark(name="../x", content_hash=content_hash, split=None, check="f1"))
    with pytest.raises(WorkspaceError):
        own.save(OwnBenchmark(name="x", content_hash="away", split=None, check="f1"))


def test_questions_that_were_trained_on_are_found(workspace: Workspace, tmp_path: Path) -> None:
    long = "Which planet of our solar system has the largest number of known moons today?"
    text = TrainingText([row("Saturn.", long), row("4.", "What is 2 + 2?")])
    assert text.holds(long.upper().replace("?", "!"))
    assert text.holds(f"Please: {long}")
    assert text.holds("what is 2 + 2")
    assert not text.holds("What is 2 + 3?")
    assert not text.holds(
        "Which planet of our solar system is the one that people like most of all?"
    )
    assert not text.holds("")
    assert training_text_of(workspace, "pocket") is None
