"""Battles that are fought now: two models answer, each in a thread, and what is seen of them goes at
an even pace. Until the verdict nothing that leaves this module names them.
"""

import logging
import random
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from cachetools import TTLCache

from core.datasets.conversation import Turn
from core.errors import ReviewError, UserError
from core.evaluation.choices import is_endpoint
from core.generation.model_cache import ModelCache
from core.generation.openai_endpoint import find_endpoint
from core.generation.sampling import Sampling
from core.models.resolve import weights_identity
from core.storage.workspace import Workspace
from core.text import trimmed, whole_characters
from review.arena.draw import draw_models
from review.arena.pace import EvenPace
from review.arena.store import ArenaStore, BattleRow
from review.judging.self_identification import named_model, told_names

log = logging.getLogger(__name__)
_MOST_BATTLES, _KEPT_S = 256, 3600  # fought at once, and how long one waits for its verdict
_FAILED_S = 300  # that a model which could not answer is left out
_LONGEST_PROMPT = 20_000  # characters
_FAULT = "One of the models ended with a fault; the terminal says more."


@dataclass(slots=True)
class _Side:
    """One model's answer as it comes."""

    model: str
    text: str = ""
    is_whole: bool = False


@dataclass(slots=True)
class _Round:
    """One prompt and both answers to it."""

    prompt: str
    sides: tuple[_Side, _Side]
    pace: EvenPace = field(default_factory=EvenPace)
    stop: threading.Event = field(default_factory=threading.Event)
    failure: str = ""
    seen: int = 0  # characters of each answer that were shown
    is_judged: bool = False  # nothing is added to it any more

    @property
    def lengths(self) -> tuple[int, int]:
        return len(self.sides[0].text), len(self.sides[1].text)

    @property
    def are_whole(self) -> tuple[bool, bool]:
        return self.sides[0].is_whole, self.sides[1].is_whole


@dataclass(slots=True)
class _Fought:
    """A battle that waits for its verdict."""

    row: BattleRow
    sampling: Sampling
    rounds: list[_Round] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True, slots=True)
class ShownRound:
    """What may be seen of a round."""

    prompt: str
    a: str
    b: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownBattle:
    """What may be seen of a battle before its verdict."""

    rounds: tuple[ShownRound, ...]
    is_done: bool  # both answers to the last prompt are shown whole
    failure: str = ""  # why it is off


@dataclass(frozen=True, slots=True)
class Unmasked:
    """Who it was."""

    a: str
    b: str
    leak: str  # words by which a reply named a model; then the battle is not counted


class ArenaBattles:
    """The battles of a workspace's arena."""

    def __init__(
        self,
        workspace: Workspace,
        models: ModelCache,
        clock: Callable[[], float] = time.monotonic,
        lot: random.Random | None = None,
    ) -> None:
        """``clock`` tells seconds; ``lot`` draws, by default as nobody can foresee."""
        self.store = ArenaStore(workspace)
        self._models, self._clock = models, clock
        self._lot = lot or secrets.SystemRandom()
        self._fought: TTLCache[str, _Fought] = TTLCache(_MOST_BATTLES, _KEPT_S)
        self._failed: TTLCache[str, bool] = TTLCache(_MOST_BATTLES, _FAILED_S)
        self._lock = threading.Lock()
        self.store.forget_unjudged()

    def begin(self, person: str, prompt: str) -> str:
        """Draw two models, ask both, and return the key of the battle. Raises ReviewError or
        ModelError.
        """
        settings = self.store.settings()
        text = _checked(prompt)
        models = draw_models(self._answering(settings.models), self.store.tallies(), self._lot)
        sampling = replace(settings.sampling, seed=self._lot.randrange(2**31))
        facts = {
            "models": [self._facts(model) for model in models], "sampling": asdict(sampling),
        }  # fmt: skip
        row = self.store.create(person, models, facts)
        with self._lock:
            self._fought[row["key"]] = _Fought(row, sampling)
        self._ask(self._fought[row["key"]], text)
        return row["key"]

    def _answering(self, models: Sequence[str]) -> list[str]:
        """Return the models without those that failed lately, where two are left: one that never gets
        a verdict would be drawn for ever.
        """
        with self._lock:
            left = [model for model in models if model not in self._failed]
        return left if len(set(left)) > 1 else list(models)

    def go_on(self, key: str, person: str, prompt: str) -> None:
        """Ask both models once more. Raises ReviewError while they answer, or after the verdict."""
        self._ask(self._find(key, person), _checked(prompt))

    def look(self, key: str, person: str) -> ShownBattle:
        """Return what may be seen of a battle now. Raises ReviewError."""
        fought = self._find(key, person)
        rounds, is_done = [], False
        with fought.lock:
            for one in fought.rounds:
                lengths, whole = one.lengths, one.are_whole
                count = one.seen = one.pace.shown(self._clock(), lengths, whole)
                a, b = (whole_characters(side.text[:count]) for side in one.sides)
                rounds.append(ShownRound(one.prompt, a, b))
                is_done = all(whole) and count >= max(lengths)
            failure = fought.rounds[-1].failure
        if failure:
            self._forget(fought)
        return ShownBattle(rounds=tuple(rounds), is_done=is_done, failure=failure)

    def vote(self, key: str, person: str, verdict: str) -> Unmasked:
        """Judge a battle, also while the answers still come, and return who it was.

        Raises ReviewError for a second verdict, or where nothing is answered yet.
        """
        fought = self._find(key, person)
        with fought.lock:
            last = fought.rounds[-1]
            if last.failure:
                raise ReviewError("This battle is off: begin a new one.")
            if not last.seen and not all(last.are_whole):
                raise ReviewError("Nothing is answered yet: wait for both.")
            last.stop.set()
            last.is_judged = True
            for side in last.sides:  # what nobody saw decided nothing
                side.text = whole_characters(side.text[: last.seen])
            self._write_down(fought)
            texts = [side.text for one in fought.rounds for side in one.sides]
        names = told_names(
            [*self.store.settings().models, fought.row["model_a"], fought.row["model_b"]]
        )
        leak = next(filter(None, (named_model(text, names) for text in texts)), "")
        row = self.store.vote(key, verdict, leak)
        with self._lock:
            self._fought.pop(key, None)
        return Unmasked(row["model_a"], row["model_b"], leak)

    def close(self) -> None:
        """Let all answers end."""
        with self._lock:
            for fought in self._fought.values():
                for one in fought.rounds:
                    one.stop.set()

    def _facts(self, model: str) -> dict[str, Any]:
        if is_endpoint(model):
            return find_endpoint(model).facts()
        source = self._models.find(model)
        folders = filter(None, (source.base_folder, source.folder))
        return {"model": model, "identity": [weights_identity(folder) for folder in folders]}

    def _find(self, key: str, person: str) -> _Fought:
        with self._lock:
            found = self._fought.get(key)
        if found is None or found.row["person"] != person:
            raise ReviewError("This battle is over: begin a new one.")
        return found

    def _forget(self, fought: _Fought) -> None:
        with self._lock:
            self._fought.pop(fought.row["key"], None)
        self.store.delete(fought.row["key"])

    def _ask(self, fought: _Fought, prompt: str) -> None:
        row = fought.row
        one = _Round(prompt, (_Side(row["model_a"]), _Side(row["model_b"])))
        with fought.lock:
            before = list(fought.rounds)
            if before and (before[-1].is_judged or not all(before[-1].are_whole)):
                raise ReviewError("Both are answering still: wait for them.")
            fought.rounds.append(one)
        for place in (0, 1):
            turns = []
            for old in before:
                turns += [Turn("user", old.prompt), Turn("assistant", old.sides[place].text)]
            turns.append(Turn("user", prompt))
            threading.Thread(
                target=self._answer, args=[fought, one, place, turns], name="arena", daemon=True
            ).start()

    def _answer(self, fought: _Fought, one: _Round, place: int, turns: Sequence[Turn]) -> None:
        side = one.sides[place]
        failure, text = "", ""
        try:
            for text in self._stream(side.model, turns, fought.sampling):
                if one.stop.is_set():
                    break
                side.text = text
        except UserError as error:
            failure = f"The battle is off. {error}"
        except Exception:  # the other side and the page must go on
            log.exception("A model of the arena ended with a fault")
            failure = f"The battle is off. {_FAULT}"
        self._finish(fought, one, side, trimmed(text), failure)

    def _finish(self, fought: _Fought, one: _Round, side: _Side, text: str, failure: str) -> None:
        """Take a whole answer, or why there is none, unless the verdict was quicker."""
        if failure:
            with self._lock:
                self._failed[side.model] = True
        with fought.lock:
            if one.is_judged:
                return
            side.text, side.is_whole = text, True
            one.failure = one.failure or failure
            if one.failure:
                one.stop.set()
            elif all(one.are_whole):
                self._write_down(fought)

    def _stream(self, model: str, turns: Sequence[Turn], sampling: Sampling) -> Any:
        if is_endpoint(model):
            [response] = find_endpoint(model).respond_all([turns], sampling, lambda: False)
            return iter([response.text])
        chat_model = self._models.get(model)
        kept, _, _ = chat_model.fit(turns, sampling)
        return chat_model.stream(kept, sampling)

    def _write_down(self, fought: _Fought) -> None:
        for number, one in enumerate(fought.rounds, start=1):
            self.store.add_turn(
                {
                    "battle_id": fought.row["id"], "number": number, "prompt": one.prompt,
                    "response_a": one.sides[0].text, "response_b": one.sides[1].text,
                }
            )  # fmt: skip


def _checked(prompt: str) -> str:
    """Return a prompt as it is asked. Raises ReviewError."""
    text = prompt.strip()
    if not text:
        raise ReviewError("Write something to ask first.")
    if len(text) > _LONGEST_PROMPT:
        raise ReviewError(
            f"The prompt has {len(text):,} characters, and {_LONGEST_PROMPT:,} are the most."
        )
    return text
