"""Every kind of file that people bring becomes rows, and what was guessed or mended is said."""

import gzip
import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pytest
from pyarrow import ipc, parquet

from core.datasets.dataset import Dataset, load_dataset
from core.datasets.readers import raw as limits
from core.datasets.readers.archive import pack
from core.datasets.readers.read_file import read_file
from core.errors import DataError

ROWS = [{"instruction": f"Say {n}", "output": f"It is {n}"} for n in range(1, 4)]
ANSWERS = [row["output"] for row in ROWS]


def save(path: Path, content: str | bytes, encoding: str = "utf-8") -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


def answers(dataset: Dataset) -> list[str]:
    return [example.answer for example in dataset.examples]


def as_bytes(write: Callable[[Any], object]) -> bytes:
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def parquet_bytes(rows: list[dict[str, Any]], **options: Any) -> bytes:
    return as_bytes(lambda file: parquet.write_table(pa.Table.from_pylist(rows), file, **options))


def arrow_bytes(rows: list[dict[str, Any]], kind: Callable[..., Any]) -> bytes:
    table = pa.Table.from_pylist(rows)

    def write(file: Any) -> None:
        with kind(file, table.schema) as writer:
            writer.write_table(table)

    return as_bytes(write)


def workbook_bytes(rows: list[list[Any]], *more: list[list[Any]]) -> bytes:
    book = openpyxl.Workbook()
    for number, cells in enumerate([rows, *more]):
        sheet = book.active if number == 0 else book.create_sheet(f"Other {number}")
        for line in cells:
            sheet.append(line)
    return as_bytes(book.save)


def zip_bytes(members: dict[str, bytes]) -> bytes:
    def write(file: Any) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                # of one date, for these bytes stand in the names of tests
                member = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
                archive.writestr(member, content, zipfile.ZIP_DEFLATED)

    return as_bytes(write)


COLUMNS = {name: [row[name] for row in ROWS] for name in ROWS[0]}
PRETTY = "\n".join(json.dumps(row, indent=2) for row in ROWS)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("parts.json", json.dumps({"train": ROWS[:2], "test": ROWS[2:]})),
        ("columns.json", json.dumps(COLUMNS)),
        ("pandas.json", json.dumps({k: dict(enumerate(v)) for k, v in COLUMNS.items()})),
        ("split.json", json.dumps({"columns": list(COLUMNS), "index": [0, 1, 2],
                                   "data": [list(row.values()) for row in ROWS]})),
        ("viewer.json", json.dumps({"features": [{"name": "instruction"}], "rows": [
            {"row_idx": n, "row": row, "truncated_cells": []} for n, row in enumerate(ROWS)]})),
        ("wrapped.json", json.dumps({"data": {"train": ROWS}})),
        ("python.jsonl", "\n".join(map(str, ROWS))),
        ("ids.json", json.dumps(dict(enumerate(ROWS)))),
        ("named.json", json.dumps({"version": 1, "data": ROWS})),
        ("pretty.jsonl", PRETTY),
        ("pretty.json", PRETTY),
        ("array.jsonl", json.dumps(ROWS)),
        ("long-array.jsonl", json.dumps(ROWS, indent=1)),
        ("one-line.jsonl", "".join(json.dumps(row) for row in ROWS)),
        ("comma.json", json.dumps(ROWS)[:-1] + ",\n]"),
        ("commas.json", json.dumps(ROWS).replace("}", ",}")),
        ("no-list.json", ",\n".join(json.dumps(row, indent=1) for row in ROWS)),
        ("marked.jsonl", "\ufeff" + "\n\ufeff".join(json.dumps(row) for row in ROWS)),
        ("crlf.jsonl", "\r\n".join(json.dumps(row) for row in ROWS)),
    ],
)  # fmt: skip
def test_json_is_read_whichever_way_it_is_laid_out(tmp_path: Path, name: str, text: str) -> None:
    dataset = load_dataset(save(tmp_path / name, text))
    assert answers(dataset) == ANSWERS and not dataset.refused


def test_a_line_separator_inside_a_text_ends_no_line(tmp_path: Path) -> None:
    row = {"instruction": "Q", "output": "one\u2028two\u0085three"}
    path = save(tmp_path / "a.jsonl", json.dumps(row, ensure_ascii=False))
    assert answers(load_dataset(path)) == [row["output"]]


def test_splits_above_the_rows_are_obeyed(tmp_path: Path) -> None:
    parts = {"train": ROWS[:1], "validation": ROWS[1:2], "test": ROWS[2:]}
    dataset = load_dataset(save(tmp_path / "parts.json", json.dumps(parts)))
    assert [example.split for example in dataset.examples] == ["train", "validation", "test"]


def test_a_mended_comma_is_said_and_one_inside_a_text_stays(tmp_path: Path) -> None:
    path = save(tmp_path / "a.json", '[{"instruction": "Q", "output": "[1,] ,}"},]')
    dataset = load_dataset(path)
    assert answers(dataset) == ["[1,] ,}"]
    assert dataset.notes == ("a comma before a closing bracket was left out",)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[{"instruction": "Q", "output": "A"}', "is not valid JSON"),
        ('{"a": [1, 2], "b": [3]}', "several lists of different lengths or kinds ('a', 'b')"),
        ("[{'instruction': 'Q', 'output': 'A'}]", "is not valid JSON"),
        ("17", "holds no list of rows"),
    ],
)
def test_json_that_has_more_than_one_reading_is_refused(
    tmp_path: Path, text: str, sentence: str
) -> None:
    with pytest.raises(DataError) as told:
        load_dataset(save(tmp_path / "a.json", text))
    assert sentence in str(told.value)


TABLE = "instruction;output\r\nSag es;Größe, Übung, schön, weiß\r\nUnd?;Füße über Äpfel\r\n"
WORDS = "Größe, Übung, schön, weiß"


@pytest.mark.parametrize("ending", ["csv", "jsonl", "json"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_other_encodings_are_found_and_said_aloud(
    tmp_path: Path, encoding: str, ending: str
) -> None:
    row = json.dumps({"instruction": "Sag es", "output": WORDS}, ensure_ascii=False)
    text = {"csv": TABLE, "jsonl": f"{row}\n{row}\n", "json": f"[{row}]"}[ending]
    dataset = load_dataset(save(tmp_path / f"a.{ending}", text, encoding))
    assert dataset.examples[0].answer == WORDS
    assert any("is no UTF-8 and was read as" in note for note in dataset.notes)


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "£5 at the café"),
        ("cp1252", "El niño comió"),
        ("cp1250", "Zażółć gęślą jaźń"),
        ("cp949", "한국어 문장입니다"),
        ("big5", "繁體中文的句子在這裡"),
        ("cp1251", "Столица Кении — Найроби, крупнейший город страны. Она лежит на высоте."),
        ("cp932", "ケニアの首都はナイロビです。とても大きい町で、高い所にあります。"),
        ("gb18030", "肯尼亚的首都是内罗毕。这是一个很大的城市,位于高原上。"),
    ],
)
def test_alphabets_of_other_encodings_are_told_apart(
    tmp_path: Path, encoding: str, text: str
) -> None:
    rows = [{"instruction": text[:8], "output": text}] * 5
    content = json.dumps(rows, ensure_ascii=False)
    assert load_dataset(save(tmp_path / "a.json", content, encoding)).examples[0].answer == text


def test_utf8_is_never_taken_for_another_encoding(tmp_path: Path) -> None:
    late = [{"instruction": "Q", "output": "a" * 700_000}, {"instruction": "Q2", "output": WORDS}]
    dataset = load_dataset(
        save(tmp_path / "a.jsonl", "\n".join(json.dumps(r, ensure_ascii=False) for r in late))
    )
    assert dataset.examples[1].answer == WORDS and not dataset.notes


def test_a_byte_that_is_no_utf8_far_into_a_file_is_found(tmp_path: Path) -> None:
    late = [{"instruction": "Q", "output": "a" * 700_000}, {"instruction": "Q2", "output": WORDS}]
    text = "\n".join(json.dumps(r, ensure_ascii=False) for r in late)
    dataset = load_dataset(save(tmp_path / "a.jsonl", text, "cp1252"))
    assert dataset.examples[1].answer == WORDS and "Windows-1252" in dataset.notes[0]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.parquet", parquet_bytes(ROWS)),
        ("a.parquet.gz", gzip.compress(parquet_bytes(ROWS))),
        ("stream.arrow", arrow_bytes(ROWS, ipc.new_stream)),
        ("file.arrow", arrow_bytes(ROWS, ipc.new_file)),
        ("a.xlsx", workbook_bytes([["instruction", "output"], *[list(r.values()) for r in ROWS]])),
        ("wrong-ending.json", parquet_bytes(ROWS)),
        ("one.zip", zip_bytes({"a.jsonl": "\n".join(map(json.dumps, ROWS)).encode()})),
        ("two.zip", zip_bytes({"a.json": json.dumps(ROWS[:1]).encode(),
                               "b/rows.csv": b"question,answer\nSay 2,It is 2\nSay 3,It is 3\n",
                               "__MACOSX/._a.json": b"\0", "README.md": b"About this"})),
        ("tables.zip", zip_bytes({"x.parquet": parquet_bytes(ROWS)})),
    ],
)  # fmt: skip
def test_tables_and_archives_are_read(tmp_path: Path, name: str, content: bytes) -> None:
    dataset = load_dataset(save(tmp_path / name, content))
    assert answers(dataset) == ANSWERS and not dataset.refused
    assert [example.row for example in dataset.examples] == [1, 2, 3]


def test_cells_of_a_workbook_are_read_as_a_user_sees_them(tmp_path: Path) -> None:
    sheet = [["Question", "Answer", None], ["How many?", 42.0, None], [None, None, None],
             ["Is it?", True, None], ["How much?", 0.5, None]]  # fmt: skip
    path = save(tmp_path / "a.xlsx", workbook_bytes(sheet, [["notes"], ["x"]]))
    dataset = load_dataset(path)
    assert answers(dataset) == ["42", "true", "0.5"]
    assert "the sheet 'Sheet' was read, and not Other 1" in dataset.notes


def test_missing_cells_of_a_table_refuse_their_row_alone(tmp_path: Path) -> None:
    rows = [*ROWS, {"instruction": "Q", "output": None}]
    dataset = load_dataset(save(tmp_path / "a.parquet", parquet_bytes(rows)))
    assert [(one.row, one.reason) for one in dataset.refused] == [
        (4, "no answer: the field 'output' is empty")
    ]


def test_files_name_their_split_and_refused_rows_their_file(tmp_path: Path) -> None:
    members = {
        "data/train-00000-of-00001.parquet": parquet_bytes(ROWS),
        "data/test-00000-of-00001.parquet": parquet_bytes([{"instruction": "T", "output": "t"}]),
        "data/dev.jsonl": b'{"instruction": "V", "output": "v"}\n{"instruction": "X"}\n',
    }
    dataset = load_dataset(save(tmp_path / "all.zip", zip_bytes(members)))
    splits = {example.answer: example.split for example in dataset.examples}
    assert splits == dict.fromkeys(ANSWERS, "train") | {"t": "test", "v": "validation"}
    assert "(data/dev.jsonl, row 2)" in dataset.refused[0].reason
    assert dataset.row_count == len(dataset.examples) + len(dataset.refused)


def test_a_member_that_cannot_be_read_is_told_of(tmp_path: Path) -> None:
    members = {"a.json": json.dumps(ROWS).encode(), "b.json": b"{"}
    dataset = load_dataset(save(tmp_path / "a.zip", zip_bytes(members)))
    assert answers(dataset) == ANSWERS
    assert dataset.notes[0].startswith("b.json: it was left out: b.json is not valid JSON")


def test_what_datasets_saves_to_disk_is_read_from_its_folder(tmp_path: Path) -> None:
    home = tmp_path / "saved"
    for split, rows in (("train", ROWS), ("test", [{"instruction": "T", "output": "t"}])):
        (home / split).mkdir(parents=True)
        save(home / split / "data-00000-of-00001.arrow", arrow_bytes(rows, ipc.new_stream))
        save(home / split / "state.json", '{"_split": "x"}')
        save(home / split / "dataset_info.json", '{"features": {}}')
    save(home / "dataset_dict.json", '{"splits": ["train", "test"]}')
    dataset = load_dataset(pack([home], tmp_path / "saved.zip"))
    splits = {example.answer: example.split for example in dataset.examples}
    assert splits == dict.fromkeys(ANSWERS, "train") | {"t": "test"}


def test_several_files_are_packed_the_same_whenever_they_are_the_same(tmp_path: Path) -> None:
    paths = [save(tmp_path / name, json.dumps(ROWS)) for name in ("b.json", "a.json")]
    one, other = (
        pack(order, tmp_path / f"{n}.zip") for n, order in enumerate((paths, paths[::-1]))
    )
    assert one.read_bytes() == other.read_bytes()
    assert len(load_dataset(one).examples) == 6
    with pytest.raises(DataError, match="Two files are called a.json"):
        pack([tmp_path / "a.json", tmp_path / "a.json"], tmp_path / "x.zip")
    with pytest.raises(DataError, match="There is no file"):
        pack([tmp_path / "nowhere.json"], tmp_path / "x.zip")


def test_tables_without_a_header_number_their_columns(tmp_path: Path) -> None:
    path = save(tmp_path / "a.csv", "What is the capital?,Nairobi.\nAnd the sea?,Indian Ocean.\n")
    with pytest.raises(DataError, match="has the fields 'column 1', 'column 2'"):
        load_dataset(path)
    said = {"instruction": "column 1", "output": "column 2"}
    dataset = load_dataset(path, said)
    assert answers(dataset) == ["Nairobi.", "Indian Ocean."]
    assert "no line with the names of its columns" in dataset.notes[0]


def test_excels_own_line_names_the_separator(tmp_path: Path) -> None:
    path = save(tmp_path / "a.csv", "sep=;\ninstruction;output\nSay a, b, c;It is\n")
    assert answers(load_dataset(path)) == ["It is"]


def test_plain_text_is_one_document_or_as_many_as_it_says(tmp_path: Path) -> None:
    one = load_dataset(save(tmp_path / "a.txt", "A lion.\n\nA hare.\n"))
    assert answers(one) == ["A lion.\n\nA hare."] and one.examples[0].is_text
    two = load_dataset(save(tmp_path / "b.txt", "A lion.\n<|endoftext|>\nA hare.\f"))
    assert answers(two) == ["A lion.", "A hare."]


def bomb() -> bytes:
    return zip_bytes({f"{n}.json": b"[" + b" " * 2**24 for n in range(9)})


def locked() -> bytes:
    content = bytearray(zip_bytes({"a.json": b"[]"}))
    place = content.index(b"PK\x01\x02")
    struct.pack_into("<H", content, place + 8, 1)
    return bytes(content)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("bomb.zip", bomb(), "grows to more than 100 times its size"),
        ("bomb.xlsx", bomb(), "grows to more than 100 times its size"),
        ("locked.zip", locked(), "is locked with a password"),
        ("none.zip", zip_bytes({"a.exe": b"MZ"}), "holds no file that can be read"),
        ("nested.zip", zip_bytes({"a.zip": zip_bytes({"a.json": b"[]"})}), "holds no file"),
        ("cut.zip", zip_bytes({"a.json": b"[]"})[:40], "is a damaged zip archive"),
        ("cut.parquet", parquet_bytes(ROWS)[:200], "is a damaged Parquet file"),
        ("cut.arrow", arrow_bytes(ROWS, ipc.new_file)[:200], "is a damaged Arrow file"),
        ("no.parquet", b"{}", "is no Parquet file"),
        ("no.xlsx", zip_bytes({"a.json": b"[]"}), "is no Excel workbook"),
        ("cut.xlsx", workbook_bytes([["a", "b"]])[:900], "is a damaged Excel workbook"),
        ("none.xlsx", workbook_bytes([]), "has no sheet with rows"),
        ("old.xlsx", b"\xd0\xcf\x11\xe0" + bytes(600), "office document of the old kind"),
        ("empty.parquet", parquet_bytes([])[:0], "is no Parquet file"),
    ],
)
def test_a_damaged_or_harmful_archive_gets_one_sentence(
    tmp_path: Path, name: str, content: bytes, sentence: str
) -> None:
    with pytest.raises(DataError, match=sentence):
        load_dataset(save(tmp_path / name, content))
    assert [path.name for path in tmp_path.iterdir()] == [name]  # nothing was unpacked


def test_names_inside_an_archive_lead_nowhere(tmp_path: Path) -> None:
    content = zip_bytes({"../../outside.json": json.dumps(ROWS).encode()})
    assert answers(load_dataset(save(tmp_path / "a.zip", content))) == ANSWERS
    assert not (tmp_path.parent.parent / "outside.json").exists()


def test_rows_of_a_table_and_an_archive_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_ROWS", 2)
    single = json.dumps(ROWS[:2]).encode()
    for name, content in (
        ("a.parquet", parquet_bytes(ROWS)),
        ("a.arrow", arrow_bytes(ROWS, ipc.new_stream)),
        ("a.xlsx", workbook_bytes([["instruction", "output"], *[["Q", "A"]] * 3])),
        ("a.zip", zip_bytes({"a.json": single, "b.json": single})),
    ):
        with pytest.raises(DataError, match="more than 2 rows"):
            read_file(save(tmp_path / name, content))


def test_quotation_marks_in_a_tab_separated_cell_are_its_own(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tsv", 'question\tanswer\n"Hi" she said\tShe said "hi"\nQ\tA\n')
    dataset = load_dataset(path)
    assert [example.prompt_text for example in dataset.examples] == ['"Hi" she said', "Q"]
    assert answers(dataset) == ['She said "hi"', "A"] and not dataset.refused
