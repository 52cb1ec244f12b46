"""Tuning a part of a model: adapters of each kind, weights in four bits, the last blocks."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from core.cli.main import main
from core.datasets.dataset import load_dataset
from core.errors import ModelError, SettingsError
from core.generation.model_cache import ModelCache
from core.generation.sampling import Sampling
from core.models.resolve import find_model
from core.storage.workspace import Workspace
from core.training.events import (
    EvalDone,
    RunFailed,
    RunStarted,
    StepDone,
)
from core.training.planning.plan import plan_run
from core.training.runs.runner import add_run, execute
from core.training.runs.store import RunStore
from core.training.settings import TrainingSettings, change_settings
from tests.tuning import run, same, settings, weights
from ui.train.ready_card import ready_markup

pytestmark = pytest.mark.slow


def test_an_adapter_can_be_tuned_further_and_a_run_can_be_a_base(
    workspace: Workspace, small_file: Path, tiny_models: dict[str, Path]
) -> None:
    first, _ = run(workspace, small_file, settings(tiny_models["llama"], method="lora", epochs=1))
    further = settings(Path(first), method="lora", epochs=1)
    assert "trained further as it is" in ready_markup(
        plan_run(load_dataset(small_file), further, workspace), "command", None
    )
    second, events = run(workspace, small_file, further)
    evaluations = [event.loss for event in events if isinstance(event, EvalDone)]
    assert evaluations[0] == pytest.approx(RunStore(workspace).find(first)["best_loss"], rel=1e-5)
    assert (workspace.model_folder(second) / "adapter_model.safetensors").is_file()
    assert list(
        ModelCache(workspace)
        .get(second)
        .stream(load_dataset(small_file).examples[0].prompt, Sampling(max_new_tokens=3))
    )


def test_an_adapter_whose_base_is_gone_says_so(
    workspace: Workspace, small_file: Path, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    base = tmp_path / "base"
    shutil.copytree(tiny_models["llama"], base)
    name, _ = run(workspace, small_file, settings(base, method="lora", epochs=1))
    shutil.rmtree(base)
    with pytest.raises(ModelError, match="stands on .* which is gone"):
        find_model(name, workspace)


@pytest.mark.parametrize(
    ("layout", "block", "norm"),
    [("gpt2", "transformer.h.1.", "transformer.ln_f"), ("llama", "model.layers.1.", "model.norm")],
)
def test_training_the_last_block_leaves_the_rest_as_it_was(
    workspace: Workspace,
    small_file: Path,
    tiny_models: dict[str, Path],
    layout: str,
    block: str,
    norm: str,
) -> None:
    name, events = run(workspace, small_file, settings(tiny_models[layout], last_blocks=1))
    before, after = load_file(tiny_models[layout] / "model.safetensors"), weights(workspace, name)
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed and all(key.startswith((block, norm)) for key in changed)
    losses = [event.loss for event in events if isinstance(event, EvalDone)]
    assert losses[-1] < losses[0]
    with pytest.raises(SettingsError, match="at most 2"):
        run(workspace, small_file, settings(tiny_models[layout], last_blocks=3))
    with pytest.raises(SettingsError, match="goes with full tuning"):
        change_settings(TrainingSettings(), {"method": "lora", "last_blocks": 1})


@pytest.mark.parametrize("kind", ["rslora", "dora"])
def test_other_adapters_of_the_family_train_resume_and_merge_into_a_plain_model(
    workspace: Workspace, small_file: Path, tiny_models: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoModelForCausalLM

    chosen = settings(
        tiny_models["qwen3"], method="lora", lora_kind=kind, lora_targets="q_proj, v_proj", epochs=1
    )
    whole, _ = run(workspace, small_file, chosen)
    broken, _ = run(
        workspace,
        small_file,
        chosen,
        stop=lambda events: sum(isinstance(event, StepDone) for event in events) >= 4,
    )
    execute(workspace, broken, lambda: False, [])
    assert same(weights(workspace, whole), weights(workspace, broken))
    config = json.loads((workspace.model_folder(whole) / "adapter_config.json").read_text())
    assert (config["use_rslora"], config["use_dora"], sorted(config["target_modules"])) == (
        kind == "rslora", kind == "dora", ["q_proj", "v_proj"],
    )  # fmt: skip
    options = [
        "export",
        "--model",
        whole,
        "--out",
        str(tmp_path / "merged"),
        "--workspace",
        str(workspace.folder),
    ]
    assert main(options) == 0
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval()(ids).logits
        apart = (
            AutoPeftModelForCausalLM.from_pretrained(workspace.model_folder(whole))
            .eval()(ids)
            .logits
        )
    torch.testing.assert_close(merged, apart, rtol=1e-4, atol=1e-5)
    assert main(options) == 2  # the folder is there now
    assert (
        main(
            [
                "export",
                "--as",
                "adapter",
                "--model",
                str(tmp_path / "merged"),
                "--out",
                str(tmp_path / "again"),
            ]
        )
        == 2
    )
    assert not (tmp_path / "again").exists()


def test_adapters_on_weights_in_four_bits_train_resume_and_load_on_whole_ones(
    workspace: Workspace, small_file: Path, tiny_models: dict[str, Path]
) -> None:
    pytest.importorskip("bitsandbytes", reason="needs bitsandbytes")
    from peft import AutoPeftModelForCausalLM

    chosen = settings(tiny_models["qwen3"], method="qlora", epochs=3)
    whole, events = run(workspace, small_file, chosen)
    broken, _ = run(
        workspace,
        small_file,
        chosen,
        stop=lambda events: sum(isinstance(event, StepDone) for event in events) >= 4,
    )
    execute(workspace, broken, lambda: False, [])
    assert same(weights(workspace, whole), weights(workspace, broken))
    started, exact = events[0], run(workspace, small_file, replace(chosen, method="lora"))[1]
    assert isinstance(started, RunStarted) and started.notice == ""
    assert replace(started, run="") == replace(exact[0], run="")  # type: ignore[type-var]
    losses = [
        [event.loss for event in told if isinstance(event, EvalDone)] for told in (events, exact)
    ]
    assert losses[0] != losses[1] and losses[0] == pytest.approx(losses[1], rel=0.02)
    assert losses[0][-1] < losses[0][0]
    AutoPeftModelForCausalLM.from_pretrained(workspace.model_folder(whole))


def test_without_bitsandbytes_four_bits_are_refused_in_a_sentence(
    workspace: Workspace,
    small_file: Path,
    tiny_models: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("core.training.planning.plan.find_spec", lambda _: None)
    with pytest.raises(SettingsError, match="python -m pip install bitsandbytes"):
        add_run(workspace, load_dataset(small_file), settings(tiny_models["qwen3"], method="qlora"))


def test_adapters_for_layers_that_are_not_there_end_in_a_sentence(
    workspace: Workspace, small_file: Path, tiny_models: dict[str, Path]
) -> None:
    _, events = run(
        workspace, small_file, settings(tiny_models["llama"], method="lora", lora_targets="c_attn")
    )
    assert isinstance(events[-1], RunFailed)
    assert "c_attn fit no layer; there are down_proj" in events[-1].message
