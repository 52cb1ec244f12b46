"""What the Data screen shows, as safe markup made from plain values.

Decides nothing but how things look.
"""

from collections.abc import Sequence

from markupsafe import Markup, escape

from core.cli.check_output import unused_words
from core.datasets.check import CheckReport
from core.datasets.conversation import Example
from core.datasets.dataset import Dataset
from core.datasets.recipe import read_recipe, recipe_sentences
from core.datasets.splits import Splits
from core.prompts.preview import Preview
from core.text import shortened
from ui.markup import fill_template, visible_lines

PAGE_ROWS = 100
_HISTOGRAM_BARS = 24
_LONGEST_CELL = 400
_MOST_LISTED = 200  # rows of one finding on the page
_MOST_LANGUAGES = 6
_FEW = 0.005  # of the rows: a guess gone wrong now and then
_MOST_CHANGES = 50  # rows of a version's differences


def report_markup(report: CheckReport) -> Markup:
    """Return a check report: counts, then every finding with its rows, then token lengths."""
    bars = _histogram(report.tokens.lengths)
    return fill_template(
        "check_report",
        report=report,
        tiles=_tiles(report),
        bars=bars,
        most=_MOST_LISTED,
        unused_words=unused_words,
        languages=_languages(report),
        highest=max(count for _, count in bars),
        shortest=min(report.tokens.lengths),
        longest=max(report.tokens.lengths),
    )


def mapped_rows(dataset: Dataset, count: int) -> Markup:
    """Return the first rows of a dataset as its columns were mapped."""
    return fill_template(
        "mapped_rows",
        examples=[(one.row, one.prompt_text, one.answer) for one in dataset.examples[:count]],
        usable=len(dataset.examples),
        tried=dataset.row_count,
        refused=dataset.refused,
        short=_short,
    )


def changes_markup(dataset: Dataset, before: Dataset | None, size: str) -> Markup:
    """Return what a version is made of, and the rows in which it differs from the one before."""
    return fill_template(
        "version",
        dataset=dataset,
        size=size,
        before=before,
        sentences=recipe_sentences(read_recipe(dataset.recipe)),
        changes=_differences(before, dataset) if before else [],
        most=_MOST_CHANGES,
        short=_short,
    )


def size_words(size: int) -> str:
    """Return a number of bytes as a user says it."""
    return f"{size / 2**20:.1f} MiB" if size >= 2**20 else f"{size / 2**10:.1f} KiB"


def _differences(before: Dataset, after: Dataset) -> list[tuple[int, str, str]]:
    """Return the rows that differ between two versions: number, and what each says; '' where one
    has it not.
    """
    olds, news = ({one.row: one for one in version.examples} for version in (before, after))
    rows = sorted({*olds, *news})
    return [
        (row, _said(olds.get(row)), _said(news.get(row)))
        for row in rows
        if olds.get(row) != news.get(row)
    ]


def _said(example: Example | None) -> str:
    if example is None:
        return ""
    split = f"[{example.split}] " if example.split else ""
    return f"{split}{example.prompt_text} → {example.answer}"


def tokens_markup(preview: Preview, title: str) -> Markup:
    """Return one row under one style: a sentence, the coloured tokens, and the plain text to
    unfold.
    """
    return fill_template("token_preview", preview=preview, title=title, visible_lines=visible_lines)


TOKEN_LEGEND = fill_template("token_legend")


def splits_sentence(splits: Splits, seed: int) -> str:
    """Say how many rows go where."""
    train, validation, test = len(splits.train), len(splits.validation), len(splits.test)
    words = f"{train:,} rows to train on · {validation:,} to validate · {test:,} to test, untouched until Review (seed {seed})"
    named = [
        name
        for name in ("validation", "test")
        if any(example.split == name for example in splits.named(name))
    ]
    return (
        f"{words}. The file itself says which rows are for {' and '.join(named)}: no share "
        "changes that."
        if named
        else words
    )


def table_rows(
    examples: Sequence[Example], splits: Splits, search: str, page: int
) -> tuple[list[list[str | int]], str]:
    """Return one page of the table and a sentence about what it shows; ``page`` counts from 1."""
    wanted = search.casefold().strip()
    found = [example for example in examples if not wanted or wanted in _all_text(example)]
    pages = max(-(-len(found) // PAGE_ROWS), 1)
    page = min(max(page, 1), pages)
    part_of = {
        example.row: name
        for name in ("train", "validation", "test")
        for example in splits.named(name)
    }
    shown = found[(page - 1) * PAGE_ROWS : page * PAGE_ROWS]
    rows: list[list[str | int]] = [
        [example.row, part_of[example.row], _short(example.prompt_text), _short(example.answer)]
        for example in shown
    ]
    what = escape(f"rows with “{shortened(search)}”") if wanted else "rows"
    return rows, f"{len(found):,} {what}, page {page} of {pages}"


def _languages(report: CheckReport) -> str:
    """Return the languages of the answers, those of some rows, with their shares."""
    if not any(code for code, _ in report.languages):
        return ""
    looked_at = sum(count for _, count in report.languages)
    told = [(code or "too short to tell", count / looked_at) for code, count in report.languages]
    more = len(told) - _MOST_LANGUAGES
    shown = [f"{name} {share:.0%}" for name, share in told[:_MOST_LANGUAGES] if share >= _FEW]
    return ", ".join([*shown, *([f"{more} more"] if more > 0 else [])])


def _tiles(report: CheckReport) -> list[tuple[str, str]]:
    tokens = report.tokens
    return [
        ("rows", f"{report.rows:,}"),
        ("usable", f"{report.usable:,}"),
        ("refused", f"{len(report.refused):,}"),
        ("exact repeats", f"{len(report.repeats.exact):,}"),
        ("tokens", f"{tokens.total:,}"),
        ("of them trained", f"{tokens.trained / tokens.total:.0%}"),
    ]


def _histogram(lengths: Sequence[int]) -> list[tuple[str, int]]:
    """Return bars of token lengths, in words and in rows; the last takes the longest row."""
    low, high = min(lengths), max(lengths)
    width = max(-(-(high - low + 1) // _HISTOGRAM_BARS), 1)
    counts = [0] * ((high - low) // width + 1)
    for length in lengths:
        counts[(length - low) // width] += 1
    starts = range(low, high + 1, width)
    return [
        (f"{start}" if width == 1 else f"{start} to {start + width - 1}", count)
        for start, count in zip(starts, counts, strict=True)
    ]


def _all_text(example: Example) -> str:
    return " ".join(f"{turn.text} {turn.input}" for turn in example.turns).casefold()


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_CELL else text[:_LONGEST_CELL] + " …"
