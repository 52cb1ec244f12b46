"""Token by token with a key-value cache: one prompt streamed, or many at once. Knows no text.

Shapes: B prompts, P positions of the longest prompt, V vocabulary.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

import torch

from core.generation.sampling import Sampling, sample_next_token
from core.models.load import takes_logits_to_keep

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FinishReason = Literal["end", "length", "stopped"]
_remembering: "WeakKeyDictionary[PreTrainedModel, bool]" = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Limits:
    """What a model and the way it is asked set for every answer."""

    end_ids: Collection[int]  # any of these ends an answer
    context: int  # the longest prompt and answer together, in tokens
    pad_id: int = 0


@dataclass(slots=True)
class Generated:
    """The ids of one answer, its end token left out."""

    ids: list[int] = field(default_factory=list)
    finish_reason: FinishReason = "length"


def stream_ids(
    model: "PreTrainedModel", prompt: Sequence[int], sampling: Sampling, limits: Limits
) -> Iterator[int]:
    """Yield the answer's ids one by one; an end token, the context's end or the limit ends the
    stream.
    """
    steps = _decode(model, [list(prompt)], sampling, limits)
    for tokens in steps:
        token = int(tokens[0])
        if token in limits.end_ids:
            return
        yield token


def generate_ids(
    model: "PreTrainedModel",
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    limits: Limits,
    should_stop: Callable[[], bool],
) -> list[Generated]:
    """Answer all prompts together; every answer ends at its own end token."""
    # what recurrent layouts carry along knows nothing of padding
    if len(prompts) > 1 and not _remembers(model):
        return [
            generate_ids(model, [prompt], sampling, limits, should_stop)[0] for prompt in prompts
        ]
    answers = [Generated() for _ in prompts]
    room = [limits.context - len(prompt) for prompt in prompts]
    open_rows = set(range(len(prompts)))
    for tokens in _decode(model, [list(prompt) for prompt in prompts], sampling, limits):
        for row in sorted(open_rows):
            if int(tokens[row]) in limits.end_ids:
                answers[row].finish_reason = "end"
                open_rows.discard(row)
            else:
                answers[row].ids.append(int(tokens[row]))
                if len(answers[row].ids) >= room[row]:
                    open_rows.discard(row)
        if not open_rows or should_stop():
            break
    for row in open_rows if should_stop() else ():
        answers[row].finish_reason = "stopped"
    return answers


@torch.inference_mode()
def _remembers(model: "PreTrainedModel") -> bool:
    """Return whether a model hands on what it computed, as all but some recurrent layouts do; each
    is tried once.
    """
    if model not in _remembering:
        token = torch.ones((1, 1), dtype=torch.int64, device=next(model.parameters()).device)
        _remembering[model] = (
            getattr(model(input_ids=token, use_cache=True), "past_key_values", None) is not None
        )
    return _remembering[model]


def _decode(
    model: "PreTrainedModel", prompts: Sequence[list[int]], sampling: Sampling, limits: Limits
) -> Iterator[torch.Tensor]:
    """Yield the next token of every row, (B,), until the limit or the end of the context of the
    shortest prompt.

    Prompts are padded on the left; a single prompt needs no mask, so it is asked exactly as it was
    trained. Each row draws with a generator of its own, so an answer does not depend on the prompts
    beside it.
    """
    device = next(model.parameters()).device
    longest = max(len(prompt) for prompt in prompts)
    # ids are (B, P), padded on the left
    ids = torch.tensor([[limits.pad_id] * (longest - len(p)) + p for p in prompts], device=device)
    mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device=device)
    is_padded = bool((mask == 0).any())
    generators = [torch.Generator(device=device).manual_seed(sampling.seed) for _ in prompts]
    shortest = min(len(prompt) for prompt in prompts)
    last_only: dict[str, Any] = {"logits_to_keep": 1} if takes_logits_to_keep(model) else {}
    cache: Any = None
    remembers = _remembers(model)
    for _ in range(min(sampling.max_new_tokens, limits.context - shortest)):
        with torch.inference_mode():
            positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
            extra = last_only | (
                {"attention_mask": mask, "position_ids": positions} if is_padded else {}
            )
            given = (
                {"past_key_values": cache, "use_cache": True} if remembers else {"use_cache": False}
            )
            output = model(input_ids=ids, **given, **extra)
            cache = output.past_key_values if remembers else None
            tokens = _draw(output.logits[:, -1], sampling, generators)  # (B,)
        yield tokens
        ids = tokens[:, None] if remembers else torch.cat((ids, tokens[:, None]), dim=1)
        mask = torch.cat((mask, mask.new_ones(len(prompts), 1)), dim=1)


def _draw(
    logits: torch.Tensor, sampling: Sampling, generators: Sequence[torch.Generator]
) -> torch.Tensor:
    """Return the next token of every row: (B, V) → (B,)."""
    if sampling.temperature == 0:
        return sample_next_token(logits, sampling)
    rows = enumerate(generators)
    return torch.cat(
        [sample_next_token(logits[row : row + 1], sampling, generator) for row, generator in rows]
    )
