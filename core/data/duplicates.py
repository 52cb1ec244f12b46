"""Which rows ask the same thing: exact repeats, near repeats, and the groups a split must keep together.

Near repeats are pairs of prompts whose word sets have a Jaccard similarity of at least ``NEAR_SIMILARITY``, found
exactly with the prefix filter of Chaudhuri, Ganti and Kaushik, "A Primitive Operator for Similarity Joins in Data
Cleaning" (ICDE 2006): two sets that similar must share one of their few rarest words.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from core.data.examples import Example

NEAR_SIMILARITY = 0.9
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Repeat:
    """A row whose prompt an earlier row already asks."""

    row: int
    earlier_row: int
    same_answer: bool
    similarity: float = 1.0  # Jaccard similarity of the two prompts' word sets


@dataclass(frozen=True, slots=True)
class Repeats:
    """All repeats of a dataset."""

    exact: tuple[Repeat, ...]
    near: tuple[Repeat, ...]


def find_repeats(examples: Sequence[Example]) -> Repeats:
    """Find rows whose prompt repeats an earlier one, letter by letter or nearly."""
    firsts: dict[tuple[object, ...], Example] = {}
    exact: list[Repeat] = []
    for example in examples:
        first = firsts.setdefault(example.prompt, example)
        if first is not example:
            exact.append(Repeat(example.row, first.row, example.answer == first.answer))
    return Repeats(tuple(exact), tuple(_near_repeats(list(firsts.values()))))


def group_repeats(examples: Sequence[Example], repeats: Repeats) -> list[list[Example]]:
    """Return the examples in groups that ask the same thing, each in the order of the file."""
    group_of = {example.row: example.row for example in examples}

    def root(row: int) -> int:
        while group_of[row] != row:
            group_of[row] = row = group_of[group_of[row]]
        return row

    for repeat in (*repeats.exact, *repeats.near):
        first, second = sorted((root(repeat.row), root(repeat.earlier_row)))
        group_of[second] = first
    groups: dict[int, list[Example]] = defaultdict(list)
    for example in examples:
        groups[root(example.row)].append(example)
    return list(groups.values())


def _near_repeats(examples: Sequence[Example]) -> Iterator[Repeat]:
    """Yield at most one near repeat per row: the most similar earlier prompt."""
    found: dict[int, Repeat] = {}
    for later, earlier, similarity in _similar_pairs(_ranked_words(examples)):
        a, b = sorted((examples[later], examples[earlier]), key=lambda example: example.row)
        known = found.get(b.row)
        if known is None or similarity > known.similarity:
            found[b.row] = Repeat(b.row, a.row, a.answer == b.answer, similarity)
    yield from (found[row] for row in sorted(found))


def _ranked_words(examples: Sequence[Example]) -> list[list[int]]:
    """Return each prompt's distinct words as numbers, the rarest first."""
    words = [set(_WORD.findall(example.prompt_text.casefold())) for example in examples]
    frequency = Counter(word for distinct in words for word in distinct)
    rank = {word: number for number, (word, _) in enumerate(sorted(frequency.items(), key=lambda item: (item[1], item[0])))}
    return [sorted(rank[word] for word in distinct) for distinct in words]


def _similar_pairs(sets: Sequence[list[int]]) -> Iterator[tuple[int, int, float]]:
    """Yield (index, index, similarity) for every pair at or above the threshold, shorter sets first."""
    by_size = sorted((index for index in range(len(sets)) if sets[index]), key=lambda index: len(sets[index]))
    seen_with: dict[int, list[int]] = defaultdict(list)
    members = [frozenset(words) for words in sets]
    for index in by_size:
        size = len(sets[index])
        prefix = sets[index][: size - math.ceil(NEAR_SIMILARITY * size) + 1]
        candidates = {other for word in prefix for other in seen_with[word] if len(sets[other]) >= NEAR_SIMILARITY * size}
        for other in candidates:
            shared = len(members[index] & members[other])
            similarity = shared / (size + len(sets[other]) - shared)
            if similarity >= NEAR_SIMILARITY:
                yield index, other, similarity
        for word in prefix:
            seen_with[word].append(index)
