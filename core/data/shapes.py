"""A raw row becomes a conversation: the shapes that instruction data comes in. Knows no file format."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from core.data.examples import SPLIT_NAMES, Example, Role, SplitName, Turn

Row = Mapping[str, object]
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_ROLE_NAMES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
}
_PROMPT_FIELDS = ("prompt", "instruction", "question")
_CATEGORY_FIELDS = ("category", "family", "task", "topic")
_SPLIT_WORDS: dict[str, SplitName] = {name: name for name in SPLIT_NAMES} | {"val": "validation", "valid": "validation"}


class RowRefusedError(Exception):
    """A row cannot become an example; the text is the reason a person reads. Never leaves this package."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One way of writing a conversation as a row."""

    name: str
    required: tuple[str, ...]  # fields by which the shape is recognised
    read: Callable[[Row], tuple[Turn, ...]]


def find_shape(rows: Sequence[object]) -> Shape | None:
    """Return the shape that most of ``rows`` have, or None when no row has a known one."""
    counts = {shape.name: sum(_fits(shape, row) for row in rows) for shape in SHAPES}
    best = max(SHAPES, key=lambda shape: counts[shape.name])
    return best if counts[best.name] else _half_written(rows)


def read_example(number: int, row: object, shape: Shape) -> Example:
    """Turn one raw row into an Example. Raises RowRefusedError with the reason."""
    if not isinstance(row, Mapping):
        raise RowRefusedError("is not an object with fields")
    turns = shape.read(row)
    _check_turns(turns)
    return Example(number, turns, _read_split(row), read_category(row))


def read_question(row: object) -> tuple[Turn, ...]:
    """Return the turns of a prompt without an answer; several user turns in a row are asked one after the other.

    MT-bench's ``turns``, a conversation that ends with the user, or a field with the prompt. Raises RowRefusedError.
    """
    if not isinstance(row, Mapping):
        raise RowRefusedError("is not an object with fields")
    spoken = next((row[name] for name in ("turns", "messages", "conversations") if name in row), None)
    if isinstance(spoken, list) and spoken and all(isinstance(turn, str) for turn in spoken):
        turns = tuple(Turn("user", turn.strip()) for turn in spoken)
    elif spoken is not None:
        fields = ("from", "value") if "conversations" in row else ("role", "content")
        messages = spoken if isinstance(spoken, list) else []
        turns = tuple(_message(index, message, *fields) for index, message in enumerate(messages, start=1))
    else:
        name = next((name for name in _PROMPT_FIELDS if name in row), _PROMPT_FIELDS[0])
        turns = (Turn("user", _text(row, name, "prompt", required=True), _text(row, "input", "", required=False)),)
    if not turns or turns[-1].role != "user" or not all(turn.text for turn in turns):
        raise RowRefusedError("no prompt: its turns are empty or do not end with the user")
    return turns


def _fits(shape: Shape, row: object) -> bool:
    return isinstance(row, Mapping) and all(name in row for name in shape.required)


def _half_written(rows: Sequence[object]) -> Shape | None:
    """Recognise a shape by its first field alone, so that rows without an answer are refused by number."""
    for shape in SHAPES:
        if any(isinstance(row, Mapping) and not isinstance(row, str) and shape.required[0] in row for row in rows):
            return shape
    return None


def _text(row: Row, name: str, what: str, *, required: bool) -> str:
    value = row.get(name)
    if value is None or value == "":
        if required:
            state = "is missing" if name not in row else "is empty"
            raise RowRefusedError(f"no {what}: the field '{name}' {state}")
        return ""
    if not isinstance(value, str):
        raise RowRefusedError(f"the field '{name}' is {_kind(value)}, not text")
    if required and not value.strip():
        raise RowRefusedError(f"no {what}: the field '{name}' holds only white space")
    return value.strip()


def _kind(value: object) -> str:
    names = {bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return names.get(type(value), type(value).__name__)


def _read_split(row: Row) -> SplitName | None:
    value = row.get("split")
    return _SPLIT_WORDS.get(value.strip().lower()) if isinstance(value, str) else None


def read_category(row: Row) -> str:
    """Return the first field that names a kind of row; what is too long is no name."""
    values = (row.get(name) for name in _CATEGORY_FIELDS)
    return next((text for value in values if isinstance(value, str) and 0 < len(text := " ".join(value.split())) <= 60), "")


def _alpaca(row: Row) -> tuple[Turn, ...]:
    question = Turn("user", _text(row, "instruction", "instruction", required=True), _text(row, "input", "", required=False))
    system = _text(row, "system", "", required=False)
    answer = Turn("assistant", _text(row, "output", "answer", required=True))
    return (*([Turn("system", system)] if system else []), question, answer)


def _dolly(row: Row) -> tuple[Turn, ...]:
    question = Turn("user", _text(row, "instruction", "instruction", required=True), _text(row, "context", "", required=False))
    return (question, Turn("assistant", _text(row, "response", "answer", required=True)))


def _prompt_completion(row: Row) -> tuple[Turn, ...]:
    question = Turn("user", _text(row, "prompt", "prompt", required=True))
    return (question, Turn("assistant", _text(row, "completion", "answer", required=True)))


def _messages(row: Row) -> tuple[Turn, ...]:
    return _conversation(row.get("messages"), "role", "content")


def _sharegpt(row: Row) -> tuple[Turn, ...]:
    return _conversation(row.get("conversations"), "from", "value")


def _conversation(messages: object, role_field: str, text_field: str) -> tuple[Turn, ...]:
    if not isinstance(messages, list) or not messages:
        raise RowRefusedError("its conversation is empty or not a list")
    turns = [_message(index, message, role_field, text_field) for index, message in enumerate(messages, start=1)]
    while turns and turns[-1].role != "assistant":  # a question left open has nothing to learn from
        turns.pop()
    return tuple(turns)


def _message(index: int, message: object, role_field: str, text_field: str) -> Turn:
    if not isinstance(message, Mapping):
        raise RowRefusedError(f"message {index} is not an object")
    word = str(message.get(role_field, ""))
    role = _ROLE_NAMES.get(word)
    if role is None:
        raise RowRefusedError(f"message {index} has the role '{word}', which is not system, user or assistant")
    return Turn(role, _typed_text(message.get(text_field), index))


def _typed_text(content: object, index: int) -> str:
    if isinstance(content, str):
        return content.strip()
    if isinstance(content, list) and all(isinstance(part, Mapping) and part.get("type") == "text" for part in content):
        return "".join(str(part.get("text", "")) for part in content).strip()
    raise RowRefusedError(f"message {index} holds something other than text")


def _check_turns(turns: tuple[Turn, ...]) -> None:
    if not turns:
        raise RowRefusedError("no answer: the conversation has no assistant turn")
    spoken = [turn for turn in turns if turn.role != "system"]
    if spoken[0].role != "user":
        raise RowRefusedError("no user turn before the first answer")
    for before, after in pairwise(turns):
        if before.role == after.role:
            raise RowRefusedError(f"two {after.role} turns follow each other")
    if any(turn.role == "system" for turn in turns[1:]):
        raise RowRefusedError("a system turn stands after the start")
    if any(not turn.text for turn in spoken):
        raise RowRefusedError("a turn is empty")
    if any(_LONE_SURROGATE.search(turn.text + turn.input) for turn in turns):
        raise RowRefusedError("has half a character (a lone UTF-16 surrogate)")


SHAPES: tuple[Shape, ...] = (
    Shape("alpaca", ("instruction", "output"), _alpaca),
    Shape("dolly", ("instruction", "response"), _dolly),
    Shape("prompt-completion", ("prompt", "completion"), _prompt_completion),
    Shape("messages", ("messages",), _messages),
    Shape("sharegpt", ("conversations",), _sharegpt),
)
