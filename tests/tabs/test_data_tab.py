"""What the Data tab's events answer, called as Gradio calls them."""

import json
from pathlib import Path

import gradio as gr
import pytest

from core.cli.main import main
from core.datasets.dataset import load_dataset
from core.errors import DataError
from core.hub.dataset_files import HubDataset, HubFile
from tests.endpoints import answering
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
        == page.trigger("show_left", None, "pocket", 1, "alpaca", True, "end")
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
        page.trigger("show_left", key, "pocket", 1, "alpaca", True, "end"),
    ):
        assert "<script" not in markup and "<img" not in markup
    page = open_tab(build_train_tab)
    assert "<script" not in page.trigger("show_ready", key, *train_values(page))[0]


def test_a_preview_says_how_much_is_trained(services: Services, open_tab: Open) -> None:
    page, key = open_tab(build_data_tab), services.dataset_choices()[0][1]
    shown = page.trigger("show_left", key, "pocket", 3, "alpaca", True, "end")
    assert (
        "7 of 42 tokens are trained" in shown
        and 'class="padding"' in shown
        and 'class="masked"' in shown
    )
    assert "41 of 42 tokens are trained" in page.trigger(
        "show_left", key, "pocket", 3, "alpaca", False, "end"
    )
    refused = page.trigger("leave_row", key, 2)
    shown = page.trigger("show_left", refused.value, "pocket", 2, "alpaca", True, "end")
    assert "Row 2 is refused: left out by you" in shown
    with pytest.raises(gr.Error, match="has rows 1 to 1570"):
        page.trigger("show_right", key, "pocket", 5000, "phi3", True, "end")
    with pytest.raises(gr.Error, match="no style"):
        page.trigger("show_right", key, "pocket", 1, "<none>", True, "end")


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


def test_a_style_is_begun_tried_saved_and_offered_everywhere(
    services: Services, open_tab: Open
) -> None:
    page = open_tab(build_data_tab)
    key = services.dataset_choices()[0][1]
    begun = page.trigger("begin_style", "pocket", "chatml")
    assert "<|im_start|>" in begun
    save = ("save_style", key, "pocket", 1)
    assert "line 2: " in page.trigger(*save, "mine", "a\n{% if %}")[2]
    assert (
        "line 3: " in page.trigger(*save, "mine", "{{ bos_token }}\na\n{{ messages[9].role }}")[2]
    )
    assert "characters" in page.trigger(*save, "mine", " ")[2]
    assert "leaves out message" in page.trigger(*save, "mine", "hello")[2]
    assert 'role="alert"' in page.trigger(*save, "../mine", begun)[2]
    assert list(services.workspace.styles.iterdir()) == []
    assert [p.name for p in services.workspace.uploads.iterdir()] == []
    left, right, told = page.trigger(*save, "mine", begun.replace("im_", "my_"))
    assert "Saved" in told and ("mine", left.value) in left.choices == right.choices
    assert "&lt;|my_start|&gt;" in page.trigger(
        "show_left", key, "pocket", 1, left.value, True, "end"
    )


def test_changes_make_versions_that_the_command_line_names(
    services: Services, open_tab: Open, capsys: pytest.CaptureFixture[str]
) -> None:
    page = open_tab(build_data_tab)
    key = services.dataset_choices()[0][1]
    before = services.datasets.load(key)
    with pytest.raises(gr.Error, match="is as it was"):
        page.trigger("save_row", key, 1, *page.trigger("show_row", key, 1))
    mended = page.trigger("save_row", key, 1, "Who?", "Me.", "test").value
    left = page.trigger("leave_row", mended, 2).value
    added, row = page.trigger("add_row", left, "New?", "Yes.", "")
    made = services.datasets.load(added.value)
    assert row == before.row_count + 1 == made.row_count
    assert made.example(1).answer == "Me." and made.example(row).answer == "Yes."
    with pytest.raises(DataError, match="left out by you"):
        made.example(2)
    shown = page.trigger("show_version", added.value, "pocket")
    assert "edited or added by hand: 2 rows" in shown[4] and "Yes." in shown[4]
    where = ["--workspace", str(services.workspace.folder)]
    assert main(["check", f"version:{added.value[:12]}", *where]) == 0
    assert "(version 4)" in capsys.readouterr().out
    for word, more, sentence in (
        ("version:nothing", [], "has no dataset"),
        (f"version:{added.value[:12]}", ["--mask", "email"], "name it alone"),
    ):
        assert main(["check", word, *more, *where]) == 2
        assert sentence in capsys.readouterr().err
    written = page.trigger("write_dataset", added.value, "alpaca").value
    assert len(
        load_dataset(Path(written["path"] if isinstance(written, dict) else written)).examples
    ) == len(made.examples)
    page.trigger("rename_dataset", added.value, "Mine")
    assert services.datasets.load(added.value).name == "Mine"
    assert page.trigger("delete_dataset", added.value).value != added.value
    assert page.trigger("delete_dataset", None) == gr.skip()


def test_a_file_of_prompts_waits_for_a_model_that_drafts_its_answers(
    services: Services, open_tab: Open, tmp_path: Path
) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"prompt": "Name a colour."}\n{"prompt": "Name a tree."}\n')
    page = open_tab(build_data_tab)
    dropdown, problem, _, waiting, *_ = page.trigger("take_upload", [upload(services, path)])
    assert dropdown.value is None and "2 prompts: a model can draft the answers" in problem
    with answering() as (address, _):
        steps = list(page.trigger("draft_answers", None, waiting, f"{address}#large", 32))
    told, chosen, waits = steps[-1]
    assert "2 answers drafted" in told and waits == ""
    kept = services.datasets.load(chosen.value)
    assert (
        kept.name == "prompts drafted.jsonl"
        and [one.drafted for one in kept.examples] == [True] * 2
    )
    made = page.trigger("save_row", chosen.value, 1, "Name a colour.", "NAME A COLOUR.", "")
    assert [one.drafted for one in services.datasets.load(made.value).examples] == [False, True]
    for key, word in ((None, f"{address}#large"), (chosen.value, "")):
        [(told, *_)] = page.trigger("draft_answers", key, "", word, 32)
        assert "Choose" in told
