"""Benchmarks' tasks by Fuata's model class against lm-eval's own (HFLM), on the same questions, taking
turns: the same requests, the same numbers, and how many times faster.

Run: python benchmarks/evaluation.py MODEL [--tasks A,B] [--shots 5] [--limit 20] [--chat] [--batch 8]
MODEL is a folder or `smollm2`; data come from ../shared/data/evaluation, or --data.
"""

import argparse
import contextlib
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
os.environ["HF_HUB_OFFLINE"] = "1"

import torch

from core.evaluation.answers import AnswerStore
from core.evaluation.asked_model import Pace
from core.evaluation.language_model import FuataLM
from core.evaluation.layouts.folder import DataFolder
from core.evaluation.settings import EvaluationSettings
from core.evaluation.tasks import TaskSources, build_requests, expand, load_task, quiet_libraries
from core.generation.model_cache import ModelCache
from core.models.resolve import find_model
from core.storage.workspace import Workspace

_DATA = Path(__file__).parents[2] / "shared" / "data" / "evaluation"
_KINDS = ("loglikelihood", "generate_until")


def main() -> None:
    """Print both times, their ratio, the largest difference and whether all answers agree."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model")
    parser.add_argument("--tasks", default="mmlu_astronomy,mmlu_management,mmlu_sociology")
    parser.add_argument("--data", type=Path, default=_DATA)
    parser.add_argument("--shots", type=int, default=None)
    parser.add_argument("--limit", type=int, default=20)
    parser.add_argument("--chat", action="store_true", help="in the model's chat template")
    parser.add_argument("--batch", type=int, default=8, help="of lm-eval's class")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--side", choices=("both", "ours", "theirs"), default="both")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    quiet_libraries()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        found = _compare(chosen, Workspace(Path(folder)))
    print(json.dumps(found))


def _compare(chosen: argparse.Namespace, workspace: Workspace) -> dict[str, Any]:
    from lm_eval.models.huggingface import HFLM
    from transformers import AutoTokenizer

    chat_model = ModelCache(workspace).get(chosen.model)
    source = find_model(chosen.model, workspace)
    tokenizer = AutoTokenizer.from_pretrained(source.tokenizer_folder)
    theirs = HFLM(pretrained=chat_model.model, tokenizer=tokenizer, batch_size=chosen.batch)
    ours = _Fresh(chat_model, workspace)
    times: dict[str, list[float]] = {"ours": [], "theirs": []}
    found: dict[str, Any] = {"model": chosen.model, "tasks": chosen.tasks, "shots": chosen.shots,
                             "chat": chosen.chat}  # fmt: skip
    requests = {
        side: _requests(chosen, lm) for side, lm in (("ours", ours.lm()), ("theirs", theirs))
    }
    found["requests"] = {kind: len(requests["ours"][kind]) for kind in _KINDS}
    found["same_requests"] = all(
        [one.args for one in requests["ours"][kind]]
        == [one.args for one in requests["theirs"][kind]]
        for kind in _KINDS
    )
    answers: dict[str, dict[str, list[Any]]] = {}
    for _ in range(chosen.rounds):
        for side in ("ours", "theirs"):
            if chosen.side not in {"both", side}:
                continue
            lm = ours.lm() if side == "ours" else theirs
            began = time.perf_counter()
            answers[side] = {
                kind: getattr(lm, kind)(list(requests[side][kind])) if requests[side][kind] else []
                for kind in _KINDS
            }
            times[side].append(time.perf_counter() - began)
    found["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    for side, seconds in times.items():
        if seconds:
            found[f"{side}_s"] = round(statistics.median(seconds), 2)
    if chosen.side == "both":
        ratios = [b / a for a, b in zip(times["ours"], times["theirs"], strict=True)]
        found["ratio"] = round(statistics.median(ratios), 2)
        found |= _differences(answers["ours"], answers["theirs"])
    return found


class _Fresh:
    """Model classes that have answered nothing yet."""

    def __init__(self, chat_model: Any, workspace: Workspace) -> None:
        self.chat_model, self.workspace, self.number = chat_model, workspace, 0

    def lm(self) -> FuataLM:
        self.number += 1
        store = AnswerStore(self.workspace.database, f"round {self.number}")
        return FuataLM(self.chat_model, store, Pace(lambda _kind, _more: None, lambda: False))


def _requests(chosen: argparse.Namespace, lm: Any) -> dict[str, list[Any]]:
    """Return what tasks ask a model class, by the kind of request."""
    folder = DataFolder(chosen.data)
    found: dict[str, list[Any]] = {kind: [] for kind in _KINDS}
    names, _ = expand(chosen.tasks.split(","))
    for name in names:
        loaded = load_task(name, _sources(folder, chosen.shots))
        settings = EvaluationSettings(limit=chosen.limit, chat_template=chosen.chat)
        for one in build_requests(loaded, lm, settings):
            found[one.request_type].append(one)
    return found


def _sources(folder: DataFolder, shots: int | None) -> TaskSources:
    """Return what public tasks are made of; none of them needs more than a folder."""

    def missing(*_: Any) -> Any:
        raise NotImplementedError

    return TaskSources(
        folder=folder,
        few_shot=shots,
        check_code=lambda programs: [False] * len(programs),
        render_messages=missing,
        render_turns=missing,
        find_own=missing,
    )


def _differences(ours: dict[str, list[Any]], theirs: dict[str, list[Any]]) -> dict[str, Any]:
    scored = list(zip(ours["loglikelihood"], theirs["loglikelihood"], strict=True))
    written = list(zip(ours["generate_until"], theirs["generate_until"], strict=True))
    return {
        "largest_difference": max((abs(a[0] - b[0]) for a, b in scored), default=0.0),
        "other_greedy": sum(bool(a[1]) != bool(b[1]) for a, b in scored),
        "other_texts": sum(a != b for a, b in written),
    }


if __name__ == "__main__":
    main()
