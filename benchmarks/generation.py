"""Answers to many prompts: our decoder against transformers' `generate()` in batches, on the same
prompts, taking turns; greedy texts are compared.

Run: python benchmarks/generation.py MODEL FILE [--rows 110] [--tokens 64] [--batches 8 32] [--json]
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch

from core.datasets.dataset import load_dataset
from core.generation.chat_model import ChatModel
from core.generation.decode import generate_ids
from core.generation.sampling import Sampling
from core.models.encoder import encoder_of
from core.models.load import load_model
from core.models.resolve import find_model
from core.storage.workspace import Workspace

Ids = list[list[int]]


def main() -> None:
    """Print the seconds of every arm, and the ratios to ours."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model")
    parser.add_argument("file", type=Path)
    parser.add_argument("--rows", type=int, default=110)
    parser.add_argument("--tokens", type=int, default=64, help="at most, of each answer")
    parser.add_argument("--batches", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workspace", type=Path, default=None)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    places = Workspace(chosen.workspace) if chosen.workspace else None
    source = find_model(chosen.model, places)
    model = ChatModel(source, load_model(source), encoder_of(source, ""))
    rows = load_dataset(chosen.file).examples[: chosen.rows]
    prompts = [model.encoder.encode_prompt(row.prompt) for row in rows]
    arms: dict[str, Callable[[], Ids]] = {
        "ours": lambda: _ours(model, prompts, chosen.tokens),
        **{
            f"generate_{size}": _theirs(model, prompts, chosen.tokens, size)
            for size in chosen.batches
        },
    }
    print(
        json.dumps(_measured(arms, chosen.rounds))
        if chosen.json
        else _measured(arms, chosen.rounds)
    )


def _measured(arms: dict[str, Callable[[], Ids]], rounds: int) -> dict[str, Any]:
    arms["ours"]()
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    answers: dict[str, Ids] = {}
    for _ in range(rounds):
        for name, arm in arms.items():
            began = time.perf_counter()
            answers[name] = arm()
            seconds[name].append(time.perf_counter() - began)
    found: dict[str, Any] = {
        "answers": len(answers["ours"]),
        "tokens": sum(map(len, answers["ours"])),
        **{f"{name}_s": round(statistics.median(values), 2) for name, values in seconds.items()},
    }
    for name in arms:
        if name != "ours":
            ratios = [a / b for a, b in zip(seconds[name], seconds["ours"], strict=True)]
            found[f"ratio_{name}"] = round(statistics.median(ratios), 2)
            found[f"different_{name}"] = sum(
                a != b for a, b in zip(answers[name], answers["ours"], strict=True)
            )
    return found


def _ours(model: ChatModel, prompts: Sequence[list[int]], tokens: int) -> Ids:
    sampling = Sampling(max_new_tokens=tokens)
    answers = generate_ids(model.model, prompts, sampling, model.limits(sampling), lambda: False)
    return [one.ids for one in answers]


def _theirs(
    model: ChatModel, prompts: Sequence[list[int]], tokens: int, size: int
) -> Callable[[], Ids]:
    def arm() -> Ids:
        found: Ids = [[] for _ in prompts]
        order = sorted(range(len(prompts)), key=lambda number: len(prompts[number]))
        for start in range(0, len(order), size):
            numbers = order[start : start + size]
            for number, ids in zip(numbers, _batch(model, prompts, numbers, tokens), strict=True):
                found[number] = ids
        return found

    return arm


@torch.inference_mode()
def _batch(
    model: ChatModel, prompts: Sequence[list[int]], numbers: Sequence[int], tokens: int
) -> Ids:
    pad, ends = model.encoder.tokenizer.pad_id, sorted(model.end_ids)
    longest = max(len(prompts[number]) for number in numbers)
    padding = [longest - len(prompts[number]) for number in numbers]
    pairs = list(zip(numbers, padding, strict=True))
    ids = torch.tensor([[pad] * gap + prompts[number] for number, gap in pairs])
    mask = torch.tensor([[0] * gap + [1] * len(prompts[number]) for number, gap in pairs])
    made = model.model.generate(
        ids, attention_mask=mask, max_new_tokens=tokens, do_sample=False, eos_token_id=ends,
        pad_token_id=pad,
    )  # fmt: skip
    return [_until_end(row, ends) for row in made[:, longest:].tolist()]


def _until_end(ids: list[int], ends: Sequence[int]) -> list[int]:
    place = next((place for place, token in enumerate(ids) if token in ends), len(ids))
    return ids[:place]


if __name__ == "__main__":
    main()
