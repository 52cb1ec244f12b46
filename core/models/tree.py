"""Token sequences that begin alike as one tree, each shared beginning in it once, which a model reads
in one pass. Knows no task.

Shapes: N nodes of a tree, D tokens that all its sequences begin with and that are computed before,
W nodes whose logits are wanted, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers.cache_utils import DynamicCache

from core.models.load import takes_logits_to_keep
from core.models.masks import as_attention_takes, sliding_window
from core.models.prefix import shared_length

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Ids = Sequence[int]


@dataclass(frozen=True, slots=True)
class Tree:
    """The nodes of sequences from token D on, parents before their children."""

    ids: list[int]  # (N,): tokens
    depths: list[int]  # (N,): positions in their sequences, from D on
    parents: list[int]  # (N,): -1 for those that follow the shared beginning
    paths: list[list[int]]  # of each sequence: its nodes

    @property
    def is_chain(self) -> bool:
        """Whether every node follows the one before it, so that no mask is needed."""
        return self.parents == list(range(-1, len(self.ids) - 1))

    def sees(self, window: int | None) -> "np.ndarray[Any, np.dtype[np.bool_]]":
        """Return which nodes each node follows, itself among them, (N, N); with a ``window`` only
        those so near.
        """
        mask = np.zeros((len(self.ids), len(self.ids)), dtype=bool)
        for node, parent in enumerate(self.parents):
            if parent >= 0:
                mask[node] = mask[parent]
            mask[node, node] = True
        if window is not None:
            depths = np.array(self.depths)
            mask &= depths[:, None] - depths[None] < window
        return mask


def build_tree(sequences: Sequence[Ids], begun: int) -> Tree:
    """Return the tree of sequences, in ascending order, that agree on their first ``begun`` tokens."""
    ids: list[int] = []
    depths: list[int] = []
    parents: list[int] = []
    paths: list[list[int]] = []
    before: Ids = ()
    path: list[int] = []
    for sequence in sequences:
        path = path[: max(shared_length(before, sequence) - begun, 0)]
        for depth in range(begun + len(path), len(sequence)):
            parents.append(path[-1] if path else -1)
            path.append(len(ids))
            ids.append(sequence[depth])
            depths.append(depth)
        paths.append(list(path))
        before = sequence
    return Tree(ids, depths, parents, paths)


def read_tree(
    model: "PreTrainedModel", tree: Tree, nodes: Sequence[int], beginning: DynamicCache | None
) -> tuple[DynamicCache, torch.Tensor]:
    """Let a model read a tree after its ``beginning``, which stays as it is: return the keys and
    values of both, (D + N) positions of one row, and the logits after some nodes, (W, V).
    """
    device = model.device
    depths = torch.tensor(tree.depths, device=device)
    cache = DynamicCache()
    for number, layer in enumerate(beginning.layers if beginning is not None else ()):
        cache.update(layer.keys, layer.values, number)
    given: dict[str, Any] = {}
    if not tree.is_chain:
        begun = beginning.get_seq_length() if beginning is not None else 0
        mask = _mask(tree, depths, begun, sliding_window(model))
        given["attention_mask"] = as_attention_takes(mask, model)
    if keeps := takes_logits_to_keep(model):
        given["logits_to_keep"] = torch.tensor(nodes, device=device)
    logits = model(
        input_ids=torch.tensor([tree.ids], device=device),
        position_ids=depths[None],
        past_key_values=cache,
        use_cache=True,
        **given,
    ).logits[0]
    return cache, logits if keeps else logits[list(nodes)]


def _mask(tree: Tree, depths: torch.Tensor, begun: int, window: int | None) -> torch.Tensor:
    """Return what each node sees, (1, 1, N, D + N)."""
    own = torch.from_numpy(tree.sees(window)).to(depths.device)
    before = torch.ones((len(tree.ids), begun), dtype=torch.bool, device=depths.device)
    if window is not None:
        before = depths[:, None] - torch.arange(begun, device=depths.device) < window
    return torch.cat((before, own), dim=1)[None, None]
