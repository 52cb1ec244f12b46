"""A dataset's rows and contenders become a review: planned, then answered with progress.

Loads models through a cache.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from core.datasets.conversation import SPLIT_NAMES, Example, SplitName
from core.datasets.dataset import Dataset
from core.datasets.prompt_lists import PROMPT_LIST
from core.datasets.splits import SplitSettings, split_examples
from core.datasets.store import DatasetStore
from core.errors import ReviewError, SettingsError, UserError
from core.generation.chat_model import Response
from core.generation.model_cache import ModelCache
from core.generation.openai_endpoint import Endpoint
from core.generation.sampling import Sampling
from core.storage.process_lock import held, is_held
from core.storage.workspace import Workspace, check_name
from core.training.runs.runner import library_versions
from core.training.runs.store import find_split_settings, trained_splits
from review.domain.contender import EXPECTED, Entrant
from review.domain.plan import ReviewPlan
from review.domain.states import ReviewState
from review.setup.contamination import learnt_rows
from review.setup.contenders import find_entrants, model_facts
from review.setup.multi_turn import Respond, ask_in_rounds
from review.store.reviews import Contender, ReviewStore
from review.store.rows import ReviewRow

Progress = Callable[[int, int], None]  # responses there are, responses there will be


@dataclass(frozen=True, slots=True)
class RowChoice:
    """Which rows of a dataset a review asks."""

    split: SplitName | None = "test"  # None takes all rows
    most: int = 0  # only the first so many; 0 takes all


def plan_review(
    workspace: Workspace,
    dataset: Dataset,
    name: str,
    contenders: Sequence[str],
    choice: RowChoice,
    sampling: Sampling,
) -> ReviewPlan:
    """Choose the rows and find the contenders; nothing is written.

    Test rows are those of the split that the contenders were trained with, so none of them has seen
    one. Rows to which an imported file has no response are left out.
    """
    settings = find_split_settings(workspace, dataset.content_hash, contenders)
    rows: tuple[Example, ...] = dataset.examples
    split = None
    if dataset.row_format != PROMPT_LIST:  # nothing was learnt of prompts without answers
        split, rows = choice.split, _with_splits(rows, settings)
    if split is not None:
        rows = split_examples(dataset.examples, settings).named(split)
        rows = tuple(replace(row, split=split) for row in rows)
    rows = tuple(row for row in rows if not row.is_text)  # plain text asks nothing
    if choice.most < 0:
        raise ReviewError("The number of rows must be 0 (all) or more.")
    entrants = find_entrants(workspace, contenders, rows)
    rows = tuple(
        row
        for row in rows
        if all(row.row in entrant.responses for entrant in entrants if entrant.kind == "file")
    )
    seen = _seen_rows(workspace, entrants, rows, dataset.content_hash)
    left_out = len(seen) if split in {"test", "validation"} else 0
    if left_out and left_out == len(rows):
        names = ", ".join(dict.fromkeys(name for found in seen.values() for name in found))
        raise ReviewError(
            f"{names} learnt all of these {len(rows):,} prompts from another file: choose other "
            "rows or contenders."
        )
    if left_out:
        rows, seen = tuple(row for row in rows if row.row not in seen), {}
    return ReviewPlan(
        name=name,
        content_hash=dataset.content_hash,
        split=split or "all",
        splits=settings,
        sampling=sampling,
        contenders=tuple(entrants),
        examples=rows[: choice.most or None],
        seen=seen,
        left_out=left_out,
    )


def _seen_rows(
    workspace: Workspace, entrants: Sequence[Entrant], rows: Sequence[Example], content_hash: str
) -> dict[int, tuple[str, ...]]:
    """Return for every row that some contender was trained on the names of those."""
    seen: dict[int, tuple[str, ...]] = {}
    for entrant in entrants:
        for row in (
            learnt_rows(workspace, entrant.name, rows, content_hash)
            if entrant.kind == "model"
            else ()
        ):
            seen[row] = (*seen.get(row, ()), entrant.name)
    return seen


def _with_splits(rows: tuple[Example, ...], settings: SplitSettings) -> tuple[Example, ...]:
    """Note on each row which split it is of; too few rows to split are of none."""
    try:
        splits = split_examples(rows, settings)
    except SettingsError:
        return rows
    names = {example.row: name for name in SPLIT_NAMES for example in splits.named(name)}
    return tuple(replace(row, split=names[row.row]) for row in rows)


def create_review(workspace: Workspace, dataset: Dataset, plan: ReviewPlan) -> None:
    """Write a planned review down, without the responses that models are to make."""
    store = ReviewStore(workspace)
    DatasetStore(workspace).keep(dataset)
    store.create(plan, library_versions())


def add_contenders(workspace: Workspace, name: str, words: Sequence[str]) -> None:
    """Let more contenders take part in a review; every verdict that is there stays.

    Answer the review afterwards. Those that take part already are passed over. Raises UserError
    when none is left, or for one that cannot be found or has learnt some of the review's rows.
    """
    store = ReviewStore(workspace)
    review = store.find(name)
    with held(
        _lock_file(workspace, name),
        f"The review '{name}' is being answered: wait for it or stop it.",
    ):
        stored = SplitSettings(**json.loads(review["split_settings"]))
        for run, settings in trained_splits(workspace, review["content_hash"], words).items():
            if review["split"] != "all" and settings != stored:
                raise ReviewError(
                    f"'{run}' was trained on another split, so it has learnt some of this "
                    "review's rows."
                )
        known = {contender.name for contender in store.contenders(review["id"])}
        examples = store.examples(review["id"])
        entrants = find_entrants(workspace, words, examples)
        more = [entrant for entrant in entrants if entrant.name not in known]
        if len({entrant.name for entrant in more}) < len(more):
            raise ReviewError(
                "Two of these contenders have one name: add each once, and rename files that are "
                "called alike."
            )
        for entrant in more if review["split"] in {"test", "validation"} else ():
            if entrant.kind == "model" and (
                seen := learnt_rows(workspace, entrant.name, examples, review["content_hash"])
            ):
                count = f"{len(seen):,} of this review's {len(examples):,} prompts"
                raise ReviewError(
                    f"'{entrant.name}' has learnt {count}: make a new review, which leaves them "
                    "out."
                )
        if not more:
            raise ReviewError(
                "They take part in this review already: choose other contenders to add."
            )
        for entrant in more:
            store.add_contender(review["id"], entrant)


def answer_review(
    workspace: Workspace,
    name: str,
    model_cache: ModelCache,
    should_stop: Callable[[], bool],
    progress: Progress,
) -> None:
    """Let every contender answer what it has not answered yet, then open the review.

    May be called again after a stop or a crash; responses that are there stay. Raises UserError
    when a model is gone, after noting that on the review.
    """
    store = ReviewStore(workspace)
    review = store.find(name)
    with held(_lock_file(workspace, name), f"Answering the review '{name}' is going on already."):
        store.set_state(review["id"], ReviewState.GENERATING)
        try:
            for contender in store.contenders(review["id"]):
                _answer(workspace, review, contender, model_cache, should_stop, progress)
        except UserError as error:
            store.set_state(review["id"], ReviewState.FAILED, str(error))
            raise
        if should_stop():
            store.set_state(
                review["id"], ReviewState.STOPPED, "Stopped by hand. Continue it to judge."
            )
        else:
            store.add_pairs(review["id"])


def is_being_answered(workspace: Workspace, name: str) -> bool:
    """Return whether some process answers a review; the operating system lets go of the lock when
    one dies.
    """
    return is_held(_lock_file(workspace, name))


def is_unfinished(workspace: Workspace, plan: ReviewPlan) -> bool:
    """Return whether a review of that name was begun with the same rows and contenders and cut off
    before its end.
    """
    store = ReviewStore(workspace)
    known = next((row for row in store.all() if row["name"] == plan.name), None)
    if (
        known is None
        or known["state"] == ReviewState.READY
        or known["content_hash"] != plan.content_hash
    ):
        return False
    return [contender.name for contender in store.contenders(known["id"])] == [
        entrant.name for entrant in plan.contenders
    ]


def _lock_file(workspace: Workspace, name: str) -> Path:
    return workspace.folder / "reviews" / f"{check_name(name)}.lock"


def _answer(
    workspace: Workspace,
    review: ReviewRow,
    contender: Contender,
    model_cache: ModelCache,
    should_stop: Callable[[], bool],
    progress: Progress,
) -> None:
    store = ReviewStore(workspace)
    open_prompts = store.unanswered(contender.id)
    if not open_prompts or should_stop() or contender.kind == "file":
        return
    if contender.kind == EXPECTED:
        responses: Iterator[tuple[int, Response]] = enumerate(
            Response("", one, 0, EXPECTED) for _, _, one in open_prompts
        )
    else:
        respond = _responder(workspace, contender, model_cache)
        responses = ask_in_rounds(
            respond, [turns for _, turns, _ in open_prompts], _sampling(review), should_stop
        )
    for number, response in responses:
        if response.finish_reason == "stopped":
            return
        store.add_response(contender.id, open_prompts[number][0], response)
        progress(*store.progress(review["id"]))


def _responder(workspace: Workspace, contender: Contender, model_cache: ModelCache) -> Respond:
    """Return what answers for a contender.

    Raises ReviewError for other weights than when the review was made.
    """
    if contender.kind == "endpoint":
        return Endpoint(**contender.facts).respond_each
    if model_facts(workspace, contender.name)["weights"] != contender.facts.get("weights"):
        raise ReviewError(
            f"The model '{contender.name}' has changed since this review was made: make a new "
            "review."
        )
    return model_cache.get(contender.name).respond_each


def _sampling(review: ReviewRow) -> Sampling:
    """Return the sampling a review was made with."""
    return Sampling(**json.loads(review["sampling"]))
