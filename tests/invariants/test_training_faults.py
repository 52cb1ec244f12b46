"""What goes wrong in a run ends in one sentence and leaves nothing half-written."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from core.datasets.dataset import load_dataset
from core.errors import SettingsError, UserError, WorkspaceError
from core.models.load import load_model
from core.models.resolve import find_model
from core.prompts.encoder import load_encoder
from core.storage.workspace import Workspace
from core.training.events import (
    Event,
    RunFailed,
    RunStarted,
    StepDone,
)
from core.training.kernels.batch import Batch
from core.training.kernels.batch_loss import BatchLoss
from core.training.planning.plan import plan_run
from core.training.runs.lifecycle import check_resumable
from core.training.runs.runner import add_run, execute, is_alive
from core.training.runs.store import RunStore
from core.training.settings import TrainingSettings
from tests.conftest import ROOT
from tests.tuning import run, settings

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("validation_share", "sentence"),
    [(0.05, "its weights are damaged"), (0.0, "lower the learning rate")],
)
def test_a_loss_that_is_no_number_ends_in_one_sentence(
    workspace: Workspace,
    small_file: Path,
    tiny_models: dict[str, Path],
    tmp_path: Path,
    validation_share: float,
    sentence: str,
) -> None:
    model = load_model(find_model(str(tiny_models["llama"]), None))
    with torch.no_grad():
        model.get_output_embeddings().weight.fill_(1e38)
    shutil.copytree(tiny_models["llama"], tmp_path / "damaged")
    model.save_pretrained(tmp_path / "damaged")
    name, events = run(
        workspace, small_file, settings(tmp_path / "damaged", validation_share=validation_share)
    )
    assert isinstance(events[-1], RunFailed) and sentence in events[-1].message
    row = RunStore(workspace).find(name)
    assert (row["state"], row["message"]) == ("failed", events[-1].message)


def test_rows_over_the_context_are_cut_and_rows_without_answer_left_are_dropped(
    workspace: Workspace, tmp_path: Path, tiny_models: dict[str, Path]
) -> None:
    rows = [
        {"instruction": f"Row {n}", "output": "word " * length}
        for n, length in enumerate([3] * 20 + [300])
    ]
    rows.append({"instruction": "long " * 400, "output": "never seen"})
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(rows))
    plan = plan_run(
        load_dataset(path),
        settings(tiny_models["llama"], test_share=0.0, validation_share=0.0),
        workspace,
    )
    assert (plan.cut_rows, plan.dropped_rows, plan.max_tokens) == ((21,), (22,), 256)
    assert len(plan.train) == 21


def test_a_run_that_would_learn_nothing_is_refused_before_it_is_written_down(
    workspace: Workspace, small_file: Path, tiny_models: dict[str, Path]
) -> None:
    with pytest.raises(SettingsError, match="nothing would be learnt"):
        add_run(workspace, load_dataset(small_file), settings(tiny_models["llama"], max_tokens=5))
    assert RunStore(workspace).all() == []


@pytest.mark.parametrize("name", ["pocket", "expected"])
def test_a_run_cannot_take_a_name_that_stands_for_something_else(
    workspace: Workspace, small_file: Path, name: str
) -> None:
    with pytest.raises(WorkspaceError, match="stands for something else"):
        add_run(workspace, load_dataset(small_file), TrainingSettings(), name)


def test_a_bug_inside_a_run_is_raised_and_its_run_stays_failed(
    workspace: Workspace,
    small_file: Path,
    tiny_models: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def buggy(*_values: object) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr("core.training.kernels.batch_loss.BatchLoss.backward", buggy)
    name = add_run(workspace, load_dataset(small_file), settings(tiny_models["llama"], epochs=1))
    with pytest.raises(KeyError, match="a bug"):
        execute(workspace, name, lambda: False, [])
    row = RunStore(workspace).find(name)
    assert row["state"] == "failed"
    assert "A fault in Fuata" in row["message"]


def test_a_run_whose_sink_breaks_is_interrupted_and_resumes(
    workspace: Workspace, small_file: Path, tiny_models: dict[str, Path]
) -> None:
    name = add_run(workspace, load_dataset(small_file), settings(tiny_models["llama"], epochs=1))

    def break_down(event: Event) -> None:
        if isinstance(event, StepDone):
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        execute(workspace, name, lambda: False, [break_down])
    assert RunStore(workspace).find(name)["state"] == "interrupted"
    check_resumable(workspace, name)
    execute(workspace, name, lambda: False, [])
    assert RunStore(workspace).find(name)["state"] == "finished"


def test_two_hands_cannot_work_on_one_run(
    workspace: Workspace, small_file: Path, tiny_models: dict[str, Path]
) -> None:
    name = add_run(workspace, load_dataset(small_file), settings(tiny_models["llama"], epochs=1))
    seen: list[bool] = []

    def intrude(event: Event) -> None:
        if isinstance(event, RunStarted):
            seen.append(is_alive(workspace, name))
            with pytest.raises(WorkspaceError, match="going on already"):
                execute(workspace, name, lambda: False, [])

    execute(workspace, name, lambda: False, [intrude])
    assert seen == [True] and not is_alive(workspace, name)


def test_a_fault_inside_a_run_is_told_and_stays_a_fault(
    workspace: Workspace, small_file: Path, tiny_models: dict[str, Path]
) -> None:
    """Out of memory is a person's matter; anything else is a bug and looks like one."""
    folder = tiny_models["llama"].parent / "breaking"
    shutil.copytree(tiny_models["llama"], folder)
    name = add_run(workspace, load_dataset(small_file), settings(folder))
    (folder / "model.safetensors").write_bytes(b"nonsense")
    events: list[Event] = []
    execute(workspace, name, lambda: False, [events.append])
    assert isinstance(events[-1], RunFailed)
    assert "model.safetensors is damaged: copy it again" in events[-1].message
    shutil.rmtree(folder)


def test_wrong_models_get_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "config.json").write_text('{"model_type": "llama"}')
    (pickled / "pytorch_model.bin").write_bytes(b"\x80\x04")
    cases = {
        str(tmp_path / "empty"): "is no model: it has no config.json",
        str(pickled): "holds a pickle checkpoint (pytorch_model.bin)",
        str(tmp_path / "nowhere" / "at" / "all"): "There is no model",
        "somebody/nothing-like-this": "HF_HUB_OFFLINE forbids to ask the hub",
        str(pickled / "config.json"): "is a file, not a model",
    }
    for name, sentence in cases.items():
        with pytest.raises(UserError) as raised:
            find_model(name, None)
        assert sentence in str(raised.value)


def test_memory_that_does_not_suffice_is_known_before_the_first_step(
    workspace: Workspace,
    small_file: Path,
    tiny_models: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backward, lengths = BatchLoss.backward, []

    def hungry(self: BatchLoss, batch: Batch, divisor: float) -> torch.Tensor:
        lengths.append(batch.inputs.shape[1])
        torch.empty(2**60)  # what torch says of memory that is not there, said by torch
        return backward(self, batch, divisor)

    monkeypatch.setattr(BatchLoss, "backward", hungry)
    name, events = run(workspace, small_file, settings(tiny_models["llama"]))
    assert [type(event) for event in events] == [RunStarted, RunFailed]
    row = RunStore(workspace).find(name)
    assert row["state"] == "failed" and row["message"].startswith(
        "Out of memory: lower the batch size"
    )
    encoder = load_encoder(tiny_models["llama"], "alpaca")
    assert lengths == [
        max(
            len(encoder.encode_example(example).ids)
            for example in load_dataset(small_file).examples
        )
        - 1
    ]


def test_a_full_disk_ends_in_a_sentence_and_leaves_nothing_half_written(
    workspace: Workspace, small_file: Path, tiny_models: dict[str, Path]
) -> None:
    """Files may grow to a megabyte here, and a model's do not fit."""
    import resource

    line = [
        sys.executable,
        "-m",
        "core",
        "train",
        str(small_file),
        "--name",
        "full",
        "--method",
        "full",
    ]
    line += ["--model", str(tiny_models["llama"])]
    done = subprocess.run(
        [*line, "--workspace", str(workspace.folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20)),
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr
    row = RunStore(workspace).find("full")
    assert row["state"] == "failed" and "make room and resume it" in row["message"]
    assert not [path for path in workspace.run_folder("full").iterdir() if path.name != ".lock"]
    check_resumable(workspace, "full")


@pytest.mark.parametrize(
    ("file", "content"), [("state.safetensors", b"damaged"), ("progress.json", b"{")]
)
def test_a_damaged_checkpoint_ends_in_a_sentence(
    workspace: Workspace, small_file: Path, tiny_models: dict[str, Path], file: str, content: bytes
) -> None:
    name, _ = run(
        workspace,
        small_file,
        settings(tiny_models["llama"]),
        stop=lambda events: any(isinstance(e, StepDone) for e in events),
    )
    (workspace.run_folder(name) / "checkpoint" / file).write_bytes(content)
    events: list[Event] = []
    execute(workspace, name, lambda: False, [events.append])
    assert [type(event) for event in events] == [RunFailed]
    assert (
        "is damaged or of another model: start the run anew"
        in RunStore(workspace).find(name)["message"]
    )


def test_a_base_model_that_has_gone_ends_in_a_sentence(
    workspace: Workspace, small_file: Path, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(tiny_models["llama"], tmp_path / "base")
    chosen = settings(tmp_path / "base")
    name, _ = run(
        workspace,
        small_file,
        chosen,
        stop=lambda events: any(isinstance(event, StepDone) for event in events),
    )
    shutil.rmtree(tmp_path / "base")
    execute(workspace, name, lambda: False, [])
    row = RunStore(workspace).find(name)
    assert row["state"] == "failed" and row["message"].startswith(
        f"There is no model '{tmp_path / 'base'}'"
    )
