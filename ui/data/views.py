"""What the Data screen shows, as safe markup made from plain values.

Decides nothing but how things look.
"""

from collections.abc import Iterable, Sequence

from markupsafe import Markup, escape

from core.cli.check_output import repeat_words, unused_words
from core.datasets.check import CheckReport
from core.datasets.conversation import Example
from core.datasets.splits import Splits
from core.prompts.preview import Preview, PreviewToken
from core.text import shortened
from ui.markup import alert

PAGE_ROWS = 100
_HISTOGRAM_BARS = 24
_LONGEST_CELL = 400


def report_markup(report: CheckReport) -> Markup:
    """Return a check report: counts, then every finding with its rows, then token lengths."""
    findings = [
        _finding(
            "Refused rows",
            [f"Row {x.row}: {x.reason}" for x in report.refused],
            "left out of everything",
        ),
        _finding(
            "Rows that cannot be written in this style",
            [f"Row {x.row}: {x.reason}" for x in report.unwritable],
            "left out of training",
        ),
        _finding(
            "Fields that are not used",
            [unused_words(*field) for field in report.unused_fields],
            "nothing is read from them",
        ),
        _finding(
            "Characters that the vocabulary cannot write",
            [f"Row {row}: {lost[:40]}" for row, lost in report.lossy],
            "they vanish from what is learnt",
        ),
        _finding(
            "Exact repeats of a prompt",
            [_sentence(repeat_words(x)) for x in report.repeats.exact],
            "kept on one side of the split",
        ),
        _finding(
            "Near repeats of a prompt",
            [_sentence(repeat_words(x)) for x in report.repeats.near],
            "kept on one side of the split",
        ),
        _finding(
            "Answers that stand in their prompt",
            [f"Row {row}" for row in report.answer_in_prompt],
            "worth a look",
        ),
        _finding(
            "Unfilled placeholders", [f"Row {row}" for row in report.placeholders], "worth a look"
        ),
        _finding(
            "Rows over the context length",
            [
                f"Row {x.row}: {x.tokens:,} tokens, the last {x.lost_tokens:,} would be cut"
                for x in report.too_long
            ],
            "cut at the end, or left out where all of the answer would be lost",
        ),
    ]
    return Markup(
        '<section class="fuata-report" aria-label="Check report" data-rows="{}">{}{}{}</section>'
    ).format(
        report.rows, _tiles(report), Markup("").join(findings), _histogram(report.tokens.lengths)
    )


def tokens_markup(preview: Preview, title: str) -> Markup:
    """Return one row under one style: a sentence, the coloured tokens, and the plain text to
    unfold.
    """
    note = Markup("")
    if not preview.ends_with_end_token:
        note = alert(
            "The last trained token is not the end token: the model would not learn where to stop."
        )
    if preview.cut_tokens:
        note += alert(f"{preview.cut_tokens:,} tokens lie beyond the context and are cut.")
    return Markup(
        '<section class="fuata-tokens" aria-label="{}" data-trained="{}" '
        'data-total="{}"><p><b>{}</b>: '
        "{} of {} tokens are trained.</p>{}"
        '<p class="tokens">{}</p><details><summary>Plain '
        "text</summary><pre>{}</pre></details></section>"
    ).format(
        title,
        preview.trained_tokens,
        preview.total_tokens,
        title,
        preview.trained_tokens,
        preview.total_tokens,
        note,
        Markup("").join(_token(token) for token in preview.tokens),
        preview.text,
    )


TOKEN_LEGEND = Markup(
    '<p class="fuata-legend"><span class="trained">trained</span> the loss sees it '
    '<span class="masked">masked</span> read, not learnt (-100) '
    '<span class="padding">padding</span> fills the batch (-100)</p>'
)


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


def _tiles(report: CheckReport) -> Markup:
    tokens = report.tokens
    tiles = [
        ("rows", f"{report.rows:,}"),
        ("usable", f"{report.usable:,}"),
        ("refused", f"{len(report.refused):,}"),
        ("exact repeats", f"{len(report.repeats.exact):,}"),
        ("tokens", f"{tokens.total:,}"),
        ("of them trained", f"{tokens.trained / tokens.total:.0%}"),
    ]
    cells = (
        Markup("<div><dd>{}</dd><dt>{}</dt></div>").format(value, name) for name, value in tiles
    )
    return Markup(
        '<p class="fuata-format">{}: <b>{}</b></p><dl class="fuata-tiles">{}</dl>'
    ).format(report.name, report.format, Markup("").join(cells))


def _finding(title: str, items: Sequence[str], consequence: str) -> Markup:
    if not items:
        return Markup('<p class="finding none">✓ {}: none</p>').format(title)
    lines = Markup("").join(Markup("<li>{}</li>").format(item) for item in items)
    return Markup(
        '<details class="finding"><summary>{}: <b>{}</b> '
        "<span>({})</span></summary><ol>{}</ol></details>"
    ).format(title, f"{len(items):,}", consequence, lines)


def _histogram(lengths: Sequence[int]) -> Markup:
    """Return token lengths as bars; the last bar takes the longest row."""
    low, high = min(lengths), max(lengths)
    width = max(-(-(high - low + 1) // _HISTOGRAM_BARS), 1)
    counts = [0] * ((high - low) // width + 1)
    for length in lengths:
        counts[(length - low) // width] += 1
    bars = Markup("").join(
        _bar(low + i * width, width, count, max(counts)) for i, count in enumerate(counts)
    )
    return Markup(
        '<figure class="fuata-histogram"><figcaption>Row length in tokens</figcaption><div '
        'class="bars">{}</div>'
        '<div class="ends"><span>{}</span><span>{}</span></div></figure>'
    ).format(bars, low, high)


def _bar(start: int, width: int, count: int, most: int) -> Markup:
    span = f"{start}" if width == 1 else f"{start} to {start + width - 1}"
    return Markup('<i style="height:{:.1f}%" title="{} tokens: {} rows"></i>').format(
        100 * count / most, span, f"{count:,}"
    )


def _token(token: PreviewToken) -> Markup:
    kind = "padding" if token.padding else "trained" if token.trained else "masked"
    return Markup('<span class="{}" title="id {} · {}">{}</span>').format(
        kind, token.id, kind, _visible(token.text)
    )


def _visible(text: str) -> Markup:
    """Show line ends and tabs as signs beside themselves, so that no token is invisible."""
    return Markup("").join(_visible_parts(text))


def _visible_parts(text: str) -> Iterable[str | Markup]:
    for character in text:
        if character == "\n":
            yield Markup("↵<br>")
        elif character == "\t":
            yield "⇥\t"
        else:
            yield (
                character
                if character.isprintable() or character == " "
                else f"\\u{ord(character):04x}"
            )


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]


def _all_text(example: Example) -> str:
    return " ".join(f"{turn.text} {turn.input}" for turn in example.turns).casefold()


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_CELL else text[:_LONGEST_CELL] + " …"
