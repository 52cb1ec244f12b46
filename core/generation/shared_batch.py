"""One batch for all who ask a model at a time: whoever waits for a token lets the next step be
computed, and with it everybody's next token.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from core.errors import ModelError
from core.generation.continuous_batch import ContinuousBatch
from core.generation.decode import decode, mark_stopped, reason_for_one_at_a_time
from core.generation.models_thread import (
    each_in_models_thread,
    in_models_thread,
    soon_in_models_thread,
)
from core.generation.rows import Row, Step

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class _Asker:
    """Who waits for tokens."""

    def __init__(self) -> None:
        self.inbox: deque[Step] = deque()
        self.has_failed = False


class SharedBatch:
    """Answers those who ask at the same time together. What is in it changes in the models' thread
    alone, and only when somebody waits: a reader who walks away leaves nothing at work.
    """

    def __init__(self, model: "PreTrainedModel") -> None:
        """Nobody asks yet."""
        self._model = model
        self._batch: ContinuousBatch | None = None  # none while nobody asks: it holds memory
        self._askers: dict[Row, _Asker] = {}
        self._gone: deque[Row] = deque()  # whose askers have left

    def answer(
        self, rows: Sequence[Row], should_stop: Callable[[], bool] = lambda: False
    ) -> Iterator[Step]:
        """Yield the tokens of ``rows`` as they are drawn, and the end of each; those that were
        stopped are marked.

        Raises ModelError where another's step failed and took these rows with it.
        """
        is_alone = in_models_thread(lambda: bool(reason_for_one_at_a_time(self._model)))
        steps = (
            each_in_models_thread(decode(self._model, rows)) if is_alone else self._together(rows)
        )
        if not should_stop():
            for step in steps:
                yield step
                if should_stop():
                    break
        if should_stop():
            mark_stopped(rows)

    def _together(self, rows: Sequence[Row]) -> Iterator[Step]:
        asker = _Asker()
        in_models_thread(lambda: self._enter(rows, asker))
        left = len(rows)
        try:
            while left:
                in_models_thread(lambda: self._advance(asker))
                while asker.inbox:
                    row, token = asker.inbox.popleft()
                    left -= token is None
                    yield row, token
        finally:
            # it may be the memory's own tidying that comes here, in the middle of a step
            self._gone.extend(rows)
            soon_in_models_thread(self._forget_the_gone)

    def _enter(self, rows: Sequence[Row], asker: _Asker) -> None:
        if self._batch is None:
            self._batch = ContinuousBatch(self._model)
        self._batch.add(rows)
        self._askers.update(dict.fromkeys(rows, asker))

    def _advance(self, asker: _Asker) -> None:
        """Compute a step for everybody, where none has brought anything for this one meanwhile."""
        if asker.inbox:
            return
        if asker.has_failed or self._batch is None:
            raise ModelError("An answer beside this one failed and took it along: ask again.")
        self._forget_the_gone()
        try:
            steps = self._batch.advance()
        except BaseException:
            self._fail()
            raise
        for row, token in steps:
            self._askers[row].inbox.append((row, token))
            if token is None:
                del self._askers[row]

    def _fail(self) -> None:
        """Let go of everything: nobody knows what a step that failed has left behind."""
        for asker in self._askers.values():
            asker.has_failed = True
        self._askers.clear()
        self._batch = None

    def _forget_the_gone(self) -> None:
        gone = set[Row]()
        while self._gone:
            gone.add(self._gone.popleft())
        gone &= self._askers.keys()  # others are done
        if gone and self._batch is not None:
            self._batch.drop(lambda row: row not in gone)
        for row in gone:
            del self._askers[row]
        if not self._askers:
            self._batch = None
