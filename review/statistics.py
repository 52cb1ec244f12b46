"""Numbers that survive a sceptical colleague. Pure functions of counts; knows no table.

``wins`` and ``losses`` are verdicts for one side and for the other; ties are neither.
"""

import math
from collections.abc import Sequence

Z95 = 1.959963984540054  # the normal distribution's 97.5 % quantile


def wilson_interval(wins: float, decided: float) -> tuple[float, float]:
    """Return the 95 % score interval of a proportion; (0, 1) when nothing is decided. Counts need not be whole.

    Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 22 (1927), 209-212.
    """
    if decided == 0:
        return 0.0, 1.0
    share = wins / decided
    z2 = Z95**2
    centre = (share + z2 / (2 * decided)) / (1 + z2 / decided)
    half = Z95 / (1 + z2 / decided) * math.sqrt(share * (1 - share) / decided + z2 / (4 * decided**2))
    return max(centre - half, 0.0), min(centre + half, 1.0)


def effective_count(decided: Sequence[tuple[int, int]]) -> float:
    """Return how many independent verdicts the verdicts are worth; ``decided`` holds (wins, losses) of each prompt.

    Verdicts on one prompt resemble each other, so the variance of the win rate is that between prompts, and the design effect is
    what it exceeds that of independent verdicts by (Rao and Scott, Biometrics 48, 1992, 577-585). Where all went one way the
    data cannot tell, and each prompt counts once.
    """
    prompts = [(wins, wins + losses) for wins, losses in decided if wins + losses]
    count, wins = sum(number for _, number in prompts), sum(won for won, _ in prompts)
    if count == len(prompts):
        return float(count)
    share = wins / count
    if share in {0.0, 1.0} or len(prompts) == 1:
        return float(len(prompts))
    between = len(prompts) / (len(prompts) - 1) * sum((won - share * number) ** 2 for won, number in prompts)
    return min(count / (between / (count * share * (1 - share))), float(count)) if between else float(count)


def sign_test(wins: int, losses: int) -> float:
    """Return the two-sided p value of an even chance: the exact binomial test that Dixon and Mood (1946) call sign test."""
    decided, fewer = wins + losses, min(wins, losses)
    log_term = math.lgamma(decided + 1) - math.lgamma(fewer + 1) - math.lgamma(decided - fewer + 1) - decided * math.log(2)
    term = tail = math.exp(log_term)  # of exactly ``fewer``; each further term is the last one times a ratio below 1
    for k in range(fewer, 0, -1):
        term *= k / (decided - k + 1)
        tail += term
    return min(1.0, 2 * tail)


def evidence(wins: int, losses: int) -> float:
    """Return how strongly the votes speak against an even chance, valid however often one looks.

    The likelihood of the votes under a win rate drawn uniformly from 0 to 1 over that under one half,
    ``B(wins + 1, losses + 1) · 2ⁿ``: a martingale under an even chance, so by Ville's inequality it ever reaches 20 with
    probability at most 5 % (Ville 1939; Robbins, "Statistical Methods Related to the Law of the Iterated Logarithm", 1970).
    """
    log_beta = math.lgamma(wins + 1) + math.lgamma(losses + 1) - math.lgamma(wins + losses + 2)
    return math.exp(min(log_beta + (wins + losses) * math.log(2), 700.0))


ENOUGH_EVIDENCE = 20.0  # one over the tolerated share of false alarms


def ratings_still_needed(wins: int, losses: int, ties: int) -> int | None:
    """Return about how many more ratings reach ENOUGH_EVIDENCE if they go on as they have; None when far off.

    0 when there is enough already. Ties are expected in the share seen so far.
    """
    decided = wins + losses
    if evidence(wins, losses) >= ENOUGH_EVIDENCE:
        return 0
    if decided == 0:
        return None
    share = wins / decided
    for more in range(1, 3000):
        if evidence(wins + round(more * share), losses + more - round(more * share)) >= ENOUGH_EVIDENCE:
            return math.ceil(more * (decided + ties) / decided)
    return None
