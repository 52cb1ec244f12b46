"""What a user should know about a file before anything else happens.

Knows tokens only as numbers given to it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, median

from core.datasets.conversation import Example, RefusedRow
from core.datasets.dataset import Dataset
from core.datasets.near_duplicates import Repeats, find_repeats

# Bounded, so that ten thousand beginnings without an end are looked at once each.
_PLACEHOLDER = re.compile(
    r"\{\{\s{0,20}\w{1,80}\s{0,20}\}\}|<(?:INSERT|YOUR|TODO)[^<>]{0,200}>|\bTODO\b|\[INSERT[^\[\]]{0,200}\]"
)
_SHORTEST_COPIED_ANSWER = 12  # characters; shorter answers ("yes") stand in prompts by chance


@dataclass(frozen=True, slots=True)
class RowLength:
    """A row's size in tokens under one tokenizer and style."""

    row: int
    tokens: int  # prompt, answer and end token
    trained_tokens: int  # those the loss sees
    lost: str = ""  # characters of it that the vocabulary cannot write


@dataclass(frozen=True, slots=True)
class LongRow:
    """A row over the context length."""

    row: int
    tokens: int
    lost_tokens: int  # cut from its end


@dataclass(frozen=True, slots=True)
class TokenStatistics:
    """Lengths of the usable rows in tokens."""

    total: int
    trained: int
    shortest: int
    median: float
    mean: float
    longest: int
    lengths: tuple[int, ...]  # one per usable row, in file order


@dataclass(frozen=True, slots=True)
class CheckReport:
    """Everything found in a file; bad rows are listed, never silently dropped."""

    name: str
    format: str
    rows: int
    usable: int
    refused: tuple[RefusedRow, ...]
    repeats: Repeats
    answer_in_prompt: tuple[int, ...]  # row numbers
    placeholders: tuple[int, ...]
    too_long: tuple[LongRow, ...]
    tokens: TokenStatistics
    unused_fields: tuple[tuple[str, int], ...] = ()  # name, rows that say something in it
    unwritable: tuple[
        RefusedRow, ...
    ] = ()  # rows that the style or the tokenizer cannot write: left out of training
    lossy: tuple[
        tuple[int, str], ...
    ] = ()  # row, and the characters of it that the vocabulary cannot write
    because: str = ""  # which column was read as what
    notes: tuple[str, ...] = ()  # what was guessed, mended or read otherwise than it stands


def check_dataset(
    dataset: Dataset,
    lengths: Sequence[RowLength],
    max_tokens: int,
    unwritable: Sequence[RefusedRow] = (),
) -> CheckReport:
    """Report on every row.

    ``lengths`` are those of the usable ones, ``unwritable`` those of them that have none,
    ``max_tokens`` is the context length.
    """
    return CheckReport(
        name=dataset.name,
        format=dataset.format,
        rows=dataset.row_count,
        usable=len(dataset.examples),
        refused=dataset.refused,
        repeats=find_repeats(dataset.examples),
        answer_in_prompt=tuple(
            example.row for example in dataset.examples if _answer_leaks_into_prompt(example)
        ),
        placeholders=tuple(
            example.row for example in dataset.examples if _has_placeholder(example)
        ),
        too_long=tuple(
            LongRow(x.row, x.tokens, x.tokens - max_tokens)
            for x in lengths
            if x.tokens > max_tokens
        ),
        tokens=_statistics(lengths),
        unused_fields=dataset.unused_fields,
        unwritable=tuple(unwritable),
        lossy=tuple((x.row, x.lost) for x in lengths if x.lost),
        because=dataset.because,
        notes=dataset.notes,
    )


def _answer_leaks_into_prompt(example: Example) -> bool:
    answer = example.answer.casefold()
    return len(answer) >= _SHORTEST_COPIED_ANSWER and answer in example.prompt_text.casefold()


def _has_placeholder(example: Example) -> bool:
    return any(
        _PLACEHOLDER.search(turn.text) or _PLACEHOLDER.search(turn.input) for turn in example.turns
    )


def _statistics(lengths: Sequence[RowLength]) -> TokenStatistics:
    tokens = [length.tokens for length in lengths]
    return TokenStatistics(
        total=sum(tokens),
        trained=sum(length.trained_tokens for length in lengths),
        shortest=min(tokens),
        median=median(tokens),
        mean=mean(tokens),
        longest=max(tokens),
        lengths=tuple(tokens),
    )
