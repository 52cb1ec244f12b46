"""Strengths by few people and many judgements: intervals that hold, however wrong the judge is."""

from typing import Any

import numpy as np
import pytest

from review.statistics.bradley_terry import Bout
from review.statistics.powered_strengths import PoweredStrengths, powered_strengths

NAMES = ["a", "b", "c", "d"]
STRENGTHS = np.array([1.0, 0.3, -0.3, -1.0])
RATINGS = dict(zip(NAMES, 1000 + 400 / np.log(10) * STRENGTHS, strict=True))


def drawn(
    rng: np.random.Generator, people: int, judged: int, right: float, favours: float = 0.0
) -> tuple[list[Bout], list[Bout], list[Bout]]:
    """Return verdicts, judgements of the same pairs and others by a judge that says what people say so
    often, and takes ``a`` so often whatever they say.
    """
    said: list[list[Bout]] = [[], [], []]
    for number in range(people + judged):
        one, other = rng.choice(4, 2, replace=False)
        truth = float(rng.random() < 1 / (1 + np.exp(STRENGTHS[other] - STRENGTHS[one])))
        judge = truth if rng.random() < right else 1 - truth
        if rng.random() < favours and 0 in {one, other}:
            judge = float(one == 0)
        sides: tuple[Any, ...] = (NAMES[one], NAMES[other])
        if number < people:
            said[0].append(Bout(*sides, truth, number // 2))
            said[1].append(Bout(*sides, judge, number // 2))
        else:
            said[2].append(Bout(*sides, judge, number // 2))
    return said[0], said[1], said[2]


def ratings(found: PoweredStrengths | None) -> dict[str, float]:
    assert found is not None
    return {one.name: one.rating for one in found.strengths}


@pytest.mark.parametrize(("right", "favours"), [(0.2, 0.0), (0.5, 0.0), (0.85, 0.0), (0.85, 0.6)])
def test_intervals_hold_the_truth_and_are_never_much_wider_than_people_s(
    right: float, favours: float
) -> None:
    rng = np.random.default_rng(5)
    held, narrower = [], []
    for _ in range(60):
        found = powered_strengths(NAMES, *drawn(rng, 60, 600, right, favours))
        assert found is not None and 0 <= found.weight <= 0.95 and 0 <= found.saved <= 1
        for one in found.strengths:
            held.append(one.low <= RATINGS[one.name] <= one.high)
            narrower.append((one.high - one.low) / (one.people_high - one.people_low))
    assert np.mean(held) >= 0.91
    assert max(narrower) <= 1.051
    if right > 0.5:
        assert np.mean(narrower) < 0.95


def test_a_judge_that_favours_one_is_put_right_by_people() -> None:
    human, judged, others = drawn(np.random.default_rng(1), 600, 6000, 0.9, 0.6)
    found = ratings(powered_strengths(NAMES, human, judged, others))
    alone = ratings(powered_strengths(NAMES, others, others, []))  # as if the judge were people
    assert alone["a"] - RATINGS["a"] > 100
    assert abs(found["a"] - RATINGS["a"]) < 60


def test_without_other_judgements_it_is_people_alone_and_below_twenty_prompts_nothing() -> None:
    human, judged, others = drawn(np.random.default_rng(2), 60, 300, 0.9)
    found = powered_strengths(NAMES, human, judged, [])
    assert found is not None and found.weight == 0 and found.saved == 0
    for one in found.strengths:
        assert (one.rating, one.low, one.high) == (
            one.people_rating, one.people_low, one.people_high,
        )  # fmt: skip
    assert powered_strengths(NAMES, human[:38], judged[:38], others) is None  # two a prompt


def test_a_judge_who_never_errs_stands_in_for_nearly_all_verdicts() -> None:
    found = powered_strengths(NAMES, *drawn(np.random.default_rng(3), 100, 3000, 1.0))
    assert found is not None and found.weight > 0.6 and found.saved > 0.7
    assert [one.name for one in found.strengths] == NAMES
