"""What processes report, and how those who started them know how they ended."""

import json
import signal
import time
from pathlib import Path

import pytest

from core.processes.messages import VARIABLE, Failure, Progress, read_messages, report
from core.processes.supervisor import ChildProcess


def test_what_is_reported_is_read_again_and_half_a_line_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m"
    sent = [
        Progress(stage="Loading"),
        Progress(stage="Adding", done=2, total=9, unit="layer"),
        Failure(text="Das Modell fehlt: ‘x’."),
    ]
    report(sent[0])  # nobody listens
    assert list(read_messages(path)) == []
    monkeypatch.setenv(VARIABLE, str(path))
    for message in sent:
        report(message)
    assert list(read_messages(path)) == sent
    with path.open("a") as file:
        file.write('{"kind": "Progress", "stage": "Wri')
    assert list(read_messages(path)) == sent
    assert [str(one) for one in sent[:2]] == ["Loading", "Adding: layer 2 of 9"]
    monkeypatch.setenv(VARIABLE, str(tmp_path / "no" / "folder"))
    report(sent[0])  # the supervisor has gone


def test_a_users_error_comes_back_as_the_sentence_that_was_raised(tmp_path: Path) -> None:
    where = ["--workspace", str(tmp_path / "w")]
    process = ChildProcess(["check", "no-such.json", *where], tmp_path / "check.log")
    assert process.wait() == process.status == 2 and not process.is_running
    assert process.failure() == "There is no file no-such.json: check the path."
    assert process.progress() is None and process.memory_mib() is None and not process.was_killed


def test_what_a_process_prints_is_no_message(tmp_path: Path) -> None:
    where = ["--workspace", str(tmp_path / "w"), "--json"]
    process = ChildProcess(["check", "sample", *where], tmp_path / "check.log")
    assert process.wait() == 0
    assert json.loads(process.log.read_text())["usable"] > 1000
    assert list(read_messages(process.messages)) == [] and process.failure() == ""


def test_how_a_process_ended_is_told_with_its_last_line(tmp_path: Path) -> None:
    process = ChildProcess(["nothing"], tmp_path / "a" / "x.log")
    process.wait()
    assert process.describe_exit().startswith("ended by itself (exit status 2). ")
    assert "invalid choice" in process.describe_exit()
    process = ChildProcess(["generate", "--help"], tmp_path / "y.log")
    process.kill()
    assert process.was_killed and process.status == -signal.SIGKILL
    assert process.describe_exit() == (
        f"ended by itself (signal 9). Its output is in {tmp_path / 'y.log'}."
    )


def test_a_process_holds_memory_while_it_runs(tmp_path: Path) -> None:
    where = ["--workspace", str(tmp_path / "w")]
    process = ChildProcess(["check", "sample", *where], tmp_path / "z.log")
    until = time.monotonic() + 30
    while not (process.memory_mib() or 0) > 5 and time.monotonic() < until:
        time.sleep(0.01)
    assert process.is_running and process.status is None
    process.kill()
    assert process.memory_mib() is None
