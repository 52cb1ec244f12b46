"""A review's responses are made once, by the models it names, whatever interrupts it."""

import shutil
from pathlib import Path

import pytest

from core.datasets.dataset import Dataset, load_dataset
from core.errors import ReviewError, WorkspaceError
from core.generation.model_cache import ModelCache
from core.generation.sampling import Sampling
from core.storage.process_lock import held
from core.storage.workspace import Workspace
from review.domain.plan import ReviewPlan
from review.setup.generate_responses import (
    RowChoice,
    answer_review,
    create_review,
    is_being_answered,
    is_unfinished,
    plan_review,
)
from review.store.reviews import ReviewStore

pytestmark = pytest.mark.slow


@pytest.fixture
def dataset(small_file: Path) -> Dataset:
    return load_dataset(small_file)


@pytest.fixture
def models(tiny_models: dict[str, Path], tmp_path: Path) -> list[str]:
    """Two contenders that a test may change."""
    return [str(shutil.copytree(tiny_models[name], tmp_path / name)) for name in ("llama", "gpt2")]


def planned(workspace: Workspace, dataset: Dataset, models: list[str]) -> ReviewPlan:
    return plan_review(
        workspace,
        dataset,
        "r",
        [*models, "expected"],
        RowChoice("test"),
        Sampling(max_new_tokens=6),
    )


def answer(workspace: Workspace, stop_after: int = 10_000) -> list[int]:
    seen: list[int] = []
    model_cache = ModelCache(workspace)
    answer_review(
        workspace,
        "r",
        model_cache,
        lambda: len(seen) >= stop_after,
        lambda done, _total: seen.append(done),
    )
    return seen


def test_a_review_cut_off_is_continued_and_answers_nothing_twice(
    workspace: Workspace, dataset: Dataset, models: list[str]
) -> None:
    plan = planned(workspace, dataset, models)
    create_review(workspace, dataset, plan)
    answer(workspace, stop_after=1)
    store = ReviewStore(workspace)
    assert store.find("r")["state"] == "stopped"
    kept = store.database.query("SELECT id, text FROM responses")
    assert 0 < len(kept) < 12
    assert is_unfinished(workspace, plan)
    answer(workspace)
    assert store.find("r")["state"] == "ready"
    assert store.progress(store.find("r")["id"]) == (12, 12)
    assert store.database.query("SELECT id, text FROM responses LIMIT ?", [len(kept)]) == kept
    assert store.database.one("SELECT count(*) AS n FROM pairs") == {"n": 12}
    assert not is_unfinished(workspace, plan)


def test_a_contender_that_changed_meanwhile_is_refused(
    workspace: Workspace, dataset: Dataset, models: list[str]
) -> None:
    create_review(workspace, dataset, planned(workspace, dataset, models))
    answer(workspace, stop_after=1)
    shutil.copyfile(Path(models[0]) / "model.safetensors", Path(models[1]) / "model.safetensors")
    with pytest.raises(ReviewError, match="has changed since this review was made"):
        answer(workspace)
    assert ReviewStore(workspace).find("r")["state"] == "failed"


def test_two_hands_cannot_answer_one_review(
    workspace: Workspace, dataset: Dataset, models: list[str]
) -> None:
    create_review(workspace, dataset, planned(workspace, dataset, models))
    assert not is_being_answered(workspace, "r")
    with held(workspace.folder / "reviews" / "r.lock", "Somebody is at it."):
        assert is_being_answered(workspace, "r")
        with pytest.raises(WorkspaceError, match="is going on already"):
            answer(workspace)


def test_test_rows_are_those_no_contender_has_learnt(
    workspace: Workspace, dataset: Dataset, models: list[str]
) -> None:
    from core.training.runs.runner import add_run, execute
    from core.training.settings import TrainingSettings

    runs = []
    for seed in (1, 2):
        settings = TrainingSettings(model=models[0], epochs=1, watched_prompts=0, split_seed=seed)
        runs.append(add_run(workspace, dataset, settings))
        execute(workspace, runs[-1], lambda: False, [])
    from core.datasets.splits import SplitSettings, split_examples

    plan = plan_review(workspace, dataset, "r", [models[1], runs[0]], RowChoice("test"), Sampling())
    expected = split_examples(dataset.examples, SplitSettings(seed=1)).test
    assert [example.row for example in plan.examples] == [example.row for example in expected]
    assert {example.split for example in plan.examples} == {"test"}
    with pytest.raises(WorkspaceError, match="trained on different splits"):
        plan_review(workspace, dataset, "r", runs, RowChoice("test"), Sampling())
