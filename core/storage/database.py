"""One SQLite file, opened so that what is acknowledged is on disk. Knows no table: stores bring their migrations."""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock
from sqlite_utils import Database as SqliteUtils
from sqlite_utils import Migrations

from core.errors import WorkspaceError

Parameters = Sequence[Any] | dict[str, Any]


class Database:
    """A connection shared by all threads of the process; every use of it is serialised by one lock.

    WAL with ``synchronous=FULL``: a transaction that returned has been fsync'd, and other processes may read meanwhile.
    """

    def __init__(self, path: Path) -> None:
        """Open or create the file. Raises WorkspaceError when it is no SQLite database."""
        try:
            connection = sqlite3.connect(path, check_same_thread=False, timeout=15)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA foreign_keys=ON")
        except sqlite3.Error as error:
            raise WorkspaceError(f"{path} cannot be opened as a database ({error}): move it away to start anew.") from error
        self._path = path
        self._tables = SqliteUtils(connection)
        self._lock = threading.RLock()

    def migrate(self, migrations: Migrations) -> None:
        """Bring one set of tables up to date."""
        with self._lock, FileLock(self._path.with_name(".migrating.lock")):  # several processes may open a workspace at once
            migrations.apply(self._tables)

    @contextmanager
    def transaction(self) -> Iterator[SqliteUtils]:
        """Hold the lock and a transaction: all of it is on disk afterwards, or none.

        The transaction asks for the right to write at once, so it waits for another process instead of failing after its
        first read. Raises WorkspaceError when the database cannot be written.
        """
        with self._lock:
            try:
                self._tables.conn.execute("BEGIN IMMEDIATE")
                with _finished(self._tables):
                    yield self._tables
            except sqlite3.OperationalError as error:
                raise WorkspaceError(f"The workspace's database cannot be written ({error}): make room or try again.") from error

    def query(self, sql: str, parameters: Parameters = ()) -> list[dict[str, Any]]:
        """Return the rows of a SELECT."""
        with self._lock:
            return list(self._tables.query(sql, parameters))

    def one(self, sql: str, parameters: Parameters = ()) -> dict[str, Any] | None:
        """Return the first row of a SELECT, or None."""
        rows = self.query(sql, parameters)
        return rows[0] if rows else None

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
