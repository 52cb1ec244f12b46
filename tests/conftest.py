"""Fixtures for all tests: fakes and small real things, never mocks. No test needs the network."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
# tests run two at a time, and threads that wait for each other cost more
os.environ.setdefault("OMP_NUM_THREADS", "1")

from core.storage.workspace import Workspace

# how long an example takes says how busy the machine is, not whether the code is right
settings.register_profile("fuata", deadline=None)
settings.load_profile("fuata")

ROOT = Path(__file__).parents[1]
POCKET = ROOT / "data" / "models" / "pocket"
DATA = ROOT / "tests" / "data"


def save_with_tokenizer(model: Any, folder: Path) -> Path:
    """Save a model beside the bundled tokenizer, as a checkpoint that is whole."""
    model.save_pretrained(folder)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(POCKET / file, folder / file)
    return folder


def processes_of_run(name: str, workspace: Path) -> list[int]:
    """Return the ids of the processes that train a run for the app; skips where the system does not
    tell.
    """
    if not Path("/proc/self/cmdline").is_file():
        pytest.skip("needs /proc to find a run's process")
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if b"--resume" in words and {name.encode(), str(workspace.resolve()).encode()} <= set(
                words
            ):
                found.append(int(folder.name))
    return found


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    opened = Workspace(tmp_path / "workspace")
    yield opened
    opened.close()


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """1,100 rows, 25 of which repeat a prompt, as the file of Raschka's book has them."""
    rows = [
        {"instruction": f"Say the number {n}.", "input": "", "output": f"The number is {n}."}
        for n in range(1075)
    ]
    rows += [dict(row, output="Once more: " + row["output"]) for row in rows[:25]]
    path = tmp_path / "book-1100.json"
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


@pytest.fixture
def small_file(tmp_path: Path) -> Path:
    """Forty rows that a tiny model trains on in a moment, eight of them with an input."""
    return write_small_file(tmp_path / "small.json")


def write_small_file(path: Path) -> Path:
    """Write those rows."""
    rows = [
        {
            "instruction": f"What comes after {n}?",
            "input": "Count." if n % 5 == 0 else "",
            "output": f"After {n} comes {n + 1}.",
        }
        for n in range(40)
    ]
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Random two-layer checkpoints of several layouts, written by transformers itself, with
    pocket's tokenizer.
    """
    import torch
    from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, Qwen3Config

    ids = {"vocab_size": 8192, "bos_token_id": None, "eos_token_id": 0, "pad_token_id": 0}
    layers = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 256,
    }
    configs = {
        "gpt2": GPT2Config(n_embd=32, n_layer=2, n_head=2, n_positions=256, resid_pdrop=0.1, **ids),
        "llama": LlamaConfig(**layers, num_key_value_heads=1, tie_word_embeddings=False, **ids),
        "qwen3": Qwen3Config(
            **layers, num_key_value_heads=1, head_dim=16, tie_word_embeddings=True, **ids
        ),
    }
    root = tmp_path_factory.mktemp("models")
    for number, (name, config) in enumerate(configs.items()):
        torch.manual_seed(number)
        save_with_tokenizer(AutoModelForCausalLM.from_config(config), root / name)
    return {name: root / name for name in configs}
