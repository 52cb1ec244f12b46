"""Files that a browser sent: only those, whatever path a request names, and gone once they were
taken.
"""

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
