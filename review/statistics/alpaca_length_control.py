"""AlpacaEval's own length-controlled win rate, for graded verdicts of its instructions.

Dubois et al. 2024, arXiv 2404.04475: a logistic regression without a constant on the tanh of the
standardised difference of lengths, on how difficult each instruction is, and on whether a row is of
the two models at hand; L1, its strength by five-fold cross-validation; asked for a difference of 0.
Difficulties, and the rows of baselines told to be long or short, which hold the effect of length in
place, stand in a file that its users have (``df_gamed.csv``, or ``instruction_difficulty.csv``
without those rows). Knows no table.
"""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import DataError
from review.statistics.logistic_regression import Array

_OF_BASELINES = 0.2 / 2  # the weight of a row of one of the two baselines that were told lengths
_FOLDS, _SEED, _STRENGTHS = 5, 123, 10
_COLUMNS = ("preference", "std_delta_len", "instruction_difficulty", "not_gamed_baseline")
_TRUE, _FALSE = frozenset({"true", "1", "1.0"}), frozenset({"false", "0", "0.0"})


@dataclass(frozen=True, slots=True)
class Difficulties:
    """How difficult instructions are, and rows of baselines."""

    of_row: Array  # (I,) of each instruction, in the order of the evaluation set
    baselines: Array  # (B, 4) preference, length, difficulty, of the two models; may have no row


def read_difficulties(path: Path) -> Difficulties:
    """Read either of AlpacaEval's files. Raises DataError."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path.name} cannot be read: {error}.") from error
    columns = set(rows[0]) if rows else set()
    if {*_COLUMNS, "index"} <= columns:
        table = np.array([_baseline(path, number, row) for number, row in enumerate(rows, start=2)])
        first = {row["index"]: number for number, row in reversed(list(enumerate(rows)))}
        return Difficulties(table[sorted(first.values()), 2], table)
    if "instruction_difficulty" in columns or len(columns) == 2:
        column = (
            "instruction_difficulty" if "instruction_difficulty" in columns else list(rows[0])[1]
        )
        values = [_number(path, number, row, column) for number, row in enumerate(rows, start=2)]
        return Difficulties(np.array(values), np.empty((0, 4)))
    raise DataError(
        f"{path.name} has no column 'instruction_difficulty': give AlpacaEval's df_gamed.csv or "
        "instruction_difficulty.csv."
    )


def _baseline(path: Path, number: int, row: Mapping[str, str]) -> tuple[float, ...]:
    told = str(row["not_gamed_baseline"]).strip().lower()
    if told not in _TRUE | _FALSE:
        raise DataError(
            f"{path.name}, line {number}: not_gamed_baseline is neither true nor false."
        )
    numbers = (_number(path, number, row, column) for column in _COLUMNS[:3])
    return *numbers, float(told in _TRUE)


def _number(path: Path, line: int, row: Mapping[str, str], column: str) -> float:
    try:
        value = float(row[column] or "nan")
    except (TypeError, ValueError):
        value = math.inf
    if math.isinf(value) or (math.isnan(value) and column != "preference"):
        raise DataError(f"{path.name}, line {line}: '{column}' is no number.")
    return value


def length_controlled_win_rate(
    preferences: Sequence[float | None],
    lengths: Sequence[tuple[int, int]],
    difficulties: Difficulties,
) -> float:
    """Return the win rate of the second model at equal lengths, 0 to 1.

    ``preferences`` are for the second model, 0 to 1, None where the judge said nothing; ``lengths``
    are those of both outputs in characters; both in the order of the evaluation set. Raises
    DataError where there are more rows than difficulties, or fewer than folds.
    """
    if len(preferences) > len(difficulties.of_row):
        raise DataError(
            f"There are {len(preferences):,} annotations and difficulties of "
            f"{len(difficulties.of_row):,} instructions: they are of another evaluation set."
        )
    said = np.array([math.nan if one is None else one for one in preferences], dtype=np.float64)
    if np.isfinite(said).sum() < 2 * _FOLDS:
        raise DataError(f"A length-controlled win rate takes {2 * _FOLDS} annotations or more.")
    differences = np.array([first - second for first, second in lengths], dtype=np.float64)
    spread = differences.std(ddof=1)
    own = np.column_stack([
        said, differences / spread if spread > 0 else differences,
        difficulties.of_row[: len(said)], np.ones(len(said)),
    ])  # fmt: skip
    rows = np.vstack([difficulties.baselines, own])
    rows = rows[np.isfinite(rows[:, 0])]
    weights = np.where(rows[:, 3] > 0, 1.0, _OF_BASELINES)
    features = np.column_stack([np.tanh(rows[:, 1]), rows[:, 2], rows[:, 3]])
    coefficients = _fit(features, rows[:, 0], weights)
    at_equal = np.column_stack([np.zeros(len(own)), own[:, 2], own[:, 3]])
    return float(np.mean(1 / (1 + np.exp(-(at_equal @ coefficients)))))


def _fit(features: Array, preferences: Array, weights: Array) -> Array:
    """Return the coefficients; a row of preference p counts p times as a win and 1 - p times as a loss.

    scikit-learn's class itself, with liblinear and its seed: its steps decide the last digits.
    """
    import sklearn
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.metrics import make_scorer
    from sklearn.model_selection import GroupKFold

    count = len(preferences)
    doubled = np.vstack([features, features])
    wins = np.concatenate([np.ones(count, dtype=int), np.zeros(count, dtype=int)])
    shares = np.concatenate([preferences, 1 - preferences])
    of_rows = np.concatenate([weights, weights])
    with sklearn.config_context(enable_metadata_routing=True):
        scorer = make_scorer(
            _soft_log_loss, response_method="predict_proba", greater_is_better=False
        ).set_score_request(shares=True, of_rows=True)
        options: dict[str, Any] = {
            "Cs": _STRENGTHS, "cv": GroupKFold(n_splits=_FOLDS), "scoring": scorer,
            "solver": "liblinear", "l1_ratios": (1.0,), "fit_intercept": False,
            "random_state": _SEED, "use_legacy_attributes": False,
        }  # fmt: skip
        model = LogisticRegressionCV(**options).set_fit_request(sample_weight=True)
        model.fit(
            doubled, wins, sample_weight=shares * of_rows, groups=np.tile(np.arange(count), 2),
            shares=shares, of_rows=of_rows,
        )  # fmt: skip
    coefficients: Array = np.asarray(model.coef_[0], dtype=np.float64)
    return coefficients


def _soft_log_loss(wins: Array, predicted: Any, shares: Array, of_rows: Array) -> float:
    chances = np.asarray(predicted)
    chances = chances[:, 1] if chances.ndim == 2 else chances
    chances = np.clip(chances, 1e-15, 1 - 1e-15)
    truth = np.where(wins == 1, shares, 1 - shares)
    loss = truth * np.log(chances) + (1 - truth) * np.log(1 - chances)
    return -float(np.mean(loss * of_rows))
