"""Fields of a row that is no conversation: texts, answers, choices, what was said before.

Knows no columns.
"""

import math
from collections.abc import Mapping, Sequence

from core.datasets.columns import plain_name
from core.datasets.conversation import RowRefusedError, Turn
from core.datasets.messages import FIRST_OF_SEVERAL, Notes, as_text, parsed_list
from core.text import trimmed

Row = Mapping[str, object]
CHOICES = ("choices", "options")  # fields of a question's choices


def field_text(row: Row, name: str, what: str, notes: Notes, *, required: bool) -> str:
    """Return a field as text, '' where it says nothing; ``what`` is its part in the row.

    Raises RowRefusedError where it is ``required`` and says nothing.
    """
    value = row.get(name)
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        if required:
            state = "is missing" if name not in row else "is empty"
            raise RowRefusedError(f"no {what}: the field '{name}' {state}")
        return ""
    if not isinstance(value, str):
        if isinstance(value, list | dict) and not value:
            return field_text({name: ""}, name, what, notes, required=required)
        return as_text(value, notes)
    if required and not value.strip():
        raise RowRefusedError(f"no {what}: the field '{name}' holds only white space")
    return trimmed(value)


def read_answer(row: Row, name: str, notes: Notes) -> str:
    """Return a row's answer: of several right ones the first, of choices the one that is right."""
    value = row.get(name)
    if choices := read_choices(row):
        return _chosen(value, choices) or field_text(row, name, "answer", notes, required=True)
    if isinstance(value, Mapping) and isinstance(value.get("text"), list):
        value, row = value["text"], {name: value["text"]}  # SQuAD's
    several = plain_name(name) in {"answers", "outputs", "responses", "targets"}
    if several and isinstance(value, list) and value and isinstance(value[0], str):
        notes.update([FIRST_OF_SEVERAL] if len(value) > 1 else [])
        row = {name: value[0]}
    return field_text(row, name, "answer", notes, required=True)


def read_choices(row: Row) -> list[tuple[str, str]]:
    """Return the choices of a question with their letters; empty where it has none."""
    value = next((row[name] for name in CHOICES if name in row), None)
    value = parsed_list(value) or value
    if isinstance(value, Mapping) and isinstance(value.get("text"), list):  # ARC's
        texts, labels = value["text"], value.get("label")
    else:
        texts, labels = value, None
    if not isinstance(texts, list) or not texts or not all(isinstance(t, str) for t in texts):
        return []
    if not isinstance(labels, list) or len(labels) != len(texts):
        labels = [chr(ord("A") + number) for number in range(len(texts))]
    return [(str(label), text.strip()) for label, text in zip(labels, texts, strict=True)]


def _chosen(value: object, choices: Sequence[tuple[str, str]]) -> str:
    """Return the right choice with its letter, by its number from 0, its letter or its text."""
    if isinstance(value, str) and value.strip().isdigit() and choices[0][0] == "A":
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return ". ".join(choices[value]) if 0 <= value < len(choices) else ""
    said = value.strip() if isinstance(value, str) else ""
    return next((f"{label}. {text}" for label, text in choices if said in {label, text}), "")


def read_history(said: object) -> tuple[Turn, ...]:
    """Read what was said before as LLaMA-Factory has it: a list of [question, answer]."""
    if said in (None, "", [], "[]"):
        return ()
    turns: list[Turn] = []
    for number, pair in enumerate(parsed_list(said) or [None], start=1):
        if (
            not isinstance(pair, list)
            or len(pair) != 2
            or not all(isinstance(text, str) and text.strip() for text in pair)
        ):
            raise RowRefusedError(
                f"its 'history' is not a list of [question, answer] (at {number})"
            )
        turns += [Turn("user", trimmed(pair[0])), Turn("assistant", trimmed(pair[1]))]
    return tuple(turns)
