"""Many prompts at once: the tokens of asking each alone, whatever the layout, the company and the
order.
"""

import random
from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    Gemma3TextConfig,
    GemmaConfig,
    GPT2Config,
    GPTNeoConfig,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    OPTConfig,
    Phi3Config,
    PreTrainedModel,
    Qwen3Config,
)

from core.generation.continuous_batch import ContinuousBatch
from core.generation.decode import (
    answer_rows,
    generate_ids,
    reason_for_one_at_a_time,
    rows_of,
)
from core.generation.rows import Generated, Limits
from core.generation.sampling import Sampling, sample_next_token

pytestmark = pytest.mark.slow

_IDS = {"vocab_size": 500, "eos_token_id": 0, "pad_token_id": 0, "bos_token_id": None}
_SIZES = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
    "max_position_embeddings": 256,
}  # fmt: skip
_GROUPED = {**_SIZES, **_IDS, "num_key_value_heads": 1}
CONFIGS: dict[str, Any] = {
    "gpt2": lambda: GPT2Config(n_embd=32, n_layer=2, n_head=2, n_positions=256, **_IDS),
    "llama": lambda: LlamaConfig(**_GROUPED),
    "qwen3": lambda: Qwen3Config(**_GROUPED, head_dim=16),
    "gemma": lambda: GemmaConfig(**_GROUPED, head_dim=16),
    "mistral": lambda: MistralConfig(**_GROUPED, head_dim=16, sliding_window=12),
    "phi3": lambda: Phi3Config(**_GROUPED),
    "opt": lambda: OPTConfig(
        hidden_size=32, ffn_dim=64, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=256, word_embed_proj_dim=32, **_IDS,
    ),
    "gemma3": lambda: Gemma3TextConfig(
        **{**_GROUPED, "num_hidden_layers": 6}, head_dim=16, sliding_window=12
    ),
    "bloom": lambda: BloomConfig(hidden_size=32, n_layer=2, n_head=2, **_IDS),
    "gpt_neo": lambda: GPTNeoConfig(
        hidden_size=32, num_layers=2, num_heads=2, attention_types=[[["global", "local"], 1]],
        window_size=8, max_position_embeddings=256, **_IDS,
    ),
    "mamba": lambda: MambaConfig(hidden_size=32, num_hidden_layers=2, **_IDS),
}  # fmt: skip
ALONE = {"bloom", "mamba", "gemma3", "gpt_neo"}  # answered one after the other, and said so


@cache
def model(name: str) -> PreTrainedModel:
    torch.manual_seed(1)
    made = AutoModelForCausalLM.from_config(CONFIGS[name]()).eval()
    for weights in made.parameters():
        if weights.dim() > 1:
            weights.data.mul_(3)  # so that the likeliest token is plainly the likeliest
    return made


@cache
def prompts(count: int = 30, *, shared: bool = True) -> tuple[tuple[int, ...], ...]:
    draw = random.Random(7)
    begin = [draw.randrange(1, 500) for _ in range(12)]
    return tuple(
        (
            *(begin if shared else ()),
            *(draw.randrange(1, 500) for _ in range(draw.randrange(1, 40))),
        )
        for _ in range(count)
    )


def limits() -> Limits:
    return Limits([0], 256, 0)


def answers(
    name: str, asked: Sequence[Sequence[int]], sampling: Sampling, most_rows: int
) -> list[Generated]:
    rows = rows_of(model(name), asked, sampling, limits())
    assert sorted(answer_rows(model(name), rows, lambda: False, most_rows)) == list(
        range(len(asked))
    )
    return [row.answer for row in rows]


def by_transformers(name: str, prompt: tuple[int, ...], tokens: int) -> list[int]:
    ids = torch.tensor([prompt])
    answer = (
        model(name)
        .generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, do_sample=False)[
            0, len(prompt) :
        ]
        .tolist()
    )
    return answer[: answer.index(0)] if 0 in answer else answer


@pytest.mark.parametrize("name", CONFIGS)
def test_greedy_ids_are_those_of_generate(name: str) -> None:
    assert bool(reason_for_one_at_a_time(model(name))) == (name in ALONE)
    count = 6 if name in ALONE else 30
    for shared in (True, False):
        asked = prompts(shared=shared)[:count]
        found = answers(name, asked, Sampling(max_new_tokens=12), most_rows=8)
        assert [one.ids for one in found] == [by_transformers(name, p, 12) for p in asked]


@pytest.mark.parametrize("name", ["gpt2", "llama", "mamba"])
@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=0.8, max_new_tokens=8),
        Sampling(temperature=1.2, top_k=20, top_p=0.9, max_new_tokens=8),
        Sampling(temperature=1.0, min_p=0.1, repetition_penalty=1.3, max_new_tokens=8, seed=5),
    ],
)
def test_what_is_drawn_depends_on_no_neighbour(name: str, sampling: Sampling) -> None:
    asked = prompts(12)
    together = answers(name, asked, sampling, most_rows=4)
    alone = [generate_ids(model(name), [p], sampling, limits())[0] for p in asked]
    assert [one.ids for one in together] == [one.ids for one in alone]
    assert [one.finish_reason for one in together] == [one.finish_reason for one in alone]


def test_answers_are_handed_on_as_they_end_and_places_are_filled_anew() -> None:
    asked = prompts(20)
    most = 0

    def look(rows: Any, _logits: Any) -> None:
        nonlocal most
        most = max(most, len(rows))

    rows = rows_of(model("llama"), asked, Sampling(max_new_tokens=12), limits())
    batch = ContinuousBatch(model("llama"), rows, 5, look)
    ended = [row.number for row, token in batch.run() if token is None]
    assert sorted(ended) == list(range(20)) and most <= 5
    assert batch.cache is not None and batch.cache.count <= 5


def test_a_stop_takes_effect_within_a_step_and_what_was_made_is_told() -> None:
    calls = iter(range(1000))
    rows = rows_of(model("llama"), prompts(10), Sampling(max_new_tokens=50), limits())
    done = list(answer_rows(model("llama"), rows, lambda: next(calls) > 6, 4))
    stopped = [row.number for row in rows if row.answer.finish_reason == "stopped"]
    assert sorted([*done, *stopped]) == list(range(10)) and stopped
    assert max(len(row.answer.ids) for row in rows) <= 7


def test_an_answer_ends_at_the_context_and_at_the_limit() -> None:
    long = tuple(range(1, 250))
    found = generate_ids(
        model("gpt2"), [long, (5, 6)], Sampling(max_new_tokens=20), Limits([], 256)
    )
    assert [len(one.ids) for one in found] == [256 - 249, 20]
    assert {one.finish_reason for one in found} == {"length"}


def test_the_penalty_and_the_nucleus_are_those_of_transformers() -> None:
    from transformers.generation.logits_process import (
        MinPLogitsWarper,
        RepetitionPenaltyLogitsProcessor,
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    torch.manual_seed(0)
    logits = 3 * torch.randn(1, 300)
    seen = torch.tensor([[3, 9, 27, 200]])
    sampling = Sampling(temperature=0.7, top_k=40, top_p=0.8, min_p=0.05, repetition_penalty=1.4)
    scores = RepetitionPenaltyLogitsProcessor(1.4)(seen, logits)
    for step in (
        TemperatureLogitsWarper(0.7), TopKLogitsWarper(40), TopPLogitsWarper(0.8),
        MinPLogitsWarper(0.05),
    ):  # fmt: skip
        scores = step(seen, scores)
    expected = scores.softmax(-1)[0]
    counts = torch.zeros(300)
    for seed in range(4000):
        generator = torch.Generator().manual_seed(seed)
        token = sample_next_token(logits, sampling, [generator], [set(seen[0].tolist())])
        counts[token] += 1
    assert set(counts.nonzero().flatten().tolist()) <= set(expected.nonzero().flatten().tolist())
    assert torch.allclose(counts / 4000, expected, atol=0.03)


def test_no_more_rows_are_taken_than_memory_is_free_for(monkeypatch: pytest.MonkeyPatch) -> None:
    # keys and values of a position: 2 layers of 1 head of 16 numbers each, in 4 bytes
    room = (max(map(len, prompts())) + 12) * 2 * 2 * 16 * 4
    free = 2 * 3 * room  # half of which may be taken: for three rows
    monkeypatch.setattr("core.generation.continuous_batch._free_bytes", lambda _: free)
    rows = rows_of(model("qwen3"), prompts(), Sampling(max_new_tokens=12), limits())
    batch = ContinuousBatch(model("qwen3"), rows)
    list(batch.run())
    assert batch.cache is not None and batch.cache.count == 3
    assert [row.answer.ids for row in rows][:3] == [
        by_transformers("qwen3", prompt, 12) for prompt in prompts()[:3]
    ]
