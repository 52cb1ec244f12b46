"""One prompt on its way to an answer. Knows no model."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from core.generation.sampling import Sampling

if TYPE_CHECKING:
    import torch

FinishReason = Literal["end", "length", "stopped"]
Step = tuple["Row", int | None]  # a prompt with its next token, None once it has ended


@dataclass(frozen=True, slots=True)
class Limits:
    """What a model and the way it is asked set for every answer."""

    end_ids: Collection[int]  # any of these ends an answer
    context: int  # the longest prompt and answer together, in tokens
    pad_id: int = 0
    # whether an answer's ids hold a text at which it is to stop
    stops: Callable[[Sequence[int]], bool] | None = None


@dataclass(slots=True)
class Generated:
    """The ids of one answer, its end token left out."""

    ids: list[int] = field(default_factory=list)
    finish_reason: FinishReason = "length"


class Row:
    """One prompt on its way to an answer, and how it is answered."""

    __slots__ = (
        "answer", "drawing", "generator", "has_ended", "limits", "number", "pending", "prompt",
        "sampling", "seen",
    )  # fmt: skip

    def __init__(
        self,
        number: int,
        prompt: Sequence[int],
        answer: Generated,
        sampling: Sampling,
        limits: Limits,
        device: "torch.device",
    ) -> None:
        import torch

        self.number, self.prompt, self.answer = number, list(prompt), answer
        self.sampling, self.limits = sampling, limits
        # what it has in common with all that are drawn in one go with it
        self.drawing = replace(sampling, seed=0, max_new_tokens=1, stop=())
        # of its own, so that an answer depends on no other
        self.generator = torch.Generator(device=device).manual_seed(sampling.seed)
        self.has_ended = False
        self.pending = 0  # the token that the model has not read yet
        self.seen = set(prompt) if sampling.repetition_penalty != 1 else set()

    @property
    def room(self) -> int:
        """How many positions prompt and answer may come to."""
        return min(len(self.prompt) + self.sampling.max_new_tokens, self.limits.context)

    def take(self, token: int) -> bool:
        """Add a token, and return whether the answer goes on."""
        self.has_ended = not self._goes_on_after(token)
        return not self.has_ended

    def _goes_on_after(self, token: int) -> bool:
        if token in self.limits.end_ids:
            self.answer.finish_reason = "end"
            return False
        ids = self.answer.ids
        ids.append(token)
        self.pending = token
        if self.sampling.repetition_penalty != 1:
            self.seen.add(token)
        if self.limits.stops is not None and self.limits.stops(ids):
            self.answer.finish_reason = "end"
            return False
        return len(self.prompt) + len(ids) < self.room
