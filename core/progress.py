"""How far long work is, and stopping it: who works counts, who watches reads. Knows no work.

A watch belongs to the block it is opened by; loops inside tell it through ``counted``, wherever they
stand, and do nothing where nobody watches.
"""

import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import count
from typing import TypeVar

from core.errors import StoppedError

T = TypeVar("T")
_EVERY_S = 0.1  # that a watch is told
_TOLD_AFTER_S = 1.0  # what takes less, nobody needs to be told of
_numbers = count(1)


@dataclass(slots=True)
class Watch:
    """One piece of work: its steps with their usual shares of the time, and how far it is."""

    title: str
    steps: Mapping[str, float]  # in their order; the shares add up to 1
    number: int = field(default_factory=lambda: next(_numbers))
    began: float = field(default_factory=time.monotonic)
    step: str = ""
    share_of_step: float = 0.0
    is_stopping: bool = False

    @property
    def share(self) -> float:
        """How much of all is done, 0 to 1."""
        done = 0.0
        for name, share in self.steps.items():
            if name == self.step:
                return done + share * self.share_of_step
            done += share
        return 0.0

    @property
    def left_s(self) -> float | None:
        """The seconds that are left at the pace so far; None where that is a guess yet."""
        took, share = time.monotonic() - self.began, self.share
        return took * (1 - share) / share if took > _TOLD_AFTER_S and share > 0.02 else None

    @property
    def is_long(self) -> bool:
        """Whether it takes so long that somebody may want to be told."""
        return time.monotonic() - self.began > _TOLD_AFTER_S

    def stop(self) -> None:
        """Let the work end at its next step with StoppedError."""
        self.is_stopping = True


class TimeLeft:
    """How long counted work still takes, at its pace since it was first looked at."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._since: tuple[str, int, float] = ("", 0, 0.0)

    def seconds(self, step: str, done: int, total: int) -> float | None:
        """Return the seconds that a step still takes; None where that is a guess yet."""
        known, first, since = self._since
        if step != known:
            self._since = (step, done, time.monotonic())
            return None
        took, more = time.monotonic() - since, done - first
        if took < _TOLD_AFTER_S or more < 1 or done >= total:
            return None
        return took / more * (total - done)


def about_time(seconds: float) -> str:
    """Return a length of time in words, as exact as a guess may be."""
    if seconds < 90:
        return f"about {max(seconds, 1):.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"


_current: ContextVar[Watch | None] = ContextVar("watch", default=None)
_ongoing: dict[int, Watch] = {}
_lock = threading.Lock()


@contextmanager
def watched(title: str, steps: Mapping[str, float]) -> Iterator[Watch]:
    """Let loops of a block tell how far they are, and be stopped.

    Inside another such block it is a part of that, and told nowhere.
    """
    if (outer := _current.get()) is not None:
        yield outer
        return
    watch = Watch(title, steps)
    token = _current.set(watch)
    with _lock:
        _ongoing[watch.number] = watch
    try:
        yield watch
    finally:
        _current.reset(token)
        with _lock:
            del _ongoing[watch.number]


def ongoing() -> list[Watch]:
    """Return all work that is watched now, the oldest first."""
    with _lock:
        return list(_ongoing.values())


def counted(items: Iterable[T], step: str) -> Iterator[T]:
    """Yield items, telling whoever watches how many of them are done, where that can be known.

    Raises StoppedError where they want no more of it.
    """
    watch = _current.get()
    if watch is None:
        yield from items
        return
    total = len(items) if isinstance(items, Sized) else 0
    told = 0.0
    for number, item in enumerate(items):
        now = time.monotonic() if number % 64 == 0 else told
        if now - told > _EVERY_S or number == 0:
            told = now
            _tell(watch, step, number / total if total else 0.0)
        yield item
    _tell(watch, step, 1.0)


def _tell(watch: Watch, step: str, share: float) -> None:
    if step in watch.steps:
        watch.step, watch.share_of_step = step, share
    if watch.is_stopping:
        raise StoppedError(f"{watch.title} was stopped")
