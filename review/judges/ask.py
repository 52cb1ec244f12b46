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
from core.generation.models_thread import each_in_models_thread
from core.generation.openai_endpoint import Endpoint, find_endpoint
from core.generation.sampling import Sampling
from core.models.encoder import encoder_of
from core.models.resolve import weights_fingerprint
from core.text import whole_characters

_MOST_LIKELIEST = 20  # tokens that an address is asked to tell the probabilities of
ShouldStop = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Said:
    """What a judge said to one question."""

    text: str
    # of words to choose from the share of each in the probability of all, where that is known
    shares: tuple[float, ...] | None = None


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

    def choose(
        self, questions: Sequence[str], words: Sequence[str], should_stop: ShouldStop
    ) -> Iterator[tuple[int, Said]]:
        """Yield how likely a judge is to say each of some short words, by one token where it can be."""
        if self._endpoint is None:
            yield from _choose_here(self._models.get(self.name), questions, words, should_stop)
            return
        for number, question in enumerate(questions):
            if should_stop():
                return
            yield number, _choose_there(self._endpoint, question, words)


def _choose_here(
    chat_model: ChatModel,
    questions: Sequence[str],
    words: Sequence[str],
    should_stop: ShouldStop,
) -> Iterator[tuple[int, Said]]:
    from core.scoring.score import Request, score_all

    tokenizer = chat_model.encoder.tokenizer
    ids = [tuple(tokenizer.encode(word)) for word in words]
    requests = []
    for question in questions:
        prompt = tuple(chat_model.encoder.encode_prompt([Turn("user", question)]))
        requests += [Request(prompt, one) for one in ids]
    found: dict[int, dict[int, float]] = defaultdict(dict)
    scores = score_all(chat_model.model, requests, chat_model.context, should_stop)
    for place, score in each_in_models_thread(scores):
        number, word = divmod(place, len(words))
        found[number][word] = score.log_probability
        if len(found[number]) == len(words):
            logs = found.pop(number)
            yield number, _as_said([logs[one] for one in range(len(words))], words)


def _as_said(logs: Sequence[float], words: Sequence[str]) -> Said:
    most = max(logs)
    weights = [math.exp(one - most) for one in logs]
    shares = tuple(one / sum(weights) for one in weights)
    return Said(words[shares.index(max(shares))], shares)


def _choose_there(endpoint: Endpoint, question: str, words: Sequence[str]) -> Said:
    """Return shares by the probabilities of the first token, or what is said where an address gives
    none.
    """
    answer = endpoint.ask(
        "chat/completions",
        {
            "model": endpoint.model, "messages": [{"role": "user", "content": question}],
            "max_tokens": 1, "temperature": 0, "logprobs": True,
            "top_logprobs": _MOST_LIKELIEST,
        },
    )  # fmt: skip
    try:
        text = whole_characters(str(answer["choices"][0]["message"]["content"] or ""))
    except (KeyError, IndexError, TypeError):
        return Said("")
    likeliest = _probabilities(answer["choices"][0])
    weights = [likeliest.get(word, 0.0) for word in words]
    if not sum(weights) > 0:
        return Said(text)
    return Said(text, tuple(one / sum(weights) for one in weights))


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
