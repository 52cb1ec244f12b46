"""One row as the loss will see it, made by the very function that makes the batches.

Knows no screen.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from core.datasets.choices import LongRows
from core.datasets.conversation import Example
from core.prompts.collate import IGNORED, pad_rows
from core.prompts.encoder import EncodedRow, PromptEncoder
from core.prompts.render import joins_system, render

_MARKS = re.compile(r"<\|[^<>|\s]{1,40}\|>|\[/?INST\]|<(?:start|end)_of_turn>")


@dataclass(frozen=True, slots=True)
class PreviewToken:
    """One token of a batch's row."""

    id: int
    text: str  # U+FFFD where the token is part of a character
    trained: bool  # some position has it as its target
    padding: bool = False


@dataclass(frozen=True, slots=True)
class Preview:
    """A row as text and tokens."""

    text: str  # exactly what is tokenised
    tokens: tuple[PreviewToken, ...]
    total_tokens: int  # padding left out
    trained_tokens: int
    cut_tokens: int  # beyond the context, not trained on
    ends_with_end_token: bool  # else the model would never learn to stop
    cautions: tuple[str, ...] = ()  # what is odd about the style under this tokenizer
    # the batch as the model sees it: each row's number and tokens, this row first
    batch: tuple[tuple[int, tuple[PreviewToken, ...]], ...] = ()
    left_out: bool = False  # too long, where such rows are left out; nothing of it is learnt


def preview_row(
    example: Example,
    encoder: PromptEncoder,
    max_tokens: int,
    *,
    mask_prompt: bool = True,
    long_rows: LongRows = "end",
    beside: Sequence[Example] = (),
) -> Preview:
    """Collate the row as training does and read the mask off its targets; of plain text in several
    pieces the first is shown.

    ``beside`` are other rows of the same batch: the longest of them decides how much padding the
    row gets.
    """
    whole = encoder.encode_example(example)
    fitted = whole.fitted(max_tokens, long_rows)
    row = fitted[0] if fitted else whole
    others = [
        one
        for other in beside
        for one in encoder.encode_example(other).fitted(max_tokens, long_rows)[:1]
    ]
    batch = pad_rows([row, *others], encoder.tokenizer.pad_id, mask_prompt=mask_prompt)
    every = [
        (one.row, _tokens(one, batch.targets[number].tolist(), encoder))
        for number, one in enumerate([row, *others])
    ]
    if not fitted:
        every[0] = (row.row, tuple(replace(token, trained=False) for token in every[0][1]))
    tokens = every[0][1]
    return Preview(
        text=encoder.example_text(example),
        tokens=tokens,
        total_tokens=len(row.ids),
        trained_tokens=sum(token.trained for token in tokens),
        cut_tokens=len(whole.ids) - len(row.ids),
        ends_with_end_token=encoder.ends_whole(row) and tokens[len(row.ids) - 1].trained,
        cautions=tuple(_cautions(example, row, encoder)),
        batch=tuple(every),
        left_out=not fitted,
    )


def _tokens(
    row: EncodedRow, targets: Sequence[int], encoder: PromptEncoder
) -> tuple[PreviewToken, ...]:
    """Return a batch's row with its padding; a token is trained where some position aims at it."""
    tokenizer = encoder.tokenizer
    is_target = [False, *(target != IGNORED for target in targets)]
    ids = [*row.ids, *[tokenizer.pad_id] * (len(is_target) - len(row.ids))]
    return tuple(
        PreviewToken(
            token_id,
            tokenizer.decode([token_id], with_special=True),
            trained,
            padding=position >= len(row.ids),
        )
        for position, (token_id, trained) in enumerate(zip(ids, is_target, strict=True))
    )


def _cautions(example: Example, row: EncodedRow, encoder: PromptEncoder) -> Iterator[str]:
    """Yield what somebody should know of this style under this tokenizer, as sentences."""
    specials = encoder.tokenizer.special_ids
    begin = specials.get(encoder.tokenizer.bos)
    if begin is not None and list(row.ids[:2]) == [begin, begin]:
        yield f"The row begins with {encoder.tokenizer.bos} twice: a template and a tokenizer both add it."
    if example.is_text:
        yield "This row is plain text: it is learnt as it stands, without a prompt style."
        return
    markup = "".join(
        part.text for part in render(encoder.style, example.turns, ask=False) if part.markup
    )
    split = dict.fromkeys(mark for mark in _MARKS.findall(markup) if mark not in specials)
    if split:
        names = ", ".join(split)
        yield f"No single tokens in this vocabulary, so learnt as several plain ones: {names}."
    if example.turns[0].role == "system" and joins_system(encoder.style, example.turns):
        yield (
            "This style has no place for a system prompt: it is put in front of the first question."
        )
