"""Steps that are given to a device before the last ones are read, as a GPU is kept busy, change nothing that is told."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import pytest

from core.storage.workspace import Workspace
from core.training.events import CheckpointSaved, Event, RunFinished, StepDone
from core.training.run import execute
from core.training.settings import TrainingSettings
from tests.invariants.test_training import run, same, settings, weights

pytestmark = pytest.mark.slow
_OF_THIS_RUN = {"run", "path", "elapsed_s", "tokens_per_s", "peak_memory_mib"}
Run = tuple[str, list[Event]]


def told(events: Sequence[Event]) -> list[tuple[str, dict[str, object]]]:
    """What was told, without what differs from run to run and without the states that were saved, which time decides."""
    kept = [event for event in events if not (isinstance(event, CheckpointSaved) and event.kind == "last")]
    return [(type(event).__name__, {k: v for k, v in asdict(event).items() if k not in _OF_THIS_RUN}) for event in kept]


@pytest.fixture
def chosen(tiny_models: dict[str, Path]) -> TrainingSettings:
    return settings(tiny_models["llama"], checkpoint_every_s=0.0)


@pytest.fixture
def one_late(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    return lambda: monkeypatch.setattr("core.training.loop.steps_ahead", lambda _: 1)


def test_steps_read_one_late_tell_the_same_story(
    workspace: Workspace, small_file: Path, chosen: TrainingSettings, one_late: Callable[[], None]
) -> None:
    at_once, expected = run(workspace, small_file, chosen)
    one_late()
    late, events = run(workspace, small_file, chosen)
    assert told(events) == told(expected)
    assert same(weights(workspace, at_once), weights(workspace, late))
    steps = [event for event in events if isinstance(event, StepDone)]
    assert [event.elapsed_s for event in steps] == sorted(event.elapsed_s for event in steps)
    assert all(event.tokens_per_s > 0 for event in steps)
    saved_after = [
        (event.step, steps_before(events, at)) for at, event in enumerate(events) if isinstance(event, CheckpointSaved)
    ]
    assert saved_after and all(step == before for step, before in saved_after)  # what is saved was told


def steps_before(events: Sequence[Event], at: int) -> int:
    return max((event.step for event in events[:at] if isinstance(event, StepDone)), default=0)


def test_a_run_stopped_between_steps_that_are_not_read_yet_resumes_exactly(
    workspace: Workspace, small_file: Path, chosen: TrainingSettings, one_late: Callable[[], None]
) -> None:
    whole, _ = run(workspace, small_file, chosen)
    one_late()
    broken, cut = run(
        workspace, small_file, chosen, stop=lambda events: sum(isinstance(event, StepDone) for event in events) >= 4
    )
    assert isinstance(cut[-1], RunFinished) and cut[-1].step == steps_before(cut, len(cut)) > 4
    execute(workspace, broken, lambda: False, [])
    assert same(weights(workspace, whole), weights(workspace, broken))
