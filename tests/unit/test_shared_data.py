"""Real files of every shape are read whole. Skipped where ../shared/data is away."""

from pathlib import Path

import pytest

from core.datasets.dataset import load_dataset

SHARED = Path(__file__).parents[3] / "shared" / "data"
FILES = {  # rows, and what they are read as
    "instructions/alpaca-en-999.json": (999, "alpaca"),
    "instructions/alpaca-zh-1000.json": (1000, "alpaca"),
    "instructions/book-1100.json": (1100, "alpaca"),
    "instructions/book-near-duplicates.json": (200, "alpaca"),
    "instructions/book-test-with-responses.json": (110, "alpaca"),
    "instructions/dolly-12.json": (12, "dolly"),
    "instructions/gsm8k-7473.json": (7473, "alpaca"),
    "instructions/identity-placeholders.json": (91, "alpaca"),
    "instructions/pocket-test-423.json": (423, "alpaca"),
    "instructions/pocket-train-1023.json": (1023, "alpaca"),
    "instructions/prompt-completion-55k.jsonl.gz": (55_185, "prompt-completion"),
    "chat/chat-tiny.json": (1, "sharegpt"),
    "chat/sharegpt-500.json": (500, "sharegpt"),
    "chat/sharegpt-toolcall-300.json": (300, "sharegpt"),
    "preferences/sharegpt-dpo-300.json": (300, "preference"),
}


@pytest.mark.parametrize("name", FILES)
def test_every_row_is_usable(name: str) -> None:
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"needs {path}")
    dataset = load_dataset(path)
    assert (dataset.row_count, dataset.row_format) == FILES[name]
    assert len(dataset.examples) == dataset.row_count and not dataset.refused


def test_no_file_is_left_out() -> None:
    if not SHARED.is_dir():
        pytest.skip(f"needs {SHARED}")
    there = {
        str(path.relative_to(SHARED))
        for folder in ("instructions", "chat", "preferences")
        for path in (SHARED / folder).iterdir()
    }
    assert there == set(FILES)
