"""A raw row becomes a conversation: the shapes that instruction data comes in.

Knows no file format.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from core.datasets.chat_exports import read_branch
from core.datasets.columns import Recognised, plain_name, recognise_columns
from core.datasets.conversation import Example, RefusedRow, RowRefusedError, SplitName, Turn
from core.datasets.fields import CHOICES, field_text, read_answer, read_choices, read_history
from core.datasets.messages import (
    TOOLS,
    Notes,
    Speakers,
    as_text,
    find_speakers,
    in_turns,
    parsed_list,
    read_messages,
)
from core.datasets.splits_named import split_named
from core.datasets.transcripts import MARKS, Marks, find_marks, read_transcript
from core.text import shortened, trimmed

Row = Mapping[str, object]
_PROMPT_FIELDS = ("prompt", "instruction", "question", "text")  # the last is FastChat's
_CATEGORY_FIELDS = ("category", "family", "task", "topic")
_LABEL_FIELDS = ("label", "kto_tag")
# Read whatever the shape is. Of these, those that change what a row means are honoured, or the row
# is refused.
_COMMON_FIELDS = frozenset(
    {*_CATEGORY_FIELDS, *_LABEL_FIELDS, "split", "system", "parent_id", "drafted", "source", "tags"}
)
_LOOKED_AT = 20_000  # rows, by which a file's shape is told
_TRIED = 200  # rows, by which a conversation's field is told from a text that is called so
_TOOLS = ("tools", "functions")
_USUAL = {  # names of formats by the fields of instruction and answer
    ("instruction", "output"): "alpaca",
    ("instruction", "response"): "dolly",
    ("prompt", "completion"): "prompt-completion",
}


@dataclass(frozen=True, slots=True)
class RowFormat:
    """One way of writing a conversation as a row."""

    name: str  # "alpaca", "messages", "question + answer" …
    because: str  # which field holds what, as the end of a sentence
    fields: Recognised
    kind: str  # "messages", "preference", "answered", "text", "tree"

    @property
    def used(self) -> frozenset[str]:
        """The fields that are read of a row."""
        read = {
            "messages": ("messages", "system"),
            "preference": ("messages", "instruction", "input", "chosen", "rejected", "system"),
            "answered": ("instruction", "input", "output", "system"),
            "text": ("text",),
            "tree": (),
        }[self.kind]
        names = {self.fields.name(meaning) for meaning in (*read, "category", "split", "label")}
        more = (
            {"history", "context", "input", *CHOICES}
            if self.kind in {"answered", "preference"}
            else set()
        )
        tools = set(_TOOLS) if self.kind == "messages" else set()
        tree = {"mapping", "current_node"} if self.kind == "tree" else set()
        return frozenset({*names, *_COMMON_FIELDS, *more, *tools, *tree} - {""})


@dataclass(frozen=True, slots=True)
class FileFormat:
    """What is known of a whole file before its rows are read."""

    main: RowFormat  # of most rows, and of those that have none of their own
    speakers: Speakers = field(default_factory=dict)
    marks: Marks | None = None  # between the turns of texts
    notes: tuple[str, ...] = ()


def refused_row(number: int, refusal: RowRefusedError) -> RefusedRow:
    """Return a row that is refused, with its reason, however much of the row that quotes."""
    return RefusedRow(number, shortened(str(refusal), 300))


def detect_format(rows: Sequence[object]) -> FileFormat | None:
    """Return what most of ``rows`` are, or None when no row has fields that are known.

    Of very many some are looked at.
    """
    rows = rows[:: max(len(rows) // _LOOKED_AT, 1)]
    counts = Counter(tuple(row) for row in rows if isinstance(row, Mapping))
    formats: Counter[RowFormat] = Counter()
    for names, count in counts.items():
        if found := _format_of(tuple(map(str, names))):
            formats[found] += count
    if formats:
        return _file_format(formats.most_common(1)[0][0], rows)
    half = next((found for names in counts if (found := _half_written(names))), None)
    return FileFormat(half) if half else None


def _file_format(main: RowFormat, rows: Sequence[object]) -> FileFormat | None:
    if main.kind == "text":
        texts = _values(rows, main.fields.name("text"))
        marks = find_marks([text for text in texts if isinstance(text, str)])
        if marks is None:
            return FileFormat(main)
        named = RowFormat(f"text with {marks.name} marks", main.because, main.fields, "text")
        return FileFormat(named, marks=marks)
    if conversation := main.fields.name("messages"):
        if main.kind == "messages" and not any(
            _tells_speakers(value) for value in _values(rows, conversation)[:_TRIED]
        ):
            return None  # a column of that name, and no conversation in it
        speakers, sentence = find_speakers(_values(rows, conversation))
        return FileFormat(main, speakers, notes=(sentence,) if sentence else ())
    return FileFormat(main)


def _tells_speakers(value: object) -> bool:
    """Return whether a field holds turns: a list of any kind, or a text with marks between them."""
    if isinstance(value, str) and not parsed_list(value):
        return read_transcript(value) is not None
    return True


def _values(rows: Sequence[object], name: str) -> list[object]:
    return [row[name] for row in rows if isinstance(row, Mapping) and name in row]


@lru_cache(maxsize=4096)
def _format_of(names: tuple[str, ...]) -> RowFormat | None:
    """Return the shape of rows with just these fields, None where they make none."""
    fields = recognise_columns(names)
    name = fields.name
    if {"mapping", "current_node"} <= set(names):
        because = "'mapping' holds a tree of messages, as ChatGPT exports them"
        return RowFormat("chatgpt export", because, fields, "tree")
    if name("chosen") and name("rejected"):
        because = f"'{name('chosen')}' is learnt and '{name('rejected')}' was not chosen"
        return RowFormat("preference", because, fields, "preference")
    if name("messages"):
        named = "sharegpt" if name("messages") == "conversations" else "messages"
        return RowFormat(named, f"'{name('messages')}' holds a conversation", fields, "messages")
    if name("instruction") and name("output"):
        return _answered(fields)
    if _is_text_alone(fields, names):
        because = f"'{name('text')}' is a text without a question"
        return RowFormat("text", because, fields, "text")
    return None


def _is_text_alone(fields: Recognised, names: Sequence[str]) -> bool:
    """Return whether rows are plain text: a field that is called so, and none that asks, answers or
    labels it. Other names for a text count only where there is no other field.
    """
    if any(fields.name(meaning) for meaning in ("instruction", "output", "label")):
        return False
    text = fields.name("text")
    return bool(text) and (len(names) == 1 or plain_name(text) in {"text", "content"})


def _answered(fields: Recognised) -> RowFormat:
    asked, answer = fields.name("instruction"), fields.name("output")
    usual = _USUAL.get((plain_name(asked), plain_name(answer)), "question + answer")
    because = f"'{asked}' is what is asked and '{answer}' the answer"
    if about := fields.name("input"):
        because += f", '{about}' what it is about"
    return RowFormat(usual, because, fields, "answered")


def _half_written(names: Sequence[object]) -> RowFormat | None:
    """Recognise a shape by its first field alone, so that rows without an answer are refused by
    number.
    """
    fields = recognise_columns(map(str, names))
    if asked := fields.name("instruction"):
        answer = "completion" if plain_name(asked) == "prompt" else "output"
        return _answered(Recognised((*fields.fields, ("output", answer))))
    return None


def read_example(number: int, row: object, file_format: FileFormat, notes: Notes) -> Example:
    """Turn one raw row into an Example. Raises RowRefusedError with the reason.

    A row that has a shape of its own is read by it, whatever the others are.
    """
    if not isinstance(row, Mapping):
        raise RowRefusedError("is not an object with fields")
    own = _format_of(tuple(map(str, row)))
    row_format = own if own is not None and own.kind != "text" else file_format.main
    _check_meaning(row, row_format)
    found: Notes = Counter()
    turns, rejected = _read(row, row_format, file_format, found)
    notes.update(dict.fromkeys(found, 1))  # rows are counted, not turns
    return Example(
        number,
        turns,
        _read_split(row, row_format),
        read_category(row, row_format),
        rejected,
        drafted=row.get("drafted") in (True, "true", "True", 1),
    )


def _read(
    row: Row, row_format: RowFormat, file_format: FileFormat, notes: Notes
) -> tuple[tuple[Turn, ...], str]:
    """Return a row's turns, and of a preference the answer that was not chosen."""
    if row_format.kind == "text":
        return _text_turns(row, row_format, file_format, notes), ""
    if row_format.kind == "tree":
        return in_turns(read_messages(read_branch(row), notes, {}), notes), ""
    if row_format.kind == "preference" and _is_preference(row, row_format):
        return _preference(row, row_format, file_format, notes)
    if row_format.fields.name("messages"):
        turns = _conversation(row, row_format, file_format, notes)
    else:
        turns = _asked_and_answered(row, row_format, file_format, notes)
    return in_turns(_with_system(row, row_format, turns, notes), notes), ""


def unused_fields(
    rows: Sequence[object], used: Callable[[Row], Collection[str]]
) -> tuple[tuple[str, int], ...]:
    """Return the fields that rows are not read by, each with the number of rows that say something
    in it; ``used`` are those that a row is read by.
    """
    counts: Counter[str] = Counter()
    for row in rows:
        if isinstance(row, Mapping):
            known = used(row)
            counts.update(
                str(name)
                for name, value in row.items()
                if name not in known and value not in (None, "", [], {})
            )
    return tuple(counts.most_common())


def fields_used(row: Row, file_format: FileFormat) -> frozenset[str]:
    """Return the fields that a row of a file is read by."""
    return (_format_of(tuple(map(str, row))) or file_format.main).used


def _check_meaning(row: Row, row_format: RowFormat) -> None:
    """Refuse a row of which a field says that its answer must not be learnt as it stands."""
    for name in {*_LABEL_FIELDS, row_format.fields.name("label")} - {""}:
        value = row.get(name)
        said = value.strip().lower() if isinstance(value, str) else value
        if said is False or (isinstance(said, str) and said in {"false", "bad"}):
            raise RowRefusedError(
                f"its answer is marked as bad ('{name}' is {said}), and would be learnt as a "
                "good one"
            )
    if row.get("parent_id") not in (None, "", 0, -1, "0", "-1"):
        raise RowRefusedError(
            f"follows another row ('parent_id' is {shortened(str(row['parent_id']), 40)}), "
            "without which it is half"
        )


def _with_system(
    row: Row, row_format: RowFormat, turns: Sequence[Turn], notes: Notes
) -> tuple[Turn, ...]:
    """Put a row's own system prompt, and the tools it offers, in front of its turns."""
    name = row_format.fields.name("system") or "system"
    system = field_text(row, name, "", notes, required=False)
    turns = tuple(turns)
    if not turns:
        return turns
    if system and turns[0].role == "system" and turns[0].text != system:
        raise RowRefusedError(f"has two system prompts: the field '{name}' and its first message")
    if system and turns[0].role != "system":
        turns = (Turn("system", system), *turns)
    offered = next((row[name] for name in _TOOLS if row.get(name)), None)
    tools = offered if row_format.fields.name("messages") else None
    return _with_tools(turns, tools, notes) if tools not in (None, "", [], "[]") else turns


def _with_tools(turns: tuple[Turn, ...], tools: object, notes: Notes) -> tuple[Turn, ...]:
    offered = tools if isinstance(tools, str) else as_text(tools, Counter())
    text = f"You may call these tools:\n<tools>\n{offered.strip()}\n</tools>"
    notes[TOOLS] += 1
    if turns[0].role == "system":
        return (Turn("system", f"{turns[0].text}\n\n{text}", tool=True), *turns[1:])
    return (Turn("system", text, tool=True), *turns)


def read_prompt(row: object) -> tuple[Turn, ...]:
    """Return the turns of a prompt without an answer; several user turns in a row are asked one
    after the other.

    MT-bench's ``turns``, a conversation that ends with the user, or a field with the prompt. Raises
    RowRefusedError.
    """
    if not isinstance(row, Mapping):
        raise RowRefusedError("is not an object with fields")
    fields = recognise_columns(map(str, row))
    spoken = row.get("turns", row.get(fields.name("messages")))
    if isinstance(spoken, list) and spoken and all(isinstance(turn, str) for turn in spoken):
        turns = tuple(Turn("user", trimmed(turn)) for turn in spoken)
    elif spoken is not None:
        turns = tuple(read_messages(spoken, Counter(), {}))
    else:
        asked = next((name for name in _PROMPT_FIELDS if name in row), fields.name("instruction"))
        asked = asked or fields.name("input") or _PROMPT_FIELDS[0]
        about = fields.name("input") if fields.name("input") != asked else ""
        turns = (
            Turn(
                "user",
                field_text(row, asked, "prompt", Counter(), required=True),
                field_text(row, about, "", Counter(), required=False),
            ),
        )
    if not turns or turns[-1].role != "user" or not all(turn.text for turn in turns):
        raise RowRefusedError("no prompt: its turns are empty or do not end with the user")
    return turns


def _read_split(row: Row, row_format: RowFormat) -> SplitName | None:
    value = row.get(row_format.fields.name("split") or "split")
    if not isinstance(value, str) or not value.strip():
        return None
    name = split_named(value)
    if name is None:
        raise RowRefusedError(
            f"its split '{shortened(value, 40)}' is not known: say train, validation or test"
        )
    return name


def read_category(row: Row, row_format: RowFormat | None = None) -> str:
    """Return the first field that names a kind of row; what is too long is no name."""
    own = row_format.fields.name("category") if row_format else ""
    values = (row.get(name) for name in (*_CATEGORY_FIELDS, own))
    return next(
        (
            text
            for value in values
            if isinstance(value, str) and 0 < len(text := " ".join(value.split())) <= 60
        ),
        "",
    )


def _asked_and_answered(
    row: Row, row_format: RowFormat, file_format: FileFormat, notes: Notes
) -> tuple[Turn, ...]:
    """Read an instruction with what it is about, what was said before, and its answer.

    Both may be lists of messages, as TRL has them.
    """
    asked, answer = row_format.fields.name("instruction"), row_format.fields.name("output")
    before = _prompt_turns(row, row_format, file_format, notes)
    if _is_messages(row.get(answer)):
        return (*before, *read_messages(row[answer], notes, file_format.speakers))
    if not before:
        raise RowRefusedError(f"no instruction: the field '{asked}' is empty")
    return (*before, Turn("assistant", read_answer(row, answer, notes)))


def _prompt_turns(
    row: Row, row_format: RowFormat, file_format: FileFormat, notes: Notes
) -> tuple[Turn, ...]:
    asked = row_format.fields.name("instruction")
    if _is_messages(row.get(asked)):
        return tuple(read_messages(row[asked], notes, file_format.speakers))
    what = "prompt" if plain_name(asked) == "prompt" else "instruction"
    question = Turn(
        "user", field_text(row, asked, what, notes, required=True), _about(row, row_format, notes)
    )
    return (*read_history(row.get("history")), question)


def _is_messages(value: object) -> bool:
    parsed = parsed_list(value)
    return bool(parsed) and all(isinstance(one, Mapping) for one in parsed)


def _about(row: Row, row_format: RowFormat, notes: Notes) -> str:
    """Return what a question is about; what several fields say, once each."""
    fields = row_format.fields
    names = dict.fromkeys((fields.name("input"), "input", "context"))
    taken = {fields.name("instruction"), fields.name("output"), ""}
    about = [
        text
        for name in names
        if name not in taken and (text := field_text(row, name, "", notes, required=False))
    ]
    if choices := read_choices(row):
        about.append("\n".join(f"{label}. {text}" for label, text in choices))
    return "\n\n".join(dict.fromkeys(about))


def _conversation(
    row: Row, row_format: RowFormat, file_format: FileFormat, notes: Notes
) -> tuple[Turn, ...]:
    name = row_format.fields.name("messages")
    value = row.get(name)
    if isinstance(value, str) and not parsed_list(value):
        turns = read_transcript(value)
        if turns is None:
            raise RowRefusedError(f"the field '{name}' is a text that tells no speakers apart")
        return turns
    return tuple(read_messages(value, notes, file_format.speakers))


def _text_turns(
    row: Row, row_format: RowFormat, file_format: FileFormat, notes: Notes
) -> tuple[Turn, ...]:
    text = field_text(row, row_format.fields.name("text"), "text", notes, required=True)
    if file_format.marks is None:
        return (Turn("assistant", text),)
    turns = read_transcript(text, file_format.marks)
    if turns is None:
        raise RowRefusedError(f"its text has no {file_format.marks.name} marks of both speakers")
    return in_turns(turns, notes)


def _is_preference(row: Row, row_format: RowFormat) -> bool:
    """Return whether both answers are there; a row may have the fields and be no preference."""
    names = (row_format.fields.name("chosen"), row_format.fields.name("rejected"))
    both = [row.get(name) not in (None, "", [], {}) for name in names]
    can_do_without = row_format.fields.name("output") or row_format.fields.name("messages")
    return all(both) or not can_do_without


def _preference(
    row: Row, row_format: RowFormat, file_format: FileFormat, notes: Notes
) -> tuple[tuple[Turn, ...], str]:
    """Read a prompt with the answer that was chosen, and the one that was not."""
    fields = row_format.fields
    before: tuple[Turn, ...] = ()
    if fields.name("messages"):
        before = _conversation(row, row_format, file_format, notes)
    elif fields.name("instruction"):
        before = _prompt_turns(row, row_format, file_format, notes)
    before = _with_system(row, row_format, before, notes)
    chosen, rejected = (
        _side(row, fields.name(which), before, file_format, notes)
        for which in ("chosen", "rejected")
    )
    if chosen[-1].text == rejected[-1].text:
        raise RowRefusedError("the chosen and the rejected answer are the same")
    if chosen[:-1] != rejected[:-1]:
        raise RowRefusedError("the chosen and the rejected answer have different prompts")
    *said, answer = chosen
    # what was said before the compared answer was not compared
    untrained = [
        replace(turn, trained=False) if turn.role == "assistant" else turn for turn in said
    ]
    return (*untrained, answer), rejected[-1].text


def _side(
    row: Row, name: str, before: tuple[Turn, ...], file_format: FileFormat, notes: Notes
) -> tuple[Turn, ...]:
    """Return the whole conversation that ends with one of a preference's answers."""
    value = row.get(name)
    what = f"{'chosen' if 'chosen' in plain_name(name) else 'rejected'} answer"
    if isinstance(value, Mapping):
        value = [value]
    if _is_messages(value):
        turns = tuple(read_messages(value, notes, file_format.speakers))
        if any(turn.role == "user" for turn in turns) and before:
            systems = before[:1] if before[0].role == "system" else ()
            has_own = turns[0].role == "system"
            turns = turns if has_own else (*systems, *turns)
        else:
            turns = (*before, *turns)
    else:
        text = field_text(row, name, what, notes, required=True)
        found = None if before else read_transcript(f"\n{text}", MARKS[-1])
        turns = found or (*before, Turn("assistant", text))
    turns = in_turns(turns, notes)
    if len(turns) < 2:
        raise RowRefusedError("no prompt: neither a field nor the chosen answer has one")
    return turns
