"""Answers to many prompts: our decoder against transformers' `generate()` in batches, on the same
prompts, taking turns; greedy ids are compared. Then one prompt at a time, token by token, as a chat
shows it.

With `--stops answers` every row ends where the file's own answer does, as a tuned model's would;
with `equal` all go on to `--tokens`; else where the model ends.

Run: python benchmarks/generation.py MODEL FILE [--rows 110] [--tokens 64] [--batches 8 32]
         [--stops model|answers|equal] [--chat 8] [--json]
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from transformers import StoppingCriteria, StoppingCriteriaList

from core.datasets.dataset import load_dataset
from core.generation.chat_model import ChatModel
from core.generation.decode import answer_rows, rows_of
from core.generation.model_cache import ModelCache
from core.generation.sampling import Sampling
from core.storage.workspace import Workspace

Ids = list[list[int]]


def main() -> None:
    """Print the seconds of every arm, and the ratios to ours."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model")
    parser.add_argument("file", type=Path)
    parser.add_argument("--rows", type=int, default=110)
    parser.add_argument("--tokens", type=int, default=64, help="at most, of each answer")
    parser.add_argument("--stops", choices=["model", "answers", "equal"], default="model")
    parser.add_argument("--batches", type=int, nargs="*", default=[8, 32])
    parser.add_argument("--chat", type=int, default=8, help="prompts that are answered one by one")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workspace", type=Path, default=None)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    places = Workspace(chosen.workspace) if chosen.workspace else None
    model = ModelCache(places).get(chosen.model)
    asked = _asked(model, chosen)
    arms: dict[str, Callable[[], Ids]] = {
        "ours": lambda: _ours(model, asked),
        **{f"generate_{size}": _theirs(model, asked, size) for size in chosen.batches},
    }
    found = _measured(arms, chosen.rounds)
    if chosen.chat:
        found |= _chatted(model, asked.prompts[: chosen.chat], chosen.tokens, chosen.rounds)
    print(json.dumps(found) if chosen.json else found)


@dataclass(frozen=True)
class _Asked:
    """Prompts, and how long each answer may become."""

    prompts: list[list[int]]
    lengths: list[int]
    ends: list[int]  # the tokens that end an answer; none where lengths alone do


def _asked(model: ChatModel, chosen: argparse.Namespace) -> _Asked:
    rows = load_dataset(chosen.file).examples[: chosen.rows]
    prompts = [model.encoder.encode_prompt(row.prompt) for row in rows]
    if chosen.stops == "answers":
        encode = model.encoder.tokenizer.encode
        lengths = [min(max(len(encode(row.answer)), 1), chosen.tokens) for row in rows]
    else:
        lengths = [chosen.tokens] * len(rows)
    return _Asked(prompts, lengths, sorted(model.end_ids) if chosen.stops == "model" else [])


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


def _ours(model: ChatModel, asked: _Asked) -> Ids:
    limits = replace(model.limits(Sampling()), end_ids=asked.ends)
    rows = rows_of(model.model, asked.prompts, Sampling(), limits)
    for row, length in zip(rows, asked.lengths, strict=True):
        row.sampling = Sampling(max_new_tokens=length)
    for _ in answer_rows(model.model, rows, lambda: False):
        pass
    return [row.answer.ids for row in rows]


def _theirs(model: ChatModel, asked: _Asked, size: int) -> Callable[[], Ids]:
    def arm() -> Ids:
        found: Ids = [[] for _ in asked.prompts]
        order = sorted(range(len(found)), key=lambda number: len(asked.prompts[number]))
        for start in range(0, len(order), size):
            numbers = order[start : start + size]
            for number, ids in zip(numbers, _batch(model, asked, numbers), strict=True):
                found[number] = ids
        return found

    return arm


@torch.inference_mode()
def _batch(model: ChatModel, asked: _Asked, numbers: Sequence[int]) -> Ids:
    pad, prompts = model.encoder.tokenizer.pad_id, asked.prompts
    longest = max(len(prompts[number]) for number in numbers)
    padding = [longest - len(prompts[number]) for number in numbers]
    pairs = list(zip(numbers, padding, strict=True))
    ids = torch.tensor([[pad] * gap + prompts[number] for number, gap in pairs])
    mask = torch.tensor([[0] * gap + [1] * len(prompts[number]) for number, gap in pairs])
    lengths = [asked.lengths[number] for number in numbers]
    # an end token that none is: without one `generate` goes on with rows whose length is reached
    ends = asked.ends or [model.vocabulary - 1]
    made = model.model.generate(
        ids, attention_mask=mask, max_new_tokens=max(lengths), do_sample=False, eos_token_id=ends,
        pad_token_id=pad, stopping_criteria=StoppingCriteriaList([_Lengths(longest, lengths)]),
    )  # fmt: skip
    answers = [
        row[:length] for row, length in zip(made[:, longest:].tolist(), lengths, strict=True)
    ]
    return [_until_end(row, asked.ends) for row in answers]


class _Lengths(StoppingCriteria):  # type: ignore[misc]
    """Ends every row of a batch at a length of its own."""

    def __init__(self, begun: int, lengths: Sequence[int]) -> None:
        self.ends = torch.tensor([begun + length for length in lengths])

    def __call__(self, input_ids: torch.Tensor, _scores: torch.Tensor, **_: Any) -> torch.Tensor:
        return self.ends <= input_ids.shape[1]


def _chatted(
    model: ChatModel, prompts: Sequence[list[int]], tokens: int, rounds: int
) -> dict[str, Any]:
    """Return the milliseconds to the first token and between two, of both, and their ratio."""
    waits: dict[str, list[tuple[float, float]]] = {"ours": [], "generate": []}
    plain: list[float] = []
    for _ in range(rounds):
        for prompt in prompts:
            plain.append(_plain_ms(model, prompt))
            waits["ours"].append(_waits(_stream(model, prompt, tokens)))
            waits["generate"].append(_waits(_streamed(model, prompt, tokens)))
    found: dict[str, Any] = {"chat_plain_forward_ms": round(statistics.median(plain), 2)}
    for name, pairs in waits.items():
        first, later = zip(*pairs, strict=True)
        found[f"chat_{name}_first_ms"] = round(statistics.median(first), 2)
        found[f"chat_{name}_next_ms"] = round(statistics.median(later), 2)
    both = zip(waits["generate"], waits["ours"], strict=True)
    found["ratio_chat_next"] = round(statistics.median(a[1] / b[1] for a, b in both), 2)
    return found


def _waits(times: list[float]) -> tuple[float, float]:
    """Return how long the first took and the median of the later ones, in milliseconds; the first
    of ``times`` is the beginning.
    """
    gaps = [1000 * (b - a) for a, b in pairwise(times)]
    return gaps[0], statistics.median(gaps[1:])


@torch.inference_mode()
def _plain_ms(model: ChatModel, prompt: list[int]) -> float:
    began = time.perf_counter()
    model.model(torch.tensor([prompt]), use_cache=True, logits_to_keep=1)
    return 1000 * (time.perf_counter() - began)


def _stream(model: ChatModel, prompt: list[int], tokens: int) -> list[float]:
    began = time.perf_counter()
    texts = model.stream_text(prompt, Sampling(max_new_tokens=tokens))
    return [began, *(time.perf_counter() for _ in texts)]


class _Clock:
    """A streamer that notes when each token came, and writes the text as transformers' own does."""

    def __init__(self, model: ChatModel) -> None:
        self.decode, self.ids = model.encoder.tokenizer.decode, list[int]()
        self.times = [time.perf_counter()]

    def put(self, ids: torch.Tensor) -> None:
        if ids.dim() == 1:  # not the prompt
            self.ids += ids.tolist()
            self.decode(self.ids)
            self.times.append(time.perf_counter())

    def end(self) -> None:
        pass


def _streamed(model: ChatModel, prompt: list[int], tokens: int) -> list[float]:
    clock = _Clock(model)
    ids = torch.tensor([prompt])
    model.model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, do_sample=False,
        eos_token_id=sorted(model.end_ids), pad_token_id=model.encoder.tokenizer.pad_id,
        streamer=clock,
    )  # fmt: skip
    return clock.times


def _until_end(ids: list[int], ends: Sequence[int]) -> list[int]:
    place = next((place for place, token in enumerate(ids) if token in ends), len(ids))
    return ids[:place]


if __name__ == "__main__":
    main()
