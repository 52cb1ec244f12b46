"""Adapters merged from the page, each in a process of its own."""

import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from core.datasets.dataset import load_dataset
from core.errors import ModelError, WorkspaceError
from core.processes.messages import Progress, read_messages
from core.storage.atomic_write import aside_of
from core.storage.process_lock import held
from core.storage.workspace import Workspace
from core.training.runs.merge import LOG_FILE, MergeJobs, _lock_file, merge_run
from core.training.runs.runner import add_run, execute
from core.training.settings import TrainingSettings

pytestmark = pytest.mark.slow
_PATIENCE_S = 120


@pytest.fixture
def base(tiny_models: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_models["llama"], tmp_path / "base"))


@pytest.fixture
def adapted(workspace: Workspace, small_file: Path, base: Path) -> Workspace:
    """A workspace with a run called tuned, whose model is an adapter, and one called whole."""
    usual = TrainingSettings(
        model=str(base), batch_size=16, learning_rate=3e-3, epochs=1, evaluations_per_epoch=1
    )
    for name, method in (("tuned", "lora"), ("whole", "full")):
        add_run(workspace, load_dataset(small_file), replace(usual, method=method), name)  # type: ignore[arg-type]
        execute(workspace, name, lambda: False, [])
    return workspace


@pytest.fixture
def jobs(adapted: Workspace) -> Iterator[MergeJobs]:
    made = MergeJobs(adapted)
    yield made
    made.close()


def until(is_so: Callable[[], bool]) -> None:
    started = time.monotonic()
    while not is_so():
        assert time.monotonic() < started + _PATIENCE_S
        time.sleep(0.05)


def test_a_merge_tells_how_far_it_is_and_where_its_model_is(
    adapted: Workspace, jobs: MergeJobs
) -> None:
    from transformers import AutoModelForCausalLM

    assert jobs.status_message("tuned") == ""
    jobs.start("tuned")
    assert jobs.is_going_on("tuned") and jobs.status_message("tuned").startswith("Merging.")
    with pytest.raises(WorkspaceError, match="is being merged: wait for it, or stop it"):
        jobs.start("tuned")
    until(lambda: not jobs.is_going_on("tuned"))
    folder = adapted.merged_folder("tuned")
    assert (
        jobs.status_message("tuned")
        == f"The model with its adapter merged in is in {folder.resolve()}"
    )
    lines = (adapted.run_folder("tuned") / LOG_FILE).read_text().splitlines()
    doing = [line.removesuffix(" …") for line in lines if line.endswith(" …")]
    layers = [f"Adding the adapter: layer {number} of 14" for number in range(1, 15)]
    assert doing == [
        "Loading the libraries and the model",
        *layers,
        "Writing the model",
        "Loading what was written, and asking it",
    ]
    with pytest.raises(WorkspaceError, match="is merged already"):
        jobs.start("tuned")
    told: list[Progress] = []
    merge_run(adapted, "tuned", adapted.folder / "elsewhere", told.append)
    assert list(map(str, told)) == doing
    assert told[3] == Progress(stage="Adding the adapter", done=3, total=14, unit="layer")
    messages = (adapted.run_folder("tuned") / LOG_FILE).with_suffix(".messages")
    assert list(read_messages(messages)) == told  # what its process reported
    ids = torch.tensor([[5, 6, 7]])
    one, other = (
        AutoModelForCausalLM.from_pretrained(made)(ids).logits
        for made in (folder, adapted.folder / "elsewhere")
    )
    assert torch.equal(one, other)


def test_a_merge_that_is_stopped_or_killed_leaves_nothing_and_can_be_begun_again(
    adapted: Workspace, jobs: MergeJobs
) -> None:
    folder = adapted.merged_folder("tuned")
    with pytest.raises(WorkspaceError, match="is not being merged"):
        jobs.stop("tuned")
    jobs.start("tuned")
    aside_of(folder).mkdir()  # as if it had begun to write
    jobs.stop("tuned")
    assert jobs.status_message("tuned") == "The merge was stopped; nothing is left of it."
    jobs.start("tuned")
    aside_of(folder).mkdir()
    os.kill(jobs._merges["tuned"].process.pid, signal.SIGKILL)
    until(lambda: not jobs.is_going_on("tuned"))
    assert "as the system does when memory runs out" in jobs.status_message("tuned")
    assert not folder.exists() and not aside_of(folder).exists()
    jobs.check_idle("tuned")
    jobs.start("tuned")
    until(lambda: not jobs.is_going_on("tuned"))
    assert folder.is_dir()


def test_what_is_loaded_and_written_is_told_in_mebibytes(
    adapted: Workspace, jobs: MergeJobs
) -> None:
    jobs.start("tuned")
    merge = jobs._merges["tuned"]
    aside = aside_of(adapted.merged_folder("tuned"))
    os.kill(merge.process.pid, signal.SIGSTOP)
    merge.expected_mib = 3.0
    reports = merge.process.messages
    reports.write_text('{"kind": "Progress", "stage": "Loading the libraries and the model"}\n')
    assert re.fullmatch(
        r"Merging\. Loading the libraries and the model: \d+ of about 533 MiB in memory …",
        jobs.status_message("tuned"),
    )
    half = '{"kind": "Progress", "stage": "Loading wh'
    reports.write_text(f'{{"kind": "Progress", "stage": "Writing the model"}}\n{half}')
    aside.mkdir(exist_ok=True)
    (aside / "model.safetensors").write_bytes(bytes(2 * 2**20))
    assert jobs.status_message("tuned") == "Merging. Writing the model: 2 of 3 MiB …"
    jobs.stop("tuned")
    assert not aside.exists()


def test_what_cannot_be_merged_is_said_in_a_sentence(
    adapted: Workspace, jobs: MergeJobs, base: Path
) -> None:
    with pytest.raises(ModelError, match="no adapter to merge"):
        jobs.start("whole")
    assert jobs.status_message("whole") == ""
    jobs.start("tuned")
    os.kill(jobs._merges["tuned"].process.pid, signal.SIGSEGV)
    until(lambda: not jobs.is_going_on("tuned"))
    assert re.fullmatch(
        r"The merge ended by itself \(signal 11\)\. Its output is in .*merge\.log\.",
        jobs.status_message("tuned"),
    )
    (base / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(ModelError, match="is damaged: copy it again"):
        jobs.start("tuned")
    assert not adapted.merged_folder("tuned").exists()
    shutil.rmtree(base)
    with pytest.raises(ModelError):
        jobs.start("tuned")


def test_the_end_of_the_app_ends_its_merges(adapted: Workspace, jobs: MergeJobs) -> None:
    jobs.start("tuned")
    jobs.close()
    assert not jobs.is_going_on("tuned") and not adapted.merged_folder("tuned").exists()


def test_a_merge_of_another_process_is_waited_for(
    adapted: Workspace, jobs: MergeJobs, tmp_path: Path
) -> None:
    with held(_lock_file(adapted), "not twice"):  # an app that was killed has left its merge behind
        assert not jobs.is_going_on("tuned")
        with pytest.raises(WorkspaceError, match="being merged in this workspace: wait for it"):
            jobs.start("tuned")
        with pytest.raises(WorkspaceError, match="being merged in this workspace: wait for it"):
            merge_run(adapted, "tuned", tmp_path / "elsewhere")
    jobs.check_idle("tuned")


def test_a_run_that_goes_on_after_its_merge_has_none_to_tell_of(
    adapted: Workspace, jobs: MergeJobs
) -> None:
    jobs.start("tuned")
    until(lambda: not jobs.is_going_on("tuned"))
    shutil.rmtree(adapted.merged_folder("tuned"))  # as a run does when it goes on
    assert jobs.status_message("tuned") == ""
    jobs.forget("tuned")
    jobs.forget("tuned")
    assert jobs.status_message("tuned") == ""
