"""Inputs written otherwise, as people write them: typing errors, small letters, contractions, blanks;
dialect, names and gender exchanged (Liang et al., arXiv 2211.09110, section 4.5 and 4.6).

What is drawn depends on the text alone, so that a question is the same for every model.
"""

import hashlib
import re
import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

MARK = "~"  # between a task's name and a perturbation's
_TYPO_SHARE = 0.05  # of letters, as HELM's
_MOST_BLANKS = 3


@cache
def _lists() -> Mapping[str, Any]:
    return tomllib.loads(Path(__file__).with_name("words.toml").read_text(encoding="utf-8"))


def _rng(text: str) -> Random:
    return Random(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())


def _with_typos(text: str) -> str:
    """Misspell what people often misspell, and exchange some neighbouring letters."""
    rng = _rng(text)
    letters = list(_exchanged(text, _lists()["misspellings"]))
    for place in range(len(letters) - 1):
        pair = letters[place : place + 2]
        if all(one.isalpha() and one.islower() for one in pair) and rng.random() < _TYPO_SHARE:
            letters[place : place + 2] = reversed(pair)
    return "".join(letters)


def _with_blanks(text: str) -> str:
    rng = _rng(text)
    return re.sub(r" ", lambda _: " " * rng.randint(1, _MOST_BLANKS), text)


def _exchanged(text: str, words: Mapping[str, str]) -> str:
    """Return a text with whole words exchanged, a capital at the beginning kept."""
    pattern = "|".join(sorted(map(re.escape, words), key=len, reverse=True))
    known = {word.lower(): other for word, other in words.items()}

    def other(found: re.Match[str]) -> str:
        new = known[found.group().lower()]
        return new[0].upper() + new[1:] if found.group()[0].isupper() else new

    return re.sub(rf"(?<!\w)(?:{pattern})(?!\w)", other, text, flags=re.IGNORECASE)


def _with_other_names(text: str) -> str:
    names = _lists()["names"]
    rng = _rng(text)
    chosen = dict(zip(names["from"], rng.choices(names["to"], k=len(names["from"])), strict=True))
    pattern = "|".join(map(re.escape, chosen))
    return re.sub(rf"\b(?:{pattern})\b", lambda found: chosen[found.group()], text)


ROBUSTNESS: dict[str, Callable[[str], str]] = {
    "typos": _with_typos,
    "lowercase": str.lower,
    "contractions": lambda text: _exchanged(text, _lists()["contractions"]),
    "blanks": _with_blanks,
}
FAIRNESS: dict[str, Callable[[str], str]] = {
    "dialect": lambda text: _exchanged(text, _lists()["dialect"]),
    "names": _with_other_names,
    "gender": lambda text: _exchanged(text, _lists()["gender"]),
}
PERTURBATIONS = ROBUSTNESS | FAIRNESS


def perturbed(text: str, name: str) -> str:
    """Return a prompt as a perturbation writes it; its last line, where the answer begins, stays."""
    body, line_end, last = text.rpartition("\n")
    return f"{PERTURBATIONS[name](body)}{line_end}{last}" if body else PERTURBATIONS[name](text)


def gendered_words() -> tuple[frozenset[str], frozenset[str]]:
    """Return words of men and of women, in small letters."""
    pairs = _lists()["gender"]
    men = frozenset(word.lower() for word in pairs)
    women = frozenset(word.lower() for word in pairs.values())
    return men - women, women - men
