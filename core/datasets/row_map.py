"""A map of rows: two numbers for each, near for rows of like words. Knows no screen.

Words are weighed by TF-IDF and laid out along the two strongest directions of their truncated
singular value decomposition, latent semantic analysis (Deerwester et al. 1990, "Indexing by Latent
Semantic Analysis"), the constant one left out.
"""

import re
from collections import Counter
from collections.abc import Sequence

from core.datasets.conversation import Example

MOST_ROWS = 4_000  # on a map; of more, as many spread over the file
_WORD = re.compile(r"\w{2,}")
_MOST_WORDS = 20_000  # of the vocabulary, the most frequent
_LOOKED_AT = 4_000  # characters of a row


def lay_out_rows(examples: Sequence[Example]) -> list[tuple[Example, float, float]]:
    """Return rows with their places on the map, in the file's order; fewer than four have none."""
    import numpy as np
    from scipy import sparse
    from scipy.sparse.linalg import svds

    chosen = examples[:: -(-len(examples) // MOST_ROWS) or 1]
    words = [Counter(_WORD.findall(_text(example))) for example in chosen]
    frequency = Counter(word for counts in words for word in counts)
    vocabulary = {
        word: number
        for number, (word, count) in enumerate(frequency.most_common(_MOST_WORDS))
        if count > 1
    }
    if len(chosen) < 4 or len(vocabulary) < 4:
        return []
    entries = [
        (row, vocabulary[word], 1 + np.log(count))
        for row, counts in enumerate(words)
        for word, count in counts.items()
        if word in vocabulary
    ]
    rows, columns, values = map(np.array, zip(*entries, strict=True))
    rarity = np.log((1 + len(chosen)) / (1 + np.array([frequency[w] for w in vocabulary]))) + 1
    table = sparse.csr_matrix(
        (values * rarity[columns], (rows, columns)), shape=(len(chosen), len(vocabulary))
    )
    lengths = np.sqrt(table.multiply(table).sum(axis=1)).A1
    table = sparse.diags(1 / np.maximum(lengths, 1e-12)) @ table
    count = min(3, min(table.shape) - 1)
    # a start that is always the same, so the same rows are always laid out alike
    left, strengths, _ = svds(table, k=count, v0=np.ones(min(table.shape)))
    order = np.argsort(-strengths)
    places = (left * strengths)[:, order]
    # of a direction only the line is told: let its longest arm point upwards
    places *= np.sign(places[np.abs(places).argmax(axis=0), np.arange(count)])
    # the first direction is what all rows have in common
    x, y = (places[:, 1], places[:, 2]) if count == 3 else (places[:, 0], places[:, 1])
    return [
        (example, float(one), float(other))
        for example, one, other in zip(chosen, x, y, strict=True)
    ]


def _text(example: Example) -> str:
    return f"{example.prompt_text} {example.answer}"[:_LOOKED_AT].casefold()
