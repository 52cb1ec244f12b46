"""Turns become the messages that a chat template is filled with. Knows no layout and no token ids.

A numbered mark stands for every text of a user, so that no template is steered by one. What a
template can do with more than text, tools and thoughts, it is given apart from the text.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from core.datasets.conversation import Turn
from core.text import trimmed

Message = dict[str, Any]  # as templates know them: role, content, input, tool_calls …

SENTINEL = re.compile("\ue000(\\d+)\ue001")
_STRIDE = 1000  # marks of one turn
_CONTENT, _INPUT, _THOUGHT, _LEAVES = range(4)  # of a turn's marks, by their number
_THOUGHTS = re.compile(r"\s*<think>(.*?)</think>\s*(?=\S)", re.DOTALL)
_OFFER = ("You may call these tools:\n<tools>\n", "\n</tools>")
_CALL = ("<tool_call>\n", "\n</tool_call>")
_RESULT = ("<tool_response>\n", "\n</tool_response>")
# of objects inside a call or an offer: nothing that a vocabulary might have as a special token
_PLAIN_KEY = re.compile(r"[\w$.@ /-]{1,100}")


class Abilities(NamedTuple):
    """What a template can be given apart from the text."""

    tools: bool = False  # offers, calls and results
    thoughts: bool = False  # as ``reasoning_content``


class Kind(NamedTuple):
    """All that a template sees of a turn, and what of it is learnt."""

    role: str
    has_input: bool = False
    trained: bool = False  # of an answer
    has_content: bool = True
    # of thoughts before an answer: "learnt" or "read" where a template is given them apart, "inside"
    # where they stand in its text and are only read
    thought: str = ""
    structure: str = ""  # JSON: a tool's offers or calls, or the roles of messages; marks inside


def kinds_and_texts(
    turns: Sequence[Turn], abilities: Abilities
) -> tuple[tuple[Kind, ...], dict[int, str]]:
    """Return what a template sees of turns, and what each mark in it stands for."""
    texts: dict[int, str] = {}
    kinds = tuple(
        _kind(_STRIDE * index, turn, abilities, texts) for index, turn in enumerate(turns)
    )
    return kinds, texts


def _kind(first: int, turn: Turn, abilities: Abilities, texts: dict[int, str]) -> Kind:
    text, structure, thought = trimmed(turn.text), "", ""
    if turn.tool and abilities.tools and (found := _structure(turn, text)):
        leaves: list[str] = []
        marked = json.dumps(_marked(found[1], first + _LEAVES, leaves))
        if len(leaves) <= _STRIDE - _LEAVES:  # more would be taken for the next turn's
            text, structure = found[0], marked
            texts.update(enumerate(leaves, start=first + _LEAVES))
    if turn.role == "assistant" and (place := _THOUGHTS.match(text)):
        if abilities.thoughts:
            thought = "learnt" if turn.thought_trained else "read"
            texts[first + _THOUGHT], text = place[1].strip(), text[place.end() :]
        elif not turn.thought_trained:
            thought = "inside"
            texts[first + _THOUGHT], text = text[: place.end()], text[place.end() :]
    texts[first + _CONTENT], texts[first + _INPUT] = text, trimmed(turn.input)
    has_content = bool(text) or not structure
    return Kind(turn.role, bool(turn.input.strip()), turn.trained, has_content, thought, structure)


def _structure(turn: Turn, text: str) -> tuple[str, object] | None:
    """Return what of a tool's turn is plain text, and the tool's part as a JSON value; None where
    it does not stand as it was written, or holds what a template must not see.
    """
    try:
        value = {"system": _offers, "assistant": _calls, "user": _results}[turn.role](text)
    except (ValueError, RecursionError):
        return None
    return value if value is not None and _is_plain(value[1]) else None


def _offers(text: str) -> tuple[str, object] | None:
    places = _between(text, *_OFFER)
    if len(places) != 1 or places[0].end != len(text):
        return None
    offered = json.loads(places[0].inside)
    if not isinstance(offered, list) or not all(isinstance(one, dict) for one in offered):
        return None
    tools = [one if "function" in one else {"type": "function", "function": one} for one in offered]
    return trimmed(text[: places[0].start]), tools


def _calls(text: str) -> tuple[str, object] | None:
    """Return what is said before the calls, and these; nothing may stand between or after them."""
    places = _between(text, *_CALL)
    if not places or _rest(text, places, places[0].start, len(text)):
        return None
    values = [json.loads(place.inside) for place in places]
    if not all(isinstance(one, dict) and isinstance(one.get("arguments"), dict) for one in values):
        return None
    return trimmed(text[: places[0].start]), values


def _results(text: str) -> tuple[str, object] | None:
    """Return what a person says after the results, and these; nothing may stand before or between
    them.
    """
    places = _between(text, *_RESULT)
    if not places or _rest(text, places, 0, places[-1].end):
        return None
    return trimmed(text[places[-1].end :]), [place.inside for place in places]


class _Place(NamedTuple):
    start: int
    end: int
    inside: str


def _between(text: str, opened: str, closed: str) -> list[_Place]:
    """Return all places between two marks, in a time that goes with the text's length."""
    places: list[_Place] = []
    at = 0
    while (start := text.find(opened, at)) >= 0:
        inner = start + len(opened)
        close = text.find(closed, inner)
        if close < 0:
            break
        at = close + len(closed)
        places.append(_Place(start, at, text[inner:close]))
    return places


def _rest(text: str, places: Sequence[_Place], start: int, end: int) -> bool:
    """Return whether anything but white space stands in a stretch beside some places."""
    at = start
    for place in places:
        if text[at : place.start].strip():
            return True
        at = place.end
    return bool(text[at:end].strip())


def _is_plain(value: object) -> bool:
    if isinstance(value, dict):
        return all(_PLAIN_KEY.fullmatch(str(key)) for key in value) and all(
            _is_plain(part) for part in value.values()
        )
    return all(_is_plain(part) for part in value) if isinstance(value, list) else True


def _marked(value: object, first: int, leaves: list[str]) -> object:
    """Return a JSON value with a mark for each text in it."""
    if isinstance(value, str):
        leaves.append(value)
        return f"\ue000{first + len(leaves) - 1}\ue001"
    if isinstance(value, dict):
        return {key: _marked(part, first, leaves) for key, part in value.items()}
    if isinstance(value, list):
        return [_marked(part, first, leaves) for part in value]
    return value


class Conversation(NamedTuple):
    """A conversation as a template is given it."""

    messages: list[Message]
    tools: list[Any] | None
    answers: dict[int, Kind]  # which messages are answers


def conversation(kinds: Sequence[Kind], texts: Mapping[int, str] | None = None) -> Conversation:
    """Return the messages of turns: with marks, or with their own ``texts``."""
    messages: list[Message] = []
    tools, answers = None, {}
    for index, kind in enumerate(kinds):
        first = _STRIDE * index
        value = json.loads(kind.structure) if kind.structure else None
        if kind.role == "system" and value is not None:
            tools = value
        if kind.role == "assistant":
            answers[len(messages)] = kind
        messages += _messages(kind, first, value)
    if texts is None:
        return Conversation(messages, tools, answers)
    return Conversation(_filled(messages, texts), _filled(tools, texts), answers)


def _messages(kind: Kind, first: int, value: Any) -> Iterator[Message]:
    content, given, thought = (
        f"\ue000{first + number}\ue001" for number in (_CONTENT, _INPUT, _THOUGHT)
    )
    if kind.role == "user" and value is not None:
        yield from (
            {"role": "tool", "content": result, "input": "", "tool_call_id": _call_id(number)}
            for number, result in enumerate(value)
        )
    if kind.role != "assistant" and not kind.has_content:
        return
    content = f"{thought}{content}" if kind.thought == "inside" else content
    message: Message = {"role": kind.role, "input": ""}
    message["content"] = content if kind.has_content else ""
    if kind.has_input:
        message["input"] = given
    if kind.thought in {"learnt", "read"}:
        message["reasoning_content"] = thought
    if kind.role == "assistant" and value is not None:
        message["tool_calls"] = [
            {"type": "function", "id": _call_id(number), "function": call}
            for number, call in enumerate(value)
        ]
    yield message


def _call_id(number: int) -> str:
    """Return a call's id; Mistral's templates want nine characters."""
    return f"call{number:05d}"


def _filled(value: Any, texts: Mapping[int, str]) -> Any:
    """Return a value with the texts in place of their marks."""
    if isinstance(value, str):
        return SENTINEL.sub(lambda mark: texts[int(mark[1])], value)
    if isinstance(value, dict):
        return {key: _filled(part, texts) for key, part in value.items()}
    return [_filled(part, texts) for part in value] if isinstance(value, list) else value


def written(number: int, kinds: Sequence[Kind], texts: Mapping[int, str]) -> str:
    """Return the text of a mark as it stands in a filled template: inside a call or an offer it is
    escaped as JSON has it.
    """
    index, place = divmod(number, _STRIDE)
    if place < _LEAVES or kinds[index].role == "user":
        return texts[number]
    return json.dumps(texts[number], ensure_ascii=False)[1:-1]
