"""Measure how long the command lines take to answer, beside a bare Python that does nothing.

python benchmarks/command_line.py [--rounds 15] [--json]
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

_ROOT = Path(__file__).parents[1]
_COMMANDS = {
    "bare Python": ["-c", "pass"],
    "core --help": ["-m", "core", "--help"],
    "review --help": ["-m", "review", "--help"],
    "core check sample": ["-m", "core", "check", "sample", "--json"],
    "core preview sample": ["-m", "core", "preview", "sample", "--json"],
}


def main() -> None:
    """Time all commands by turns and print their medians and ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    taken: dict[str, list[float]] = {name: [] for name in _COMMANDS}
    for _ in range(chosen.rounds):
        for name, arguments in _COMMANDS.items():
            started = time.perf_counter()
            command = [sys.executable, *arguments]
            subprocess.run(command, cwd=_ROOT, stdout=subprocess.DEVNULL, check=True)
            taken[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(times) for name, times in taken.items()}
    bare = medians["bare Python"]
    found = {name: {"s": round(s, 3), "ratio": round(s / bare, 1)} for name, s in medians.items()}
    if chosen.json:
        print(json.dumps(found))
        return
    for name, figures in found.items():
        print(f"{name:20} {figures['s']:6.3f} s  ×{figures['ratio']}")


if __name__ == "__main__":
    main()
