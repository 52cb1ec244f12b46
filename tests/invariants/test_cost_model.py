"""The memory that the Ready card names is the memory that a run takes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from core.datasets.dataset import load_dataset
from core.storage.workspace import Workspace
from core.training.planning.cost_model import (
    _is_gated,
    free_gpu_memory_mib,
    free_memory_mib,
    gpu_memory_mib,
    memory_bound_s,
    memory_mib,
    operations,
    parameter_count,
)
from core.training.planning.plan import plan_run
from core.training.planning.throughput import _measured
from core.training.settings import Method, change_settings, default_settings
from tests.conftest import POCKET, ROOT, save_with_tokenizer
from ui.train.ready_card import ready_markup

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


@pytest.fixture(scope="module")
def larger_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty-four million random parameters."""
    from transformers import LlamaConfig

    config = LlamaConfig(
        vocab_size=8192,
        hidden_size=512,
        intermediate_size=1408,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=8,
        max_position_embeddings=512,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=0,
    )
    return saved(config, tmp_path_factory.mktemp("larger"))


@pytest.fixture(scope="module")
def ungated_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty million in GPT-2's layout, whose blocks keep less."""
    from transformers import GPT2Config

    config = GPT2Config(
        vocab_size=8192,
        n_embd=512,
        n_layer=8,
        n_head=8,
        n_positions=512,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=0,
    )
    return saved(config, tmp_path_factory.mktemp("ungated"))


def saved(config: "PreTrainedConfig", folder: Path) -> Path:
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    return save_with_tokenizer(AutoModelForCausalLM.from_config(config), folder)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Rows of very different lengths."""
    path = tmp_path / "rows.json"
    found = [
        {"instruction": f"Say {n} words.", "output": "a fine day " * (n % 5 * 6 + 1)}
        for n in range(20)
    ]
    path.write_text(json.dumps(found), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("config", "gated"),
    [
        ({"model_type": "gpt2", "activation_function": "gelu_new"}, False),
        ({"model_type": "gpt_neox", "hidden_act": "gelu"}, False),
        ({"model_type": "gemma", "hidden_act": "gelu"}, True),
        ({"model_type": "llama", "hidden_act": "silu"}, True),
    ],
)
def test_a_gate_is_known_from_a_models_config(config: dict[str, str], gated: bool) -> None:
    assert _is_gated(config) is gated


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "method", "frugal", "precision"),
    [
        ("pocket", "full", False, "auto"),
        ("larger", "full", False, "auto"),
        ("larger", "lora", False, "auto"),
        ("larger", "full", True, "auto"),
        ("ungated", "full", False, "auto"),
        ("ungated", "lora", False, "auto"),
        ("larger", "lora", False, "bfloat16"),
    ],
)
def test_a_run_takes_the_memory_that_was_told(
    workspace: Workspace,
    rows: Path,
    larger_model: Path,
    ungated_model: Path,
    model: str,
    method: Method,
    precision: str,
    *,
    frugal: bool,
) -> None:
    name = {"pocket": "pocket", "larger": str(larger_model), "ungated": str(ungated_model)}[model]
    changes = {
        "batch_size": 8,
        "gradient_accumulation": 1,
        "epochs": 1,
        "gradient_checkpointing": frugal,
        "precision": precision,
    }
    chosen = change_settings(default_settings(name, method), changes)
    told = memory_mib(plan_run(load_dataset(rows), chosen, workspace))
    assert told is not None
    options = [
        "--model",
        name,
        "--method",
        method,
        "--batch-size",
        "8",
        "--gradient-accumulation",
        "1",
        "--epochs",
        "1",
        "--precision",
        precision,
        "--json",
        *(["--gradient-checkpointing"] if frugal else []),
    ]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "core",
            "train",
            str(rows),
            *options,
            "--workspace",
            str(workspace.folder),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    events = [json.loads(line) for line in done.stdout.splitlines()]
    taken = max(event["peak_memory_mib"] for event in events if event["event"] == "StepDone")
    assert told == pytest.approx(taken, rel=0.3)


def test_the_card_names_memory_and_warns_when_there_is_too_little(
    workspace: Workspace, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_run(load_dataset(rows), default_settings(), workspace)
    monkeypatch.setattr("ui.train.ready_card.free_gpu_memory_mib", lambda: None)
    assert "of memory; " in ready_markup(plan, "command", None)
    monkeypatch.setattr("ui.train.ready_card.free_memory_mib", lambda: 100.0)
    assert "more than the 0.1 GiB that are free here" in ready_markup(plan, "command", None)
    assert 0 < free_memory_mib() < 2**30


def test_on_a_gpu_the_card_names_its_memory(
    workspace: Workspace, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_run(
        load_dataset(rows),
        change_settings(default_settings(), {"precision": "bfloat16"}),
        workspace,
    )
    weights = parameter_count(POCKET)
    most = gpu_memory_mib(plan)  # weights, gradients, two moments, and a copy in 2 bytes
    assert most is not None and most * 2**20 > 500 * 2**20 + 18 * weights
    usual = memory_mib(plan)
    # what the libraries take is not on it
    assert usual is not None and most - 500 < usual - 430 + 2 * weights / 2**20 + 1
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda: (3 * 2**30, 8 * 2**30))
    assert free_gpu_memory_mib() == 3072
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert free_gpu_memory_mib() is None
    monkeypatch.setattr("ui.train.ready_card.free_gpu_memory_mib", lambda: 8192.0)
    assert (
        f"about {most / 1024:.1f} GiB of the GPU&#39;s memory at most; 8.0 GiB are free"
        in ready_markup(plan, "command", None)
    )
    monkeypatch.setattr("ui.train.ready_card.free_gpu_memory_mib", lambda: 100.0)
    assert "memory at most, more than the 0.1 GiB that are free here" in ready_markup(
        plan, "command", None
    )


def test_adapters_on_products_in_16_bits_need_half_the_weights(
    workspace: Workspace, rows: Path, larger_model: Path
) -> None:
    exact = default_settings(str(larger_model), "lora")
    told = [
        gpu_memory_mib(
            plan_run(
                load_dataset(rows), change_settings(exact, {"precision": precision}), workspace
            )
        )
        for precision in ("float32", "bfloat16")
    ]
    config = json.loads((larger_model / "config.json").read_text())
    blocks = parameter_count(larger_model) - config["vocab_size"] * config["hidden_size"]
    assert None not in told
    # less the adapters' own copy
    assert (told[0] or 0) - (told[1] or 0) == pytest.approx(2 * blocks / 2**20, rel=0.1)


def test_what_dora_measures_is_told_in_float32(
    workspace: Workspace, rows: Path, larger_model: Path
) -> None:
    chosen = change_settings(default_settings(str(larger_model), "lora"), {"precision": "bfloat16"})
    told = [
        gpu_memory_mib(
            plan_run(load_dataset(rows), change_settings(chosen, {"lora_kind": kind}), workspace)
        )
        or 0
        for kind in ("lora", "dora")
    ]
    config = json.loads((larger_model / "config.json").read_text())
    blocks = parameter_count(larger_model) - 2 * config["vocab_size"] * config["hidden_size"]
    assert told[1] - told[0] == pytest.approx(2 * blocks / 2**20)


def test_operations_are_those_of_the_weights_and_tokens(
    workspace: Workspace, tmp_path: Path
) -> None:
    path = tmp_path / "one.json"
    path.write_text(
        json.dumps([{"instruction": "Say a word.", "output": "word", "split": "train"}])
    )
    plan = plan_run(
        load_dataset(path), change_settings(default_settings(), {"epochs": 2}), workspace
    )
    [row] = plan.train
    head = 8192 * 256
    inner, tokens, learnt = 5_311_232 - head, len(row.ids) - 1, sum(row.trained)
    assert operations(plan) == pytest.approx(2 * (6 * inner * tokens + 6 * head * learnt))
    lora = plan_run(
        load_dataset(path),
        change_settings(default_settings("pocket", "lora"), {"epochs": 2}),
        workspace,
    )
    assert operations(lora) == pytest.approx(2 * (4 * inner * tokens + 4 * head * learnt))
    for change, block in (
        ({"last_blocks": 2}, 2 + 4 * 2 / 4),
        ({"gradient_checkpointing": True}, 6 + 2 * 3 / 4),
    ):
        changed = plan_run(
            load_dataset(path),
            change_settings(default_settings(), change | {"epochs": 1}),
            workspace,
        )
        assert operations(changed) == pytest.approx(
            block * inner * tokens + (4 if "last_blocks" in change else 6) * head * learnt
        )


def test_rows_that_begin_alike_cost_less_than_rows_that_do_not(
    workspace: Workspace, rows: Path, larger_model: Path
) -> None:
    plan = plan_run(load_dataset(rows), default_settings(str(larger_model), "full"), workspace)
    alone = plan_run(
        load_dataset(rows), change_settings(plan.settings, {"batch_size": 1}), workspace
    )
    together, apart = operations(plan), operations(alone)
    assert together is not None and apart is not None and together < 0.8 * apart


def test_passes_over_memory_grow_with_tokens_blocks_and_weights(
    workspace: Workspace, tmp_path: Path
) -> None:
    path = tmp_path / "one.json"
    path.write_text(
        json.dumps([{"instruction": "Say a word.", "output": "word", "split": "train"}])
    )
    plan = plan_run(
        load_dataset(path), change_settings(default_settings(), {"epochs": 2}), workspace
    )
    tokens = len(plan.train[0].ids) - 1
    assert memory_bound_s(plan) == pytest.approx(
        2 * (tokens * 256 * 4 * 1.4e-7 + 5_311_232 * 1.2e-9)
    )
    lora = plan_run(
        load_dataset(path),
        change_settings(default_settings("pocket", "lora"), {"epochs": 2}),
        workspace,
    )
    assert memory_bound_s(lora) == pytest.approx(
        2 * (tokens * 256 * 4 * 1.4e-7 + 16 * 4 * (11 * 256 + 3 * 704) * 1.2e-9)
    )


def test_the_card_tells_the_time_of_a_first_run_and_of_later_ones(
    workspace: Workspace, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_run(load_dataset(rows), default_settings(), workspace)
    work = operations(plan)
    assert work is not None
    monkeypatch.setattr("ui.train.ready_card.flops_per_s", lambda _: work / 90)
    monkeypatch.setattr("ui.train.ready_card.free_gpu_memory_mib", lambda: None)
    monkeypatch.setattr("ui.train.ready_card.memory_bound_s", lambda _: 30.0)
    assert "roughly 2 min 00 s, up to " in ready_markup(plan, "command", None)
    # for a GPU nobody has counted them
    monkeypatch.setattr("ui.train.ready_card.free_gpu_memory_mib", lambda: 8192.0)
    assert "roughly 1 min 30 s, up to " in ready_markup(plan, "command", None)
    assert "at the speed of the last such run" in ready_markup(plan, "command", 1000.0)
    monkeypatch.setattr("ui.train.ready_card.flops_per_s", lambda _: None)
    assert "roughly" not in ready_markup(plan, "command", None)
    assert all(rate > 0 for rate in _measured().values())


def test_parameters_are_counted_from_headers_and_damaged_files_count_none(tmp_path: Path) -> None:
    assert parameter_count(POCKET) == 5_311_232
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 40)
    assert parameter_count(tmp_path) == 0
