"""Folders and files that are whole or absent. Knows nothing of what is in them."""

import errno
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError

from core.errors import WorkspaceError

_ASIDE = ".new"


@contextmanager
def written_aside(target: Path) -> Iterator[Path]:
    """Give a fresh folder to fill; on success it replaces ``target`` by renaming, on failure
    nothing is left of it.

    All files are fsync'd before the rename, so after a crash ``target`` is either the old folder or
    the new one, whole. Raises OSError where the disk gives way, whatever the library that was
    writing calls it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    aside, old = aside_of(target), target.with_name(f".{target.name}.old")
    for leftover in (aside, old):
        shutil.rmtree(leftover, ignore_errors=True)
    aside.mkdir()
    try:
        yield aside
        _sync_tree(aside)
    except BaseException as error:
        shutil.rmtree(aside, ignore_errors=True)
        if isinstance(error, SafetensorError):  # what it says of a full disk
            raise OSError(str(error)) from error
        raise
    if target.exists():
        target.rename(old)
    aside.rename(target)
    _sync(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def publish(made: Path, target: Path) -> None:
    """Give a file or folder its name, on the disk first. What has the name already is replaced where
    it is a file; a folder of that name is an OSError.
    """
    _sync_tree(made) if made.is_dir() else _sync(made)
    made.replace(target)
    _sync(target.parent)


def aside_of(target: Path) -> Path:
    """Return where a folder is written before it is whole."""
    return target.with_name(f".{target.name}{_ASIDE}")


def recover(target: Path) -> None:
    """Finish or undo a replacement that a crash interrupted between its two renames."""
    old = target.with_name(f".{target.name}.old")
    if old.exists() and not target.exists():
        with suppress(FileNotFoundError):  # another process that trains the same run has done it
            old.rename(target)


def write_file(target: Path, content: bytes) -> None:
    """Write a file aside, fsync it and rename it into place; nothing is left of a failure.

    Several may write the same file at once: the last one stays. A folder or device in its place is
    an OSError.
    """
    if target.exists() and not target.is_file():
        raise FileExistsError(errno.EEXIST, "is not a file", str(target))
    target.parent.mkdir(parents=True, exist_ok=True)
    # its own, and never longer than a name may be
    aside = target.with_name(f".{secrets.token_hex(8)}{_ASIDE}")
    try:
        aside.write_bytes(content)
        _sync(aside)
        aside.replace(target)
    except BaseException:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
        raise
    _sync(target.parent)


@contextmanager
def told_by_path(target: Path) -> Iterator[None]:
    """Turn what the system says while ``target`` is written into a sentence: a WorkspaceError."""
    try:
        yield
    except OSError as error:
        raise WorkspaceError(f"{target} cannot be written: {error.strerror or error}.") from error


def check_writable(target: Path) -> None:
    """Try whether a file could be written, before the work whose outcome it is to hold.

    Raises OSError where it could not; nothing stays behind.
    """
    if target.exists() and not target.is_file():
        raise FileExistsError(errno.EEXIST, "is not a file", str(target))
    folder = next(parent for parent in target.absolute().parents if parent.exists())
    with tempfile.TemporaryFile(dir=folder):
        pass


def remove_leftovers(folder: Path, older_than_s: float = 3600) -> None:
    """Remove what writers that were killed left in a folder; what is younger may still be written."""
    for path in folder.glob(f".*{_ASIDE}"):
        with suppress(OSError):
            if path.is_file() and time.time() - path.stat().st_mtime > older_than_s:
                path.unlink()


def _sync_tree(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        _sync(path)


def _sync(path: Path) -> None:
    if sys.platform == "win32" and path.is_dir():
        return  # no folder can be opened there
    # Windows syncs what may be written to
    descriptor = os.open(path, os.O_RDWR if sys.platform == "win32" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
