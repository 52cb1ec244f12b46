"""How often intervals of people and judge together hold the truth, how wide they are beside people
alone, and how many verdicts a judge saves, against known truths: of win rates, or of the strengths
of four contenders.

Run: python benchmarks/prediction_powered.py [--of means|strengths] [--repetitions 1500] [--json]
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from review.statistics.bradley_terry import Bout
from review.statistics.powered_strengths import powered_strengths
from review.statistics.prediction_powered import powered_mean

_TRUTHS = (0.5, 0.6, 0.8, 0.92)
_RIGHT = (0.2, 0.5, 0.8, 0.95)  # how often a judge says what people say
_SIZES = ((30, 300), (100, 1000), (300, 3000))  # verdicts of people, judgements besides
_STRENGTHS = ((0.0, 0.0, 0.0, 0.0), (1.0, 0.3, -0.3, -1.0), (2.5, 0.0, 0.0, -2.5))  # log odds
# how often a judge says what people say, and how often it takes the first contender whatever they say
_JUDGES = ((0.2, 0.0), (0.5, 0.0), (0.8, 0.0), (0.95, 0.0), (0.8, 0.6))


def main() -> None:
    """Print a line for each setting, and the least and the most of all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--of", choices=["means", "strengths"], default="means")
    parser.add_argument("--repetitions", type=int, default=1500)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    rng = np.random.default_rng(0)
    if chosen.of == "strengths":
        lines = [
            _measure_strengths(rng, np.array(truth), judge, sizes, chosen.repetitions)
            for truth in _STRENGTHS
            for judge in _JUDGES
            for sizes in _SIZES
        ]
    else:
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


def _measure_strengths(
    rng: np.random.Generator,
    truth: "np.ndarray",
    judge: tuple[float, float],
    sizes: tuple[int, int],
    repetitions: int,
) -> dict[str, float]:
    people, count = sizes[0], sum(sizes)
    expected = 1000 + 400 / np.log(10) * (truth - truth.mean())
    held, ratios, saved = [], [], []
    for _ in range(repetitions):
        first = rng.integers(0, 4, count)
        second = (first + rng.integers(1, 4, count)) % 4
        prompts = rng.integers(0, count // 3 + 1, count)
        human = (rng.random(count) < 1 / (1 + np.exp(truth[second] - truth[first]))).astype(float)
        said = np.where(rng.random(count) < judge[0], human, 1 - human)
        favours = rng.random(count) < judge[1]
        said = np.where(favours & (first == 0), 1.0, np.where(favours & (second == 0), 0.0, said))

        def bouts(
            scores: "np.ndarray", part: slice, sides: tuple[Any, ...] = (first, second, prompts)
        ) -> list[Bout]:
            rows = zip(*(side[part] for side in sides), scores[part], strict=True)
            return [Bout(str(a), str(b), float(score), int(prompt)) for a, b, prompt, score in rows]

        ours, others = slice(people), slice(people, None)
        found = powered_strengths(
            list("0123"), bouts(human, ours), bouts(said, ours), bouts(said, others)
        )
        if found is None:  # too few prompts were drawn
            continue
        held += [one.low <= expected[int(one.name)] <= one.high for one in found.strengths]
        ratios += [
            (one.high - one.low) / (one.people_high - one.people_low) for one in found.strengths
        ]
        saved.append(found.saved)
    return {
        "strengths": truth.tolist(), "judge_right": judge[0], "judge_favours": judge[1],
        "people": people, "judged": sizes[1], "covered": round(float(np.mean(held)), 4),
        "width": round(float(np.mean(ratios)), 3), "widest": round(max(ratios), 3),
        "saved": round(float(np.mean(saved)), 3),
    }  # fmt: skip


if __name__ == "__main__":
    main()
