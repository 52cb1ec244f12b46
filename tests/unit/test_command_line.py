"""The command lines: one JSON object or one per line on stdout, one sentence and exit 2 for a
person's mistake.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.cli.main import main as core_main
from core.storage.workspace import Workspace
from core.training.runs.process import _cuda_devices
from core.training.runs.store import RunStore
from review.cli.main import main as review_main
from tests.conftest import DATA, ROOT


def call(main: Any, capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    try:
        status = main([str(word) for word in words])
    except SystemExit as leaving:
        status = int(leaving.code or 0)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_check_answers_with_the_agreed_fields(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, book: Path
) -> None:
    status, out, _ = call(core_main, capsys, "check", book, "--json", "--workspace", tmp_path / "w")
    report = json.loads(out)
    assert status == 0
    assert {
        "format",
        "rows",
        "usable",
        "refused",
        "duplicates",
        "near_duplicates",
        "too_long",
        "tokens",
    } <= set(report)
    assert (report["rows"], report["usable"], report["refused"], report["duplicates"]) == (
        1100,
        1100,
        [],
        25,
    )
    assert len(report["duplicate_rows"]) == 25
    status, out, _ = call(core_main, capsys, "check", book, "--workspace", tmp_path / "w")
    assert status == 0 and "Exact repeats of a prompt, kept on one side of the split: 25" in out


def test_what_is_printed_is_utf_8_whatever_the_system_prefers(tmp_path: Path) -> None:
    """As on Windows, where a pipe would take what its code page has and no more."""
    rows = [{"instruction": "Sema 日", "output": "nzuri"}, {"instruction": "x", "output": "y"}]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    words = [
        sys.executable,
        "-m",
        "core",
        "preview",
        str(tmp_path / "rows.json"),
        "--row",
        "1",
        "--json",
    ]
    done = subprocess.run(
        [*words, "--workspace", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "cp1252"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "日" in done.stdout.decode("utf-8") and "日" in json.dumps(
        json.loads(done.stdout), ensure_ascii=False
    )


@pytest.mark.skipif(sys.platform in {"win32", "darwin"}, reason="file names there are text")
def test_a_path_that_is_no_text_gets_one_sentence_too(tmp_path: Path) -> None:
    words: list[Any] = [
        sys.executable,
        "-m",
        "core",
        "check",
        os.fsencode(tmp_path) + b"/b\xffd.json",
    ]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, check=False)
    assert (
        done.returncode == 2
        and done.stderr.count(b"\n") == 1
        and b"There is no file" in done.stderr
    )


def test_processes_that_could_not_talk_to_each_other_are_refused_before_anything_is_written(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    # as PyTorch is built for Windows
    monkeypatch.setattr("torch.distributed.is_nccl_available", lambda: False)
    status, _, error = call(
        core_main, capsys, "train", "sample", "--processes", 2, "--workspace", tmp_path
    )
    assert status == 2 and "must be 1: this PyTorch has no NCCL" in error and error.count("\n") == 1
    assert RunStore(Workspace(tmp_path)).all() == []
    assert _cuda_devices() == 1


def test_preview_answers_with_the_agreed_fields(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    status, out, _ = call(
        core_main,
        capsys,
        "preview",
        "sample",
        "--row",
        2,
        "--style",
        "phi3",
        "--json",
        "--workspace",
        tmp_path,
    )
    preview = json.loads(out)
    assert status == 0
    assert preview["text"].startswith("<|user|>\n")
    assert preview["trained_tokens"] == sum(token["trained"] for token in preview["tokens"])
    assert preview["total_tokens"] == len(preview["tokens"])
    assert set(preview["tokens"][0]) == {"id", "text", "trained"}


@pytest.mark.slow
def test_train_generate_and_review_on_a_small_file(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    small_file: Path,
    tiny_models: dict[str, Path],
) -> None:
    where = ["--json", "--workspace", tmp_path / "w"]
    model = tiny_models["llama"]
    status, out, _ = call(
        core_main,
        capsys,
        "train",
        small_file,
        "--model",
        model,
        "--epochs",
        1,
        "--learning-rate",
        0.02,
        "--name",
        "run",
        *where,
    )
    events = [json.loads(line) for line in out.splitlines()]
    assert status == 0
    assert [event["event"] for event in events[:2]] == ["RunPlanned", "RunStarted"] and events[-1][
        "event"
    ] == "RunFinished"
    assert any("34 rows are few" in line for line in events[0]["cautions"])
    assert {"step", "loss"} <= set(next(event for event in events if event["event"] == "StepDone"))

    status, out, _ = call(
        core_main,
        capsys,
        "generate",
        "--model",
        "run",
        "--data",
        small_file,
        "--split",
        "test",
        *where,
    )
    lines = [json.loads(line) for line in out.splitlines()]
    assert len(lines) == 4
    assert all(
        {"row", "prompt", "response", "tokens", "finish_reason"} <= set(line) for line in lines
    )
    status, out, _ = call(
        core_main, capsys, "generate", "--model", "run", "--prompt", "Hello", *where
    )
    assert json.loads(out)["row"] == 1

    status, out, _ = call(
        review_main,
        capsys,
        "new",
        "--name",
        "r",
        "--data",
        small_file,
        "--contenders",
        model,
        "run",
        "--max-new-tokens",
        8,
        *where,
    )
    assert (status, json.loads(out)) == (0, {"review": "r", "pairs": 4})
    judge = ["--name", "r", "--reviewer", "amina", *where]
    for done in range(4):
        pair = json.loads(call(review_main, capsys, "next", *judge)[1])
        assert set(pair) == {"pair", "prompt", "a", "b", "done", "total"}
        assert (pair["done"], pair["total"]) == (done, 4)
        words = [
            "--pair",
            pair["pair"],
            "--verdict",
            ["a", "b", "tie", "both_bad"][done],
            "--correction",
            "So.",
        ]
        assert set(json.loads(call(review_main, capsys, "rate", *judge, *words)[1])) == {"saved"}
    assert json.loads(call(review_main, capsys, "next", *judge)[1]) == {
        "pair": None,
        "done": 4,
        "total": 4,
    }
    report = json.loads(call(review_main, capsys, "report", "--name", "r", *where)[1])
    assert {"contenders", "ratings", "wins", "ties", "losses", "win_rate", "interval"} <= set(
        report
    )
    assert (
        report["ratings"],
        report["wins"] + report["losses"],
        report["ties"],
        report["both_bad"],
    ) == (4, 2, 1, 1)
    for form in ("csv", "jsonl", "sft", "dpo", "kto"):
        status, _, _ = call(
            review_main,
            capsys,
            "export",
            "--name",
            "r",
            "--as",
            form,
            "--out",
            tmp_path / form,
            *where,
        )
        assert status == 0 and (tmp_path / form).stat().st_size > 0


def bad_files(folder: Path) -> dict[str, bytes]:
    return {
        "empty.json": b"",
        "broken.json": b"[\n"
        + b'{"instruction": "Q", "output": "A"},\n' * 55
        + b'{"instruction": "Q" "output": 1}\n]',
        "columns.csv": b"headline,verse\nQ,A\n",
        "image.json": b"\x89PNG\r\n\x1a\n\x00\x00",
        "answerless.json": b'[{"instruction": "Q", "input": ""}]',
    }


@pytest.mark.parametrize("name", list(bad_files(Path())))
@pytest.mark.parametrize("verb", ["check", "preview", "train"])
def test_a_bad_file_gets_one_sentence_and_exit_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, verb: str
) -> None:
    (tmp_path / name).write_bytes(bad_files(tmp_path)[name])
    status, out, err = call(core_main, capsys, verb, tmp_path / name, "--workspace", tmp_path / "w")
    assert (status, out) == (2, "")
    assert err.count("\n") == 1 and name in err and "Traceback" not in err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["check", "nowhere.json"], "There is no file nowhere.json"),
        (["check"], "the following arguments are required: FILE"),
        (["chek"], "invalid choice"),
        (["preview", "sample", "--row", "0"], "has rows 1 to 1570, not 0"),
        (["preview", "sample", "--style", "nothing"], "There is no style 'nothing'"),
        (["check", "sample", "--model", "/no/model/here"], "There is no model"),
        (["check", "sample", "--model", "{empty}"], "is no model: it has no config.json"),
        (
            ["train", "sample", "--epochs", "0", "--learning-rate", "9"],
            "epochs: must be a whole number from 1 to 1000; learning rate: ",
        ),
        (["train", "sample", "--epochs", "0.5"], "argument --epochs: '0.5' is no whole number"),
        (["train", "sample", "--name", "../out"], "cannot be a name"),
        (["train", "--resume"], "--resume needs --name"),
        (["train", "--resume", "--name", "nobody"], "There is no run 'nobody'"),
        (["train", "sample", "--resume", "--name", "nobody"], "goes with a new run"),
        (["train", "--resume", "--name", "nobody", "--epochs", "3"], "There is no run 'nobody'"),
        (["train", "--resume", "--name", "nobody", "--seed", "3"], "seed: goes with a new run"),
        (["train"], "give a FILE to train on"),
        (["generate", "--model", "pocket"], "one of the arguments --data --prompt is required"),
        (
            ["generate", "--model", "pocket", "--prompt", "x", "--temperature", "-1"],
            "temperature: must be 0 or lie between 0.01 and 5",
        ),
        (["check", "sample", "--workspace", "/proc/none"], "cannot be made"),
    ],
)
def test_a_wrong_word_gets_one_sentence_and_exit_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[str], sentence: str
) -> None:
    (tmp_path / "empty").mkdir()
    words = [word.replace("{empty}", str(tmp_path / "empty")) for word in words]
    if "--workspace" not in words and len(words) > 1:
        words += ["--workspace", str(tmp_path / "w")]
    status, out, err = call(core_main, capsys, *words)
    assert (status, out) == (2, "")
    assert sentence in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["next", "--name", "r", "--reviewer", "x"], "There is no review 'r'"),
        (["report", "--name", "r"], "There is no review 'r'"),
        (
            ["new", "--name", "r", "--data", "sample", "--contenders", "pocket"],
            "two or more different contenders",
        ),
        (
            ["new", "--name", "r", "--data", "sample", "--contenders", "pocket", "pocket"],
            "two or more different contenders",
        ),
        (
            ["new", "--name", "r", "--data", "sample", "--contenders", "pocket", "/no/where"],
            "There is no model",
        ),
        (
            ["rate", "--name", "r", "--reviewer", "x", "--pair", "1", "--verdict", "c"],
            "invalid choice: 'c'",
        ),
    ],
)
def test_a_wrong_word_about_a_review_gets_one_sentence_and_exit_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[str], sentence: str
) -> None:
    status, out, err = call(review_main, capsys, *words, "--workspace", tmp_path / "w")
    assert (status, out) == (2, "")
    assert sentence in err and err.count("\n") == 1


@pytest.mark.parametrize("module", ["core", "review", "app.py"])
def test_help_is_there(module: str) -> None:
    line = [sys.executable, module] if module.endswith(".py") else [sys.executable, "-m", module]
    shown = subprocess.run([*line, "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "usage:" in shown.stdout


def test_the_app_says_what_is_wrong_with_a_port_and_a_host(tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        for words, sentence in (
            (["--port", port], "is in use"),
            (["--host", "0.0.0.0"], "--auth FILE"),
        ):
            line = [
                sys.executable,
                "app.py",
                "--no-browser",
                "--workspace",
                str(tmp_path / "w"),
                *words,
            ]
            ended = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
            assert ended.returncode == 2
            assert sentence in ended.stderr and ended.stderr.count("\n") == 1


def test_rows_with_finished_responses_are_checked_too(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = DATA / "with-responses.json"
    status, out, _ = call(core_main, capsys, "check", file, "--json", "--workspace", tmp_path / "w")
    assert (status, json.loads(out)["usable"]) == (0, 12)


def test_a_file_that_cannot_be_written_is_told_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.generation.model_cache import ModelCache

    monkeypatch.setattr(ModelCache, "get", lambda *_: pytest.fail("a model was loaded"))
    (tmp_path / "folder").mkdir()
    asked = ["generate", "--model", "pocket", "--prompt", "Hi", "--workspace", tmp_path / "w"]
    for target, reason in ((tmp_path / "folder", "is not a file"), ("/proc/x", "")):
        status, _, error = call(core_main, capsys, *asked, "--out", target)
        assert status == 2 and f"{target} cannot be written: {reason}" in error
    assert not list(tmp_path.glob("*.jsonl"))
