"""A model behind an OpenAI-compatible address as lm-eval asks it, like its `local-completions` and
`local-chat-completions`: log-probabilities of a prompt where the server gives them (`echo` and
`logprobs` of /completions), answers by /completions, or by /chat/completions where the conversation
is to be put into the server's own template.

Knows no tokenizer: which tokens belong to a continuation is told by their places in the text.
"""

import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

from lm_eval.models.utils import normalize_gen_kwargs, postprocess_generated_text

from core.errors import EvaluationError, ModelError
from core.evaluation.answers import AnswerStore
from core.evaluation.asked_model import Answered, AskedModel, Pace
from core.generation.openai_endpoint import Endpoint

_AT_ONCE = 4
_LONGEST_ANSWER = 256
_MESSAGES = (
    "\x00messages\x00"  # in front of a conversation that the server is to put into its template
)
_CHARACTERS_PER_TOKEN = 4  # of English, for a guess
_MOST_STOPS = 4  # that servers take


class EndpointModel(AskedModel):
    """A model at an address."""

    def __init__(self, endpoint: Endpoint, answers: AnswerStore, pace: Pace) -> None:
        """Ask ``endpoint`` what ``answers`` does not hold yet."""
        super().__init__(answers, pace)
        self.endpoint = endpoint

    @property
    def tokenizer_name(self) -> str:
        """What tells its chat template from others."""
        return self.endpoint.name

    def apply_chat_template(
        self,
        chat_history: Sequence[Mapping[str, str]],
        add_generation_prompt: bool = True,  # noqa: FBT001, FBT002 - lm-eval's
    ) -> str:
        """Return a conversation as it is sent. Raises EvaluationError where its last turn is to be left
        open, which servers do not take.
        """
        if not add_generation_prompt:
            raise EvaluationError(
                "This task begins the answer itself, which a chat address cannot."
            )
        return as_messages(chat_history)

    def chat_template(self, _chat_template: bool | str = False) -> str:  # noqa: FBT001, FBT002 - lm-eval's
        """Return nothing: the template is the server's."""
        return ""

    def count_tokens(self, text: str) -> int:
        """Return about how many tokens a text has."""
        return len(text) // _CHARACTERS_PER_TOKEN + 1

    def score_pairs(self, pairs: Sequence[tuple[str, str]]) -> Answered:
        """Yield the log-probability of each continuation, and whether it is greedy."""
        yield from self._several([_bound(self._score, *pair) for pair in pairs])

    def score_texts(self, texts: Sequence[str]) -> Answered:
        """Yield the log-probability of each whole text."""
        for place, value in self._several([_bound(self._score, "", text) for text in texts]):
            yield place, value[:1]

    def write(
        self, prompts: Sequence[str], asked: dict[str, Any], seeds: Sequence[int]
    ) -> Answered:
        """Yield each prompt's answer."""
        options = normalize_gen_kwargs(asked, _LONGEST_ANSWER)
        yield from self._several(
            [
                _bound(self._write, prompt, options, seed)
                for prompt, seed in zip(prompts, seeds, strict=True)
            ]
        )

    def _several(self, asks: Sequence[Callable[[], list[Any]]]) -> Answered:
        """Yield what questions are answered, some of them asked at once."""
        waiting = deque(enumerate(asks))
        running: dict[Future[list[Any]], int] = {}
        stop = self.pace.should_stop
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            while running or (waiting and not stop()):
                while waiting and len(running) < _AT_ONCE and not stop():
                    number, ask = waiting.popleft()
                    running[pool.submit(ask)] = number
                for one in wait(running, return_when=FIRST_COMPLETED).done:
                    yield running.pop(one), one.result()

    def _score(self, context: str, continuation: str) -> list[Any]:
        if context.startswith(_MESSAGES):
            raise EvaluationError(
                f"{self.endpoint.name} gives no log-probabilities of a conversation: ask this task as "
                "plain text."
            )
        question = {
            "model": self.endpoint.model, "prompt": context + continuation, "max_tokens": 1,
            "temperature": 0, "logprobs": 1, "echo": True,
        }  # fmt: skip
        answer = self.endpoint.ask("completions", question)
        try:
            found = answer["choices"][0]["logprobs"]
            places, scores = found["text_offset"], found["token_logprobs"]
            tops = found.get("top_logprobs") or [None] * len(scores)
        except (KeyError, IndexError, TypeError) as error:
            raise ModelError(
                f"{self.endpoint.name} gives no log-probabilities of a prompt (echo with logprobs of "
                "/completions), which this task takes."
            ) from error
        begin, end = len(context.rstrip()), len(context) + len(continuation)
        chosen = [
            (score, top)
            for place, score, top in zip(places, scores, tops, strict=False)
            if begin <= place < end and score is not None
        ]
        is_greedy = all(not top or score >= max(top.values()) for score, top in chosen)
        return [float(sum(score for score, _ in chosen)), int(is_greedy)]

    def _write(self, prompt: str, options: Mapping[str, Any], seed: int) -> list[Any]:
        stops = [one for one in options.get("until") or [] if one]
        question: dict[str, Any] = {
            "model": self.endpoint.model, "max_tokens": int(options["max_gen_toks"]),
            "temperature": float(options.get("temperature") or 0.0), "seed": seed % 2**31,
        }  # fmt: skip
        if stops:
            question["stop"] = stops[:_MOST_STOPS]  # the others are cut at here
        if prompt.startswith(_MESSAGES):
            question["messages"] = json.loads(prompt.removeprefix(_MESSAGES))
            answer = self.endpoint.ask("chat/completions", question)
        else:
            answer = self.endpoint.ask("completions", question | {"prompt": prompt})
        try:
            choice = answer["choices"][0]
            text = choice["message"]["content"] if "message" in choice else choice["text"]
        except (KeyError, IndexError, TypeError) as error:
            raise ModelError(f"{self.endpoint.name} answered without a text.") from error
        return [postprocess_generated_text(str(text or ""), stops, think_end_token=None)]


def as_messages(messages: Sequence[Mapping[str, str]]) -> str:
    """Return a conversation as a prompt that an endpoint's model sends as it is."""
    return _MESSAGES + json.dumps([dict(one) for one in messages], ensure_ascii=False)


def _bound(ask: Callable[..., list[Any]], *values: Any) -> Callable[[], list[Any]]:
    return lambda: ask(*values)
