"""A dataset's rows as ids, encoded once for all who ask: a run is planned anew with every setting that a person changes.

Knows no setting but the model's tokenizer and the style.
"""

import threading
from collections import OrderedDict

from core.data.checks import RowLength
from core.data.dataset import Dataset
from core.data.examples import Example
from core.errors import StyleError
from core.prompts.encoding import EncodedRow, PromptEncoder

_KEPT = 2  # datasets; a thousand rows of a hundred tokens take half a mebibyte
_kept: OrderedDict[tuple[str, str, PromptEncoder], dict[int, EncodedRow | StyleError]] = OrderedDict()
_lock = threading.Lock()


def encode_dataset(dataset: Dataset, encoder: PromptEncoder) -> dict[int, EncodedRow | StyleError]:
    """Return all usable rows as ids by their number, in the order of the file, or why the style cannot write one.

    Who asks while they are being encoded waits for it.
    """
    key = dataset.content_hash, dataset.format, encoder
    with _lock:
        if key not in _kept:
            _kept[key] = {example.row: _encoded(example, encoder) for example in dataset.examples}
        _kept.move_to_end(key)
        while len(_kept) > _KEPT:
            _kept.popitem(last=False)
        return _kept[key]


def measure_dataset(dataset: Dataset, encoder: PromptEncoder) -> list[RowLength]:
    """Return the rows' lengths in tokens, in the order of the file. Raises StyleError, naming the row."""
    rows = map(usable, encode_dataset(dataset, encoder).values())
    return [RowLength(row.row, len(row.ids), row.trained.count(1)) for row in rows]


def usable(found: EncodedRow | StyleError) -> EncodedRow:
    """Return a row that the style can write. Raises the StyleError that stands for it else."""
    if isinstance(found, StyleError):
        raise StyleError(str(found))
    return found


def _encoded(example: Example, encoder: PromptEncoder) -> EncodedRow | StyleError:
    try:
        return encoder.encode_example(example)
    except StyleError as error:
        return error.with_traceback(None)
