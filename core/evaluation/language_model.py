"""A model of Fuata as lm-eval asks it: log-probabilities of continuations from our scorer, what
requests have in common computed once, and answers from our decoder, many at a time.

What was answered once is not asked again.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lm_eval.api.model import LM
from lm_eval.models.utils import (
    handle_stop_sequences,
    normalize_gen_kwargs,
    postprocess_generated_text,
)

from core.errors import StoppedError, StyleError
from core.evaluation.answers import AnswerStore, request_key
from core.evaluation.text_encoder import TextEncoder
from core.generation.chat_model import ChatModel
from core.generation.decode import answer_ids
from core.generation.rows import Generated
from core.generation.sampling import Sampling
from core.scoring.score import Request, rolling_requests, score_all

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance

_LONGEST_ANSWER = 256  # tokens, where a task names none, as lm-eval has it
_SEED = 1234


@dataclass(frozen=True, slots=True)
class Pace:
    """Whom a model tells of every request that is done, and whether it is to stop."""

    request_done: Callable[[str, int], None]  # kind of requests, how many more are done
    should_stop: Callable[[], bool]


class FuataLM(LM):  # type: ignore[misc]
    """A model in this process."""

    def __init__(self, chat_model: ChatModel, answers: AnswerStore, pace: Pace) -> None:
        """Ask ``chat_model`` what ``answers`` does not hold yet."""
        super().__init__()
        self.chat_model, self.answers, self.pace = chat_model, answers, pace
        self.text = TextEncoder(chat_model.encoder.tokenizer)
        self.max_length = chat_model.context
        self.shortened = 0  # answers for which there was less room than a task asks for

    @property
    def tokenizer_name(self) -> str:
        """What tells its chat template from others."""
        return self.chat_model.encoder.style.name

    def loglikelihood(self, requests: "list[Instance]") -> list[tuple[float, bool]]:
        """Return the log-probability of each continuation after its context, and whether it is what
        the model would write.
        """
        keys = _keys(requests)
        found = self._known("loglikelihood", keys)
        places = [place for place, key in enumerate(keys) if key not in found]
        scores = self._scores(
            [Request(*self.text.encode_pair(*requests[place].args)) for place in places]
        )
        for place, score in self._kept("loglikelihood", scores, [keys[place] for place in places]):
            found[keys[places[place]]] = score
        return [(value[0], bool(value[1])) for value in map(found.__getitem__, keys)]

    def loglikelihood_rolling(self, requests: "list[Instance]") -> list[float]:
        """Return the log-probability of each whole text."""
        keys = _keys(requests)
        found = self._known("loglikelihood_rolling", keys)
        for key, one in zip(keys, requests, strict=True):
            if key in found:
                continue
            ids = self.text.encode(one.args[0])
            parts = rolling_requests(ids, self.text.prefix_id, self.max_length)
            total = sum(value[0] for _, value in self._scores(parts))
            list(self._kept("loglikelihood_rolling", iter([(0, [total])]), [key]))
            found[key] = [total]
        return [float(found[key][0]) for key in keys]

    def generate_until(self, requests: "list[Instance]") -> list[str]:
        """Return each prompt's answer, up to the first of the texts at which it is to stop."""
        keys = _keys(requests)
        found = self._known("generate_until", keys)
        groups: dict[str, list[int]] = defaultdict(list)
        for place, one in enumerate(requests):
            if keys[place] not in found:
                groups[json.dumps(one.args[1], sort_keys=True)].append(place)
        for asked, places in groups.items():
            answers = self._answers(
                [requests[place].args[0] for place in places], json.loads(asked)
            )
            for number, value in self._kept("generate_until", answers, [keys[p] for p in places]):
                found[keys[places[number]]] = value
        return [str(found[key][0]) for key in keys]

    def known(self, requests: "list[Instance]") -> list[bool]:
        """Return which requests were answered already."""
        keys = _keys(requests)
        found = self.answers.find(keys)
        return [key in found for key in keys]

    def apply_chat_template(
        self,
        chat_history: list[dict[str, str]],
        add_generation_prompt: bool = True,  # noqa: FBT001, FBT002 - lm-eval's
    ) -> str:
        """Return a conversation as the model's template writes it; without ``add_generation_prompt``
        its last turn is left open.
        """
        style = self.chat_model.encoder.style
        try:
            text = style.fill(chat_history, ask=add_generation_prompt)
        except StyleError:
            rest = [turn for turn in chat_history if turn["role"] != "system"]
            text = style.fill(rest, ask=add_generation_prompt)
        if add_generation_prompt:
            return text
        last = chat_history[-1]["content"].strip()
        return text[: text.rindex(last) + len(last)]

    def chat_template(self, _chat_template: bool | str = False) -> str:  # noqa: FBT001, FBT002 - lm-eval's
        """Return the text of its template."""
        return str(self.chat_model.encoder.style.template)

    def _known(self, kind: str, keys: Sequence[bytes]) -> dict[bytes, list[Any]]:
        found = self.answers.find(keys)
        self.pace.request_done(kind, sum(key in found for key in keys))
        return found

    def _kept(
        self, kind: str, values: Iterator[tuple[int, list[Any]]], keys: Sequence[bytes]
    ) -> Iterator[tuple[int, list[Any]]]:
        """Write answers down as they come, and pass them on.

        Raises StoppedError where it is to stop.
        """
        done = 0
        with self.answers.writing() as write:
            for place, value in values:
                write(keys[place], value)
                done += 1
                self.pace.request_done(kind, 1)
                yield place, value
        if done < len(keys):
            raise StoppedError("The evaluation was stopped; what is answered is kept.")

    def _scores(self, requests: list[Request]) -> Iterator[tuple[int, list[Any]]]:
        model, stop = self.chat_model.model, self.pace.should_stop
        for place, score in score_all(model, requests, self.max_length, stop):
            yield place, [score.log_probability, int(score.is_greedy)]

    def _answers(
        self, prompts: list[str], asked: dict[str, Any]
    ) -> Iterator[tuple[int, list[Any]]]:
        options = normalize_gen_kwargs(asked, _LONGEST_ANSWER)
        stops = handle_stop_sequences(options.get("until"), eos=self.text.end_text or None)
        longest = int(options["max_gen_toks"])
        if longest > self.max_length // 2:
            longest, self.shortened = self.max_length // 2, self.shortened + len(prompts)
        sampling = _sampling(options, self.chat_model, longest)
        sampling = replace(sampling, stop=tuple(text for text in stops if text))
        room = self.max_length - longest
        ids = [list(self.text.encode(prompt)[-room:]) for prompt in prompts]
        answers = [Generated() for _ in prompts]
        limits = self.chat_model.limits(sampling)
        stop = self.pace.should_stop
        seeds = [_SEED + number for number in range(len(prompts))]
        for number in answer_ids(
            self.chat_model.model, ids, answers, sampling, limits, stop, seeds
        ):
            text = postprocess_generated_text(
                self.text.decode(answers[number].ids), stops, think_end_token=None
            )
            yield number, [text]


def _keys(requests: "list[Instance]") -> list[bytes]:
    """Return what tells each request from others; one that is drawn several times is another each
    time.
    """
    seen: dict[bytes, int] = defaultdict(int)
    keys = []
    for one in requests:
        parts = [
            json.dumps(part, sort_keys=True) if isinstance(part, dict) else part
            for part in one.args
        ]
        key = request_key(one.request_type, *parts)
        is_drawn = any(isinstance(part, dict) and part.get("do_sample") for part in one.args)
        keys.append(
            request_key("draw", key.hex(), str(seen[key])) if is_drawn and seen[key] else key
        )
        seen[key] += 1
    return keys


def _sampling(options: dict[str, Any], chat_model: ChatModel, longest: int) -> Sampling:
    """Return how answers are drawn, as `generate` of transformers would by the same options."""
    own = chat_model.model.generation_config
    penalty = options.get("repetition_penalty", getattr(own, "repetition_penalty", None))
    is_drawn = bool(options.get("do_sample"))
    return Sampling(
        temperature=float(options.get("temperature") or 0.0) if is_drawn else 0.0,
        top_k=int(options.get("top_k", getattr(own, "top_k", None)) or 0) if is_drawn else 0,
        top_p=float(options.get("top_p", getattr(own, "top_p", None)) or 1.0) if is_drawn else 1.0,
        max_new_tokens=longest,
        repetition_penalty=float(penalty or 1.0),
    )
