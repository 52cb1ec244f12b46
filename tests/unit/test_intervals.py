"""Intervals and evidence against scipy, closed forms and published figures."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import betaln
from scipy.stats import binomtest
from scipy.stats import t as student_t

from review.results.stars_and_tags import Stars, mean_stars
from review.statistics.intervals import (
    can_be_settled,
    evidence,
    prompts_still_needed,
    sign_test,
    wilson_interval,
)


@given(st.integers(0, 200), st.integers(0, 200))
def test_wilson_equals_scipys(wins: int, losses: int) -> None:
    if wins + losses == 0:
        assert wilson_interval(0, 0) == (0.0, 1.0)
        return
    expected = binomtest(wins, wins + losses).proportion_ci(method="wilson")
    assert wilson_interval(wins, wins + losses) == pytest.approx(
        (expected.low, expected.high), abs=1e-9
    )


def test_wilson_equals_the_published_example() -> None:
    low, high = wilson_interval(60, 100)
    assert (round(low, 3), round(high, 3)) == (0.502, 0.691)


@given(st.integers(0, 60), st.integers(0, 60))
def test_the_sign_test_equals_scipys(wins: int, losses: int) -> None:
    if wins + losses:
        assert sign_test(wins, losses) == pytest.approx(binomtest(wins, wins + losses).pvalue)


@given(st.integers(0, 300), st.integers(0, 300))
def test_evidence_equals_the_closed_form(wins: int, losses: int) -> None:
    import math

    expected = math.exp(float(betaln(wins + 1, losses + 1)) + (wins + losses) * math.log(2))
    assert evidence(wins, losses) == pytest.approx(expected, rel=1e-6)


def test_looking_after_every_vote_gives_false_alarms_in_at_most_five_percent() -> None:
    rng = random.Random(1)
    alarms = 0
    for _ in range(1000):
        wins = losses = 0
        for _ in range(300):
            wins, losses = (wins + 1, losses) if rng.random() < 0.5 else (wins, losses + 1)
            if evidence(wins, losses) >= 20:
                alarms += 1
                break
    assert alarms <= 50


def test_prompts_still_needed_are_told_only_where_somebody_is_ahead() -> None:
    assert prompts_still_needed(20, 2, 0) == (0, 0)
    assert prompts_still_needed(0, 0, 5) is None
    # who is better is open, and so is how long it takes to see it
    assert prompts_still_needed(11, 9, 0) is None
    needed = prompts_still_needed(15, 5, 0)
    assert needed is not None and 0 < needed[0] < needed[1]
    # every second prompt ends undecided
    assert prompts_still_needed(15, 5, 20) == (2 * needed[0], 2 * needed[1])
    assert can_be_settled(8, 2, 6) and not can_be_settled(8, 2, 4)


def test_the_interval_of_stars_is_that_of_a_clustered_mean_where_they_differ_much() -> None:
    stars = [(prompt, 1 + prompt * 7 % 5) for prompt in range(200)]
    found = mean_stars(stars)
    assert found is not None and found.interval is not None
    deviation = sum((given - found.mean) ** 2 for _, given in stars)
    assert found.interval[1] - found.mean == pytest.approx(
        float(student_t.ppf(0.975, 199)) * (200 / 199 * deviation) ** 0.5 / 200, rel=0.01
    )
    sure = mean_stars([(prompt, 5) for prompt in range(200)])
    assert (
        sure is not None
        and sure.interval is not None
        and sure.interval[1] == 5
        and 4.9 < sure.interval[0] < 5
    )


def test_stars_on_the_same_prompts_are_no_new_prompts() -> None:
    once = [(prompt, 3 + prompt % 3) for prompt in range(30)]
    alone, thrice = mean_stars(once), mean_stars(once * 3)
    assert (
        alone is not None
        and thrice is not None
        and thrice.interval == pytest.approx(alone.interval)
    )
    assert mean_stars(once[:9]) == Stars(9, 4.0, None) and mean_stars([]) is None
