"""Files of every kind with bytes changed: rows, or one sentence; nothing hangs and nothing is lost.

More cases, of real files: ``benchmarks/hostile_files.py --mutations``.
"""

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import ipc

from core.datasets.dataset import load_dataset
from core.datasets.export import export_rows
from core.errors import UserError
from tests.unit.test_readers import arrow_bytes, parquet_bytes, workbook_bytes, zip_bytes

ROWS = [
    {"instruction": "Sema “habari”, Ö!", "output": "Nzuri, 谢谢"},
    {"instruction": "Two\nlines", "output": 'a "quoted", word'},
]
TALK = [{"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]}]
CELLS = [["instruction", "output"], *[list(row.values()) for row in ROWS]]
TABLE = 'instruction,output\n"Sema, Ö",Nzuri\n"Two\nlines","a ""quoted"" word"\n'
FILES = {
    "a.json": json.dumps(ROWS, ensure_ascii=False).encode(),
    "b.jsonl": "\n".join(json.dumps(row) for row in [*ROWS, *TALK]).encode(),
    "c.csv": TABLE.encode(),
    "d.csv": TABLE.encode("utf-16"),
    "e.tsv": TABLE.replace(",", "\t").encode("cp1252"),
    "f.jsonl.gz": gzip.compress(json.dumps(ROWS[0]).encode()),
    "g.parquet": parquet_bytes(ROWS),
    "h.arrow": arrow_bytes(ROWS, ipc.new_stream),
    "i.xlsx": workbook_bytes(CELLS),
    "j.zip": zip_bytes({"train.json": json.dumps(ROWS).encode(), "test.csv": TABLE.encode()}),
    "k.txt": b"<s>[INST] Q [/INST] A </s>",
    "l.json": json.dumps({"train": TALK, "test": ROWS}).encode(),
}
CHANGES = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255), st.sampled_from("=+-")),
    min_size=1,
    max_size=6,
)


@pytest.mark.parametrize("name", list(FILES))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=CHANGES)
def test_a_changed_file_is_read_or_refused_and_no_row_is_lost(
    name: str, tmp_path: Path, changes: list[tuple[float, int, str]]
) -> None:
    content = bytearray(FILES[name])
    for place, byte, how in changes:
        at = int(place * len(content))
        content[at : at + (how != "+")] = b"" if how == "-" else bytes([byte])
    path = tmp_path / name
    path.write_bytes(content)
    sentence, dataset = "", None
    try:
        dataset = load_dataset(path)
    except UserError as error:
        sentence = str(error)
    if dataset is None:
        assert 10 < len(sentence) < 700 and "\n" not in sentence
        return
    numbers = sorted([*(x.row for x in dataset.examples), *(x.row for x in dataset.refused)])
    assert numbers == list(range(1, dataset.row_count + 1))
    assert export_rows(dataset, "messages").count(b"\n") == len(dataset.examples)
