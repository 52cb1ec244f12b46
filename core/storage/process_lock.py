"""Work that only one process may do at a time: a lock file that the operating system lets go of
when its holder dies.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from core.errors import WorkspaceError


@contextmanager
def held(path: Path, refusal: str) -> Iterator[None]:
    """Hold the lock for a block.

    Raises WorkspaceError, saying ``refusal``, when somebody else has it.
    """
    try:
        lock = _lock(path).acquire(blocking=False)
    except Timeout as error:
        raise WorkspaceError(refusal) from error
    with lock:
        yield


def is_held(path: Path) -> bool:
    """Return whether a living process, this one included, holds the lock."""
    try:
        with _lock(path).acquire(blocking=False):
            return False
    except Timeout:
        return True


def _lock(path: Path) -> FileLock:
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path, thread_local=False)
