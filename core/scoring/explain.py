"""How sure a model was of each token of a reply, and what it might have said instead."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True)
class TokenProbability:
    """One token of a reply."""

    id: int
    log_probability: float  # nats
    likeliest: tuple[tuple[int, float], ...]  # ids and log-probabilities, the likeliest first


def explain_reply(
    model: "PreTrainedModel", prompt: Sequence[int], reply: Sequence[int], count: int = 5
) -> list[TokenProbability]:
    """Return what a model made of each token of a reply, with the ``count`` likeliest at its place.

    Shapes: R tokens of the reply, V vocabulary. Before temperature and whatever else sampling does.
    """
    import torch

    from core.models.load import takes_logits_to_keep

    if not reply:
        return []
    with torch.inference_mode():
        ids = torch.tensor([[*prompt, *reply[:-1]]], device=model.device)
        last_only = {"logits_to_keep": len(reply)} if takes_logits_to_keep(model) else {}
        logits = model(input_ids=ids, use_cache=False, **last_only).logits[0, -len(reply) :]
        shares = logits.float().log_softmax(dim=-1)  # (R, V)
        said = torch.tensor(list(reply), device=model.device)
        own = shares[torch.arange(len(reply)), said].tolist()
        top = shares.topk(min(count, shares.shape[-1]), dim=-1)
    return [
        TokenProbability(token, share, tuple(zip(ids, shares, strict=True)))
        for token, share, ids, shares in zip(
            reply, own, top.indices.tolist(), top.values.tolist(), strict=True
        )
    ]
