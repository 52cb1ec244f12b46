"""Which column of a table holds what: recognised by its name, or said by a user.

Knows how columns are called, not how a row becomes a conversation.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from core.datasets.choices import MEANINGS
from core.errors import SettingsError
from core.text import shortened

# of the most usual name first; compared without case, blanks, "_" and "-"
_NAMES: dict[str, tuple[str, ...]] = {
    "instruction": (
        "instruction", "prompt", "question", "query", "instructions", "user", "human", "request",
        "problem", "userprompt", "usermessage", "userquery", "userinput", "humanmessage", "inquiry",
        "questiontext", "q",
    ),
    "output": (
        "output", "response", "completion", "answer", "bestanswer", "correctanswer", "reply",
        "solution", "assistant", "target", "expectedoutput", "expectedanswer", "finalanswer",
        "targets",
        "ideal",
        "answers",
        "modelresponse", "assistantresponse", "assistantmessage", "groundtruth", "responsetext",
        "answertext", "outputs", "responses", "bot", "gpt", "a",
    ),
    "input": ("input", "context", "passage", "inputs"),
    "system": ("system", "systemprompt", "systemmessage"),
    "category": ("category", "family", "task", "topic"),
    "split": ("split",),
    "chosen": ("chosen", "chosenresponse"),
    "rejected": ("rejected", "rejectedresponse"),
    "label": ("label", "ktotag"),
    "messages": (
        "messages", "conversations", "conversation", "dialogue", "dialog", "chat", "chathistory",
        "chatmessages",
    ),
    "text": ("text", "content", "document", "body"),
}  # fmt: skip
_FIELD = re.compile(r"\{([^{}]*)\}")


def plain_name(name: str) -> str:
    """Return a column's name as names are compared: without case, blanks, ``_`` and ``-``."""
    return re.sub(r"[\s_\-\ufeff]+", "", name.casefold())


def is_known_column(name: str) -> bool:
    """Return whether a name is one that a table's header has for what rows are made of."""
    plain = plain_name(name)
    return any(plain in names for names in _NAMES.values()) or plain in {
        "history", "tools", "id", "index"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ColumnMapping:
    """What a user said of a file's columns: pairs of a meaning and where it is found.

    That is a column's name, or a template with names in braces: ``{Title}: {Body}``.
    """

    pairs: tuple[tuple[str, str], ...]

    def source(self, meaning: str) -> str:
        """Return the column or template of a meaning, '' for none."""
        return dict(self.pairs).get(meaning, "")

    def apply(self, row: Mapping[str, object]) -> dict[str, object]:
        """Return a row with its columns under the names of what they hold."""
        return {meaning: _cell(row, source) for meaning, source in self.pairs}

    def columns(self) -> set[str]:
        """Return the names of all columns that are read."""
        return {name for _, source in self.pairs for name in _fields_of(source)}

    def as_dict(self) -> dict[str, str]:
        """Return the mapping as JSON keeps it."""
        return dict(self.pairs)


def _fields_of(source: str) -> list[str]:
    return [name.strip() for name in _FIELD.findall(source)] if "{" in source else [source]


def _cell(row: Mapping[str, object], source: str) -> object:
    if source in row or "{" not in source:
        return row.get(source)
    fields = _fields_of(source)
    if not any(_says_something(row.get(name)) for name in fields):
        return None
    return _FIELD.sub(lambda found: _as_text(row.get(found[1].strip())), source)


def _says_something(value: object) -> bool:
    return value not in (None, "", [], {})


def _as_text(value: object) -> str:
    return "" if value is None else str(value)


def make_mapping(said: Mapping[str, str], columns: Iterable[str]) -> ColumnMapping:
    """Return what a user said as a mapping of a file that has ``columns``.

    Raises SettingsError for a meaning or a column that there is not, and for a mapping that makes
    no rows.
    """
    known = {plain_name(name): name for name in columns}
    pairs, problems = [], {}
    for meaning, source in said.items():
        if meaning not in MEANINGS:
            problems["map"] = f"'{shortened(meaning, 40)}' is none of {', '.join(MEANINGS)}"
        elif not source.strip():
            continue
        else:
            missing = [name for name in _fields_of(source) if plain_name(name) not in known]
            if missing:
                have = ", ".join(f"'{shortened(name, 40)}'" for name in list(known.values())[:12])
                problems["map"] = (
                    f"there is no column '{shortened(missing[0], 40)}'; the file has {have}"
                )
            pairs.append((meaning, _with_real_names(source, known)))
    found = {meaning for meaning, _ in pairs}
    if not problems and not _makes_rows(found):
        problems["map"] = (
            "say where the instruction and the answer (output) are, or the conversation "
            "(messages), the chosen and rejected answers, or the text"
        )
    if problems:
        raise SettingsError(problems)
    return ColumnMapping(tuple(pairs))


def _makes_rows(found: set[str]) -> bool:
    return bool(
        {"instruction", "output"} <= found
        or {"chosen", "rejected"} <= found
        or found & {"messages", "text"}
    )


def _with_real_names(source: str, known: Mapping[str, str]) -> str:
    if "{" not in source:
        return known.get(plain_name(source), source)
    return _FIELD.sub(lambda found: "{" + known.get(plain_name(found[1]), found[1]) + "}", source)


@dataclass(frozen=True, slots=True)
class Recognised:
    """What the names of a row's fields say: which field holds what."""

    fields: tuple[tuple[str, str], ...]  # meaning and the field's real name

    def name(self, meaning: str) -> str:
        """Return the field of a meaning, '' for none."""
        return dict(self.fields).get(meaning, "")


def recognise_columns(names: Iterable[str]) -> Recognised:
    """Return which of ``names`` holds what, each for one meaning, the most usual name first."""
    by_plain: dict[str, str] = {}
    for name in names:
        by_plain.setdefault(plain_name(name), name)
    found = {
        meaning: real
        for meaning, usual in _NAMES.items()
        if (real := next((by_plain[name] for name in usual if name in by_plain), ""))
    }
    if "instruction" not in found and "input" in found and "output" in found:
        found["instruction"] = found.pop("input")  # what goes in is what is asked
    if "instruction" not in found and "source" in by_plain and "target" in by_plain:
        found["instruction"] = by_plain["source"]  # a translation's two sides
    asked = plain_name(found.get("instruction", ""))
    for second in ("question", "query"):  # beside an instruction or a prompt: what it is about
        if second in by_plain and asked not in {second, ""} and "input" not in found:
            found["input"] = by_plain[second]
    return Recognised(tuple(found.items()))


def column_names(rows: Sequence[object]) -> list[str]:
    """Return the names of all fields of some rows, in the order in which they first come."""
    return list(dict.fromkeys(
        str(name) for row in rows if isinstance(row, Mapping) for name in row
    ))  # fmt: skip


def read_map_option(words: Sequence[str]) -> dict[str, str]:
    """Return ``meaning=column`` words as a dictionary. Raises SettingsError for another word."""
    said = {}
    for word in words:
        meaning, sign, source = word.partition("=")
        if not sign or not source.strip():
            raise SettingsError({"map": f"'{shortened(word)}' is not MEANING=COLUMN"})
        said[meaning.strip().lower()] = source.strip()
    if "answer" in said:  # as the screen calls it
        said.setdefault("output", said.pop("answer"))
    return said
