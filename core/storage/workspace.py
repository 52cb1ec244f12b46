"""The workspace: one folder that holds everything a user makes.

Knows where things lie, not what they mean.
"""

import os
import re
import shutil
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from core.errors import WorkspaceError
from core.storage import DEFAULT_FOLDER
from core.storage.atomic_write import recover, remove_leftovers
from core.storage.database import Database
from core.storage.migrations import engine_tables

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# Windows'
_DEVICES = {
    "CON",
    "PRN",
    "AUX",
    "NUL",
    *(f"{port}{number}" for port in ("COM", "LPT") for number in range(1, 10)),
}


class Workspace:
    """Paths and the database of one workspace folder."""

    def __init__(self, folder: Path = DEFAULT_FOLDER) -> None:
        """Open the folder, making it where there is none.

        Raises WorkspaceError when it cannot be used.
        """
        try:
            self.folder = folder.expanduser().resolve()
            for part in (
                self.folder,
                self.runs,
                self.datasets,
                self.exports,
                self.responses,
                self.styles,
            ):
                part.mkdir(parents=True, exist_ok=True)
            self.uploads.mkdir(mode=0o700, exist_ok=True)
        except (OSError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise WorkspaceError(
                f"The workspace {folder} cannot be made: {reason}; give another folder."
            ) from error
        if not os.access(self.folder, os.W_OK):
            raise WorkspaceError(
                f"The workspace {folder} cannot be written to: give another folder."
            )
        # a hub model that is named and not here; the page asks first
        self.fetches_at_once = True
        self.database = Database(self.folder / "fuata.db")
        self.database.migrate(engine_tables)

    @property
    def runs(self) -> Path:
        """One folder per run."""
        return self.folder / "runs"

    @property
    def datasets(self) -> Path:
        """Copies of every file used, named by content."""
        return self.folder / "datasets"

    @property
    def exports(self) -> Path:
        """Files made for the person to take away."""
        return self.folder / "exports"

    @property
    def responses(self) -> Path:
        """Files of finished responses that a user brought."""
        return self.folder / "responses"

    @property
    def judges(self) -> Path:
        """Where the words that judges are asked in lie while they are asked, and their logs."""
        return self.folder / "judges"

    @property
    def styles(self) -> Path:
        """Prompt styles that a user wrote on the page."""
        return self.folder / "styles"

    @property
    def models(self) -> Path:
        """Models that were read from another layout; made when the first is."""
        return self.folder / "models"

    @property
    def uploads(self) -> Path:
        """What a browser sent or is to fetch, until it was taken; nobody else of this machine may
        look into it.
        """
        return self.folder / "uploads"

    def tidy(self) -> None:
        """Remove what an earlier process left: uploads, and files that it was writing when it was
        killed.
        """
        for path in self.uploads.iterdir():
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(
                missing_ok=True
            )
        for folder in (self.folder, self.datasets, self.exports, self.responses):
            remove_leftovers(folder)

    def run_folder(self, name: str) -> Path:
        """Return a run's folder, whether or not it exists."""
        return self.runs / check_name(name)

    def model_folder(self, name: str) -> Path:
        """Return the folder of a run's best model, whether or not it exists."""
        return self.run_folder(name) / "model"

    def exported_models(self, name: str) -> Path:
        """Return the folder of what was made of a run's model to take away, whether or not it
        exists.
        """
        return self.exports / "models" / check_name(name)

    def state_folder(self, name: str) -> Path:
        """Return the folder of the state that a run goes on from, whether or not it exists."""
        return self.run_folder(name) / "checkpoint"

    def kept_folder(self, name: str, step: int) -> Path:
        """Return the folder of the model that a run kept of a step, whether or not it exists."""
        return self.run_folder(name) / "kept" / f"{step}"

    def kept_steps(self, name: str) -> list[int]:
        """Return the steps whose models a run kept besides its best one, in order."""
        return sorted(
            int(path.name)
            for path in (self.run_folder(name) / "kept").glob("*")
            if path.name.isdigit()
        )

    def find_run_model(self, name: str) -> Path | None:
        """Return the model folder of a run by that name, or of ``run@step``; None when there is no
        such run.

        Raises WorkspaceError when the run has no such model.
        """
        name, at, step = name.partition("@")
        if (
            not _NAME.fullmatch(name)
            or self.database.one("SELECT 1 FROM runs WHERE name = ?", [name]) is None
        ):
            return None
        if at:
            kept = {str(number): number for number in self.kept_steps(name)}
            if step not in kept:
                known = ", ".join(f"{name}@{number}" for number in kept) or "only its best"
                raise WorkspaceError(
                    f"The run '{name}' kept no model of step '{step[:20]}'; it kept {known}."
                )
            return self.kept_folder(name, kept[step])
        folder = self.model_folder(name)
        recover(folder)
        if not folder.is_dir():
            raise WorkspaceError(
                f"The run '{name}' has no model yet: let it reach its first evaluation."
            )
        return folder

    def close(self) -> None:
        """Close the database."""
        self.database.close()


def check_name(name: str) -> str:
    """Return a name fit for a folder and a table. Raises WorkspaceError otherwise."""
    if not _NAME.fullmatch(name):
        raise WorkspaceError(
            f"'{name[:80]}' cannot be a name: use up to 64 of A–Z, a–z, 0–9, dots, dashes, "
            "underscores."
        )
    return name


def check_new_name(name: str) -> str:
    """Return a name fit for a new folder on any system, for a workspace may be carried from one to
    another.

    Raises WorkspaceError otherwise.
    """
    if check_name(name).endswith(".") or name.partition(".")[0].upper() in _DEVICES:
        raise WorkspaceError(
            f"'{name}' cannot be a name: Windows knows no folder of that name. Choose another."
        )
    return name


def free_name(stem: str, names: Iterable[str]) -> str:
    """Return ``stem-N`` with the first N that makes none of ``names``, whatever their capitals."""
    taken = {name.lower() for name in names}
    return next(
        name
        for number in range(1, len(taken) + 2)
        if (name := f"{stem}-{number}").lower() not in taken
    )


def now() -> str:
    """Return the time as UTC ISO 8601 text, to the microsecond, so that what is written one after
    the other sorts so.
    """
    return datetime.now(UTC).isoformat(timespec="microseconds")
