"""A raw row becomes a conversation: the shapes that instruction data comes in.

Knows no file format.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from core.datasets.conversation import SPLIT_NAMES, Example, RefusedRow, Role, SplitName, Turn
from core.text import shortened

Row = Mapping[str, object]
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
_PROMPT_FIELDS = ("prompt", "instruction", "question", "text")  # the last is FastChat's
_CATEGORY_FIELDS = ("category", "family", "task", "topic")
_SPLIT_WORDS: dict[str, SplitName] = {
    **{name: name for name in SPLIT_NAMES},
    **dict.fromkeys(
        ("val", "valid", "dev", "eval", "evaluation", "development", "validation_sft", "eval_sft"),
        "validation",
    ),
    **dict.fromkeys(("training", "train_sft", "train_gen"), "train"),
    **dict.fromkeys(("testing", "test_sft", "test_gen"), "test"),
}
# Read whatever the shape is. Of these, those that change what a row means are honoured, or the row
# is refused.
_COMMON_FIELDS = frozenset(
    {*_CATEGORY_FIELDS, "split", "system", "label", "kto_tag", "chosen", "rejected", "parent_id"}
)
_LOOKED_AT = 20_000  # rows, by which a file's shape is told
_TOOLS = ("tool_calls", "function_call")
# of one message: whether its answer is learnt
_TRAINED_MARKS = ("weight", "loss", "train", "trainable")


class RowRefusedError(Exception):
    """A row cannot become an example; the text is the reason a user reads.

    Never leaves this package.
    """


@dataclass(frozen=True, slots=True)
class RowFormat:
    """One way of writing a conversation as a row."""

    name: str
    required: tuple[str, ...]  # fields by which the shape is recognised
    read: Callable[[Row], tuple[Turn, ...]]
    optional: tuple[str, ...] = ()  # what else it reads


def refused_row(number: int, refusal: RowRefusedError) -> RefusedRow:
    """Return a row that is refused, with its reason, however much of the row that quotes."""
    return RefusedRow(number, shortened(str(refusal), 300))


def detect_format(rows: Sequence[object]) -> RowFormat | None:
    """Return the shape that most of ``rows`` have, or None when no row has a known one; of very
    many some are looked at.
    """
    rows = rows[:: max(len(rows) // _LOOKED_AT, 1)]
    counts = {
        row_format.name: sum(_fits(row_format, row) for row in rows) for row_format in FORMATS
    }
    best = max(FORMATS, key=lambda row_format: counts[row_format.name])
    return best if counts[best.name] else _half_written(rows)


def read_example(number: int, row: object, row_format: RowFormat) -> Example:
    """Turn one raw row into an Example. Raises RowRefusedError with the reason."""
    if not isinstance(row, Mapping):
        raise RowRefusedError("is not an object with fields")
    _check_meaning(row)
    turns = _with_system(row, row_format.read(row))
    _check_turns(turns)
    return Example(number, turns, _read_split(row), read_category(row))


def unused_fields(rows: Sequence[object], row_format: RowFormat) -> tuple[tuple[str, int], ...]:
    """Return the fields that rows of a shape are not read by, each with the number of rows that say
    something in it.
    """
    known = {*row_format.required, *row_format.optional, *_COMMON_FIELDS}
    counts = Counter(
        name
        for row in rows
        if isinstance(row, Mapping)
        for name, value in row.items()
        if name not in known and value not in (None, "", [], {})
    )
    return tuple(counts.most_common())


def _check_meaning(row: Row) -> None:
    """Refuse a row of which a field says that its answer must not be learnt as it stands."""
    for name in ("label", "kto_tag"):
        value = row.get(name)
        said = value.strip().lower() if isinstance(value, str) else value
        if said is False or (isinstance(said, str) and said in {"false", "bad"}):
            raise RowRefusedError(
                f"its answer is marked as bad ('{name}' is {said}), and would be learnt as a "
                "good one"
            )
    if row.get("chosen") not in (None, "") and row.get("rejected") not in (None, ""):
        raise RowRefusedError(
            "holds a preference ('chosen' and 'rejected'), not one answer to learn"
        )
    if row.get("parent_id") not in (None, "", 0, -1, "0", "-1"):
        raise RowRefusedError(
            f"follows another row ('parent_id' is {shortened(str(row['parent_id']), 40)}), "
            "without which it is half"
        )


def _with_system(row: Row, turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
    """Put a row's own system prompt in front of its turns."""
    system = _text(row, "system", "", required=False)
    if not system or not turns:
        return turns
    if turns[0].role != "system":
        return (Turn("system", system), *turns)
    if turns[0].text != system:
        raise RowRefusedError("has two system prompts: the field 'system' and its first message")
    return turns


def read_prompt(row: object) -> tuple[Turn, ...]:
    """Return the turns of a prompt without an answer; several user turns in a row are asked one
    after the other.

    MT-bench's ``turns``, a conversation that ends with the user, or a field with the prompt. Raises
    RowRefusedError.
    """
    if not isinstance(row, Mapping):
        raise RowRefusedError("is not an object with fields")
    spoken = next(
        (row[name] for name in ("turns", "messages", "conversations") if name in row), None
    )
    if isinstance(spoken, list) and spoken and all(isinstance(turn, str) for turn in spoken):
        turns = tuple(Turn("user", turn.strip()) for turn in spoken)
    elif spoken is not None:
        fields = ("from", "value") if "conversations" in row else ("role", "content")
        messages = spoken if isinstance(spoken, list) else []
        turns = tuple(
            _message(index, message, *fields) for index, message in enumerate(messages, start=1)
        )
    else:
        name = next((name for name in _PROMPT_FIELDS if name in row), _PROMPT_FIELDS[0])
        turns = (
            Turn(
                "user",
                _text(row, name, "prompt", required=True),
                _text(row, "input", "", required=False),
            ),
        )
    if not turns or turns[-1].role != "user" or not all(turn.text for turn in turns):
        raise RowRefusedError("no prompt: its turns are empty or do not end with the user")
    return turns


def _fits(row_format: RowFormat, row: object) -> bool:
    return isinstance(row, Mapping) and all(name in row for name in row_format.required)


def _half_written(rows: Sequence[object]) -> RowFormat | None:
    """Recognise a shape by its first field alone, so that rows without an answer are refused by
    number.
    """
    for row_format in FORMATS:
        if any(isinstance(row, Mapping) and row_format.required[0] in row for row in rows):
            return row_format
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
    names = {
        bool: "true or false",
        int: "a number",
        float: "a number",
        list: "a list",
        dict: "an object",
    }
    return names.get(type(value), type(value).__name__)


def _read_split(row: Row) -> SplitName | None:
    value = row.get("split")
    if not isinstance(value, str) or not value.strip():
        return None
    name = _SPLIT_WORDS.get(value.strip().lower())
    if name is None:
        raise RowRefusedError(
            f"its split '{shortened(value, 40)}' is not known: say train, validation or test"
        )
    return name


def read_category(row: Row) -> str:
    """Return the first field that names a kind of row; what is too long is no name."""
    values = (row.get(name) for name in _CATEGORY_FIELDS)
    return next(
        (
            text
            for value in values
            if isinstance(value, str) and 0 < len(text := " ".join(value.split())) <= 60
        ),
        "",
    )


def _alpaca(row: Row) -> tuple[Turn, ...]:
    return _asked_and_answered(row, "output")


def _dolly(row: Row) -> tuple[Turn, ...]:
    return _asked_and_answered(row, "response")


def _asked_and_answered(row: Row, answer: str) -> tuple[Turn, ...]:
    """Read an instruction with what it is about, whatever of the two names that has, and what was
    said before.
    """
    question = Turn("user", _text(row, "instruction", "instruction", required=True), _about(row))
    return (
        *_history(row.get("history")),
        question,
        Turn("assistant", _text(row, answer, "answer", required=True)),
    )


def _about(row: Row) -> str:
    """Return what a question is about; what both names say, once."""
    about = [
        text for name in ("input", "context") if (text := _text(row, name, "", required=False))
    ]
    return "\n\n".join(dict.fromkeys(about))


def _history(said: object) -> tuple[Turn, ...]:
    """Read what was said before as LLaMA-Factory has it: a list of [question, answer]."""
    if said in (None, "", []):
        return ()
    turns: list[Turn] = []
    for number, pair in enumerate(said if isinstance(said, list) else [None], start=1):
        if (
            not isinstance(pair, list)
            or len(pair) != 2
            or not all(isinstance(text, str) and text.strip() for text in pair)
        ):
            raise RowRefusedError(
                f"its 'history' is not a list of [question, answer] (at {number})"
            )
        turns += [Turn("user", pair[0].strip()), Turn("assistant", pair[1].strip())]
    return tuple(turns)


def _prompt_completion(row: Row) -> tuple[Turn, ...]:
    question = Turn("user", _text(row, "prompt", "prompt", required=True), _about(row))
    return (question, Turn("assistant", _text(row, "completion", "answer", required=True)))


def _messages(row: Row) -> tuple[Turn, ...]:
    return _conversation(row.get("messages"), "role", "content")


def _sharegpt(row: Row) -> tuple[Turn, ...]:
    return _conversation(row.get("conversations"), "from", "value")


def _conversation(messages: object, role_field: str, text_field: str) -> tuple[Turn, ...]:
    if not isinstance(messages, list) or not messages:
        raise RowRefusedError("its conversation is empty or not a list")
    turns = [
        _message(index, message, role_field, text_field)
        for index, message in enumerate(messages, start=1)
    ]
    while turns and turns[-1].role != "assistant":  # a question left open has nothing to learn from
        turns.pop()
    return tuple(turns)


def _message(index: int, message: object, role_field: str, text_field: str) -> Turn:
    if not isinstance(message, Mapping):
        raise RowRefusedError(f"message {index} is not an object")
    word = str(message.get(role_field, ""))
    role = _ROLE_NAMES.get(word)
    if role is None:
        raise RowRefusedError(
            f"message {index} has the role '{shortened(word, 40)}', which is not system, user or "
            "assistant"
        )
    if called := next((name for name in _TOOLS if message.get(name)), None):
        raise RowRefusedError(f"message {index} calls a tool ('{called}'), which is not read yet")
    turn = Turn(role, _typed_text(message.get(text_field), index))
    return turn if role != "assistant" else replace(turn, trained=_is_trained(message, index))


def _is_trained(message: Mapping[str, object], index: int) -> bool:
    """Return whether an answer is to be learnt, by the marks that data carry for it."""
    for name in _TRAINED_MARKS:
        value = message.get(name)
        if value is None:
            continue
        if value not in (0, 1):  # True and False among them
            raise RowRefusedError(
                f"message {index} has the {name} {shortened(str(value), 40)}; 0 and 1 are honoured"
            )
        return bool(value)
    return True


def _typed_text(content: object, index: int) -> str:
    if isinstance(content, str):
        return content.strip()
    if isinstance(content, list) and all(
        isinstance(part, Mapping) and part.get("type") == "text" for part in content
    ):
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
    if not any(turn.trained for turn in turns if turn.role == "assistant"):
        raise RowRefusedError("nothing is to be learnt: all its answers have weight 0")


FORMATS: tuple[RowFormat, ...] = (
    RowFormat("alpaca", ("instruction", "output"), _alpaca, ("input", "context", "history")),
    RowFormat("dolly", ("instruction", "response"), _dolly, ("input", "context", "history")),
    RowFormat(
        "prompt-completion", ("prompt", "completion"), _prompt_completion, ("input", "context")
    ),
    RowFormat("messages", ("messages",), _messages),
    RowFormat("sharegpt", ("conversations",), _sharegpt),
)
