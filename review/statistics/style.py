"""The style of two answers, as far as it can be counted: what a ranking may leave out. Pure."""

import re
from collections.abc import Sequence

import numpy as np

from review.statistics.logistic_regression import Array

STYLES = ("length", "headings", "lists", "bold")
_CODE = re.compile(r"```.*?```", re.DOTALL)
_COUNTED = (
    re.compile(r"^ {0,3}#{1,6}\s", re.MULTILINE),
    re.compile(r"^[ \t]*(?:[-*+]|\d{1,3}[.)])\s", re.MULTILINE),
    re.compile(r"\*\*[^*\n]+\*\*|__[^_\n]+__"),
)


def style_of(texts: Sequence[str]) -> tuple[int, ...]:
    """Return how long a conversation's answers are in characters and how many headings, list items
    and bold passages of Markdown they have outside blocks of code, in the order of ``STYLES``.
    """
    text = "\n".join(texts)
    plain = _CODE.sub("", text)
    return len(text), *(len(pattern.findall(plain)) for pattern in _COUNTED)


def style_features(pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> Array:
    """Return (N, 4): of each count the difference of two answers over their sum, 0 where neither has
    any, over its standard deviation among the pairs (Li, Angelopoulos and Chiang, "Does style
    matter?", LMSYS 2024; the length in characters, theirs in tokens). A count in which no pair
    differs is 0 throughout.
    """
    found = np.zeros((len(pairs), len(STYLES)))
    for row, (first, second) in enumerate(pairs):
        for column, (one, other) in enumerate(zip(first, second, strict=True)):
            if one + other:
                found[row, column] = (one - other) / (one + other)
    spread = found.std(axis=0) if len(pairs) else np.ones(len(STYLES))
    features: Array = found / np.where(spread > 0, spread, 1.0)
    return features
