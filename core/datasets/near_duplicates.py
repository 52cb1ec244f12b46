"""Which rows ask the same thing: exact repeats, near repeats, and the groups a split must keep
together.

Near repeats are pairs of prompts whose word sets have a Jaccard similarity of at least
``NEAR_SIMILARITY``, found with the prefix filter of Chaudhuri, Ganti and Kaushik, "A Primitive
Operator for Similarity Joins in Data Cleaning" (ICDE 2006): two sets that similar must share one of
their few rarest words.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

from core.datasets.conversation import Example
from core.progress import counted

NEAR_SIMILARITY = 0.9
# rows compared for one shared rare word; more only where data is written after one pattern
_MOST_CANDIDATES = 200
REPEATS_STEP = "repeats"  # of a check
_MOST_WORDS_COMPARED = 20_000  # of one row with others
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
    near: tuple[Repeat, ...]  # the most similar earlier row of each
    links: tuple[tuple[int, int], ...]  # every pair of near rows


def find_repeats(examples: Sequence[Example]) -> Repeats:
    """Find rows whose prompt repeats an earlier one, letter by letter or nearly."""
    return _find(tuple(examples))


@lru_cache(maxsize=8)  # the check report and every split of the same rows ask for it
def _find(examples: tuple[Example, ...]) -> Repeats:
    firsts: dict[tuple[object, ...], Example] = {}
    exact: list[Repeat] = []
    for example in examples:
        first = firsts.setdefault(_asked(example), example)
        if first is not example:
            exact.append(Repeat(example.row, first.row, example.answer == first.answer))
    near, links = _near_repeats(list(firsts.values()))
    return Repeats(tuple(exact), near, links)


def _asked(example: Example) -> tuple[object, ...]:
    """Return what makes a row the same as another: its prompt, or of plain text the text."""
    return example.turns if example.is_text else example.prompt


def group_repeats(examples: Sequence[Example], repeats: Repeats) -> list[list[Example]]:
    """Return the examples in groups that ask the same thing, each in the order of the file.

    Near repeats join groups only up to a fiftieth of all rows: data written after one pattern would
    else be a single group, and nothing could be kept for validation and test.
    """
    groups = _Groups([example.row for example in examples])
    for repeat in repeats.exact:
        groups.join(repeat.earlier_row, repeat.row)
    most = max(len(examples) // 50, 2)
    for one, other in repeats.links:
        if groups.size(one) + groups.size(other) <= most:
            groups.join(one, other)
    found: dict[int, list[Example]] = defaultdict(list)
    for example in examples:
        found[groups.root(example.row)].append(example)
    return list(found.values())


class _Groups:
    """Disjoint sets of row numbers."""

    def __init__(self, rows: Sequence[int]) -> None:
        self.parents = {row: row for row in rows}
        self.sizes = dict.fromkeys(rows, 1)

    def root(self, row: int) -> int:
        while self.parents[row] != row:
            self.parents[row] = row = self.parents[self.parents[row]]
        return row

    def size(self, row: int) -> int:
        return self.sizes[self.root(row)]

    def join(self, one: int, other: int) -> None:
        first, second = sorted((self.root(one), self.root(other)))
        if first != second:
            self.parents[second] = first
            self.sizes[first] += self.sizes[second]


def _near_repeats(
    examples: Sequence[Example],
) -> tuple[tuple[Repeat, ...], tuple[tuple[int, int], ...]]:
    """Return the most similar earlier prompt of each near row, and all pairs of near rows."""
    best: dict[int, Repeat] = {}
    links = []
    for one, other, similarity in _similar_pairs(_ranked_words(examples)):
        a, b = sorted((examples[one], examples[other]), key=lambda example: example.row)
        links.append((a.row, b.row))
        if b.row not in best or similarity > best[b.row].similarity:
            best[b.row] = Repeat(b.row, a.row, a.answer == b.answer, similarity)
    return tuple(best[row] for row in sorted(best)), tuple(links)


def _ranked_words(examples: Sequence[Example]) -> list[list[int]]:
    """Return each prompt's distinct words as numbers, the rarest first."""
    import numpy as np

    instructions = Counter(example.turns[0].text for example in examples if example.turns[0].input)
    numbers: dict[str, int] = {}
    rows = [
        np.array(
            [
                numbers.setdefault(word, len(numbers))
                for word in _distinguishing_words(example, instructions)
            ],
            dtype=np.int64,
        )
        for example in examples
    ]
    if not numbers:
        return [[] for _ in examples]
    frequency = np.bincount(np.concatenate(rows))
    rank = np.empty(len(numbers), dtype=np.int64)
    # of words as frequent as each other by the alphabet: the order in which they came is chance
    by_word = np.fromiter(map(numbers.__getitem__, sorted(numbers)), np.int64, len(numbers))
    by_rank = by_word[np.argsort(frequency[by_word], kind="stable")]
    rank[by_rank] = np.arange(len(numbers))
    return [np.sort(rank[row]).tolist() for row in rows]


def _distinguishing_words(example: Example, instructions: Counter[str]) -> set[str]:
    """Return the words that set a prompt apart: of its input alone where many rows share the
    instruction.
    """
    first = example.turns[0]
    if first.input and instructions[first.text] > 1:
        return {f"\0{first.text}", *_WORD.findall(first.input.casefold())}
    return set(_WORD.findall(example.prompt_text.casefold()))


def _candidates(
    prefix: Sequence[int], seen_with: Mapping[int, Sequence[int]], size: int
) -> Iterable[int]:
    """Return the earlier sets that share rare words with one of ``size`` words, those that share
    most where there are many.

    How many are compared word by word is bounded by their length: near repeats share nine of ten
    words, their rare ones too.
    """
    looked_at = max(min(_MOST_CANDIDATES, _MOST_WORDS_COMPARED // (10 * len(prefix))), 8)
    shared = Counter(chain.from_iterable(seen_with[word][-looked_at:] for word in prefix))
    most = max(_MOST_WORDS_COMPARED // size, 8)
    return shared if len(shared) <= most else (other for other, _ in shared.most_common(most))


def _similar_pairs(sets: Sequence[list[int]]) -> Iterator[tuple[int, int, float]]:
    """Yield (index, index, similarity) for every pair at or above the threshold, shorter sets
    first.
    """
    sizes = [len(words) for words in sets]
    by_size = sorted((index for index, size in enumerate(sizes) if size), key=sizes.__getitem__)
    seen_with: dict[int, list[int]] = defaultdict(list)
    members = [frozenset(words) for words in sets]
    for index in counted(by_size, REPEATS_STEP):
        size = sizes[index]
        # words that a set so similar must have in common, and so must have
        least = math.ceil(NEAR_SIMILARITY * size)
        prefix = sets[index][: size - least + 1]
        own = members[index]
        for other in _candidates(prefix, seen_with, size):
            if sizes[other] < least:
                continue
            shared = len(own & members[other])
            similarity = shared / (size + sizes[other] - shared)
            if similarity >= NEAR_SIMILARITY:
                yield index, other, similarity
        for word in prefix:
            seen_with[word].append(index)
