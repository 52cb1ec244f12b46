"""Finished reviews whose responses are written here instead of by models."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.datasets.dataset import load_dataset
from core.datasets.splits import SplitSettings
from core.datasets.store import DatasetStore
from core.generation.chat_model import Response
from core.generation.sampling import Sampling
from core.storage.workspace import Workspace
from review.domain.contender import Entrant
from review.domain.plan import ReviewPlan
from review.store.reviews import ReviewStore


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
