"""OpenAI Evals read from a registry of our own, and what a judge's words are taken for."""

import json
from pathlib import Path
from typing import Any

import pytest

from core.errors import DataError, EvaluationError
from core.evaluation.layouts.folder import DataFolder
from core.evaluation.openai_evals import (
    Rubric,
    eval_named,
    eval_task,
    list_evals,
    read_rubric,
)

REGISTRY = """
sums:
  id: sums.dev.v0
  metrics: [accuracy]
sums.dev.v0:
  class: evals.elsuite.basic.{kind}
  args:
    samples_jsonl: sums/samples.jsonl
    {more}
"""
GRADED = """
sums:
  id: sums.dev.v0
sums.dev.v0:
  class: evals.elsuite.modelgraded.classify:ModelBasedClassify
  args:
    samples_jsonl: sums/samples.jsonl
    eval_type: {how}
    modelgraded_spec: good
"""
SPEC = """
good:
  prompt: "Task: {input} Said: {completion} Right: {ideal}"
  choice_strings: "YN"
  choice_scores: {"Y": 1.0, "N": 0.25}
  input_outputs: {input: completion}
"""


def registry(tmp_path: Path, text: str, *samples: dict[str, Any]) -> DataFolder:
    home = tmp_path / "registry"
    for name in ("evals", "modelgraded", "data/sums"):
        (home / name).mkdir(parents=True, exist_ok=True)
    (home / "evals" / "sums.yaml").write_text(text)
    (home / "modelgraded" / "good.yaml").write_text(SPEC)
    rows = samples or ({"input": "1 + 1?", "ideal": ["2", "two"]},)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (home / "data" / "sums" / "samples.jsonl").write_text(lines)
    return DataFolder(tmp_path)


def score(folder: DataFolder, answer: str) -> dict[str, Any]:
    config, docs = eval_task(eval_named(folder, "evals:sums"), str, None)
    found: dict[str, Any] = config["process_results"](docs[0], [answer])
    return found


@pytest.mark.parametrize(
    ("kind", "answer", "right"),
    [
        ("match:Match", "2 it is", 1), ("match:Match", "It is 2", 0),
        ("includes:Includes", "It is two.", 1), ("includes:Includes", "It is Two.", 0),
        ("fuzzy_match:FuzzyMatch", "The TWO!", 1), ("fuzzy_match:FuzzyMatch", "three", 0),
        ("json_match:JsonMatch", " 2 ", 1), ("json_match:JsonMatch", "{2", 0),
    ],
)  # fmt: skip
def test_basic_evals_check_as_theirs_do(tmp_path: Path, kind: str, answer: str, right: int) -> None:
    folder = registry(tmp_path, REGISTRY.format(kind=kind, more="x: 0"))
    assert score(folder, answer)["accuracy"] == right


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ('{"a": [1, {"b": "x"}]}', 1), ('{"a": [1.0, {"b": "x"}]}', 1), ('{"a": [1]}', 0),
        ('{"a": [1, {"b": "x"}], "c": null}', 0), ("null", 0), ('{"a": [1, {"b": null}]}', 0),
    ],
)  # fmt: skip
def test_json_is_compared_part_by_part_and_null_is_never_right(
    tmp_path: Path, answer: str, right: int
) -> None:
    folder = registry(
        tmp_path, REGISTRY.format(kind="json_match:JsonMatch", more="x: 0"),
        {"input": "?", "ideal": ['{"a": [1, {"b": "x"}]}', "null"]},
    )  # fmt: skip
    assert score(folder, answer)["accuracy"] == right


def test_includes_may_ignore_case_and_fuzzy_match_counts_words(tmp_path: Path) -> None:
    folder = registry(tmp_path, REGISTRY.format(kind="includes:Includes", more="ignore_case: true"))
    assert score(folder, "It is TWO")["accuracy"] == 1
    folder = registry(
        tmp_path, REGISTRY.format(kind="fuzzy_match:FuzzyMatch", more="x: 0"),
        {"input": "?", "ideal": "red dog"},
    )  # fmt: skip
    # of "big dog" and "red dog" one word of two each: 2 * 1 / 4
    assert score(folder, "a big dog")["f1_score"] == pytest.approx(0.5)


def test_examples_stand_before_the_question_and_roles_are_theirs(tmp_path: Path) -> None:
    more = "num_few_shot: 1\n    few_shot_jsonl: sums/shots.jsonl"
    folder = registry(
        tmp_path, REGISTRY.format(kind="match:Match", more=more),
        {"input": [{"role": "system", "content": "Add."}, {"role": "user", "content": "1+1"}], "ideal": "2"},
    )  # fmt: skip
    shots = {"sample": [
        {"role": "system", "content": "2+2", "name": "example_user"},
        {"role": "system", "content": "4", "name": "example_assistant"},
    ]}  # fmt: skip
    (tmp_path / "registry/data/sums/shots.jsonl").write_text(json.dumps(shots) + "\n")
    config, docs = eval_task(eval_named(folder, "evals:sums"), lambda said: repr(list(said)), None)
    assert config["doc_to_text"](docs[0]) == repr([
        {"role": "system", "content": "Add."}, {"role": "user", "content": "2+2"},
        {"role": "assistant", "content": "4"}, {"role": "user", "content": "1+1"},
    ])  # fmt: skip


def test_a_judge_grades_and_its_choices_are_counted(tmp_path: Path) -> None:
    folder = registry(
        tmp_path, GRADED.format(how="cot_classify"), {"input": "1+{ideal}", "ideal": "2"}
    )
    asked: list[str] = []

    def judge(questions: Any) -> list[str]:
        asked.extend(questions)
        return ["It says two.\nY"] * len(questions)

    spec = eval_named(folder, "evals:sums")
    config, docs = eval_task(spec, lambda _: "", judge)
    [graded] = config["filter_list"][0]["filter"][0]["filter_fn"]([["{completion} is 2"]], docs)
    # braces in what is judged stay text
    assert "Task: 1+{ideal} Said: {completion} is 2 Right: 2" in asked[0]
    assert config["process_results"](docs[0], [graded])["score"] == 1
    with pytest.raises(EvaluationError, match="graded by a model: name one"):
        eval_task(spec, lambda _: "", None)


@pytest.mark.parametrize(
    ("reasoned", "said", "choice"),
    [
        (True, "N is tempting, but\nY", "Y"), (True, "Y\nbecause\nN.", "N"),
        (False, "Y\nN is wrong", "Y"), (False, "(N)", "N"), (True, "I do not know", "(no choice)"),
        (True, "", "(no choice)"),
    ],
)  # fmt: skip
def test_a_judge_s_choice_is_read_strictly(reasoned: bool, said: str, choice: str) -> None:
    rubric = Rubric("", ("Y", "N"), {"Y": 1.0, "N": 0.25}, reasoned)
    assert rubric.choice(said) == choice
    assert rubric.score("(no choice)") == 0.25


def test_what_is_wrong_with_a_registry_is_said(tmp_path: Path) -> None:
    folder = registry(tmp_path, REGISTRY.format(kind="match:Match", more="x: 0"))
    assert list(list_evals(folder)) == ["sums"]
    with pytest.raises(EvaluationError, match="There is no eval 'nothing'.*it has sums"):
        eval_named(folder, "evals:nothing")
    (tmp_path / "registry/data/sums/samples.jsonl").unlink()
    with pytest.raises(DataError, match=r"reads .*samples\.jsonl, which is not there"):
        eval_task(eval_named(DataFolder(tmp_path), "evals:sums"), lambda _: "", None)
    outside = REGISTRY.format(kind="match:Match", more="x: 0").replace("sums/samples", "../../../x")
    with pytest.raises(DataError, match="which is not there"):
        score(registry(tmp_path, outside), "x")
    with pytest.raises(DataError, match=r"sums\.yaml, line 2: the YAML is broken"):
        list_evals(registry(tmp_path, "a: [\n"))
    with pytest.raises(EvaluationError, match="asks its judge 'guess', which is not known"):
        read_rubric(eval_named(registry(tmp_path, GRADED.format(how="guess")), "evals:sums"))
