"""Files and templates that are made to harm, and texts that break what reads them: one sentence
each, and no harm.
"""

import gzip
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from core.cli.main import main as core_main
from core.datasets.conversation import Example, Turn
from core.datasets.dataset import load_dataset
from core.datasets.findings import _PLACEHOLDER
from core.datasets.readers import raw
from core.datasets.readers import text as reader
from core.errors import DataError, ModelError, StyleError
from core.models.resolve import max_context, read_config
from core.prompts.chat_template import Style
from core.prompts.encoded_dataset import measure_dataset
from core.prompts.encoder import load_encoder
from core.prompts.render import render
from core.prompts.template_process import TemplateProcess
from core.text import printable, shortened
from tests.conftest import POCKET, ROOT

ROW = {"instruction": "Say A.", "output": "A"}
LOOPS = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"


def write(path: Path, content: bytes | str | list[object]) -> Path:
    text = json.dumps(content) if isinstance(content, list) else content
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("zeros.jsonl.gz", lambda: gzip.compress(bytes(2**28)), "is not text"),
        (
            "spaces.json.gz",
            lambda: gzip.compress(b" " * 2**28),
            "grows to more than 100 times its size",
        ),
        (
            "lists.json.gz",
            lambda: gzip.compress(b"[" + b"[]," * 2**25 + b"[]]"),
            "grows to more than 100 times its size",
        ),
        (
            "twice.csv.gz",
            lambda: gzip.compress(gzip.compress(b"a,b\n1,2\n")),
            "is gzipped twice: unzip it once",
        ),
        (
            "lists.json",
            lambda: b"[" + b"[]," * 4_100_000 + b"[]]",
            "more than 4,000,000 lists and objects",
        ),
        ("blank.csv", lambda: b"\n" * 1000, "is empty"),
        ("columns.csv", lambda: b"," * 2_000_000 + b"\n", "a header and no rows below it"),
        ("nested.json", lambda: b"[" * 1_000_000, "nested too deeply"),
        ("field.json", lambda: json.dumps([{"x" * 100_000: 1}]).encode(), "has the fields 'xxx"),
    ],
)
def test_a_file_made_to_harm_is_refused_in_a_sentence(
    tmp_path: Path, name: str, content: Callable[[], bytes], sentence: str
) -> None:
    with pytest.raises(DataError, match=sentence) as told:
        load_dataset(write(tmp_path / name, content()))
    assert len(str(told.value)) < 400


def test_rows_lines_and_cells_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw, "MAX_ROWS", 50)
    monkeypatch.setattr(reader, "MAX_LINE_MIB", 1)
    line = json.dumps(ROW) + "\n"
    for name, content in (
        ("a.jsonl", line * 51),
        ("a.csv", "instruction,output\n" + "a,b\n" * 51),
        ("a.json", json.dumps([ROW] * 51)),
    ):
        with pytest.raises(DataError, match="has more than 50 rows: split it"):
            load_dataset(write(tmp_path / name, content))
    assert load_dataset(write(tmp_path / "b.jsonl", line * 50 + " \n" * 1000)).row_count == 50
    with pytest.raises(DataError, match=r"a line of more than 1 MiB \(line 2\)"):
        load_dataset(write(tmp_path / "c.jsonl", line + " " * (2 * 2**20)))
    monkeypatch.setattr(raw, "MAX_DOCUMENT_MIB", 1)
    with pytest.raises(DataError, match=r"save it as JSON lines \(\.jsonl\)"):
        load_dataset(write(tmp_path / "d.json", json.dumps([ROW | {"input": "x" * 2**20}])))
    monkeypatch.setattr(raw, "MAX_VALUES", 60)
    with pytest.raises(DataError, match="more than 60 cells"):
        load_dataset(write(tmp_path / "e.csv", "instruction,output\n" + "a,b\n" * 40))


@pytest.mark.skipif(sys.platform == "win32", reason="limits of CPU time are POSIX's")
def test_short_files_take_no_quadratic_work(tmp_path: Path) -> None:
    """Each would take minutes if every beginning were looked at with every other; a process may
    take twenty seconds.
    """
    from benchmarks.hostile_files import run_alone

    words = [
        " ".join(f"word{(7 * n * n + 31 * k) % 2000}" for k in range(1800)) for n in range(500)
    ]
    made: dict[str, bytes | list[object]] = {
        "columns.csv": (
            ",".join(f"c{n}" for n in range(100_000)) + "\n" + "," * 99_999 + "\n"
        ).encode(),
        "placeholders.json": [{"instruction": "[INSERT" * 150_000, "output": "<TODO" * 150_000}],
        "alike.json": [{"instruction": text, "output": "x"} for text in words],
        "turns.json": [
            {
                "messages": [
                    {"role": role, "content": "x"} for role in ("user", "assistant") * 10_000
                ]
            },
            ROW,
        ],
    }
    for name, content in made.items():
        told = run_alone(write(tmp_path / name, content))
        assert told["status"] == 0 and "Traceback" not in str(told["said"]), told


def test_placeholders_are_still_found() -> None:
    for text in ("{{ name }}", "<YOUR NAME>", "<INSERT DATE HERE>", "TODO", "[INSERT COMPANY]"):
        assert _PLACEHOLDER.search(f"Dear {text}, hello"), text
    assert not _PLACEHOLDER.search("[INSERT" * 10 + "a todo <b>list</b>")


def test_a_row_that_ends_the_tokenizer_is_refused_and_the_others_are_used(tmp_path: Path) -> None:
    rows: list[object] = [
        ROW | {"instruction": "a" + blank * 1_000_000 + "b"}
        for blank in (" ", "\n", "\t", "\u00a0", "\u3000")
    ]
    dataset = load_dataset(write(tmp_path / "blanks.json", [*rows, ROW]))
    lengths, unwritable = measure_dataset(dataset, load_encoder(POCKET))
    assert [one.row for one in lengths] == [6] and [one.row for one in unwritable] == [
        1,
        2,
        3,
        4,
        5,
    ]
    assert "more than 100,000 white-space characters in a row" in unwritable[0].reason


def test_half_a_character_is_refused_wherever_it_stands(tmp_path: Path) -> None:
    half = "\\ud800"
    rows = [
        '{"instruction": "a", "output": "b", "category": "%s"}',
        '{"instruction": "%s", "output": "b"}',
        '{"%s": 1, "instruction": "a", "output": "b"}',
    ]
    text = "".join(row % half + "\n" for row in rows) + json.dumps(ROW)
    dataset = load_dataset(write(tmp_path / "half.jsonl", text))
    assert [one.row for one in dataset.refused] == [1, 2, 3] and len(dataset.examples) == 1
    assert {one.reason for one in dataset.refused} == {raw.HALF_CHARACTER}
    dataset = load_dataset(write(tmp_path / "half.json", f"[{rows[0] % half}, {json.dumps(ROW)}]"))
    assert [one.row for one in dataset.refused] == [1]


def test_a_csv_may_begin_with_blank_lines_and_a_broken_one_names_its_line(tmp_path: Path) -> None:
    assert load_dataset(write(tmp_path / "a.csv", "\n\r\ninstruction,output\na,b\n")).row_count == 1
    broken = load_dataset(write(tmp_path / "b.csv", 'instruction,output\na,b\nc,"d"e\nf,g\n'))
    assert [example.row for example in broken.examples] == [1, 3]
    assert "its quotation marks are broken (line 3)" in broken.refused[0].reason
    open_end = 'instruction,output\na,b\nc,"d\nf,g\nh,i\n'  # the mark swallows what follows
    broken = load_dataset(write(tmp_path / "c.csv", open_end))
    assert [example.row for example in broken.examples] == [1, 3, 4]
    assert [refusal.row for refusal in broken.refused] == [2]


def test_sentences_and_reasons_are_short_whatever_they_quote(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "role.json", [{"messages": [{"role": "y" * 100_000, "content": "z"}]}])
    assert core_main(["check", str(path), "--workspace", str(tmp_path / "w")]) == 2
    assert len(capsys.readouterr().err) < 700
    assert len(shortened("x" * 1000)) == 80


def test_a_terminal_is_shown_controls_and_obeys_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = "\x1b[2J\x1b]0;owned\x07\x9b31m"
    path = write(
        tmp_path / "evil.json",
        [ROW | {"output": evil}, {"messages": [{"role": evil, "content": "x"}]}],
    )
    where = ["--workspace", str(tmp_path / "w")]
    for words in (
        ["check", str(path)],
        ["preview", str(path), "--row", "1"],
        ["preview", str(path), "--row", "1", "--json"],
    ):
        assert core_main([*words, *where]) == 0
        told = "".join(capsys.readouterr())
        assert "\x1b" not in told and "\x9b" not in told and "\x07" not in told
    assert printable("a\tb\n\x1b") == "a\tb\n\\x1b"
    core_main(["preview", str(path), "--row", "1", "--json", *where])
    assert evil in json.loads(capsys.readouterr().out)["text"]


TURNS = (Turn("user", "Q"), Turn("assistant", "A"))


@pytest.mark.parametrize(
    "template",
    [
        LOOPS,
        "{% macro f(n) %}{{ f(n - 1) }}{{ f(n - 1) }}{% endmacro %}{{ f(900) }}",
        "{{ 'a' * (10 ** 10) }}",
        "{{ '%010000000d' % 1 }}",
    ],
    ids=["loops", "calls itself", "asks for memory", "writes much"],
)
def test_a_template_that_harms_is_given_up_and_others_are_filled(template: str) -> None:
    filler = TemplateProcess(patience_s=2)
    values = {"messages": [], "add_generation_prompt": False, "eos_token": "", "bos_token": ""}
    with pytest.raises(StyleError):
        filler.fill(template, values, "2026-01-31")
    began = time.monotonic()
    with pytest.raises(StyleError):
        filler.fill(template, values, "2026-01-31")
    assert filler.fill("{{ 1 + 1 }}", values, "2026-01-31") == "2" and time.monotonic() - began < 60
    filler.close()


def test_templates_are_told_one_date_and_may_mark_what_is_generated() -> None:
    template = (
        "{{ strftime_now('%d %b %Y') }}{% for m in messages %}<{{ m.role }}>"
        "{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{{ eos_token }}{% "
        "endgeneration %}{% else %}{{ m.content }}"
        "{% endif %}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    style = Style("dated", template, "<|endoftext|>", "", "<|endoftext|>", day="2026-01-31")
    assert (
        "".join(part.text for part in render(style, TURNS, ask=False))
        == "31 Jan 2026<user>Q<assistant>A<|endoftext|>"
    )


def test_a_template_that_takes_thoughts_out_refuses_the_row_that_it_would_change() -> None:
    """A mark stands for the text while it is filled, so it never sees the thought; the fill of the
    real text tells.
    """
    template = (
        "{% for m in messages %}<{{ m.role }}>{{ m.content.split('</think>')[-1] }}{% if m.role "
        "== 'assistant' %}{{ eos_token }}"
        "{% endif %}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    style = Style("thinking", template, "<|endoftext|>", "", "<|endoftext|>")
    assert render(style, TURNS, ask=False)
    with pytest.raises(
        StyleError, match="changes what is said in it, as templates of reasoning models do"
    ):
        render(style, (TURNS[0], Turn("assistant", "<think>hm</think>A")), ask=False)


def test_an_answer_of_weight_0_is_read_and_not_learnt() -> None:
    encoder = load_encoder(POCKET, "chatml")
    turns = (*TURNS, Turn("user", "Q2"), Turn("assistant", "A2"))
    both = encoder.encode_example(Example(1, turns))
    one = encoder.encode_example(
        Example(1, (turns[0], Turn("assistant", "A", trained=False), *turns[2:]))
    )
    assert one.ids == both.ids and 0 < one.trained.count(1) < both.trained.count(1)
    assert one.trained.endswith(both.trained[-3:])


def test_configs_that_say_nonsense_get_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("[" * 100_000)
    with pytest.raises(ModelError, match=r"config\.json is not valid JSON"):
        read_config(tmp_path)
    (tmp_path / "config.json").write_text('{"max_position_embeddings": -1, "n_positions": 0}')
    assert max_context(tmp_path) == 1024


def test_a_template_that_loops_does_not_outlive_the_app_that_was_killed() -> None:
    """The process that fills templates ends by itself when nobody is left to kill it."""
    command = [sys.executable, "-m", "core.prompts.template_worker", "1"]
    worker = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert worker.stdin is not None and worker.stdout is not None
    quick = {"template": "a{{ b }}", "values": {"b": 1}, "day": "2026-01-01"}
    loop = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    worker.stdin.write(json.dumps(quick).encode() + b"\n")
    worker.stdin.flush()
    assert json.loads(worker.stdout.readline()) == {"text": "a1"}
    worker.stdin.write(json.dumps({**quick, "template": loop}).encode() + b"\n")
    worker.stdin.flush()
    try:
        assert worker.wait(30) != 0
    finally:
        worker.kill()


def test_a_templates_process_is_given_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    from core.prompts.template_process import _environment

    monkeypatch.setenv("FUATA_API_KEY", "secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    given = _environment("/somewhere")
    assert "secret" not in given.values() and given["PYTHONPATH"] == "/somewhere"
    assert given["PATH"]
