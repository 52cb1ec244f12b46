"""The loss of a batch through an unchanged transformers model, and its gradients.

Knows no optimiser and no schedule. Shapes: B rows, T positions, N tokens of a flat row, K trained
tokens, D numbers a token, V vocabulary.

What is done otherwise than a plain call would, and changes nothing but the time and memory it
takes: no attention mask is given (right padding under a causal mask is never attended by a real
token); logits are computed only where something is learnt; where a model's attention allows it the
batch is one flat row of its tokens, what rows begin with in common computed once (flat_batch.py),
and the last layer is computed where it is read (last_layer.py); where its output layer is a plain
one, the loss goes through it in chunks (chunked_cross_entropy.py); and activations, norms and adapters that are
known are computed in fewer passes (fused_layers.py). Whether a model allows this is not looked up
but tried: both ways must give the same logits before the first batch.
"""

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from core.models.fsdp import is_sharded
from core.models.layout import base_of
from core.models.load import autocast, takes_logits_to_keep
from core.prompts.collate import IGNORED
from core.training.kernels.batch import Batch
from core.training.kernels.chunked_cross_entropy import chunked_cross_entropy
from core.training.kernels.embedding_gradient import accumulate_embedding_grad, is_plain
from core.training.kernels.equivalence import (
    PROBE_LENGTHS,
    in_evaluation,
    outputs_match,
    probe_batch,
)
from core.training.kernels.flat_batch import (
    FlatBatch,
    Layout,
    flat_call,
    flatten,
    moved,
    recording_heads,
    register_flat_attention,
)
from core.training.kernels.fused_layers import fuse_layers
from core.training.kernels.last_layer import skip_unread_positions
from core.training.kernels.varlen_attention import Heads, has_kernel

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class BatchLoss:
    """The loss of batches through one model, computed in the quickest way that is exact for it."""

    def __init__(self, model: "PreTrainedModel", precision: torch.dtype | None = None) -> None:
        """Find out what the model allows; ``obstacle`` says why its batches are padded, or is
        empty.

        ``precision`` is what products are computed in where it is not float32.

        Where ``is_sharded``, several processes must call at the same time, and find the average of
        their gradients.
        """
        self._model = model
        self._base = base_of(model)
        self._window = _attention_window(model)
        self._chooses = takes_logits_to_keep(model)
        self.is_sharded = any(is_sharded(weight) for weight in model.parameters())
        self._head: torch.nn.Linear | None = None
        # until it was tried: dropout must differ from row to row from their first tokens on
        self._has_dropout = True
        self._uses_varlen = False
        self._heads: set[Heads] = set()
        self._precision: torch.dtype | None = None  # what the model allows is found out in its own
        fuse_layers(model)
        self.unsupported_reason = self._find_unsupported_reason()
        self._precision = precision
        self._uses_varlen = not self.unsupported_reason and self._can_pack()

    @torch.no_grad()
    def summed(self, batch: Batch) -> torch.Tensor:
        """Return the cross-entropy summed over the batch's trained tokens, in nats: a scalar
        without a graph.
        """
        return self._loss(batch, 1.0, learns=False)

    def backward(self, batch: Batch, divisor: float) -> torch.Tensor:
        """Add the gradients of the summed loss over ``divisor`` to the parameters' and return that
        loss, a scalar.
        """
        return self._loss(batch, divisor, learns=True)

    def _loss(self, batch: Batch, divisor: float, *, learns: bool) -> torch.Tensor:
        if self.unsupported_reason or (self._window and batch.inputs.shape[1] > self._window):
            logits, targets = self._padded(batch)
            weights = torch.ones_like(targets, dtype=torch.float32)
        else:
            rows = self._flatten(batch, shares=not (self._model.training and self._has_dropout))
            if self._head is not None:
                return self._through_head(self._head, rows, divisor, learns=learns)
            logits, targets, weights = self._flat(rows), rows.targets, rows.counts
        loss = (
            functional.cross_entropy(logits.float(), targets, reduction="none") @ weights / divisor
        )
        if learns:
            loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _through_head(
        self, head: torch.nn.Linear, rows: FlatBatch, divisor: float, *, learns: bool
    ) -> torch.Tensor:
        embedding = self._base.get_input_embeddings()
        tokens: dict[str, torch.Tensor] = {"input_ids": rows.ids}
        by_hand = learns and is_plain(embedding) and embedding.weight.requires_grad
        # a leaf of its own: its gradient, (N, D), is added to the weights' without one of (V, D)
        # between
        if by_hand:
            leaf = functional.embedding(rows.ids, embedding.weight.detach()).requires_grad_()
            tokens = {"inputs_embeds": leaf.clone()}  # a model may change what it is given in place
        hidden = self._hidden(rows, tokens)
        seen = hidden.detach().to(self._precision or hidden.dtype)
        loss, gradient = chunked_cross_entropy(
            head, seen, rows.targets, rows.counts / divisor, learns=learns
        )
        if gradient is not None and hidden.requires_grad:
            hidden.backward(gradient.to(hidden.dtype))  # type: ignore[no-untyped-call]
        if by_hand:
            accumulate_embedding_grad(embedding, rows.ids[0], leaf.grad)
        return loss

    def _hidden(self, rows: FlatBatch, tokens: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return what the output layer is given where something is learnt: (K, D)."""
        with flat_call(rows) as named, self._autocast():
            hidden: torch.Tensor = self._base.get_decoder()(**tokens, **named).last_hidden_state
        return hidden[0, rows.loss_positions]

    def _flatten(self, batch: Batch, *, shares: bool) -> FlatBatch:
        return flatten(batch, _device(self._model), shares=shares, layout=self._layout())

    def _layout(self) -> Layout:
        """Return how attention gets the rows now."""
        if self._base.get_decoder()._compiled_call_impl is not None:  # noqa: SLF001 - torch and transformers have no public name for it
            return "padded"  # compiled once, for any batch
        if self._uses_varlen and not (self._model.training and self._has_dropout):
            return "packed"
        return "grouped" if _device(self._model).type == "cpu" else "padded"

    def _flat(self, rows: FlatBatch) -> torch.Tensor:
        """Return the logits where something is learnt: (K, V)."""
        with flat_call(rows) as named, self._autocast():
            logits: torch.Tensor = self._model(
                input_ids=rows.ids, **named, logits_to_keep=rows.loss_positions
            ).logits
        return logits[0]

    def _padded(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the logits where something is learnt, (K, V), row by row, and their targets, (K,)."""
        device = _device(self._model)
        labelled = batch.targets != IGNORED  # (B, T)
        columns = labelled.any(dim=0).nonzero().squeeze(1)
        # what is found out here a GPU need not be waited for
        slots = labelled[:, columns].flatten().nonzero().squeeze(1)
        wanted: dict[str, Any] = {"logits_to_keep": moved(columns, device)} if self._chooses else {}
        with self._autocast():
            logits = self._model(
                input_ids=moved(batch.inputs, device), use_cache=False, **wanted
            ).logits
        if not self._chooses:
            logits = logits.index_select(1, moved(columns, device))
        return logits.flatten(0, 1).index_select(0, moved(slots, device)), moved(
            batch.targets[labelled], device
        )

    def _autocast(self) -> AbstractContextManager[None]:
        return autocast(self._precision, _device(self._model))

    def _can_pack(self) -> bool:
        """Return whether there is a kernel for rows without padding for all heads that the model's
        layers attend with.
        """
        weight = next(self._model.parameters())
        kind = self._precision or weight.dtype
        return bool(self._heads) and all(
            has_kernel(weight.device, kind, heads) for heads in self._heads
        )

    @torch.no_grad()
    def _find_unsupported_reason(self) -> str:
        """Return why flat rows are not for this model, or '' after they gave the logits that padded
        rows give.
        """
        if not self._chooses:
            return "its logits cannot be asked for at chosen positions"
        if self._window is None or 0 < self._window < max(PROBE_LENGTHS):
            return "not all of its layers attend as flat rows need it"
        implementation = self._base.config._attn_implementation  # noqa: SLF001 - torch and transformers have no public name for it
        try:
            with in_evaluation(self._model):
                unsupported_reason = self._try_flat_rows()
        except (
            Exception
        ) as error:  # whatever an unknown model objects to: padded rows serve every one
            unsupported_reason = f"it refuses them ({str(error).splitlines()[0] if str(error) else type(error).__name__})"
        if unsupported_reason:
            self._base.set_attn_implementation(implementation)
        return unsupported_reason

    def _try_flat_rows(self) -> str:
        batch = probe_batch(self._model)
        expected, _ = self._padded(batch)
        register_flat_attention(self._base)
        rows = self._flatten(batch, shares=True)
        with recording_heads() as self._heads:
            logits = self._flat(rows)
        if not outputs_match(logits, expected):
            return "its attention is of another kind"
        self._head = self._try_head(rows, expected)
        self._has_dropout = self._is_random(rows)
        self._try_last_layer(rows, expected)
        return ""

    def _try_last_layer(self, rows: FlatBatch, expected: torch.Tensor) -> None:
        """Compute the last layer only where it is read, if that gives the same logits."""
        undo = skip_unread_positions(self._base)
        try:
            is_same = outputs_match(self._flat(rows), expected)
        except Exception:  # a module that makes something else of its tokens
            is_same = False
        if not is_same:
            undo()

    def _is_random(self, rows: FlatBatch) -> bool:
        """Return whether the model in training computes the same tokens otherwise each time."""
        device = _device(self._model)
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            self._model.train()
            one, other = self._flat(rows), self._flat(rows)
            self._model.eval()
        return not torch.equal(one, other)

    def _try_head(self, rows: FlatBatch, expected: torch.Tensor) -> torch.nn.Linear | None:
        """Return the output layer when it makes the model's logits out of its hidden states, and
        nothing else does.
        """
        head = self._base.get_output_embeddings()
        # its weights come together only inside the model's call
        if type(head) is not torch.nn.Linear or self.is_sharded:
            return None
        embedding = self._base.get_input_embeddings()
        inputs: list[dict[str, torch.Tensor]] = [{"input_ids": rows.ids}]
        if is_plain(embedding):
            inputs.append({"inputs_embeds": embedding(rows.ids)})
        try:
            found = [head(self._hidden(rows, tokens)) for tokens in inputs]
        except Exception:
            return None
        return head if all(outputs_match(logits, expected) for logits in found) else None


def _device(model: "PreTrainedModel") -> torch.device:
    weight: torch.Tensor = next(model.parameters())
    return weight.device


def _attention_window(model: "PreTrainedModel") -> int | None:
    """Return how far back attention sees in tokens, 0 for all the way; None where some layer does
    something else.
    """
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or [])
    if kinds - {"full_attention", "sliding_attention"}:
        return None
    window = getattr(config, "sliding_window", None)
    return int(window) if window and (not kinds or "sliding_attention" in kinds) else 0
