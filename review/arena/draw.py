"""Which two models meet next. Knows no table."""

import random
from collections.abc import Mapping, Sequence

from core.errors import ReviewError
from review.statistics.active_sampling import expected_gains

_BY_LOT = 0.25  # share of battles whose models are drawn evenly, so that every two meet


def draw_models(
    models: Sequence[str],
    tallies: Mapping[tuple[str, str], tuple[float, int]],
    lot: random.Random,
) -> tuple[str, str]:
    """Return two models, the one for the left first; which side is whose is drawn evenly.

    ``tallies`` hold by two models in the order of their names (score of the first, battles). Mostly
    those meet of whom one more verdict tells most (``expected_gains``), else any two. Raises
    ReviewError for fewer than two models.
    """
    names = sorted(dict.fromkeys(models))
    if len(names) < 2:
        raise ReviewError("The arena takes two models or more: its owner chooses them.")
    meetings = [(a, b) for place, a in enumerate(names) for b in names[place + 1 :]]
    chosen = lot.choice(meetings)
    if lot.random() >= _BY_LOT:
        numbers = {name: number for number, name in enumerate(names)}
        gains = expected_gains(
            {(numbers[a], numbers[b]): tallies.get((a, b), (0.0, 0)) for a, b in meetings}
        )
        most = max(gains.values())
        best = [one for one, gain in gains.items() if gain >= most * (1 - 1e-9)]
        first, second = lot.choice(best)
        chosen = names[first], names[second]
    return chosen if lot.random() < 0.5 else (chosen[1], chosen[0])
