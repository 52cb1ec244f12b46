"""The pre-training text as one long row of token ids, documents parted by the end token, in a file
that is read in place.
"""

import io
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from core.storage.atomic_write import write_file
from data.pocket.background import background_documents
from data.pocket.documents import Prose
from data.pocket.families import load_world
from data.pocket.vocabulary import end_id, train_tokenizer

EARLY_BACKGROUND_SHARE, LATE_BACKGROUND_SHARE = 0.18, 0.08  # of the tokens
_CHUNK = 120_000  # tokens shuffled together
_TOKENIZER_WORLD_DOCUMENTS, _TOKENIZER_BACKGROUND_DOCUMENTS = 60_000, 12_000
_BATCH = 100  # documents encoded at a time
TokenIds = NDArray[np.uint16]


def make_tokenizer(corpora: Path, seed: int) -> Tokenizer:
    """Train the tokenizer on a sample of the same documents."""
    pocket = load_world()
    world = islice(
        Prose(pocket, Random(f"{seed} tokenizer")).documents(), _TOKENIZER_WORLD_DOCUMENTS
    )
    background = islice(
        background_documents(corpora, Random(f"{seed} background")), _TOKENIZER_BACKGROUND_DOCUMENTS
    )
    return train_tokenizer([*world, *background], pocket)


def write_corpus(
    path: Path, tokenizer: Tokenizer, corpora: Path, lengths: tuple[int, int], seed: int
) -> None:
    """Write ids (uint16) to ``path``: prose of the world and background, shuffled together.

    ``lengths`` counts the tokens read while the rate is high and while it falls; the latter hold
    less background and more worksheets, for what is read last is kept best (Hu et al. 2024,
    "MiniCPM", arXiv 2404.06395, section 5).
    """
    pocket = load_world()
    early = Prose(pocket, Random(f"{seed} prose")).documents()
    late = Prose(pocket, Random(f"{seed} late prose"), late=True).documents()
    background = background_documents(corpora, Random(f"{seed} corpus"))
    rng = Random(f"{seed} order")
    chunks: list[TokenIds] = []
    written = 0
    while written < sum(lengths):  # chunk by chunk: a document's neighbours are of both kinds
        prose, share = (
            (early, EARLY_BACKGROUND_SHARE)
            if written < lengths[0]
            else (late, LATE_BACKGROUND_SHARE)
        )
        pieces = [
            *_take(prose, tokenizer, _CHUNK * (1 - share)),
            *_take(background, tokenizer, _CHUNK * share),
        ]
        rng.shuffle(pieces)
        chunks.append(np.concatenate(pieces))
        written += len(chunks[-1])
    content = io.BytesIO()
    np.save(content, np.concatenate(chunks)[: sum(lengths)])
    write_file(path, content.getvalue())


def _take(documents: Iterator[str], tokenizer: Tokenizer, wanted: float) -> list[TokenIds]:
    """Return encoded documents, each with its end token, until they hold ``wanted`` tokens."""
    end, taken, count = end_id(tokenizer), [], 0
    while count < wanted:
        for encoded in tokenizer.encode_batch_fast(list(islice(documents, _BATCH))):
            taken.append(np.array([*encoded.ids, end], dtype=np.uint16))
            count += len(taken[-1])
    return taken
