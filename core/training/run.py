"""One run from its row in the database to its end: an iterator of events pulled into sinks. Knows no queue, no screen."""

import gc
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version

from core.data.dataset import Dataset
from core.errors import UserError, WorkspaceError
from core.storage.datasets import DatasetStore
from core.storage.locks import held, is_held
from core.storage.runs import RunStore
from core.storage.workspace import Workspace
from core.training.events import Event, RunFailed, RunFinished, Sink
from core.training.preparation import make_job, plan_run
from core.training.settings import TrainingSettings
from core.training.wishes import Wishes

_LIBRARIES = ("torch", "transformers", "peft", "tiktoken", "tokenizers", "safetensors")
_RESUMABLE = {"queued", "interrupted", "stopped", "failed"}


def add_run(workspace: Workspace, dataset: Dataset, settings: TrainingSettings, name: str = "") -> str:
    """Write a new run down in the state ``queued``, keep its data, and return its name.

    Everything that can be known to be wrong is raised here, before anything is written.
    """
    plan_run(dataset, settings, workspace)
    runs = RunStore(workspace)
    name = name or runs.free_name(f"{_stem(settings.model)}-{_stem(settings.style)}")
    runs.create(name, settings, DatasetStore(workspace).keep(dataset), library_versions())
    return name


def check_resumable(workspace: Workspace, name: str) -> None:
    """Raise WorkspaceError when a run is going on or has reached its end."""
    state = RunStore(workspace).find(name)["state"]
    if state in {"queued", "running"} and is_alive(workspace, name):
        raise WorkspaceError(f"The run '{name}' is going on already.")
    if state not in _RESUMABLE | {"running"}:
        raise WorkspaceError(f"The run '{name}' has reached its end: there is nothing to resume.")


def execute(workspace: Workspace, name: str, should_stop: Callable[[], bool], sinks: Sequence[Sink]) -> None:
    """Train a run to its end and give every event to every sink; failures become a RunFailed event.

    Besides ``should_stop``, what people wish is read from the run's row, so any process may ask. Raises WorkspaceError when
    another process or thread works on the same run.
    """
    runs = RunStore(workspace)
    with held(_lock_file(workspace, name), f"The run '{name}'"):
        if runs.find(name)["state"] != "queued":  # also forgets a wish of the last time; one for a queued run is for this one
            runs.set_state(name, "queued")
        try:
            for event in _events(workspace, name, should_stop):
                runs.record(name, event)
                for sink in sinks:
                    sink(event)
                if isinstance(event, RunFinished) and event.reason != "stopped":
                    shutil.rmtree(workspace.run_folder(name) / "checkpoint", ignore_errors=True)
        except BaseException as error:  # a sink or the database gave way: the run must not seem to go on
            with suppress(Exception):
                if runs.find(name)["state"] in {"queued", "running"}:  # a failure that is told already stays as told
                    runs.set_state(name, "interrupted", f"Cut off ({error or type(error).__name__}). Resume it.")
            raise
    gc.collect()  # the model's cycles would otherwise hold its memory while the process lives


def is_alive(workspace: Workspace, name: str) -> bool:
    """Tell whether some process works on a run; the operating system lets go of the lock when one dies."""
    return is_held(_lock_file(workspace, name))


def living_runs(workspace: Workspace) -> list[str]:
    """Return the names of the runs that some process trains now, or loads the model of."""
    rows = RunStore(workspace).in_states({"queued", "running"})
    return [row["name"] for row in rows if is_alive(workspace, row["name"])]


def mark_interrupted(workspace: Workspace, states: Collection[str] = ("running", "queued")) -> list[str]:
    """Mark runs in ``states`` whose process has died, and return their names."""
    runs = RunStore(workspace)
    dead = [row["name"] for row in runs.in_states(states) if not is_alive(workspace, row["name"])]
    words = "Fuata ended while this run was going on. Resume it."
    return [name for name in dead if runs.set_state(name, "interrupted", words, only_from=states)]


def delete_run(workspace: Workspace, name: str) -> None:
    """Remove a run, its models and all that is known of it. Raises WorkspaceError while it is going on."""
    runs = RunStore(workspace)
    runs.find(name)
    if is_alive(workspace, name):
        raise WorkspaceError(f"The run '{name}' is going on: stop it first.")
    runs.delete(name)
    shutil.rmtree(workspace.run_folder(name), ignore_errors=True)


def library_versions() -> dict[str, str]:
    """Return the versions that decide a run's outcome."""
    found = {"python": python_version()}
    for library in _LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


def _events(workspace: Workspace, name: str, should_stop: Callable[[], bool]) -> Iterator[Event]:
    """Yield the run's events; whatever breaks it becomes the last one."""
    runs = RunStore(workspace)
    try:
        from core.training.loop import train

        row = runs.find(name)
        dataset = DatasetStore(workspace).load(row["content_hash"])
        job = make_job(plan_run(dataset, runs.settings(name), workspace), name, workspace)
        wishes = Wishes(runs, name)
        yield from train(job, lambda: should_stop() or wishes.stop(), wishes.pause)
    except UserError as error:
        yield RunFailed(runs.find(name)["step"], str(error))
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "memory" not in str(error).lower():
            yield RunFailed(runs.find(name)["step"], f"A fault in Fuata or its libraries: {error}")
            raise
        yield RunFailed(runs.find(name)["step"], "Out of memory: lower the batch size or the longest row, or use LoRA.")
    except OSError as error:
        yield RunFailed(runs.find(name)["step"], f"The run could not be written down ({error}): make room and resume it.")
    except Exception as error:
        yield RunFailed(runs.find(name)["step"], f"A fault in Fuata or its libraries: {error!r}")
        raise


def _lock_file(workspace: Workspace, name: str) -> Path:
    return workspace.run_folder(name) / ".lock"


def _stem(word: str) -> str:
    """Return a short name for a model or style that may be a path."""
    tail = word.rstrip("/").split("/")[-1].removesuffix(".jinja")
    return "".join(c if c.isalnum() and c.isascii() else "-" for c in tail).strip("-")[:24] or "run"
