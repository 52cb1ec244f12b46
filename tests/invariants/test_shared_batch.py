"""Several who ask a model at a time: the tokens of asking alone, computed together, and nothing left
behind by who walks away or by a step that failed.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, MambaConfig, PreTrainedModel

from core.errors import ModelError
from core.generation.continuous_batch import ContinuousBatch
from core.generation.decode import generate_ids, rows_of
from core.generation.models_thread import in_models_thread
from core.generation.rows import Limits, Row
from core.generation.sampling import Sampling
from core.generation.shared_batch import SharedBatch

_IDS = {"vocab_size": 500, "eos_token_id": 0, "pad_token_id": 0, "bos_token_id": None}
LIMITS = Limits([0], 256)
WAYS = [
    Sampling(max_new_tokens=20),
    Sampling(max_new_tokens=9, temperature=1.0, seed=1),
    Sampling(max_new_tokens=14, temperature=0.7, top_k=20, repetition_penalty=1.2, seed=3),
    Sampling(max_new_tokens=20, temperature=1.0, seed=2),
]


@cache
def model(kind: str = "llama") -> PreTrainedModel:
    torch.manual_seed(1)
    sizes: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, **_IDS}
    config = (
        MambaConfig(**sizes)
        if kind == "mamba"
        else LlamaConfig(
            **sizes, intermediate_size=64, num_attention_heads=2, max_position_embeddings=256
        )
    )
    made = AutoModelForCausalLM.from_config(config).eval()
    for weights in made.parameters():
        if weights.dim() > 1:
            weights.data.mul_(3)
    return made


def prompt(number: int) -> list[int]:
    return [(number * 37 + place * 11) % 499 + 1 for place in range(3 + number)]


def rows(kind: str, number: int, sampling: Sampling | None = None) -> list[Row]:
    return rows_of(model(kind), [prompt(number)], sampling or WAYS[number % 4], LIMITS)


def alone(kind: str, number: int, sampling: Sampling | None = None) -> list[int]:
    return generate_ids(model(kind), [prompt(number)], sampling or WAYS[number % 4], LIMITS)[0].ids


def settled(shared: SharedBatch) -> None:
    """Wait for what is to be done soon; then nothing may be left."""
    with ThreadPoolExecutor(1) as asker:
        asker.submit(in_models_thread, lambda: None).result()
    assert shared._batch is None and not shared._askers


@pytest.mark.parametrize("kind", ["llama", "mamba"])
def test_everybody_gets_the_tokens_of_asking_alone(kind: str) -> None:
    shared = SharedBatch(model(kind))
    start = threading.Barrier(8)

    def ask(number: int) -> list[int]:
        asked = rows(kind, number)
        start.wait()
        told = [token for row, token in shared.answer(asked) if token is not None]
        assert told == asked[0].answer.ids
        return told

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(ask, range(8)))
    assert found == [alone(kind, number) for number in range(8)]


def test_a_step_is_everybody_s(monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[int] = []
    advance = ContinuousBatch.advance

    def counted(self: ContinuousBatch) -> Any:
        computed.append(len(self.active))
        return advance(self)

    monkeypatch.setattr(ContinuousBatch, "advance", counted)
    shared = SharedBatch(model())
    way = Sampling(max_new_tokens=15)
    many = [rows("llama", number, way) for number in range(6)]
    readers = [shared.answer(asked) for asked in many]
    for reader in readers:
        next(reader)  # all have entered
    for reader in readers:
        list(reader)
    tokens = sum(len(asked[0].answer.ids) for asked in many)
    assert max(computed) == 6 and len(computed) < tokens / 2
    assert [asked[0].answer.ids for asked in many] == [alone("llama", n, way) for n in range(6)]


def test_who_walks_away_leaves_a_place_and_disturbs_nobody() -> None:
    shared = SharedBatch(model())
    way = Sampling(max_new_tokens=20)
    leaver, stayer = (shared.answer(rows("llama", n, way)) for n in (0, 2))
    waiter = shared.answer(rows("llama", 1, Sampling(max_new_tokens=100)))
    next(leaver)
    next(stayer)
    leaver.close()
    with ThreadPoolExecutor(1) as asker:
        asker.submit(in_models_thread, lambda: None).result()
    assert shared._batch is not None and len(shared._batch.active) == 1
    next(waiter)
    told = [token for _, token in stayer if token is not None]
    assert told == alone("llama", 2, way)[1:]
    assert shared._batch is not None
    del waiter  # without a word, as a connection that broke
    settled(shared)


def test_a_step_that_fails_is_told_to_all_and_the_next_question_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shared = SharedBatch(model())
    one, other = shared.answer(rows("llama", 0)), shared.answer(rows("llama", 1))
    next(one)
    next(other)
    with monkeypatch.context() as patched:
        patched.setattr(ContinuousBatch, "_step", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            list(one)
    with pytest.raises(ModelError, match="ask again"):
        list(other)
    assert [t for _, t in shared.answer(rows("llama", 1)) if t is not None] == alone("llama", 1)
    settled(shared)


@pytest.mark.parametrize("kind", ["llama", "mamba"])
def test_a_stop_is_marked_and_frees_the_place(kind: str) -> None:
    shared = SharedBatch(model(kind))
    calls = iter(range(100))
    way = Sampling(max_new_tokens=50)
    asked = rows_of(model(kind), [prompt(n) for n in range(4)], way, LIMITS)
    list(shared.answer(asked, lambda: next(calls) > 5))
    assert {row.answer.finish_reason for row in asked} >= {"stopped"}
    assert all(len(row.answer.ids) < 50 for row in asked)
    settled(shared)
