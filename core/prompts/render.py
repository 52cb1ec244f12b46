"""The one function that renders a conversation, for preview, training, chat and review alike.

Knows no token ids. A user's text never enters a template. Each text is replaced by a numbered mark,
the template is filled, and the marks are exchanged for the text afterwards; so a template cannot be
steered by text, and what came from a user is known to the letter: special tokens are looked for in
the template's own text only.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from core.datasets.conversation import Turn
from core.errors import StyleError
from core.prompts.chat_template import Style

_SENTINEL = re.compile("\ue000(\\d+)\ue001")
_KEPT = 4096  # layouts: a file of conversations has one for every order of turns in it


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of rendered text."""

    text: str
    trained: bool  # the loss sees it when the prompt is masked
    markup: bool  # written by the style, so special tokens in it are meant


class _Kind(NamedTuple):
    """All that a template sees of a turn."""

    role: str
    has_input: bool
    trained: bool  # of an answer; no template sees it


# of one conversation: where its answers begin is found by filling the template once for each
MAX_MESSAGES = 500


def render(style: Style, turns: Sequence[Turn], *, ask: bool) -> tuple[Segment, ...]:
    """Render a conversation to segments.

    Every answer with the end token after it is marked as trained. With ``ask`` the text ends where
    the next answer begins, without it ends with the last answer; so the segments of
    ``render(turns[:-1], ask=True)`` are exactly those before the last answer. Alpaca's ``input``
    goes below the instruction where a template knows no such thing.

    A system turn that the template has no place for is put in front of the first question.

    Raises StyleError when the template drops a text, changes one, or writes an answer elsewhere
    than where it asks for one.
    """
    texts = [text for turn in turns for text in (turn.text.strip(), turn.input.strip())]
    layout = _lay_out(style, _kinds(turns), ask=ask)
    if isinstance(layout, str):
        raise StyleError(layout)
    segments = tuple(
        piece if isinstance(piece, Segment) else Segment(texts[piece[0]], piece[1], markup=False)
        for piece in layout.pieces
    )
    if style.looks_into_text and not ask:
        _check_kept(style, turns, segments, joins_system=layout.joins_system)
    return segments


def joins_system(style: Style, turns: Sequence[Turn]) -> bool:
    """Return whether a style has no place for a conversation's system turn, so that it goes in
    front of the first question.
    """
    layout = _lay_out(style, _kinds(turns), ask=False)
    return not isinstance(layout, str) and layout.joins_system


class _Layout(NamedTuple):
    """The style's own stretches, and for each text between them its number and whether it is
    trained.
    """

    pieces: tuple[Segment | tuple[int, bool], ...]
    joins_system: bool


def _kinds(turns: Sequence[Turn]) -> tuple[_Kind, ...]:
    return tuple(_Kind(turn.role, bool(turn.input.strip()), turn.trained) for turn in turns)


@lru_cache(maxsize=_KEPT)
def _lay_out(style: Style, kinds: tuple[_Kind, ...], *, ask: bool) -> _Layout | str:
    """Lay a conversation out, once for all of the same kinds of turns, for a template sees nothing
    else of them.

    So is what is wrong with a style for them, which is returned in words.
    """
    if len(kinds) > MAX_MESSAGES:
        return f"The conversation has {len(kinds):,} messages; up to {MAX_MESSAGES} can be written: split it."
    messages = [_message(index, kind) for index, kind in enumerate(kinds)]
    try:
        return _Layout(_pieces_of(style, kinds, messages, ask=ask), joins_system=False)
    except StyleError as error:
        if len(kinds) < 2 or (kinds[0].role, kinds[1].role) != ("system", "user"):
            return str(error)
        try:
            return _Layout(
                _pieces_of(style, kinds[1:], _system_joined(messages), ask=ask), joins_system=True
            )
        except StyleError:
            return str(error)


def _system_joined(messages: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Put the text of the first message in front of the second's, whose role it takes no place
    beside.
    """
    system, first, *rest = messages
    return [{**first, "content": f"{system['content']}\n\n{first['content']}"}, *rest]


def _pieces_of(
    style: Style, kinds: Sequence[_Kind], messages: Sequence[dict[str, str]], *, ask: bool
) -> tuple[Segment | tuple[int, bool], ...]:
    filled = style.fill(messages, ask=ask)
    if any(message["input"] not in filled for message in messages):
        messages = [_joined(message) for message in messages]
        filled = style.fill(messages, ask=ask)
    _check_complete(style, filled, messages)
    spans = [
        _answer_span(style, filled, messages, i)
        for i, kind in enumerate(kinds)
        if kind.role == "assistant"
    ]
    learnt = [kind.trained for kind in kinds if kind.role == "assistant"]
    end = len(filled) if ask else spans[-1][1]
    return tuple(
        _pieces(
            filled[:end], [span for span, trained in zip(spans, learnt, strict=True) if trained]
        )
    )


def _check_kept(
    style: Style, turns: Sequence[Turn], segments: Sequence[Segment], *, joins_system: bool
) -> None:
    """Raise StyleError where a template that looks into the texts writes something else of them
    than they are.

    Templates of reasoning models take earlier thoughts out; a row of which they do would be learnt
    otherwise than it is asked.
    """
    messages = [
        _joined({"role": turn.role, "content": turn.text.strip(), "input": turn.input.strip()})
        for turn in turns
    ]
    filled = style.fill(_system_joined(messages) if joins_system else messages, ask=False)
    if not filled.startswith("".join(segment.text for segment in segments)):
        raise StyleError(
            f"The style '{style.name}' changes what is said in it, as templates of reasoning "
            "models do with <think>: "
            "write the row as the template leaves it, or use another style."
        )


def _message(index: int, kind: _Kind) -> dict[str, str]:
    message = {"role": kind.role, "content": f"\ue000{2 * index}\ue001", "input": ""}
    return message | {"input": f"\ue000{2 * index + 1}\ue001"} if kind.has_input else message


def _joined(message: dict[str, str]) -> dict[str, str]:
    return (
        {**message, "content": f"{message['content']}\n{message['input']}", "input": ""}
        if message["input"]
        else message
    )


def _check_complete(style: Style, filled: str, messages: Sequence[dict[str, str]]) -> None:
    for number, message in enumerate(messages, start=1):
        if not all(message[name] in filled for name in ("content", "input")):
            raise StyleError(
                f"The style '{style.name}' leaves out message {number} ({message['role']}): use "
                "another style."
            )


def _answer_span(
    style: Style, filled: str, messages: Sequence[dict[str, str]], index: int
) -> tuple[int, int]:
    """Return where an answer begins and where its end token ends, in characters of ``filled``."""
    asked = style.fill(messages[:index], ask=True)
    sentinel = _SENTINEL.search(filled, len(asked))
    if (
        not filled.startswith(asked)
        or sentinel is None
        or sentinel.group() != messages[index]["content"]
    ):
        raise StyleError(
            f"The style '{style.name}' does not write answer {index + 1} where it asks for it; "
            "its template must honour add_generation_prompt."
        )
    following = _SENTINEL.search(filled, sentinel.end())
    limit = following.start() if following else len(filled)
    end = filled.find(style.end, sentinel.end(), limit) if style.end else -1
    return len(asked), end + len(style.end) if end >= 0 else sentinel.end()


def _pieces(filled: str, answers: Sequence[tuple[int, int]]) -> list[Segment | tuple[int, bool]]:
    """Cut the text at every mark and at both ends of every answer."""
    cuts = {0, len(filled)} | {position for span in answers for position in span}
    sentinels = {match.start(): match for match in _SENTINEL.finditer(filled)}
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
