"""The dataset that a command's files and options make."""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from core.datasets.columns import read_map_option
from core.datasets.dataset import Dataset
from core.datasets.readers.archive import pack
from core.datasets.recipe import Recipe, load_version
from core.datasets.samples import find_file
from core.datasets.store import VERSION_WORD, DatasetStore
from core.errors import SettingsError
from core.models.encoder import encoder_of
from core.models.resolve import find_model, max_context
from core.prompts.encoded_dataset import report_on
from core.storage.workspace import Workspace


@contextmanager
def opened_dataset(chosen: argparse.Namespace, words: Sequence[str]) -> Iterator[Dataset]:
    """Give the dataset that a command's files and options make.

    Several files and folders are packed into one beside the system's temporary files, for as long
    as the block. Raises UserError.
    """
    recipe = Recipe(
        mapping=read_map_option(chosen.map or ()),
        masked=tuple(sorted(chosen.mask or ())),
        answers=chosen.answers or "all",
        thoughts=chosen.thoughts or "keep",
    )
    if any(word.startswith(VERSION_WORD) for word in words):
        yield _kept(chosen, words, recipe)
        return
    paths = [find_file(word) for word in words]
    with tempfile.TemporaryDirectory(prefix="fuata-") as folder:
        path = paths[0]
        if len(paths) > 1 or path.is_dir():
            path = pack(paths, Path(folder) / _packed_name(paths))
        dataset = load_version(path, recipe)
        yield _without(dataset, recipe, chosen) if chosen.leave_out else dataset


def _kept(chosen: argparse.Namespace, words: Sequence[str], recipe: Recipe) -> Dataset:
    """Return a version that the workspace keeps; it is what it is."""
    if len(words) > 1 or not recipe.is_empty or chosen.leave_out:
        raise SettingsError(
            {
                "file": f"{words[0]} is a version as it was made: name it alone, without other options"
            }
        )
    return DatasetStore(Workspace(chosen.workspace)).load_named(words[0])


def _packed_name(paths: Sequence[Path]) -> str:
    stem = paths[0].resolve().name
    return f"{stem} and {len(paths) - 1} more.zip" if len(paths) > 1 else f"{stem}.zip"


def _without(dataset: Dataset, recipe: Recipe, chosen: argparse.Namespace) -> Dataset:
    """Return a dataset without the rows of which a check under the command's model finds something."""
    source = find_model(chosen.model, Workspace(chosen.workspace))
    context = max_context(source.weights_folder)
    report = report_on(dataset, encoder_of(source, chosen.style), context)
    found = {one.kind: one for one in report.findings}
    for kind in chosen.leave_out:
        if kind in found and found[kind].can_drop:
            recipe = recipe.leaving_out(kind, found[kind].numbers)
        elif kind not in report.kinds:
            raise SettingsError({"leave_out": f"'{kind}' is none of {', '.join(report.kinds)}"})
    return load_version(dataset.path, recipe)
