"""What a request is answered: choices, probabilities and counts in OpenAI's shapes."""

import math
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from core.datasets.conversation import Turn
from core.errors import ModelError, UserError
from core.generation.chat_model import ChatModel, Response
from core.generation.models_thread import in_models_thread
from core.generation.rows import Generated
from core.scoring.explain import TokenProbability, explain_reply
from ui.api.fields import ApiError, ChatAsked, CompletionAsked, Prompt

Object = dict[str, Any]
Gone = Callable[[], bool]
_REASONS = {"end": "stop", "length": "length", "stopped": "stop"}


def head(kind: str, model: str) -> Object:
    """Return what every answer begins with."""
    number = uuid.uuid4().hex[:24]
    prefix = "chatcmpl" if kind.startswith("chat") else "cmpl"
    return {"id": f"{prefix}-{number}", "object": kind, "created": int(time.time()), "model": model}


def chat_answer(model: ChatModel, asked: ChatAsked, is_gone: Gone) -> Object:
    """Answer a conversation, several times where that is asked, till who asked ``is_gone``."""
    prompt = _encoded(model, asked.turns)
    choices, written = [], 0
    responses = model.respond_times(asked.turns, asked.sampling, asked.choices, is_gone)
    for number, response in enumerate(responses):
        written += response.tokens
        choice: Object = {
            "index": number,
            "message": {"role": "assistant", "content": response.text},
            "finish_reason": _REASONS[response.finish_reason],
            "logprobs": None,
        }
        if asked.logprobs is not None:
            found = _explained(model, prompt, _reply_ids(model, response), asked.logprobs)
            choice["logprobs"] = {"content": [_chat_token(model, one) for one in found]}
        choices.append(choice)
    return {**head("chat.completion", asked.model), "choices": choices,
            "usage": _usage(len(prompt), written)}  # fmt: skip


def chat_stream(model: ChatModel, asked: ChatAsked) -> Iterator[Object]:
    """Yield the pieces of an answer: who speaks, what is said, why it ended, and the counts."""
    begin = head("chat.completion.chunk", asked.model)
    prompt = _encoded(model, asked.turns)

    def piece(delta: Object, reason: str | None = None) -> Object:
        choice = {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}
        return {**begin, "choices": [choice]}

    yield piece({"role": "assistant", "content": ""})
    said, answer = "", Generated()
    for text in model.stream_text(prompt, asked.sampling, answer):
        if text.startswith(said) and text != said:
            yield piece({"content": text[len(said) :]})
            said = text
    yield piece({}, _REASONS[answer.finish_reason])
    if asked.counts:
        yield {**begin, "choices": [], "usage": _usage(len(prompt), len(answer.ids))}


def completion_answer(model: ChatModel, asked: CompletionAsked, is_gone: Gone) -> Object:
    """Continue texts, with the prompts and their probabilities where that is asked, till who asked
    ``is_gone``.
    """
    prompts = [_tokens(model, prompt) for prompt in asked.prompts]
    # without chance all tries would be the same
    tries = asked.tries if asked.sampling.temperature else asked.choices
    wanted = [(place, number) for place in range(len(prompts)) for number in range(tries)]
    if asked.generates:
        made = model.continue_all(
            [prompts[place] for place, _ in wanted], asked.sampling,
            [number for _, number in wanted], is_gone,
        )  # fmt: skip
    else:
        made = [Generated() for _ in wanted]
    replies = [(place, reply) for (place, _), reply in zip(wanted, made, strict=True)]
    if tries > asked.choices:
        replies = _likeliest(model, prompts, replies, asked.choices)
    choices: list[Object] = []
    for place, reply in replies:
        choice = _completion(model, asked.prompts[place], prompts[place], reply.ids, asked)
        reason = _REASONS[reply.finish_reason]
        choices.append({"index": len(choices), "finish_reason": reason, **choice})
    written = sum(len(reply.ids) for reply in made)
    counts = _usage(sum(map(len, prompts)), written)
    return {**head("text_completion", asked.model), "choices": choices, "usage": counts}


def _likeliest(
    model: ChatModel,
    prompts: Sequence[list[int]],
    replies: Sequence[tuple[int, Generated]],
    count: int,
) -> list[tuple[int, Generated]]:
    """Return the ``count`` replies to each prompt whose tokens are the likeliest in the mean."""

    def mean(place: int, reply: Generated) -> float:
        found = _explained(model, prompts[place], reply.ids, 1)
        return sum(one.log_probability for one in found) / len(found) if found else -math.inf

    kept: list[tuple[int, Generated]] = []
    for place in range(len(prompts)):
        of_prompt = [(mean(place, reply), reply) for at, reply in replies if at == place]
        of_prompt.sort(key=lambda one: -one[0])
        kept += [(place, reply) for _, reply in of_prompt[:count]]
    return kept


def completion_stream(model: ChatModel, asked: CompletionAsked) -> Iterator[Object]:
    """Yield the pieces of one continued text."""
    begin = head("text_completion", asked.model)
    ids = _tokens(model, asked.prompts[0])
    said, answer = "", Generated()
    for text in model.stream_text(ids, asked.sampling, answer):
        if text.startswith(said) and text != said:
            choice: Object = {"index": 0, "text": text[len(said) :], "finish_reason": None,
                              "logprobs": None}  # fmt: skip
            yield {**begin, "choices": [choice]}
            said = text
    last: Object = {"index": 0, "text": "", "finish_reason": _REASONS[answer.finish_reason],
                    "logprobs": None}  # fmt: skip
    yield {**begin, "choices": [last]}
    if asked.counts:
        yield {**begin, "choices": [], "usage": _usage(len(ids), len(answer.ids))}


def _completion(
    model: ChatModel, prompt: Prompt, ids: list[int], reply: list[int], asked: CompletionAsked
) -> Object:
    decode = model.encoder.tokenizer.decode
    text = model.cut_at_stop(decode(reply), asked.sampling)
    if asked.echo:
        text = (prompt if isinstance(prompt, str) else decode(ids, with_special=True)) + text
    if asked.logprobs is None:
        return {"text": text, "logprobs": None}
    shown = [*ids, *reply] if asked.echo else reply
    if asked.echo:  # nothing stands before the first token, so it has no probability
        found: list[TokenProbability | None] = [
            None, *_explained(model, shown[:1], shown[1:], max(asked.logprobs, 1)),
        ]  # fmt: skip
    else:
        found = list(_explained(model, ids, reply, max(asked.logprobs, 1)))
    names = [model.token_text(token) for token in shown]
    offsets = [sum(map(len, names[:place])) for place in range(len(names))]
    return {
        "text": text,
        "logprobs": {
            "tokens": names,
            "token_logprobs": [one.log_probability if one else None for one in found],
            "top_logprobs": [_top(model, one, asked.logprobs) for one in found],
            "text_offset": offsets,
        },
    }


def _explained(
    model: ChatModel, prompt: Sequence[int], reply: Sequence[int], count: int
) -> list[TokenProbability]:
    return in_models_thread(lambda: explain_reply(model.model, prompt, reply, max(count, 1)))


def _top(model: ChatModel, one: TokenProbability | None, count: int) -> dict[str, float] | None:
    if one is None:
        return None
    found = {model.token_text(token): value for token, value in one.likeliest[:count]}
    return {**found, model.token_text(one.id): one.log_probability}


def _chat_token(model: ChatModel, one: TokenProbability) -> Object:
    def named(token: int, value: float) -> Object:
        text = model.token_text(token)
        return {"token": text, "logprob": value, "bytes": list(text.encode())}

    likeliest = [named(token, value) for token, value in one.likeliest]
    return {**named(one.id, one.log_probability), "top_logprobs": likeliest}


def _reply_ids(model: ChatModel, response: Response) -> list[int]:
    return model.encoder.tokenizer.encode(response.text)


def _encoded(model: ChatModel, turns: Sequence[Turn]) -> list[int]:
    try:
        ids = model.encoder.encode_prompt(turns)
    except UserError as error:
        raise ApiError(f"messages: {error}", param="messages") from error
    return _fitting(model, ids)


def _tokens(model: ChatModel, prompt: Prompt) -> list[int]:
    """Return a prompt's tokens, with the token that the model wants in front of every text."""
    tokenizer = model.encoder.tokenizer
    if not isinstance(prompt, str):
        known = max(model.vocabulary - 1, 0)
        if not all(0 <= token <= known for token in prompt):
            raise ApiError(f"prompt: tokens must lie between 0 and {known}", param="prompt")
        return _fitting(model, list(prompt))
    begin = [tokenizer.special_ids[tokenizer.bos]] if tokenizer.adds_bos else []
    try:
        return _fitting(model, begin + tokenizer.encode(prompt))
    except UserError as error:
        raise ApiError(f"prompt: {error}", param="prompt") from error


def _fitting(model: ChatModel, ids: list[int]) -> list[int]:
    if not ids:
        raise ApiError("prompt: must not be empty", param="prompt")
    if len(ids) >= model.context:
        raise ApiError(
            f"The prompt has {len(ids):,} tokens and the model takes {model.context:,}",
            code="context_length_exceeded",
        )
    return ids


def _usage(prompt: int, written: int) -> Object:
    return {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written}


def find_chat_model(get: Any, name: str, known: Sequence[str]) -> ChatModel:
    """Return a model by a name that is on offer. Raises ApiError."""
    if name not in known:
        raise ApiError(
            f"There is no model '{name[:80]}': /v1/models lists them", 404, "model",
            "model_not_found",
        )  # fmt: skip
    try:
        found: ChatModel = get(name)
    except ModelError as error:
        raise ApiError(str(error), 503, "model") from error
    return found
