"""Numbers that survive a sceptical colleague. Pure functions of counts; knows no table.

``wins`` and ``losses`` are verdicts for one side and for the other; ties are neither.
"""

import math
from collections.abc import Sequence

from scipy.special import betaincinv, stdtrit

from review.statistics.logistic_regression import LEAST_CLUSTERS

_FAR_OFF = 3000  # prompts; more are no number to go by
Z95 = 1.959963984540054  # the normal distribution's 97.5 % quantile


def wilson_interval(wins: float, decided: float) -> tuple[float, float]:
    """Return the 95 % score interval of a proportion; (0, 1) when nothing is decided.

    Counts need not be whole. Wilson, "Probable Inference, the Law of Succession, and Statistical
    Inference", JASA 22 (1927), 209-212.
    """
    if decided == 0:
        return 0.0, 1.0
    share = wins / decided
    z2 = Z95**2
    centre = (share + z2 / (2 * decided)) / (1 + z2 / decided)
    half = (
        Z95 / (1 + z2 / decided) * math.sqrt(share * (1 - share) / decided + z2 / (4 * decided**2))
    )
    return max(centre - half, 0.0), min(centre + half, 1.0)


def effective_count(decided: Sequence[tuple[int, int]]) -> float:
    """Return how many independent verdicts the verdicts are worth; ``decided`` holds (wins, losses)
    of each prompt.

    Verdicts on one prompt resemble each other, so the variance of the win rate is that between
    prompts, and the design effect is what it exceeds that of independent verdicts by (Rao and
    Scott, Biometrics 48, 1992, 577-585). It is reckoned with one prompt wholly won and one wholly
    lost added: else a single loss among many wins would pass all verdicts off as independent.
    """
    prompts = [(wins, wins + losses) for wins, losses in decided if wins + losses]
    count = sum(number for _, number in prompts)
    if count == len(prompts):
        return float(count)
    usual = count / len(prompts)
    with_prior = [
        *((float(won), float(number)) for won, number in prompts),
        (usual, usual),
        (0.0, usual),
    ]
    total = sum(number for _, number in with_prior)
    share = sum(won for won, _ in with_prior) / total
    between = (
        len(with_prior)
        / (len(with_prior) - 1)
        * sum((won - share * number) ** 2 for won, number in with_prior)
    )
    effect = between / (total * share * (1 - share))
    return min(max(count / effect, 1.0), float(count))


def clustered_mean(
    values: Sequence[tuple[int, float]], levels: Sequence[float]
) -> tuple[float, tuple[float, float] | None]:
    """Return the mean of (prompt, value) and its 95 % interval; None for the interval where too few
    prompts tell.

    Values on one prompt resemble each other, so the variance is that of the prompts' summed
    deviations, with the factor C / (C - 1) for C prompts (Miller, "Adding Error Bars to Evals",
    arXiv 2411.00640, 2024, section 2.2) and Student's t. One prompt is added whose values lie on
    each of the ``levels`` alike, so that ten equal values do not prove that there are no others.
    """
    mean = sum(value for _, value in values) / len(values)
    deviations: dict[int, float] = {}
    for prompt, value in values:
        deviations[prompt] = deviations.get(prompt, 0.0) + value - mean
    prompts = len(deviations)
    if prompts < LEAST_CLUSTERS:
        return mean, None
    usual = len(values) / prompts
    prior = usual**2 * sum((level - mean) ** 2 for level in levels) / len(levels)
    variance = (
        prompts
        / (prompts - 1)
        * (sum(x**2 for x in deviations.values()) + prior)
        / len(values) ** 2
    )
    half = float(stdtrit(prompts - 1, 0.975)) * math.sqrt(variance)
    return mean, (max(mean - half, min(levels)), min(mean + half, max(levels)))


def sign_test(wins: int, losses: int) -> float:
    """Return the two-sided p value of an even chance: the exact binomial test that Dixon and Mood
    (1946) call sign test.
    """
    decided, fewer = wins + losses, min(wins, losses)
    log_term = (
        math.lgamma(decided + 1)
        - math.lgamma(fewer + 1)
        - math.lgamma(decided - fewer + 1)
        - decided * math.log(2)
    )
    # of exactly ``fewer``; each further term is the last one times a ratio below 1
    term = tail = math.exp(log_term)
    for k in range(fewer, 0, -1):
        term *= k / (decided - k + 1)
        tail += term
    return min(1.0, 2 * tail)


def evidence(wins: int, losses: int) -> float:
    """Return how strongly the votes speak against an even chance, valid however often one looks.

    The likelihood of the votes under a win rate drawn uniformly from 0 to 1 over that under one
    half, ``B(wins + 1, losses + 1) · 2ⁿ``: a martingale under an even chance, so by Ville's
    inequality it ever reaches 20 with probability at most 5 % (Ville 1939; Robbins, "Statistical
    Methods Related to the Law of the Iterated Logarithm", 1970).
    """
    log_beta = math.lgamma(wins + 1) + math.lgamma(losses + 1) - math.lgamma(wins + losses + 2)
    return math.exp(min(log_beta + (wins + losses) * math.log(2), 700.0))


ENOUGH_EVIDENCE = 20.0  # one over the tolerated share of false alarms


def prompts_still_needed(
    won: int, lost: int, undecided: int, required: float = ENOUGH_EVIDENCE
) -> tuple[int, int] | None:
    """Return about how many more prompts, at least and at most, reach the required evidence; (0, 0)
    when there is enough.

    None while the verdicts leave open who is better, for then no number is likely to hold: the
    posterior of the win rate under a uniform prior, Beta(won + 1, lost + 1), has more than a tenth
    of its mass on the other side. Else the range is that of the rates between its 10 % and its 90 %
    quantile. Undecided prompts are expected in the share seen so far.
    """
    if evidence(won, lost) >= required:
        return 0, 0
    more, fewer = max(won, lost), min(won, lost)
    low, high = (float(betaincinv(more + 1, fewer + 1, share)) for share in (0.1, 0.9))
    if low <= 0.5:
        return None
    decided = won + lost
    least, most = (_until_enough(more, fewer, rate, required) for rate in (high, low))
    return tuple(math.ceil(number * (decided + undecided) / decided) for number in (least, most))  # type: ignore[return-value]


def can_be_settled(won: int, lost: int, left: int, required: float = ENOUGH_EVIDENCE) -> bool:
    """Return whether the evidence could still reach what is required if all the prompts that are
    left went one way.
    """
    return max(evidence(won + left, lost), evidence(won, lost + left)) >= required


def _until_enough(more: int, fewer: int, rate: float, required: float) -> int:
    for number in range(1, _FAR_OFF):
        further = round(number * rate)
        if evidence(more + further, fewer + number - further) >= required:
            return number
    return _FAR_OFF
