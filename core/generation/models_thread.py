"""The one thread of a process in which models compute, step by step, whoever asks.

A process that computes in several threads is slow in all but the first: OpenMP gives each of them a
team of its own, and lets teams wait awake only while there are no more members than processors.
Measured on two: a token of SmolLM2 takes 26 ms in the first thread and 50 in a second one.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")

_NAME = "models"


class _Turn:
    """Whose turn it is to compute, and what is done at its end."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._depth = 0
        self.is_elsewhere = False  # whether it is taken in a thread of its own
        self._last: deque[Callable[[], object]] = deque()

    def take(self, work: Callable[[], T]) -> T:
        with self._lock:
            self._depth += 1
            try:
                return work()
            finally:
                self._depth -= 1
                while self._last and not self._depth:
                    self._last.popleft()()

    def do_last(self, work: Callable[[], object]) -> None:
        """Do some work when the turn under way is over, or now."""
        self._last.append(work)
        if not self._depth:
            self.take(lambda: None)


_turn = _Turn()
_executor = ThreadPoolExecutor(1, thread_name_prefix=_NAME)  # its thread begins with its first work


def in_models_thread(work: Callable[[], T]) -> T:
    """Do some work where models compute, and return what it returns or raise what it raises.

    In a program that computes in its main thread, as our commands and benchmarks do, that is it.
    """
    if _is_here():
        return _turn.take(work)
    _turn.is_elsewhere = True
    return _executor.submit(_turn.take, work).result()


def each_in_models_thread(items: Iterator[T]) -> Iterator[T]:
    """Yield items, none of which is None, each of them made where models compute; who does not ask
    for the next holds nobody up.
    """
    while (item := in_models_thread(lambda: next(items, None))) is not None:
        yield item


def soon_in_models_thread(work: Callable[[], object]) -> None:
    """Do some work where models compute when that is free, without waiting for it: whoever calls
    may be in the middle of a step.
    """
    if _turn.is_elsewhere:
        with suppress(RuntimeError):  # at the very end nothing is taken any more
            _executor.submit(_turn.take, work)
    else:
        _turn.do_last(work)


def in_passing_thread(work: Callable[[], T]) -> T:
    """Do some work in a thread that ends with it, and its team too; in the main one where that
    computes.
    """
    if threading.current_thread() is threading.main_thread():
        return work()
    with ThreadPoolExecutor(1) as passing:
        return passing.submit(work).result()


def _is_here() -> bool:
    current = threading.current_thread()
    return current is threading.main_thread() or current.name.startswith(f"{_NAME}_")
