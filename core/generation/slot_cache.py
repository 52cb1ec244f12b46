"""Keys and values of many texts of different lengths, one slot each, in memory that is taken once.

Knows no model. Shapes: S slots, A of them in use, H heads of keys and values, C positions of a slot,
D numbers of a head, L positions of the longest text in use.
"""

from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

_GROWTH = 1.5


class _SlotLayer(DynamicLayer):  # type: ignore[misc]
    """One layer's keys and values, (S, H, C, D) each; a step writes one position of every slot."""

    def __init__(self, slots: "SlotCache", like: torch.Tensor) -> None:
        super().__init__()
        self._slots = slots
        shape = (slots.count, like.shape[1], slots.capacity, like.shape[3])
        self.dtype, self.device = like.dtype, like.device
        self.keys, self.values = like.new_zeros(shape), like.new_zeros(shape)
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write (A, H, 1, D) each, and return what is to be attended to, (A, H, L, D)."""
        used, longest = len(self._slots.rows), self._slots.longest + 1
        self.keys[self._slots.rows, :, self._slots.positions] = key_states[:, :, 0]
        self.values[self._slots.rows, :, self._slots.positions] = value_states[:, :, 0]
        return self.keys[:used, :, :longest], self.values[:used, :, :longest]

    def get_seq_length(self) -> int:
        return self._slots.longest

    def grow(self, count: int, capacity: int) -> None:
        for name in ("keys", "values"):
            old = getattr(self, name)
            new = old.new_zeros((count, old.shape[1], capacity, old.shape[3]))
            new[: old.shape[0], :, : old.shape[2]] = old
            setattr(self, name, new)


class SlotCache(Cache):  # type: ignore[misc]
    """A cache of transformers whose rows come and go; rows in use are the first ``A`` slots."""

    def __init__(self, count: int, capacity: int, device: torch.device) -> None:
        """Make room for ``count`` texts of ``capacity`` positions; both grow where they must."""
        super().__init__(layers=[])
        self.layers: list[Any]
        self.count, self.capacity = count, capacity
        self.rows = torch.empty(0, dtype=torch.int64, device=device)  # (A,): 0, 1, …
        self.positions = self.rows  # (A,): where the next token of each goes
        self.longest = 0

    def admit(self, read: DynamicCache, places: Sequence[Sequence[int]], room: int) -> None:
        """Add a text for each of ``places``, which say at which positions of a cache of one row its
        tokens stand, and make room for ``room`` positions of each.
        """
        if not self.layers:
            self.layers = [_SlotLayer(self, layer.keys) for layer in read.layers]
        first, lengths = len(self.rows), [len(one) for one in places]
        if room > self.capacity or first + len(places) > self.count:
            if room > self.capacity:
                self.capacity = max(room, int(_GROWTH * self.capacity))
            self.count = max(self.count, first + len(places))
            for layer in self.layers:
                layer.grow(self.count, self.capacity)
        filled = max(lengths)
        wanted = torch.tensor(
            [[*one, *[0] * (filled - len(one))] for one in places], device=self.rows.device
        )
        for mine, theirs in zip(self.layers, read.layers, strict=True):
            for own, other in ((mine.keys, theirs.keys), (mine.values, theirs.values)):
                own[first : first + len(places), :, :filled] = other[0][:, wanted].transpose(0, 1)
        self._set(torch.cat((self.positions, torch.tensor(lengths, device=self.rows.device))))

    def step(self) -> None:
        """Every text in use has one token more."""
        self.positions = self.positions + 1
        self.longest += 1

    def release(self, row: int) -> None:
        """Let a row go; the last one in use takes its slot."""
        last = len(self.rows) - 1
        if row != last:
            length = int(self.positions[last])
            for layer in self.layers:
                layer.keys[row, :, :length] = layer.keys[last, :, :length]
                layer.values[row, :, :length] = layer.values[last, :, :length]
            self.positions[row] = self.positions[last]
        self._set(self.positions[:last])

    def mask(self, window: int | None) -> torch.Tensor | None:
        """Return which positions each row attends to, (A, 1, 1, L); None where it is all of them
        for all. With a ``window`` only so many, the row's own among them.
        """
        longest = self.longest + 1
        is_even = bool((self.positions == self.longest).all())
        if is_even and (window is None or longest <= window):
            return None
        places = torch.arange(longest, device=self.positions.device)
        seen = places <= self.positions[:, None]
        if window is not None:
            seen &= places > self.positions[:, None] - window
        return seen[:, None, None]

    def _set(self, positions: torch.Tensor) -> None:
        self.positions = positions.clone()
        self.rows = torch.arange(len(positions), device=positions.device)
        self.longest = int(positions.max()) if len(positions) else 0
