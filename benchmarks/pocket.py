"""Measure what tuning the pocket model on its sample brings, and what it costs.

Tunes with the defaults of the Train screen and three seeds, then answers the held-out rows with the
base and every tuned model. Prints exact match overall and by family, the share of answers that stop
by themselves, validation loss, seconds and tokens per second. Other questions it answers, one at a
time:

    python benchmarks/pocket.py [--quick] [--json] [--seeds 42 43 44] python benchmarks/pocket.py
    --part validation --set epochs=4 learning_rate=1e-3     # what the defaults were chosen by
    python benchmarks/pocket.py --styles          # masked and unmasked prompts in every style
    python benchmarks/pocket.py --chat            # answers to the prompts in pocket_chat.txt, to be
    marked by a person python benchmarks/pocket.py --book FILE       # another person's rows: loss
    and some answers
"""

import argparse
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from core.datasets.conversation import Example, SplitName, Turn
from core.datasets.dataset import Dataset, load_dataset
from core.datasets.samples import SAMPLE
from core.datasets.splits import split_examples
from core.generation.model_cache import ModelCache
from core.generation.sampling import Sampling
from core.storage.workspace import Workspace
from core.training.runs.runner import add_run, execute
from core.training.runs.store import RunStore
from core.training.settings import TrainingSettings, change_settings, default_settings
from data.pocket.chat import measured_prompts

_STYLES = ("alpaca", "phi3", "chatml")
_QUICK_ROWS = 60
_BOOK_ROWS = 20
Figures = dict[str, Any]


def main() -> None:
    """Measure what was asked for and print it."""
    chosen = _arguments()
    settings = change_settings(default_settings(), {"model": chosen.model, **_changes(chosen.set)})
    if chosen.quick:
        settings = change_settings(settings, {"epochs": 1})
    if chosen.styles:
        result: Figures = measure_styles(settings, quick=chosen.quick)
        text = styles_as_text(result)
    elif chosen.chat:
        result = converse(settings)
        text = "\n".join(f"> {prompt}\n{answer}\n" for prompt, answer in result.items())
    elif chosen.book:
        result = measure_book(load_dataset(chosen.book), settings)
        text = book_as_text(result)
    else:
        result = measure_seeds(
            settings, chosen.seeds[: 1 if chosen.quick else None], chosen.part, quick=chosen.quick
        )
        text = seeds_as_text(result)
    print(json.dumps(result, indent=1) if chosen.json else text)


def measure_seeds(
    settings: TrainingSettings, seeds: Sequence[int], part: SplitName, *, quick: bool
) -> Figures:
    """Answer with the base once and with one tuned model per seed."""
    rows = _rows(part, settings, quick=quick)
    runs = []
    for seed in seeds:
        with tuned(load_dataset(SAMPLE), change_settings(settings, {"seed": seed})) as (
            model_cache,
            run,
            figures,
        ):
            runs.append(
                {"seed": seed, **figures, **measure_answers(model_cache, run, rows, settings.style)}
            )
            if len(runs) == 1:
                base = measure_answers(model_cache, settings.model, rows, settings.style)
    return {"part": part, "base": base, "tuned": runs}


def measure_styles(settings: TrainingSettings, *, quick: bool) -> Figures:
    """Tune once for every style, with the prompt masked and not."""
    rows = _rows("test", settings, quick=quick)
    found = {}
    for style in _STYLES:
        for mask in (True, False):
            with tuned(
                load_dataset(SAMPLE),
                change_settings(settings, {"style": style, "mask_prompt": mask}),
            ) as (
                model_cache,
                run,
                figures,
            ):
                found[f"{style}, prompt {'masked' if mask else 'trained on'}"] = {
                    **figures,
                    **measure_answers(model_cache, run, rows, style),
                }
    return found


def converse(settings: TrainingSettings) -> Figures:
    """Return the tuned model's greedy answers to the prompts of newcomers."""
    prompts = measured_prompts()
    with tuned(load_dataset(SAMPLE), settings) as (model_cache, run, _):
        turns = [(Turn("user", prompt),) for prompt in prompts]
        answers = model_cache.get(run, settings.style).respond_all(
            turns, Sampling(max_new_tokens=80), lambda: False
        )
        return dict(zip(prompts, (answer.text.strip() for answer in answers), strict=True))


def measure_book(dataset: Dataset, settings: TrainingSettings) -> Figures:
    """Tune on another dataset and return the losses and the first answers to its test rows."""
    test = split_examples(dataset.examples, settings.splits).test[:_BOOK_ROWS]
    with tuned(dataset, settings) as (model_cache, run, figures):
        answers = model_cache.get(run, settings.style).respond_all(
            [row.prompt for row in test], Sampling(max_new_tokens=60), lambda: False
        )
        given = [
            {"asked": row.prompt[-1].text, "expected": row.answer, "answered": one.text}
            for row, one in zip(test, answers, strict=True)
        ]
    return {**figures, "answers": given}


@contextmanager
def tuned(
    dataset: Dataset, settings: TrainingSettings
) -> Iterator[tuple[ModelCache, str, Figures]]:
    """Tune in a workspace of its own and yield the models, the run's name and what the tuning cost."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        workspace = Workspace(Path(folder))
        stack.callback(workspace.close)
        started = time.monotonic()
        run = add_run(workspace, dataset, settings, "tuned")
        execute(workspace, run, lambda: False, [])
        store = RunStore(workspace)
        row = store.find(run)
        if row["state"] != "finished":
            sys.exit(f"The run ended as {row['state']}: {row['message']}")
        last = store.metrics(run, "train")[-1]
        figures = {
            "tuning_s": round(time.monotonic() - started, 1),
            "steps_s": round(row["elapsed_s"], 1),
            "tokens_per_s": round(last["seen_tokens"] / row["elapsed_s"]),
            "peak_memory_mib": round(last["peak_memory_mib"]),
            "base_loss": round(row["base_loss"], 3),
            "best_loss": round(row["best_loss"], 3),
        }
        yield ModelCache(workspace), run, figures


def measure_answers(
    model_cache: ModelCache, model: str, rows: Sequence[Example], style: str
) -> Figures:
    """Return exact matches and stops of one model's greedy answers."""
    labelled = json.loads(SAMPLE.read_text(encoding="utf-8"))
    families = {number: row["family"] for number, row in enumerate(labelled, start=1)}
    responses = list(
        model_cache.get(model, style).respond_all(
            [row.prompt for row in rows], Sampling(max_new_tokens=48), lambda: False
        )
    )
    hits = defaultdict(list)
    wrong = []
    for row, response in zip(rows, responses, strict=True):
        said = response.text.strip()
        hits[families[row.row]].append(said == row.answer)
        if said != row.answer:
            wrong.append({"asked": row.prompt[-1].text, "expected": row.answer, "answered": said})
    total = [hit for found in hits.values() for hit in found]
    return {
        "exact_match": sum(total) / len(total),
        "stops": sum(response.finish_reason == "end" for response in responses) / len(responses),
        "rows": len(total),
        "by_family": {family: sum(found) / len(found) for family, found in sorted(hits.items())},
        "wrong": wrong,
    }


def seeds_as_text(result: Figures) -> str:
    """Return the figures as lines, families with one column per seed."""
    runs = result["tuned"]
    lines = [f"{result['part']} rows: {result['base']['rows']}", _summary("base", result["base"])]
    for run in runs:
        lines += [_summary(f"tuned, seed {run['seed']}", run), f"  {_cost(run)}"]
    lines += [
        f"  {family:12} " + " ".join(f"{run['by_family'][family]:5.0%}" for run in runs)
        for family in runs[0]["by_family"]
    ]
    return "\n".join(
        [
            *lines,
            "wrong answers of the last seed:",
            *(f"  {one['asked']!r}: {one['answered']!r}" for one in runs[-1]["wrong"]),
        ]
    )


def styles_as_text(result: Figures) -> str:
    """Return one line per style and masking."""
    return "\n".join(
        f"{_summary(name, figures)}; {_cost(figures)}" for name, figures in result.items()
    )


def book_as_text(result: Figures) -> str:
    """Return the cost and the answers."""
    return "\n".join(
        [_cost(result), *(f"> {one['asked']}\n  {one['answered']}" for one in result["answers"])]
    )


def _summary(name: str, figures: Figures) -> str:
    return (
        f"{name}: exact match {figures['exact_match']:.1%}, stops by itself {figures['stops']:.1%}"
    )


def _cost(figures: Figures) -> str:
    loss = f"validation loss {figures['base_loss']:.3f} → {figures['best_loss']:.3f}"
    speed = f"{figures['tokens_per_s']:,} tokens/s, peak {figures['peak_memory_mib']:,} MiB"
    return f"{loss}; {figures['tuning_s']} s in all, {figures['steps_s']} s of steps, {speed}"


def _rows(part: SplitName, settings: TrainingSettings, *, quick: bool) -> tuple[Example, ...]:
    return split_examples(load_dataset(SAMPLE).examples, settings.splits).named(part)[
        : _QUICK_ROWS if quick else None
    ]


def _changes(pairs: Sequence[str]) -> dict[str, Any]:
    return {
        name: json.loads(value) if value[:1].isdigit() or value in {"true", "false"} else value
        for name, _, value in (pair.partition("=") for pair in pairs)
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help=f"one epoch, one seed, {_QUICK_ROWS} rows"
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--model", default="pocket", help="another base model, to try a recipe")
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44])
    parser.add_argument("--part", choices=("test", "validation"), default="test")
    parser.add_argument(
        "--set",
        nargs="*",
        default=[],
        metavar="NAME=VALUE",
        help="settings other than the defaults",
    )
    parser.add_argument("--styles", action="store_true")
    parser.add_argument("--chat", action="store_true")
    parser.add_argument("--book", type=Path, metavar="FILE")
    return parser.parse_args()


if __name__ == "__main__":
    main()
