"""What a model is tried with before the first step: a few rows, and how alike two ways of computing
them must be.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from core.errors import ModelError
from core.prompts.encoder import make_row
from core.training.kernels.batch import Batch, collate

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PROBE_LENGTHS = (9, 14, 12)  # of the rows on which both ways must agree
_PROBE_PREFIX = 6  # tokens that they have in common
# of the logits' spread; float32 rounding makes a hundredth of it, another attention far more
_TOLERANCE = 1e-4

_ROUNDED_TOLERANCE = 0.1  # of the spread, for weights in 16 bits


@contextmanager
def in_evaluation(model: "PreTrainedModel") -> Iterator[None]:
    """Let a model drop nothing out for a while."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def outputs_match(
    found: torch.Tensor, expected: torch.Tensor, tolerance: float = _TOLERANCE
) -> bool:
    """Return whether logits are the same but for rounding; damaged weights agree, and are told of
    by the loss.
    """
    difference, spread = (found - expected).norm(), (expected - expected.mean()).norm()
    return bool(difference <= tolerance * spread) or not bool(expected.isfinite().all())


@torch.no_grad()
def probe_logits(model: "PreTrainedModel") -> torch.Tensor:
    """Return a model's logits on a few rows of arbitrary tokens: (B, T, V)."""
    with in_evaluation(model):
        logits: torch.Tensor = model(
            input_ids=probe_batch(model).inputs, use_cache=False
        ).logits.float()
    return logits


def check_outputs_match(model: "PreTrainedModel", expected: torch.Tensor, *, rounded: bool) -> None:
    """Raise ModelError where a model's logits are not those expected, but for the rounding of 16
    bits where it is ``rounded``.
    """
    found = probe_logits(model)
    if found.shape != expected.shape or not outputs_match(
        found, expected, _ROUNDED_TOLERANCE if rounded else _TOLERANCE
    ):
        raise ModelError(
            "What was written answers otherwise than the model in memory, so nothing of it was "
            "kept."
        )


def probe_batch(model: "PreTrainedModel") -> Batch:
    """Return a few rows of arbitrary tokens that begin alike."""
    vocabulary = max(min(int(model.config.get_text_config().vocab_size), 1000) - 1, 1)
    rows = []
    for number, length in enumerate(PROBE_LENGTHS):
        ids = [
            (37 * at if at < _PROBE_PREFIX else 61 * at + 101 * number) % vocabulary + 1
            for at in range(length)
        ]
        rows.append(make_row(number + 1, ids[: _PROBE_PREFIX + 2], ids[_PROBE_PREFIX + 2 :]))
    return collate(rows, 0, mask_prompt=True)
