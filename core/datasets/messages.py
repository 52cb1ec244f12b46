"""A list of messages becomes turns: roles, parts, tool calls, weights. Knows no columns."""

import ast
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise

from core.datasets.conversation import Role, RowRefusedError, Turn
from core.text import shortened, trimmed

_ROLE_NAMES: dict[str, Role] = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human", "prompter", "customer", "person"), "user"),
    **dict.fromkeys(
        ("assistant", "gpt", "model", "bot", "chatgpt", "ai", "claude", "bard", "bing", "agent"),
        "assistant",
    ),
}
_CALLS = ("function_call", "tool_call")  # roles of a call
_RESULTS = ("tool", "function", "observation", "ipython", "tool_response", "tool_result")
ROLE_FIELDS = ("role", "from", "speaker", "author", "sender")
_TEXT_FIELDS = ("content", "value", "text", "message", "utterance")
_THOUGHT_FIELDS = ("reasoning_content", "thinking", "reasoning")
# of one message: whether its answer is learnt
_TRAINED_MARKS = ("weight", "loss", "train", "trainable")
_LONGEST_LITERAL = 200_000  # characters; a parser of Python takes much memory for each
_LOOKED_AT = 2_000  # rows, by which the names of two speakers are told

Notes = Counter[str]  # what was read otherwise than it stands, and in how many rows
Speakers = Mapping[str, Role]  # other names than the usual ones, casefolded

JOINED = "turns of one speaker that follow each other were joined"
OPENED = "an opening message of the assistant was left out, for nothing asks for it"
LEFT_OPEN = "a last message without an answer was left out"
AS_TEXT = "a number, true or false was read as its text"
AS_JSON = "a list or an object was read as its JSON"
CALLS = (
    "a tool's call is learnt and its result read as the model's own template writes them, else in "
    "<tool_call> and <tool_response>"
)
TOOLS = (
    "the tools on offer stand where the model's own template has them, else in the system prompt"
)
FIRST_OF_SEVERAL = "of several right answers the first is learnt"
THOUGHTS = "the thoughts beside an answer were put before it in <think>"


def read_messages(messages: object, notes: Notes, speakers: Speakers) -> list[Turn]:
    """Return a conversation's turns as they stand. Raises RowRefusedError, naming the message."""
    messages = _one_each(parsed_list(messages))
    if not messages:
        raise RowRefusedError("its conversation is empty or not a list")
    return [
        _turn(index, message, notes, speakers) for index, message in enumerate(messages, start=1)
    ]


def parsed_list(value: object) -> list[object]:
    """Return a list, or the one that a cell of a table holds as JSON; empty for anything else."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = parsed(value)
    return value if isinstance(value, list) else []


def parsed(text: str) -> object:
    """Return what a text says as JSON, or as Python writes its values (pandas puts them into cells
    so); None for neither.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    if len(text) > _LONGEST_LITERAL:
        return None
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None


def _one_each(messages: list[object]) -> list[object]:
    """Return messages of which several stand together one by one: ``{"user": …, "assistant": …}``,
    ``[question, answer]``, or texts in turns.
    """
    if messages and len(messages) % 2 == 0 and all(isinstance(one, str) for one in messages):
        roles = ("user", "assistant") * (len(messages) // 2)
        return [_said(role, text) for role, text in zip(roles, messages, strict=True)]
    found: list[object] = []
    for message in messages:
        if isinstance(message, list) and len(message) == 2:
            found += [_said("user", message[0]), _said("assistant", message[1])]
        elif isinstance(message, Mapping) and message and _is_by_role(message):
            found += [_said(str(name), text) for name, text in message.items() if text]
        else:
            found.append(message)
    return found


def _said(role: str, text: object) -> dict[str, object]:
    return {"role": role, "content": text}


def _is_by_role(message: Mapping[object, object]) -> bool:
    """Return whether a message has its speakers' names for fields."""
    return all(str(name).casefold() in _ROLE_NAMES for name in message)


def in_turns(turns: Sequence[Turn], notes: Notes) -> tuple[Turn, ...]:
    """Return turns that alternate and end with an answer; what had to be changed is noted.

    Raises RowRefusedError where they cannot be read so.
    """
    if any(turn.role == "system" for turn in turns[1:]):
        raise RowRefusedError("a system turn stands after the start")
    systems, spoken = _apart(turns)
    if any(not turn.text for turn in spoken):
        raise RowRefusedError("a turn is empty")
    joined = _joined(spoken, notes)
    if joined and joined[0].role == "assistant" and len(joined) > 1:
        joined.pop(0)
        notes[OPENED] += 1
    if joined and joined[-1].role != "assistant":  # nothing is learnt from it
        joined.pop()
        notes[LEFT_OPEN] += 1
    if not joined:
        raise RowRefusedError("no answer: the conversation has no assistant turn")
    if joined[0].role != "user":
        raise RowRefusedError("no user turn before the first answer")
    if not any(turn.trained for turn in joined if turn.role == "assistant"):
        raise RowRefusedError("nothing is to be learnt: all its answers have weight 0")
    return (*systems, *joined)


def _apart(turns: Sequence[Turn]) -> tuple[list[Turn], list[Turn]]:
    if turns and turns[0].role == "system":
        return list(turns[:1]) if turns[0].text else [], list(turns[1:])
    return [], list(turns)


def _joined(turns: Sequence[Turn], notes: Notes) -> list[Turn]:
    joined: list[Turn] = list(turns[:1])
    for before, turn in pairwise(turns):
        if turn.role != before.role:
            joined.append(turn)
            continue
        last = joined[-1]
        if turn.trained != last.trained:
            raise RowRefusedError(
                f"two {turn.role} turns follow each other, of which one is not to be learnt"
            )
        text = f"{last.text}\n\n{turn.text}"
        joined[-1] = replace(last, text=text, tool=last.tool or turn.tool)
    if len(joined) < len(turns):
        notes[JOINED] += 1
    return joined


def find_speakers(conversations: Sequence[object]) -> tuple[Speakers, str]:
    """Return the two names that a file has for its speakers, and a sentence on it.

    Only where no usual name stands anywhere and there are just two: the one who mostly begins asks.
    """
    names: Counter[str] = Counter()
    first: Counter[str] = Counter()
    shown: dict[str, str] = {}
    for value in conversations[:_LOOKED_AT]:
        said = [
            word
            for message in parsed_list(value)
            if isinstance(message, Mapping) and (word := _role_word(message))
        ]
        spoken = [word for word in said if _ROLE_NAMES.get(word.casefold()) != "system"]
        for word in spoken:
            shown.setdefault(word.casefold(), word)
        names.update(word.casefold() for word in spoken)
        first.update(word.casefold() for word in spoken[:1])
    if len(names) != 2 or any(name in _ROLE_NAMES for name in names):
        return {}, ""
    if any(name in (*_CALLS, *_RESULTS) for name in names):
        return {}, ""
    asks = max(names, key=lambda name: first[name])
    answers = next(name for name in names if name != asks)
    sentence = (
        f"'{shortened(shown[asks], 40)}' was read as the user and "
        f"'{shortened(shown[answers], 40)}' as the assistant, for the first mostly begins"
    )
    return {asks: "user", answers: "assistant"}, sentence


def _role_word(message: Mapping[str, object]) -> str:
    value = next((message[name] for name in ROLE_FIELDS if message.get(name)), "")
    if isinstance(value, Mapping):  # {"author": {"role": …}}
        value = value.get("role", "")
    return str(value).strip()


def _turn(index: int, message: object, notes: Notes, speakers: Speakers) -> Turn:
    if not isinstance(message, Mapping):
        raise RowRefusedError(f"message {index} is not an object")
    word = _role_word(message)
    plain = word.casefold()
    if plain in _RESULTS:
        notes[CALLS] += 1
        return Turn("user", _marked("tool_response", _content(message, index, notes)), tool=True)
    if plain in _CALLS:
        notes[CALLS] += 1
        text = _marked("tool_call", _content(message, index, notes))
        return Turn("assistant", text, trained=_is_trained(message, index), tool=True)
    role = speakers.get(plain) or _ROLE_NAMES.get(plain)
    if role is None:
        raise RowRefusedError(
            f"message {index} has the role '{shortened(word, 40)}', which is not system, user or "
            "assistant"
        )
    if role != "assistant":
        return Turn(role, _content(message, index, notes))
    text, calls = _answer(message, index, notes)
    return Turn(role, text, trained=_is_trained(message, index), tool=calls)


def _answer(message: Mapping[str, object], index: int, notes: Notes) -> tuple[str, bool]:
    """Return an answer with the thoughts before it and the calls after it, and whether it calls."""
    calls = _calls(message)
    pieces = [_marked("tool_call", call) for call in calls]
    if calls:
        notes[CALLS] += 1
    said = _content(message, index, notes, is_needed=not calls)
    thought = next(
        (text.strip() for name in _THOUGHT_FIELDS if isinstance(text := message.get(name), str)), ""
    )
    if thought and "<think>" not in said:
        notes[THOUGHTS] += 1
        said = f"<think>\n{thought}\n</think>\n\n{said}"
    return "\n".join(filter(None, (said, *pieces))), bool(calls)


def _calls(message: Mapping[str, object]) -> list[str]:
    """Return the calls in a message's fields, each as JSON with its name and arguments."""
    listed = message.get("tool_calls")
    calls = list(listed) if isinstance(listed, list) else []
    if isinstance(message.get("function_call"), Mapping):
        calls.append(message["function_call"])
    return [_call(call) for call in calls if isinstance(call, Mapping)]


def _call(call: Mapping[str, object]) -> str:
    inner = call.get("function")
    called = inner if isinstance(inner, Mapping) else call
    arguments = called.get("arguments", {})
    if isinstance(arguments, str):  # as JSON, or as no JSON at all
        with suppress(ValueError, RecursionError):
            arguments = json.loads(arguments)
    return json.dumps({"name": called.get("name", ""), "arguments": arguments}, ensure_ascii=False)


def _marked(mark: str, text: str) -> str:
    return f"<{mark}>\n{text}\n</{mark}>"


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


def _content(
    message: Mapping[str, object], index: int, notes: Notes, *, is_needed: bool = True
) -> str:
    """Return a message's text, its parts one after the other. Raises RowRefusedError."""
    content = next((message[name] for name in _TEXT_FIELDS if name in message), None)
    if isinstance(content, str):
        return trimmed(content)
    if isinstance(content, list):
        return _parts(content, index)
    if content is None and not is_needed:
        return ""
    if content is None:
        raise RowRefusedError(f"message {index} has no text")
    return as_text(content, notes)


def _parts(parts: Sequence[object], index: int) -> str:
    texts = []
    for part in parts:
        if isinstance(part, str):
            texts.append(part)
            continue
        if isinstance(part, Mapping) and part.get("type") == "thinking":
            continue  # Claude's exports; the answer beside it was all that was read
        kind = str(part.get("type", "text")) if isinstance(part, Mapping) else "?"
        text = part.get("text") if isinstance(part, Mapping) else None
        if kind != "text" or not isinstance(text, str):
            raise RowRefusedError(
                f"message {index} holds something other than text ({shortened(kind, 40)}), which a "
                "text model does not see"
            )
        texts.append(text)
    return trimmed("".join(texts))


def as_text(value: object, notes: Notes) -> str:
    """Return a value that is no text as text: a number as it is written, a list as its JSON."""
    notes[AS_JSON if isinstance(value, list | dict) else AS_TEXT] += 1
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
