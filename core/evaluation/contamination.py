"""Whether a benchmark's questions stand in the rows that a run was trained on.

A question of eight words or more counts as seen where half of its runs of eight words stand there
(n-gram overlap, as Brown et al., arXiv 2005.14165, appendix C, with longer runs); a shorter one where
a row asks it letter by letter, case and punctuation aside. Knows no model.
"""

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress

from core.datasets.conversation import Example
from core.datasets.splits import split_examples
from core.datasets.store import DatasetStore
from core.errors import WorkspaceError
from core.storage.workspace import Workspace
from core.training.runs.store import RunStore
from core.training.settings import read_settings

_GRAM = 8  # words
_SEEN_SHARE = 0.5  # of a question's grams
_WORD = re.compile(r"\w+")


class TrainingText:
    """What rows of training say, to look questions up in."""

    def __init__(self, examples: Iterable[Example]) -> None:
        """Read all turns of rows."""
        self._grams: set[int] = set()
        self._whole: set[str] = set()
        for example in examples:
            for turn in example.turns:
                # Alpaca's input belongs to its question, and may be the whole of a passage
                for text in {f"{turn.text} {turn.input}", turn.input}:
                    words = _words(text)
                    self._grams.update(_grams(words))
                    self._whole.add(" ".join(words))

    def holds(self, question: str) -> bool:
        """Return whether a question stands in those rows."""
        words = _words(question)
        if not words:
            return False
        grams = _grams(words)
        if not grams:
            return " ".join(words) in self._whole
        return sum(gram in self._grams for gram in grams) >= _SEEN_SHARE * len(grams)


def training_text_of(workspace: Workspace, model: str) -> TrainingText | None:
    """Return what a run was trained on; None for a model that no run of this workspace made, or whose
    datasets are gone. A run that stands on another has read that one's rows, too.
    """
    name = model.partition("@")[0]
    examples: list[Example] = []
    seen: set[str] = set()
    while name not in seen and _is_run(workspace, name):
        seen.add(name)
        row = RunStore(workspace).find(name)
        settings = read_settings(row["settings"])
        with suppress(WorkspaceError):  # its dataset may be gone
            dataset = DatasetStore(workspace).load(row["content_hash"])
            examples += split_examples(dataset.examples, settings.splits).train
        name = settings.model.partition("@")[0]  # it may stand on another run
    return TrainingText(examples) if examples else None


def _is_run(workspace: Workspace, name: str) -> bool:
    return workspace.database.one("SELECT 1 FROM runs WHERE name = ?", [name]) is not None


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _grams(words: Sequence[str]) -> list[int]:
    return [hash(tuple(words[at : at + _GRAM])) for at in range(len(words) - _GRAM + 1)]
