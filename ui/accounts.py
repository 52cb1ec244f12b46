"""Who may sign in, as what, and who has: passwords as Argon2 hashes, sessions in memory.

Knows no request. A line of the accounts file is ``name:password`` for a reviewer or ``owner
name:password`` for an owner; passwords written plainly are replaced by their hashes when the file
is read.
"""

import logging
import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from core.errors import ReviewError, WorkspaceError
from core.storage.atomic_write import write_file
from review.domain.rating import check_reviewer

log = logging.getLogger(__name__)
Role = Literal["owner", "reviewer"]
_HASHED = "$argon2"
_SESSION_S = 12 * 3600.0  # without a request
_MOST_SESSIONS = 1000
_FREE_TRIES = 5  # failures of one address or one name before it has to wait
_LONGEST_WAIT_S = 300.0
_MOST_NOTED = 10_000  # addresses and names whose failures are remembered


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who may sign in."""

    name: str
    role: Role
    hashed: str  # Argon2's text form, salt and cost in it


class Accounts:
    """The accounts of one file, and the sessions of those who signed in.

    Safe to use from many threads.
    """

    def __init__(self, accounts: list[Account]) -> None:
        """Nobody is signed in."""
        self._by_name = {account.name.casefold(): account for account in accounts}
        self._hasher = PasswordHasher()
        self._sessions: OrderedDict[str, tuple[Account, float]] = OrderedDict()
        # how many, and until when to wait
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()
        # verified for unknown names, so that they take as long
        self._nobody = self._hasher.hash(secrets.token_hex(8))
        self._lock = threading.Lock()

    def wait_s(self, name: str, address: str) -> float:
        """Return how many seconds a name or an address has to wait before it may try again; 0 for
        none.
        """
        with self._lock:
            ends = [self._failures.get(key, (0, 0.0))[1] for key in _keys(name, address)]
        return max(max(ends) - time.monotonic(), 0.0)

    def sign_in(self, name: str, password: str, address: str) -> str | None:
        """Return the token of a new session, or None for a wrong name or password, which is logged
        and slows the next try.
        """
        account = self._by_name.get(" ".join(name.split()).casefold())
        try:
            self._hasher.verify(account.hashed if account else self._nobody, password)
        except (Argon2Error, InvalidHashError):
            account = None
        with self._lock:
            if account is None:
                self._note_failure(name, address)
                return None
            for key in _keys(name, address):
                self._failures.pop(key, None)
            token = secrets.token_urlsafe(32)
            self._sessions[token] = account, time.monotonic() + _SESSION_S
            while len(self._sessions) > _MOST_SESSIONS:
                self._sessions.popitem(last=False)
        log.warning("%s signed in as %s from %s", account.name, account.role, address)
        return token

    def find(self, token: str) -> Account | None:
        """Return who a token was given to, as long as the session lasts."""
        with self._lock:
            account, until = self._sessions.get(token, (None, 0.0))
            if account is None or until < time.monotonic():
                self._sessions.pop(token, None)
                return None
            self._sessions[token] = account, time.monotonic() + _SESSION_S
            self._sessions.move_to_end(token)
            return account

    def sign_out(self, token: str) -> None:
        """End a session."""
        with self._lock:
            self._sessions.pop(token, None)

    def _note_failure(self, name: str, address: str) -> None:
        for key in _keys(name, address):
            count = self._failures.pop(key, (0, 0.0))[0] + 1
            wait_s = (
                min(2.0 ** (count - _FREE_TRIES), _LONGEST_WAIT_S) if count >= _FREE_TRIES else 0.0
            )
            self._failures[key] = count, time.monotonic() + wait_s
        while len(self._failures) > _MOST_NOTED:
            self._failures.popitem(last=False)
        log.warning("Refused: a wrong name or password for %r from %s", name[:64], address)


def read_accounts(path: Path) -> Accounts:
    """Return the accounts of a file, replacing passwords that stand in it plainly by their hashes.

    Raises WorkspaceError when it names nobody, nobody as owner, or has a bad line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise WorkspaceError(
            f"The accounts file {path} cannot be read: give a text file."
        ) from error
    hasher, accounts, written = PasswordHasher(), list[Account](), list[str]()
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            written.append(line)
            continue
        account = _read_line(line.strip(), f"{path} line {number}", hasher)
        accounts.append(account)
        written.append(f"{account.role} {account.name}:{account.hashed}")
    _check(accounts, path)
    if written != lines:
        _rewrite(path, written)
    return Accounts(accounts)


def _read_line(line: str, where: str, hasher: PasswordHasher) -> Account:
    who, colon, password = line.partition(":")
    first, _, rest = who.strip().partition(" ")
    role: Role = "owner" if first == "owner" and rest.strip() else "reviewer"
    name = rest if first in {"owner", "reviewer"} and rest.strip() else who
    if not colon or not password:
        raise WorkspaceError(f"{where} is not 'name:password' or 'owner name:password'.")
    try:
        name = check_reviewer(name)
    except ReviewError as error:
        raise WorkspaceError(f"{where}: {error}") from error
    return Account(name, role, password if password.startswith(_HASHED) else hasher.hash(password))


def _check(accounts: list[Account], path: Path) -> None:
    if not accounts:
        raise WorkspaceError(
            f"{path} names nobody: write an 'owner name:password' line, and a 'name:password' "
            "for each reviewer."
        )
    names = [account.name.casefold() for account in accounts]
    if len(set(names)) < len(names):
        raise WorkspaceError(f"{path} names somebody twice: give each person one line.")
    if not any(account.role == "owner" for account in accounts):
        raise WorkspaceError(
            f"{path} names no owner, who alone may train, upload and see results: write 'owner' "
            "and a space before one of "
            "the names."
        )


def _rewrite(path: Path, lines: list[str]) -> None:
    try:
        mode = path.stat().st_mode & 0o777
        write_file(path, ("\n".join(lines) + "\n").encode())
        path.chmod(mode & 0o600)
        log.warning("The passwords in %s are kept as hashes now", path)
    except OSError as error:
        log.warning(
            "%s cannot be written (%s): its passwords stay as they stand there",
            path,
            error.strerror,
        )


def _keys(name: str, address: str) -> tuple[str, str]:
    return f"name {name[:64].casefold()}", f"address {address}"
