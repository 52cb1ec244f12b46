"""Schedules, sampling, settings, folders, security: small pieces with exact answers."""

import asyncio
import json
import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from app import check_host, check_port
from core import libraries
from core.datasets.dataset import Dataset, load_dataset
from core.datasets.store import DatasetStore
from core.errors import SettingsError, WorkspaceError
from core.generation.model_cache import ModelCache
from core.generation.sampling import Sampling, sample_next_token
from core.models.resolve import bundled_models, max_context
from core.storage.atomic_write import recover, write_file, written_aside
from core.storage.workspace import Workspace, check_name
from core.training.events import RunStarted, StepDone
from core.training.kernels.memory import peak_memory_mib
from core.training.loop.lr_schedule import learning_rate_at
from core.training.runs.store import RunStore
from core.training.settings import (
    TrainingSettings,
    change_settings,
    default_settings,
    read_settings,
)
from tests.conftest import POCKET, ROOT
from ui.accounts import read_accounts
from ui.middleware import SameOrigin, SecurityHeaders


def test_the_learning_rate_rises_linearly_and_falls_as_half_a_cosine() -> None:
    rates = [learning_rate_at(step, 100, 1.0, 0.1) for step in range(100)]
    assert rates[:3] == pytest.approx([0.1, 0.2, 0.3])
    assert rates[9] == rates[10] == pytest.approx(1.0)
    assert rates[55] == pytest.approx(0.5)
    assert rates[99] == pytest.approx(0.5 * (1 + math.cos(math.pi * 89 / 90)))
    assert learning_rate_at(0, 1, 1.0, 0.0) == 1.0


def drawn(logits: torch.Tensor, sampling: Sampling, *seeds: int) -> torch.Tensor:
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    return sample_next_token(logits, sampling, generators, [set() for _ in seeds])


def test_greedy_takes_the_likeliest_token() -> None:
    logits = torch.tensor([[0.1, 3.0, 0.2], [5.0, 1.0, 1.0]])
    assert drawn(logits, Sampling(), 0, 0).tolist() == [1, 0]


@given(st.integers(1, 4), st.integers(0, 1000))
def test_top_k_draws_only_from_the_k_likeliest(k: int, seed: int) -> None:
    logits = torch.tensor([[4.0, 3.0, 2.0, 1.0, 0.0]])
    assert int(drawn(logits, Sampling(temperature=2.0, top_k=k), seed)) < k


def test_top_p_draws_from_the_smallest_set_with_that_probability() -> None:
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    found = {int(drawn(logits, Sampling(1.0, top_p=0.7), seed)) for seed in range(200)}
    assert found == {0, 1}


def test_sampling_follows_the_probabilities() -> None:
    logits = torch.tensor([[0.6, 0.3, 0.1]]).log().repeat(20_000, 1)
    found = drawn(logits, Sampling(1.0), *range(20_000))
    assert (found.bincount() / 20_000).tolist() == pytest.approx([0.6, 0.3, 0.1], abs=0.015)


def test_all_wrong_sampling_fields_are_named_at_once() -> None:
    with pytest.raises(SettingsError) as raised:
        Sampling(temperature=-1, top_k=-1, top_p=0, max_new_tokens=0)
    assert set(raised.value.fields) == {"temperature", "top_k", "top_p", "max_new_tokens"}


def test_all_wrong_settings_are_named_at_once() -> None:
    with pytest.raises(SettingsError) as raised:
        change_settings(
            TrainingSettings(),
            {"epochs": 0, "learning_rate": 7.0, "seed": -1, "test_share": 2.0, "method": "magic"},
        )
    assert set(raised.value.fields) == {"epochs", "learning_rate", "seed", "test_share", "method"}


def test_settings_survive_being_written_down() -> None:
    settings = default_settings("pocket", "lora")
    assert read_settings(settings.to_json()) == settings
    assert (
        read_settings(json.dumps({**json.loads(settings.to_json()), "from_the_future": 1}))
        == settings
    )


def test_defaults_depend_on_model_and_method() -> None:
    assert default_settings("pocket").method == "full"
    assert default_settings("somebody/else").method == "lora"
    assert default_settings("somebody/else", "full").learning_rate == 2e-5


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "model"
    with written_aside(target) as aside:
        (aside / "one").write_text("first")
    with pytest.raises(OSError, match="disk full"), written_aside(target) as aside:  # noqa: PT012 - the block is what is tested
        (aside / "one").write_text("second")
        raise OSError("disk full")
    assert (target / "one").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    with written_aside(target) as aside:
        (aside / "two").write_text("third")
    assert [path.name for path in target.iterdir()] == ["two"]


def test_on_windows_files_are_synced_through_what_may_write_and_folders_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, synced, ways = os.open, os.fsync, {}
    done = []

    def opened(path: Path, flags: int) -> int:
        if path.is_dir():
            raise PermissionError(13, "Permission denied", str(path))
        descriptor = usual(path, flags)
        ways[descriptor] = (path.name, flags)
        return descriptor

    def sync(descriptor: int) -> None:
        name, flags = ways[descriptor]
        if not flags & os.O_RDWR:
            raise OSError(9, "Bad file descriptor")
        done.append(name)
        synced(descriptor)

    monkeypatch.setattr("core.storage.atomic_write.sys", SimpleNamespace(platform="win32"))
    monkeypatch.setattr("core.storage.atomic_write.os.open", opened)
    monkeypatch.setattr("core.storage.atomic_write.os.fsync", sync)
    with written_aside(tmp_path / "model") as aside:
        (aside / "inner").mkdir()
        (aside / "inner" / "one").write_text("first")
    write_file(tmp_path / "settings.json", b"{}")
    assert done[0] == "one" and done[1].endswith(".new") and len(done) == 2
    assert (tmp_path / "model" / "inner" / "one").read_text() == "first"


def test_the_peak_of_memory_is_told_on_windows_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which has no `resource`; psutil reads it there."""
    monkeypatch.setattr("core.training.kernels.memory.sys", SimpleNamespace(platform="win32"))
    told = SimpleNamespace(memory_info=lambda: SimpleNamespace(peak_wset=300 * 2**20))
    monkeypatch.setattr("core.training.kernels.memory.psutil.Process", lambda: told)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert peak_memory_mib() == 300.0


@pytest.mark.skipif(
    not Path("/proc/self/status").is_file(),
    reason="needs Linux, where a process inherits what it is told of",
)
def test_peak_memory_is_not_that_of_whoever_started_the_process() -> None:
    """As the app starts a training, whose page may hold models of its own."""
    held = bytearray(b"x") * (600 * 2**20)
    words = "from core.training.kernels.memory import peak_memory_mib; print(peak_memory_mib())"
    done = subprocess.run(
        [sys.executable, "-c", words], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert len(held) and 50 < float(done.stdout) < 500


def test_a_crash_between_the_two_renames_is_mended(tmp_path: Path) -> None:
    (tmp_path / ".model.old").mkdir()
    recover(tmp_path / "model")
    assert (tmp_path / "model").is_dir()


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "-x", "a" * 65, "naïve", "a b", ".hidden", "a\nb"]
)
def test_a_name_that_could_leave_its_folder_is_refused(name: str) -> None:
    with pytest.raises(WorkspaceError, match="cannot be a name"):
        check_name(name)


@pytest.mark.parametrize("name", ["a.", "CON", "nul.1", "Lpt3"])
def test_a_new_name_is_one_that_any_system_knows_a_folder_by(
    workspace: Workspace, name: str
) -> None:
    with pytest.raises(WorkspaceError, match="Windows knows no folder of that name"):
        RunStore(workspace).check_free(name)
    check_name(name)  # of a workspace that has it already


def test_names_that_differ_in_capitals_alone_are_one(workspace: Workspace) -> None:
    runs = RunStore(workspace)
    content = DatasetStore(workspace).keep(sample_of(workspace))
    runs.create("Mine-1", TrainingSettings(), content, {})
    with pytest.raises(WorkspaceError, match="There is a run 'Mine-1' already"):
        runs.check_free("mine-1")
    assert runs.free_name("mine") == "mine-2"
    with pytest.raises(WorkspaceError, match="stands for something else"):
        runs.check_free("Pocket")
    with pytest.raises(WorkspaceError, match="There is a run 'Mine-1' already"):
        runs.rename("Mine-1", "Mine-1")
    runs.rename("Mine-1", "mine-1")  # its own name in other capitals
    assert [row["name"] for row in runs.all()] == ["mine-1"]


def test_the_last_runs_speed_is_told_of_runs_that_cost_the_same(workspace: Workspace) -> None:
    runs = RunStore(workspace)
    content = DatasetStore(workspace).keep(sample_of(workspace))
    runs.create("r", TrainingSettings(), content, {})
    assert runs.last_speed(TrainingSettings(), content) is None
    runs.record("r", RunStarted("r", 0, 4, 4, 1, 0, 5, 5, "cpu"))
    runs.record("r", StepDone(1, 0.25, 2.0, 1e-3, 1.0, 500, 250.0, 600.0, 2.0))
    for wanted, speed in (
        (TrainingSettings(epochs=9, learning_rate=1e-4, seed=1), 250.0),
        (TrainingSettings(last_blocks=1), None),
        (TrainingSettings(method="lora"), None),
        (TrainingSettings(evaluations_per_epoch=5), None),
    ):
        assert runs.last_speed(wanted, content) == speed
    assert runs.last_speed(TrainingSettings(), "another file") is None


def sample_of(workspace: Workspace) -> Dataset:
    path = workspace.folder / "one.json"
    path.write_text(json.dumps([{"instruction": "Say a word.", "output": "word"}]))
    return load_dataset(path)


def test_a_workspace_that_cannot_be_used_gets_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(WorkspaceError, match="cannot be made"):
        Workspace(tmp_path / "file" / "workspace")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "fuata.db").write_bytes(b"this is no database at all" * 100)
    with pytest.raises(WorkspaceError, match="is damaged or no database .*move it away"):
        Workspace(tmp_path / "damaged")


def test_the_database_syncs_every_transaction_and_enforces_its_links(workspace: Workspace) -> None:
    assert workspace.database.one("PRAGMA synchronous") == {"synchronous": 2}
    assert workspace.database.one("PRAGMA journal_mode") == {"journal_mode": "wal"}
    assert workspace.database.one("PRAGMA foreign_keys") == {"foreign_keys": 1}


def test_two_processes_that_write_at_once_wait_for_each_other(
    workspace: Workspace, tmp_path: Path
) -> None:
    import subprocess
    import sys

    from tests.conftest import ROOT

    with workspace.database.transaction() as tables:
        tables.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)")
    script = (
        "import sys; from pathlib import Path; from core.storage.database import Database\n"
        "database = Database(Path(sys.argv[1]))\n"
        "for _ in range(150):\n"
        "    with database.transaction() as tables:\n"
        "        list(tables.query('SELECT count(*) FROM notes')); "
        "tables.table('notes').insert({'text': 'x'})\n"
    )
    line = [sys.executable, "-c", script, str(workspace.folder / "fuata.db")]
    writers = [
        subprocess.Popen(line, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    assert [writer.communicate(timeout=60)[1] for writer in writers] == ["", ""]
    assert workspace.database.one("SELECT count(*) AS n FROM notes") == {"n": 300}


def test_the_bundled_model_is_there_and_small() -> None:
    assert bundled_models() == ["pocket"]
    assert max_context(POCKET) == 512
    assert sum(path.stat().st_size for path in POCKET.iterdir()) < 20 * 2**20


def answered(app: Any, headers: dict[str, str], kind: str = "http") -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    scope = {
        "type": kind,
        "headers": [(key.encode(), value.encode()) for key, value in headers.items()],
    }
    with ThreadPoolExecutor(
        1
    ) as pool:  # Playwright keeps an event loop running in the thread of the tests
        pool.submit(asyncio.run, app(scope, receive, send)).result()
    return sent


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "127.0.0.1:7860"}, 200),
        ({"host": "localhost:7860", "origin": "http://localhost:7860"}, 200),
        ({"host": "[::1]:7860"}, 200),
        ({"host": "127.0.0.1:7860", "origin": "http://evil.example"}, 403),
        ({"host": "127.0.0.1:7860", "origin": "null"}, 403),
        ({"host": "127.0.0.1:7860", "origin": "http://127.0.0.1:9999"}, 403),
        ({"host": "evil.example:7860"}, 403),
        ({"host": "127.0.0.1.evil.example"}, 403),
        ({}, 403),
    ],
)
def test_foreign_hosts_and_origins_are_refused(headers: dict[str, str], status: int) -> None:
    assert answered(SameOrigin(hello), headers)[0]["status"] == status


def test_a_server_with_a_password_answers_to_any_name_but_no_foreign_page() -> None:
    app = SameOrigin(hello, hosts=frozenset())
    assert answered(app, {"host": "lab.example"})[0]["status"] == 200
    assert (
        answered(app, {"host": "lab.example", "origin": "http://evil.example"})[0]["status"] == 403
    )


def test_a_foreign_websocket_is_closed() -> None:
    assert answered(SameOrigin(hello), {"host": "evil.example"}, "websocket") == [
        {"type": "websocket.close", "code": 1008}
    ]


def test_every_answer_carries_the_policy() -> None:
    headers = dict(answered(SecurityHeaders(hello), {})[0]["headers"])
    assert b"default-src 'self'" in headers[b"content-security-policy"]
    assert b"script-src-attr 'none'" in headers[b"content-security-policy"]


def test_a_network_is_served_only_with_a_password_or_on_insistence() -> None:
    check_host("127.0.0.1", has_auth=False, insists=False)
    check_host("0.0.0.0", has_auth=True, insists=False)
    check_host("0.0.0.0", has_auth=False, insists=True)
    with pytest.raises(WorkspaceError, match="--auth FILE"):
        check_host("0.0.0.0", has_auth=False, insists=False)


def test_a_port_in_use_gets_one_sentence() -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(WorkspaceError, match="choose another with --port"):
            check_port("127.0.0.1", taken.getsockname()[1])


def test_accounts_are_read_and_bad_lines_named(tmp_path: Path) -> None:
    path = tmp_path / "accounts"
    path.write_text("# people\nowner amina:se:cret\n\njuma:x\n")
    accounts = read_accounts(path)
    tokens = [
        accounts.sign_in(*who, "here")
        for who in (("Amina", "se:cret"), ("juma", "x"), ("juma", "y"), ("neema", "x"))
    ]
    found = [accounts.find(token or "") for token in tokens]
    assert [(one.name, one.role) if one else None for one in found] == [
        ("amina", "owner"),
        ("juma", "reviewer"),
        None,
        None,
    ]
    kept = path.read_text()
    assert (
        "se:cret" not in kept
        and kept.count("$argon2") == 2
        and kept.startswith("# people\nowner amina:$argon2")
    )
    assert read_accounts(path).sign_in("amina", "se:cret", "here") and path.read_text() == kept
    path.write_text("juma:x\n")
    with pytest.raises(WorkspaceError, match="names no owner"):
        read_accounts(path)
    path.write_text("amina\n")
    with pytest.raises(WorkspaceError, match="line 1"):
        read_accounts(path)
    path.write_text("# nobody\n")
    with pytest.raises(WorkspaceError, match="names nobody"):
        read_accounts(path)


def test_a_model_is_not_loaded_while_its_libraries_are_half_imported() -> None:
    """They import one another in circles: a chat that began while the app warmed up failed."""
    with ThreadPoolExecutor(1) as pool:
        with libraries._LOCK:  # as while the app warms up
            loading = pool.submit(ModelCache(None).get, "pocket")
            with pytest.raises(TimeoutError):
                loading.result(timeout=1)
        assert loading.result().context > 0
