"""What a workspace survives and refuses: damaged, foreign, newer and held databases, full disks,
writers at once.
"""

import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.datasets.dataset import load_dataset
from core.datasets.store import DatasetStore
from core.errors import WorkspaceError
from core.storage.atomic_write import remove_leftovers, write_file
from core.storage.workspace import Workspace
from core.training.runs.store import RunStore
from core.training.settings import TrainingSettings
from review.store.reviews import ReviewStore
from tests.conftest import ROOT


def test_one_copy_per_content_however_often_it_is_kept(
    workspace: Workspace, small_file: Path
) -> None:
    key = DatasetStore(workspace).keep(load_dataset(small_file))
    for _ in range(20):  # as many starts of the app with a run each
        store = DatasetStore(workspace)
        store.keep(store.load(key))
    assert [path.name for path in workspace.datasets.iterdir()] == [f"{key[:12]}-small.json"]
    long = small_file.with_name("x" * 240 + ".json")
    long.write_bytes(small_file.read_bytes() + b" ")
    other = DatasetStore(workspace).keep(load_dataset(long))
    assert DatasetStore(workspace).load(other).name == long.name


def test_doubles_that_an_earlier_version_made_are_folded(
    workspace: Workspace, small_file: Path
) -> None:
    store = DatasetStore(workspace)
    key = store.keep(load_dataset(small_file))
    double = workspace.datasets / f"{key[:12]}-{key[:12]}-small.json"
    double.write_bytes(small_file.read_bytes())
    with workspace.database.transaction() as tables:  # the row had been led to the longest name
        tables.execute("UPDATE datasets SET path = ?", [f"datasets/{double.name}"])
    DatasetStore(workspace).fold_doubles()
    assert [path.name for path in workspace.datasets.iterdir()] == [double.name]
    assert DatasetStore(workspace).load(key).row_count == 40


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "fuata.db")
    other.execute("CREATE TABLE runs (x)")
    other.commit()
    other.close()
    with pytest.raises(WorkspaceError, match="another program's database .*give another workspace"):
        Workspace(tmp_path)
    assert sqlite3.connect(tmp_path / "fuata.db").execute(
        "SELECT name FROM sqlite_master"
    ).fetchall() == [("runs",)]


def test_a_newer_database_is_refused_and_not_written(tmp_path: Path) -> None:
    ReviewStore(Workspace(tmp_path))
    base = sqlite3.connect(tmp_path / "fuata.db")
    for kind in ("engine", "review"):
        base.execute("DELETE FROM _sqlite_migrations WHERE name = 'm999_later'")
        base.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES (?, "
            "'m999_later', '')",
            [kind],
        )
        base.commit()
        with pytest.raises(WorkspaceError, match="written by a newer Fuata"):
            ReviewStore(Workspace(tmp_path))


def test_a_sound_database_that_another_program_holds_is_not_to_be_moved_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Workspace(tmp_path).close()
    monkeypatch.setattr("core.storage.database._PATIENCE_S", 0.2)
    holder = sqlite3.connect(tmp_path / "fuata.db", isolation_level=None)
    holder.execute("PRAGMA locking_mode=EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(WorkspaceError, match="held by another program") as told:
        Workspace(tmp_path)
    assert "move it away" not in str(told.value)
    holder.close()


def test_a_page_of_noise_is_found_when_the_workspace_opens(
    tmp_path: Path, small_file: Path
) -> None:
    opened = Workspace(tmp_path)
    DatasetStore(opened).keep(load_dataset(small_file))
    opened.close()
    with (tmp_path / "fuata.db").open("r+b") as file:
        file.seek(3 * 4096)
        file.write(bytes(range(256)) * 64)
    with pytest.raises(WorkspaceError, match="damaged or no database .*put a copy back"):
        Workspace(tmp_path).database.query("SELECT * FROM runs")


@pytest.mark.skipif(sys.platform == "win32", reason="limits of files are POSIX's")
def test_a_full_disk_gets_a_sentence_and_not_the_advice_to_start_anew(tmp_path: Path) -> None:
    script = (
        "import resource, sys; from pathlib import Path\n"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))\n"
        "from core.errors import WorkspaceError; from core.storage.workspace import Workspace\n"
        "try: Workspace(Path(sys.argv[1]))\n"
        "except WorkspaceError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "w")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (
        done.returncode == 0 and "make room" in done.stdout and "move it away" not in done.stdout
    ), done.stdout + done.stderr


def test_many_who_write_one_file_at_once_leave_it_whole_and_nothing_beside_it(
    tmp_path: Path,
) -> None:
    target = tmp_path / ("long-" * 48 + ".json")  # no name may become longer by being written aside
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: write_file(target, b"%d" % number * 5000), range(64)))
    assert len(set(target.read_bytes())) <= 2 and [path.name for path in tmp_path.iterdir()] == [
        target.name
    ]


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_path: Path, _content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        write_file(tmp_path / "o.jsonl", b"x")
    monkeypatch.undo()
    (tmp_path / ".0123.new").write_bytes(b"of one that was killed")
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".0123.new"]  # it may be written just now
    remove_leftovers(tmp_path, older_than_s=-1)
    assert list(tmp_path.iterdir()) == []


def test_runs_without_a_name_at_once_get_names_of_their_own(
    workspace: Workspace, small_file: Path
) -> None:
    key = DatasetStore(workspace).keep(load_dataset(small_file))
    ready = threading.Barrier(6)

    def add(_number: int) -> str:
        ready.wait()
        return RunStore(workspace).create("", TrainingSettings(), key, {}, stem="pocket-alpaca")

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(add, range(6))) == [
            f"pocket-alpaca-{number}" for number in range(1, 7)
        ]
