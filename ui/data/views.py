"""What the Data screen shows, as safe markup made from plain values.

Decides nothing but how things look.
"""

from collections.abc import Sequence

from markupsafe import Markup, escape

from core.cli.check_output import repeat_words, unused_words
from core.datasets.check import CheckReport
from core.datasets.conversation import Example
from core.datasets.splits import Splits
from core.prompts.preview import Preview
from core.text import shortened
from ui.markup import fill_template

PAGE_ROWS = 100
_HISTOGRAM_BARS = 24
_LONGEST_CELL = 400


def report_markup(report: CheckReport) -> Markup:
    """Return a check report: counts, then every finding with its rows, then token lengths."""
    findings = [
        (
            "Refused rows",
            [f"Row {x.row}: {x.reason}" for x in report.refused],
            "left out of everything",
        ),
        (
            "Rows that cannot be written in this style",
            [f"Row {x.row}: {x.reason}" for x in report.unwritable],
            "left out of training",
        ),
        (
            "Fields that are not used",
            [unused_words(*field) for field in report.unused_fields],
            "nothing is read from them",
        ),
        (
            "Characters that the vocabulary cannot write",
            [f"Row {row}: {lost[:40]}" for row, lost in report.lossy],
            "they vanish from what is learnt",
        ),
        (
            "Exact repeats of a prompt",
            [_sentence(repeat_words(x)) for x in report.repeats.exact],
            "kept on one side of the split",
        ),
        (
            "Near repeats of a prompt",
            [_sentence(repeat_words(x)) for x in report.repeats.near],
            "kept on one side of the split",
        ),
        (
            "Answers that stand in their prompt",
            [f"Row {row}" for row in report.answer_in_prompt],
            "worth a look",
        ),
        ("Unfilled placeholders", [f"Row {row}" for row in report.placeholders], "worth a look"),
        (
            "Rows over the context length",
            [
                f"Row {x.row}: {x.tokens:,} tokens, the last {x.lost_tokens:,} would be cut"
                for x in report.too_long
            ],
            "cut at the end, or left out where all of the answer would be lost",
        ),
    ]
    bars = _histogram(report.tokens.lengths)
    return fill_template(
        "check_report",
        report=report,
        tiles=_tiles(report),
        findings=findings,
        bars=bars,
        most=max(count for _, count in bars),
        shortest=min(report.tokens.lengths),
        longest=max(report.tokens.lengths),
    )


def tokens_markup(preview: Preview, title: str) -> Markup:
    """Return one row under one style: a sentence, the coloured tokens, and the plain text to
    unfold.
    """
    return fill_template(
        "token_preview", preview=preview, title=title, visible_lines=_visible_lines
    )


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


def _visible_lines(text: str) -> list[str]:
    """Return the lines of a token with tabs and what cannot be seen as signs, so that no token is
    invisible; the template shows the ends of lines.
    """
    return ["".join(map(_visible, line)) for line in text.split("\n")]


def _visible(character: str) -> str:
    if character == "\t":
        return "⇥\t"
    if character.isprintable() or character == " ":
        return character
    return f"\\u{ord(character):04x}"


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]


def _all_text(example: Example) -> str:
    return " ".join(f"{turn.text} {turn.input}" for turn in example.turns).casefold()


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_CELL else text[:_LONGEST_CELL] + " …"
