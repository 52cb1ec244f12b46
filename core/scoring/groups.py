"""Which token sequences are computed in one go, and what they begin with before them. Knows no model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from core.models.prefix import shared_length

Ids = Sequence[int]


@dataclass(frozen=True, slots=True)
class Group:
    """Sequences, by their numbers, that are computed in one go after ``begun`` shared tokens."""

    numbers: list[int]
    begun: int


def group_sequences(
    sequences: Sequence[Ids], order: Sequence[int], caps: Sequence[int], most: int, worth: int
) -> Iterator[Group]:
    """Yield groups of at most ``most`` nodes each, where one sequence alone has no more.

    ``order`` are the sequences' numbers in ascending order, ``caps`` how much of each may be shared
    at most. A beginning is computed before its group where at least ``worth`` tokens of it serve
    more than one go; groups with the same beginning follow each other.
    """
    yield from _grouped(sequences, list(order), caps, (most, worth), 0)


def _grouped(
    sequences: Sequence[Ids],
    order: list[int],
    caps: Sequence[int],
    limits: tuple[int, int],
    begun: int,
) -> Iterator[Group]:
    most, worth = limits
    waiting: list[int] = []  # small clusters that are computed together
    size = 0
    for cluster in _clusters(sequences, order, begun + worth):
        nodes = _count_nodes(sequences, cluster, begun)
        shared = _shared_by_all(sequences, cluster, caps)
        if nodes > most and len(cluster) > 1 and shared >= begun + worth:
            yield from _grouped(sequences, cluster, caps, limits, shared)
            continue
        for number, more in _with_sizes(sequences, cluster, begun):
            if waiting and size + more > most:
                yield Group(waiting, begun)
                waiting, size = [], 0
            size += more if waiting else len(sequences[number]) - begun
            waiting.append(number)
    if waiting:
        yield Group(waiting, begun)


def _clusters(sequences: Sequence[Ids], order: list[int], length: int) -> Iterator[list[int]]:
    """Yield runs of neighbours that share their first ``length`` tokens."""
    run: list[int] = []
    for number in order:
        if run and shared_length(sequences[run[-1]], sequences[number]) < length:
            yield run
            run = []
        run.append(number)
    if run:
        yield run


def _with_sizes(
    sequences: Sequence[Ids], order: list[int], begun: int
) -> Iterator[tuple[int, int]]:
    """Yield each sequence with the nodes that it adds to those before it."""
    before: Ids = ()
    for number in order:
        sequence = sequences[number]
        shared = max(shared_length(before, sequence), begun) if before else begun
        yield number, len(sequence) - shared
        before = sequence


def _count_nodes(sequences: Sequence[Ids], order: list[int], begun: int) -> int:
    return sum(more for _, more in _with_sizes(sequences, order, begun))


def _shared_by_all(sequences: Sequence[Ids], order: list[int], caps: Sequence[int]) -> int:
    """Return how much all of some sequences, in ascending order, begin with alike."""
    alike = shared_length(sequences[order[0]], sequences[order[-1]])
    return min(alike, *(caps[number] for number in order))
