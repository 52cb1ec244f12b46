"""A run's own process: what ends it, who may ask it, and that nothing takes it or the page along."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from core.datasets.dataset import load_dataset
from core.errors import WorkspaceError
from core.storage.workspace import Workspace
from core.training.runs.process import LOG_FILE, start_training_process
from core.training.runs.queue import TrainingQueue
from core.training.runs.runner import add_run, execute, is_alive, mark_interrupted
from core.training.runs.store import RunStore
from core.training.settings import TrainingSettings
from tests.conftest import processes_of_run

pytestmark = pytest.mark.slow


@pytest.fixture
def queue(workspace: Workspace) -> Iterator[TrainingQueue]:
    made = TrainingQueue(workspace)
    yield made
    made.close()


@pytest.fixture
def add(workspace: Workspace, small_file: Path, tiny_models: dict[str, Path]) -> Callable[..., str]:
    chosen = TrainingSettings(
        model=str(tiny_models["gpt2"]), batch_size=4, learning_rate=3e-3, checkpoint_every_s=0
    )

    def add_it(name: str, epochs: int) -> str:
        return add_run(workspace, load_dataset(small_file), replace(chosen, epochs=epochs), name)

    return add_it


def wait_for(
    workspace: Workspace, name: str, enough: Callable[[dict[str, Any]], bool], timeout_s: float = 90
) -> dict[str, Any]:
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        row = RunStore(workspace).find(name)
        if enough(row):
            return row
        time.sleep(0.05)
    raise AssertionError(f"not within {timeout_s} s: {row}")


def ended(row: dict[str, Any]) -> bool:
    return row["state"] in {"finished", "stopped", "failed"}


def same_weights(workspace: Workspace, one: str, other: str) -> bool:
    first, second = (
        load_file(workspace.model_folder(name) / "model.safetensors") for name in (one, other)
    )
    return all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def test_a_worker_killed_for_memory_says_so_and_resumes_to_the_same_weights(
    workspace: Workspace, queue: TrainingQueue, add: Callable[..., str]
) -> None:
    execute(workspace, add("whole", 8), lambda: False, [])
    queue.submit(add("killed", 8))
    wait_for(workspace, "killed", lambda row: row["step"] >= 10)
    [process] = processes_of_run("killed", workspace.folder)
    assert os.getpriority(os.PRIO_PROCESS, process) == 10
    os.kill(process, signal.SIGKILL)
    row = wait_for(workspace, "killed", ended)
    assert (
        row["state"] == "failed"
        and "was killed, as the system does when memory runs out" in row["message"]
    )
    queue.submit("killed")
    assert wait_for(workspace, "killed", ended)["state"] == "finished"
    assert same_weights(workspace, "whole", "killed")
    assert "steps" in (workspace.run_folder("killed") / LOG_FILE).read_text()


def test_runs_wait_in_their_order_and_for_a_run_that_outlived_an_earlier_app(
    workspace: Workspace, add: Callable[..., str]
) -> None:
    process = start_training_process(workspace, add("orphan", 400))
    wait_for(workspace, "orphan", lambda row: row["step"] >= 2)
    assert mark_interrupted(workspace) == []  # as an app that starts anew asks
    queue = TrainingQueue(workspace)
    for name in ("first", "second"):
        queue.submit(add(name, 1))
    queue.move_up("second")
    assert queue.waiting() == ["second", "first"]
    with pytest.raises(WorkspaceError, match="does not wait"):
        queue.move_up("orphan")
    with pytest.raises(WorkspaceError, match="going on already"):
        queue.submit("orphan")
    queue.pause("orphan", wanted=True)
    time.sleep(0.5)
    paused_at = RunStore(workspace).find("orphan")["step"]
    time.sleep(1)
    assert RunStore(workspace).find("orphan")["step"] == paused_at
    assert queue.waiting() == ["second", "first"]
    queue.stop("orphan")
    assert process.wait(60) == 0
    assert wait_for(workspace, "orphan", ended)["state"] == "stopped"
    second, first = (wait_for(workspace, name, ended) for name in ("second", "first"))
    assert (second["state"], first["state"]) == ("finished", "finished")
    assert second["finished_at"] <= first["started_at"]
    queue.close()


def test_an_app_that_ends_asks_its_run_to_keep_what_it_has(
    workspace: Workspace, add: Callable[..., str]
) -> None:
    queue = TrainingQueue(workspace)
    queue.submit(add("kept", 400))
    wait_for(workspace, "kept", lambda row: row["step"] >= 2)
    queue.close()
    assert RunStore(workspace).find("kept")["state"] == "stopped"
    assert workspace.model_folder("kept").is_dir() and not is_alive(workspace, "kept")


def test_a_request_of_the_last_time_does_not_stop_a_resumed_run(
    workspace: Workspace, add: Callable[..., str]
) -> None:
    runs, name = RunStore(workspace), add("again", 1)
    runs.set_state(name, "interrupted")
    runs.request_action(name, "stop")
    execute(workspace, name, lambda: False, [])
    assert runs.find(name)["state"] == "finished"


def test_a_process_that_cannot_start_or_ends_by_itself_is_told_in_a_sentence(
    workspace: Workspace,
    queue: TrainingQueue,
    add: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho the libraries are damaged\nexit 7\n")
    broken.chmod(0o755)
    for name, interpreter, words in (
        ("absent", tmp_path / "nowhere", "could not be started"),
        ("broken", broken, "exit status 7). the libraries are damaged"),
    ):
        monkeypatch.setattr(sys, "executable", str(interpreter))
        queue.submit(add(name, 1))
        row = wait_for(workspace, name, ended)
        assert row["state"] == "failed" and words in row["message"]


def test_a_run_resumed_while_its_process_still_ends_is_not_called_failed(
    workspace: Workspace, queue: TrainingQueue, add: Callable[..., str]
) -> None:
    queue.submit(add("again", 400))
    wait_for(workspace, "again", lambda row: row["step"] >= 2)
    queue.stop("again")
    with pytest.raises(WorkspaceError, match="stopping already"):
        queue.pause("again", wanted=True)
    stopped_at = wait_for(workspace, "again", ended)["step"]
    queue.submit("again")
    seen: set[str] = set()

    def goes_on(row: dict[str, Any]) -> bool:
        seen.add(row["state"])
        return bool(row["step"] > stopped_at)

    wait_for(workspace, "again", goes_on)
    assert seen <= {"queued", "running"}
    queue.stop("again")
    wait_for(workspace, "again", ended)


def test_what_lies_in_the_folder_the_app_was_started_in_is_not_run(
    workspace: Workspace,
    queue: TrainingQueue,
    add: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = add("safe", 1)
    foreign = tmp_path / "elsewhere" / "core"
    foreign.mkdir(parents=True)
    (foreign / "__init__.py").write_text("raise SystemExit('foreign code')")
    monkeypatch.chdir(foreign.parent)
    queue.submit(name)
    assert wait_for(workspace, name, ended)["state"] == "finished"


def test_a_run_that_ended_meanwhile_is_not_marked_interrupted(
    workspace: Workspace, add: Callable[..., str]
) -> None:
    runs, name = RunStore(workspace), add("done", 1)
    runs.set_state(name, "finished")
    assert not runs.set_state(name, "interrupted", only_from=("running", "queued"))
    assert runs.find(name)["state"] == "finished"
