"""The menu of benchmarks: suites, and those that users made."""

from collections.abc import Collection
from pathlib import Path

from core.evaluation.layouts.folder import DataFolder
from core.evaluation.own_benchmarks import PREFIX
from core.evaluation.suites import SUITES
from ui.services import Choice, Services


def suite_choices(services: Services, found: Collection[str] = ()) -> list[Choice]:
    """Return all benchmarks, users' own first; those whose data a folder holds are said to be there."""
    own = [(f"{one.name} (yours)", f"{PREFIX}{one.name}") for one in services.own_benchmarks.all()]
    return own + [
        (f"{one.title}{' · in the folder' if name in found else ''}", name)
        for name, one in SUITES.items()
    ]


def suites_in(folder: str) -> set[str]:
    """Return the suites some of whose data lie in a folder; none for what is no folder."""
    path = Path(folder.strip()).expanduser()
    if not folder.strip() or not path.is_dir():
        return set()
    data = DataFolder(path)
    return {name for name, one in SUITES.items() if any(map(data.find, one.found_by))}
