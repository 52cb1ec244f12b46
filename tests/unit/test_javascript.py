"""The page's scripts: their pure parts by node's own test runner."""

import re
import shutil
import subprocess

import pytest

from tests.conftest import ROOT

_OLDEST_NODE = 18  # the first with a runner of tests


def test_the_pure_parts_of_the_scripts_pass_their_own_tests() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node (Debian's package `nodejs`) to run the tests of tests/js")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.removeprefix("v").split(".")[0]) < _OLDEST_NODE:
        pytest.skip(f"needs node {_OLDEST_NODE} to run the tests of tests/js, not {version}")
    files = sorted(str(path) for path in (ROOT / "tests" / "js").glob("*.test.js"))
    ran = subprocess.run(
        [node, "--test", "--test-reporter=tap", *files],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    passed = re.search(r"^# pass (\d+)$", ran.stdout, re.MULTILINE)
    assert passed and int(passed[1]) > len(files), ran.stdout  # that none was found would pass too
