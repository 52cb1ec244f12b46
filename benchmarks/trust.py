"""Whether the numbers of a report hold what they say, by simulation against known truths.

    python benchmarks/trust.py [--quick] [--json]

Coverage: how often each 95 % interval holds the truth (wished: 95 ± 1.5 %; ± 2.5 % at 10 prompts,
or at 99 % wins). False evidence: how often a whole report says "Enough evidence" of some of its
meetings or categories although nobody is better, looked at after every prompt (wished: at most 5
%). Ranks: how often somebody is ranked above an equal. Each arm counts with the project's own
functions, so what is proved is what is shown; ``--quick`` repeats a tenth as often.
"""

import argparse
import json
import math
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from review.results.report import _required
from review.statistics.active_sampling import expected_gains
from review.statistics.bradley_terry import Bout, rank
from review.statistics.intervals import (
    clustered_mean,
    effective_count,
    evidence,
    prompts_still_needed,
    wilson_interval,
)
from review.statistics.length_control import control_length

Line = dict[str, object]
_SEED = 20261126


def main() -> None:
    """Print a line for each setting."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of the repetitions")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", default="", help="arms whose name begins so")
    chosen = parser.parse_args()
    for name, arm in _ARMS.items():
        if not name.startswith(chosen.only):
            continue
        started = time.perf_counter()
        for line in arm(0.1 if chosen.quick else 1.0):
            words = "  ".join(f"{key} {value}" for key, value in line.items())
            print(
                json.dumps({"arm": name, **line}) if chosen.json else f"{name:18s} {words}",
                flush=True,
            )
        if not chosen.json:
            print(f"{name:18s} ({time.perf_counter() - started:.0f} s)", flush=True)


def win_rates(scale: float) -> Iterator[Line]:
    """Wilson's interval of the win rate, with one reviewer or several who agree more or less."""
    for prompts in (10, 30, 100, 300):
        for people, alike in ((1, 0.0), (3, 0.0), (3, 0.6), (5, 0.9)):
            for truth in (0.5, 0.7, 0.9, 0.97):
                if prompts * (1 - truth) < 1:
                    continue
                yield {
                    "prompts": prompts,
                    "people": people,
                    "alike": alike,
                    "truth": truth,
                } | _covered(
                    lambda rng, p=prompts, n=people, a=alike, t=truth: _wilson(rng, p, n, a, t),
                    truth,
                    round(2000 * scale),
                )


def _wilson(
    rng: random.Random, prompts: int, people: int, alike: float, truth: float
) -> tuple[float, float]:
    decided = [_votes(rng, people, alike, truth) for _ in range(prompts)]
    share = sum(won for won, _ in decided) / (prompts * people)
    worth = effective_count(decided)
    return wilson_interval(share * worth, worth)


def _votes(rng: random.Random, people: int, alike: float, truth: float) -> tuple[int, int]:
    """Return how many of so many people prefer the first on one prompt; ``alike`` is the
    correlation of two verdicts on it.
    """
    own = truth
    if alike:
        strength = (1 - alike) / alike
        own = rng.betavariate(truth * strength, (1 - truth) * strength)
    won = sum(rng.random() < own for _ in range(people))
    return won, people - won


def stars(scale: float) -> Iterator[Line]:
    """Cover the mean of stars, of one reviewer or three, independent or alike, evenly spread or
    skewed.
    """
    spreads = {
        "even": (1, 1, 1, 1, 1),
        "good": (0.5, 0.5, 1, 3, 5),
        "all but few": (0.04, 0.03, 0.03, 0.2, 0.7),
    }
    for prompts in (10, 30, 100):
        for people, alike in ((1, 0.0), (3, 0.0), (3, 0.7)):
            for name, weights in spreads.items():
                truth = sum(
                    number * weight for number, weight in enumerate(weights, start=1)
                ) / sum(weights)
                yield {
                    "prompts": prompts,
                    "people": people,
                    "alike": alike,
                    "spread": name,
                } | _covered(
                    lambda rng, p=prompts, n=people, a=alike, w=weights: _mean_stars(
                        rng, p, n, a, w
                    ),
                    truth,
                    round(2000 * scale),
                )


def _mean_stars(
    rng: random.Random, prompts: int, people: int, alike: float, weights: Sequence[float]
) -> tuple[float, float]:
    given = []
    for prompt in range(prompts):
        shared = rng.choices(range(1, 6), weights)[0]
        for _ in range(people):
            own = shared if rng.random() < alike else rng.choices(range(1, 6), weights)[0]
            given.append((prompt, float(own)))
    interval = clustered_mean(given, range(1, 6))[1]
    assert interval is not None
    return interval


def rankings(scale: float) -> Iterator[Line]:
    """Bradley–Terry intervals, with pairs chosen at random or by what they tell, and false orders
    among equals.
    """
    for names, verdicts in ((4, 60), (4, 300), (8, 100), (8, 300)):
        for active in (False, True):
            strengths = np.linspace(-0.9, 0.9, names)
            yield {"contenders": names, "verdicts": verdicts, "active": active} | _ranked(
                strengths, verdicts, 1, scale, active=active
            )
    far = np.array([-3.5, 0.3, 0.0, -0.3])
    yield {"contenders": 4, "verdicts": 150, "one far off": True} | _ranked(
        far, 150, 1, scale, active=True
    )
    for people in (3,):
        yield {"contenders": 4, "verdicts": 300, "people": people} | _ranked(
            np.linspace(-0.6, 0.6, 4), 100, people, scale, active=False
        )
    for names in (3, 5, 8):
        yield {"equals": names, "verdicts": 300} | _false_orders(names, 300, scale)


def _ranked(
    strengths: "np.ndarray", verdicts: int, people: int, scale: float, *, active: bool
) -> Line:
    rng, held, total, fitted, bias = random.Random(_SEED), 0, 0, 0, 0.0
    names = [f"c{number}" for number in range(len(strengths))]
    truth = 1000 + 400 / math.log(10) * (strengths - strengths.mean())
    rounds = round(400 * scale)
    for _ in range(rounds):
        bouts = list(_bouts(rng, strengths, names, verdicts, people, active=active))
        found = {one.name: one for one in rank(names, bouts).standings}
        fitted += bool(found)
        for name, true in zip(names, truth, strict=True):
            if name in found:
                held += found[name].low <= true <= found[name].high
                total += 1
        if found:
            bias += (found[names[-1]].rating - truth[-1]) - (found[names[0]].rating - truth[0])
    return {
        "covered": _percent(held, total),
        "ranked": _percent(fitted, rounds),
        "outward Elo": round(bias / max(fitted, 1) / 2, 1),
    }


def _bouts(
    rng: random.Random,
    strengths: "np.ndarray",
    names: Sequence[str],
    verdicts: int,
    people: int,
    *,
    active: bool,
) -> Iterator[Bout]:
    meetings = list(combinations(range(len(names)), 2))
    tallies: dict[tuple[int, int], tuple[float, int]] = dict.fromkeys(meetings, (0.0, 0))
    for prompt in range(verdicts):
        meeting = rng.choice(meetings)
        if active and rng.random() >= 0.25:
            gains = expected_gains(tallies)
            meeting = max(meetings, key=lambda one: gains[one])
        first, second = meeting
        for _ in range(people):
            score = float(rng.random() < 1 / (1 + math.exp(strengths[second] - strengths[first])))
            tallies[meeting] = tallies[meeting][0] + score, tallies[meeting][1] + 1
            yield Bout(names[first], names[second], score, prompt)


def _false_orders(count: int, verdicts: int, scale: float) -> Line:
    rng, wrong, rounds = random.Random(_SEED), 0, round(400 * scale)
    names = [f"c{number}" for number in range(count)]
    for _ in range(rounds):
        found = rank(names, list(_bouts(rng, np.zeros(count), names, verdicts, 1, active=False)))
        wrong += any(one.best_rank > 1 or one.worst_rank < count for one in found.standings)
    return {"some false order": _percent(wrong, rounds)}


def lengths(scale: float) -> Iterator[Line]:
    """Cover the win rate at equal lengths: near and far apart, with length preferred or not."""
    for prompts in (30, 100, 300):
        for apart in (0.0, 0.5, 1.0):
            for effect in (0.0, 1.0, 2.0):
                truth = 1 / (1 + math.exp(-0.4))
                yield {"prompts": prompts, "apart": apart, "effect": effect} | _covered(
                    lambda rng, p=prompts, d=apart, e=effect: _at_equal_lengths(rng, p, d, e),
                    truth,
                    round(1000 * scale),
                )


def _at_equal_lengths(
    rng: random.Random, prompts: int, apart: float, effect: float
) -> tuple[float, float] | None:
    differences = [rng.gauss(apart, 1.0) for _ in range(prompts)]
    spread = math.sqrt(sum((d - sum(differences) / prompts) ** 2 for d in differences) / prompts)
    scores = [
        float(rng.random() < 1 / (1 + math.exp(-0.4 - effect * math.tanh(d / spread))))
        for d in differences
    ]
    found = control_length(
        scores, [(1000 + round(100 * d), 1000) for d in differences], range(prompts)
    )
    return None if found is None else (found.low, found.high)


def evidences(scale: float) -> Iterator[Line]:
    """How often a report of equals says "Enough evidence" somewhere, looked at after every prompt
    to its end.
    """
    for contenders in (2, 3, 5, 8):
        yield {"contenders": contenders} | _false_evidence(contenders, 1, 1, scale)
    for categories in (5, 8, 20):
        yield {"categories": categories} | _false_evidence(2, categories, 1, scale)
    for people in (2, 10, 20):
        yield {"contenders": 2, "people": people} | _false_evidence(2, 1, people, scale)


def _false_evidence(contenders: int, categories: int, people: int, scale: float) -> Line:
    """Simulate each meeting on 300 prompts; with several people the first decided verdict of a
    prompt counts.
    """
    rng, alarms, rounds = random.Random(_SEED), 0, round(1000 * scale)
    meetings = contenders * (contenders - 1) // 2
    overall, by_category = _required(
        meetings, categories if categories > 1 else 0, is_filtered=False
    )
    for _ in range(rounds):
        alarms += any(
            _alarms(rng, 300, categories, people, overall, by_category) for _ in range(meetings)
        )
    return {"reports with false evidence": _percent(alarms, rounds)}


def _alarms(
    rng: random.Random,
    prompts: int,
    categories: int,
    people: int,
    overall: float | None,
    by_category: float | None,
) -> bool:
    won = lost = 0
    parts = [[0, 0] for _ in range(categories)]
    for prompt in range(prompts):
        decided = next(
            (
                verdict
                for verdict in (rng.choice(("a", "b", "tie")) for _ in range(people))
                if verdict != "tie"
            ),
            None,
        )
        if decided is None:
            continue
        side = int(decided == "b")
        won, lost = won + 1 - side, lost + side
        parts[prompt % categories][side] += 1
        if overall is not None and evidence(won, lost) >= overall:
            return True
        if by_category is not None and evidence(*parts[prompt % categories]) >= by_category:
            return True
    return False


def promises(scale: float) -> Iterator[Line]:
    """Of how many looks something is promised to be settled within a number of prompts, and how
    often it then is.
    """
    for truth in (0.5, 0.55, 0.6, 0.7):
        rng, looks, promised, kept = random.Random(_SEED), 0, 0, 0
        for _ in range(round(400 * scale)):
            won = sum(rng.random() < truth for _ in range(40))
            lost = 40 - won
            needed = prompts_still_needed(won, lost, 0)
            if needed == (0, 0):
                continue
            looks += 1
            if needed is None:
                continue
            promised += 1
            kept += _settled_within(rng, won, lost, truth, needed[1])
        yield {
            "truth": truth,
            "promised": _percent(promised, looks),
            "kept of these": _percent(kept, promised),
        }


def _settled_within(rng: random.Random, won: int, lost: int, truth: float, most: int) -> bool:
    for _ in range(most):
        is_won = rng.random() < truth
        won, lost = won + is_won, lost + (not is_won)
        if evidence(won, lost) >= 20:
            return True
    return False


def _covered(
    interval: Callable[[random.Random], tuple[float, float] | None], truth: float, rounds: int
) -> Line:
    """Return how often an interval holds the truth, how wide it is, and how often there is none."""
    rng, held, told, width = random.Random(_SEED), 0, 0, 0.0
    for _ in range(rounds):
        found = interval(rng)
        if found is not None:
            held, told, width = (
                held + (found[0] <= truth <= found[1]),
                told + 1,
                width + found[1] - found[0],
            )
    return {
        "covered": _percent(held, told),
        "told": _percent(told, rounds),
        "width": round(width / max(told, 1), 3),
    }


def _percent(count: float, total: float) -> float | None:
    return round(100 * count / total, 1) if total else None


_ARMS: dict[str, Callable[[float], Iterator[Line]]] = {
    "win rate": win_rates,
    "stars": stars,
    "ranking": rankings,
    "length": lengths,
    "evidence": evidences,
    "promise": promises,
}

if __name__ == "__main__":
    main()
