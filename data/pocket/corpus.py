"""The pre-training text as one long row of token ids, documents parted by the end token, in a file that is read in place."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from data.pocket.background import background_documents
from data.pocket.documents import Prose
from data.pocket.families import load_world
from data.pocket.vocabulary import END, train_tokenizer

BACKGROUND_SHARE = 0.22  # of the tokens
_TOKENIZER_WORLD_DOCUMENTS, _TOKENIZER_BACKGROUND_DOCUMENTS = 60_000, 12_000
_BATCH = 2000  # documents encoded at a time
TokenIds = NDArray[np.uint16]


def make_tokenizer(corpora: Path, seed: int) -> Tokenizer:
    """Train the tokenizer on a sample of the same documents."""
    pocket = load_world()
    world = islice(Prose(pocket, Random(f"{seed} tokenizer")).documents(), _TOKENIZER_WORLD_DOCUMENTS)
    background = islice(background_documents(corpora, Random(f"{seed} background")), _TOKENIZER_BACKGROUND_DOCUMENTS)
    return train_tokenizer([*world, *background], pocket)


def write_corpus(path: Path, tokenizer: Tokenizer, corpora: Path, tokens: int, seed: int) -> None:
    """Write ``tokens`` ids (uint16) to ``path``: prose of the world and background, shuffled together."""
    world = Prose(load_world(), Random(f"{seed} prose")).documents()
    background = background_documents(corpora, Random(f"{seed} corpus"))
    rng = Random(f"{seed} order")
    chunks: list[TokenIds] = []
    while sum(len(chunk) for chunk in chunks) < tokens:  # chunk by chunk: a document's neighbours are of both kinds
        pieces = [
            *_take(world, tokenizer, 120_000 * (1 - BACKGROUND_SHARE)),
            *_take(background, tokenizer, 120_000 * BACKGROUND_SHARE),
        ]
        rng.shuffle(pieces)
        chunks.append(np.concatenate(pieces))
    np.save(path, np.concatenate(chunks)[:tokens])


def _take(documents: Iterator[str], tokenizer: Tokenizer, wanted: float) -> list[TokenIds]:
    """Return encoded documents, each with its end token, until they hold ``wanted`` tokens."""
    end, taken, count = tokenizer.token_to_id(END), [], 0
    while count < wanted:
        for encoded in tokenizer.encode_batch_fast(list(islice(documents, _BATCH // 20))):
            taken.append(np.array([*encoded.ids, end], dtype=np.uint16))
            count += len(taken[-1])
    return taken
