"""A dataset's rows as ids, encoded once for all who ask: a run is planned anew with every setting that a person changes.

Knows no setting but the model's tokenizer and the style.
"""

import threading
from collections import OrderedDict

from core.data.checks import RowLength
from core.data.dataset import Dataset
from core.prompts.encoding import EncodedRow, PromptEncoder

_KEPT = 2  # datasets; a thousand rows of a hundred tokens take half a mebibyte
_kept: OrderedDict[tuple[str, str, PromptEncoder], tuple[EncodedRow, ...]] = OrderedDict()
_lock = threading.Lock()


def encode_dataset(dataset: Dataset, encoder: PromptEncoder) -> tuple[EncodedRow, ...]:
    """Return all usable rows as ids, in the order of the file. Raises StyleError, naming the row.

    Who asks while they are being encoded waits for it.
    """
    key = dataset.content_hash, dataset.format, encoder
    with _lock:
        if key not in _kept:
            _kept[key] = tuple(map(encoder.encode_example, dataset.examples))
        _kept.move_to_end(key)
        while len(_kept) > _KEPT:
            _kept.popitem(last=False)
        return _kept[key]


def measure_dataset(dataset: Dataset, encoder: PromptEncoder) -> list[RowLength]:
    """Return the rows' lengths in tokens, in the order of the file. Raises StyleError, naming the row."""
    return [RowLength(row.row, len(row.ids), row.trained.count(1)) for row in encode_dataset(dataset, encoder)]
