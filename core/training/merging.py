"""Adapters and their bases become models of one piece, each in a process of its own. Knows no screen.

A merge holds a whole model in memory, so it is done where running out of it takes nobody else along: by the command line's
`core merge`, whose words tell how far it is, and which can be stopped at any moment.
"""

import json
import shutil
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.errors import ModelError, WorkspaceError
from core.models.catalogue import ModelSource, find_model, read_facts
from core.storage.folders import aside_of
from core.storage.workspace import Workspace
from core.training.estimate import parameter_count
from core.training.worker import start_command

_WRITING = "Writing the model"
_BYTES = 4  # of a number as it is written
_MIB = 2**20
LOG_FILE = "merge.log"
_KILLED = -9  # what a process that the system ended for its memory returns


def merge_run(workspace: Workspace, word: str, folder: Path, tell: Callable[[str], object] = lambda _: None) -> None:
    """Write an adapter with its base as one model into ``folder``, whole or not at all; ``tell`` is given what is done just now.

    Raises WorkspaceError when the folder is there already, ModelError when there is no adapter.
    """
    if folder.exists():
        raise WorkspaceError(f"{folder} is there already: give a folder that is not.")
    source = _find_adapter(workspace, word)
    tell("Loading the libraries and the model")
    from core.models.adapters import merge_adapter
    from core.models.loading import load_model
    from core.models.saving import save_model
    from core.prompts.encoding import load_encoder

    merged = merge_adapter(load_model(source), lambda done, layers: tell(f"Adding the adapter: layer {done} of {layers}"))
    tell(_WRITING)
    try:
        save_model(merged, load_encoder(source.folder, source.style), folder, {**read_facts(source.folder), "merged_from": word})
    except OSError as error:
        raise WorkspaceError(f"{folder} cannot be written: {error.strerror or error}.") from error


def _find_adapter(workspace: Workspace, word: str) -> ModelSource:
    source = find_model(word, workspace.find_run_model)
    if not source.is_adapter:
        raise ModelError("There is no adapter to merge: the model has all its weights already.")
    return source


@dataclass(slots=True)
class _Merge:
    process: "subprocess.Popen[bytes]"
    log: Path
    expected_mib: float  # of what is written
    is_stopped: bool = False


class MergeJobs:
    """The merges that were begun from the page; they end with the app."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._merges: dict[str, _Merge] = {}
        self._lock = threading.Lock()

    def start(self, name: str) -> None:
        """Merge a run's adapter into its base, in the run's folder.

        Raises WorkspaceError when that is done or going on already, ModelError when there is no adapter.
        """
        folder = self._workspace.merged_folder(name)
        with self._lock:
            self._check_idle(name)
            if folder.exists():
                raise WorkspaceError(f"The adapter of '{name}' is merged already: its model is in {folder.resolve()}.")
            source = _find_adapter(self._workspace, name)
            words = ["merge", "--json", "--model", name, "--out", str(folder.resolve())]
            log = self._workspace.run_folder(name) / LOG_FILE
            process = start_command([*words, "--workspace", str(self._workspace.folder.resolve())], log)
            self._merges[name] = _Merge(process, log, _BYTES * parameter_count(source.base_folder or source.folder) / _MIB)

    def stop(self, name: str) -> None:
        """End a merge; nothing is left of it."""
        merge = self._merges.get(name)
        if merge is None or merge.process.poll() is not None:
            raise WorkspaceError(f"The adapter of '{name}' is not being merged.")
        merge.is_stopped = True
        merge.process.terminate()
        merge.process.wait()
        self._forget_half(name)

    def is_going_on(self, name: str) -> bool:
        """Tell whether a run's adapter is being merged now."""
        merge = self._merges.get(name)
        return merge is not None and merge.process.poll() is None

    def check_idle(self, name: str) -> None:
        """Raise WorkspaceError while a run's adapter is being merged."""
        with self._lock:
            self._check_idle(name)

    def words(self, name: str) -> str:
        """Say how far a merge is, where its model is, or why there is none; nothing where none was wanted."""
        merge, folder = self._merges.get(name), self._workspace.merged_folder(name)
        if folder.exists():
            return f"The model with its adapter merged in is in {folder.resolve()}"
        if merge is None:
            return ""
        status, said = merge.process.poll(), _lines(merge.log)
        if status is None:
            doing = _doing(said)
            return f"Merging. {doing}{self._written(name, merge) if doing == _WRITING else ''} …"
        self._forget_half(name)
        if merge.is_stopped:
            return "The merge was stopped; nothing is left of it."
        if status == _KILLED:
            return "The merge was killed, as the system does when memory runs out: close other programs and merge again."
        reason = said[-1] if said else f"Its process ended with status {status}."
        return f"The merge failed. {reason.partition(': ')[2] or reason}"

    def close(self) -> None:
        """End what is going on."""
        for name in [name for name in self._merges if self.is_going_on(name)]:
            self.stop(name)

    def _check_idle(self, name: str) -> None:
        if self.is_going_on(name):
            raise WorkspaceError(f"The adapter of '{name}' is being merged: wait for it, or stop it.")

    def _written(self, name: str, merge: _Merge) -> str:
        aside = aside_of(self._workspace.merged_folder(name))
        written = sum(path.stat().st_size for path in aside.glob("*") if path.is_file()) / _MIB
        return f": {min(written, merge.expected_mib):,.0f} of {merge.expected_mib:,.0f} MiB" if merge.expected_mib else ""

    def _forget_half(self, name: str) -> None:
        shutil.rmtree(aside_of(self._workspace.merged_folder(name)), ignore_errors=True)


def _lines(log: Path) -> list[str]:
    return log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.is_file() else []


def _doing(said: list[str]) -> str:
    """Return what a merge told last of what it is doing; libraries say things of their own between."""
    ours = [line for line in said if line.startswith('{"doing": ') and line.endswith("}")]
    return str(json.loads(ours[-1])["doing"]) if ours else "Starting its process"
