"""Whether any file brings ``core check`` to a traceback, to a gibibyte of memory or to ten seconds
of CPU.

    python benchmarks/hostile_files.py [--files 10000] [--json]

Mutants of the samples and of a few rows in every shape, under every ending, and files made to harm:
bombs, a million blanks, rows without end, brackets without end. Each is checked as the command line
does it, in a process that may take no more than it may.
"""

import argparse
import gzip
import io
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import openpyxl
import pyarrow as pa
from pyarrow import ipc, parquet

sys.path.insert(0, str(Path(__file__).parents[1]))

_ROOT = Path(__file__).parents[1]
_MOST_CPU_S = 10
_MOST_MIB = 1024
_SEED = 20261126
_ENDINGS = (".json", ".jsonl", ".csv", ".tsv", ".json.gz", ".jsonl.gz", ".csv.gz")
_NASTY = (
    b"\x00",
    b"\xff\xfe",
    b"\\ud800",
    b"\xe2\x80\xa8",
    b"\x1b[2J",
    b"{{",
    b"}}",
    b"[INSERT",
    b"<TODO",
    b"[[",
    b"{" * 50,
    b'"' * 3,
    b"," * 200,
    b"\n" * 200,
    b" " * 5000,
    b"\r",
    b"9" * 5000,
    b"1e999",
    b"NaN",
    b"null",
    b"true",
    b"'",
    b"=cmd|",
    "𝒳́🙂".encode(),
    b"%s%n",
)


def main() -> None:
    """Print what became of the files, and of the worst of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        # bombs first: a process is told to have taken what the one that started it had taken
        made = [run_alone(path) for path in write_bombs(Path(folder))]
        mutants = run_all(write_mutants(Path(folder), chosen.files))
    found = {"mutants": mutants, "made to harm": made}
    print(json.dumps(found) if chosen.json else json.dumps(found, indent=1))


def run_all(files: Iterator[Path], size: int = 250) -> dict[str, object]:
    """Check many files, so many in a process; return how they ended."""
    counts = {"files": 0, "used": 0, "refused in a sentence": 0, "tracebacks": 0}
    worst: dict[str, object] = {
        "longest_sentence": 0,
        "most_mib": 0.0,
        "most_cpu_s": 0.0,
        "at_fault": [],
    }
    batch: list[Path] = []
    for path in files:
        batch.append(path)
        if len(batch) == size:
            _add(_run(batch), counts, worst)
            batch = []
    if batch:
        _add(_run(batch), counts, worst)
    return {**counts, **worst}


def run_alone(path: Path) -> dict[str, object]:
    """Check one file by the command line itself; return its status, time and memory."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, __file__, "--one", str(path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=_ROOT,
        preexec_fn=_bounded,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    told = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 and done.stdout else {}
    return {
        "file": path.name,
        "bytes": path.stat().st_size,
        "status": done.returncode,
        "said": told.get("said", done.stderr.strip().splitlines()[-1:]),
        "cpu_s": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
        "mib": told.get("mib"),
    }


def _bounded() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (4 * _MOST_CPU_S, 4 * _MOST_CPU_S))


def _run(paths: list[Path]) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, __file__, "--batch", *map(str, paths)],
        capture_output=True,
        text=True,
        check=False,
        cwd=_ROOT,
    )
    if done.returncode:
        return {"crashed": done.stderr[-2000:], "results": []}
    told: dict[str, object] = json.loads(done.stdout)
    return told


def _add(told: dict[str, object], counts: dict[str, int], worst: dict[str, object]) -> None:
    at_fault = worst["at_fault"]
    assert isinstance(at_fault, list)
    if "crashed" in told:
        at_fault.append(told["crashed"])
        counts["tracebacks"] += 1
    results = told["results"]
    assert isinstance(results, list)
    for result in results:
        counts["files"] += 1
        counts[result["end"]] += 1
        worst["longest_sentence"] = max(int(str(worst["longest_sentence"])), len(result["said"]))
        worst["most_cpu_s"] = max(float(str(worst["most_cpu_s"])), result["cpu_s"])
        if result["end"] == "tracebacks" or result["cpu_s"] > _MOST_CPU_S:
            at_fault.append(result)
    worst["most_mib"] = max(float(str(worst["most_mib"])), float(str(told.get("mib", 0))))


def write_mutants(folder: Path, count: int) -> Iterator[Path]:
    """Yield mutated files, each overwriting none."""
    rng, texts, tables = random.Random(_SEED), _seeds(), _tables()
    for number in range(count):
        # every third one is of a format that is no text, under its own ending
        table = rng.choice(tables) if number % 3 == 0 else None
        content = bytearray(table[1] if table else rng.choice(texts))
        for _ in range(rng.randrange(1, 8)):
            _mutate(content, rng)
        ending = table[0] if table else rng.choice(_ENDINGS)
        path = folder / f"mutant-{number}{ending}"
        path.write_bytes(
            gzip.compress(bytes(content), 1) if ending.endswith(".gz") else bytes(content)
        )
        yield path


def _mutate(content: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(content) + 1)
    kind = rng.randrange(5)
    if kind == 0:
        content[at : at + rng.randrange(1, 40)] = b""
    elif kind == 1:
        content[at:at] = rng.choice(_NASTY)
    elif kind == 2:
        content[at : at + 1] = bytes([rng.randrange(256)])
    elif kind == 3:
        other = rng.randrange(len(content) + 1)
        content[at:at] = content[other : other + rng.randrange(1, 400)]
    else:
        content[at:at] = rng.choice(_NASTY) * rng.randrange(1, 30)


def _seeds() -> list[bytes]:
    rows: list[dict[str, object]] = [
        {"instruction": "Say A.", "input": "", "output": "A", "category": "x", "split": "train"},
        {"prompt": "Say B.", "completion": "B", "label": True},
        {
            "messages": [
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Ho", "weight": 1},
            ]
        },
        {
            "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"}],
            "system": "Be brief.",
        },
        {"instruction": "Say C.", "context": "now", "response": "C", "history": [["a", "b"]]},
    ]
    seeds = [json.dumps([row] * 3).encode() for row in rows]
    seeds += ["".join(json.dumps(row) + "\n" for _ in range(3)).encode() for row in rows]
    seeds += [
        b'instruction,input,output\nSay A.,,A\nSay B.,"x, y",B\n',
        b"prompt\tcompletion\na\tb\n",
    ]
    sample = json.loads(
        (_ROOT / "data" / "samples" / "conversations.json").read_text(encoding="utf-8")
    )
    return [*seeds, json.dumps(sample[:20]).encode()]


def _tables() -> list[tuple[str, bytes]]:
    """Return files of every format that is no plain text, each with its ending."""
    rows = [{"instruction": "Say A.", "output": "A, ö"}, {"instruction": "Say B.", "output": "B"}]
    text = "instruction,output\nSay A.,ö\nSay B.,B\n"
    members = {"train.json": json.dumps(rows), "test/b.csv": text}
    return [
        (".parquet", _written(lambda file: parquet.write_table(pa.Table.from_pylist(rows), file))),
        (".arrow", _written(lambda file: _write_arrow(rows, file))),
        (".xlsx", _written(_workbook([["instruction", "output"], ["Say A.", "A"]]).save)),
        (".zip", _zipped({name: content.encode() for name, content in members.items()})),
        (".csv", text.encode("utf-16")),
        (".csv", text.encode("cp1252")),
        (".txt", b"<s>[INST] Q [/INST] A </s>\n" * 3),
    ]


def _written(write: Callable[[io.BytesIO], object]) -> bytes:
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def _write_arrow(rows: list[dict[str, str]], file: io.BytesIO) -> None:
    table = pa.Table.from_pylist(rows)
    with ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)


def _workbook(lines: Iterable[list[object]]) -> openpyxl.Workbook:
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet()
    for line in lines:
        sheet.append(line)
    return book


def _zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _binary_bombs() -> dict[str, bytes]:
    """Return archives and tables that are made to harm."""
    wide = _workbook([[None] * 16_383 + ["x"]] * 1_500)
    indices = pa.array([0] * 3_000, pa.int32())
    long = pa.DictionaryArray.from_arrays(indices, pa.array(["a" * 2**26]))
    same = pa.table({"instruction": long, "output": ["b"] * 3_000})
    nulls = pa.table({"output": pa.nulls(900_000)})
    book = zipfile.ZipFile(io.BytesIO(_written(_workbook([["a", "b"]]).save)))
    laughs = b"".join(b'<!ENTITY l%d "%s">' % (n + 1, b"&l%d;" % n * 10) for n in range(9))
    evil = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY l0 "ha">' + laughs + b"]><x>&l9;</x>"
    return {
        "zeros.zip": _zipped({"a.jsonl": bytes(2**29)}),
        "many.zip": _zipped({f"{n}.json": b"[]" for n in range(5_000)}),
        "up.zip": _zipped({"../../a.json": b'[{"instruction": "a", "output": "b"}]'}),
        "zeros.xlsx": _zipped({"xl/workbook.xml": bytes(2**29)}),
        "wide.xlsx": _written(wide.save),
        "laughs.xlsx": _zipped(
            {name: evil if "sheet1" in name else book.read(name) for name in book.namelist()}
        ),
        "same.parquet": _written(lambda file: parquet.write_table(same, file, compression="zstd")),
        "nulls.parquet": _written(lambda file: parquet.write_table(nulls, file)),
    }


def write_bombs(folder: Path) -> Iterator[Path]:
    """Yield files that are made to harm."""
    row = b'{"instruction":"a","output":"b"}\n'
    for name, content in _binary_bombs().items():
        yield _saved(folder / name, content)
    made = {
        "zeros.jsonl.gz": gzip.compress(bytes(2**30), 9),
        "spaces.json.gz": gzip.compress(b" " * 2**30, 9),
        "empty-lists.json.gz": gzip.compress(b"[" + b"[]," * 30_000_000 + b"[]]", 9),
        "numbers.json.gz": gzip.compress(b"[" + b"1," * 60_000_000 + b"1]", 9),
        "tiny-rows.jsonl.gz": gzip.compress(b"{}\n" * 60_000_000, 9),
        "tiny-cells.csv.gz": gzip.compress(b"a,b\n" * 60_000_000, 9),
        "twice.jsonl.gz": gzip.compress(gzip.compress(row * 1000)),
        "empty-lists.json": b"[" + b"[]," * 4_000_000 + b"[]]",
        "million-blank-rows.jsonl": row + b" \n" * 1_000_000,
        "million-empty-objects.jsonl": b"{}\n" * 1_000_000,
        "million-blanks.json": json.dumps(
            [{"instruction": "a" + " " * 1_000_000 + "b", "output": "c"}, json.loads(row)]
        ).encode(),
        "nested.json": b"[" * 2_000_000,
        "nested-row.jsonl": row + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"\n",
        "columns.csv": (
            ",".join(f"c{n}" for n in range(100_000)) + "\n" + "," * 99_999 + "\n"
        ).encode(),
        "commas.csv": b"," * 2_000_000 + b"\n",
        "placeholders.json": json.dumps(
            [{"instruction": "[INSERT" * 150_000, "output": "<TODO" * 150_000}]
        ).encode(),
        "alike.json": json.dumps(
            [{"instruction": " ".join(_words(n)), "output": "x"} for n in range(1000)]
        ).encode(),
        "turns.json": json.dumps(
            [{"messages": [{"role": r, "content": "x"} for r in ("user", "assistant") * 10_000]}]
        ).encode(),
        "field-name.json": json.dumps([{"x" * 1_000_000: 1}]).encode(),
        "role.json": json.dumps(
            [{"messages": [{"role": "y" * 1_000_000, "content": "z"}]}]
        ).encode(),
    }
    for name, content in made.items():
        yield _saved(folder / name, content)


def _saved(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _words(number: int) -> list[str]:
    rng = random.Random(number)
    return rng.sample([f"word{n}" for n in range(2000)], 1800)


def _check_one(path: Path) -> dict[str, object]:
    """Check a file as the command line does; return how it ended, in this process."""
    from contextlib import redirect_stderr, redirect_stdout
    from io import StringIO

    from core.cli.main import main as core_main

    out, said = StringIO(), StringIO()
    started = time.process_time()
    try:
        with redirect_stdout(out), redirect_stderr(said):
            status = core_main(
                ["check", str(path), "--workspace", os.environ["FUATA_FUZZ_WORKSPACE"], "--json"]
            )
        end = "used" if status == 0 else "refused in a sentence"
        if status not in {0, 2} or (status == 2 and said.getvalue().count("\n") != 1):
            end = "tracebacks"
    except BaseException as error:  # whatever comes through is what this looks for
        end, said = "tracebacks", StringIO(f"{type(error).__name__}: {error}")
    return {
        "file": path.name,
        "end": end,
        "said": said.getvalue()[:2000],
        "cpu_s": round(time.process_time() - started, 2),
    }


def _mib() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 0)


if __name__ == "__main__":
    if sys.argv[1:2] in (["--batch"], ["--one"]):
        with tempfile.TemporaryDirectory() as workspace:
            os.environ["FUATA_FUZZ_WORKSPACE"] = workspace
            ended = [_check_one(Path(word)) for word in sys.argv[2:]]
        if sys.argv[1] == "--one":
            print(json.dumps({**ended[0], "mib": _mib()}))
        else:
            print(json.dumps({"results": ended, "mib": _mib()}))
    else:
        main()
