"""The one function that renders a conversation, for preview, training, chat and review alike. Knows no token ids.

A person's text never enters a template. Each text is replaced by a numbered mark, the template is filled, and the marks
are exchanged for the text afterwards; so a template cannot be steered by text, and what came from a person is known to
the letter: special tokens are looked for in the template's own text only.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from core.data.examples import Turn
from core.errors import StyleError
from core.prompts.style import Style

_MARK = re.compile("\ue000(\\d+)\ue001")
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


def render(style: Style, turns: Sequence[Turn], *, ask: bool) -> tuple[Segment, ...]:
    """Render a conversation to segments.

    Every answer with the end token after it is marked as trained. With ``ask`` the text ends where the next answer begins,
    without it ends with the last answer; so the segments of ``render(turns[:-1], ask=True)`` are exactly those before the
    last answer. Alpaca's ``input`` goes below the instruction where a template knows no such thing.

    Raises StyleError when the template drops a text or writes an answer elsewhere than where it asks for one.
    """
    texts = [text for turn in turns for text in (turn.text.strip(), turn.input.strip())]
    kinds = tuple(_Kind(turn.role, bool(turn.input.strip())) for turn in turns)
    layout = _lay_out(style, kinds, ask=ask)
    if isinstance(layout, str):
        raise StyleError(layout)
    return tuple(piece if isinstance(piece, Segment) else Segment(texts[piece[0]], piece[1], markup=False) for piece in layout)


@lru_cache(maxsize=_KEPT)
def _lay_out(style: Style, kinds: tuple[_Kind, ...], *, ask: bool) -> tuple[Segment | tuple[int, bool], ...] | str:
    """Return the style's own stretches, and for each text between them its number and whether it is trained.

    Made once for all conversations of the same kinds of turns, for a template sees nothing else of them; so is what is wrong
    with a style for them, which is returned in words.
    """
    try:
        return _pieces_of(style, kinds, ask=ask)
    except StyleError as error:
        return str(error)


def _pieces_of(style: Style, kinds: Sequence[_Kind], *, ask: bool) -> tuple[Segment | tuple[int, bool], ...]:
    messages = [_message(index, kind) for index, kind in enumerate(kinds)]
    filled = style.fill(messages, ask=ask)
    if any(message["input"] not in filled for message in messages):
        messages = [_joined(message) for message in messages]
        filled = style.fill(messages, ask=ask)
    _check_complete(style, filled, messages)
    answers = [_answer_span(style, filled, messages, i) for i, kind in enumerate(kinds) if kind.role == "assistant"]
    end = len(filled) if ask else answers[-1][1]
    return tuple(_pieces(filled[:end], answers))


def _message(index: int, kind: _Kind) -> dict[str, str]:
    message = {"role": kind.role, "content": f"\ue000{2 * index}\ue001", "input": ""}
    return message | {"input": f"\ue000{2 * index + 1}\ue001"} if kind.has_input else message


def _joined(message: dict[str, str]) -> dict[str, str]:
    return {**message, "content": f"{message['content']}\n{message['input']}", "input": ""} if message["input"] else message


def _check_complete(style: Style, filled: str, messages: Sequence[dict[str, str]]) -> None:
    for number, message in enumerate(messages, start=1):
        if not all(message[name] in filled for name in ("content", "input")):
            raise StyleError(f"The style '{style.name}' leaves out message {number} ({message['role']}): use another style.")


def _answer_span(style: Style, filled: str, messages: Sequence[dict[str, str]], index: int) -> tuple[int, int]:
    """Return where an answer begins and where its end token ends, in characters of ``filled``."""
    asked = style.fill(messages[:index], ask=True)
    mark = _MARK.search(filled, len(asked))
    if not filled.startswith(asked) or mark is None or mark.group() != messages[index]["content"]:
        raise StyleError(
            f"The style '{style.name}' does not write answer {index + 1} where it asks for it; "
            "its template must honour add_generation_prompt."
        )
    following = _MARK.search(filled, mark.end())
    limit = following.start() if following else len(filled)
    end = filled.find(style.end, mark.end(), limit) if style.end else -1
    return len(asked), end + len(style.end) if end >= 0 else mark.end()


def _pieces(filled: str, answers: Sequence[tuple[int, int]]) -> list[Segment | tuple[int, bool]]:
    """Cut the text at every mark and at both ends of every answer."""
    cuts = {0, len(filled)} | {position for span in answers for position in span}
    marks = {match.start(): match for match in _MARK.finditer(filled)}
    cuts |= {position for match in marks.values() for position in match.span()}
    pieces: list[Segment | tuple[int, bool]] = []
    for start, end in pairwise(sorted(cuts)):
        trained = any(first <= start and end <= last for first, last in answers)
        mark = marks.get(start)
        pieces.append((int(mark[1]), trained) if mark else Segment(filled[start:end], trained, markup=True))
    return pieces
