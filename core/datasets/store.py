"""Dataset versions that were used: a copy by content hash and a row in the database.

Knows no run.
"""

import json
import threading
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from cachetools import LRUCache

from core.datasets.dataset import Dataset, load_dataset
from core.datasets.prompt_lists import PROMPT_LIST, load_prompt_list
from core.datasets.splits import SplitSettings
from core.errors import SettingsError, WorkspaceError
from core.storage.atomic_write import write_file
from core.storage.workspace import Workspace, now

_CACHED = 4
_HASH_CHARACTERS = 12
_LONGEST_NAME_BYTES = 120


class DatasetStore:
    """Keeps every version of every file that a run or a review stands on."""

    def __init__(self, workspace: Workspace) -> None:
        """Work in a workspace."""
        self._workspace = workspace
        self._database = workspace.database
        self._loaded: LRUCache[str, Dataset] = LRUCache(_CACHED)
        self._lock = threading.Lock()

    def keep(self, dataset: Dataset) -> str:
        """Copy the file into the workspace, once per content, note that it is used now, and return
        its hash.
        """
        target, known = self._copy_of(dataset), self._path_of(dataset.content_hash)
        if known is not None and known.is_file() and known.suffixes[-2:] == target.suffixes[-2:]:
            target = known
        if not target.is_file():
            write_file(target, dataset.path.read_bytes())
        row = {
            "content_hash": dataset.content_hash,
            "name": dataset.name,
            "path": str(target.relative_to(self._workspace.folder)),
            "format": dataset.format,
            "row_count": dataset.row_count,
            "usable": len(dataset.examples),
            "used_at": now(),
        }
        with self._database.transaction() as tables:
            tables.table("datasets").upsert(row, pk="content_hash")
        # the same bytes under another ending are read otherwise
        if known is not None and known != target:
            known.unlink(missing_ok=True)
            with self._lock:
                self._loaded.pop(dataset.content_hash, None)
        return dataset.content_hash

    def fold_doubles(self) -> None:
        """Remove further copies of what is kept already, which earlier versions made at every
        start.
        """
        rows = self.recent(prompt_lists=True)
        kept = {(self._workspace.folder / row["path"]).resolve() for row in rows}
        hashes = {row["content_hash"][:_HASH_CHARACTERS] for row in rows}
        for path in self._workspace.datasets.glob("*-*"):
            if path.resolve() not in kept and path.name[:_HASH_CHARACTERS] in hashes:
                path.unlink(missing_ok=True)

    def load(self, content_hash: str | None) -> Dataset:
        """Read a kept version again.

        Raises WorkspaceError when none is chosen or the copy is gone or was changed.
        """
        if not content_hash:
            raise WorkspaceError("Choose a dataset first.")
        with self._lock:
            dataset = self._loaded.get(content_hash)
        if dataset is None:  # read without the lock: nobody waits for another file
            dataset = self._read(content_hash)
            with self._lock:
                self._loaded[content_hash] = dataset
        return dataset

    def touch(self, content_hash: str) -> None:
        """Note that a dataset is used now, so that it is the first offered next time."""
        with self._database.transaction() as tables:
            tables.execute(
                "UPDATE datasets SET used_at = ? WHERE content_hash = ?", [now(), content_hash]
            )

    def recent(self, *, prompt_lists: bool = False) -> Sequence[dict[str, Any]]:
        """Return the kept versions, the latest used first; lists of mere ``questions``, which
        nothing learns from, on request.
        """
        rows = self._database.query("SELECT * FROM datasets ORDER BY used_at DESC, name")
        return [row for row in rows if prompt_lists or not row["format"].startswith(PROMPT_LIST)]

    def split_settings(self, content_hash: str) -> SplitSettings:
        """Return the shares and seed chosen for a dataset, or the defaults."""
        row = self._database.one(
            "SELECT split_settings FROM datasets WHERE content_hash = ?", [content_hash]
        )
        return SplitSettings(**json.loads(row["split_settings"])) if row else SplitSettings()

    def choose_split(self, content_hash: str, settings: SplitSettings) -> None:
        """Remember the shares and seed for a dataset.

        Raises SettingsError when they are out of range.
        """
        if problems := settings.problems():
            raise SettingsError(problems)
        with self._database.transaction() as tables:
            tables.table("datasets").update(
                content_hash, {"split_settings": json.dumps(asdict(settings))}
            )

    def _copy_of(self, dataset: Dataset) -> Path:
        """Return where a file's copy belongs: its hash, and as much of its name as a file system
        takes.
        """
        name = dataset.name
        while len(name.encode()) > _LONGEST_NAME_BYTES:
            name = name[1:]  # the ending tells how it is read
        return self._workspace.datasets / f"{dataset.content_hash[:_HASH_CHARACTERS]}-{name}"

    def _path_of(self, content_hash: str) -> Path | None:
        row = self._database.one("SELECT path FROM datasets WHERE content_hash = ?", [content_hash])
        return self._workspace.folder / row["path"] if row else None

    def _read(self, content_hash: str) -> Dataset:
        row = self._database.one(
            "SELECT name, path, format FROM datasets WHERE content_hash = ?", [content_hash]
        )
        if row is None:
            raise WorkspaceError(f"The workspace has no dataset {content_hash[:12]}.")
        path = self._workspace.folder / row["path"]
        dataset = (
            load_prompt_list(path) if row["format"].startswith(PROMPT_LIST) else load_dataset(path)
        )
        if dataset.content_hash != content_hash:
            raise WorkspaceError(f"{path} was changed since it was used: put the original back.")
        return replace(dataset, name=row["name"])
