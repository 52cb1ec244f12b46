"""How long the next pair takes among ever more pairs, and whether many reviewers at once lose or
double a verdict.

    python benchmarks/review.py [--pairs 1000 10000 100000 1000000] [--people 20] [--json]

Pairs are rows without models: what is measured is finding, saving and counting. A verdict is
fsync'd before it is acknowledged.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).parents[1]))

from core.storage.workspace import Workspace
from review.domain.rating import make_rating
from review.judging.judge import Judge
from review.store.reviews import ReviewStore

_VOTES = 300
T = TypeVar("T")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, nargs="+", default=[1000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    found = [
        _one_reviewer(count, after_others=after_others)
        for count in chosen.pairs
        for after_others in (False, True)
    ]
    crowd = _crowd(chosen.people, 1000)
    if chosen.json:
        print(json.dumps({"one": found, "crowd": crowd}))
        return
    for line in found:
        print(
            f"{line['pairs']:9,} pairs, judged by "
            f"{'others' if line['after_others'] else 'nobody'}: "
            f"next {line['next_p50_ms']:.2f} ms (p95 {line['next_p95_ms']:.2f}), "
            f"save {line['save_p50_ms']:.2f} ms (p95 {line['save_p95_ms']:.2f}), progress "
            f"{line['progress_p50_ms']:.2f} ms"
        )
    print(
        f"{crowd['people']} people at once, each pair by one: {crowd['verdicts']} verdicts on "
        f"{crowd['pairs']} pairs, "
        f"{crowd['doubled']} doubled, {crowd['lost']} lost, {crowd['per_s']:.0f} a second"
    )


def _one_reviewer(count: int, *, after_others: bool) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        store = _review(workspace, count)
        if after_others:
            with store.database.transaction() as tables:
                # as the triggers of a verdict on each would
                tables.execute("UPDATE pairs SET verdict_count = 1")
        judge = Judge(store, "r", "amina")
        timings: dict[str, list[float]] = {"next": [], "save": [], "progress": []}
        for _ in range(_VOTES):
            [pair] = _timed(timings["next"], lambda: judge.next_pairs(1))
            _timed(timings["save"], lambda pair=pair: judge.rate(pair.id, make_rating("a")))
            _timed(timings["progress"], judge.progress)
        workspace.close()
    found: dict[str, float] = {"pairs": count, "after_others": after_others}
    for name, values in timings.items():
        found |= {
            f"{name}_p50_ms": statistics.median(values),
            f"{name}_p95_ms": sorted(values)[-len(values) // 20],
        }
    return found


def _timed(timings: list[float], work: Callable[[], T]) -> T:
    started = time.perf_counter()
    found = work()
    timings.append(1000 * (time.perf_counter() - started))
    return found


def _crowd(people: int, count: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        store = _review(workspace, count, overlap=1)

        def work(number: int) -> int:
            judge, acknowledged = Judge(store, "r", f"person {number}"), 0
            while pairs := judge.next_pairs(1):
                judge.rate(pairs[0].id, make_rating("b"))
                acknowledged += 1
            return acknowledged

        started = time.perf_counter()
        with ThreadPoolExecutor(people) as pool:
            acknowledged = sum(pool.map(work, range(people)))
        took_s = time.perf_counter() - started
        rows = store.database.query("SELECT pair_id FROM verdicts")
        workspace.close()
    judged = Counter(row["pair_id"] for row in rows)
    doubled = sum(times - 1 for times in judged.values())
    facts = {
        "people": people,
        "pairs": count,
        "verdicts": len(rows),
        "doubled": doubled,
        "lost": acknowledged - len(rows),
    }
    return {**facts, "per_s": len(rows) / took_s}


def _review(workspace: Workspace, pairs: int, overlap: int = 0) -> ReviewStore:
    """Write a review of so many prompts and two contenders straight into the tables."""
    store = ReviewStore(workspace)
    with store.database.transaction() as tables:
        for statement in _REVIEW:
            tables.execute(statement, {"pairs": pairs, "overlap": overlap})
    store.add_pairs(1)
    return store


_REVIEW = (
    (
        "INSERT INTO datasets (content_hash, name, path, format, row_count, usable, used_at) "
        "VALUES "
        "('h', 'n', 'p', 'f', 1, 1, '')"
    ),
    """INSERT INTO reviews
       (id, name, state, content_hash, split, split_settings, sampling, versions, side_seed, created_at, overlap)
       VALUES (1, 'r', 'generating', 'h', 'test', '{}', '{}', '{}', 'seed', '', :overlap)""",
    (
        "INSERT INTO contenders VALUES (1, 1, 0, 'base', 'model', '{}'), (2, 1, 1, 'tuned', "
        "'model', "
        "'{}')"
    ),
    """WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :pairs)
       INSERT INTO prompts (id, review_id, data_row, turns, prompt, expected)
       SELECT i, 1, i, '[]', 'a prompt', 'an answer' FROM n""",
    """INSERT INTO responses (contender_id, prompt_id, asked, text, tokens, finish_reason, created_at)
       SELECT contenders.id, prompts.id, '', 'a response of ' || contenders.name, 3, 'end', '' FROM prompts, contenders""",
)


if __name__ == "__main__":
    main()
