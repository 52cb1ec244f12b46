"""Prose and dialogues of others that stand beside the pocket world in pre-training. Knows where they lie and how to cut them.

The files are not part of the project; ../models/pocket/README.md names their sources and licences.
"""

import gzip
from collections.abc import Iterator
from pathlib import Path
from random import Random

_SHARES = {  # of the background's documents
    "sgd_dialogues": 0.40,
    "fairytales": 0.20,
    "african_storybook_en_ccby": 0.20,
    "books_simple_1850_1928_worldPD": 0.20,
}
_LONGEST = 1200  # characters; longer texts are cut at paragraph or sentence ends
_READ_MB = 12  # of one file


def background_documents(folder: Path, rng: Random) -> Iterator[str]:
    """Yield documents without end, drawn by share from the corpora in ``folder``.

    Raises FileNotFoundError when a corpus is missing.
    """
    corpora = {name: _read(folder / f"{name}.txt.gz") for name in _SHARES}
    while True:
        yield rng.choice(corpora[rng.choices(list(_SHARES), list(_SHARES.values()))[0]])


def _read(path: Path) -> tuple[str, ...]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        text = file.read(_READ_MB * 1_000_000)
    return tuple(piece for document in text.split("\n\n") for piece in _cut(document.strip()) if piece)


def _cut(document: str) -> Iterator[str]:
    """Cut a text into pieces of at most some hundred characters, at the ends of sentences."""
    while len(document) > _LONGEST:
        at = max(document.rfind(end, 0, _LONGEST) for end in (". ", "\n", '" '))
        at = at + 1 if at > 0 else _LONGEST
        yield document[:at].strip()
        document = document[at:].strip()
    yield document
