"""What people say to the model outside its families: small talk, what it cannot answer, and what
free chat is measured by.

The measured prompts (benchmarks/pocket_chat.txt) stand neither in the prose nor in the sample:
whatever equals one of them, but for case and signs, is left out here, where both read.
"""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from typing import Literal

from data.pocket.families import HOME

UNKNOWN = "I do not know that."


@dataclass(frozen=True, slots=True)
class Exchange:
    """Small talk: several ways to say something, and what to answer."""

    said: tuple[str, ...]
    answer: str
    # it asks for something to be done; the prose, which gives no instructions, tells the answer
    # alone
    is_request: bool


def measured_prompts() -> list[str]:
    """Return the prompts that free chat is measured with."""
    return (HOME.parents[1] / "benchmarks/pocket_chat.txt").read_text(encoding="utf-8").splitlines()


def read_exchanges() -> tuple[Exchange, ...]:
    """Return the small talk of the pocket world."""
    entries = tomllib.loads((HOME / "facts/smalltalk.toml").read_text(encoding="utf-8"))["exchange"]
    found = (
        Exchange(_unmeasured(entry["said"]), entry["answer"], entry.get("request", False))
        for entry in entries
    )
    return tuple(exchange for exchange in found if exchange.said)


def read_unknown(which: Literal["questions", "near"]) -> tuple[str, ...]:
    """Return questions that nobody in the pocket world can answer: any, or those near what it
    knows.
    """
    return _unmeasured(
        tomllib.loads((HOME / "facts/unknown.toml").read_text(encoding="utf-8"))[which]
    )


def plain(text: str) -> str:
    """Return a text without its case and signs, to compare what people mean by it."""
    return re.sub(r"\W+", " ", text.lower().replace("'", "")).strip()


def is_measured(text: str) -> bool:
    """Whether a text is one of the measured prompts, but for case and signs."""
    return plain(text) in _plain_measured()


@cache
def _plain_measured() -> frozenset[str]:
    return frozenset(plain(prompt) for prompt in measured_prompts())


def _unmeasured(said: list[str]) -> tuple[str, ...]:
    return tuple(line for line in said if not is_measured(line))
