"""Measure what a first run with the app's defaults brings, and what it costs.

Tunes the bundled model on the bundled sample with the defaults of the Train screen, then answers every test row with the
base and with the tuned model. Prints exact matches overall and by family, the share of answers that stop by themselves,
seconds and tokens per second.

    python benchmarks/default_run.py [--quick] [--json]
"""

import argparse
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from core.data.dataset import SAMPLE, load_dataset
from core.data.examples import Example
from core.data.splits import SplitSettings, split_examples
from core.generation.sampling import Sampling
from core.generation.shelf import ModelShelf
from core.storage.runs import RunStore
from core.storage.workspace import Workspace
from core.training.run import add_run, execute
from core.training.settings import change_settings, default_settings


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one epoch and 60 test rows")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        result = measure(workspace, quick=chosen.quick)
        workspace.close()
    print(json.dumps(result) if chosen.json else as_text(result))


def measure(workspace: Workspace, *, quick: bool) -> dict[str, Any]:
    """Tune once and answer the test rows with both models."""
    dataset = load_dataset(SAMPLE)
    settings = change_settings(default_settings(), {"epochs": 1} if quick else {})
    started = time.monotonic()
    run = add_run(workspace, dataset, settings, "default")
    execute(workspace, run, lambda: False, lambda: False, [])
    tuning_s = time.monotonic() - started
    row = RunStore(workspace).find(run)
    last = RunStore(workspace).metrics(run, "train")[-1]
    test = split_examples(dataset.examples, SplitSettings()).test[: 60 if quick else None]
    shelf = ModelShelf(workspace.find_run_model)
    return {
        "tuning_s": round(tuning_s, 1),
        "steps_s": round(row["elapsed_s"], 1),
        "tokens_per_s": round(last["seen_tokens"] / row["elapsed_s"]),
        "peak_memory_mib": round(last["peak_memory_mib"]),
        "base_loss": row["base_loss"],
        "best_loss": row["best_loss"],
        "base": answer(shelf, "pocket", test),
        "tuned": answer(shelf, run, test),
    }


def answer(shelf: ModelShelf, model: str, test: Sequence[Example]) -> dict[str, Any]:
    """Return exact matches and stops of one model on the test rows."""
    families = {row["instruction"]: row["family"] for row in json.loads(SAMPLE.read_text(encoding="utf-8"))}
    responses = list(
        shelf.get(model, "alpaca").respond_all([example.prompt for example in test], Sampling(max_new_tokens=40), lambda: False)
    )
    hits = defaultdict(list)
    for example, response in zip(test, responses, strict=True):
        hits[families[example.prompt[-1].text]].append(response.text.strip() == example.answer)
    total = [hit for found in hits.values() for hit in found]
    return {
        "exact_match": sum(total) / len(total),
        "stops": sum(response.finish_reason == "end" for response in responses) / len(responses),
        "rows": len(total),
        "by_family": {family: sum(found) / len(found) for family, found in sorted(hits.items())},
    }


def as_text(result: dict[str, Any]) -> str:
    """Return the figures as lines."""
    speed = f"{result['tokens_per_s']:,} tokens/s, peak {result['peak_memory_mib']:,} MiB"
    lines = [
        f"tuning {result['tuning_s']} s in all, {result['steps_s']} s in steps, {speed}",
        f"validation loss {result['base_loss']:.3f} → {result['best_loss']:.3f}",
    ]
    for name in ("base", "tuned"):
        figures = result[name]
        lines.append(
            f"{name}: exact match {figures['exact_match']:.1%} of {figures['rows']}, stops by itself {figures['stops']:.1%}"
        )
    lines += [f"  {family:12} {share:.0%}" for family, share in result["tuned"]["by_family"].items()]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
