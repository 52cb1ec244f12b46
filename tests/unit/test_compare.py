"""Differences between models question by question, against formulas and simulations."""

import numpy as np
import pytest
from scipy import stats

from core.evaluation.compare import (
    Comparison,
    adjust,
    compare_scores,
    comparison_sentence,
    interval_of,
)


def scores(values: list[float], clusters: list[str] | None = None) -> dict[int, tuple[float, str]]:
    named = clusters or [""] * len(values)
    return dict(enumerate(zip(values, named, strict=True)))


def compared(
    mine: list[float], theirs: list[float], clusters: list[str] | None = None
) -> Comparison:
    found = compare_scores("t", ("a", scores(mine, clusters)), ("b", scores(theirs, clusters)))
    assert found is not None
    return found


def test_rights_and_wrongs_are_compared_by_mcnemar_s_exact_test() -> None:
    # 9 questions that only the first has right, 1 that only the second has
    found = compared([1.0] * 9 + [0.0] + [1.0] * 10, [0.0] * 9 + [1.0] + [1.0] * 10)
    assert (found.only_model, found.only_baseline, found.questions) == (9, 1, 20)
    assert found.difference == pytest.approx(0.4)
    assert found.p_value == pytest.approx(2 * sum(stats.binom.pmf(k, 10, 0.5) for k in (0, 1)))
    # Bonett and Price: (10 - 2) / 22 ± 1.96 * sqrt((10/22 + 2/22 - (8/22)^2) / 22)
    half = 1.96 * np.sqrt((12 / 22 - (8 / 22) ** 2) / 22)
    assert (found.low, found.high) == pytest.approx((8 / 22 - half, 8 / 22 + half), abs=1e-4)


def test_equal_models_show_nothing() -> None:
    found = compared([1.0, 0.0, 1.0], [1.0, 0.0, 1.0])
    assert (found.difference, found.p_value, found.is_shown) == (0, 1, False)
    assert compare_scores("t", ("a", scores([1.0])), ("b", scores([1.0]))) is None


def test_only_questions_that_both_were_asked_count() -> None:
    found = compare_scores("t", ("a", scores([1.0] * 5)), ("b", scores([0.0] * 3)))
    assert found is not None and found.questions == 3


def test_questions_of_one_passage_are_one_observation() -> None:
    alone = compared([1.0] * 12, [0.0] * 12)
    assert alone.p_value < 0.01
    together = compared([1.0] * 12, [0.0] * 12, ["passage"] * 12)
    assert together.p_value == 1 and (together.low, together.high) == (-1, 1)
    few = compared([1.0, 1.0, 0.0, 0.0] * 3, [0.0] * 12, [f"p{n // 4}" for n in range(12)])
    assert few.p_value > alone.p_value


def test_the_number_of_comparisons_is_allowed_for() -> None:
    def one(p_value: float) -> Comparison:
        return Comparison(
            task="t", model="a", baseline="b", questions=9, difference=0.1, low=0, high=0.2,
            p_value=p_value, adjusted_p=p_value, only_model=0, only_baseline=0,
        )  # fmt: skip

    found = [one.adjusted_p for one in adjust([one(0.01), one(0.04), one(0.03), one(0.5)])]
    assert found == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert adjust([]) == []


def test_sentences_say_what_questions_can_show() -> None:
    same = compared([1.0, 0.0] * 200, [0.0, 1.0] * 200)
    assert comparison_sentence(same, "MMLU").startswith(
        "MMLU: no difference that these 400 questions can show, +0.0 ± "
    )
    worse = compared([0.0] * 50 + [1.0] * 50, [1.0] * 100)
    assert comparison_sentence(worse, "GSM8K").startswith(
        "GSM8K: a is worse than b, −50.0 points ("
    )


def test_intervals_are_wilson_s_where_questions_stand_alone() -> None:
    low, high = interval_of(scores([1.0] * 12 + [0.0] * 8)) or (0, 0)
    wanted = stats.binomtest(12, 20).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((wanted.low, wanted.high))
    assert interval_of(scores([1.0])) is None
    clusters = [f"p{n // 5}" for n in range(20)]
    wide = interval_of(scores([1.0] * 10 + [0.0] * 10, clusters)) or (0, 0)
    assert wide[1] - wide[0] > high - low


@pytest.mark.parametrize("clustered", [False, True])
def test_intervals_cover_and_tests_do_not_cry_wolf(clustered: bool) -> None:
    rng = np.random.default_rng(1)
    covered = false_alarms = 0
    rounds, size = 300, 120
    for _ in range(rounds):
        easy = np.repeat(rng.random(size // 4), 4) if clustered else rng.random(size)
        mine = (rng.random(size) < 0.3 + 0.5 * easy).astype(float)
        theirs = (rng.random(size) < 0.3 + 0.5 * easy).astype(float)
        names = [f"p{n // 4}" for n in range(size)] if clustered else None
        found = compared(mine.tolist(), theirs.tolist(), names)
        covered += found.low <= 0 <= found.high
        false_alarms += found.p_value < 0.05
    assert covered >= 0.91 * rounds and false_alarms <= 0.08 * rounds
