"""The one function that renders a conversation, for preview, training, chat and review alike. Knows no token ids.

A person's text never enters a template. Each text is replaced by a numbered mark, the template is filled, and the marks
are exchanged for the text afterwards; so a template cannot be steered by text, and what came from a person is known to
the letter: special tokens are looked for in the template's own text only.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from core.data.examples import Turn
from core.errors import StyleError
from core.prompts.style import Style

_MARK = re.compile("\ue000(\\d+)\ue001")


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of rendered text."""

    text: str
    trained: bool  # the loss sees it when the prompt is masked
    markup: bool  # written by the style, so special tokens in it are meant


def render(style: Style, turns: Sequence[Turn], *, ask: bool) -> tuple[Segment, ...]:
    """Render a conversation to segments.

    Every answer with the end token after it is marked as trained. With ``ask`` the text ends where the next answer begins,
    without it ends with the last answer; so the segments of ``render(turns[:-1], ask=True)`` are exactly those before the
    last answer. Alpaca's ``input`` goes below the instruction where a template knows no such thing.

    Raises StyleError when the template drops a text or writes an answer elsewhere than where it asks for one.
    """
    texts = [text for turn in turns for text in (turn.text.strip(), turn.input.strip())]
    messages = [_message(index, turn) for index, turn in enumerate(turns)]
    filled = style.fill(messages, ask=ask)
    if any(message["input"] not in filled for message in messages):
        messages = [_joined(message) for message in messages]
        filled = style.fill(messages, ask=ask)
    _check_complete(style, filled, messages)
    answers = [_answer_span(style, filled, messages, i) for i, turn in enumerate(turns) if turn.role == "assistant"]
    end = len(filled) if ask else answers[-1][1]
    return tuple(_segments(filled[:end], answers, texts))


def _message(index: int, turn: Turn) -> dict[str, str]:
    message = {"role": turn.role, "content": f"\ue000{2 * index}\ue001", "input": ""}
    return message | {"input": f"\ue000{2 * index + 1}\ue001"} if turn.input.strip() else message


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


def _segments(filled: str, answers: Sequence[tuple[int, int]], texts: Sequence[str]) -> list[Segment]:
    """Cut the text at every mark and at both ends of every answer."""
    cuts = {0, len(filled)} | {position for span in answers for position in span}
    marks = {match.start(): match for match in _MARK.finditer(filled)}
    cuts |= {position for match in marks.values() for position in match.span()}
    borders = sorted(cuts)
    pieces = []
    for start, end in pairwise(borders):
        trained = any(first <= start and end <= last for first, last in answers)
        mark = marks.get(start)
        pieces.append(Segment(texts[int(mark[1])] if mark else filled[start:end], trained, markup=mark is None))
    return pieces
