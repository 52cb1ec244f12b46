"""What people do to runs that are not going on."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from core.cli.main import main
from core.datasets.dataset import load_dataset
from core.errors import SettingsError, WorkspaceError
from core.models.resolve import find_model
from core.storage.workspace import Workspace
from core.training.events import Event, RunFinished, StepDone
from core.training.loop.lr_schedule import learning_rate_at
from core.training.runs.lifecycle import delete_run, extend_run, rename_run
from core.training.runs.runner import add_run, execute
from core.training.runs.store import RunStore
from core.training.settings import TrainingSettings

pytestmark = pytest.mark.slow
Train = Callable[..., list[Event]]


@pytest.fixture
def train(workspace: Workspace, small_file: Path, tiny_models: dict[str, Path]) -> Train:
    """Train runs of 34 rows, 9 steps an epoch."""

    def train_it(name: str, **changes: object) -> list[Event]:
        usual = TrainingSettings(
            model=str(tiny_models["llama"]), batch_size=4, learning_rate=3e-3, epochs=1
        )
        add_run(workspace, load_dataset(small_file), replace(usual, **changes), name)
        return go_on(workspace, name)

    return train_it


def go_on(workspace: Workspace, name: str) -> list[Event]:
    events: list[Event] = []
    execute(workspace, name, lambda: False, [events.append])
    return events


def test_a_finished_run_goes_on_from_its_last_state_with_the_longer_schedule(
    workspace: Workspace, train: Train
) -> None:
    train("short")
    with pytest.raises(SettingsError, match="more than the 1"):
        extend_run(workspace, "short", 1)
    words = [
        "train",
        "--resume",
        "--name",
        "short",
        "--epochs",
        "3",
        "--json",
        "--workspace",
        str(workspace.folder),
    ]
    assert main(words) == 0
    row = RunStore(workspace).find("short")
    assert (row["state"], row["step"], row["total_steps"]) == ("finished", 27, 27)
    metrics = RunStore(workspace).metrics("short", "train")
    assert [metric["step"] for metric in metrics] == list(range(1, 28))
    longer = [learning_rate_at(step, 27, 3e-3, 0.05) for step in range(27)]
    assert [metric["learning_rate"] for metric in metrics[9:]] == pytest.approx(longer[9:])
    assert metrics[8]["learning_rate"] < longer[8]
    assert metrics[-1]["loss"] < metrics[8]["loss"]
    assert len(RunStore(workspace).metrics("short", "validation")) == 8


def test_a_run_that_stopped_early_goes_on_when_it_is_extended(
    workspace: Workspace, train: Train
) -> None:
    events = train("early", learning_rate=1.0, epochs=20, patience=1)
    assert isinstance(events[-1], RunFinished) and events[-1].reason == "early_stopped"
    stopped_at = events[-1].step
    extend_run(workspace, "early", 30)
    steps = [event.step for event in go_on(workspace, "early") if isinstance(event, StepDone)]
    assert steps[0] == stopped_at + 1 and len(steps) > 1


def test_the_latest_finished_run_alone_keeps_its_state(workspace: Workspace, train: Train) -> None:
    train("first")
    train("second")
    assert (
        not workspace.state_folder("first").exists() and workspace.state_folder("second").is_dir()
    )
    with pytest.raises(WorkspaceError, match="with 'first' as the base model"):
        extend_run(workspace, "first", 2)
    assert RunStore(workspace).settings("first").epochs == 1


def test_a_renamed_run_is_found_by_its_new_name_alone(workspace: Workspace, train: Train) -> None:
    train("old", keep="last")
    rename_run(workspace, "old", "new")
    assert find_model("new@9", workspace).folder.is_dir()
    assert len(RunStore(workspace).metrics("new", "train")) == 9
    assert not workspace.run_folder("old").exists()
    with pytest.raises(WorkspaceError, match="There is no run 'old'"):
        rename_run(workspace, "old", "newer")
    extend_run(workspace, "new", 2)
    assert go_on(workspace, "new")[-1].step == 18


def test_a_name_that_is_taken_or_stood_on_is_refused(workspace: Workspace, train: Train) -> None:
    train("base")
    train("tuned", model="base", method="lora")
    for wanted, words in (
        ("tuned", "There is a run"),
        ("pocket", "stands for something else"),
        ("a/b", "cannot be a name"),
    ):
        with pytest.raises(WorkspaceError, match=words):
            rename_run(workspace, "tuned", wanted)
    with pytest.raises(WorkspaceError, match="'tuned' was tuned from 'base'"):
        rename_run(workspace, "base", "other")
    assert workspace.model_folder("base").is_dir() and workspace.model_folder("tuned").is_dir()


def test_a_run_that_waits_is_not_changed(
    workspace: Workspace, small_file: Path, tiny_models: dict[str, Path]
) -> None:
    add_run(
        workspace,
        load_dataset(small_file),
        TrainingSettings(model=str(tiny_models["llama"])),
        "waiting",
    )
    for change in (
        lambda: rename_run(workspace, "waiting", "other"),
        lambda: extend_run(workspace, "waiting", 9),
    ):
        with pytest.raises(WorkspaceError, match="stop it first"):
            change()
    delete_run(workspace, "waiting")
