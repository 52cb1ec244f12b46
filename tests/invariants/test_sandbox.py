"""Programs of a model can do nothing but compute, and end."""

import sys
import tempfile
import time
from pathlib import Path

import pytest

from core.evaluation.sandbox.run_code import (
    protection,
    protection_text,
    run_program,
    run_programs,
)

SECRET = "the secret of the database"

HOSTILE = {
    "fork bomb": "import os\nwhile True: os.fork()",
    "process": "import subprocess\nsubprocess.run(['true'], check=True)",
    "system": "import os\nassert os.system('true') == 0",
    "exec": "import os, sys\nos.execv(sys.executable, [sys.executable, '-c', 'pass'])",
    "spawn": "import os\nos.posix_spawn('/bin/true', ['true'], {})",
    "multiprocessing": "import multiprocessing as m\np = m.Process(target=print); p.start(); p.join()",
    "thread": "import threading\nt = threading.Thread(target=print); t.start()",
    "socket": "import socket\nsocket.socket()",
    "unix socket": "import socket\nsocket.socketpair()",
    "name": "import socket\nsocket.create_connection(('127.0.0.1', 22), 1)",
    "url": "import urllib.request\nurllib.request.urlopen('http://127.0.0.1/', timeout=1)",
    "database": "import sqlite3\nsqlite3.connect({path!r}).execute('select 1 from sqlite_master')",
    "secret": "assert open({path!r}).read()",
    "passwords": "open('/etc/passwd').read()",
    "home": "import os\nos.listdir(os.path.expanduser('~root'))",
    "parent's memory": "open('/proc/%d/mem' % __import__('os').getppid(), 'rb')",
    "parent's environment": "open('/proc/%d/environ' % __import__('os').getppid()).read()",
    "environment": "import os\nassert [n for n in os.environ if n not in ('LC_CTYPE', 'SYSTEMROOT')]",
    "kill parent": "import os\nos.kill(os.getppid(), 9)",
    "kill all": "import os\nos.kill(-1, 9)",
    "write": "open('here', 'w').write('x')",
    "append": "open({path!r}, 'a').write('x')",
    "fill the disk": "f = open('/tmp/full', 'wb')\nwhile True: f.write(b'x' * 2**20)",
    "symlink out": "import os\nos.symlink({path!r}, 'link')\nopen('link').read()",
    "hard link": "import os\nos.link({path!r}, 'link')",
    "remove": "import os\nos.remove({path!r})",
    "rename": "import os\nos.rename({path!r}, {path!r} + '2')",
    "chmod": "import os\nos.chmod({path!r}, 0o777)",
    "folder": "import os\nos.mkdir('/tmp/made-by-a-program')",
    "memory": "x = [b'x' * 2**20 for _ in range(10**6)]",
    "print a gigabyte": "for _ in range(10**4): print('x' * 10**5)\nraise ValueError",
    "loop": "while True: pass",
    "sleep": "import time\ntime.sleep(60)",
    "leave": "import os\nos._exit(0)",
    "exit": "import sys\nsys.exit(0)",
    "abort": "import ctypes\nctypes.string_at(0)",
    "call the kernel": "import ctypes\nl = ctypes.CDLL(None)\nassert l.syscall(41, 2, 1, 0) >= 0",
    "limits of the parent": "import resource, os\nresource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (7, 7))",
    "flood the report": "import os\nwhile True: os.write(3, b'x' * 2**20)",
    "truncate": "import os\nos.open({path!r}, os.O_RDONLY | os.O_TRUNC)",
    "stack": "def f(): f()\nf()",
    "syntax": "def f(:",
    "nul": "x = '\0'",
}  # fmt: skip


@pytest.fixture
def whole() -> None:
    if protection() != ("limits", "files", "calls"):
        pytest.skip(f"this system has only {protection()}")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_program_does_no_harm(name: str, tmp_path: Path, whole: None) -> None:
    secret = tmp_path / "fuata.db"
    secret.write_text(SECRET)
    began = time.monotonic()
    result = run_program(
        HOSTILE[name].replace("{path!r}", repr(str(secret))), seconds=2, mebibytes=512
    )
    assert not result.passed and result.reason
    assert SECRET not in result.reason
    assert time.monotonic() - began < 10
    assert secret.read_text() == SECRET and secret.stat().st_mode & 0o777 != 0o777
    assert {path.name for path in tmp_path.iterdir()} == {"fuata.db"}
    assert not Path("/tmp/made-by-a-program").exists() and not Path("/tmp/full").exists()


def test_a_good_program_passes_whatever_it_imports() -> None:
    good = (
        "import math, re, collections, itertools, heapq, datetime, decimal, fractions, string, "
        "random, copy, functools, typing, bisect, statistics, hashlib, operator, json, sys\n"
        "from typing import List\n"
        "def add(a: int, b: int) -> int:\n    return a + b\n"
        "print('said')\nassert add(2, 3) == 5\nassert hashlib.md5(b'x').hexdigest()\n"
    )
    result = run_program(good)
    assert result.passed, result.reason
    assert run_programs([good, "assert False", "1 / 0", good]) == [True, False, False, True]


def test_why_a_program_failed_is_said() -> None:
    assert run_program("assert 1 == 2, 'no'").reason == "AssertionError: no"
    assert "longer than 1 s" in run_program("while True: pass", seconds=1).reason


def test_what_protects_is_said_and_what_does_not() -> None:
    assert "cannot" in protection_text(("limits", "files", "calls"))
    told = protection_text(("limits",))
    assert "does not keep them from this" in told and "network" in told


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX processes")
def test_nothing_is_left_of_a_program(
    whole: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    run_program("while True: pass", seconds=1)
    assert list(tmp_path.iterdir()) == []
