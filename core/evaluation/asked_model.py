"""What lm-eval asks any model, with every answer kept: what was answered once is not asked again.

Knows no model; who does says how it scores and writes.
"""

import json
import time
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lm_eval.api.model import LM

from core.errors import StoppedError
from core.evaluation.answers import AnswerStore, request_key

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance

Answered = Iterator[tuple[int, list[Any]]]  # places of requests, and their answers


@dataclass(frozen=True, slots=True)
class Pace:
    """Whom a model tells of every request that is done, and whether it is to stop."""

    request_done: Callable[[str, int], None]  # kind of requests, how many more are done
    should_stop: Callable[[], bool]


class AskedModel(LM):  # type: ignore[misc]
    """A model whose answers are kept."""

    max_length = 0  # tokens of a prompt and its answer, 0 where nobody knows

    def __init__(self, answers: AnswerStore, pace: Pace) -> None:
        """Ask what ``answers`` does not hold yet."""
        super().__init__()
        self.answers, self.pace = answers, pace
        self.computed, self.seconds = 0, 0.0  # requests that were not known, and their time
        self.shortened = 0  # answers for which there was less room than a task asks for

    @abstractmethod
    def score_pairs(self, pairs: Sequence[tuple[str, str]]) -> Answered:
        """Yield the log-probability of each continuation after its context, and 1 where it is what
        the model would write, else 0.
        """

    @abstractmethod
    def score_texts(self, texts: Sequence[str]) -> Answered:
        """Yield the log-probability of each whole text."""

    @abstractmethod
    def write(
        self, prompts: Sequence[str], asked: dict[str, Any], seeds: Sequence[int]
    ) -> Answered:
        """Yield each prompt's answer, up to the first of the texts at which it is to stop."""

    @abstractmethod
    def count_tokens(self, text: str) -> int:
        """Return how many tokens a text has, or about so many."""

    @property
    def seconds_per_request(self) -> float | None:
        """How long a request took, of those that were not known; None where all were."""
        return round(self.seconds / self.computed, 5) if self.computed else None

    def loglikelihood(self, requests: "list[Instance]") -> list[tuple[float, bool]]:
        """Return the log-probability of each continuation after its context, and whether it is what
        the model would write.
        """

        def ask(places: Sequence[int], _seeds: Sequence[int]) -> Answered:
            return self.score_pairs([requests[place].args for place in places])

        found = self._answered("loglikelihood", requests, lambda _: "", ask)
        return [(float(value[0]), bool(value[1])) for value in found]

    def loglikelihood_rolling(self, requests: "list[Instance]") -> list[float]:
        """Return the log-probability of each whole text."""

        def ask(places: Sequence[int], _seeds: Sequence[int]) -> Answered:
            return self.score_texts([requests[place].args[0] for place in places])

        found = self._answered("loglikelihood_rolling", requests, lambda _: "", ask)
        return [float(value[0]) for value in found]

    def generate_until(self, requests: "list[Instance]") -> list[str]:
        """Return each prompt's answer, up to the first of the texts at which it is to stop."""

        def ask(places: Sequence[int], seeds: Sequence[int]) -> Answered:
            asked = requests[places[0]].args[1]
            return self.write([requests[place].args[0] for place in places], asked, seeds)

        def options(place: int) -> str:
            return json.dumps(requests[place].args[1], sort_keys=True)

        found = self._answered("generate_until", requests, options, ask)
        return [str(value[0]) for value in found]

    def known(self, requests: "list[Instance]") -> list[bool]:
        """Return which requests were answered already."""
        keys = _keys(requests)
        found = self.answers.find(keys)
        return [key in found for key in keys]

    def _answered(
        self,
        kind: str,
        requests: "list[Instance]",
        group: Callable[[int], str],
        ask: Callable[[Sequence[int], Sequence[int]], Answered],
    ) -> list[list[Any]]:
        """Return the answers of all requests: those that are known, and of the others as ``ask``
        yields them, one ``group`` after the other.

        Raises StoppedError where it is to stop; what is answered by then is kept.
        """
        keys = _keys(requests)
        found = self.answers.find(keys)
        self.pace.request_done(kind, sum(key in found for key in keys))
        groups: dict[str, list[int]] = defaultdict(list)
        asked: set[bytes] = set()
        for place, key in enumerate(keys):
            if key not in found and key not in asked:
                asked.add(key)  # the same request twice is asked once
                groups[group(place)].append(place)
        for places in groups.values():
            began, done = time.perf_counter(), 0
            # whatever company it is answered in, and however often it is begun anew
            seeds = [int.from_bytes(keys[place][:6]) for place in places]
            with self.answers.writing() as write:
                for number, value in ask(places, seeds):
                    found[keys[places[number]]] = value
                    write(keys[places[number]], value)
                    done += 1
                    self.pace.request_done(kind, 1)
            self.computed += done
            self.seconds += time.perf_counter() - began
            if done < len(places):
                raise StoppedError("The evaluation was stopped; what is answered is kept.")
        return [found[key] for key in keys]


def _keys(requests: "list[Instance]") -> list[bytes]:
    """Return what tells each request from others; one that is drawn several times is another each
    time.
    """
    seen: dict[bytes, int] = defaultdict(int)
    keys = []
    for one in requests:
        parts = [
            json.dumps(part, sort_keys=True) if isinstance(part, dict) else part
            for part in one.args
        ]
        key = request_key(one.request_type, *parts)
        is_drawn = any(isinstance(part, dict) and part.get("do_sample") for part in one.args)
        keys.append(
            request_key("draw", key.hex(), str(seen[key])) if is_drawn and seen[key] else key
        )
        seen[key] += 1
    return keys
