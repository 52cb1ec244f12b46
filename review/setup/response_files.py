"""Finished responses read from a file and put to the prompts they answer.

Knows no table and no model.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.datasets.conversation import Example, RowRefusedError, turn_text
from core.datasets.formats import read_prompt
from core.datasets.readers.read_file import FILE_ENDINGS, read_file
from core.errors import ReviewError
from core.text import shortened

_FIELDS = (
    "model_response",
    "model_output",
    "generated",
    "generation",
    "prediction",
    "response",
    "completion",
    "answer",
    "output",
)

# also what datasets call the answer that is expected
_REFERENCES = {"completion", "answer", "output"}
_NAMES_RESPONSES = re.compile(r"response|generat|predict|completion|answer", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ImportedResponses:
    """A file of responses."""

    name: str  # the file's, without its ending
    content_hash: str  # SHA-256 of the file
    by_prompt: Mapping[str, str]  # prompt, without differences in white space, to response
    by_row: Mapping[int, str]  # row of the dataset to response, where the file numbers its rows

    def find(self, example: Example) -> str | None:
        """Return the response to an example's prompt, or None."""
        if example.row in self.by_row:
            return self.by_row[example.row]
        return self.by_prompt.get(_key([turn_text(turn, named=False) for turn in example.prompt]))


def read_responses(path: Path) -> ImportedResponses:
    """Read responses from a JSON, JSONL, CSV or TSV file.

    Each row has a response (``model_response``, ``response``, ``completion``, ``output`` …) and
    either the prompt it answers (in the fields that datasets have) or the ``row`` of the dataset.
    Raises ReviewError when there is none, DataError when the file cannot be read.
    """
    raw = read_file(path)
    rows = [row.value for row in raw.rows if isinstance(row.value, Mapping)]
    field = _response_field(rows, path.name)
    by_prompt: dict[str, str] = {}
    by_row: dict[int, str] = {}
    for row in rows:
        if isinstance(response := row.get(field), str):
            # line ends of another system would tell whose responses these are
            response = response.replace("\r\n", "\n")
            number = _number(row.get("row"))
            if number is not None:
                by_row[number] = response
            elif (key := _asked(row)) is not None:
                by_prompt.setdefault(key, response)
    if not by_prompt and not by_row:
        raise ReviewError(
            f"{path.name} does not say what its responses answer: give each row its prompt or "
            "its 'row'."
        )
    return ImportedResponses(_without_ending(path.name), raw.content_hash, by_prompt, by_row)


def _response_field(rows: Sequence[Mapping[str, object]], name: str) -> str:
    """Return the field that holds the responses.

    Raises ReviewError when there is none, or several may be meant.
    """
    texts = Counter(
        key
        for row in rows
        for key, value in row.items()
        if isinstance(value, str) and isinstance(key, str)
    )
    field = next((known for known in _FIELDS if texts[known]), None)
    named = [key for key in texts if key not in _FIELDS and _NAMES_RESPONSES.search(key)]
    # a file with its reference answers beside the responses of models
    if named and field in {None, *_REFERENCES}:
        if len(named) > 1:
            columns = ", ".join(f"'{shortened(key, 40)}'" for key in named[:6])
            raise ReviewError(
                f"{name} has the responses of several models ({columns}): make a file for each, "
                "its column called 'response'."
            )
        return named[0]
    if field is None:
        raise ReviewError(
            f"{name} has no responses: give each row a field 'response' and its prompt or 'row'."
        )
    return field


def _asked(row: Mapping[str, object]) -> str | None:
    try:
        turns = read_prompt({**row, "input": row.get("input") or row.get("context") or ""})
    except RowRefusedError:
        return None
    return _key([turn_text(turn, named=False) for turn in turns])


def _key(texts: Sequence[str]) -> str:
    return "\n".join(" ".join(text.split()) for text in texts)


def _number(value: object) -> int | None:
    try:
        return int(value) if isinstance(value, int | str) else None
    except ValueError:
        return None


def _without_ending(name: str) -> str:
    """Return a file's name without the ending that says how it is read."""
    plain = name[:-3] if name.lower().endswith(".gz") else name
    ending = next((one for one in FILE_ENDINGS if plain.lower().endswith(one)), "")
    return plain[: len(plain) - len(ending)] if ending else name
