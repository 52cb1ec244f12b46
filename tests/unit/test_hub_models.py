"""Models of a hub that stands in on this machine: told of, fetched, stopped, gone on with, refused."""

import hashlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from core.errors import ModelError, StoppedError
from core.hub import model_files
from core.hub.background import ModelFetches
from core.hub.model_files import fetch_hub_model, find_hub_model, local_copy
from core.models.resolve import NotFetchedError, find_model
from core.progress import ongoing
from core.storage.workspace import Workspace
from tests.conftest import POCKET, ROOT
from tests.standin_hub import Hub, hub, standin_hub

__all__ = ["hub"]  # a fixture


def fetched(path: str) -> list[str]:
    return [line for line in Hub.asked if line.startswith("GET") and path in line]


@pytest.mark.usefixtures("hub")
def test_a_model_is_told_of_before_it_is_fetched_and_then_lies_here(workspace: Workspace) -> None:
    found = find_hub_model("amina/pocket")
    size = sum(path.stat().st_size for path in POCKET.iterdir() if path.suffix != ".md")
    assert (found.licence, found.size) == ("apache-2.0", size)
    assert found.words == f"{size / 2**20:,.0f} MiB, licence: apache-2.0"
    assert local_copy("amina/pocket") is None
    workspace.fetches_at_once = False  # as on the page
    with pytest.raises(
        NotFetchedError, match=r"on the hub and not here yet \(11 MiB, licence: apache-2.0\): fetch"
    ):
        find_model("amina/pocket", workspace)
    assert not fetched("/resolve/")
    folder = fetch_hub_model(found)
    assert {path.name for path in folder.iterdir()} == {
        path.name for path in POCKET.iterdir() if path.suffix != ".md"
    }  # neither the second copy of the weights nor the card
    assert find_model("amina/pocket", workspace).folder == folder == local_copy("amina/pocket")
    (folder / "config.json").unlink()
    assert local_copy("amina/pocket") is None


@pytest.mark.usefixtures("hub")
def test_a_fetch_is_watched_stopped_and_gone_on_with() -> None:
    Hub.pause_s = 0.15
    found = find_hub_model("amina/slow")
    ends: list[BaseException] = []

    def fetch() -> None:
        try:
            fetch_hub_model(found)
        except StoppedError as error:
            ends.append(error)

    thread = threading.Thread(target=fetch)
    thread.start()
    patience = time.monotonic() + 30
    while not any(one.share > 0.35 for one in ongoing()):
        assert time.monotonic() < patience and thread.is_alive()
        time.sleep(0.02)
    [work] = ongoing()
    assert work.title == "Fetching amina/slow (11 MiB)" and 0.35 < work.share < 0.8
    work.stop()
    thread.join(30)
    assert str(ends[0]).endswith("was stopped; it goes on from there next time")
    assert local_copy("amina/slow") is None and ongoing() == []
    Hub.pause_s = 0.0
    Hub.asked.clear()
    folder = fetch_hub_model(found)
    assert (folder / "model.safetensors").read_bytes() == (
        POCKET / "model.safetensors"
    ).read_bytes()
    [weights] = fetched("model.safetensors")
    first = int(weights.partition("bytes=")[2].rstrip("-"))
    assert first > 0.2 * found.size  # only the rest


@pytest.mark.usefixtures("hub")
def test_what_came_damaged_is_told_of_and_fetched_anew(tmp_path: Path) -> None:
    found = find_hub_model("amina/pocket")
    weights = (POCKET / "model.safetensors").read_bytes()
    part = tmp_path / "cache" / "models--amina--pocket" / "blobs" / (
        hashlib.sha256(weights).hexdigest() + ".fuata"
    )  # fmt: skip
    part.parent.mkdir(parents=True)
    part.write_bytes(b"other bytes")
    with pytest.raises(ModelError, match="model.safetensors came damaged from the hub: fetch it"):
        fetch_hub_model(found)
    part.write_bytes(weights + b"too long")
    assert (fetch_hub_model(found) / "model.safetensors").read_bytes() == weights
    assert list(part.parent.glob("*.fuata")) == []


@pytest.mark.usefixtures("hub")
def test_a_connection_that_breaks_is_taken_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
    Hub.breaks = 2
    folder = fetch_hub_model(find_hub_model("amina/broken"))
    assert Hub.breaks == 0
    assert (folder / "model.safetensors").read_bytes() == (
        POCKET / "model.safetensors"
    ).read_bytes()


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "amina/nothing",
            "There is no model 'amina/nothing' here or on the hub: check the name; a priv",
        ),
        (
            "amina/gated",
            r"'amina/gated' is only for people .*https://huggingface.co/amina/gated, then",
        ),
        ("amina/pickle", "'amina/pickle' has no weights as safetensors on the hub"),
    ],
)
def test_what_cannot_be_fetched_is_told_in_a_sentence(
    name: str, sentence: str, workspace: Workspace
) -> None:
    with pytest.raises(ModelError, match=sentence):
        find_model(name, workspace)


def test_without_a_network_or_room_it_is_told_in_a_sentence(
    hub: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    found = find_hub_model("amina/pocket")
    monkeypatch.setattr(model_files.shutil, "disk_usage", lambda _: SimpleNamespace(free=2**20))
    with pytest.raises(ModelError, match=r"has 11 MiB, and 1 are free in .*: make room"):
        fetch_hub_model(found)
    monkeypatch.setattr(constants, "ENDPOINT", hub.rpartition(":")[0] + ":9")
    with pytest.raises(ModelError, match="could not be fetched from the hub: check the network"):
        find_hub_model("amina/pocket")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE forbids to ask the hub"):
        find_hub_model("amina/pocket")


@pytest.mark.usefixtures("hub")
def test_one_fetch_of_a_model_serves_all_who_wait_for_it() -> None:
    Hub.pause_s = 0.02
    found, fetches = find_hub_model("amina/slow"), ModelFetches()
    for _ in range(3):
        fetches.start(found)
    fetches.wait("amina/slow")
    fetches.wait("amina/unknown")
    assert local_copy("amina/slow") is not None and len(fetched("model.safetensors")) == 1


@pytest.mark.slow
def test_the_command_line_fetches_what_is_named_and_needs_no_network_the_next_time(
    tmp_path: Path,
) -> None:
    words = [sys.executable, "-m", "core", "generate", "--model", "amina/pocket", "--prompt", "Hi"]
    words += ["--max-new-tokens", "4", "--workspace", str(tmp_path / "w"), "--json"]
    environment = {**os.environ, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "0",
                   "HF_HUB_DISABLE_XET": "1"}  # fmt: skip
    with standin_hub() as address:
        answers = [
            subprocess.run(
                words, cwd=ROOT, env={**environment, "HF_ENDPOINT": one}, capture_output=True,
                text=True, check=False,
            )
            for one in (address, "http://127.0.0.1:9")
        ]  # fmt: skip
    assert [one.returncode for one in answers] == [0, 0], answers
    assert answers[0].stdout == answers[1].stdout
