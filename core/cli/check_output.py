"""Results as JSON objects and as words for a terminal.

Knows how things are said, not how they are found.
"""

from typing import Any

from core.datasets.check import CheckReport
from core.datasets.near_duplicates import Repeat
from core.prompts.preview import Preview
from core.text import shortened

Object = dict[str, Any]
_MOST_LINES = 20


def check_object(report: CheckReport) -> Object:
    """Return a check report for ``--json``: counts under the plain names, rows beside them."""
    tokens = report.tokens
    return {
        "name": report.name,
        "format": report.format,
        "because": report.because,
        "notes": list(report.notes),
        "rows": report.rows,
        "usable": report.usable,
        "refused": [{"row": refusal.row, "reason": refusal.reason} for refusal in report.refused],
        "duplicates": len(report.repeats.exact),
        "duplicate_rows": [_repeat_object(repeat) for repeat in report.repeats.exact],
        "near_duplicates": len(report.repeats.near),
        "near_duplicate_rows": [_repeat_object(repeat) for repeat in report.repeats.near],
        "answer_in_prompt": list(report.rows_of("answer_in_prompt")),
        "placeholders": list(report.rows_of("placeholder")),
        "findings": {
            one.kind: [{"row": row, "what": what} for row, what in one.rows]
            for one in report.findings
        },
        "languages": dict(report.languages),
        "too_long": len(report.too_long),
        "too_long_rows": [
            {"row": x.row, "tokens": x.tokens, "lost_tokens": x.lost_tokens}
            for x in report.too_long
        ],
        "unused_fields": dict(report.unused_fields),
        "unwritable": [
            {"row": refusal.row, "reason": refusal.reason} for refusal in report.unwritable
        ],
        "lost_characters": [{"row": row, "characters": lost} for row, lost in report.lossy],
        "tokens": {
            "total": tokens.total,
            "trained": tokens.trained,
            "shortest": tokens.shortest,
            "median": tokens.median,
            "mean": tokens.mean,
            "longest": tokens.longest,
        },
    }


def check_text(report: CheckReport) -> str:
    """Return a check report as words."""
    tokens = report.tokens
    share = f"{tokens.trained:,} trained ({tokens.trained / tokens.total:.0%})"
    lines = [
        (
            f"{report.name}: {report.format}, {report.rows:,} rows, {report.usable:,} usable, "
            f"{len(report.refused):,} refused"
        ),
        (
            f"tokens: {tokens.total:,} in all, {share}; rows of {tokens.shortest} to "
            f"{tokens.longest}, median {tokens.median:g}"
        ),
    ]
    if report.because:
        lines.insert(1, f"read as {report.format}, because {report.because}")
    lines += _listing("read otherwise than it stands", list(report.notes))
    lines += _listing(
        "fields that are not used", [unused_words(*field) for field in report.unused_fields]
    )
    for finding in report.findings:
        found = [f"row {row}: {what}" for row, what in finding.rows]
        lines += _listing(f"{finding.title}, {finding.advice}", found)
    return "\n".join(lines)


def unused_words(name: str, rows: int) -> str:
    """Return one field that is not used as words."""
    return f"{shortened(name)} (in {rows:,} {'row' if rows == 1 else 'rows'})"


def preview_object(preview: Preview) -> Object:
    """Return a preview for ``--json``."""
    return {
        "text": preview.text,
        "tokens": [
            {"id": token.id, "text": token.text, "trained": token.trained}
            for token in preview.tokens
        ],
        "trained_tokens": preview.trained_tokens,
        "total_tokens": preview.total_tokens,
        "cut_tokens": preview.cut_tokens,
        "ends_with_end_token": preview.ends_with_end_token,
    }


def preview_text(preview: Preview) -> str:
    """Return a preview as words, each token on its own with a mark for those the loss sees."""
    lines = [
        preview.text,
        "",
        f"{preview.trained_tokens} of {preview.total_tokens} tokens are trained:",
    ]
    lines += [
        f"{'trained' if token.trained else '-100':>8}  {token.id:>6}  {token.text!r}"
        for token in preview.tokens
    ]
    if not preview.ends_with_end_token:
        lines.append(
            "The last trained token is not the end token: the model would not learn to stop."
        )
    return "\n".join(lines)


def _repeat_object(repeat: Repeat) -> Object:
    return {
        "row": repeat.row,
        "repeats": repeat.earlier_row,
        "same_answer": repeat.same_answer,
        "similarity": round(repeat.similarity, 3),
    }


def _listing(title: str, items: list[str]) -> list[str]:
    if not items:
        return []
    more = (
        [f"  … and {len(items) - _MOST_LINES} more (all with --json)"]
        if len(items) > _MOST_LINES
        else []
    )
    return [f"{title}: {len(items)}", *(f"  {item}" for item in items[:_MOST_LINES]), *more]
