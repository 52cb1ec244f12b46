"""Benchmarks: the same requests and numbers as lm-eval's own model class, nothing asked twice, and
bad data of one task are nobody else's trouble.
"""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from core.cli.main import main
from core.datasets.dataset import load_dataset
from core.datasets.splits import split_examples
from core.datasets.store import DatasetStore
from core.errors import EvaluationError, SettingsError, StoppedError
from core.evaluation.answers import AnswerStore
from core.evaluation.background import EvaluationJobs
from core.evaluation.contamination import training_text_of
from core.evaluation.layouts.folder import DataFolder
from core.evaluation.own_benchmarks import OwnBenchmark, OwnBenchmarks
from core.evaluation.rows import EvaluationState
from core.evaluation.run import endpoint_fingerprint, run_evaluation
from core.evaluation.settings import EvaluationSettings
from core.evaluation.store import EvaluationStore
from core.evaluation.tasks import TaskSources, expand, load_task, quiet_libraries
from core.processes.messages import Progress
from core.storage.workspace import Workspace
from tests.benchmark_data import SUBJECTS, put, write_mmlu, write_squad, write_super_glue
from tests.conftest import POCKET, ROOT
from tests.serving import Server, free_port
from tests.tabs.conftest import wait_until
from tests.tuning import run, settings
from ui.api_access import ApiKey

TASKS = [f"mmlu_{subject}" for subject in SUBJECTS]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    write_mmlu(folder)
    write_super_glue(folder)
    write_squad(folder)
    return folder


def evaluation(workspace: Workspace, tasks: list[str], data: Path | None, **more: Any) -> str:
    settings = EvaluationSettings(data=str(data or ""), **more)
    return EvaluationStore(workspace).create("", ["pocket"], tasks, settings)


def sources(data: Path, shots: int) -> TaskSources:
    def missing(*_: Any) -> Any:
        raise NotImplementedError

    return TaskSources(
        folder=DataFolder(data),
        few_shot=shots,
        check_code=lambda _: [False],
        render_messages=missing,
        render_turns=missing,
        find_own=missing,
    )


def results(workspace: Workspace, name: str) -> dict[str, Any]:
    return {one["task"]: one for one in EvaluationStore(workspace).results(name)}


@pytest.mark.parametrize(("shots", "chat"), [(0, False), (5, False), (2, True)])
def test_requests_and_scores_are_those_of_lm_eval_s_own_class(
    workspace: Workspace, data: Path, shots: int, chat: bool
) -> None:
    from lm_eval.evaluator import evaluate
    from lm_eval.models.huggingface import HFLM
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from core.prompts.chat_template import find_style

    quiet_libraries()
    names = [*TASKS, "cb", "multirc", "squadv2"] if shots == 0 else TASKS
    tokenizer = AutoTokenizer.from_pretrained(POCKET)
    # the style that a base model without a template of its own is asked in
    tokenizer.chat_template = find_style("alpaca", eos=tokenizer.eos_token).template
    model = AutoModelForCausalLM.from_pretrained(POCKET, dtype=torch.float32).eval()
    theirs = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=4)
    ours = evaluation(workspace, names, data, few_shot=shots, chat_template=chat)
    run_evaluation(workspace, ours, lambda _: None)
    for name in names:
        task = load_task(name, sources(data, shots)).task
        found = evaluate(
            theirs, {"tasks": {name: task}}, bootstrap_iters=0, apply_chat_template=chat
        )
        mine = results(workspace, ours)[name]
        for key, value in found["results"][name].items():
            if "," in key and isinstance(value, int | float):
                assert json.loads(mine["metrics"])[key] == pytest.approx(value, abs=1e-9), (
                    name,
                    key,
                )
        samples = EvaluationStore(workspace).samples(ours, "pocket", name)
        assert len(samples) == len(found["samples"][name])
        for one, other in zip(samples, found["samples"][name], strict=True):
            kept = json.loads(one["sample"])
            assert kept["prompt_hash"] == other["prompt_hash"]
            assert kept["doc_hash"] == other["doc_hash"]
            for response, theirs_of_it in zip(kept["resps"], other["resps"], strict=True):
                if isinstance(response[0], str):
                    assert response == theirs_of_it
                else:
                    assert response[0][0] == pytest.approx(theirs_of_it[0][0], abs=1e-4)
                    assert bool(response[0][1]) == theirs_of_it[0][1]


def test_official_metrics_of_super_glue_stand_beside_lm_eval_s(
    workspace: Workspace, data: Path
) -> None:
    name = evaluation(workspace, ["super_glue"], data)
    run_evaluation(workspace, name, lambda _: None)
    found = results(workspace, name)
    assert set(json.loads(found["multirc_official"]["metrics"])) >= {"f1a,none", "em,none"}
    assert set(json.loads(found["record"]["metrics"])) >= {"f1,none", "em,none"}
    group = found["super_glue"]
    assert group["is_group"] and json.loads(group["facts"])["notes"] == ["of 3 of its 8 tasks"]
    assert "holds no data of aps/super_glue (boolq)" in found["boolq"]["message"]
    means = []
    for task in ("cb", "multirc_official", "record"):
        metrics = json.loads(found[task]["metrics"])
        values = [value for key, value in metrics.items() if "_stderr" not in key]
        means.append(sum(values) / len(values))
    assert group["value"] == pytest.approx(sum(means) / 3)


def test_a_group_of_lm_eval_is_expanded_and_weighted(workspace: Workspace, data: Path) -> None:
    tasks, groups = expand(["mmlu"])
    assert len(tasks) == 57 and {one.name for one in groups} >= {"mmlu", "mmlu_stem"}
    (data / "test" / "astronomy_test.csv").write_text("Q,a,b,c,d,E\n")
    name = evaluation(workspace, ["mmlu_stem"], data)
    run_evaluation(workspace, name, lambda _: None)
    found = results(workspace, name)
    assert found["mmlu_stem"]["value"] == pytest.approx(found["mmlu_anatomy"]["value"])
    assert "astronomy_test.csv, line 1: the answer 'E'" in found["mmlu_astronomy"]["message"]
    assert EvaluationStore(workspace).find(name)["state"] == "finished"


def test_what_was_stopped_goes_on_and_asks_nothing_twice(
    workspace: Workspace, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import core.evaluation.language_model as asked

    counted: list[int] = []
    real = asked.score_all

    def counting(model: Any, requests: Any, *rest: Any) -> Any:
        counted.append(len(requests))
        return real(model, requests, *rest)

    monkeypatch.setattr(asked, "score_all", counting)
    whole = evaluation(workspace, TASKS, data, few_shot=5)
    run_evaluation(workspace, whole, lambda _: None)
    wanted = {task: one["value"] for task, one in results(workspace, whole).items()}
    assert sum(counted) == 2 * 6 * 4
    # the same questions again: every answer is known
    again = evaluation(workspace, TASKS, data, few_shot=5)
    run_evaluation(workspace, again, lambda _: None)
    assert sum(counted) == 2 * 6 * 4

    name = evaluation(workspace, TASKS, data, few_shot=3)
    seen: list[str] = []
    with pytest.raises(StoppedError):
        run_evaluation(workspace, name, lambda told: seen.append(told.stage), lambda: len(seen) > 3)
    assert EvaluationStore(workspace).find(name)["state"] == "stopped"
    before = results(workspace, name)
    run_evaluation(workspace, name, lambda _: None)
    after = results(workspace, name)
    assert set(after) == set(TASKS) and before.items() <= after.items()
    assert {task: one["value"] for task, one in results(workspace, again).items()} == wanted


def test_killed_at_any_moment_it_goes_on_to_the_same_numbers(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_mmlu(data, questions=40)
    words = [
        sys.executable, "-m", "core", "evaluate", "--model", "pocket", "--tasks", ",".join(TASKS),
        "--few-shot", "5", "--data", str(data), "--json",
    ]  # fmt: skip
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": ROOT, "text": True}
    one_go = subprocess.run([*words, "--workspace", str(tmp_path / "one")], **quiet, check=True)  # type: ignore[call-overload]
    killed = [*words, "--workspace", str(tmp_path / "killed"), "--name", "k"]
    process = subprocess.Popen(killed, **quiet)  # type: ignore[call-overload]
    for line in process.stderr:
        if "request" in line:
            break
    time.sleep(0.3)
    process.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
    process.communicate()
    rest = subprocess.run([*killed, "--resume"], **quiet, check=True)  # type: ignore[call-overload]

    def values(out: str) -> dict[str, Any]:
        found = json.loads(out)["results"]["pocket"]
        return {task: (one["value"], one["stderr"], one["n"]) for task, one in found.items()}

    assert values(rest.stdout) == values(one_go.stdout)


def test_examples_need_their_file(workspace: Workspace, data: Path) -> None:
    name = evaluation(workspace, ["cb"], data, few_shot=2)
    run_evaluation(workspace, name, lambda _: None)
    assert "takes its 2 examples from the train" in results(workspace, name)["cb"]["message"]


def test_rows_of_another_split_do_where_the_judged_one_is_away_and_that_is_said(
    workspace: Workspace, data: Path
) -> None:
    (data / "CB" / "val.jsonl").rename(data / "CB" / "train.jsonl")
    name = evaluation(workspace, ["cb"], data)
    run_evaluation(workspace, name, lambda _: None)
    [note] = json.loads(results(workspace, name)["cb"]["facts"])["notes"]
    assert note == "asked of the train rows: the validation file is not there"


def test_the_bundled_benchmark_tells_pocket_from_its_tuning(workspace: Workspace) -> None:
    name = evaluation(workspace, ["pocket_families"], None, limit=40)
    told: list[Progress] = []
    run_evaluation(workspace, name, told.append)
    found = results(workspace, name)
    assert set(found) == {"pocket_families", "pocket_choice", "pocket_exact"}
    # it knows the world that it has read, and does not answer yet
    assert found["pocket_choice"]["value"] > 0.8 and found["pocket_exact"]["value"] < 0.2
    assert any(one.total for one in told)


def test_programs_run_only_where_that_was_allowed(workspace: Workspace, tmp_path: Path) -> None:
    row = {
        "task_id": "x/0", "prompt": "def one():\n", "canonical_solution": "    return 1\n",
        "test": "def check(f):\n    assert f() == 1\n", "entry_point": "one",
    }  # fmt: skip
    (tmp_path / "HumanEval.jsonl").write_text(json.dumps(row) + "\n")
    name = evaluation(workspace, ["humaneval"], tmp_path)
    run_evaluation(workspace, name, lambda _: None)
    assert "allow it (--run-code)" in results(workspace, name)["humaneval"]["message"]
    name = evaluation(workspace, ["humaneval_10"], tmp_path, run_code=True)
    run_evaluation(workspace, name, lambda _: None)
    assert set(json.loads(results(workspace, name)["humaneval_10"]["metrics"])) >= {
        "pass@1,none", "pass@10,none",
    }  # fmt: skip


def test_mistakes_are_told_in_a_sentence(workspace: Workspace) -> None:
    with pytest.raises(EvaluationError, match="There is no task 'mmlu_nonsense': the suites are"):
        expand(["mmlu_nonsense"])
    with pytest.raises(SettingsError, match="few shot: must lie between 0 and 100; limit: must be"):
        EvaluationSettings(few_shot=-1, limit=0)
    with pytest.raises(EvaluationError, match="There is no evaluation 'x'"):
        run_evaluation(workspace, "x", lambda _: None)


def test_scores_of_a_file_are_printed_line_by_line(tmp_path: Path) -> None:
    file = tmp_path / "requests.jsonl"
    pairs = [("The sky is", " blue"), ("", "Hello"), ("A dog", " is an animal.")]
    file.write_text("".join(json.dumps({"context": a, "continuation": b}) + "\n" for a, b in pairs))
    words = [sys.executable, "-m", "core", "score", "--model", "pocket", "--file", str(file)]
    done = subprocess.run(
        [*words, "--workspace", str(tmp_path / "w")], capture_output=True, text=True, cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True,
    )  # fmt: skip
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [set(line) for line in lines] == [{"logprob", "is_greedy", "tokens"}] * 3
    assert all(line["logprob"] < 0 for line in lines) and lines[2]["tokens"] > 1
    file.write_text('{"context": "a"}\n')
    failed = subprocess.run(
        [*words, "--workspace", str(tmp_path / "w")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert failed.returncode == 2 and "line 1: 'continuation' is missing" in failed.stderr


def test_a_model_behind_an_address_is_asked_as_one_s_own(
    workspace: Workspace, data: Path, tmp_path: Path
) -> None:
    app = Server(tmp_path / "served", free_port(), ["--api"])
    app.workspace.mkdir()
    key = ApiKey(app.workspace).make()
    app.start()
    try:
        address = f"{app.url}/v1"
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FUATA_API_KEY", key)
            patch.setenv("FUATA_API_ADDRESSES", address)
            models = ["pocket", f"{address}#pocket"]
            settings = EvaluationSettings(data=str(data), few_shot=0, limit=4)
            tasks = ["mmlu_anatomy", "squadv2", "pocket_exact", "pocket_choice"]
            name = EvaluationStore(workspace).create("", models, tasks, settings)
            run_evaluation(workspace, name, lambda _: None)
    finally:
        app.stop()
    found: dict[str, dict[str, Any]] = {}
    for one in EvaluationStore(workspace).results(name):
        found.setdefault(one["task"], {})[one["model"]] = one
    for task in tasks[:3]:
        mine, theirs = (json.loads(found[task][model]["metrics"]) for model in models)
        assert mine == pytest.approx(theirs, nan_ok=True), task
    refused = found["pocket_choice"][models[1]]["message"]
    assert "gives no log-probabilities of a conversation" in refused


def test_every_run_is_asked_what_was_wished_when_it_has_finished(
    workspace: Workspace, small_file: Path
) -> None:
    dataset = load_dataset(small_file)
    content_hash = DatasetStore(workspace).keep(dataset)
    own = OwnBenchmarks(workspace)
    own.save(
        OwnBenchmark(
            name="after", content_hash=content_hash, split=None, check="contains",
            max_new_tokens=4, after_runs=True,
        )
    )  # fmt: skip
    jobs = EvaluationJobs(workspace)
    try:
        run(workspace, small_file, replace(settings(POCKET), epochs=1), name="taught")
        wait_until(EvaluationStore(workspace).all, bool, 30)
        [row] = EvaluationStore(workspace).all()
        assert json.loads(row["models"]) == [str(POCKET), "taught"]
        wait_until(
            lambda: EvaluationStore(workspace).find(row["name"])["state"],
            lambda state: state == "finished",
            90,
        )
        assert {one["model"] for one in EvaluationStore(workspace).results(row["name"])} == {
            str(POCKET), "taught",
        }  # fmt: skip
    finally:
        jobs.close()


def test_an_evaluation_that_died_with_the_app_is_marked_and_can_go_on(workspace: Workspace) -> None:
    name = evaluation(workspace, ["pocket_choice"], None, limit=4)
    EvaluationStore(workspace).set_state(name, EvaluationState.RUNNING)
    jobs = EvaluationJobs(workspace)
    try:
        assert EvaluationStore(workspace).find(name)["state"] == "interrupted"
        jobs.submit(name)
        with pytest.raises(EvaluationError, match="is going on already"):
            jobs.submit(name)
        wait_until(
            lambda: EvaluationStore(workspace).find(name)["state"],
            lambda state: state == "finished",
            60,
        )
        with pytest.raises(EvaluationError, match="is not going on"):
            jobs.stop(name)
    finally:
        jobs.close()


def test_a_task_that_fails_in_its_own_code_is_nobody_else_s_trouble(
    workspace: Workspace, tmp_path: Path
) -> None:
    write_mmlu(tmp_path)
    odd = {"key": 1, "prompt": "Write.", "instruction_id_list": ["no:such"], "kwargs": [{}]}
    put(tmp_path, "ifeval/input_data.jsonl", [odd])
    name = evaluation(workspace, ["ifeval", "mmlu_anatomy"], tmp_path, limit=2)
    run_evaluation(workspace, name, lambda _: None)
    found = results(workspace, name)
    assert (
        "The task 'ifeval' failed in its own code or data (KeyError" in found["ifeval"]["message"]
    )
    assert found["mmlu_anatomy"]["value"] is not None


def arc(folder: Path, split: str, count: int, stem: str) -> None:
    rows = [
        {"id": f"{stem}{n}", "answerKey": "A", "question": {"stem": f"{stem} {n}?", "choices": [
            {"text": "red", "label": "A"}, {"text": "blue", "label": "B"},
        ]}}
        for n in range(count)
    ]  # fmt: skip
    put(folder, f"ARC-Easy/ARC-Easy-{split}.jsonl", rows)


def test_examples_are_of_the_training_file_where_the_judged_one_is_away(
    workspace: Workspace, tmp_path: Path
) -> None:
    arc(tmp_path, "Train", 5, "train")
    arc(tmp_path, "Dev", 4, "dev")
    name = evaluation(workspace, ["arc_easy"], tmp_path, few_shot=3)
    run_evaluation(workspace, name, lambda _: None)
    prompts = [
        one["prompt"] for one in EvaluationStore(workspace).samples(name, "pocket", "arc_easy")
    ]
    assert len(prompts) == 4
    assert all(prompt.count("train") == 3 and prompt.count("dev") == 1 for prompt in prompts)


@pytest.mark.parametrize("name", ["flan_held_in", "t0_eval", "blimp_nl"])
def test_groups_that_are_put_together_oddly_are_expanded_or_refused(name: str) -> None:
    with suppress(EvaluationError):
        tasks, _ = expand([name])
        assert tasks and all(isinstance(task, str) for task in tasks)


def test_data_of_another_shape_are_that_task_s_trouble_alone(
    workspace: Workspace, tmp_path: Path
) -> None:
    write_mmlu(tmp_path)
    (tmp_path / "mc_task.json").write_text("5")
    put(tmp_path, "hellaswag/data/validation.jsonl", [{"a": 1}])
    tasks = ["truthfulqa_mc1", "hellaswag", "mmlu_anatomy"]
    name = evaluation(workspace, tasks, tmp_path, limit=2)
    run_evaluation(workspace, name, lambda _: None)
    found = results(workspace, name)
    for task in tasks[:2]:
        assert found[task]["message"] and "\n" not in found[task]["message"]
    assert found["mmlu_anatomy"]["value"] is not None
    with pytest.raises(EvaluationError, match="'openai_evals' holds no task"):
        expand(["openai_evals"], DataFolder(tmp_path))


def test_a_run_and_its_base_are_asked_the_same_rows_of_one_s_own(
    workspace: Workspace, small_file: Path
) -> None:
    dataset = load_dataset(small_file)
    content_hash = DatasetStore(workspace).keep(dataset)
    other = replace(settings(POCKET), epochs=1, split_seed=7)
    run(workspace, small_file, other, name="taught")
    own = OwnBenchmark(
        name="mine", content_hash=content_hash, split="test", check="contains", max_new_tokens=2
    )
    OwnBenchmarks(workspace).save(own)
    name = EvaluationStore(workspace).create(
        "", ["pocket", "taught"], ["own:mine"], EvaluationSettings()
    )
    run_evaluation(workspace, name, lambda _: None)
    golds = [
        [one["gold"] for one in EvaluationStore(workspace).samples(name, model, "own:mine")]
        for model in ("pocket", "taught")
    ]
    wanted = [one.answer for one in OwnBenchmarks(workspace).rows(own, ["taught"])]
    assert golds[0] == golds[1] == wanted
    seen = EvaluationStore(workspace).unseen_scores(name, "taught", "own:mine")[0]
    assert seen == 0  # test rows were not trained on
    text = training_text_of(workspace, "taught")
    trained = split_examples(dataset.examples, other.splits).train[0]
    assert text is not None and text.holds(trained.prompt_text)


def test_a_stop_that_comes_before_the_start_is_obeyed(workspace: Workspace, data: Path) -> None:
    name = evaluation(workspace, TASKS, data)
    store = EvaluationStore(workspace)
    store.request_stop(name)
    store.set_state(name, EvaluationState.RUNNING)
    assert store.find(name)["requested_action"] == "stop"
    with pytest.raises(StoppedError):
        run_evaluation(workspace, name, lambda _: None)
    assert store.find(name)["state"] == "stopped" and not store.find(name)["requested_action"]


def test_what_an_address_answered_goes_with_its_evaluation(workspace: Workspace) -> None:
    store = EvaluationStore(workspace)
    row = store.find(store.create("", ["http://x/v1#m"], ["cb"], EvaluationSettings()))
    fingerprint = endpoint_fingerprint("http://x/v1#m", row)
    with AnswerStore(workspace.database, fingerprint).writing() as write:
        write(b"key", ["said"])
    store.set_state(row["name"], EvaluationState.FINISHED)
    store.delete(row["name"])
    assert AnswerStore(workspace.database, fingerprint).find([b"key"]) == {}
    again = store.find(store.create("", ["http://x/v1#m"], ["cb"], EvaluationSettings()))
    assert again["id"] != row["id"]


def test_where_nothing_could_be_run_the_command_says_so(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", "--model", "pocket", "--tasks", "cb", "--data", str(tmp_path), "--json"]
    assert main([*words, "--workspace", str(workspace.folder)]) == 2
    said = capsys.readouterr()
    assert said.out == "" and "None of the tasks could be run. " in said.err.splitlines()[-1]
    assert "holds no data of aps/super_glue (cb)" in said.err.splitlines()[-1]
    assert main(["evaluate", "--model", "pocket", "--workspace", str(workspace.folder)]) == 2
    assert "tasks: name one task at least" in capsys.readouterr().err
