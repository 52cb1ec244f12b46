"""What the Data tab's events answer, called as Gradio calls them."""

import json
from pathlib import Path

import gradio as gr
import pytest

from core.hub.dataset_files import HubDataset, HubFile
from tests.tabs.conftest import (
    HOSTILE,
    Open,
    train_values,
    upload,
)
from ui.data.tab import build_data_tab
from ui.services import Services
from ui.train.tab import build_train_tab


def test_an_upload_is_kept_and_reported(services: Services, open_tab: Open, book: Path) -> None:
    page = open_tab(build_data_tab)
    dropdown, problem, chip, *_ = page.trigger("take_upload", [upload(services, book)])
    key = dropdown.value
    assert problem == "" and chip is None and list(services.workspace.uploads.iterdir()) == []
    report, train = page.trigger("show_report", key, "pocket")
    assert train.visible
    assert 'data-rows="1100"' in report and "Exact repeats of a prompt: <b>25</b>" in report
    assert services.datasets.recent()[0]["content_hash"] == key


def test_a_bad_upload_stays_on_the_page_as_one_sentence_and_leaves_nothing(
    services: Services, open_tab: Open, tmp_path: Path
) -> None:
    path = tmp_path / "<b>empty.json"
    path.write_text("")
    before = services.datasets.recent()
    page = open_tab(build_data_tab)
    dropdown, problem, chip, *_ = page.trigger("take_upload", [upload(services, path)])
    assert (dropdown.value, chip) == (None, None)  # what stood there before is true no longer
    assert (
        page.trigger("show_report", None, "pocket")[0]
        == page.trigger("show_left", None, "pocket", 1, "alpaca", True)
        == ""
    )
    assert page.trigger("show_rows", None, "", 1) == ([], "")
    assert "&lt;b&gt;empty.json is empty" in problem
    assert services.datasets.recent() == before


def test_hostile_rows_are_text_in_every_view(
    services: Services, open_tab: Open, tmp_path: Path
) -> None:
    path = tmp_path / "hostile.json"
    path.write_text(
        json.dumps(
            [{"instruction": HOSTILE, "input": "", "output": HOSTILE}, {"instruction": HOSTILE}]
        )
    )
    page = open_tab(build_data_tab)
    key = page.trigger("take_upload", [upload(services, path)])[0].value
    for markup in (
        page.trigger("show_report", key, "pocket")[0],
        page.trigger("show_left", key, "pocket", 1, "alpaca", True),
    ):
        assert "<script" not in markup and "<img" not in markup
    page = open_tab(build_train_tab)
    assert "<script" not in page.trigger("show_ready", key, *train_values(page))[0]


def test_a_preview_says_how_much_is_trained(services: Services, open_tab: Open) -> None:
    page, key = open_tab(build_data_tab), services.dataset_choices()[0][1]
    shown = page.trigger("show_left", key, "pocket", 3, "alpaca", True)
    assert (
        "7 of 42 tokens are trained" in shown
        and 'class="padding"' in shown
        and 'class="masked"' in shown
    )
    assert "41 of 42 tokens are trained" in page.trigger(
        "show_left", key, "pocket", 3, "alpaca", False
    )
    with pytest.raises(gr.Error, match="has rows 1 to 1570"):
        page.trigger("show_right", key, "pocket", 5000, "phi3", True)
    with pytest.raises(gr.Error, match="no style"):
        page.trigger("show_right", key, "pocket", 1, "<none>", True)


def test_a_chosen_split_is_remembered_and_used_for_training(
    services: Services, open_tab: Open, book: Path
) -> None:
    page = open_tab(build_data_tab)
    key = page.trigger("take_upload", [upload(services, book)])[0].value
    assert page.trigger("choose_split", key, 20, 10, 7).startswith(
        "770 rows to train on · 110 to validate · 220 to test"
    )
    assert page.trigger("show_split", key)[:3] == (20, 10, 7)
    with pytest.raises(gr.Error):
        page.trigger("choose_split", key, 95, 10, 7)
    train = open_tab(build_train_tab)
    assert (
        "770 rows to train on, 110 to validate, 220 kept for Review"
        in train.trigger("show_ready", key, *train_values(train))[0]
    )


def test_the_table_pages_and_finds(services: Services, open_tab: Open) -> None:
    page, key = open_tab(build_data_tab), services.dataset_choices()[0][1]
    rows, words = page.trigger("show_rows", key, "", 2)
    assert (len(rows), rows[0][0], words) == (100, 101, "1,570 rows, page 2 of 16")
    rows, words = page.trigger("show_rows", key, "CAPITAL OF C", 99)
    assert len(rows) >= 1 and "page 1 of 1" in words


def test_a_hub_dataset_is_fetched_with_progress_and_kept(
    services: Services, open_tab: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = HubDataset(
        name="amina/rows",
        revision="c" * 40,
        licence="cc-by-4.0",
        files=(HubFile(path="train.jsonl", size=50),),
    )

    def fetch(_dataset: HubDataset, file: HubFile, folder: Path) -> Path:
        (folder / file.path).write_text('{"question": "Q", "answer": "A"}\n')
        return folder / file.path

    monkeypatch.setattr("core.datasets.from_hub.find_hub_dataset", lambda *_: found)
    monkeypatch.setattr("core.datasets.from_hub.fetch_file", fetch)
    page = open_tab(build_data_tab)
    steps = list(page.trigger("fetch_dataset", "amina/rows", "", "", "", 0))
    assert "train.jsonl" in steps[1][0] and "Licence: cc-by-4.0" in steps[-1][0]
    dataset = services.datasets.load(steps[-1][1].value)
    assert dataset.examples[0].split == "train" and dataset.name == "amina-rows.zip"
    begun = page.trigger("fetch_dataset", "amina/rows", "", "", "", 0)
    next(begun)
    next(begun)
    begun.close()  # as Gradio does when it is stopped
    assert list(services.workspace.uploads.iterdir()) == []
    refused = list(page.trigger("fetch_dataset", "amina/rows", "none", "", "", 0))
    assert "has no file for that configuration" in refused[-1][2]
