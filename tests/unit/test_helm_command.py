"""The command that runs HELM: what it writes for it, what comes back, what its failure leaves. HELM
itself is a script here that reads those files; the real one is run by hand (benchmarks/LOG.md).
"""

import csv
import json
import os
import sys
from pathlib import Path

import pytest

from core.cli.main import main
from core.evaluation.settings import EvaluationSettings
from core.evaluation.store import EvaluationStore
from core.storage.workspace import Workspace
from tests.benchmark_data import write_mmlu

HELM = """#!{python}
import json, pathlib, sys
import yaml
words = sys.argv[1:]
def after(option):
    found = words[words.index(option) + 1 :]
    return found[: next((n for n, one in enumerate(found) if one.startswith("-")), len(found))]
if pathlib.Path(__file__).with_name("broken").exists():
    print("Loading ...")
    print("requests.exceptions.ConnectionError: nobody answers")
    sys.exit(1)
configs, out = (pathlib.Path(after(one)[0]) for one in ("--local-path", "-o"))
[deployment] = yaml.safe_load((configs / "model_deployments.yaml").read_text())["model_deployments"]
[model] = yaml.safe_load((configs / "model_metadata.yaml").read_text())["models"]
[tokenizer] = yaml.safe_load((configs / "tokenizer_configs.yaml").read_text())["tokenizer_configs"]
assert deployment["model_name"] == model["name"] and tokenizer["name"] == deployment["tokenizer_name"]
seen = {{"words": words, "deployment": deployment, "tokenizer": tokenizer,
        "credentials": (configs / "credentials.conf").read_text()}}
pathlib.Path(__file__).with_name("seen.json").write_text(json.dumps(seen))
for entry in after("--run-entries"):
    run = out / "runs" / after("--suite")[0] / entry
    run.mkdir(parents=True)
    spec = {{"name": entry, "adapter_spec": {{"model": model["name"], "max_train_instances": 5}}}}
    (run / "run_spec.json").write_text(json.dumps(spec))
    stats = [{{"name": {{"name": "exact_match", "split": "test"}}, "mean": 0.25, "count": 1}},
             {{"name": {{"name": "num_instances", "split": "test"}}, "mean": 4, "count": 1}}]
    (run / "stats.json").write_text(json.dumps(stats))
    (run / "per_instance_stats.json").write_text("[]")
"""
ADDRESS = "http://127.0.0.1:1/v1"

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the script that stands in needs #!")


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    command = tmp_path / "helm" / "bin" / "helm-run"
    command.parent.mkdir(parents=True)
    command.write_text(HELM.format(python=sys.executable))
    command.chmod(0o755)
    return tmp_path / "helm"


def run(workspace: Workspace, environment: Path, model: str, *more: str) -> int:
    return main(
        ["helm", "--model", f"{ADDRESS}#{model}", "--environment", str(environment),
         "--workspace", str(workspace.folder), *more]
    )  # fmt: skip


def test_helm_is_told_of_the_address_and_its_result_comes_in(
    workspace: Workspace, environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_mmlu(tmp_path / "data")
    monkeypatch.setenv("FUATA_API_KEY", "secret")
    monkeypatch.setenv("FUATA_API_ADDRESSES", ADDRESS)
    entries = ["mmlu:subject=anatomy", "boolq"]
    asked = ["--entries", *entries, "--data", str(tmp_path / "data"), "--limit", "7"]
    assert run(workspace, environment, "pocket", *asked) == 0
    seen = json.loads((environment / "bin" / "seen.json").read_text())
    words = seen["words"]
    assert words[1:3] == ["mmlu:subject=anatomy,model=fuata/pocket", "boolq:model=fuata/pocket"]
    assert words[words.index("-m") + 1] == "7"
    assert seen["deployment"]["client_spec"]["args"] == {
        "base_url": ADDRESS, "openai_model_name": "pocket",
    }  # fmt: skip
    tokenizer = seen["tokenizer"]["tokenizer_spec"]["args"]["pretrained_model_name_or_path"]
    assert (Path(tokenizer) / "tokenizer.json").is_file()
    assert seen["deployment"]["max_sequence_length"] == 512
    assert '"fuata/pocket": "secret"' in seen["credentials"]
    home = workspace.folder / "helm" / "run-1"
    assert not list(home.rglob("credentials.conf")) and "secret" not in "".join(
        path.read_text() for path in home.rglob("*") if path.is_file()
    )
    with (home / "out/scenarios/mmlu/data/test/anatomy_test.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert len(rows) == 6 and len(rows[0]) == 6 and rows[0][5] in "ABCD"
    store = EvaluationStore(workspace)
    [evaluation] = store.all()
    results = store.results(evaluation["name"])
    assert {(one["model"], one["task"], one["value"]) for one in results} == {
        ("fuata/pocket", "mmlu:subject=anatomy", 0.25), ("fuata/pocket", "boolq", 0.25),
    }  # fmt: skip


def test_a_model_that_lies_elsewhere_is_counted_in_characters(
    workspace: Workspace, environment: Path
) -> None:
    assert run(workspace, environment, "some/other model", "--entries", "boolq") == 0
    seen = json.loads((environment / "bin" / "seen.json").read_text())
    assert seen["deployment"]["name"] == "fuata/some-other-model"
    assert seen["tokenizer"]["tokenizer_spec"]["class_name"].endswith("SimpleTokenizer")


def test_what_keeps_helm_from_running_is_said(
    workspace: Workspace, environment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (environment / "bin" / "broken").touch()
    assert run(workspace, environment, "pocket", "--entries", "boolq") == 2
    assert (
        "HELM ended with an error: requests.exceptions.ConnectionError" in capsys.readouterr().err
    )
    assert not list(workspace.folder.rglob("credentials.conf"))
    assert EvaluationStore(workspace).all() == []
    EvaluationStore(workspace).create("mine", ["pocket"], ["boolq"], EvaluationSettings())
    assert run(workspace, environment, "pocket", "--entries", "boolq", "--name", "mine") == 2
    assert "There is an evaluation 'mine' already" in capsys.readouterr().err
    assert run(workspace, tmp_path / "nowhere", "pocket", "--entries", "boolq") == 2
    assert "HELM is not installed in" in capsys.readouterr().err
