"""Files that a browser sent: only those, whatever path a request names, and gone once they were
taken.
"""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import DataError
from core.storage.workspace import Workspace


@contextmanager
def taken(path: str | None, workspace: Workspace) -> Iterator[Path]:
    """Give an uploaded file for a block and remove it afterwards, whatever becomes of it.

    Raises DataError for any other path, in the same words whether there is such a file or not: a
    request may name any.
    """
    home = workspace.uploads.resolve()
    try:
        file = Path(path or "").resolve()
        is_ours = file.is_relative_to(home) and file.is_file()
    except (OSError, ValueError):
        is_ours = False
    if not is_ours:
        raise DataError("That file was not uploaded here: choose it again.")
    try:
        yield file
    finally:
        file.unlink(missing_ok=True)
        if file.parent != home and not any(file.parent.iterdir()):
            file.parent.rmdir()


@contextmanager
def scratch_folder(workspace: Workspace) -> Iterator[Path]:
    """Give an empty folder for a block, which is gone with all that is in it afterwards."""
    folder = workspace.uploads / secrets.token_hex(8)
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
