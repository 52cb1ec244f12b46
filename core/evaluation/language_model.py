"""A model of Fuata as lm-eval asks it: log-probabilities of continuations from our scorer, what
requests have in common computed once, and answers from our decoder, many at a time.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lm_eval.models.utils import (
    handle_stop_sequences,
    normalize_gen_kwargs,
    postprocess_generated_text,
)

from core.errors import StyleError
from core.evaluation.answers import AnswerStore
from core.evaluation.asked_model import Answered, AskedModel, Pace
from core.evaluation.text_encoder import TextEncoder
from core.generation.chat_model import ChatModel
from core.generation.decode import answer_rows, rows_of
from core.generation.sampling import Sampling
from core.scoring.score import Request, rolling_requests, score_all

LONGEST_ANSWER = 256  # tokens, where a task names none, as lm-eval has it


class FuataLM(AskedModel):
    """A model in this process."""

    def __init__(self, chat_model: ChatModel, answers: AnswerStore, pace: Pace) -> None:
        """Ask ``chat_model`` what ``answers`` does not hold yet."""
        super().__init__(answers, pace)
        self.chat_model = chat_model
        self.text = TextEncoder(chat_model.encoder.tokenizer)
        self.max_length = chat_model.context

    @property
    def tokenizer_name(self) -> str:
        """What tells its chat template from others."""
        return self.chat_model.encoder.style.name

    def score_pairs(self, pairs: Sequence[tuple[str, str]]) -> Answered:
        """Yield the log-probability of each continuation, and whether it is greedy."""
        requests = [Request(*self.text.encode_pair(*pair)) for pair in pairs]
        model, stop = self.chat_model.model, self.pace.should_stop
        for place, score in score_all(model, requests, self.max_length, stop):
            yield place, [score.log_probability, int(score.is_greedy)]

    def score_texts(self, texts: Sequence[str]) -> Answered:
        """Yield the log-probability of each whole text."""
        model, stop = self.chat_model.model, self.pace.should_stop
        for place, text in enumerate(texts):
            ids = self.text.encode(text)
            parts = rolling_requests(ids, self.text.prefix_id, self.max_length)
            scores = [score for _, score in score_all(model, parts, self.max_length, stop)]
            if len(scores) < len(parts):
                return
            yield place, [sum(score.log_probability for score in scores)]

    def write(
        self, prompts: Sequence[str], asked: dict[str, Any], seeds: Sequence[int]
    ) -> Answered:
        """Yield each prompt's answer."""
        options = normalize_gen_kwargs(asked, LONGEST_ANSWER)
        stops = handle_stop_sequences(options.get("until"), eos=self.text.end_text or None)
        longest = int(options["max_gen_toks"])
        if longest > self.max_length // 2:
            longest, self.shortened = self.max_length // 2, self.shortened + len(prompts)
        sampling = _sampling(options, self.chat_model, longest)
        sampling = replace(sampling, stop=tuple(text for text in stops if text))
        room = self.max_length - longest
        ids = [list(self.text.encode(prompt)[-room:]) for prompt in prompts]
        model, limits = self.chat_model.model, self.chat_model.limits(sampling)
        rows = rows_of(model, ids, sampling, limits, seeds)
        for number in answer_rows(model, rows, self.pace.should_stop):
            text = postprocess_generated_text(
                self.text.decode(rows[number].answer.ids), stops, think_end_token=None
            )
            yield number, [text]

    def count_tokens(self, text: str) -> int:
        """Return how many tokens a text has."""
        return len(self.text.encode(text))

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
