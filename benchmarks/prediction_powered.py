"""How often intervals of people and judge together hold the truth, how wide they are beside people
alone, and how many verdicts a judge saves, against known truths.

Run: python benchmarks/prediction_powered.py [--repetitions 1500] [--json]
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from review.statistics.prediction_powered import powered_mean

_TRUTHS = (0.5, 0.6, 0.8, 0.92)
_RIGHT = (0.2, 0.5, 0.8, 0.95)  # how often a judge says what people say
_SIZES = ((30, 300), (100, 1000), (300, 3000))  # verdicts of people, judgements besides


def main() -> None:
    """Print a line for each setting, and the least and the most of all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repetitions", type=int, default=1500)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    rng = np.random.default_rng(0)
    lines = [
        _measure(rng, truth, right, people, judged, chosen.repetitions)
        for truth in _TRUTHS
        for right in _RIGHT
        for people, judged in _SIZES
    ]
    for line in lines:
        print(json.dumps(line) if chosen.json else line)
    covered = [line["covered"] for line in lines]
    print(
        {"covered": [min(covered), max(covered)], "widest": max(line["widest"] for line in lines)}
    )


def _measure(
    rng: np.random.Generator, truth: float, right: float, people: int, judged: int, repetitions: int
) -> dict[str, float]:
    covered, ratios, saved = 0, [], []
    for _ in range(repetitions):
        human = (rng.random(people + judged) < truth).astype(float)
        agrees = rng.random(people + judged) < right
        said = np.where(agrees, human, 1 - human)
        found = powered_mean(
            human[:people].tolist(), said[:people].tolist(), said[people:].tolist()
        )
        assert found is not None
        covered += found.low <= truth <= found.high
        ratios.append((found.high - found.low) / (found.people_high - found.people_low))
        saved.append(found.saved)
    return {
        "truth": truth, "judge_right": right, "people": people, "judged": judged,
        "covered": round(covered / repetitions, 4), "width": round(float(np.mean(ratios)), 3),
        "widest": round(max(ratios), 3), "saved": round(float(np.mean(saved)), 3),
    }  # fmt: skip


if __name__ == "__main__":
    main()
