"""A dataset's rows as ids, encoded once for all who ask: a run is planned anew with every setting
that a user changes.

Knows no setting but the model's tokenizer and the style.
"""

import threading
from dataclasses import dataclass, field

from cachetools import LRUCache

from core.datasets.check import CheckReport, RowLength, check_dataset
from core.datasets.conversation import Example, RefusedRow
from core.datasets.dataset import Dataset
from core.datasets.findings import FINDINGS_STEP
from core.datasets.near_duplicates import REPEATS_STEP
from core.errors import StyleError
from core.progress import counted, watched
from core.prompts.encoder import EncodedRow, PromptEncoder
from core.text import shortened

Rows = dict[int, EncodedRow | StyleError]
TOKENS_STEP = "tokens"  # of a check, and of planning a run
# of a check, with their shares of the time as measured on 55,000 rows
_CHECK_STEPS = {TOKENS_STEP: 0.4, REPEATS_STEP: 0.45, FINDINGS_STEP: 0.15}
_KEPT = 2  # datasets; a thousand rows of a hundred tokens take half a mebibyte


@dataclass(slots=True)
class _Encoded:
    """The rows of a dataset under an encoder, or a place for them while somebody encodes them."""

    rows: Rows | None = None
    lengths: list[RowLength] | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


_kept: LRUCache[tuple[str, str, PromptEncoder], _Encoded] = LRUCache(_KEPT)
_lock = threading.Lock()  # of the index alone: nobody waits for other people's rows


def encode_dataset(dataset: Dataset, encoder: PromptEncoder) -> Rows:
    """Return all usable rows as ids by their number, in the order of the file, or why one cannot be
    written.

    Who asks for the same rows while they are being encoded waits for them.
    """
    return _encode(dataset, encoder).rows or {}


def _encode(dataset: Dataset, encoder: PromptEncoder) -> _Encoded:
    key = dataset.content_hash, dataset.format, encoder
    with _lock:
        encoded = _kept.setdefault(key, _Encoded())
    with encoded.lock:
        if encoded.rows is None:
            encoded.rows = {
                example.row: _encoded(example, encoder)
                for example in counted(dataset.examples, TOKENS_STEP)
            }
    return encoded


def measure_dataset(
    dataset: Dataset, encoder: PromptEncoder
) -> tuple[list[RowLength], tuple[RefusedRow, ...]]:
    """Return the rows' lengths in tokens, in the order of the file, and the rows that cannot be
    written so.

    Raises StyleError where none can, naming the first.
    """
    encoded = _encode(dataset, encoder)
    rows = encoded.rows or {}
    with encoded.lock:
        if encoded.lengths is None:
            encoded.lengths = [
                RowLength(
                    row.row,
                    len(row.ids),
                    row.trained.count(1),
                    "".join(sorted(encoder.lost_characters(example))),
                )
                for example in dataset.examples
                if not isinstance(row := rows[example.row], StyleError)
            ]
    unwritable = tuple(
        unwritable_row(number, row) for number, row in rows.items() if isinstance(row, StyleError)
    )
    if not encoded.lengths:
        raise StyleError(f"Row {unwritable[0].row}: {unwritable[0].reason}.")
    return encoded.lengths, unwritable


def report_on(dataset: Dataset, encoder: PromptEncoder, max_tokens: int) -> CheckReport:
    """Return the check report of a dataset under a tokenizer and a style.

    Raises StyleError where no row can be written so.
    """
    with watched(f"Checking {shortened(dataset.name, 40)}", _CHECK_STEPS):
        lengths, unwritable = measure_dataset(dataset, encoder)
        return check_dataset(dataset, lengths, max_tokens, unwritable)


def unwritable_row(number: int, error: StyleError) -> RefusedRow:
    """Return a row that a style or a tokenizer cannot write as one that is refused."""
    return RefusedRow(number, str(error).removeprefix(f"Row {number}: ").removesuffix("."))


def _encoded(example: Example, encoder: PromptEncoder) -> EncodedRow | StyleError:
    try:
        return encoder.encode_example(example)
    except StyleError as error:
        return error.with_traceback(None)
