"""Steps: clipped as torch clips, and given to a device before the last ones are read, as a GPU is
kept busy.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from core.datasets.dataset import load_dataset
from core.models.load import load_model
from core.models.resolve import find_model
from core.prompts.collate import plan_epoch
from core.prompts.encoder import load_encoder
from core.storage.workspace import Workspace
from core.training.events import (
    CheckpointSaved,
    Event,
    RunFailed,
    RunFinished,
    RunStarted,
    StepDone,
)
from core.training.kernels.batch import Batch, collate
from core.training.kernels.batch_loss import BatchLoss
from core.training.loop.job import TrainingJob
from core.training.loop.lr_schedule import learning_rate_at
from core.training.loop.optimizer_step import Steps, TakenStep
from core.training.runs.control import ControlSignals
from core.training.runs.runner import execute
from core.training.settings import TrainingSettings
from tests.tuning import run, same, settings, weights

pytestmark = pytest.mark.slow
_OF_THIS_RUN = {"run", "path", "elapsed_s", "tokens_per_s", "peak_memory_mib"}
Run = tuple[str, list[Event]]


def told(events: Sequence[Event]) -> list[tuple[str, dict[str, object]]]:
    """What was told, without what differs from run to run and without the states that were saved,
    which time decides.
    """
    kept = [
        event
        for event in events
        if not (isinstance(event, CheckpointSaved) and event.kind == "last")
    ]
    return [
        (type(event).__name__, {k: v for k, v in asdict(event).items() if k not in _OF_THIS_RUN})
        for event in kept
    ]


@pytest.fixture
def chosen(tiny_models: dict[str, Path]) -> TrainingSettings:
    return settings(tiny_models["llama"], checkpoint_every_s=0.0)


@pytest.fixture
def one_late(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    return lambda: monkeypatch.setattr("core.training.loop.trainer.steps_ahead", lambda _: 1)


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
        (event.step, steps_before(events, at))
        for at, event in enumerate(events)
        if isinstance(event, CheckpointSaved)
    ]
    # what is saved was told
    assert saved_after and all(step == before for step, before in saved_after)


def steps_before(events: Sequence[Event], at: int) -> int:
    return max((event.step for event in events[:at] if isinstance(event, StepDone)), default=0)


def test_a_run_stopped_between_steps_that_are_not_read_yet_resumes_exactly(
    workspace: Workspace, small_file: Path, chosen: TrainingSettings, one_late: Callable[[], None]
) -> None:
    whole, _ = run(workspace, small_file, chosen)
    one_late()
    broken, cut = run(
        workspace,
        small_file,
        chosen,
        stop=lambda events: sum(isinstance(event, StepDone) for event in events) >= 4,
    )
    assert isinstance(cut[-1], RunFinished) and cut[-1].step == steps_before(cut, len(cut)) > 4
    execute(workspace, broken, lambda: False, [])
    assert same(weights(workspace, whole), weights(workspace, broken))


@pytest.mark.parametrize("asked", [4, 5])
def test_a_pause_is_no_part_of_any_steps_time(
    workspace: Workspace,
    small_file: Path,
    chosen: TrainingSettings,
    one_late: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    asked: int,
) -> None:
    """Whichever question it is that is first answered by yes."""
    clock = {"now_s": 0.0, "questions": 0.0, "slept_s": 0.0}

    def now() -> float:
        clock["now_s"] += 0.001
        return clock["now_s"]

    def sleep(seconds: float) -> None:
        clock["now_s"] += seconds
        clock["slept_s"] += seconds

    def pauses(_signals: ControlSignals) -> bool:
        clock["questions"] += 1
        return asked <= clock["questions"] < asked + 100

    ours = SimpleNamespace(perf_counter=now, monotonic=now, sleep=sleep)
    monkeypatch.setattr("core.training.loop.trainer.time", ours)
    monkeypatch.setattr("core.training.loop.optimizer_step.time", ours)
    monkeypatch.setattr(ControlSignals, "pause", pauses)
    one_late()
    _, events = run(workspace, small_file, chosen)
    assert isinstance(events[-1], RunFinished)
    assert clock["slept_s"] > 5.0 and 0.0 < events[-1].elapsed_s < 1.0


# a pass that is parted for its memory's sake gives the gradient of the whole
@pytest.mark.parametrize(("limit", "most_tokens"), [(0.0, None), (0.05, 1), (1e6, 80)])
def test_gradients_are_clipped_to_their_norm_as_torch_does_it(
    tiny_models: dict[str, Path],
    small_file: Path,
    chosen: TrainingSettings,
    tmp_path: Path,
    limit: float,
    most_tokens: int | None,
) -> None:
    rows = [
        load_encoder(tiny_models["llama"], "alpaca").encode_example(example)
        for example in load_dataset(small_file).examples
    ]
    told = replace(chosen, max_gradient_norm=limit)
    models = [load_model(find_model(str(tiny_models["llama"]), None)) for _ in range(2)]
    ours, theirs = (torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True) for model in models)
    job = TrainingJob(
        run="r",
        model=models[0],
        settings=told,
        train=rows,
        validation=(),
        watched=(),
        pad_id=0,
        checkpoint=tmp_path / "c",
        best=tmp_path / "b",
        kept_at=Path,
        save=lambda *_: None,
        answer=lambda *_: [],
        most_tokens=most_tokens,
    )
    steps, reference = Steps(job, BatchLoss(models[0]), ours), BatchLoss(models[1])
    for number in range(3):
        norm = steps.take(number).figures[1]
        part = [
            rows[index]
            for index in plan_epoch([len(row.ids) for row in rows], 4, told.seed, 0)[number]
        ]
        reference.backward(
            collate(part, 0, mask_prompt=True), sum(row.targets(mask_prompt=True) for row in part)
        )
        expected = torch.nn.utils.clip_grad_norm_(models[1].parameters(), limit or math.inf)
        assert norm.item() == pytest.approx(expected.item(), rel=1e-5) and 0.05 < norm < 1e6
        for group in theirs.param_groups:
            group["lr"] = learning_rate_at(
                number, job.total_steps, told.learning_rate, told.warmup_share
            )
        theirs.step()
        theirs.zero_grad()
    moments = [
        torch.cat([state["exp_avg"].flatten() for state in optimizer.state.values()])
        for optimizer in (ours, theirs)
    ]
    assert float((moments[0] - moments[1]).norm() / moments[1].norm()) < 1e-4


@pytest.mark.parametrize(("gain", "expected"), [(2.0, 2), (1.05, 1), (0.2, 1)])
def test_as_many_threads_compute_as_are_quicker_and_a_run_keeps_them(
    workspace: Workspace,
    small_file: Path,
    chosen: TrainingSettings,
    monkeypatch: pytest.MonkeyPatch,
    gain: float,
    expected: int,
) -> None:
    """By a clock on which a second thread makes a pass so many times quicker."""
    clock, asked = {"now": 0.0}, list[int]()
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr("core.training.planning.throughput.os.cpu_count", lambda: 2)
    monkeypatch.setattr("core.training.loop.trainer.torch.set_num_threads", asked.append)
    backward = BatchLoss.backward

    def timed(loss: BatchLoss, batch: Batch, divisor: float) -> torch.Tensor:
        clock["now"] += 1.0 / (gain if asked[-1] == 2 else 1.0)
        return backward(loss, batch, divisor)

    monkeypatch.setattr(BatchLoss, "backward", timed)
    ours = SimpleNamespace(perf_counter=lambda: clock["now"])
    monkeypatch.setattr("core.training.loop.optimizer_step.time", ours)
    name, events = run(
        workspace, small_file, chosen, stop=lambda told: any(isinstance(e, StepDone) for e in told)
    )
    assert isinstance(events[0], RunStarted) and asked[-1] == expected
    assert events[0].device == ("cpu, 2 threads" if expected == 2 else "cpu")
    asked.clear()
    execute(workspace, name, lambda: False, [])  # it goes on as it began, and tries nothing
    assert set(asked[1:]) == {expected}


def test_gradients_that_are_no_numbers_end_the_run_before_its_state_is_saved(
    workspace: Workspace,
    small_file: Path,
    chosen: TrainingSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    take = Steps.take

    def overflow(steps: Steps, step: int) -> TakenStep:
        taken = take(steps, step)
        return replace(taken, figures=torch.tensor([1.0, math.inf])) if step == 3 else taken

    monkeypatch.setattr(Steps, "take", overflow)
    _, events = run(workspace, small_file, chosen)
    assert isinstance(events[-1], RunFailed)
    assert events[-1].message.startswith(
        "The gradients' norm became inf at step 4: lower the learning rate"
    )
    assert max(event.step for event in events if isinstance(event, CheckpointSaved)) <= 3
