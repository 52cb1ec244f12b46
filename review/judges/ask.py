"""A judge asked: a model here or behind an address. Knows no table."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from core.datasets.conversation import Turn
from core.evaluation.choices import is_endpoint
from core.generation.chat_model import ChatModel
from core.generation.model_cache import ModelCache
from core.generation.openai_endpoint import Endpoint, find_endpoint
from core.generation.sampling import Sampling
from core.models.encoder import encoder_of
from core.models.resolve import weights_fingerprint
from core.text import whole_characters

_LETTERS = ("m", "M")
ShouldStop = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Said:
    """What a judge said to one question."""

    text: str
    preference: float | None = None  # P(M) / (P(m) + P(M)) of the first token, where it is known


class AskedJudge:
    """A model that judges."""

    def __init__(self, name: str, models: ModelCache) -> None:
        """Find a judge. Raises ModelError."""
        self.name = name
        self._endpoint: Endpoint | None = find_endpoint(name) if is_endpoint(name) else None
        self._models = models
        if self._endpoint is None:
            models.find(name)

    def facts(self) -> dict[str, Any]:
        """Return what it takes to ask the same judge again."""
        if self._endpoint is not None:
            return self._endpoint.facts()
        source = self._models.find(self.name)
        return {"model": self.name, "fingerprint": weights_fingerprint(source)}

    def count_tokens(self, questions: Sequence[str]) -> int | None:
        """Return how many tokens are read; None behind an address, whose tokenizer is unknown."""
        if self._endpoint is not None:
            return None
        encoder = encoder_of(self._models.find(self.name))
        return sum(len(encoder.encode_prompt([Turn("user", one)])) for one in questions)

    def write(
        self, questions: Sequence[str], longest: int, should_stop: ShouldStop
    ) -> Iterator[tuple[int, Said]]:
        """Yield every question's number and what is written to it, as it comes."""
        sampling = Sampling(max_new_tokens=longest)
        prompts = [[Turn("user", question)] for question in questions]
        asked = self._endpoint or self._models.get(self.name)
        for number, response in asked.respond_each(prompts, sampling, should_stop):
            if response.finish_reason != "stopped":
                yield number, Said(response.text)

    def prefer(
        self, questions: Sequence[str], should_stop: ShouldStop
    ) -> Iterator[tuple[int, Said]]:
        """Yield how likely a judge is to name the second of two models, by one token."""
        if self._endpoint is None:
            yield from _prefer_here(self._models.get(self.name), questions, should_stop)
            return
        for number, question in enumerate(questions):
            if should_stop():
                return
            yield number, _prefer_there(self._endpoint, question)


def _prefer_here(
    chat_model: ChatModel, questions: Sequence[str], should_stop: ShouldStop
) -> Iterator[tuple[int, Said]]:
    from core.scoring.score import Request, score_all

    tokenizer = chat_model.encoder.tokenizer
    letters = [tuple(tokenizer.encode(letter)) for letter in _LETTERS]
    requests = []
    for question in questions:
        prompt = tuple(chat_model.encoder.encode_prompt([Turn("user", question)]))
        requests += [Request(prompt, letter) for letter in letters]
    found: dict[int, float] = {}
    with chat_model.lock:
        for place, score in score_all(chat_model.model, requests, chat_model.context, should_stop):
            found[place] = score.log_probability
            number = place // 2
            if {2 * number, 2 * number + 1} <= set(found):
                yield number, _as_said(found[2 * number], found[2 * number + 1])


def _as_said(first: float, second: float) -> Said:
    preference = 1 / (1 + math.exp(min(first - second, 700.0)))
    return Said(_LETTERS[int(preference > 0.5)], preference)


def _prefer_there(endpoint: Endpoint, question: str) -> Said:
    """Return a preference by the probabilities of the first token, or by the letter where an address
    gives none.
    """
    answer = endpoint.ask(
        "chat/completions",
        {
            "model": endpoint.model, "messages": [{"role": "user", "content": question}],
            "max_tokens": 1, "temperature": 0, "logprobs": True, "top_logprobs": 5,
        },
    )  # fmt: skip
    try:
        text = whole_characters(str(answer["choices"][0]["message"]["content"] or ""))
    except (KeyError, IndexError, TypeError):
        return Said("")
    tops = _probabilities(answer["choices"][0])
    first, second = (tops.get(letter, 0.0) for letter in _LETTERS)
    if not first + second > 0:
        return Said(text)
    preference = second / (first + second)
    return Said(text, preference)


def _probabilities(choice: Any) -> dict[str, float]:
    """Return how likely each spelling of a first token is, with " m" and "m" as one; nothing where
    an address gives none, or none that can be read.
    """
    found: dict[str, float] = defaultdict(float)
    try:
        for one in choice["logprobs"]["content"][0]["top_logprobs"]:
            found[one["token"].strip()] += math.exp(min(float(one["logprob"]), 0.0))
    except (KeyError, IndexError, TypeError, AttributeError, ValueError):
        return {}
    return found
