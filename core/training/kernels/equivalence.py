"""What a model is tried with before the first step: a few rows, and how alike two ways of computing them must be."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from core.errors import ModelError
from core.prompts.collate import Batch, collate
from core.prompts.encoder import make_row

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TRIED_LENGTHS = (9, 14, 12)  # of the rows on which both ways must agree
_TRIED_BEGINNING = 6  # tokens that they have in common
_TOLERANCE = 1e-4  # of the logits' spread; float32 rounding makes a hundredth of it, another attention far more

_ROUNDED = 0.1  # of the spread, for weights in 16 bits


@contextmanager
def in_evaluation(model: "PreTrainedModel") -> Iterator[None]:
    """Let a model drop nothing out for a while."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def agree(found: torch.Tensor, expected: torch.Tensor, tolerance: float = _TOLERANCE) -> bool:
    """Tell whether logits are the same but for rounding; damaged weights agree, and are told of by the loss."""
    difference, spread = (found - expected).norm(), (expected - expected.mean()).norm()
    return bool(difference <= tolerance * spread) or not bool(expected.isfinite().all())


@torch.no_grad()
def asked_logits(model: "PreTrainedModel") -> torch.Tensor:
    """Return a model's logits on a few rows of arbitrary tokens: (B, T, V)."""
    with in_evaluation(model):
        logits: torch.Tensor = model(input_ids=tried_batch(model).inputs, use_cache=False).logits.float()
    return logits


def check_answers_as(model: "PreTrainedModel", expected: torch.Tensor, *, rounded: bool) -> None:
    """Raise ModelError where a model's logits are not those expected, but for the rounding of 16 bits where it is ``rounded``."""
    found = asked_logits(model)
    if found.shape != expected.shape or not agree(found, expected, _ROUNDED if rounded else _TOLERANCE):
        raise ModelError("What was written answers otherwise than the model in memory, so nothing of it was kept.")


def tried_batch(model: "PreTrainedModel") -> Batch:
    """Return a few rows of arbitrary tokens that begin alike."""
    words = max(min(int(model.config.get_text_config().vocab_size), 1000) - 1, 1)
    rows = []
    for number, length in enumerate(TRIED_LENGTHS):
        ids = [(37 * at if at < _TRIED_BEGINNING else 61 * at + 101 * number) % words + 1 for at in range(length)]
        rows.append(make_row(number + 1, ids[: _TRIED_BEGINNING + 2], ids[_TRIED_BEGINNING + 2 :]))
    return collate(rows, 0, mask_prompt=True)
