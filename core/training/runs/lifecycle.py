"""What people do to runs that are not going on: resume, extend, rename, delete.

Knows no queue and no screen.
"""

import shutil
from contextlib import suppress
from pathlib import Path

from core.errors import SettingsError, WorkspaceError
from core.models.resolve import read_facts
from core.storage.atomic_write import recover
from core.storage.workspace import Workspace
from core.training.runs.rows import RunRow
from core.training.runs.runner import is_alive
from core.training.runs.states import ACTIVE, AT_REST, RunState
from core.training.runs.store import RunStore
from core.training.settings import change_settings, read_settings


def check_resumable(workspace: Workspace, name: str) -> None:
    """Raise WorkspaceError when a run is going on or has reached its end."""
    state = RunStore(workspace).find(name)["state"]
    if state in ACTIVE and is_alive(workspace, name):
        raise WorkspaceError(f"The run '{name}' is going on already.")
    if state == RunState.FINISHED:
        raise WorkspaceError(
            f"The run '{name}' has reached its end: there is nothing to resume; extend it by "
            "more epochs."
        )
    _check_nothing_stands_on(workspace, name, "change its weights under it", kept_too=False)


def extend_run(workspace: Workspace, name: str, epochs: int) -> None:
    """Let a run have so many epochs in all, to be gone on with from its last saved state.

    From there on the learning rate is what it would be in a run planned so long. Raises
    WorkspaceError when its state is no longer there, SettingsError when it has as many epochs
    already.
    """
    row = _at_rest(workspace, name)
    _check_nothing_stands_on(workspace, name, "change its weights under it", kept_too=False)
    settings = read_settings(row["settings"])
    longer = change_settings(settings, {"epochs": epochs})
    if longer.epochs <= settings.epochs:
        raise SettingsError(
            {"epochs": f"must be more than the {settings.epochs} that the run '{name}' has"}
        )
    recover(workspace.state_folder(name))
    if row["state"] == RunState.FINISHED and not workspace.state_folder(name).is_dir():
        raise WorkspaceError(
            f"The state of the run '{name}' made room for a later run's: tune its model further, "
            f"with '{name}' as the base model."
        )
    RunStore(workspace).replace_settings(name, longer)
    RunStore(workspace).set_state(
        name, RunState.STOPPED, f"Extended from {settings.epochs} to {longer.epochs} epochs."
    )


def rename_run(workspace: Workspace, name: str, wanted: str) -> None:
    """Give a run another name.

    Raises WorkspaceError when it is going on, or something stands on it by its name.
    """
    _at_rest(workspace, name)
    runs = RunStore(workspace)
    _check_nothing_stands_on(workspace, name, "take away the name by which it is found")
    runs.check_free(wanted, besides=name)
    old, new = workspace.run_folder(name), workspace.run_folder(wanted)
    if old.exists():
        old.rename(new)
    try:
        runs.rename(name, wanted)
    except BaseException:
        with suppress(OSError):
            new.rename(old)
        raise
    shutil.rmtree(workspace.exported_models(wanted), ignore_errors=True)  # of a run long gone
    if (exported := workspace.exported_models(name)).exists():
        exported.rename(workspace.exported_models(wanted))


def _check_nothing_stands_on(
    workspace: Workspace, name: str, harm: str, *, kept_too: bool = True
) -> None:
    """Raise WorkspaceError where a run needs another, which ``harm`` would be done to.

    Without ``kept_too`` those that were tuned from a model which the other kept of a step are
    passed over.
    """
    for row in RunStore(workspace).all():
        if row["name"] != name and _stands_on(workspace, row, name, kept_too=kept_too):
            raise WorkspaceError(
                f"The run '{row['name']}' was tuned from '{name}', and this would {harm}: "
                "it must stay as it is while that one is there."
            )


def _stands_on(workspace: Workspace, row: RunRow, name: str, *, kept_too: bool) -> bool:
    """Return whether a run needs another run's model: by its name, by its folder, or through an
    adapter of it.

    One that was fully tuned to its end has all its weights itself.
    """
    settings = read_settings(row["settings"])
    if settings.method == "full" and row["state"] == RunState.FINISHED:
        return False
    base = str(read_facts(workspace.model_folder(row["name"])).get("base_model", ""))
    needed = workspace.run_folder(name) if kept_too else workspace.model_folder(name)
    words = [word for word in (settings.model, base) if word]
    named = any(word == name or (kept_too and word.partition("@")[0] == name) for word in words)
    return named or any(Path(word).resolve().is_relative_to(needed.resolve()) for word in words)


def delete_run(workspace: Workspace, name: str) -> None:
    """Remove a run, its models and all that is known of it.

    Raises WorkspaceError while it is going on.
    """
    runs = RunStore(workspace)
    runs.find(name)
    if is_alive(workspace, name):
        raise WorkspaceError(f"The run '{name}' is going on: stop it first.")
    _check_nothing_stands_on(workspace, name, "take its base away")
    runs.delete(name)
    for folder in (workspace.run_folder(name), workspace.exported_models(name)):
        shutil.rmtree(folder, ignore_errors=True)


def _at_rest(workspace: Workspace, name: str) -> RunRow:
    row = RunStore(workspace).find(name)
    if row["state"] not in AT_REST or is_alive(workspace, name):
        raise WorkspaceError(f"The run '{name}' is waiting or going on: stop it first.")
    return row
