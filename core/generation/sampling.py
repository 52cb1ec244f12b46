"""Choosing the next token. Knows no model and no text.

Shapes: B rows, V vocabulary.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.errors import SettingsError

if TYPE_CHECKING:
    import torch


_MOST_STOPS = 16
_FIRST = 1024  # likeliest tokens, among which the nucleus nearly always lies


@dataclass(frozen=True, slots=True)
class Sampling:
    """How an answer is drawn from a model's probabilities."""

    temperature: float = 0.0  # 0 takes the likeliest token always
    top_k: int = 0  # draw from the k likeliest; 0 from all
    top_p: float = 1.0  # draw from the smallest set with at least this probability
    max_new_tokens: int = 128
    seed: int = 42
    min_p: float = 0.0  # draw from those with at least this share of the likeliest's probability
    repetition_penalty: float = 1.0  # above 1 makes tokens that stood there already less likely
    stop: tuple[str, ...] = ()  # texts at which an answer ends, without them

    def __post_init__(self) -> None:
        """Check every field. Raises SettingsError naming all wrong ones."""
        wrong = {
            "temperature": (self.temperature != 0 and not 0.01 <= self.temperature <= 5,
                            "must be 0 or lie between 0.01 and 5"),
            "top_k": (not 0 <= self.top_k <= 1_000_000, "must be 0 or more"),
            "top_p": (not 0 < self.top_p <= 1, "must lie above 0 and at most 1"),
            "max_new_tokens": (not 1 <= self.max_new_tokens <= 100_000,
                               "must lie between 1 and 100000"),
            "seed": (not 0 <= self.seed < 2**63, "must be a whole number from 0 to 2⁶³ - 1"),
            "min_p": (not 0 <= self.min_p <= 1, "must lie between 0 and 1"),
            "repetition_penalty": (not 0.1 <= self.repetition_penalty <= 10,
                                   "must lie between 0.1 and 10"),
            "stop": (len(self.stop) > _MOST_STOPS or not all(self.stop),
                     f"must be at most {_MOST_STOPS} texts, none of them empty"),
        }  # fmt: skip
        problems = {name: sentence for name, (is_wrong, sentence) in wrong.items() if is_wrong}
        if problems:
            raise SettingsError(problems)


def sample_next_token(
    logits: "torch.Tensor",
    sampling: Sampling,
    generators: "Sequence[torch.Generator]",
    seen: Sequence[Collection[int]],
) -> "torch.Tensor":
    """Return the next token of each row: (B, V) logits → (B,) ids.

    Repetition penalty (Keskar et al., arXiv 1909.05858) on the tokens ``seen`` in each row,
    temperature, top-k, nucleus (Holtzman et al., arXiv 1904.09751), min-p (Nguyen et al., arXiv
    2407.01082), in transformers' order; then one number of each row's generator picks the token.
    Greedy at temperature 0.
    """
    if sampling.repetition_penalty != 1:
        logits = _penalised(logits, sampling.repetition_penalty, seen)
    if sampling.temperature == 0:
        return logits.argmax(dim=-1)
    import torch

    probabilities, order = _candidates(logits.float() / sampling.temperature, sampling)
    if sampling.min_p:
        least = sampling.min_p * probabilities.amax(dim=-1, keepdim=True)
        probabilities = probabilities.masked_fill(probabilities < least, 0.0)
    sums = probabilities.cumsum(dim=-1)  # (B, candidates)
    numbers = torch.cat([torch.rand(1, generator=one, device=logits.device) for one in generators])
    drawn = (sums <= numbers[:, None] * sums[:, -1:]).sum(dim=-1, keepdim=True)
    drawn = drawn.clamp(max=sums.shape[-1] - 1)
    return drawn.squeeze(-1) if order is None else order.gather(-1, drawn).squeeze(-1)


def _candidates(
    logits: "torch.Tensor", sampling: Sampling
) -> "tuple[torch.Tensor, torch.Tensor | None]":
    """Return the probabilities of the tokens that may be drawn, and their ids, the likeliest first;
    None for the whole vocabulary in its order.
    """
    vocabulary = logits.shape[-1]
    if 0 < sampling.top_k < vocabulary:
        top, order = logits.topk(sampling.top_k, dim=-1)
        return _nucleus(top.softmax(dim=-1), sampling.top_p), order
    probabilities = logits.softmax(dim=-1)
    if sampling.top_p == 1:
        return probabilities, None
    top, order = probabilities.topk(min(_FIRST, vocabulary), dim=-1)
    if float(top.sum(dim=-1).amin()) < sampling.top_p:
        top, order = probabilities.sort(dim=-1, descending=True)
    return _nucleus(top, sampling.top_p), order


def _nucleus(probabilities: "torch.Tensor", top_p: float) -> "torch.Tensor":
    before = probabilities.cumsum(dim=-1) - probabilities
    return probabilities.masked_fill(before >= top_p, 0.0)


def _penalised(
    logits: "torch.Tensor", penalty: float, seen: Sequence[Collection[int]]
) -> "torch.Tensor":
    import torch

    logits = logits.clone()
    for row, ids in enumerate(seen):
        places = torch.tensor(list(ids), device=logits.device)
        scores = logits[row, places]
        logits[row, places] = torch.where(scores < 0, scores * penalty, scores / penalty)
    return logits
