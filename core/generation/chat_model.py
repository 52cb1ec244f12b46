"""A loaded model that answers conversations. Knows no screen and no database."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from core.datasets.conversation import Turn
from core.errors import ModelError
from core.generation.sampling import Sampling
from core.models.consistency import check_ids
from core.models.resolve import ModelSource, max_context
from core.prompts.encoder import PromptEncoder
from core.prompts.tokenizer import token_ids

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from core.generation.decode import Limits

_BATCH_PROMPTS = 32


@dataclass(frozen=True, slots=True)
class Response:
    """One answer and what it takes to make it again."""

    prompt: str  # the exact text the model was asked with
    text: str
    tokens: int  # generated, the end token left out
    finish_reason: str  # "end", "length", "stopped", or "prompt_too_long"


@dataclass(frozen=True)
class ChatModel:
    """A model, the way it is asked, and the lock that lets one person at a time use it."""

    source: ModelSource
    model: "PreTrainedModel"
    encoder: PromptEncoder
    lock: threading.Lock = field(default_factory=threading.Lock)

    @cached_property
    def end_ids(self) -> frozenset[int]:
        """Every id that ends an answer: the style's and the checkpoint's own."""
        own = token_ids(getattr(self.model.generation_config, "eos_token_id", None))
        return frozenset([*own, *token_ids(self.encoder.end_id)])

    @cached_property
    def context(self) -> int:
        """The longest prompt and answer together, in tokens."""
        return max_context(self.source.weights_folder)

    @property
    def _limits(self) -> "Limits":
        from core.generation.decode import Limits

        return Limits(self.end_ids, self.context, self.encoder.tokenizer.pad_id)

    def stream(self, turns: Sequence[Turn], sampling: Sampling) -> Iterator[str]:
        """Yield the answer so far, longer each time, until it ends.

        Raises ModelError when the prompt leaves no room for an answer.
        """
        from core.generation.decode import stream_ids

        prompt = self._encode(turns)
        if len(prompt) >= self.context:
            raise ModelError(
                f"The conversation has {len(prompt)} tokens and the model takes {self.context}: "
                "clear it."
            )
        ids: list[int] = []
        tokens = stream_ids(self.model, prompt, sampling, self._limits)
        while (token := self._next(tokens)) is not None:
            ids.append(token)
            # half a character may become whole yet
            yield self.encoder.tokenizer.decode(ids).rstrip("\ufffd")
        yield self.encoder.tokenizer.decode(ids)

    def respond_all(
        self, prompts: Sequence[Sequence[Turn]], sampling: Sampling, should_stop: Callable[[], bool]
    ) -> Iterator[Response]:
        """Yield one response per prompt, in order, answering many at once."""
        for start in range(0, len(prompts), _BATCH_PROMPTS):
            if should_stop():
                return
            yield from self._respond_batch(
                prompts[start : start + _BATCH_PROMPTS], sampling, should_stop
            )

    def _encode(self, turns: Sequence[Turn]) -> list[int]:
        """Return a prompt's ids. Raises ModelError for one that the model has no embedding for."""
        ids = self.encoder.encode_prompt(turns)
        check_ids(self.source, max(ids, default=0))
        return ids

    def _next(self, tokens: Iterator[int]) -> int | None:
        """Take one token under the lock: a reader who walks away between two leaves nothing locked."""
        with self.lock:
            return next(tokens, None)

    def _respond_batch(
        self, prompts: Sequence[Sequence[Turn]], sampling: Sampling, should_stop: Callable[[], bool]
    ) -> list[Response]:
        from core.generation.decode import generate_ids

        encoded = [self._encode(turns) for turns in prompts]
        fitting = [ids for ids in encoded if len(ids) < self.context]
        with self.lock:
            answers = iter(
                generate_ids(self.model, fitting, sampling, self._limits, should_stop)
                if fitting
                else []
            )
        responses = []
        for turns, ids in zip(prompts, encoded, strict=True):
            text = self.encoder.prompt_text(turns)
            if len(ids) >= self.context:
                responses.append(Response(text, "", 0, "prompt_too_long"))
                continue
            answer = next(answers)
            decoded = self.encoder.tokenizer.decode(answer.ids)
            responses.append(Response(text, decoded, len(answer.ids), answer.finish_reason))
        return responses
