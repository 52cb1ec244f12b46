"""A step from the weights themselves: the logits of transformers' modules, for every layout that has
one, with an adapter and without, and never from weights that have changed since.
"""

from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
)
from transformers.cache_utils import DynamicCache

from core.generation.decode import generate_ids
from core.generation.decode_step import _ModulesStep, find_decode_step
from core.generation.gpt2_step import GPT2Step
from core.generation.llama_step import LlamaStep
from core.generation.rows import Limits
from core.generation.sampling import Sampling
from core.generation.slot_cache import SlotCache
from core.models.masks import sliding_window

_SIZES: dict[str, Any] = {
    "vocab_size": 500, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256,
    "bos_token_id": None, "eos_token_id": 0, "pad_token_id": 0,
}  # fmt: skip
_STRETCHED = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "rope_theta": 1e4,
              "high_freq_factor": 4.0, "original_max_position_embeddings": 32}  # fmt: skip
CONFIGS: dict[str, Any] = {
    "llama": lambda: LlamaConfig(**_SIZES),
    "llama with biases": lambda: LlamaConfig(**_SIZES, attention_bias=True, mlp_bias=True),
    "llama stretched": lambda: LlamaConfig(**_SIZES, rope_parameters=_STRETCHED, head_dim=16),
    "mistral": lambda: MistralConfig(**_SIZES, sliding_window=7),
    "qwen2": lambda: Qwen2Config(**_SIZES),
    "qwen3": lambda: Qwen3Config(**_SIZES, head_dim=16, tie_word_embeddings=True),
    "gpt2": lambda: GPT2Config(n_embd=32, n_layer=2, n_head=2, n_positions=256, vocab_size=500),
}


def made(name: str) -> PreTrainedModel:
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_config(CONFIGS[name]()).eval()
    with torch.no_grad():
        for weights in model.parameters():
            weights.add_(0.2 * torch.randn_like(weights))  # biases and norms, too, are not 0 and 1
    return model


def with_adapter(name: str, **more: Any) -> PreTrainedModel:
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM",
                        fan_in_fan_out=name == "gpt2", **more)  # fmt: skip
    model = get_peft_model(made(name), config).eval()
    with torch.no_grad():
        for place, weights in model.named_parameters():
            if "lora_B" in place:
                weights.copy_(0.2 * torch.randn_like(weights))
    return model


@torch.inference_mode()
def filled(model: PreTrainedModel) -> SlotCache:
    """Return the keys and values of three texts of different lengths."""
    lengths = [12, 5, 9]
    ids = torch.randint(1, 500, (1, 12), generator=torch.Generator().manual_seed(1))
    read = DynamicCache()
    model(input_ids=ids, past_key_values=read, use_cache=True)
    cache = SlotCache(3, 20, model.device)
    cache.admit(read, [range(length) for length in lengths], 20)
    return cache


@torch.inference_mode()
def assert_same(model: PreTrainedModel, step: Any) -> None:
    ours, theirs = filled(model), filled(model)
    window = sliding_window(model)
    for number in range(4):
        ids = torch.tensor([7, 11, 13]) + number
        made_here = step(ids, ours, ours.mask(window))
        expected = _ModulesStep(model)(ids, theirs, theirs.mask(window))
        assert torch.allclose(
            made_here, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max())
        )
        ours.step()
        theirs.step()
    for mine, other in zip(ours.layers, theirs.layers, strict=True):
        assert torch.allclose(mine.keys, other.keys, rtol=1e-4, atol=1e-4)
        assert torch.allclose(mine.values, other.values, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", CONFIGS)
def test_logits_and_cache_are_those_of_the_modules(name: str) -> None:
    model = made(name)
    step = find_decode_step(model)
    assert isinstance(step, GPT2Step if name == "gpt2" else LlamaStep)
    assert_same(model, step)


@pytest.mark.parametrize("name", ["llama", "qwen2", "gpt2"])
def test_an_adapter_is_part_of_the_weights(name: str) -> None:
    model = with_adapter(name)
    step = find_decode_step(model)
    assert isinstance(step, GPT2Step if name == "gpt2" else LlamaStep)
    assert_same(model, step)
    with model.disable_adapter():  # type: ignore[operator]
        base = type(step)(model.get_base_model())
        assert_same(model, base)


def test_weights_that_have_changed_are_read_anew() -> None:
    model = made("llama")
    find_decode_step(model)
    asked = [[5, 6, 7, 8]]
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05, fused=True)
    model(torch.tensor(asked), labels=torch.tensor(asked)).loss.backward()
    optimizer.step()
    assert_same(model, find_decode_step(model))
    model.requires_grad_(requires_grad=False)
    assert find_decode_step(model) is find_decode_step(model)


def test_where_it_is_not_for_certain_the_same_the_modules_compute() -> None:
    training, half, odd = made("llama").train(), made("llama").bfloat16(), made("llama")
    odd.model.layers[1].mlp.down_proj = torch.nn.Sequential(odd.model.layers[1].mlp.down_proj)
    biased = made("gpt2")
    biased.config.scale_attn_by_inverse_layer_idx = True
    dora = with_adapter("llama", use_dora=True)
    for model in (training, half, odd, biased, dora):
        assert isinstance(find_decode_step(model), _ModulesStep)
    with torch.autocast("cpu", torch.bfloat16):
        assert isinstance(find_decode_step(made("llama")), _ModulesStep)


def test_no_second_copy_is_made_where_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    model = made("llama")
    free = type("Free", (), {"available": 4 * sum(p.nbytes for p in model.parameters()) - 4})
    monkeypatch.setattr("core.generation.decode_step.psutil.virtual_memory", lambda: free)
    assert isinstance(find_decode_step(model), _ModulesStep)
    answers = generate_ids(model, [[5, 6], [7]], Sampling(max_new_tokens=3), Limits([], 256))
    assert [len(one.ids) for one in answers] == [3, 3]
