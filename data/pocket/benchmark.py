"""A small benchmark of the pocket world: the sample's test rows, each with three wrong answers to
choose from, which end as answers of its family do.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random

from data.pocket.sample import Row

_WRONG = 3
# families whose answers are no facts that can be right or wrong
_OPEN = frozenset({"small talk", "open", "unknown"})


def benchmark_lines(rows: Sequence[Row], seed: int) -> str:
    """Return the benchmark as JSON lines: question, input, choices, the right one's place, family."""
    lines = []
    for family in sorted({row.family for row in rows} - _OPEN):
        of_family = [row for row in rows if row.family == family and row.split == "test"]
        answers = sorted({row.output for row in rows if row.family == family})
        for row in sorted(of_family, key=lambda one: (one.instruction, one.input)):
            rng = Random(f"{seed} {row.instruction} {row.input}")
            others = sorted({_ending_as(row.output, answer) for answer in answers} - {row.output})
            wrong = rng.sample(others, min(_WRONG, len(others)))
            choices = [*wrong, row.output]
            rng.shuffle(choices)
            line = {
                "question": row.instruction,
                "input": row.input,
                "choices": choices,
                "answer": choices.index(row.output),
                "family": family,
            }
            lines.append(json.dumps(line, ensure_ascii=False))
    return "".join(f"{line}\n" for line in lines)


def _ending_as(answer: str, other: str) -> str:
    """Return an answer with the last word of another one: its subject must not give it away."""
    begin, blank, _ = answer.rpartition(" ")
    return f"{begin}{blank}{other.rpartition(' ')[2]}"


def write_benchmark(rows: Sequence[Row], seed: int, path: Path) -> None:
    """Write the benchmark to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(benchmark_lines(rows, seed), encoding="utf-8")
