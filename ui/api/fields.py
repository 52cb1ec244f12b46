"""A request's body, read strictly: every field is obeyed or refused, none is ignored.

Knows no model and no route.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.datasets.conversation import RowRefusedError, Turn
from core.datasets.formats import read_prompt
from core.errors import SettingsError
from core.generation.sampling import Sampling
from core.text import holds_half_character, shortened

_MOST_CHOICES = 16
_MOST_PROMPTS = 256
_MOST_LOGPROBS = 20
_SAMPLING = {
    "temperature", "top_p", "seed", "stop", "max_tokens", "top_k", "min_p", "repetition_penalty",
}  # fmt: skip
_ALWAYS = {"model", "n", "stream", "stream_options", "user", "logprobs", *_SAMPLING}
_CHAT = {*_ALWAYS, "messages", "max_completion_tokens", "top_logprobs"}
_COMPLETION = {*_ALWAYS, "prompt", "echo", "best_of"}
# fields that say nothing with these values, as many clients send them
_NEUTRAL: dict[str, Sequence[object]] = {
    "presence_penalty": (0, None), "frequency_penalty": (0, None), "logit_bias": (None, {}),
    "tools": (None, []), "tool_choice": (None, "none"), "functions": (None, []),
    "response_format": (None, {"type": "text"}), "best_of": (None, 1), "suffix": (None, ""),
    "parallel_tool_calls": (None, True, False), "store": (None, False), "metadata": (None, {}),
    "modalities": (None, ["text"]), "service_tier": (None, "auto"),
}  # fmt: skip
Prompt = str | tuple[int, ...]  # a text, or its tokens


class ApiError(Exception):
    """What is wrong with a request, as OpenAI says it."""

    def __init__(self, message: str, status: int = 400, param: str = "", code: str = "") -> None:
        """``param`` is the field, ``code`` what a program tells it by."""
        super().__init__(message)
        self.status, self.param, self.code = status, param, code


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What both kinds of requests ask for."""

    model: str
    sampling: Sampling
    choices: int
    streams: bool
    counts: bool  # a last piece of the stream says how many tokens there were
    logprobs: int | None  # how many likeliest tokens at each place; None for no probabilities


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatAsked(Asked):
    """A conversation to be gone on with."""

    turns: tuple[Turn, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionAsked(Asked):
    """Texts to be continued."""

    prompts: tuple[Prompt, ...]
    echo: bool
    tries: int  # answers written to each prompt, of which the likeliest are given
    generates: bool  # False where ``max_tokens`` is 0, and only the prompt's probabilities count


def read_chat(body: object) -> ChatAsked:
    """Return what a chat request asks. Raises ApiError."""
    fields = _fields(body, _CHAT)
    wants = _flag(fields, "logprobs")
    top = _whole(fields, "top_logprobs", 0, 0, _MOST_LOGPROBS)
    if fields.get("top_logprobs") and not wants:
        raise ApiError("top_logprobs: go with logprobs", param="top_logprobs")
    if fields.get("max_completion_tokens") is not None:
        fields["max_tokens"] = fields["max_completion_tokens"]
    try:
        turns = read_prompt({"messages": fields.get("messages")})
    except RowRefusedError as error:
        raise ApiError(f"messages: {error}", param="messages") from error
    return ChatAsked(**_common(fields, 128, top if wants else None), turns=turns)


def read_completion(body: object) -> CompletionAsked:
    """Return what a completion request asks. Raises ApiError."""
    fields = _fields(body, _COMPLETION)
    echo = _flag(fields, "echo")
    wanted = fields.get("logprobs")
    logprobs = None if wanted is None else _whole(fields, "logprobs", 0, 0, _MOST_LOGPROBS)
    generates = fields.get("max_tokens") != 0
    if not generates:
        if not echo:
            raise ApiError("max_tokens: must be 1 or more without echo", param="max_tokens")
        fields["max_tokens"] = 1
    common = _common(fields, 16, logprobs)
    choices = common["choices"]
    asked = CompletionAsked(
        **common, prompts=_prompts(fields.get("prompt")), echo=echo, generates=generates,
        tries=_whole(fields, "best_of", choices, choices, _MOST_CHOICES),
    )  # fmt: skip
    if asked.streams and asked.tries > 1:
        raise ApiError("stream: goes with best_of = 1", param="stream")
    if asked.streams and (asked.echo or len(asked.prompts) > 1):
        raise ApiError("stream: goes with one prompt, and without echo", param="stream")
    return asked


def _fields(body: object, known: set[str]) -> dict[str, Any]:
    if not isinstance(body, Mapping):
        raise ApiError("the body must be a JSON object")
    if holds_half_character(body):
        raise ApiError("a text has half a character in it (a lone surrogate): write it anew")
    fields = dict(body)
    for name, value in body.items():
        if name in known:
            continue
        if name not in _NEUTRAL or value not in _NEUTRAL[name]:
            raise ApiError(
                f"{shortened(str(name), 40)}: is not supported here", param=shortened(str(name), 40),
                code="unsupported_parameter",
            )  # fmt: skip
        del fields[name]
    return fields


def _common(fields: Mapping[str, Any], longest: int, logprobs: int | None) -> dict[str, Any]:
    model = fields.get("model")
    if not isinstance(model, str) or not model:
        raise ApiError("model: say which, as /v1/models lists them", param="model")
    streams, choices = _flag(fields, "stream"), _whole(fields, "n", 1, 1, _MOST_CHOICES)
    if streams and choices > 1:
        raise ApiError("stream: goes with one choice (n = 1)", param="stream")
    if streams and logprobs is not None:
        raise ApiError("logprobs: are not given while streaming", param="logprobs")
    if fields.get("stream_options") and not streams:
        raise ApiError("stream_options: go with stream", param="stream_options")
    options = fields.get("stream_options") or {}
    if not isinstance(options, Mapping) or set(options) - {"include_usage"}:
        raise ApiError("stream_options: only include_usage is known", param="stream_options")
    return {
        "model": model, "sampling": _sampling(fields, longest), "choices": choices,
        "streams": streams, "counts": bool(options.get("include_usage")), "logprobs": logprobs,
    }  # fmt: skip


def _sampling(fields: Mapping[str, Any], longest: int) -> Sampling:
    stop = fields.get("stop")
    stops = [stop] if isinstance(stop, str) else stop or []
    if not isinstance(stops, list) or not all(isinstance(one, str) for one in stops):
        raise ApiError("stop: must be a text or a list of texts", param="stop")
    numbers = {
        name: _number(fields, name, usual)
        for name, usual in (
            ("temperature", 1.0), ("top_p", 1.0), ("min_p", 0.0), ("repetition_penalty", 1.0),
        )
    }  # fmt: skip
    try:
        return Sampling(
            **numbers,
            top_k=_whole(fields, "top_k", 0, 0, 1_000_000),
            max_new_tokens=_whole(fields, "max_tokens", longest, 1, 100_000),
            seed=_whole(fields, "seed", 42, 0, 2**63 - 1),
            stop=tuple(one for one in stops if one),
        )
    except SettingsError as error:
        name = next(iter(error.fields))
        raise ApiError(f"{name}: {error.fields[name]}", param=name) from error


def _prompts(value: object) -> tuple[Prompt, ...]:
    if isinstance(value, str) or _is_tokens(value):
        value = [value]
    if not isinstance(value, list) or not 0 < len(value) <= _MOST_PROMPTS:
        raise ApiError(
            f"prompt: must be a text, a list of tokens, or up to {_MOST_PROMPTS} of these",
            param="prompt",
        )
    if not all(isinstance(one, str) or _is_tokens(one) for one in value):
        raise ApiError("prompt: each must be a text or a list of tokens", param="prompt")
    return tuple(one if isinstance(one, str) else tuple(one) for one in value)


def _is_tokens(value: object) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, int) and not isinstance(one, bool) for one in value)
    )


def _flag(fields: Mapping[str, Any], name: str) -> bool:
    value = fields.get(name)
    if value is not None and not isinstance(value, bool):
        raise ApiError(f"{name}: must be true or false", param=name)
    return bool(value)


def _whole(fields: Mapping[str, Any], name: str, usual: int, low: int, high: int) -> int:
    value = fields.get(name)
    if value is None:
        return usual
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ApiError(f"{name}: must be a whole number from {low} to {high}", param=name)
    return value


def _number(fields: Mapping[str, Any], name: str, usual: float) -> float:
    value = fields.get(name)
    if value is None:
        return usual
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ApiError(f"{name}: must be a number", param=name)
    return float(value)
