"""One row as the loss will see it, made by the very function that makes the batches.

Knows no screen.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from core.datasets.conversation import Example
from core.prompts.collate import IGNORED, pad_rows
from core.prompts.encoder import PromptEncoder


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


def preview_row(
    example: Example,
    encoder: PromptEncoder,
    max_tokens: int,
    *,
    mask_prompt: bool = True,
    beside: Sequence[Example] = (),
) -> Preview:
    """Collate the row as training does and read the mask off its targets.

    ``beside`` are other rows of the same batch: the longest of them decides how much padding the
    row gets.
    """
    whole = encoder.encode_example(example)
    row = whole.cut(max_tokens)
    tokenizer = encoder.tokenizer
    others = [encoder.encode_example(other).cut(max_tokens) for other in beside]
    batch = pad_rows([row, *others], tokenizer.pad_id, mask_prompt=mask_prompt)
    is_target = [False, *(target != IGNORED for target in batch.targets[0].tolist())]
    ids = [*row.ids, *[tokenizer.pad_id] * (len(is_target) - len(row.ids))]
    tokens = tuple(
        PreviewToken(
            token_id,
            tokenizer.decode([token_id], with_special=True),
            trained,
            padding=position >= len(row.ids),
        )
        for position, (token_id, trained) in enumerate(zip(ids, is_target, strict=True))
    )
    return Preview(
        text=encoder.example_text(example),
        tokens=tokens,
        total_tokens=len(row.ids),
        trained_tokens=sum(is_target),
        cut_tokens=len(whole.ids) - len(row.ids),
        ends_with_end_token=encoder.ends_whole(row) and is_target[len(row.ids) - 1],
    )
