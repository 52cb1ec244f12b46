"""Continuous batching: many prompts at once, of which the next takes a place as soon as one has
ended. Knows no text.

Prompts are read together, what they begin with alike only once, and every step computes the rows
that still go on and no other. Shapes: A rows in use, V vocabulary.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import psutil
import torch
from transformers.cache_utils import DynamicCache

from core.generation.decode_step import find_decode_step
from core.generation.rows import Row, Step
from core.generation.sampling import sample_next_token
from core.generation.slot_cache import SlotCache
from core.models.masks import sliding_window
from core.models.prefix import Beginning, shared_length
from core.models.tree import build_tree, read_tree

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SHORTEST_PREFIX = 8  # tokens; to compute less than that once gains nothing
_WINDOW = 4  # times as many prompts are put in an order
_PREFILL_TOKENS = 512  # that are read at once, where they are of several prompts
_SHARE_OF_FREE_MEMORY = 0.5

Watcher = Callable[[Sequence[Row], torch.Tensor], object]  # is given rows and their logits, (A, V)
MOST_ROWS = 64  # that are answered at once: what more would gain is little for the memory it takes


class ContinuousBatch:
    """Rows that are answered together, each in its own way."""

    def __init__(
        self,
        model: "PreTrainedModel",
        rows: Sequence[Row] = (),
        most_rows: int = MOST_ROWS,
        watcher: Watcher = lambda _rows, _logits: None,
    ) -> None:
        """Answer nothing yet; ``watcher`` is given the logits that every token is drawn from."""
        self.model, self.watcher = model, watcher
        self.waiting = deque(_alike(rows, _WINDOW * most_rows))
        self.active: list[Row] = []
        self.wanted = self.most_rows = most_rows
        self.window = sliding_window(model)
        self.decode_step = find_decode_step(model)
        self.prefix = _common_beginning([row.prompt for row in rows])  # of all that wait
        self.beginning = Beginning(model)
        self.cache: SlotCache | None = None
        self._position_bytes = 0  # of a row's keys and values at one position
        self._may_lack_room = True  # for the rows that wait

    def run(self) -> Iterator[Step]:
        """Yield every row's tokens as they are drawn, and its end."""
        while self.has_work:
            yield from self.advance()

    @property
    def has_work(self) -> bool:
        """Whether a row waits or is on its way."""
        return bool(self.waiting or self.active)

    def add(self, rows: Sequence[Row]) -> None:
        """Let more rows wait for a place."""
        self.waiting.extend(rows)
        self.prefix = _common_beginning([row.prompt for row in self.waiting])
        self._may_lack_room = True

    @torch.inference_mode()
    def drop(self, is_wanted: Callable[[Row], bool]) -> None:
        """Let go of the rows that nobody wants any more."""
        self.waiting = deque(row for row in self.waiting if is_wanted(row))
        self._keep([is_wanted(row) for row in self.active])

    @torch.inference_mode()
    def advance(self) -> list[Step]:
        """Read the next prompts where there is a place for them, else the last token of every row;
        draw the next token of each.
        """
        free = self.most_rows - len(self.active)
        if self.waiting and (not self.active or 4 * free >= self.most_rows):
            return self._admit(free)
        return self._step()

    def _admit(self, free: int) -> list[Step]:
        """Read the next prompts, as many as have a place and are read at once; the first of all
        alone, which tells how much memory a row takes.
        """
        free = free if self.cache is not None else 1
        taken: list[Row] = []
        tokens, begun = 0, len(self.prefix)
        while self.waiting and len(taken) < free:
            tokens += len(self.waiting[0].prompt) - begun
            if taken and tokens > _PREFILL_TOKENS:
                break
            taken.append(self.waiting.popleft())
        read, places, logits = self._read(taken)
        if self._may_lack_room:
            self._make_room(read, taken)
        keeps, steps = self._take(taken, logits)
        if any(keeps):
            assert self.cache is not None
            kept = [row for row, keep in zip(taken, keeps, strict=True) if keep]
            stand = [place for place, keep in zip(places, keeps, strict=True) if keep]
            self.cache.admit(read, stand, max(row.room for row in kept))
            self.active += kept
        return steps

    def _make_room(self, read: DynamicCache, taken: Sequence[Row]) -> None:
        """Find for how many rows what is free allows, and at first take memory for them."""
        self._position_bytes = self._position_bytes or _position_bytes(read)
        rows = [*taken, *self.waiting]
        room = max(row.room for row in (*rows, *self.active))
        held = self.cache.count * self.cache.capacity * self._position_bytes if self.cache else 0
        free = _free_bytes(self.model.device) * _SHARE_OF_FREE_MEMORY + held
        self.most_rows = max(min(self.wanted, int(free / (self._position_bytes * room))), 1)
        self._may_lack_room = False
        if self.cache is None:
            self.cache = SlotCache(min(self.most_rows, len(rows)), room, self.model.device)

    def _read(self, rows: Sequence[Row]) -> tuple[DynamicCache, list[list[int]], torch.Tensor]:
        """Read prompts: return keys and values of one row, where in it the tokens of each prompt
        stand, and the logits after each, (A, V).
        """
        begun = len(self.prefix)
        order = sorted(range(len(rows)), key=lambda number: rows[number].prompt)
        tree = build_tree([rows[number].prompt for number in order], begun)
        paths: list[list[int]] = [[] for _ in rows]
        for number, path in zip(order, tree.paths, strict=True):
            paths[number] = path
        ends = [path[-1] for path in paths]
        read, logits = read_tree(self.model, tree, ends, self.beginning.computed(self.prefix))
        return read, [[*range(begun), *(begun + node for node in path)] for path in paths], logits

    def _step(self) -> list[Step]:
        """Read the last token of every row in use, and draw the next."""
        assert self.cache is not None
        ids = torch.tensor([row.pending for row in self.active], device=self.model.device)
        logits = self.decode_step(ids, self.cache, self.cache.mask(self.window))
        self.cache.step()
        keeps, steps = self._take(self.active, logits)
        self._keep(keeps)
        return steps

    def _keep(self, keeps: Sequence[bool]) -> None:
        """Let go of the rows in use that are not kept; the last ones take their slots."""
        for number in reversed([n for n, keep in enumerate(keeps) if not keep]):
            assert self.cache is not None
            self.cache.release(number)
            self.active[number] = self.active[-1]
            self.active.pop()

    def _take(self, rows: Sequence[Row], logits: torch.Tensor) -> tuple[list[bool], list[Step]]:
        """Draw a token of each row, (A, V): return which go on, and what is to be told."""
        self.watcher(rows, logits)
        keeps, steps = [], list[Step]()
        for row, token in zip(rows, draw_tokens(rows, logits).tolist(), strict=True):
            known = len(row.answer.ids)
            keeps.append(row.take(token))
            if len(row.answer.ids) > known:
                steps.append((row, token))
            if not keeps[-1]:
                steps.append((row, None))
        return keeps, steps


def draw_tokens(rows: Sequence[Row], logits: torch.Tensor) -> torch.Tensor:
    """Draw a token of each row by its own settings: (A, V) logits → (A,) ids."""
    if all(row.drawing == rows[0].drawing for row in rows):
        generators, seen = [row.generator for row in rows], [row.seen for row in rows]
        return sample_next_token(logits, rows[0].drawing, generators, seen)
    tokens = torch.empty(len(rows), dtype=torch.int64, device=logits.device)
    for drawing in {row.drawing for row in rows}:
        numbers = [number for number, row in enumerate(rows) if row.drawing == drawing]
        tokens[numbers] = draw_tokens([rows[number] for number in numbers], logits[numbers])
    return tokens


def _alike(rows: Sequence[Row], window: int) -> Iterator[Row]:
    """Yield rows that begin alike together, and none long before its turn."""
    for start in range(0, len(rows), window):
        yield from sorted(rows[start : start + window], key=lambda row: row.prompt)


def _common_beginning(prompts: Sequence[list[int]]) -> list[int]:
    """Return what all prompts begin with, but for the last token of the shortest; nothing where
    that is little.
    """
    if len(prompts) < 2:
        return []
    first, last = min(prompts), max(prompts)  # in between lie no others
    length = min(shared_length(first, last), min(map(len, prompts)) - 1)
    return first[:length] if length >= SHORTEST_PREFIX else []


def _position_bytes(cache: DynamicCache) -> int:
    """Return what a row's keys and values of one position take."""
    size = cache.layers[0].keys.element_size()
    numbers = sum(
        layer.keys[0, :, 0].numel() + layer.values[0, :, 0].numel() for layer in cache.layers
    )
    return int(numbers * size)


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)
