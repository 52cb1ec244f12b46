"""The one function that renders a conversation, for preview, training, chat and review alike.

Knows no token ids. A user's text never enters a template. Each text is replaced by a numbered mark,
the template is filled, and the marks are exchanged for the text afterwards; so a template cannot be
steered by text, and what came from a user is known to the letter: special tokens are looked for in
the template's own text only.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from core.datasets.conversation import Turn
from core.errors import StyleError
from core.prompts.chat_template import Style
from core.prompts.template_messages import (
    SENTINEL,
    Abilities,
    Conversation,
    Kind,
    Message,
    conversation,
    kinds_and_texts,
    written,
)

_KEPT = 4096  # layouts: a file of conversations has one for every order of turns in it


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of rendered text."""

    text: str
    trained: bool  # the loss sees it when the prompt is masked
    markup: bool  # written by the style, so special tokens in it are meant


# of one conversation: where its answers begin is found by filling the template once for each
MAX_MESSAGES = 500
_PROBE_TOOLS = (
    Turn(
        "system",
        'You may call these tools:\n<tools>\n[{"type": "function", "function": {"name": "clock", '
        '"description": "Tells the time", "parameters": {"type": "object", "properties": '
        '{"city": {"type": "string"}}}}}]\n</tools>',
        tool=True,
    ),
    Turn("user", "When?"),
    Turn(
        "assistant",
        '<tool_call>\n{"name": "clock", "arguments": {"city": "Moshi"}}\n</tool_call>',
        tool=True,
    ),
    Turn("user", "<tool_response>\nnoon\n</tool_response>", tool=True),
    Turn("assistant", "It is noon."),
)
_PROBE_THOUGHTS = (Turn("user", "When?"), Turn("assistant", "<think>\nhm\n</think>\n\nNow."))


def render(style: Style, turns: Sequence[Turn], *, ask: bool) -> tuple[Segment, ...]:
    """Render a conversation to segments.

    Every answer with the end token after it is marked as trained. With ``ask`` the text ends where
    the next answer begins, without it ends with the last answer; so the segments of
    ``render(turns[:-1], ask=True)`` are exactly those before the last answer. Alpaca's ``input``
    goes below the instruction where a template knows no such thing.

    A system turn that the template has no place for is put in front of the first question. Where a
    template knows tools or thoughts, they are written as it writes them, as transformers has it;
    thoughts of earlier answers it may leave out.

    Raises StyleError when the template drops a text, changes one, or writes an answer elsewhere
    than where it asks for one.
    """
    return _render(style, turns, _abilities(style), ask=ask)


def _render(
    style: Style, turns: Sequence[Turn], abilities: Abilities, *, ask: bool
) -> tuple[Segment, ...]:
    kinds, texts = kinds_and_texts(turns, abilities)
    layout = _lay_out(style, kinds, ask=ask)
    if isinstance(layout, str):
        raise StyleError(layout)
    segments = tuple(
        piece
        if isinstance(piece, Segment)
        else Segment(written(piece[0], kinds, texts), piece[1], markup=False)
        for piece in layout.pieces
    )
    if not ask and (style.looks_into_text or any(kind.structure for kind in kinds)):
        _check_kept(style, kinds, texts, segments, joins_system=layout.joins_system)
    return segments


@lru_cache(maxsize=64)
def _abilities(style: Style) -> Abilities:
    """Return what a template can be given apart from the text, by trying it."""
    if style.is_ours:
        return Abilities()
    tools = "tool_calls" in style.template and _can(style, _PROBE_TOOLS, Abilities(tools=True))
    thoughts = "reasoning_content" in style.template and _can(
        style, _PROBE_THOUGHTS, Abilities(thoughts=True)
    )
    return Abilities(tools, thoughts)


def _can(style: Style, turns: Sequence[Turn], abilities: Abilities) -> bool:
    try:
        segments = _render(style, turns, abilities, ask=False)
    except StyleError:
        return False
    said = "".join(segment.text for segment in segments)
    return all(word in said for word in (("clock", "Moshi") if abilities.tools else ("hm",)))


def joins_system(style: Style, turns: Sequence[Turn]) -> bool:
    """Return whether a style has no place for a conversation's system turn, so that it goes in
    front of the first question.
    """
    layout = _lay_out(style, kinds_and_texts(turns, _abilities(style))[0], ask=False)
    return not isinstance(layout, str) and layout.joins_system


class _Layout(NamedTuple):
    """The style's own stretches, and for each text between them its number and whether it is
    trained.
    """

    pieces: tuple[Segment | tuple[int, bool], ...]
    joins_system: bool


@lru_cache(maxsize=_KEPT)
def _lay_out(style: Style, kinds: tuple[Kind, ...], *, ask: bool) -> _Layout | str:
    """Lay a conversation out, once for all of the same kinds of turns, for a template sees nothing
    else of them.

    So is what is wrong with a style for them, which is returned in words.
    """
    if len(kinds) > MAX_MESSAGES:
        return f"The conversation has {len(kinds):,} messages; up to {MAX_MESSAGES} can be written: split it."
    given = conversation(kinds)
    try:
        return _Layout(_pieces_of(style, given, ask=ask), joins_system=False)
    except StyleError as error:
        joined = _system_joined(given)
        if joined is None:
            return str(error)
        try:
            return _Layout(_pieces_of(style, joined, ask=ask), joins_system=True)
        except StyleError:
            return str(error)


def _system_joined(given: Conversation) -> Conversation | None:
    """Put the text of the system's message in front of the first question, whose role it takes no
    place beside; None where there are no such two.
    """
    if [message["role"] for message in given.messages[:2]] != ["system", "user"]:
        return None
    system, first, *rest = given.messages
    content = f"{system['content']}\n\n{first['content']}"
    answers = {index - 1: kind for index, kind in given.answers.items()}
    return Conversation([{**first, "content": content}, *rest], given.tools, answers)


def _pieces_of(
    style: Style, given: Conversation, *, ask: bool
) -> tuple[Segment | tuple[int, bool], ...]:
    messages, tools = given.messages, given.tools
    filled = style.fill(messages, ask=ask, tools=tools)
    if any(message["input"] not in filled for message in messages):
        messages = [_joined(message) for message in messages]
        filled = style.fill(messages, ask=ask, tools=tools)
    _check_complete(style, filled, messages, tools)
    spans = {index: _answer_span(style, filled, messages, index, tools) for index in given.answers}
    learnt = [
        _learnt(filled, messages[index], kind, spans[index])
        for index, kind in given.answers.items()
        if kind.trained
    ]
    end = len(filled) if ask else spans[max(spans)][1]
    return tuple(_pieces(filled[:end], learnt))


def _learnt(filled: str, message: Message, kind: Kind, span: tuple[int, int]) -> tuple[int, int]:
    """Return what of an answer is learnt: without its thoughts where these are only read."""
    if kind.thought not in {"read", "inside"} or not kind.has_content:
        return span
    mark = list(SENTINEL.finditer(message["content"]))[-1].group()
    return filled.index(mark, span[0]), span[1]


def _check_kept(
    style: Style,
    kinds: Sequence[Kind],
    texts: dict[int, str],
    segments: Sequence[Segment],
    *,
    joins_system: bool,
) -> None:
    """Raise StyleError where a template that looks into the texts writes something else of them
    than they are.

    Templates of reasoning models take earlier thoughts out; a row of which they do would be learnt
    otherwise than it is asked.
    """
    given = conversation(kinds, texts)
    given = (_system_joined(given) or given) if joins_system else given
    messages = [_joined(message) for message in given.messages]
    filled = style.fill(messages, ask=False, tools=given.tools)
    if not filled.startswith("".join(segment.text for segment in segments)):
        raise StyleError(
            f"The style '{style.name}' changes what is said in it, as templates of reasoning "
            "models do with <think>: "
            "write the row as the template leaves it, or use another style."
        )


def _joined(message: Message) -> Message:
    return (
        {**message, "content": f"{message['content']}\n{message['input']}", "input": ""}
        if message["input"]
        else message
    )


def _check_complete(style: Style, filled: str, messages: Sequence[Message], tools: object) -> None:
    """Raise StyleError where a text is left out, but for thoughts, which templates leave out of
    earlier answers.
    """
    there = set(SENTINEL.findall(filled))
    for number, message in enumerate(messages, start=1):
        needed = {name: value for name, value in message.items() if name != "reasoning_content"}
        if not set(_marks(needed)) <= there:
            raise StyleError(
                f"The style '{style.name}' leaves out message {number} ({message['role']}): use "
                "another style."
            )
    if not set(_marks(tools)) <= there:
        raise StyleError(
            f"The style '{style.name}' leaves out a part of the tools: use another style."
        )


def _marks(value: object) -> list[str]:
    """Return the numbers of all marks in a value, except those of what a template writes itself."""
    return SENTINEL.findall(json.dumps(value, ensure_ascii=False))


def _answer_span(
    style: Style, filled: str, messages: Sequence[Message], index: int, tools: list[object] | None
) -> tuple[int, int]:
    """Return where an answer begins and where its end token ends, in characters of ``filled``."""
    asked = style.fill(messages[:index], ask=True, tools=tools)
    own = set(_marks(messages[index]))
    places = list(SENTINEL.finditer(filled, len(asked)))
    count = next((n for n, place in enumerate(places) if place[1] not in own), len(places))
    if not filled.startswith(asked) or not count:
        raise StyleError(
            f"The style '{style.name}' does not write answer {index + 1} where it asks for it; "
            "its template must honour add_generation_prompt."
        )
    last = places[count - 1].end()
    limit = places[count].start() if count < len(places) else len(filled)
    end = filled.find(style.end, last, limit) if style.end else -1
    return len(asked), end + len(style.end) if end >= 0 else last


def _pieces(filled: str, answers: Sequence[tuple[int, int]]) -> list[Segment | tuple[int, bool]]:
    """Cut the text at every mark and at both ends of every answer."""
    cuts = {0, len(filled)} | {position for span in answers for position in span}
    sentinels = {match.start(): match for match in SENTINEL.finditer(filled)}
    cuts |= {position for match in sentinels.values() for position in match.span()}
    pieces: list[Segment | tuple[int, bool]] = []
    for start, end in pairwise(sorted(cuts)):
        trained = any(first <= start and end <= last for first, last in answers)
        sentinel = sentinels.get(start)
        pieces.append(
            (int(sentinel[1]), trained)
            if sentinel
            else Segment(filled[start:end], trained, markup=True)
        )
    return pieces
