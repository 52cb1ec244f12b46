"""Whether programs are answered, and the key that they need: made once, shown once, kept only as a
hash.
"""

import hashlib
import hmac
import secrets
from pathlib import Path

from core.storage.atomic_write import write_file

_FILE = "api-key"
_PREFIX = "fuata-"


class ApiKey:
    """The key of a workspace."""

    def __init__(self, folder: Path) -> None:
        """Look into a workspace's folder; nothing is made yet."""
        self._path = folder / _FILE

    @property
    def exists(self) -> bool:
        """Whether a key was made."""
        return self._path.is_file()

    def make(self) -> str:
        """Return a new key, in place of any before; only its hash is written down."""
        key = _PREFIX + secrets.token_urlsafe(24)
        write_file(self._path, _hash(key).encode())
        self._path.chmod(0o600)
        return key

    def fits(self, key: str) -> bool:
        """Return whether a key is the one, in a time that tells nothing of it."""
        known = self._path.read_text(encoding="ascii") if self.exists else ""
        return bool(known) and hmac.compare_digest(known, _hash(key))


class ApiAccess:
    """The door of the address for programs: shut until somebody opens it, and again at each start."""

    def __init__(self, folder: Path) -> None:
        """``folder`` is the workspace's, where the key lies."""
        self.key = ApiKey(folder)
        self.is_open = False


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
