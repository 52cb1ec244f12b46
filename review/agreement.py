"""How far reviewers agree with each other, and whether one favours a side. Pure functions; knows no table."""

from collections import Counter
from collections.abc import Hashable, Sequence


def krippendorff_alpha(units: Sequence[Sequence[Hashable]]) -> float | None:
    """Return Krippendorff's alpha for names without order; None where no two verdicts can be compared or all are the same.

    ``units`` holds the verdicts on each pair; units with fewer than two say nothing. 1 is perfect agreement, 0 what chance gives
    (Krippendorff, "Content Analysis", 2004, chapter 11; with missing verdicts).
    """
    compared = [Counter(unit) for unit in units if len(unit) > 1]
    totals: Counter[Hashable] = sum(compared, Counter())
    count = totals.total()
    if count == 0:
        return None
    differing = sum(_differing_pairs(unit) / (unit.total() - 1) for unit in compared)
    expected = _differing_pairs(totals) / (count - 1)
    return 1 - differing / expected if expected else None


def cohen_kappa(pairs: Sequence[tuple[Hashable, Hashable]]) -> float | None:
    """Return Cohen's kappa of two reviewers on the pairs that both judged; None where there is nothing to tell.

    Cohen, Educational and Psychological Measurement 20 (1960), 37-46.
    """
    if not pairs:
        return None
    first, second = Counter(one for one, _ in pairs), Counter(other for _, other in pairs)
    observed = sum(one == other for one, other in pairs) / len(pairs)
    expected = sum(first[label] * second[label] for label in first) / len(pairs) ** 2
    return (observed - expected) / (1 - expected) if expected < 1 else None


def _differing_pairs(labels: "Counter[Hashable]") -> int:
    """Return how many ordered pairs of verdicts differ."""
    return labels.total() ** 2 - sum(count * count for count in labels.values())
