"""What reviewers said of single responses, counted by contender: stars and tags.

Knows no table and no screen.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from review.domain.rating import MOST_STARS, Remarks
from review.statistics.intervals import clustered_mean
from review.store.verdicts import Vote


@dataclass(frozen=True, slots=True)
class Stars:
    """The stars of one contender's responses."""

    count: int
    mean: float
    interval: tuple[float, float] | None  # 95 %; None where too few prompts tell


@dataclass(frozen=True, slots=True)
class StarsAndTags:
    """What was said of one contender."""

    contender: str
    stars: Stars | None  # None where nobody gave any
    tags: dict[str, int]  # the most frequent first


def count_stars_and_tags(
    votes: Sequence[Vote], contenders: Sequence[str], *, single: bool = False
) -> tuple[StarsAndTags, ...]:
    """Return what the verdicts say of each contender; with ``single`` only A is there."""
    tags: dict[str, Counter[str]] = {name: Counter() for name in contenders}
    stars: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for vote in votes:
        for contender, remarks in _sides(vote)[: 1 if single else 2]:
            tags[contender].update(remarks.tags)
            if remarks.stars is not None:
                stars[contender].append((vote.prompt, remarks.stars))
    return tuple(
        StarsAndTags(name, mean_stars(stars[name]), dict(tags[name].most_common()))
        for name in contenders
    )


def mean_stars(given: Sequence[tuple[int, int]]) -> Stars | None:
    """Return the mean of (prompt, stars) and its interval, None for none."""
    if not given:
        return None
    return Stars(len(given), *clustered_mean(given, range(1, MOST_STARS + 1)))


def _sides(vote: Vote) -> tuple[tuple[str, Remarks], ...]:
    a, b = vote.remarks
    return (vote.a, a), (vote.b, b)
