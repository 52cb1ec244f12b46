"""A cleaned dataset, and the rows that were refused, as files that other tools read."""

import io
import json
from collections.abc import Iterator
from typing import Any

from core.datasets.choices import DatasetFormat
from core.datasets.conversation import Example
from core.datasets.dataset import Dataset
from core.errors import DataError

ENDINGS: dict[DatasetFormat, str] = {
    "messages": ".jsonl",
    "alpaca": ".json",
    "parquet": ".parquet",
}


def export_rows(dataset: Dataset, form: DatasetFormat) -> bytes:
    """Return the usable rows of a dataset as the bytes of a file.

    Raises DataError where a format cannot hold them: a row of several turns is no Alpaca row.
    """
    if form == "alpaca":
        rows = [_alpaca(example) for example in dataset.examples]
        return (json.dumps(rows, ensure_ascii=False, indent=1) + "\n").encode()
    rows = [row_object(example) for example in dataset.examples]
    if form == "parquet":
        return _parquet(rows)
    return _lines(rows)


def export_refused(dataset: Dataset) -> bytes:
    """Return the rows that are left out as JSON lines, each with its number and reason."""
    return _lines([{"row": one.row, "reason": one.reason} for one in dataset.refused])


def _lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def _facts(example: Example) -> Iterator[tuple[str, str | bool]]:
    if example.split:
        yield "split", example.split
    if example.category:
        yield "category", example.category
    if example.drafted:
        yield "drafted", True


def row_object(example: Example) -> dict[str, Any]:
    """Return an example as a row of messages, of a preference's fields, or of plain text."""
    if example.is_text:
        return {"text": example.answer, **dict(_facts(example))}
    messages = []
    for turn in example.turns:
        text = f"{turn.text}\n\n{turn.input}" if turn.input else turn.text
        message: dict[str, Any] = {"role": turn.role, "content": text}
        if not turn.trained:
            message["weight"] = 0
        messages.append(message)
    if example.rejected:
        *prompt, answer = messages
        rejected = {"role": "assistant", "content": example.rejected}
        return {"prompt": [_unweighted(one) for one in prompt], "chosen": [answer],
                "rejected": [rejected], **dict(_facts(example))}  # fmt: skip
    return {"messages": messages, **dict(_facts(example))}


def _unweighted(message: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in message.items() if name != "weight"}


def _alpaca(example: Example) -> dict[str, str | bool]:
    turns = [turn for turn in example.turns if turn.role != "system"]
    if len(turns) != 2 or example.rejected:
        raise DataError(
            f"Row {example.row} has several turns or a rejected answer, which an Alpaca row cannot "
            "hold: export as messages."
        )
    system = {"system": example.turns[0].text} if len(turns) < len(example.turns) else {}
    return {
        "instruction": turns[0].text,
        "input": turns[0].input,
        "output": turns[1].text,
        **system,
        **dict(_facts(example)),
    }


def _parquet(rows: list[dict[str, Any]]) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    buffer = io.BytesIO()
    # one name for every column of any row, so that rows without one have a null there
    names = list(dict.fromkeys(name for row in rows for name in row))
    parquet.write_table(
        pa.Table.from_pylist([{name: row.get(name) for name in names} for row in rows]), buffer
    )
    return buffer.getvalue()
