"""One run from its row in the database to its end: an iterator of events pulled into sinks.

Knows no queue, no screen.
"""

import gc
import json
import shutil
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version

from core.datasets.dataset import Dataset
from core.datasets.store import DatasetStore
from core.errors import TrainingError, UserError
from core.models.consistency import check_loadable
from core.storage.process_lock import held, is_held
from core.storage.workspace import Workspace
from core.training.distributed import EXIT_PEER_FAILED, SINGLE_PROCESS, Group
from core.training.events import Event, RunFailed, RunFinished, Sink
from core.training.planning.plan import RunPlan, plan_run
from core.training.runs.control import ControlSignals
from core.training.runs.rows import RunRow
from core.training.runs.states import ACTIVE, RunState
from core.training.runs.store import RunStore
from core.training.settings import TrainingSettings

_LIBRARIES = ("torch", "transformers", "peft", "tiktoken", "tokenizers", "safetensors")
KILLED_MESSAGE = (
    "was killed, as the system does when memory runs out: close other programs, or start anew "
    "with a smaller batch, shorter rows "
    "or LoRA. Resume goes on from the last saved state."
)


def add_run(
    workspace: Workspace, dataset: Dataset, settings: TrainingSettings, name: str = ""
) -> str:
    """Write a new run down in the state ``queued``, keep its data, and return its name.

    Everything that can be known to be wrong is raised here, before anything is written.
    """
    return add_planned_run(workspace, dataset, plan_run(dataset, settings, workspace), name)


def add_planned_run(workspace: Workspace, dataset: Dataset, plan: RunPlan, name: str = "") -> str:
    """Write a run that is planned already down, and return its name."""
    check_loadable(plan.source)
    if name:
        RunStore(workspace).check_free(name)
    settings = replace(plan.settings, day=plan.encoder.style.day)
    content_hash = DatasetStore(workspace).keep(dataset)
    stem = f"{_stem(settings.model)}-{_stem(settings.style)}"
    return RunStore(workspace).create(name, settings, content_hash, library_versions(), stem=stem)


def execute(
    workspace: Workspace,
    name: str,
    should_stop: Callable[[], bool],
    sinks: Sequence[Sink],
    group: Group = SINGLE_PROCESS,
) -> None:
    """Train a run to its end and give every event to every sink; failures become a RunFailed event.

    Of several processes that train it together the first one tells what happens; the others only
    what breaks them.

    Besides ``should_stop``, what users request is read from the run's row, so any process may ask.
    Raises WorkspaceError when another process or thread works on the same run.
    """
    runs = RunStore(workspace)
    with ExitStack() as stack:
        lock = held(_lock_file(workspace, name), f"The run '{name}' is going on already.")
        group.broadcast_from_rank0(lambda: stack.enter_context(lock))
        if not group.is_first:
            _follow(workspace, name, should_stop, group)
            return
        # they were of the best model so far
        shutil.rmtree(workspace.exported_models(name), ignore_errors=True)
        # also clears a request of the last time; one for a queued run is for this one
        if runs.find(name)["state"] != RunState.QUEUED:
            runs.set_state(name, RunState.QUEUED)
        try:
            for event in _events(workspace, name, should_stop, group):
                _deliver(workspace, name, event, sinks)
        except (
            BaseException
        ) as error:  # a sink or the database gave way: the run must not seem to go on
            with suppress(Exception):
                # a failure that is told already stays as told
                if runs.find(name)["state"] in ACTIVE:
                    runs.set_state(
                        name,
                        RunState.INTERRUPTED,
                        f"Cut off ({error or type(error).__name__}). Resume it.",
                    )
            raise
    gc.collect()  # the model's cycles would otherwise hold its memory while the process lives


def _deliver(workspace: Workspace, name: str, event: Event, sinks: Sequence[Sink]) -> None:
    runs = RunStore(workspace)
    if isinstance(event, RunFailed) and (row := runs.find(name))["state"] == RunState.FAILED:
        # another of the run's processes said why before this one lost it
        event = replace(event, message=row["message"])
    runs.record(name, event)
    for sink in sinks:
        sink(event)
    if isinstance(event, RunFinished) and event.reason != "stopped":
        # the latest can be extended; the states of all would fill the disk
        for row in runs.in_states({RunState.FINISHED}):
            if row["name"] != name:
                shutil.rmtree(workspace.state_folder(row["name"]), ignore_errors=True)


def _follow(workspace: Workspace, name: str, should_stop: Callable[[], bool], group: Group) -> None:
    for event in _events(workspace, name, should_stop, group):
        if isinstance(event, RunFailed):
            runs = RunStore(workspace)
            if runs.find(name)["state"] in ACTIVE:  # else the first one has told why
                runs.record(name, event)
            sys.exit(EXIT_PEER_FAILED)


def is_alive(workspace: Workspace, name: str) -> bool:
    """Return whether some process works on a run; the operating system lets go of the lock when one
    dies.
    """
    return is_held(_lock_file(workspace, name))


def living_runs(workspace: Workspace) -> list[str]:
    """Return the names of the runs that some process trains now, or loads the model of."""
    rows = RunStore(workspace).in_states(ACTIVE)
    return [row["name"] for row in rows if is_alive(workspace, row["name"])]


def mark_interrupted(workspace: Workspace, states: Collection[RunState] = ACTIVE) -> list[str]:
    """Mark runs in ``states`` whose process has died, and return their names."""
    runs = RunStore(workspace)
    dead = [row["name"] for row in runs.in_states(states) if not is_alive(workspace, row["name"])]
    words = "Fuata ended while this run was going on. Resume it."
    return [
        name for name in dead if runs.set_state(name, RunState.INTERRUPTED, words, only_from=states)
    ]


def library_versions() -> dict[str, str]:
    """Return the versions that decide a run's outcome."""
    found = {"python": python_version()}
    for library in _LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


def _events(
    workspace: Workspace, name: str, should_stop: Callable[[], bool], group: Group
) -> Iterator[Event]:
    """Yield the run's events; whatever breaks it becomes the last one."""
    runs = RunStore(workspace)
    try:
        from core.training.loop.load_job import make_job
        from core.training.loop.trainer import train

        row = runs.find(name)
        dataset = DatasetStore(workspace).load(row["content_hash"])
        plan = plan_run(dataset, runs.settings(name), workspace)
        _check_identity(runs, row, plan)
        job = make_job(plan, name, workspace, group)
        signals = ControlSignals(runs, name)
        yield from train(job, lambda: should_stop() or signals.stop(), signals.pause)
    except UserError as error:
        yield RunFailed(runs.find(name)["step"], str(error))
    except (MemoryError, RuntimeError) as error:
        if group.size > 1 and any(word in str(error).lower() for word in ("gloo", "nccl")):
            yield RunFailed(
                runs.find(name)["step"],
                f"One of the {group.size} processes that train this run {KILLED_MESSAGE}",
            )
            return
        if not isinstance(error, MemoryError) and "memory" not in str(error).lower():
            yield RunFailed(
                runs.find(name)["step"],
                f"A fault in Fuata or its libraries: {error or type(error).__name__}",
            )
            raise
        yield RunFailed(
            runs.find(name)["step"],
            "Out of memory: lower the batch size or the longest row, or use LoRA.",
        )
    except OSError as error:
        yield RunFailed(
            runs.find(name)["step"],
            f"The run could not be written down ({error}): make room and resume it.",
        )
    except Exception as error:
        yield RunFailed(runs.find(name)["step"], f"A fault in Fuata or its libraries: {error!r}")
        raise


def _check_identity(runs: RunStore, row: RunRow, plan: RunPlan) -> None:
    """Keep what tells the base's weights and tokenizer and the rows from others when a run begins,
    and compare when it goes on.

    Raises TrainingError where they are others than they were: the run would end elsewhere than it
    was to.
    """
    known, found = json.loads(row["identity"] or "{}"), plan.identity
    if not known or row["step"] == 0:
        runs.set_identity(row["name"], found)
        return
    changed = [what for what in known if known[what] != found.get(what)]
    if "rows" in changed:
        raise TrainingError(
            "The dataset's rows are read or written otherwise than when this run began, as another "
            "version of Fuata may do, so it cannot go on: start a new run."
        )
    if changed:
        raise TrainingError(
            f"The {' and the '.join(changed)} of '{plan.settings.model}' changed since this run "
            "began, so it cannot go on: "
            "put the old files back, or start a new run."
        )


def _lock_file(workspace: Workspace, name: str) -> Path:
    return workspace.run_folder(name) / ".lock"


def _stem(word: str) -> str:
    """Return a short name for a model or style that may be a path."""
    tail = word.rstrip("/").split("/")[-1].removesuffix(".jinja")
    return "".join(c if c.isalnum() and c.isascii() else "-" for c in tail).strip("-")[:24] or "run"
