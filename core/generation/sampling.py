"""Choosing the next token. Knows no model and no text.

Shapes: B rows, V vocabulary.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.errors import SettingsError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Sampling:
    """How an answer is drawn from a model's probabilities."""

    temperature: float = 0.0  # 0 takes the likeliest token always
    top_k: int = 0  # draw from the k likeliest; 0 from all
    top_p: float = 1.0  # draw from the smallest set with at least this probability
    max_new_tokens: int = 128
    seed: int = 42

    def __post_init__(self) -> None:
        """Check every field. Raises SettingsError naming all wrong ones."""
        problems = {}
        if self.temperature != 0 and not 0.01 <= self.temperature <= 5:
            problems["temperature"] = "must be 0 or lie between 0.01 and 5"
        if not 0 <= self.top_k <= 1_000_000:
            problems["top_k"] = "must be 0 or more"
        if not 0 < self.top_p <= 1:
            problems["top_p"] = "must lie above 0 and at most 1"
        if not 1 <= self.max_new_tokens <= 100_000:
            problems["max_new_tokens"] = "must lie between 1 and 100000"
        if not 0 <= self.seed < 2**63:
            problems["seed"] = "must be a whole number from 0 to 2⁶³ - 1"
        if problems:
            raise SettingsError(problems)


def sample_next_token(
    logits: "torch.Tensor", sampling: Sampling, generator: "torch.Generator | None" = None
) -> "torch.Tensor":
    """Return the next token of each row: (B, V) logits → (B,) ids.

    Temperature, then top-k, then nucleus sampling (Holtzman et al., arXiv 1904.09751); greedy at
    temperature 0.
    """
    import torch

    if sampling.temperature == 0:
        return logits.argmax(dim=-1)
    logits = logits.float() / sampling.temperature
    if 0 < sampling.top_k < logits.shape[-1]:
        threshold = logits.topk(sampling.top_k, dim=-1).values[:, -1:]  # (B, 1)
        logits = logits.masked_fill(logits < threshold, -torch.inf)
    probabilities, order = logits.softmax(dim=-1).sort(dim=-1, descending=True)  # (B, V)
    before = probabilities.cumsum(dim=-1) - probabilities
    probabilities = probabilities.masked_fill(before >= sampling.top_p, 0.0)
    drawn = torch.multinomial(probabilities, 1, generator=generator)  # (B, 1)
    return order.gather(-1, drawn).squeeze(-1)
