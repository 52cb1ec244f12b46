"""What a user should know about a file before anything else happens.

Knows tokens only as numbers given to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, median

from core.datasets.conversation import RefusedRow
from core.datasets.dataset import Dataset
from core.datasets.findings import (
    Finding,
    find_between_rows,
    find_in_rows,
    languages_of,
)
from core.datasets.near_duplicates import Repeat, Repeats, find_repeats
from core.text import shortened


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
    every_kind: tuple[Finding, ...]  # of finding, the worst first; those without rows too
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
    max_tokens: int = 0  # the context
    trained: tuple[int, ...] = ()  # tokens that the loss sees, one number per usable row
    languages: tuple[tuple[str, int], ...] = ()  # ISO 639-1 code of the answers, rows

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything found, grouped by kind; kinds without rows are left out."""
        return tuple(one for one in self.every_kind if one.rows)

    @property
    def row_format(self) -> str:
        """The format of the rows, without that of the file."""
        return self.format.rpartition(" ")[0]

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of findings that rows can be left out by."""
        return tuple(one.kind for one in self.every_kind if one.can_drop)

    def rows_of(self, kind: str) -> tuple[int, ...]:
        """Return the numbers of the rows of one kind of finding."""
        return next((one.numbers for one in self.every_kind if one.kind == kind), ())


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
    repeats = find_repeats(dataset.examples)
    too_long = tuple(
        LongRow(x.row, x.tokens, x.tokens - max_tokens) for x in lengths if x.tokens > max_tokens
    )
    return CheckReport(
        name=dataset.name,
        format=dataset.format,
        rows=dataset.row_count,
        usable=len(dataset.examples),
        refused=dataset.refused,
        repeats=repeats,
        every_kind=_findings(dataset, lengths, repeats, too_long, unwritable),
        too_long=too_long,
        tokens=_statistics(lengths),
        unused_fields=dataset.unused_fields,
        unwritable=tuple(unwritable),
        lossy=tuple((x.row, x.lost) for x in lengths if x.lost),
        because=dataset.because,
        notes=dataset.notes,
        max_tokens=max_tokens,
        trained=tuple(x.trained_tokens for x in lengths),
        languages=languages_of(dataset.examples),
    )


def _findings(
    dataset: Dataset,
    lengths: Sequence[RowLength],
    repeats: Repeats,
    too_long: Sequence[LongRow],
    unwritable: Sequence[RefusedRow],
) -> tuple[Finding, ...]:
    """Return all kinds in the order in which a report has them: the worst first."""
    return (
        Finding("refused", "Refused rows", "left out of everything", _reasons(dataset.refused),
                can_drop=False),
        Finding("unwritable", "Rows that cannot be written in this style", "left out of training",
                _reasons(unwritable)),
        Finding("untrained", "Rows of which nothing is learnt", "left out of training",
                tuple((x.row, "the loss sees none of its tokens") for x in lengths
                      if not x.trained_tokens)),
        Finding("unwritten", "Characters that the vocabulary cannot write",
                "they vanish from what is learnt",
                tuple((x.row, shortened(x.lost, 40)) for x in lengths if x.lost)),
        Finding("exact_repeats", "Exact repeats of a prompt", "kept on one side of the split",
                tuple((one.row, _repeat(one)) for one in repeats.exact)),
        Finding("near_repeats", "Near repeats of a prompt", "kept on one side of the split",
                tuple((one.row, _repeat(one)) for one in repeats.near)),
        *find_between_rows(dataset.examples, repeats),
        *find_in_rows(dataset.examples),
        Finding("too_long", "Rows over the context length",
                "cut as the setting “Cut of rows too long” says",
                tuple((x.row, f"{x.tokens:,} tokens, {x.lost_tokens:,} too many")
                      for x in too_long)),
    )  # fmt: skip


def _reasons(rows: Sequence[RefusedRow]) -> tuple[tuple[int, str], ...]:
    return tuple((one.row, one.reason) for one in rows)


def _repeat(repeat: Repeat) -> str:
    answer = "same answer" if repeat.same_answer else "another answer"
    return f"repeats row {repeat.earlier_row} ({answer})"


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
