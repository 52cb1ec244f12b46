"""One prompt on its way to an answer. Knows no model."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch

from core.generation.sampling import Sampling

FinishReason = Literal["end", "length", "stopped"]
Step = tuple[int, int | None]  # a prompt's number with its next token, None once it has ended


@dataclass(frozen=True, slots=True)
class Limits:
    """What a model and the way it is asked set for every answer."""

    end_ids: Collection[int]  # any of these ends an answer
    context: int  # the longest prompt and answer together, in tokens
    pad_id: int = 0
    # whether an answer's ids hold a text at which it is to stop
    stops: Callable[[Sequence[int]], bool] | None = None
    most_rows: int = 32  # that are answered at once: more gain nothing on a CPU


@dataclass(slots=True)
class Generated:
    """The ids of one answer, its end token left out."""

    ids: list[int] = field(default_factory=list)
    finish_reason: FinishReason = "length"


class Row:
    """One prompt on its way to an answer."""

    __slots__ = ("answer", "generator", "number", "pending", "prompt", "seen")

    def __init__(
        self,
        number: int,
        prompt: list[int],
        answer: Generated,
        sampling: Sampling,
        device: torch.device,
    ) -> None:
        self.number, self.prompt, self.answer = number, prompt, answer
        # of its own, so that an answer depends on no other
        self.generator = torch.Generator(device=device).manual_seed(sampling.seed)
        self.pending = 0  # the token that the model has not read yet
        self.seen = set(prompt) if sampling.repetition_penalty != 1 else set()

    def take(self, token: int, sampling: Sampling, limits: Limits) -> bool:
        """Add a token, and return whether the answer goes on."""
        if token in limits.end_ids:
            self.answer.finish_reason = "end"
            return False
        ids = self.answer.ids
        ids.append(token)
        self.pending = token
        if sampling.repetition_penalty != 1:
            self.seen.add(token)
        if limits.stops is not None and limits.stops(ids):
            self.answer.finish_reason = "end"
            return False
        room = min(sampling.max_new_tokens, limits.context - len(self.prompt))
        return len(ids) < room
