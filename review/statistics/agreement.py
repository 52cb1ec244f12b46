"""How far reviewers agree with each other, and whether one favours a side.

Pure functions; knows no table.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import Any

Difference = Callable[[Any, Any], float]


def names_differ(one: object, other: object) -> float:
    """Return the difference between names without order: none or all."""
    return float(one != other)


def numbers_differ(one: float, other: float) -> float:
    """Return the difference between numbers like stars, whose distance matters: its square."""
    return float((one - other) ** 2)


def krippendorff_alpha(
    units: Sequence[Sequence[Hashable]], difference: Difference = names_differ
) -> float | None:
    """Return Krippendorff's alpha; None where no two verdicts can be compared or all are the same.

    ``units`` holds the verdicts on each pair; units with fewer than two say nothing. 1 is perfect
    agreement, 0 what chance gives (Krippendorff, "Content Analysis", 2004, chapter 11; with missing
    verdicts; the nominal and the interval metric).
    """
    compared = [Counter(unit) for unit in units if len(unit) > 1]
    totals: Counter[Hashable] = sum(compared, Counter())
    count = totals.total()
    if count == 0:
        return None
    differing = sum(_differing(unit, difference) / (unit.total() - 1) for unit in compared)
    expected = _differing(totals, difference) / (count - 1)
    return 1 - differing / expected if expected else None


def cohen_kappa(pairs: Sequence[tuple[Hashable, Hashable]]) -> float | None:
    """Return Cohen's kappa of two reviewers on the pairs that both judged; None where there is
    nothing to tell.

    Cohen, Educational and Psychological Measurement 20 (1960), 37-46.
    """
    if not pairs:
        return None
    first, second = Counter(one for one, _ in pairs), Counter(other for _, other in pairs)
    observed = sum(one == other for one, other in pairs) / len(pairs)
    expected = sum(first[label] * second[label] for label in first) / len(pairs) ** 2
    return (observed - expected) / (1 - expected) if expected < 1 else None


def _differing(labels: "Counter[Any]", difference: Difference) -> float:
    """Return how far all ordered pairs of verdicts differ together."""
    return sum(
        n * m * difference(one, other) for one, n in labels.items() for other, m in labels.items()
    )
