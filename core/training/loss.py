"""The loss of a batch through an unchanged transformers model. Knows no optimiser and no schedule.

Shapes: B rows, T positions, K trained tokens, V vocabulary.

What is done otherwise than a plain call would, and changes nothing but the time and memory it takes: no attention mask is given
(right padding under a causal mask is never attended by a real token); logits are computed only where something is learnt; and
where a model's attention allows it the batch is one flat row of its real tokens, what rows begin with in common computed
once. Whether a model allows it is not looked up but tried: both ways must give the same logits before the first batch.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from core.models.loading import can_choose_positions
from core.prompts.batches import IGNORED, Batch, collate
from core.prompts.encoding import EncodedRow
from core.training.flat_rows import FlatRows, flat_call, flatten, understand_flat_rows

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_TRIED_LENGTHS = (9, 14, 12)  # of the rows on which both ways must agree
_TRIED_BEGINNING = 6  # tokens that they have in common
_TOLERANCE = 1e-4  # of the logits' spread; float32 rounding makes a hundredth of it, another attention far more


class BatchLoss:
    """The loss of batches through one model, computed in the quickest way that is exact for it."""

    def __init__(self, model: "PreTrainedModel") -> None:
        """Find out what the model allows; ``obstacle`` says why its batches are padded, or is empty."""
        self._model = model
        self._window = _attention_window(model)
        self._chooses = can_choose_positions(model)
        self.obstacle = self._find_obstacle()

    def summed(self, batch: Batch) -> torch.Tensor:
        """Return the cross-entropy summed over the batch's trained tokens, in nats: a scalar with a graph."""
        if self.obstacle or (self._window and batch.inputs.shape[1] > self._window):
            logits, targets = self._padded(batch)
            return functional.cross_entropy(logits.float(), targets, reduction="sum")
        rows = self._flatten(batch, shares=not _drops_out(self._model))
        return functional.cross_entropy(self._flat(rows).float(), rows.targets, reduction="none") @ rows.counts

    def _flatten(self, batch: Batch, *, shares: bool) -> FlatRows:
        return flatten(batch, _device(self._model), shares=shares)

    def _flat(self, rows: FlatRows) -> torch.Tensor:
        """Return the logits where something is learnt: (K, V)."""
        with flat_call(rows) as named:
            logits: torch.Tensor = self._model(**named, logits_to_keep=rows.kept).logits
        return logits[0]

    def _padded(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the logits where something is learnt, (K, V), row by row, and their targets, (K,)."""
        device = _device(self._model)
        inputs, targets = batch.inputs.to(device), batch.targets.to(device)  # (B, T)
        columns = (targets != IGNORED).any(dim=0).nonzero().squeeze(1)
        wanted: dict[str, Any] = {"logits_to_keep": columns} if self._chooses else {}
        logits = self._model(input_ids=inputs, use_cache=False, **wanted).logits
        if not self._chooses:
            logits = logits[:, columns]
        seen = targets[:, columns] != IGNORED
        return logits[seen], targets[:, columns][seen]

    @torch.no_grad()
    def _find_obstacle(self) -> str:
        """Return why flat rows are not for this model, or '' after they gave the logits that padded rows give."""
        if not self._chooses:
            return "its logits cannot be asked for at chosen positions"
        if self._window is None or 0 < self._window < max(_TRIED_LENGTHS):
            return "not all of its layers attend as flat rows need it"
        base = self._model.get_base_model() if hasattr(self._model, "get_base_model") else self._model
        usual = base.config._attn_implementation  # noqa: SLF001 - transformers has no public name for it
        was_training = self._model.training
        self._model.eval()
        try:
            obstacle = self._try_flat_rows(base)
        except Exception as error:  # whatever an unknown model objects to: padded rows serve every one
            obstacle = f"it refuses them ({str(error).splitlines()[0] if str(error) else type(error).__name__})"
        finally:
            self._model.train(was_training)
        if obstacle:
            base.set_attn_implementation(usual)
        return obstacle

    def _try_flat_rows(self, base: "PreTrainedModel") -> str:
        batch = _tried_batch(self._model)
        expected, _ = self._padded(batch)
        understand_flat_rows(base)
        found = self._flat(self._flatten(batch, shares=True))
        agree = (found - expected).norm() <= _TOLERANCE * (expected - expected.mean()).norm()
        return "" if agree or not expected.isfinite().all() else "its attention is of another kind"


def _device(model: "PreTrainedModel") -> torch.device:
    weight: torch.Tensor = next(model.parameters())
    return weight.device


def _attention_window(model: "PreTrainedModel") -> int | None:
    """Return how far back attention sees in tokens, 0 for all the way; None where some layer does something else."""
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or [])
    if kinds - {"full_attention", "sliding_attention"}:
        return None
    window = getattr(config, "sliding_window", None)
    return int(window) if window and (not kinds or "sliding_attention" in kinds) else 0


def _drops_out(model: "PreTrainedModel") -> bool:
    """Tell whether dropout is at work, which must differ from row to row from their first tokens on."""
    if not model.training:
        return False
    if getattr(model.config, "attention_dropout", 0.0):
        return True
    return any(isinstance(module, torch.nn.Dropout) and module.training and module.p > 0 for module in model.modules())


def _tried_batch(model: "PreTrainedModel") -> Batch:
    """Return a few rows of arbitrary tokens that begin alike."""
    words = max(min(int(model.config.get_text_config().vocab_size), 1000) - 1, 1)
    rows = []
    for number, length in enumerate(_TRIED_LENGTHS):
        ids = [(37 * at if at < _TRIED_BEGINNING else 61 * at + 101 * number) % words + 1 for at in range(length)]
        rows.append(EncodedRow(number + 1, tuple(ids), tuple(at > _TRIED_BEGINNING + 1 for at in range(length))))
    return collate(rows, 0, mask_prompt=True)
