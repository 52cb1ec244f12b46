"""Exports that were begun from the page, each in a process of its own; they end with the app.

Knows no screen.
"""

import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import WorkspaceError
from core.export.choices import ExportForm
from core.export.export_model import (
    LOADING,
    WRITING,
    ExportOptions,
    check_exportable,
    lock_file,
    needed_bytes,
)
from core.models.resolve import find_model
from core.processes.supervisor import ChildProcess
from core.progress import TimeLeft, about_time
from core.storage.atomic_write import aside_of
from core.storage.process_lock import is_held
from core.storage.workspace import Workspace
from core.training.planning.cost_model import LIBRARIES_MIB, PEFT_MIB, parameter_count

LOG_FILE = "export.log"
_ENDINGS: dict[ExportForm, str] = {
    "merged": "-merged.zip",
    "adapter": "-adapter.zip",
    "gguf": "-{numbers}.gguf",
    "ollama": "-ollama-{numbers}.zip",
}
_MIB = 2**20
_IN_MEMORY = 4  # bytes of a weight


@dataclass(frozen=True, slots=True)
class MadeFile:
    """A model that was made to take away."""

    path: Path
    size: int  # bytes


@dataclass(slots=True)
class _Export:
    process: ChildProcess
    target: Path
    weights_mib: float  # in memory
    expected_mib: float  # of what is written
    left: TimeLeft = field(default_factory=TimeLeft)
    end: str = ""  # what is to be said of it, once it has ended without a model


class ExportJobs:
    """The exports of one workspace's runs."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._exports: dict[str, _Export] = {}
        self._lock = threading.Lock()

    def start(self, name: str, options: ExportOptions) -> None:
        """Make a run's best model into a file to take away; one of that kind is made anew.

        Raises WorkspaceError when an export goes on, ModelError or StyleError when the model cannot
        be written so.
        """
        with self._lock:
            self.check_idle(name)
            source = find_model(name, self._workspace)
            check_exportable(source, options)
            folder = self._workspace.exported_models(name)
            ending = _ENDINGS[options.form].format(numbers=options.quantisation)
            target = folder / f"{name}{ending}"
            target.unlink(missing_ok=True)
            words = [
                "export",
                "--model",
                name,
                "--as",
                options.form,
                "--out",
                str(target.resolve()),
            ]
            words += ["--quantization", options.quantisation, "--saved-type", options.saved_type]
            words += ["--workspace", str(self._workspace.folder.resolve())]
            log = self._workspace.run_folder(name) / LOG_FILE
            weights_mib = _IN_MEMORY * parameter_count(source.weights_folder) / _MIB
            process = ChildProcess(words, log)
            self._exports[name] = _Export(
                process, target, weights_mib, needed_bytes(source, options) / _MIB
            )

    def stop(self, name: str) -> None:
        """End an export; nothing is left of it."""
        if not self.is_going_on(name):
            raise WorkspaceError(f"The model of '{name}' is not being exported.")
        export = self._exports[name]
        export.process.kill()  # it has nothing to save, and what it wrote is removed here
        export.end = "The export was stopped; nothing is left of it."
        self._forget_half(export)

    def is_going_on(self, name: str) -> bool:
        """Return whether a run's model is being exported now, by us."""
        export = self._exports.get(name)
        return export is not None and export.process.is_running

    def check_idle(self, name: str) -> None:
        """Raise WorkspaceError while a run's model is being exported, or another process exports
        some model.
        """
        if self.is_going_on(name):
            raise WorkspaceError(
                f"The model of '{name}' is being exported: wait for it, or stop it."
            )
        if is_held(lock_file(self._workspace)):
            raise WorkspaceError("A model is being exported in this workspace: wait for it.")

    def forget(self, name: str) -> None:
        """Say no more of an export; another run may take its run's name."""
        self._exports.pop(name, None)

    def made(self, name: str) -> list[MadeFile]:
        """Return what there is of a run to take away."""
        paths = sorted(self._workspace.exported_models(name).glob("[!.]*"))
        return [MadeFile(path.resolve(), path.stat().st_size) for path in paths if path.is_file()]

    def status_message(self, name: str) -> str:
        """Say how far an export is, or why nothing came of it; '' where there is nothing to say."""
        export = self._exports.get(name)
        if export is None:
            return ""
        if export.process.is_running:
            return f"Exporting {export.target.name}. {self._how_far(export)} …"
        if export.process.status and not export.end:
            export.end = _failure_message(export.process)
            self._forget_half(export)
        return export.end

    def close(self) -> None:
        """End what is going on."""
        for name in [name for name in self._exports if self.is_going_on(name)]:
            self.stop(name)

    def _how_far(self, export: _Export) -> str:
        """Return what an export is doing, and how much of it is done."""
        now, whole_mib = export.process.progress(), export.weights_mib
        if now is None:
            return "Starting its process"
        if now == LOADING and whole_mib and (taken_mib := export.process.memory_mib()):
            needed_mib = LIBRARIES_MIB + PEFT_MIB + whole_mib
            return (
                f"{now}: {min(taken_mib, needed_mib):,.0f} of about {needed_mib:,.0f} MiB in memory"
            )
        if now == WRITING and export.expected_mib:
            written = min(_written_mib(export.target), export.expected_mib)
            return f"{now}: {written:,.0f} of {export.expected_mib:,.0f} MiB"
        left = export.left.seconds(now.stage, now.done, now.total)
        return f"{now}{f', {about_time(left)} left' if left is not None else ''}"

    def _forget_half(self, export: _Export) -> None:
        shutil.rmtree(aside_of(export.target), ignore_errors=True)


def _written_mib(target: Path) -> float:
    total = 0
    for path in aside_of(target).rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:  # it is renamed just now
            continue
    return total / _MIB


def _failure_message(process: ChildProcess) -> str:
    if reason := process.failure():
        return f"The export failed. {reason}"
    if process.was_killed:
        return (
            "The export was killed, as the system does when memory runs out: "
            "close other programs and export again."
        )
    return f"The export {process.describe_exit()}"
