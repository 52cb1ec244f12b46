"""Results as files, and those of lm-eval and HELM brought in."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from core.errors import EvaluationError
from core.evaluation.exchange import (
    evals_archive,
    import_results,
    lm_eval_archive,
    results_csv,
)
from core.evaluation.store import EvaluationStore
from core.storage.workspace import Workspace

RESULTS: dict[str, Any] = {
    "results": {
        "boolq": {"alias": "boolq", "acc,none": 0.5, "acc_stderr,none": 0.25},
        "gsm8k": {"exact_match,strict-match": 0.1, "exact_match_stderr,strict-match": "N/A"},
    },
    "versions": {"boolq": 2.0}, "n-shot": {"boolq": 3}, "lm_eval_version": "0.4.9",
    "n-samples": {"boolq": {"original": 3270, "effective": 4}},
    "config": {"model": "hf", "model_args": "pretrained=some/model,dtype=float32"},
}  # fmt: skip


def lm_eval_files(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "results_2026.json").write_text(json.dumps(RESULTS))
    samples = [
        {"doc_id": n, "target": 1, "arguments": {"gen_args_0": {"arg_0": f"Q{n}", "arg_1": " yes"}},
         "filtered_resps": [["-1.0", "False"]], "filter": "none", "acc": float(n < 2)}
        for n in range(4)
    ]  # fmt: skip
    lines = "".join(json.dumps(one) + "\n" for one in samples)
    (folder / "samples_boolq_2026.jsonl").write_text(lines)
    return folder


def test_lm_eval_s_results_come_in_with_their_samples_and_go_out_again(
    workspace: Workspace, tmp_path: Path
) -> None:
    store = EvaluationStore(workspace)
    name = import_results(store, lm_eval_files(tmp_path / "in"))
    found = {one["task"]: one for one in store.results(name)}
    assert (found["boolq"]["value"], found["boolq"]["stderr"], found["boolq"]["questions"]) == (
        0.5,
        0.25,
        4,
    )
    assert found["gsm8k"]["stderr"] is None and found["boolq"]["model"] == "some/model"
    assert store.scores(name, "some/model", "boolq") == {
        0: (1.0, ""), 1: (1.0, ""), 2: (0.0, ""), 3: (0.0, ""),
    }  # fmt: skip
    assert store.find(name)["message"] == "Brought in from in."
    archive = zipfile.ZipFile(io.BytesIO(lm_eval_archive_without_samples(store, name)))
    again = json.loads(archive.read(f"some__model/results_{name}.json"))
    assert again["results"]["boolq"]["acc,none"] == 0.5
    table = results_csv(store, name)
    assert "some/model,boolq,acc,0.5" in table


def lm_eval_archive_without_samples(store: EvaluationStore, name: str) -> bytes:
    for task in ("boolq", "gsm8k"):
        [row] = [one for one in store.results(name) if one["task"] == task]
        store.add_result(row, [])
    return lm_eval_archive(store, name)


def test_helm_s_run_folders_come_in(workspace: Workspace, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "mmlu:subject=x,model=a_b"
    run.mkdir(parents=True)
    spec = {
        "name": "mmlu:subject=x,model=a_b",
        "adapter_spec": {"model": "a/b", "max_train_instances": 5},
    }
    (run / "run_spec.json").write_text(json.dumps(spec))

    def stat(name: str, mean: float, **more: Any) -> dict[str, Any]:
        return {"name": {"name": name, "split": "test", **more}, "mean": mean, "count": 1}

    stats = [stat("exact_match", 0.4), stat("exact_match", 0.1, perturbation={"name": "typos"}),
             stat("num_instances", 10)]  # fmt: skip
    (run / "stats.json").write_text(json.dumps(stats))
    each = [
        {
            "instance_id": f"id{n}",
            "stats": [{"name": {"name": "exact_match"}, "mean": n % 2, "count": 1}],
        }
        for n in range(4)
    ]
    (run / "per_instance_stats.json").write_text(json.dumps(each))
    store = EvaluationStore(workspace)
    name = import_results(store, tmp_path / "runs", "helm")
    [found] = store.results(name)
    assert (found["task"], found["model"], found["value"], found["questions"]) == (
        "mmlu:subject=x", "a/b", 0.4, 10,
    )  # fmt: skip
    assert [score for score, _ in store.scores(name, "a/b", "mmlu:subject=x").values()] == [
        0,
        1,
        0,
        1,
    ]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [('{"a": 1}', "no file of results that lm-eval writes"), ("[1]", "no file of results"),
     ('{"results": ', "the JSON is broken or cut off")],
)  # fmt: skip
def test_other_files_are_refused_in_a_sentence(
    workspace: Workspace, tmp_path: Path, content: str, sentence: str
) -> None:
    file = tmp_path / "results_x.json"
    file.write_text(content)
    with pytest.raises(Exception, match=sentence):
        import_results(EvaluationStore(workspace), file)
    assert EvaluationStore(workspace).all() == []


def test_a_folder_without_results_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="holds neither results of lm-eval"):
        import_results(EvaluationStore(workspace), tmp_path)
    with pytest.raises(EvaluationError, match="There is no file or folder"):
        import_results(EvaluationStore(workspace), tmp_path / "away")


def test_no_field_of_a_table_is_a_formula(workspace: Workspace, tmp_path: Path) -> None:
    evil = {**RESULTS, "model_name": "=cmd()"}
    (tmp_path / "results.json").write_text(json.dumps(evil))
    name = import_results(EvaluationStore(workspace), tmp_path / "results.json")
    assert ",'=cmd()," in results_csv(EvaluationStore(workspace), name)


def test_openai_evals_are_logged_as_they_log_themselves(
    workspace: Workspace, tmp_path: Path
) -> None:
    store = EvaluationStore(workspace)
    name = import_results(store, lm_eval_files(tmp_path / "in"))
    with pytest.raises(EvaluationError, match="asked none of OpenAI's Evals"):
        evals_archive(store, name)
    [row] = [one for one in store.results(name) if one["task"] == "boolq"]
    [sample, *_] = store.samples(name, row["model"], "boolq")
    store.add_result({**row, "task": "evals:sums"}, [{**sample, "task": "evals:sums"}])
    archive = zipfile.ZipFile(io.BytesIO(evals_archive(store, name)))
    lines = [json.loads(line) for line in archive.read("some__model/sums.jsonl").splitlines()]
    assert lines[0]["spec"]["eval_name"] == "sums"
    assert [line.get("type") for line in lines[1:3]] == ["sampling", "match"]
    assert lines[2]["data"]["correct"] is True and lines[2]["sample_id"] == "sums.0"
    assert lines[-1]["final_report"]["std"] == 0.25
