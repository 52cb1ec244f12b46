"""Finished reviews whose responses are written here instead of by models."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.datasets.dataset import load_dataset
from core.datasets.splits import SplitSettings
from core.datasets.store import DatasetStore
from core.generation.chat_model import Response
from core.generation.model_cache import ModelCache
from core.generation.sampling import Sampling
from core.storage.workspace import Workspace
from review.domain.contender import Entrant
from review.domain.plan import ReviewPlan
from review.domain.rating import make_rating
from review.judging.judge import Judge
from review.setup.generate_responses import RowChoice, answer_review, create_review, plan_review
from review.store.reviews import ReviewStore

GOOD = "good"  # a word that answers of the better contender hold


def write_review(
    workspace: Workspace,
    file: Path,
    texts: Mapping[str, str],
    rows: int,
    name: str = "r",
    **options: Any,
) -> ReviewStore:
    """Write a review of a file's first rows; each contender answers its text, with ``{prompt}``
    exchanged for the prompt.
    """
    dataset = load_dataset(file)
    DatasetStore(workspace).keep(dataset)
    store = ReviewStore(workspace)
    split = ("test", SplitSettings(), Sampling())
    entrants = tuple(Entrant(contender) for contender in texts)
    plan = ReviewPlan(
        name, dataset.content_hash, *split, entrants, dataset.examples[:rows], **options
    )
    store.create(plan, {"torch": "2"})
    review_id = store.find(name)["id"]
    for contender in store.contenders(review_id):
        for prompt_id, turns, _ in store.unanswered(contender.id):
            text = texts[contender.name].replace("{prompt}", turns[-1].text)
            store.add_response(contender.id, prompt_id, Response("asked", text, 3, "end"))
    store.add_pairs(review_id)
    return store


def make_review(
    workspace: Workspace, file: Path, contenders: tuple[str, ...], rows: int = 6
) -> ReviewStore:
    return write_review(
        workspace, file, {name: f"{name} says {{prompt}}" for name in contenders}, rows
    )


def make_brought_review(workspace: Workspace, tmp_path: Path, contenders: dict[str, str]) -> str:
    """Return a review of thirty prompts by contenders whose answers hold a word each."""
    prompts = [{"instruction": f"Question {n}?", "output": f"{GOOD} {n}"} for n in range(30)]
    (tmp_path / "prompts.json").write_text(json.dumps(prompts))
    for name, word in contenders.items():
        rows = [
            {"row": n + 1, "response": f"a {word} answer {n}{' and more' * (n % 2)}"}
            for n in range(30)
        ]
        (tmp_path / f"{name}.json").write_text(json.dumps(rows))
    words = [f"file:{tmp_path / name}.json" for name in contenders]
    dataset = load_dataset(tmp_path / "prompts.json")
    DatasetStore(workspace).keep(dataset)
    plan = plan_review(workspace, dataset, "r", words, RowChoice(None), Sampling())
    create_review(workspace, dataset, plan)
    answer_review(workspace, "r", ModelCache(workspace), lambda: False, lambda _done, _total: None)
    return "r"


def side_of(text: str, a: str) -> str:
    return "a" if a.startswith(text) else "b"


def rate_all(store: ReviewStore, reviewer: str, winner: str) -> None:
    judge = Judge(store, "r", reviewer)
    while pairs := judge.next_pairs(1):
        verdict = winner if winner in {"tie", "both_bad"} else side_of(winner, pairs[0].a)
        judge.rate(pairs[0].id, make_rating(verdict))


def make_empty(store: ReviewStore) -> ReviewStore:
    with store.database.transaction() as tables:
        tables.execute("DELETE FROM verdicts")
    return store
