"""A dataset's rows and contenders become a review: planned, then answered with progress. Loads models through a shelf."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.data.dataset import Dataset
from core.data.examples import Example, SplitName
from core.data.splits import split_examples
from core.errors import ReviewError, UserError
from core.generation.sampling import Sampling
from core.generation.shelf import ModelShelf
from core.generation.speaker import Response
from core.models.catalogue import find_model, read_facts, weights_fingerprint
from core.storage.datasets import DatasetStore
from core.storage.locks import held, is_held
from core.storage.runs import find_split_settings
from core.storage.workspace import Workspace, check_name
from core.training.run import library_versions
from review.store import EXPECTED, Contender, ReviewPlan, ReviewStore, stored_sampling

Progress = Callable[[int, int], None]  # responses there are, responses there will be


@dataclass(frozen=True, slots=True)
class RowChoice:
    """Which rows of a dataset a review asks."""

    split: SplitName | None = "test"  # None takes all rows
    most: int = 0  # only the first so many; 0 takes all


def plan_review(
    workspace: Workspace, dataset: Dataset, name: str, contenders: Sequence[str], choice: RowChoice, sampling: Sampling
) -> ReviewPlan:
    """Choose the rows and check the contenders; nothing is written.

    Test rows are those of the split that the contenders were trained with, so none of them has seen one.
    """
    for contender in contenders:
        if contender != EXPECTED:
            find_model(contender, workspace.find_run_model)
    settings = find_split_settings(workspace, dataset.content_hash, contenders)
    rows: tuple[Example, ...] = dataset.examples
    if choice.split is not None:
        rows = split_examples(rows, settings).named(choice.split)
    if choice.most < 0:
        raise ReviewError("The number of rows must be 0 (all) or more.")
    return ReviewPlan(
        name=name,
        content_hash=dataset.content_hash,
        split=choice.split or "all",
        splits=settings,
        sampling=sampling,
        contenders=tuple(contenders),
        examples=rows[: choice.most or None],
    )


def create_review(workspace: Workspace, dataset: Dataset, plan: ReviewPlan) -> None:
    """Write a planned review down, without responses."""
    facts = {name: _facts(workspace, name) for name in plan.contenders}
    store = ReviewStore(workspace)
    DatasetStore(workspace).keep(dataset)
    store.create(plan, facts, library_versions())


def answer_review(
    workspace: Workspace, name: str, shelf: ModelShelf, should_stop: Callable[[], bool], progress: Progress
) -> None:
    """Let every contender answer what it has not answered yet, then open the review.

    May be called again after a stop or a crash; responses that are there stay. Raises UserError when a model is gone,
    after noting that on the review.
    """
    store = ReviewStore(workspace)
    review = store.find(name)
    with held(_lock_file(workspace, name), f"Answering the review '{name}' is going on already."):
        store.set_state(review["id"], "generating")
        try:
            for contender in store.contenders(review["id"]):
                _answer(workspace, review, contender, shelf, should_stop, progress)
        except UserError as error:
            store.set_state(review["id"], "failed", str(error))
            raise
        if should_stop():
            store.set_state(review["id"], "stopped", "Stopped by hand. Continue it to judge.")
        else:
            store.add_pairs(review["id"])


def is_being_answered(workspace: Workspace, name: str) -> bool:
    """Tell whether some process answers a review; the operating system lets go of the lock when one dies."""
    return is_held(_lock_file(workspace, name))


def is_unfinished(workspace: Workspace, plan: ReviewPlan) -> bool:
    """Tell whether a review of that name was begun with the same rows and contenders and cut off before its end."""
    store = ReviewStore(workspace)
    known = next((row for row in store.all() if row["name"] == plan.name), None)
    if known is None or known["state"] == "ready" or known["content_hash"] != plan.content_hash:
        return False
    return [contender.name for contender in store.contenders(known["id"])] == list(plan.contenders)


def _lock_file(workspace: Workspace, name: str) -> Path:
    return workspace.folder / "reviews" / f"{check_name(name)}.lock"


def _answer(
    workspace: Workspace,
    review: dict[str, Any],
    contender: Contender,
    shelf: ModelShelf,
    should_stop: Callable[[], bool],
    progress: Progress,
) -> None:
    store = ReviewStore(workspace)
    open_prompts = store.unanswered(contender.id)
    if not open_prompts or should_stop():
        return
    if contender.kind == EXPECTED:
        responses = iter([Response("", expected, 0, "expected") for _, _, expected in open_prompts])
    else:
        _check_unchanged(workspace, contender)
        speaker = shelf.get(contender.name)
        responses = speaker.respond_all([turns for _, turns, _ in open_prompts], stored_sampling(review), should_stop)
    for (prompt_id, _, _), response in zip(open_prompts, responses, strict=False):
        if response.finish_reason == "stopped":
            return
        store.add_response(contender.id, prompt_id, response)
        progress(*store.progress(review["id"]))


def _check_unchanged(workspace: Workspace, contender: Contender) -> None:
    """Raise ReviewError when a contender has other weights than when the review was made, as after more training."""
    if _facts(workspace, contender.name).get("weights") != contender.weights:
        raise ReviewError(f"The model '{contender.name}' has changed since this review was made: make a new review.")


def _facts(workspace: Workspace, name: str) -> dict[str, Any]:
    if name == EXPECTED:
        return {}
    source = find_model(name, workspace.find_run_model)
    return {
        "folder": str(source.folder),
        "kind": source.kind,
        **read_facts(source.folder),
        "weights": weights_fingerprint(source),
    }
