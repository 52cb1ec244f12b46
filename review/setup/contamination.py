"""Which of a review's prompts a contender has learnt, whatever file they stood in. Loads no model.

A run is followed down to the base models that are no runs: what one of them was trained on, all
that stand on it have seen.
"""

from collections.abc import Sequence
from dataclasses import replace

from core.datasets.conversation import Example
from core.datasets.near_duplicates import find_repeats
from core.datasets.splits import split_examples
from core.datasets.store import DatasetStore
from core.errors import UserError
from core.storage.workspace import Workspace
from core.training.runs.store import RunStore
from core.training.settings import read_settings

_LONGEST_LINE = 50  # runs that stand on each other


def learnt_rows(
    workspace: Workspace, word: str, examples: Sequence[Example], content_hash: str
) -> set[int]:
    """Return the rows of ``examples`` whose prompts the model of a run was trained on, letter by
    letter or nearly.

    ``content_hash`` is that of the file they are of: its own splits keep rows apart by number.
    """
    trained = _trained_on(workspace, word)
    own = {example.row for example in trained.get(content_hash, ())}
    found = {example.row for example in examples if example.row in own}
    others = [
        example for known, rows in trained.items() if known != content_hash for example in rows
    ]
    return found | _alike(examples, others)


def _trained_on(workspace: Workspace, word: str) -> dict[str, tuple[Example, ...]]:
    """Return the training rows of a run and of all runs that it stands on, by the hash of their
    file.
    """
    runs = {row["name"]: row for row in RunStore(workspace).all()}
    found: dict[str, tuple[Example, ...]] = {}
    for _ in range(_LONGEST_LINE):
        row = runs.get(word.partition("@")[0])
        if row is None:
            break
        settings = read_settings(row["settings"])
        try:
            dataset = DatasetStore(workspace).load(row["content_hash"])
            rows = split_examples(dataset.examples, settings.splits).train
        except UserError:  # the copy is gone: what stood in it nobody can tell any more
            rows = ()
        found[row["content_hash"]] = (*found.get(row["content_hash"], ()), *rows)
        word = settings.model
    return found


def _alike(examples: Sequence[Example], others: Sequence[Example]) -> set[int]:
    """Return the rows of ``examples`` that ask what one of ``others`` asks."""
    asked = {_key(other) for other in others}
    exact = {example.row for example in examples if _key(example) in asked}
    rest = [example for example in examples if example.row not in exact]
    if not rest or not others:
        return exact
    together = [
        replace(example, row=number) for number, example in enumerate((*rest, *others), start=1)
    ]
    links = find_repeats(together).links
    count = len(rest)
    return exact | {rest[min(link) - 1].row for link in links if min(link) <= count < max(link)}


def _key(example: Example) -> str:
    """Return what an example asks, without differences in white space and capitals."""
    return " ".join(example.prompt_text.split()).casefold()
