"""Continuous batching: many prompts at once, of which the next takes a place as soon as one has
ended. Knows no text.

Prompts of like length are read together, what all of them begin with only once, and every step
computes the rows that still go on and no other. Shapes: A rows in use, P positions of the longest
prompt read, V vocabulary.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import psutil
import torch
from transformers.cache_utils import DynamicCache

from core.generation.rows import Limits, Row, Step
from core.generation.sampling import Sampling, sample_next_token
from core.generation.slot_cache import SlotCache
from core.models.load import takes_logits_to_keep
from core.models.masks import as_attention_takes, sliding_window
from core.models.prefix import read_on, shared_length

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SHORTEST_PREFIX = 8  # tokens; to compute less than that once gains nothing
_WINDOW = 4  # times as many prompts are put in the order of their lengths
_PREFILL_TOKENS = 4096  # that are read at once, padding among them
_SHARE_OF_FREE_MEMORY = 0.5

Watcher = Callable[[Sequence[Row], torch.Tensor], object]  # is given rows and their logits, (A, V)


class ContinuousBatch:
    """Rows that are answered together."""

    def __init__(
        self,
        model: "PreTrainedModel",
        sampling: Sampling,
        limits: Limits,
        rows: Sequence[Row],
        watcher: Watcher = lambda _rows, _logits: None,
    ) -> None:
        """Answer nothing yet; ``watcher`` is given the logits that every token is drawn from."""
        self.model, self.sampling, self.limits = model, sampling, limits
        most_rows, self.watcher = limits.most_rows, watcher
        self.waiting = deque(_by_length(rows, _WINDOW * most_rows))
        self.active: list[Row] = []
        self.most_rows = most_rows
        self.window = sliding_window(model)
        self.prefix = _common_beginning([row.prompt for row in rows])
        self.prefix_cache: DynamicCache | None = None
        self.cache: SlotCache | None = None

    @torch.inference_mode()
    def run(self) -> Iterator[Step]:
        """Yield every row's tokens as they are drawn, and its end."""
        while self.waiting or self.active:
            free = self.most_rows - len(self.active)
            if self.waiting and (not self.active or 4 * free >= self.most_rows):
                yield from self._admit(free)
            elif self.active:
                yield from self._step()

    def _admit(self, free: int) -> Iterator[Step]:
        """Read the next prompts, as many as have a place and are read at once; the first of all
        alone, which tells how much memory a row takes.
        """
        free = free if self.cache is not None else 1
        taken: list[Row] = []
        while self.waiting and len(taken) < free:
            longest = max(len(row.prompt) for row in (*taken, self.waiting[0]))
            if taken and longest * (len(taken) + 1) > _PREFILL_TOKENS:
                break
            taken.append(self.waiting.popleft())
        prefilled, logits = self._read([row.prompt for row in taken])
        if self.cache is None:
            self._make_room(prefilled, taken)
        keeps, steps = self._take(taken, logits)
        yield from steps
        kept = [row for row, keep in zip(taken, keeps, strict=True) if keep]
        if kept and self.cache is not None:
            _select(prefilled, [number for number, keep in enumerate(keeps) if keep])
            room = max(len(row.prompt) + self._most_new(row) for row in kept)
            self.cache.admit(prefilled, [len(row.prompt) for row in kept], room)
            self.active += kept

    def _most_new(self, row: Row) -> int:
        return min(self.sampling.max_new_tokens, self.limits.context - len(row.prompt))

    def _make_room(self, prefilled: DynamicCache, taken: Sequence[Row]) -> None:
        """Take memory for as many rows as are wanted and what is free allows."""
        position = (
            sum(
                layer.keys[0, :, 0].numel() + layer.values[0, :, 0].numel()
                for layer in prefilled.layers
            )
            * prefilled.layers[0].keys.element_size()
        )  # bytes
        rows = [*taken, *self.waiting]
        room = max(len(row.prompt) + self._most_new(row) for row in rows)
        free = _free_bytes(self.model.device) * _SHARE_OF_FREE_MEMORY
        fitting = max(int(free / (position * room)), 1)
        self.most_rows = min(self.most_rows, len(rows), fitting)
        self.cache = SlotCache(self.most_rows, room, self.model.device)

    def _read(self, prompts: Sequence[list[int]]) -> tuple[DynamicCache, torch.Tensor]:
        """Read prompts, padded on the right: return their keys and values, and the logits after
        each, (A, V).
        """
        begun = len(self.prefix)
        cache = self._begun(len(prompts)) if begun else DynamicCache()
        longest = max(map(len, prompts)) - begun
        ids = torch.tensor(
            [p[begun:] + [self.limits.pad_id] * (longest + begun - len(p)) for p in prompts],
            device=self.model.device,
        )  # (A, P)
        lasts = torch.tensor([len(prompt) - begun - 1 for prompt in prompts])
        wanted, place = torch.unique(lasts, return_inverse=True)
        keep: dict[str, Any] = {}
        if takes_logits_to_keep(self.model):
            keep["logits_to_keep"] = wanted.to(self.model.device)
        else:
            place = lasts
        positions = torch.arange(begun, begun + longest, device=self.model.device)
        output = self.model(
            input_ids=ids,
            position_ids=positions.expand(len(prompts), -1),
            past_key_values=cache,
            use_cache=True,
            **keep,
        )
        return cache, output.logits[torch.arange(len(prompts)), place]

    def _begun(self, count: int) -> DynamicCache:
        """Return a cache of ``count`` rows that have read what all prompts begin with."""
        if self.prefix_cache is None:
            self.prefix_cache = DynamicCache()
            read_on(self.model, self.prefix_cache, self.prefix, 0)
        begun = DynamicCache()
        for number, layer in enumerate(self.prefix_cache.layers):
            size = (count, -1, -1, -1)
            begun.update(layer.keys.expand(size), layer.values.expand(size), number)
        return begun

    def _step(self) -> Iterator[Step]:
        """Read the last token of every row in use, and draw the next."""
        assert self.cache is not None
        cache = self.cache
        ids = torch.tensor([[row.pending] for row in self.active], device=self.model.device)
        given: dict[str, Any] = {}
        if (mask := cache.mask(self.window)) is not None:
            given["attention_mask"] = as_attention_takes(mask, self.model)
        output = self.model(
            input_ids=ids,
            position_ids=cache.positions[:, None],
            past_key_values=cache,
            use_cache=True,
            **given,
        )
        cache.step()
        keeps, steps = self._take(self.active, output.logits[:, -1])
        for number in reversed([n for n, keep in enumerate(keeps) if not keep]):
            cache.release(number)
            self.active[number] = self.active[-1]
            self.active.pop()
        yield from steps

    def _take(self, rows: Sequence[Row], logits: torch.Tensor) -> tuple[list[bool], list[Step]]:
        """Draw a token of each row, (A, V): return which go on, and what is to be told."""
        self.watcher(rows, logits)
        tokens = sample_next_token(
            logits, self.sampling, [row.generator for row in rows], [row.seen for row in rows]
        )
        keeps, steps = [], list[Step]()
        for row, token in zip(rows, tokens.tolist(), strict=True):
            known = len(row.answer.ids)
            keeps.append(row.take(token, self.sampling, self.limits))
            if len(row.answer.ids) > known:
                steps.append((row.number, token))
            if not keeps[-1]:
                steps.append((row.number, None))
        return keeps, steps


def _by_length(rows: Sequence[Row], window: int) -> Iterator[Row]:
    """Yield rows with like lengths together, and none long before its turn."""
    for start in range(0, len(rows), window):
        yield from sorted(rows[start : start + window], key=lambda row: len(row.prompt))


def _common_beginning(prompts: Sequence[list[int]]) -> list[int]:
    """Return what all prompts begin with, but for the last token of the shortest; nothing where
    that is little.
    """
    if len(prompts) < 2:
        return []
    first, last = min(prompts), max(prompts)  # in between lie no others
    length = min(shared_length(first, last), min(map(len, prompts)) - 1)
    return first[:length] if length >= SHORTEST_PREFIX else []


def _select(cache: DynamicCache, rows: Sequence[int]) -> None:
    for layer in cache.layers:
        layer.keys, layer.values = layer.keys[list(rows)], layer.values[list(rows)]


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)
