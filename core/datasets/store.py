"""Dataset versions that were used: a copy by content hash and a row in the database.

Knows no run.
"""

import json
import re
import threading
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import count
from pathlib import Path
from typing import TypedDict, cast

from cachetools import LRUCache

from core.datasets.dataset import Dataset, load_dataset
from core.datasets.prompt_lists import PROMPT_LIST, load_prompt_list
from core.datasets.recipe import Recipe, apply_recipe, read_recipe
from core.datasets.splits import SplitSettings
from core.errors import SettingsError, WorkspaceError
from core.storage.atomic_write import write_file
from core.storage.workspace import Workspace, now

_CACHED = 4
_SOURCES = 2  # files as they are, from which versions are made
_HASH_CHARACTERS = 12
_LONGEST_NAME_BYTES = 120
_LONGEST_NAME = 120
VERSION_WORD = "version:"  # before the beginning of a version's hash, where a FILE is named


class DatasetRow(TypedDict):
    """One version that is kept; a test compares it with the table."""

    content_hash: str  # of the version
    name: str
    path: str  # of the file's copy, relative to the workspace
    format: str
    row_count: int
    usable: int
    split_settings: str  # JSON
    used_at: str
    source_hash: str  # of the file
    recipe: str  # JSON: what was done to its rows
    parent: str  # the version that it was made from, '' for none


class DatasetStore:
    """Keeps every version of every file that a run or a review stands on."""

    def __init__(self, workspace: Workspace) -> None:
        """Work in a workspace."""
        self._workspace = workspace
        self._database = workspace.database
        self._loaded: LRUCache[str, Dataset] = LRUCache(_CACHED)
        self._sources: LRUCache[tuple[Path, int, str], Dataset] = LRUCache(_SOURCES)
        self._lock = threading.Lock()

    def keep(self, dataset: Dataset, parent: str = "") -> str:
        """Copy the file into the workspace, once per content, note that it is used now, and return
        the version's hash.

        ``parent`` is the version that this one was made from.
        """
        target, known = self._copy_of(dataset), self._path_of(dataset)
        if known is not None and known.is_file():
            is_read_from_it = dataset.path.resolve() == known.resolve()
            if is_read_from_it or known.suffixes[-2:] == target.suffixes[-2:]:
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
            "source_hash": dataset.source_hash,
            "recipe": dataset.recipe,
        } | ({"parent": parent} if parent else {})
        with self._database.transaction() as tables:
            tables.table("datasets").upsert(row, pk="content_hash")
        # the same bytes under another ending are read otherwise
        if known is not None and known != target:
            self._move_versions(known, target)
        return dataset.content_hash

    def _move_versions(self, known: Path, target: Path) -> None:
        """Let all versions of a file be read from its new copy."""
        paths = [str(path.relative_to(self._workspace.folder)) for path in (target, known)]
        with self._database.transaction() as tables:
            tables.execute("UPDATE datasets SET path = ? WHERE path = ?", paths)
        known.unlink(missing_ok=True)
        with self._lock:
            self._loaded.clear()

    def fold_doubles(self) -> None:
        """Remove further copies of what is kept already, which earlier versions made at every
        start.
        """
        rows = self.recent(prompt_lists=True)
        kept = {(self._workspace.folder / row["path"]).resolve() for row in rows}
        hashes = {row["source_hash"][:_HASH_CHARACTERS] for row in rows}
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

    def load_named(self, word: str) -> Dataset:
        """Return the kept version that ``version:HASH`` names, by the beginning of its hash.

        Raises WorkspaceError where there is none, or several.
        """
        start = word.removeprefix(VERSION_WORD)
        rows = self._database.query("SELECT content_hash FROM datasets")
        found = [row["content_hash"] for row in rows if row["content_hash"].startswith(start)]
        if len(found) != 1 or not start:
            what = "no dataset" if not found else "several datasets"
            raise WorkspaceError(f"The workspace has {what} {word}: see This version under Data.")
        return self.load(found[0])

    def touch(self, content_hash: str) -> None:
        """Note that a dataset is used now, so that it is the first offered next time."""
        with self._database.transaction() as tables:
            tables.execute(
                "UPDATE datasets SET used_at = ? WHERE content_hash = ?", [now(), content_hash]
            )

    def recent(self, *, prompt_lists: bool = False) -> Sequence[DatasetRow]:
        """Return the kept versions, the latest used first; lists of mere ``questions``, which
        nothing learns from, on request.
        """
        found = self._database.query("SELECT * FROM datasets ORDER BY used_at DESC, name")
        rows = cast("list[DatasetRow]", found)
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
        return self._workspace.datasets / f"{dataset.source_hash[:_HASH_CHARACTERS]}-{name}"

    def _path_of(self, dataset: Dataset) -> Path | None:
        row = self._database.one(
            "SELECT path FROM datasets WHERE source_hash = ?", [dataset.source_hash]
        )
        return self._workspace.folder / row["path"] if row else None

    def _read(self, content_hash: str) -> Dataset:
        row = self._database.one(
            "SELECT name, path, format, recipe FROM datasets WHERE content_hash = ?", [content_hash]
        )
        if row is None:
            raise WorkspaceError(f"The workspace has no dataset {content_hash[:12]}.")
        path = self._workspace.folder / row["path"]
        dataset = (
            load_prompt_list(path)
            if row["format"].startswith(PROMPT_LIST)
            else self._version(path, read_recipe(row["recipe"]))
        )
        if dataset.content_hash != content_hash:
            raise WorkspaceError(f"{path} was changed since it was used: put the original back.")
        return replace(dataset, name=row["name"])

    def _version(self, path: Path, recipe: Recipe) -> Dataset:
        """Return a version of a file, whose rows are read once for all changes that are made."""
        stamp = path.stat().st_mtime_ns if path.is_file() else 0
        key = path, stamp, json.dumps(dict(recipe.mapping), sort_keys=True)
        with self._lock:
            source = self._sources.get(key)
        if source is None:
            source = load_dataset(path, recipe.mapping)
            with self._lock:
                self._sources[key] = source
        return apply_recipe(source, recipe)

    def change(self, content_hash: str, recipe: Recipe) -> str:
        """Keep another version of a kept one's file, and return its hash.

        Its name is the file's with a number; what was chosen of the splits goes with it. Raises
        UserError where the recipe does not fit.
        """
        before = self.load(content_hash)
        made = self._version(before.path, recipe)
        if self._row(made.content_hash) is None:
            made = replace(made, name=self._new_name(before.name))
            self.keep(made, parent=content_hash)
            self.choose_split(made.content_hash, self.split_settings(content_hash))
        else:
            self.touch(made.content_hash)
        return made.content_hash

    def recipe(self, content_hash: str) -> Recipe:
        """Return what was done to the rows of a version."""
        row = self._row(content_hash)
        return read_recipe(row["recipe"] if row else "{}")

    def parent(self, content_hash: str) -> str:
        """Return the version that one was made from, '' for none, or one that is gone."""
        row = self._row(content_hash)
        parent = str(row["parent"]) if row else ""
        return parent if parent and self._row(parent) is not None else ""

    def rename(self, content_hash: str, name: str) -> None:
        """Call a version otherwise. Raises WorkspaceError for a name that is empty or too long."""
        plain = " ".join(name.split())
        if not plain or len(plain) > _LONGEST_NAME:
            raise WorkspaceError(f"A dataset's name has 1 to {_LONGEST_NAME} characters.")
        with self._database.transaction() as tables:
            tables.table("datasets").update(content_hash, {"name": plain})
        with self._lock:
            self._loaded.pop(content_hash, None)

    def delete(self, content_hash: str) -> None:
        """Remove a version, and its file where no other version is made of it.

        Raises WorkspaceError while a run or a review names it.
        """
        row = self._row(content_hash)
        if row is None:
            return
        if users := self._users(content_hash):
            raise WorkspaceError(
                f"{row['name']} is used by {users}: delete these first, or keep the dataset."
            )
        with self._database.transaction() as tables:
            tables.execute("DELETE FROM datasets WHERE content_hash = ?", [content_hash])
        with self._lock:
            self._loaded.pop(content_hash, None)
        left = self._database.one("SELECT 1 FROM datasets WHERE path = ?", [row["path"]])
        if left is None:
            (self._workspace.folder / row["path"]).unlink(missing_ok=True)

    def size_bytes(self, content_hash: str) -> int:
        """Return how much of the disk a version's file takes; other versions may share it."""
        row = self._row(content_hash)
        path = self._workspace.folder / row["path"] if row else None
        return path.stat().st_size if path is not None and path.is_file() else 0

    def _row(self, content_hash: str) -> DatasetRow | None:
        row = self._database.one("SELECT * FROM datasets WHERE content_hash = ?", [content_hash])
        return cast("DatasetRow | None", row)

    def _users(self, content_hash: str) -> str:
        """Return the names of what was made of a version, '' for nothing."""
        there = {
            row["name"]
            for row in self._database.query("SELECT name FROM sqlite_master WHERE type = 'table'")
        }
        asked = {
            "run": ("runs", "SELECT name FROM runs WHERE content_hash = ? ORDER BY name"),
            "review": ("reviews", "SELECT name FROM reviews WHERE content_hash = ? ORDER BY name"),
        }
        found = [
            f"the {what} '{row['name']}'"
            for what, (table, statement) in asked.items()
            if table in there  # reviews have theirs only after the first of them
            for row in self._database.query(statement, [content_hash])
        ]
        more = [f"{len(found) - 3} more"] if len(found) > 3 else []
        return ", ".join([*found[:3], *more])

    def _new_name(self, name: str) -> str:
        """Return a file's name with the next number of a version."""
        stem = re.sub(r" \(version \d+\)$", "", name)
        rows = self._database.query("SELECT name FROM datasets")
        taken = {row["name"] for row in rows}
        numbers = (f"{stem} (version {number})" for number in count(2))
        return next(name for name in numbers if name not in taken)
