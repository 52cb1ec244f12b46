"""One SQLite file, opened so that what is acknowledged is on disk.

Knows no table: stores bring their migrations.
"""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from sqlite_utils import Database as SqliteUtils
from sqlite_utils import Migrations

from core.errors import WorkspaceError
from core.text import shortened

Parameters = Sequence[Any] | dict[str, Any]
_PATIENCE_S = 15.0  # how long another program's transaction is waited for
# a file so large is looked through in a tenth of a second or so
_QUICKLY_CHECKED_BYTES = 64 * 2**20


class Database:
    """A connection shared by all threads of the process; every use of it is serialised by one lock.

    WAL with ``synchronous=FULL``: a transaction that returned has been fsync'd, and other processes
    may read meanwhile.
    """

    def __init__(self, path: Path) -> None:
        """Open or create the file, and look through its pages where that takes no time.

        Raises WorkspaceError when it is no SQLite database, is damaged, is another program's, or
        cannot be opened now.
        """
        self._path = path
        with _explained(path):
            connection = sqlite3.connect(path, check_same_thread=False, timeout=_PATIENCE_S)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA foreign_keys=ON")
        self._tables = SqliteUtils(connection)
        self._lock = threading.RLock()
        if path.stat().st_size <= _QUICKLY_CHECKED_BYTES:
            self.check()

    def check(self) -> None:
        """Look through all pages. Raises WorkspaceError when one is damaged."""
        with self._lock, _explained(self._path):
            found = self._tables.conn.execute("PRAGMA quick_check(1)").fetchone()
        if found[0] != "ok":
            raise WorkspaceError(_damaged(self._path, str(found[0])))

    def migrate(self, migrations: Migrations) -> None:
        """Bring one set of tables up to date.

        Raises WorkspaceError when a newer Fuata has been here, when the tables are another
        program's, or nothing can be written.
        """
        try:
            with (
                self._lock,
                FileLock(self._path.with_name(".migrating.lock"), timeout=4 * _PATIENCE_S),
                _explained(self._path),
            ):
                self._check_ours(migrations)
                migrations.apply(self._tables)
        except Timeout as error:
            raise WorkspaceError(
                f"{self._path} is being brought up to date by another program: try again."
            ) from error
        except OSError as error:
            raise WorkspaceError(
                f"{self._path} cannot be brought up to date ({error.strerror}): make room on the "
                "disk."
            ) from error

    def _check_ours(self, migrations: Migrations) -> None:
        # all of the set
        known = {migration.name for migration in migrations.pending(SqliteUtils(memory=True))}
        applied = [migration.name for migration in migrations.applied(self._tables)]
        if newer := [name for name in applied if name not in known]:
            raise WorkspaceError(
                f"{self._path} was written by a newer Fuata ({newer[-1]}): use that version, or "
                "give another workspace."
            )
        if (names := self._tables.table_names()) and migrations.migrations_table not in names:
            raise WorkspaceError(
                f"{self._path} is another program's database (it has a table '{names[0]}'): give "
                "another workspace folder."
            )

    @contextmanager
    def transaction(self) -> Iterator[SqliteUtils]:
        """Hold the lock and a transaction: all of it is on disk afterwards, or none.

        The transaction asks for the right to write at once, so it waits for another process instead
        of failing after its first read. Raises WorkspaceError when the database cannot be written.
        """
        with self._lock, _explained(self._path):
            self._tables.conn.execute("BEGIN IMMEDIATE")
            with _finished(self._tables):
                yield self._tables

    def query(self, sql: str, parameters: Parameters = ()) -> list[dict[str, Any]]:
        """Return the rows of a SELECT.

        Raises WorkspaceError when the file is damaged or cannot be read.
        """
        with self._lock, _explained(self._path):
            return list(self._tables.query(sql, parameters))

    def one(self, sql: str, parameters: Parameters = ()) -> dict[str, Any] | None:
        """Return the first row of a SELECT, or None."""
        rows = self.query(sql, parameters)
        return rows[0] if rows else None

    def scalar(self, sql: str, parameters: Parameters = ()) -> Any:
        """Return the first column of a SELECT's first row, as of an aggregate, or None where there
        is no row.
        """
        row = self.one(sql, parameters)
        return next(iter(row.values())) if row else None

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._tables.close()


@contextmanager
def _finished(tables: SqliteUtils) -> Iterator[None]:
    """Commit at the end of the block, or roll back when it raises."""
    try:
        yield
        tables.conn.execute("COMMIT")
    except BaseException:
        tables.rollback()
        raise


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what SQLite says of a file, a disk or another program into a sentence; what is wrong
    with a query stays a bug.
    """
    try:
        yield
    except sqlite3.DatabaseError as error:
        if sentence := _sentence(path, error):
            raise WorkspaceError(sentence) from error
        raise


def _sentence(path: Path, error: sqlite3.DatabaseError) -> str:
    """Return what is to be done about an error, '' for one that is nobody's to mend."""
    said = str(error)
    if type(error) is sqlite3.DatabaseError or "malformed" in said:
        return _damaged(path, said)
    if not isinstance(error, sqlite3.OperationalError):
        return ""
    if "locked" in said or "busy" in said:
        return f"{path} is held by another program ({said}): close that one, or try again."
    if any(words in said for words in ("full", "disk I/O", "unable to open", "readonly")):
        return f"{path} cannot be read or written ({said}): make room on the disk and see that the folder may be written to."
    return ""


def _damaged(path: Path, said: str) -> str:
    return f"{path} is damaged or no database ({shortened(said, 120)}): put a copy back, or move it away to start anew."
