"""Prose and dialogues of others that stand beside the pocket world in pre-training.

Knows where they lie and how to cut them.
The files are not part of the project; ../models/pocket/README.md names their sources and licences.
"""

import gzip
from collections.abc import Iterator
from pathlib import Path
from random import Random

_SHARES = {  # of the background's documents, each of some hundred words
    "sgd_dialogues": 0.40,
    "fairytales": 0.20,
    "african_storybook_en_ccby": 0.20,
    "books_simple_1850_1928_worldPD": 0.20,
}
_LONGEST = 1200  # characters of a document
_READ_CHARACTERS = 12_000_000  # of one file


def background_documents(folder: Path, rng: Random) -> Iterator[str]:
    """Yield documents without end, drawn by share from the corpora in ``folder``.

    Raises FileNotFoundError when a corpus is missing.
    """
    corpora = {name: _read(folder / f"{name}.txt.gz") for name in _SHARES}
    while True:
        yield rng.choice(corpora[rng.choices(list(_SHARES), list(_SHARES.values()))[0]])


def _read(path: Path) -> tuple[str, ...]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        text = file.read(_READ_CHARACTERS)
    return tuple(
        _joined(
            piece for paragraph in text.split("\n\n") for piece in _cut(paragraph.strip()) if piece
        )
    )


def _joined(paragraphs: Iterator[str]) -> Iterator[str]:
    """Join neighbours as long as the document stays short enough: a book is read by the page, not
    by the line.
    """
    page = ""
    for paragraph in paragraphs:
        if page and len(page) + len(paragraph) > _LONGEST:
            yield page
            page = ""
        page = f"{page}\n\n{paragraph}" if page else paragraph
    if page:
        yield page


def _cut(paragraph: str) -> Iterator[str]:
    """Cut a long paragraph into pieces, at the ends of sentences, else between words."""
    while len(paragraph) > _LONGEST:
        at = max(paragraph.rfind(end, 0, _LONGEST) for end in (". ", "\n", '" '))
        at = at if at > 0 else max(paragraph.rfind(" ", 0, _LONGEST), 0)
        at = at + 1 or _LONGEST
        yield paragraph[:at].strip()
        paragraph = paragraph[at:].strip()
    yield paragraph
