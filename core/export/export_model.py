"""A model becomes files to take away: whole or not at all, and asked before they count.

Knows no screen. An export holds a whole model in memory, so the page lets a process of its own do
it (background.py). One is made at a time in a workspace.
"""

import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import ModelError, WorkspaceError
from core.export.choices import BYTES_OF_A_WEIGHT, ExportForm, Quantisation
from core.export.ollama import MODEL_FILE, MODELFILE, modelfile
from core.models.consistency import quantisation as how_quantised
from core.models.encoder import encoder_of
from core.models.resolve import ModelSource, find_model, max_context, read_config, read_facts
from core.processes.messages import Progress
from core.storage.atomic_write import aside_of, publish, told_by_path
from core.storage.process_lock import held
from core.storage.workspace import Workspace
from core.training.planning.cost_model import parameter_count

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

LOADING = Progress(stage="Loading the libraries and the model")
WRITING = Progress(stage="Writing the model")
_CHECKING = Progress(stage="Loading what was written, and asking it")
_PARTS = "parts"
_GIB = 2**30
_CHUNK = 2**24  # bytes that are copied at a time

Tell = Callable[[Progress], object]


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What is wanted of a model."""

    form: ExportForm
    quantisation: Quantisation = "q8_0"  # of the numbers in a GGUF file
    saved_type: str = "float32"  # of a merged model's numbers: float32, or base, that of its base
    style: str = ""  # the prompt style it is to be asked in; '' for the one it was tuned with


def export_model(
    workspace: Workspace,
    word: str,
    options: ExportOptions,
    target: Path,
    tell: Tell = lambda _: None,
) -> None:
    """Write a model to ``target``, whole or not at all; ``tell`` is given what is done just now.

    ``target`` becomes a folder; a zip of it where it ends in .zip; a GGUF file alone where that is
    wanted and it ends in .gguf. What was written is loaded again and asked before it counts. Raises
    WorkspaceError when the target is there already, another export goes on or the disk is too
    small, ModelError or StyleError where the model cannot be written so.
    """
    source = find_model(word, workspace)
    check_exportable(source, options)
    with held(
        lock_file(workspace), "Another model is being exported in this workspace: wait for it."
    ):
        if target.exists():
            raise WorkspaceError(f"{target} is there already: give a name that is not.")
        _check_room(target, needed_bytes(source, options), is_zip=_is_zip(target))
        tell(LOADING)
        try:
            with told_by_path(target), _workshop(target) as parts:
                _Maker(source, word, options, tell).make(parts)
                _deliver(parts, target, options, tell)
        except MemoryError as error:
            raise WorkspaceError(
                "There is not enough memory for the whole model: close other programs first."
            ) from error


def check_exportable(source: ModelSource, options: ExportOptions) -> None:
    """Raise ModelError or StyleError for what is known to be impossible before weights are loaded."""
    if options.form == "adapter":
        if not source.is_adapter:
            raise ModelError(
                f"'{source.name}' has no adapter to take away: it has all its weights itself; "
                "export it as merged."
            )
        return
    if how := how_quantised(source):
        raise ModelError(
            f"The base of '{source.name}' holds its weights quantised ({how}), which cannot be "
            "written whole: put the adapter on the unquantised base and export that."
        )
    if options.form == "merged":
        return
    from core.export.gguf_layout import architecture_of
    from core.export.write_gguf import find_quantiser

    architecture_of(str(read_config(source.weights_folder).get("model_type")))
    if options.quantisation == "q4_k_m":
        find_quantiser()
    if options.form == "ollama":
        modelfile(encoder_of(source, options.style), max_context(source.weights_folder))


def needed_bytes(source: ModelSource, options: ExportOptions) -> float:
    """Return about how many bytes an export takes on the disk."""
    if options.form == "adapter":
        return sum(path.stat().st_size for path in source.folder.iterdir() if path.is_file())
    weights = parameter_count(source.weights_folder)
    if options.form == "merged":
        return weights * (4.0 if options.saved_type == "float32" else 2.0)
    halves = 2.0 if options.quantisation == "q4_k_m" else 0.0  # which are made of 16 bits
    return weights * (BYTES_OF_A_WEIGHT[options.quantisation] + halves)


def lock_file(workspace: Workspace) -> Path:
    """Return the file that is held while something is exported."""
    return workspace.folder / ".export.lock"


@contextmanager
def _workshop(target: Path) -> Iterator[Path]:
    """Give a folder to write parts in; nothing is left of it."""
    aside = aside_of(target)
    shutil.rmtree(aside, ignore_errors=True)
    parts = aside / _PARTS
    parts.mkdir(parents=True)
    try:
        yield parts
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class _Maker:
    """One export at work."""

    source: ModelSource
    word: str
    options: ExportOptions
    tell: Tell

    def make(self, parts: Path) -> None:
        """Write what is wanted into a folder, and ask it."""
        if self.options.form == "adapter":
            self.tell(WRITING)
            shutil.copytree(self.source.folder, parts, dirs_exist_ok=True)
        elif self.options.form == "merged":
            self._write_merged(parts)
        else:
            self._write_gguf(parts)

    def _load(self) -> "tuple[PreTrainedModel, torch.Tensor]":
        """Return the whole model, and the logits that it is to be known by."""
        from core.models.load import load_model
        from core.models.lora import merge_adapter
        from core.training.kernels.equivalence import probe_logits

        # a GPU that tuned it in half its bytes may be too small for all of it
        model = load_model(self.source, on_cpu=True)
        expected = probe_logits(model)
        if self.source.is_adapter:
            model = merge_adapter(model, lambda done, total: self.tell(_adding(done, total)))
        return model, expected

    def _write_merged(self, parts: Path) -> None:
        from core.models.load import load_model, saved_dtype
        from core.models.save import save_model
        from core.training.kernels.equivalence import check_outputs_match

        model, expected = self._load()
        self.tell(WRITING)
        facts = {**read_facts(self.source.folder), "merged_from": self.word}
        facts.pop("base_weights", None)  # it stands on nothing any more
        kind = saved_dtype(self.source, self.options.saved_type)

        def check(written: Path) -> None:
            self.tell(_CHECKING)
            whole = ModelSource(self.word, "folder", written, None, self.source.style)
            check_outputs_match(load_model(whole, on_cpu=True), expected, rounded=kind is not None)

        encoder = encoder_of(self.source, self.options.style)
        save_model(model, encoder, parts, facts, kept_as=kind, check=check)

    def _write_gguf(self, parts: Path) -> None:
        from core.export.write_gguf import check_gguf, write_gguf

        model, expected = self._load()
        encoder = encoder_of(self.source, self.options.style)
        path, context = parts / MODEL_FILE, max_context(self.source.weights_folder)
        kind = self.options.quantisation
        write_gguf(model, encoder, path, kind, name=self.word, context=context, tell=self.tell)
        config = model.config
        del model  # what was written takes its place in memory
        self.tell(_CHECKING)
        check_gguf(path, config, expected, kind)
        if self.options.form == "ollama":
            text = modelfile(encoder, context)
            (parts / MODELFILE).write_text(text, encoding="utf-8", newline="\n")


def _adding(done: int, total: int) -> Progress:
    return Progress(stage="Adding the adapter", done=done, total=total, unit="layer")


def _deliver(parts: Path, target: Path, options: ExportOptions, tell: Tell) -> None:
    if _is_zip(target):
        made = parts.with_name("packed")
        _pack(parts, made, target.stem, tell)
        publish(made, target)
    elif options.form == "gguf" and target.suffix.lower() == ".gguf":
        publish(parts / MODEL_FILE, target)
    else:
        publish(parts, target)


def _is_zip(target: Path) -> bool:
    return target.suffix.lower() == ".zip"


def _pack(folder: Path, path: Path, name: str, tell: Tell) -> None:
    """Write a folder's files into a zip, as they are: weights do not shrink."""
    files = sorted(one for one in folder.rglob("*") if one.is_file())
    total = sum(one.stat().st_size for one in files)
    done = 0
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as packed:
        for one in files:
            entry = zipfile.ZipInfo.from_file(one, f"{name}/{one.relative_to(folder).as_posix()}")
            with one.open("rb") as read, packed.open(entry, "w", force_zip64=True) as written:
                while chunk := read.read(_CHUNK):
                    written.write(chunk)
                    done += len(chunk)
                    tell(Progress(stage="Packing", done=done >> 20, total=total >> 20, unit="MiB"))


def _check_room(target: Path, needed: float, *, is_zip: bool) -> None:
    folder = next(parent for parent in target.absolute().parents if parent.exists())
    needed = needed * 2 if is_zip else needed
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise WorkspaceError(
            f"{folder} has {free / _GIB:.1f} GiB free, and {needed / _GIB:.1f} are needed: make room, "
            "or take a smaller kind."
        )
