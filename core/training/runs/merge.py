"""Adapters and their bases become models of one piece, each in a process of its own.

Knows no screen. A merge holds a whole model in memory, so it is done where running out of it takes
nobody else along: by the command line's `core merge`, which reports how far it is and can be stopped
at any moment. One is made at a time in a workspace.
"""

import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from core.errors import ModelError, WorkspaceError
from core.models.consistency import quantisation
from core.models.resolve import ModelSource, find_model, read_facts
from core.processes.messages import Progress
from core.processes.supervisor import ChildProcess
from core.storage.atomic_write import aside_of, told_by_path
from core.storage.process_lock import held, is_held
from core.storage.workspace import Workspace
from core.training.planning.cost_model import LIBRARIES_MIB, PEFT_MIB, parameter_count

LOG_FILE = "merge.log"
_LOADING = Progress(stage="Loading the libraries and the model")
_WRITING = Progress(stage="Writing the model")
_CHECKING = Progress(stage="Loading what was written, and asking it")
_BYTES = 4  # of a number as it is written
_MIB = 2**20


def merge_run(
    workspace: Workspace,
    word: str,
    folder: Path,
    tell: Callable[[Progress], object] = lambda _: None,
    *,
    saved_type: str = "float32",
) -> None:
    """Write an adapter with its base as one model into ``folder``, whole or not at all; ``tell`` is
    given what is done just now.

    What was written is loaded again and asked before it counts. Raises WorkspaceError when the
    folder is there already or another merge goes on, ModelError when there is no adapter, or what
    was written answers otherwise.
    """
    source = _find_adapter(workspace, word)
    with held(
        _lock_file(workspace), "Another adapter is being merged in this workspace: wait for it."
    ):
        if folder.exists():
            raise WorkspaceError(f"{folder} is there already: give a folder that is not.")
        tell(_LOADING)
        try:
            with told_by_path(folder):
                _merge(source, word, folder, tell, saved_type)
        except MemoryError as error:
            raise WorkspaceError(
                "There is not enough memory for the whole model: close other programs first."
            ) from error


def _merge(
    source: ModelSource,
    word: str,
    folder: Path,
    tell: Callable[[Progress], object],
    saved_type: str,
) -> None:
    from core.models.encoder import encoder_of
    from core.models.load import load_model, saved_dtype
    from core.models.lora import merge_adapter
    from core.models.save import save_model
    from core.training.kernels.equivalence import check_outputs_match, probe_logits

    # a GPU that tuned it in half its bytes may be too small for all of it
    model = load_model(source, on_cpu=True)
    expected = probe_logits(model)
    merged = merge_adapter(model, lambda done, total: tell(_adding(done, total)))
    tell(_WRITING)
    facts = {**read_facts(source.folder), "merged_from": word}
    facts.pop("base_weights", None)  # it stands on nothing any more
    kind = saved_dtype(source, saved_type)

    def check(written: Path) -> None:
        tell(_CHECKING)
        whole = ModelSource(word, "folder", written, None, source.style)
        check_outputs_match(load_model(whole, on_cpu=True), expected, rounded=kind is not None)

    encoder = encoder_of(source, source.style)
    save_model(merged, encoder, folder, facts, kept_as=kind, check=check)


def _adding(done: int, total: int) -> Progress:
    return Progress(stage="Adding the adapter", done=done, total=total, unit="layer")


def _find_adapter(workspace: Workspace, word: str) -> ModelSource:
    source = find_model(word, workspace)
    if not source.is_adapter:
        raise ModelError("There is no adapter to merge: the model has all its weights already.")
    if how := quantisation(source):
        raise ModelError(
            f"The base of '{word}' holds its weights quantised ({how}), into which no adapter "
            "can be merged: "
            "put it on the unquantised base and merge there."
        )
    return source


def _lock_file(workspace: Workspace) -> Path:
    return workspace.folder / ".merge.lock"


@dataclass(slots=True)
class _Merge:
    process: ChildProcess
    expected_mib: float  # of what is written, and of the weights in memory
    end: str = ""  # what is to be said of it, once it has ended without a model


class MergeJobs:
    """The merges that were begun from the page; they end with the app."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._merges: dict[str, _Merge] = {}
        self._lock = threading.Lock()

    def start(self, name: str) -> None:
        """Merge a run's adapter into its base, in the run's folder.

        Raises WorkspaceError when that is done already or a merge goes on, ModelError when there is
        no adapter.
        """
        folder = self._workspace.merged_folder(name)
        with self._lock:
            self.check_idle(name)
            if folder.exists():
                raise WorkspaceError(
                    f"The adapter of '{name}' is merged already: its model is in "
                    f"{folder.resolve()}."
                )
            source = _find_adapter(self._workspace, name)
            where = ["--out", str(folder.resolve())]
            where += ["--workspace", str(self._workspace.folder.resolve())]
            log = self._workspace.run_folder(name) / LOG_FILE
            process = ChildProcess(["merge", "--model", name, *where], log)
            expected_mib = _BYTES * parameter_count(source.weights_folder) / _MIB
            self._merges[name] = _Merge(process, expected_mib)

    def stop(self, name: str) -> None:
        """End a merge; nothing is left of it."""
        if not self.is_going_on(name):
            raise WorkspaceError(f"The adapter of '{name}' is not being merged.")
        merge = self._merges[name]
        merge.process.kill()  # it has nothing to save, and what it wrote is removed here
        merge.end = "The merge was stopped; nothing is left of it."
        self._forget_half(name)

    def is_going_on(self, name: str) -> bool:
        """Return whether a run's adapter is being merged now, by us."""
        merge = self._merges.get(name)
        return merge is not None and merge.process.is_running

    def check_idle(self, name: str) -> None:
        """Raise WorkspaceError while a run's adapter is being merged, or another process merges
        some adapter.
        """
        if self.is_going_on(name):
            raise WorkspaceError(
                f"The adapter of '{name}' is being merged: wait for it, or stop it."
            )
        if is_held(_lock_file(self._workspace)):
            raise WorkspaceError("An adapter is being merged in this workspace: wait for it.")

    def forget(self, name: str) -> None:
        """Say no more of a merge; another run may take its run's name."""
        self._merges.pop(name, None)

    def status_message(self, name: str) -> str:
        """Say how far a merge is, where its model is, or why there is none; nothing where none was
        wanted.
        """
        merge, folder = self._merges.get(name), self._workspace.merged_folder(name)
        if folder.exists():
            return f"The model with its adapter merged in is in {folder.resolve()}"
        if merge is None:
            return ""
        if merge.process.is_running:
            return f"Merging. {self._how_far(name, merge)} …"
        if merge.process.status and not merge.end:
            merge.end = _failure_message(merge.process)
            self._forget_half(name)
        return merge.end  # none where it was merged, and the run went on since

    def close(self) -> None:
        """End what is going on."""
        for name in [name for name in self._merges if self.is_going_on(name)]:
            self.stop(name)

    def _how_far(self, name: str, merge: _Merge) -> str:
        """Return what a merge is doing, and how much of it is done."""
        now, whole_mib = merge.process.progress(), merge.expected_mib
        if now is None:
            return "Starting its process"
        if now == _LOADING and whole_mib and (taken_mib := merge.process.memory_mib()):
            needed_mib = LIBRARIES_MIB + PEFT_MIB + whole_mib
            share = f"{min(taken_mib, needed_mib):,.0f} of about {needed_mib:,.0f} MiB in memory"
            return f"{now}: {share}"
        if now == _WRITING and whole_mib:
            return f"{now}: {min(self._written_mib(name), whole_mib):,.0f} of {whole_mib:,.0f} MiB"
        return str(now)

    def _written_mib(self, name: str) -> float:
        files = aside_of(self._workspace.merged_folder(name)).glob("*")
        with suppress(OSError):  # it is renamed just now
            return sum(path.stat().st_size for path in files) / _MIB
        return 0.0

    def _forget_half(self, name: str) -> None:
        shutil.rmtree(aside_of(self._workspace.merged_folder(name)), ignore_errors=True)


def _failure_message(process: ChildProcess) -> str:
    if reason := process.failure():
        return f"The merge failed. {reason}"
    if process.was_killed:
        return (
            "The merge was killed, as the system does when memory runs out: "
            "close other programs and merge again."
        )
    return f"The merge {process.describe_exit()}"
