"""How sure a score is, and whether two models differ on the same questions. Knows no model.

Questions that share a passage count as one cluster. Scores are numbers, mostly 0 and 1.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite, sqrt

import numpy as np
import scipy  # whose parts come when they are named: `stats` takes half a second

Scores = Mapping[int, tuple[float, str]]  # question → score and cluster, '' for none

_Z = 1.959963984540054
_DRAWS = 4000
_LEVEL = 0.05
_FEWEST_DRAWN = 20  # clusters, for a bootstrap


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One model against another on the questions that both were asked."""

    task: str
    model: str
    baseline: str
    questions: int
    difference: float  # of mean scores, model less baseline
    low: float  # of the 95 % interval
    high: float
    p_value: float
    adjusted_p: float  # over all tasks that are compared
    only_model: int  # questions that it alone has right; 0 where scores are no rights and wrongs
    only_baseline: int

    @property
    def is_shown(self) -> bool:
        """Whether the questions show a difference, the number of comparisons allowed for."""
        return self.adjusted_p < _LEVEL


def interval_of(scores: Scores) -> tuple[float, float] | None:
    """Return the 95 % interval of a mean score: Wilson's where questions are right or wrong and
    stand alone, else from the spread between clusters; None for fewer than two.
    """
    values = [value for value, _ in scores.values()]
    if len(values) < 2:
        return None
    if _are_binary(values) and not _are_clustered(scores):
        found = scipy.stats.binomtest(round(sum(values)), len(values)).proportion_ci(
            method="wilson"
        )
        return float(found.low), float(found.high)
    mean, error = _clustered(values, [cluster or f"#{n}" for n, (_, cluster) in scores.items()])
    return mean - _Z * error, mean + _Z * error


def compare_scores(
    task: str, model: tuple[str, Scores], baseline: tuple[str, Scores]
) -> Comparison | None:
    """Compare two models question by question; None where they share fewer than two.

    Rights and wrongs by McNemar's exact test, with the interval of Bonett and Price (2012, adjusted
    Wald); anything else, and questions in clusters, by the paired bootstrap over clusters, or
    Student's t for fewer than twenty of them.
    """
    (name, mine), (other, theirs) = model, baseline
    shared = [number for number in mine if number in theirs]
    if len(shared) < 2:
        return None
    a = np.array([mine[number][0] for number in shared])
    b = np.array([theirs[number][0] for number in shared])
    binary = _are_binary([*a, *b])
    only_mine, only_theirs = (int((a > b).sum()), int((a < b).sum())) if binary else (0, 0)
    clusters = [mine[number][1] for number in shared]
    if binary and not any(clusters):
        low, high = _bonett_price(only_mine, only_theirs, len(shared))
        p_value = _mcnemar(only_mine, only_theirs)
    else:
        named = [cluster or f"#{number}" for number, cluster in zip(shared, clusters, strict=True)]
        low, high, p_value = _bootstrap(a - b, named)
    return Comparison(
        task=task, model=name, baseline=other, questions=len(shared),
        difference=float((a - b).mean()), low=low, high=high, p_value=p_value, adjusted_p=p_value,
        only_model=only_mine, only_baseline=only_theirs,
    )  # fmt: skip


def adjust(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Allow for the number of comparisons (Holm 1979): the least p-value times their number, the
    next times one less, and none below an earlier one.
    """
    order = sorted(range(len(comparisons)), key=lambda place: comparisons[place].p_value)
    adjusted = list(comparisons)
    greatest = 0.0
    for rank, place in enumerate(order):
        greatest = max(greatest, min(1.0, comparisons[place].p_value * (len(order) - rank)))
        adjusted[place] = replace(comparisons[place], adjusted_p=greatest)
    return adjusted


def comparison_sentence(found: Comparison, title: str, scale: float = 1.0) -> str:
    """Say in a sentence what questions show of two models; ``scale`` is what the score of a right
    answer counts on the task's own scale.
    """
    points = 100 * scale if scale == 1 else scale
    by, half = found.difference * points, (found.high - found.low) / 2 * points
    questions = f"{found.questions:,} questions"
    if not found.is_shown:
        return (
            f"{title}: no difference that these {questions} can show, {_signed(by)} ± {half:.1f} "
            f"points."
        )
    what = "better" if found.difference > 0 else "worse"
    return (
        f"{title}: {found.model} is {what} than {found.baseline}, {_signed(by)} points "
        f"({_signed(found.low * points)} to {_signed(found.high * points)}, {questions})."
    )


def _signed(points: float) -> str:
    return f"{points:+.1f}".replace("-", "−")


def _are_binary(values: Sequence[float]) -> bool:
    return all(value in {0, 1} for value in values)


def _are_clustered(scores: Scores) -> bool:
    named = [cluster for _, cluster in scores.values() if cluster]
    return len(set(named)) < len(named)


def _clustered(values: Sequence[float], clusters: Sequence[str]) -> tuple[float, float]:
    """Return a mean and its cluster-robust standard error (Miller 2024, arXiv 2411.00640, eq. 4)."""
    mean = sum(values) / len(values)
    sums: dict[str, float] = defaultdict(float)
    for value, cluster in zip(values, clusters, strict=True):
        sums[cluster] += value - mean
    count = len(sums)
    spread = sum(one**2 for one in sums.values()) * (count / (count - 1) if count > 1 else 1)
    return mean, sqrt(spread) / len(values)


def _mcnemar(only_mine: int, only_theirs: int) -> float:
    """Return the two-sided exact p-value of McNemar's test (1947)."""
    total = only_mine + only_theirs
    return float(scipy.stats.binomtest(only_mine, total).pvalue) if total else 1.0


def _bonett_price(only_mine: int, only_theirs: int, total: int) -> tuple[float, float]:
    """Return the adjusted Wald interval of a difference of paired proportions (Bonett and Price
    2012, Journal of Educational and Behavioral Statistics 37).
    """
    first, second = (only_mine + 1) / (total + 2), (only_theirs + 1) / (total + 2)
    middle = first - second
    error = sqrt(max(first + second - middle**2, 0.0) / (total + 2))
    return max(middle - _Z * error, -1.0), min(middle + _Z * error, 1.0)


def _few_clusters(differences: "np.ndarray", clusters: Sequence[str]) -> tuple[float, float, float]:
    """Return what the bootstrap cannot give for a handful of clusters: the interval and p-value of
    Student's t on their number less one; one cluster shows nothing.
    """
    freedom = len(set(clusters)) - 1
    if freedom < 1:
        return -1.0, 1.0, 1.0
    mean, error = _clustered(list(differences), clusters)
    if error == 0:
        # all clusters alike: by the signs of their differences alone (Fisher's sign flips)
        p_value = 1.0 if mean == 0 else 2.0**-freedom
        return (mean, mean, p_value) if p_value < _LEVEL else (-1.0, 1.0, p_value)
    half = float(scipy.stats.t.ppf(0.975, freedom)) * error
    return mean - half, mean + half, float(2 * scipy.stats.t.sf(abs(mean) / error, freedom))


def _bootstrap(differences: "np.ndarray", clusters: Sequence[str]) -> tuple[float, float, float]:
    """Return the percentile interval of a mean difference and its two-sided p-value, by drawing
    clusters (Efron and Tibshirani 1993).
    """
    names = {name: place for place, name in enumerate(dict.fromkeys(clusters))}
    if len(names) < _FEWEST_DRAWN:
        return _few_clusters(differences, clusters)
    places = np.array([names[name] for name in clusters])
    sums = np.bincount(places, weights=differences, minlength=len(names))
    sizes = np.bincount(places, minlength=len(names))
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=_DRAWS)
    means = (drawn @ sums) / np.maximum(drawn @ sizes, 1)
    low, high = np.quantile(means, [0.025, 0.975])
    tail = min(int((means <= 0).sum()), int((means >= 0).sum()))
    p_value = min(1.0, 2 * (tail + 1) / (_DRAWS + 1))
    return float(low), float(high), p_value if isfinite(p_value) else 1.0
