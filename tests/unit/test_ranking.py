"""Strengths, agreement and length control against independent figures, published ones and known
truths.
"""

import math
import random
from collections.abc import Sequence
from itertools import permutations

import evalica
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from review.statistics.agreement import cohen_kappa, krippendorff_alpha, numbers_differ
from review.statistics.bradley_terry import Bout, rank
from review.statistics.intervals import effective_count, wilson_interval
from review.statistics.length_control import control_length
from review.statistics.logistic_regression import fit_logistic

NAMES = ("base", "small", "large", "best")
STRENGTHS = (-0.6, -0.2, 0.2, 0.6)


def simulate(
    rng: random.Random, prompts: int, *, people: int = 1, shared: float = 0.0
) -> list[Bout]:
    """Verdicts of several people on each prompt; what a prompt favours, ``shared``, moves all of
    them.
    """
    bouts = []
    for prompt in range(prompts):
        one, other = rng.sample(range(len(NAMES)), 2)
        difference = STRENGTHS[one] - STRENGTHS[other] + rng.gauss(0, shared)
        for _ in range(people):
            wins = rng.random() < 1 / (1 + math.exp(-difference))
            bouts.append(Bout(NAMES[one], NAMES[other], float(wins), prompt))
    return bouts


def test_strengths_are_those_that_evalica_and_scipy_find() -> None:
    bouts = simulate(random.Random(1), 600)
    bouts += [Bout("base", "best", 0.5, 600 + number) for number in range(40)]
    found = {standing.name: standing.rating for standing in rank(NAMES, bouts).standings}
    outcomes = {1.0: evalica.Winner.X, 0.0: evalica.Winner.Y, 0.5: evalica.Winner.Draw}
    theirs = evalica.bradley_terry(
        [bout.first for bout in bouts],
        [bout.second for bout in bouts],
        [outcomes[bout.score] for bout in bouts],
        tolerance=1e-12,
    ).scores
    logs = {name: math.log(theirs[name]) for name in NAMES}
    middle = sum(logs.values()) / len(logs)
    for name in NAMES:  # a weak prior draws them a little together
        assert found[name] == pytest.approx(
            1000 + 400 / math.log(10) * (logs[name] - middle), abs=5
        )


@pytest.mark.slow
def test_ratings_are_the_posteriors_means_that_a_markov_chain_finds() -> None:
    """Metropolis over the strengths, the spread between contenders integrated out on a fine grid:
    no normal approximation.
    """
    bouts = simulate(random.Random(4), 80)
    place = {name: number for number, name in enumerate(NAMES)}
    design = np.array(
        [[(place[b.first] == k) - (place[b.second] == k) for k in range(4)] for b in bouts],
        dtype=float,
    )
    scores, spreads = np.array([bout.score for bout in bouts]), np.linspace(0.25, 3.25, 61)

    def log_posterior(strengths: "np.ndarray") -> "np.ndarray":
        odds = strengths @ design.T
        squares = (strengths**2).sum(-1)[..., None]
        prior = np.exp(-squares / (2 * spreads**2) - 4 * np.log(spreads)).mean(-1)
        return (scores * odds - np.logaddexp(0, odds)).sum(-1) + np.log(prior)

    rng = np.random.default_rng(1)
    at, kept = rng.normal(0, 0.3, (400, 4)), []
    density = log_posterior(at)
    for step in range(1200):
        proposed = at + rng.normal(0, 0.25, at.shape)
        theirs = log_posterior(proposed)
        taken = np.log(rng.random(len(at))) < theirs - density
        at[taken], density[taken] = proposed[taken], theirs[taken]
        if step >= 300 and step % 5 == 0:
            kept.append(at - at.mean(1, keepdims=True))
    drawn = np.concatenate(kept) * 400 / math.log(10)
    for standing in rank(NAMES, bouts).standings:
        own = drawn[:, place[standing.name]]
        assert standing.rating == pytest.approx(1000 + own.mean(), abs=5)
        assert (standing.high - standing.low) / 2 == pytest.approx(1.96 * own.std(), rel=0.05)


def test_a_fit_with_a_prior_is_the_one_that_scipy_finds() -> None:
    bouts = simulate(random.Random(1), 300)
    design = np.array(
        [[(b.first == name) * 1.0 - (b.second == name) for name in NAMES] for b in bouts]
    )
    scores = np.array([bout.score for bout in bouts])

    def loss(strengths: "np.ndarray") -> float:
        odds = design @ strengths
        return float(
            np.sum(np.logaddexp(0, odds) - scores * odds) + 0.25 / 2 * strengths @ strengths
        )

    fit = fit_logistic(design, scores, prior_precision=np.full(4, 0.25))
    assert fit is not None
    assert fit.coefficients == pytest.approx(minimize(loss, np.zeros(4), tol=1e-12).x, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("people", "shared"), [(1, 0.0), (3, 1.0)], ids=["one verdict a prompt", "three that are alike"]
)
def test_intervals_hold_the_known_strengths_as_often_as_they_say(
    people: int, shared: float
) -> None:
    """What a prompt favours flattens the strengths, so the truth is what very many prompts give."""
    rng = random.Random(2)
    truth = {
        s.name: s.rating
        for s in rank(NAMES, simulate(rng, 60_000, people=1, shared=shared)).standings
    }
    held = total = 0
    for _ in range(600):
        for standing in rank(NAMES, simulate(rng, 300, people=people, shared=shared)).standings:
            held += standing.low <= truth[standing.name] <= standing.high
            total += 1
    assert held / total == pytest.approx(0.95, abs=0.02)


def test_ranks_span_what_the_verdicts_leave_open() -> None:
    few = rank(NAMES, simulate(random.Random(3), 60)).standings
    many = rank(NAMES, simulate(random.Random(3), 6000)).standings
    assert [standing.name for standing in many] == ["best", "large", "small", "base"]
    assert [(standing.best_rank, standing.worst_rank) for standing in many] == [
        (1, 1),
        (2, 2),
        (3, 3),
        (4, 4),
    ]
    assert any(standing.best_rank < standing.worst_rank for standing in few)
    for number, standing in enumerate(few, start=1):
        assert standing.best_rank <= number <= standing.worst_rank


def test_a_contender_who_loses_all_is_ranked_and_islands_are_told_of() -> None:
    lost = [Bout(NAMES[0], other, 0.0, number) for number in range(20) for other in NAMES[1:3]]
    ranking = rank(NAMES, lost)
    assert ranking.standings[-1].name == "base" and all(
        math.isfinite(one.rating) for one in ranking.standings
    )
    assert (
        ranking.note
        == "No verdict links base, small and large with best: how these stand to each other is "
        "not known yet."
    )
    ties = rank(NAMES[:2], [Bout("base", "small", 0.5, number) for number in range(120)])
    # ties prove no equality to the point
    assert all(one.high - one.low > 20 for one in ties.standings)
    assert ties.note == ""


@pytest.mark.slow
def test_ranks_are_seldom_wrong_among_equals() -> None:
    """All pairs of contenders together: with each at 5 % a quarter of all rankings of five would
    name a better one.
    """
    rng, wrong, names = random.Random(6), 0, ("a", "b", "c", "d", "e")
    for _ in range(400):
        bouts = [
            Bout(*rng.sample(names, 2), float(rng.random() < 0.5), prompt) for prompt in range(200)
        ]
        wrong += any(
            standing.best_rank > 1 or standing.worst_rank < 5
            for standing in rank(names, bouts).standings
        )
    assert wrong / 400 < 0.08


def test_data_that_a_line_parts_have_no_greatest_likelihood() -> None:
    features = np.array([[1.0, -1.0], [1.0, -0.5], [1.0, 0.5], [1.0, 1.0]] * 3)
    assert fit_logistic(features, np.array([0.0, 0.0, 1.0, 1.0] * 3), range(12)) is None
    assert fit_logistic(features, np.array([0.0, 1.0, 0.0, 1.0] * 3), range(12)) is not None


def test_few_prompts_claim_no_certainty() -> None:
    """The sandwich of as many clusters as coefficients has no width at all."""
    bouts = [
        Bout(one, other, float(number % 3 > 0), 1)
        for number, (one, other) in enumerate(permutations(NAMES[:3], 2))
    ]
    assert "needs verdicts on 10 prompts or more" in rank(NAMES[:3], bouts).obstacle
    scores, lengths = lengths_matter(random.Random(1), 40, quality=0.2, effect=1.0)
    assert control_length(scores, lengths, [number % 2 for number in range(40)]) is None


# four observers, twelve units; Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability",
# example C
_PUBLISHED = (
    "1 2 3 3 2 1 4 1 2 . . .",
    "1 2 3 3 2 2 4 1 2 5 . 3",
    ". 3 3 3 2 3 4 2 2 5 1 .",
    "1 2 3 3 2 4 4 1 2 5 1 .",
)


def test_alpha_is_the_published_one_and_evalicas() -> None:
    rows = [line.split() for line in _PUBLISHED]
    units = [[label for label in unit if label != "."] for unit in zip(*rows, strict=True)]
    assert krippendorff_alpha(units) == pytest.approx(0.743, abs=0.0005)
    table = pd.DataFrame(
        [[None if label == "." else float(label) for label in row] for row in rows]
    )
    assert krippendorff_alpha(units) == pytest.approx(
        evalica.alpha(table, distance="nominal").alpha, abs=1e-9
    )
    numbers = [[int(label) for label in unit] for unit in units]
    assert krippendorff_alpha(numbers, numbers_differ) == pytest.approx(0.849, abs=0.0005)
    assert krippendorff_alpha(numbers, numbers_differ) == pytest.approx(
        evalica.alpha(table, distance="interval").alpha, abs=1e-9
    )


@given(st.lists(st.lists(st.sampled_from("abtn"), max_size=4), max_size=12))
def test_alpha_is_at_most_one_and_one_only_in_agreement(units: list[list[str]]) -> None:
    alpha = krippendorff_alpha(units)
    compared = [unit for unit in units if len(unit) > 1]
    if alpha is None:
        assert len({label for unit in compared for label in unit}) <= 1
    else:
        assert alpha <= 1
        assert (alpha == 1) == all(len(set(unit)) == 1 for unit in compared)


def test_kappa_is_the_textbooks() -> None:
    """Fifty proposals, two readers: 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no; observed 0.7,
    expected 0.5.
    """
    pairs = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15
    assert cohen_kappa(pairs) == pytest.approx(0.4)
    assert cohen_kappa([]) is None and cohen_kappa([("y", "y")]) is None


def lengths_matter(
    rng: random.Random, count: int, *, quality: float, effect: float
) -> tuple[list[float], list[tuple[int, int]]]:
    scores, lengths = [], []
    for _ in range(count):
        first, second = round(rng.lognormvariate(4.5, 0.6)), round(rng.lognormvariate(4.2, 0.6))
        lengths.append((first, second))
        spread = 75  # near the standard deviation of such differences
        scores.append(
            float(
                rng.random()
                < 1 / (1 + math.exp(-quality - effect * math.tanh((first - second) / spread)))
            )
        )
    return scores, lengths


def test_length_control_finds_the_rate_at_equal_lengths() -> None:
    scores, lengths = lengths_matter(random.Random(4), 6000, quality=0.2, effect=1.0)
    found = control_length(scores, lengths, range(len(scores)))
    assert found is not None
    truth = 1 / (1 + math.exp(-0.2))
    assert found.low < truth < found.high
    assert sum(scores) / len(scores) > truth + 0.03
    assert found.effect == pytest.approx(1.0, abs=0.2)


@pytest.mark.parametrize(
    ("scores", "lengths"),
    [
        ([1.0] * 5, [(1, 2)] * 5),
        ([1.0, 0.0] * 20, [(3, 3)] * 40),
        ([1.0] * 40, [(n, 40 - n) for n in range(40)]),
        ([1.0, 0.0, 0.5, 0.0] * 10, [(260 + n % 7, 121) for n in range(40)]),
    ],
    ids=["too few", "all equally long", "all one way", "one always longer"],
)
def test_length_control_is_silent_where_it_cannot_tell(
    scores: list[float], lengths: list[tuple[int, int]]
) -> None:
    assert control_length(scores, lengths, range(len(scores))) is None


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.5, 1.0]),
            st.integers(0, 3000),
            st.integers(0, 3000) | st.just(100),
        ),
        min_size=20,
        max_size=60,
    )
)
def test_length_control_says_something_sensible_or_nothing(
    verdicts: list[tuple[float, int, int]],
) -> None:
    scores, lengths = (
        [score for score, _, _ in verdicts],
        [(first, second) for _, first, second in verdicts],
    )
    found = control_length(scores, lengths, range(len(scores)))
    if found is not None:
        assert 0 <= found.low <= found.rate <= found.high <= 1 and math.isfinite(found.effect)
        assert len(set(lengths)) > 1


def test_verdicts_on_one_prompt_that_always_agree_count_as_one() -> None:
    assert effective_count([(1, 0), (0, 1), (1, 0)]) == 3
    assert 4 < effective_count([(5, 0)] * 6) <= 6
    assert effective_count([(4, 0)] * 30 + [(0, 4)] * 20) == pytest.approx(50, abs=2)
    lows = []
    # of 90 verdicts on 30 prompts: each lost one lowers what can be claimed
    for losses in (0, 1, 2, 3):
        worth = effective_count([(2, 1)] * losses + [(3, 0)] * (30 - losses))
        lows.append(wilson_interval((90 - losses) / 90 * worth, worth)[0])
    assert lows == sorted(lows, reverse=True) and lows[1] < 0.89
    assert effective_count([(1, 1)] * 10) == 20


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=30))
def test_effective_counts_lie_between_nothing_and_all(decided: Sequence[tuple[int, int]]) -> None:
    total = sum(wins + losses for wins, losses in decided)
    assert 0 <= effective_count(decided) <= total


@pytest.mark.slow
def test_the_interval_of_repeated_prompts_holds_the_truth_as_often_as_it_says() -> None:
    rng, held, rounds = random.Random(5), 0, 2000
    for _ in range(rounds):
        prompts = []
        for _ in range(80):
            # what share of people prefer the first on this prompt: 0.6 in the mean
            leaning = rng.betavariate(1.2, 0.8)
            wins = sum(rng.random() < leaning for _ in range(4))
            prompts.append((wins, 4 - wins))
        share = sum(wins for wins, _ in prompts) / 320
        worth = effective_count(prompts)
        low, high = wilson_interval(share * worth, worth)
        held += low <= 0.6 <= high
    assert held / rounds == pytest.approx(0.95, abs=0.02)
