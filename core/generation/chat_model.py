"""A loaded model that answers conversations. Knows no screen and no database."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from core.datasets.conversation import Turn
from core.errors import ModelError
from core.generation.models_thread import each_in_models_thread, in_models_thread
from core.generation.sampling import Sampling
from core.models.consistency import check_ids
from core.models.resolve import ModelSource, max_context
from core.prompts.encoder import PromptEncoder
from core.prompts.tokenizer import token_ids

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from core.generation.rows import Generated, Limits
    from core.generation.shared_batch import SharedBatch


@dataclass(frozen=True, slots=True)
class Response:
    """One answer and what it takes to make it again."""

    prompt: str  # the exact text the model was asked with
    text: str
    tokens: int  # generated, the end token left out
    finish_reason: str  # "end", "length", "stopped", or "prompt_too_long"


@dataclass(frozen=True)
class ChatModel:
    """A model and the way it is asked."""

    source: ModelSource
    model: "PreTrainedModel"
    encoder: PromptEncoder

    @cached_property
    def end_ids(self) -> frozenset[int]:
        """Every id that ends an answer: the style's and the checkpoint's own."""
        own = token_ids(getattr(self.model.generation_config, "eos_token_id", None))
        return frozenset([*own, *token_ids(self.encoder.end_id)])

    @cached_property
    def _shared_batch(self) -> "SharedBatch":
        """What answers those who chat and programs that ask, together."""
        from core.generation.shared_batch import SharedBatch

        return SharedBatch(self.model)

    @cached_property
    def context(self) -> int:
        """The longest prompt and answer together, in tokens."""
        return max_context(self.source.weights_folder)

    @property
    def vocabulary(self) -> int:
        """How many tokens its embedding knows."""
        return int(self.model.get_input_embeddings().weight.shape[0])

    @property
    def reason_for_one_at_a_time(self) -> str:
        """Why its prompts are answered one after the other; '' where they are answered together."""
        from core.generation.decode import reason_for_one_at_a_time

        return in_models_thread(lambda: reason_for_one_at_a_time(self.model))

    def token_text(self, token: int) -> str:
        """Return one token as text, a special one, too."""
        return self.encoder.tokenizer.decode([token], with_special=True)

    def limits(self, sampling: Sampling) -> "Limits":
        """Return what ends its answers."""
        from core.generation.rows import Limits

        return Limits(
            self.end_ids, self.context, self.encoder.tokenizer.pad_id, self._stops(sampling.stop)
        )

    def _stops(self, stops: Sequence[str]) -> Callable[[Sequence[int]], bool] | None:
        """Return whether an answer's ids hold a stop text, which may span tokens."""
        if not stops:
            return None
        # a token has a byte at least, so a stop text ends within so many
        tail = max(len(stop.encode()) for stop in stops) + 1
        decode = self.encoder.tokenizer.decode
        return lambda ids: any(stop in decode(ids[-tail:]) for stop in stops)

    def stream(self, turns: Sequence[Turn], sampling: Sampling) -> Iterator[str]:
        """Yield the answer so far, longer each time, until it ends.

        Raises ModelError when the prompt leaves no room for an answer.
        """
        prompt = self._encode(turns)
        if len(prompt) >= self.context:
            raise ModelError(
                f"The conversation has {len(prompt)} tokens and the model takes {self.context}: "
                "clear it."
            )
        yield from self.stream_text(prompt, sampling)

    def stream_text(
        self, prompt: Sequence[int], sampling: Sampling, answer: "Generated | None" = None
    ) -> Iterator[str]:
        """Yield the continuation of a prompt's ids so far, longer each time, until it ends;
        ``answer`` is filled on the way, and tells at last why it ended.
        """
        from core.generation.decode import rows_of

        [row] = rows_of(self.model, [prompt], sampling, self.limits(sampling))
        if answer is not None:
            row.answer = answer
        ids = row.answer.ids
        for _ in self._shared_batch.answer([row]):
            text = self.cut_at_stop(self.encoder.tokenizer.decode(ids), sampling)
            if not row.has_ended:
                # half a character, and half a stop text, may become whole yet
                text = _without_half_stop(text, sampling.stop).rstrip("\ufffd")
            yield text

    def cut_at_stop(self, text: str, sampling: Sampling) -> str:
        """Return a text up to the first of the texts that it stops at."""
        return text[: _stop_place(text, sampling.stop)]

    def fit(self, turns: Sequence[Turn], sampling: Sampling) -> tuple[list[Turn], int, int]:
        """Return a conversation that leaves room for an answer, how many of its oldest turns are left
        out for that, and how many tokens it has.

        A system turn and the last question stay. Raises ModelError where they alone are too long.
        """
        room = min(sampling.max_new_tokens, self.context // 4)
        kept = list(turns)
        while True:
            tokens = len(self._encode(kept))
            first = 1 if kept[0].role == "system" else 0
            if tokens + room <= self.context or len(kept) - first < 3:
                return kept, len(turns) - len(kept), tokens
            del kept[first : first + 2]

    def respond_all(
        self, prompts: Sequence[Sequence[Turn]], sampling: Sampling, should_stop: Callable[[], bool]
    ) -> Iterator[Response]:
        """Yield one response per prompt, in order, answering many at once."""
        return in_order(self.respond_each(prompts, sampling, should_stop))

    def respond_each(
        self, prompts: Sequence[Sequence[Turn]], sampling: Sampling, should_stop: Callable[[], bool]
    ) -> Iterator[tuple[int, Response]]:
        """Yield every prompt's number and response as soon as it is there; those that were stopped
        within come last.
        """
        from core.generation.decode import answer_rows, rows_of

        encoded = [self._encode(turns) for turns in prompts]
        texts = [self.encoder.prompt_text(turns) for turns in prompts]
        fitting = [number for number, ids in enumerate(encoded) if len(ids) < self.context]
        for number in sorted({*range(len(prompts))} - {*fitting}):
            yield number, Response(texts[number], "", 0, "prompt_too_long")
        asked = [encoded[number] for number in fitting]
        rows = rows_of(self.model, asked, sampling, self.limits(sampling))
        done = answer_rows(self.model, rows, should_stop)
        left = dict(enumerate(fitting))
        for place in each_in_models_thread(done):
            number = left.pop(place)
            yield number, self._response(texts[number], rows[place].answer, sampling)
        for place, number in left.items():
            yield number, self._response(texts[number], rows[place].answer, sampling)

    def respond_times(
        self, turns: Sequence[Turn], sampling: Sampling, times: int, should_stop: Callable[[], bool]
    ) -> list[Response]:
        """Answer one conversation several times at once, each time by the next seed."""
        ids, text = self._encode(turns), self.encoder.prompt_text(turns)
        return [
            self._response(text, answer, sampling)
            for answer in self.continue_all([ids] * times, sampling, range(times), should_stop)
        ]

    def continue_all(
        self,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        numbers: Sequence[int],
        should_stop: Callable[[], bool],
    ) -> "list[Generated]":
        """Continue prompts' ids, all at once; each by the seed that is ``numbers`` further."""
        from core.generation.decode import rows_of

        seeds = [sampling.seed + number for number in numbers]
        rows = rows_of(self.model, prompts, sampling, self.limits(sampling), seeds)
        for _ in self._shared_batch.answer(rows, should_stop):
            pass
        return [row.answer for row in rows]

    def _response(self, prompt: str, answer: "Generated", sampling: Sampling) -> Response:
        text = self.cut_at_stop(self.encoder.tokenizer.decode(answer.ids), sampling)
        return Response(prompt, text, len(answer.ids), answer.finish_reason)

    def _encode(self, turns: Sequence[Turn]) -> list[int]:
        """Return a prompt's ids. Raises ModelError for one that the model has no embedding for."""
        ids = self.encoder.encode_prompt(turns)
        check_ids(self.source, max(ids, default=0))
        return ids


def in_order(responses: Iterable[tuple[int, Response]]) -> Iterator[Response]:
    """Yield responses in the order of their prompts, each as soon as all before it are there."""
    waiting: dict[int, Response] = {}
    next_one = 0
    for number, response in responses:
        waiting[number] = response
        while next_one in waiting:
            yield waiting.pop(next_one)
            next_one += 1


def _without_half_stop(text: str, stops: Sequence[str]) -> str:
    """Return a text without what may be the beginning of a stop text at its end."""
    halves = (stop[:length] for stop in stops for length in range(len(stop) - 1, 0, -1))
    return text.removesuffix(
        max((half for half in halves if text.endswith(half)), key=len, default="")
    )


def _stop_place(text: str, stops: Sequence[str]) -> int:
    """Return where the first of some texts stands in another, its length for nowhere."""
    return min((place for stop in stops if (place := text.find(stop)) >= 0), default=len(text))
