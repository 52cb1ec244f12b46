"""Rows of a stranger: an odd file is mapped, mended, masked and trained on, by mouse and keys."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.serving import Server

pytestmark = pytest.mark.browser

LINES = [
    "Heading,Best verse,kind",
    *(f"What is thing {n}?,It is number {n} of them all.,facts" for n in range(1, 40)),
    "Where does Amina live?,Write to amina@example.org and ask her.,people",
    "Which colour is the sky?,It is gren.,facts",
]


def choose(page: Page, label: str, text: str) -> None:
    box = page.get_by_label(label, exact=True)
    box.click()
    box.fill(text)
    box.press("Enter")


def open_box(page: Page, name: str) -> None:
    page.get_by_role("button", name=re.compile(f"^{name}")).click()


def dropped(page: Page, path: Path) -> None:
    page.locator("#upload input[type=file]").set_input_files(str(path))


def test_an_odd_table_is_mapped_mended_masked_and_trained_on(
    page: Page, server: Server, tmp_path: Path
) -> None:
    table = tmp_path / "verses.csv"
    table.write_text("\n".join(LINES))
    page.goto(f"{server.url}/?tab=data")
    expect(page.locator("#check-report .fuata-report")).to_be_visible()
    dropped(page, table)
    expect(page.locator("#data-problem")).to_contain_text("no names that say what is asked")
    expect(page.locator("#check-report .fuata-report")).to_have_count(0)  # nothing untrue stands
    choose(page, "Instruction", "Heading")
    page.locator("#map-output input").fill("Best verse")
    page.locator("#map-output input").press("Enter")
    expect(page.locator("#mapping-tried")).to_contain_text(
        "Of the first 41 rows 41 usable, 0 refused"
    )
    expect(page.locator("#mapping-tried")).to_contain_text("It is number 1 of them all.")
    page.locator("#use-map").click()
    expect(page.locator("#check-report")).to_contain_text("mapped csv")
    expect(page.locator("#data-problem")).to_be_empty()
    _mask_what_the_report_names(page)
    _mend_an_answer(page)
    page.locator("#train-on-this").click()
    expect(page.locator("#train-dataset input")).to_have_value("verses.csv (version 3) · 41 rows")
    page.locator("#start").click()
    expect(page.locator("#monitor [data-part=state]")).to_contain_text("finished", timeout=120_000)


def _mask_what_the_report_names(page: Page) -> None:
    report = page.locator("#check-report")
    open_box(page, "Statistics")
    expect(page.locator("#statistics [data-part=cut]")).to_contain_text("are longer than")
    expect(page.locator("#statistics [data-part=bars] svg.main-svg").first).to_be_visible()
    page.locator("#statistics [data-map=split]").click()
    expect(page.locator("#statistics [data-part=map] svg.main-svg").first).to_be_visible()
    report.locator("[data-kind=personal] summary").click()
    report.get_by_role("button", name="Row 40").click()
    expect(page.locator("#preview-row input")).to_have_value("40")
    open_box(page, "Clean it")
    page.get_by_label("email", exact=True).check()
    page.locator("#make-version").click()
    expect(page.locator("#dataset input")).to_have_value("verses.csv (version 2) · 41 rows")
    expect(report.locator("[data-kind=personal]")).to_have_count(0)


def _mend_an_answer(page: Page) -> None:
    page.locator("#preview-row input").fill("41")
    page.locator("#preview-row input").press("Tab")
    open_box(page, "Mend this row, or add one")
    answer = page.locator("#edit-answer textarea")
    expect(answer).to_have_value("It is gren.")
    _fill_when_calm(page, answer, "It is blue.")
    page.locator("#save-row").click()
    expect(page.locator("#dataset input")).to_have_value("verses.csv (version 3) · 41 rows")
    open_box(page, "This version")
    version = page.locator("#changes")
    expect(version).to_contain_text("masked: email")
    expect(version.locator("del")).to_contain_text("It is gren.")
    expect(version.locator("ins")).to_contain_text("It is blue.")


def _fill_when_calm(page: Page, field: Locator, text: str) -> None:
    """Fill a field that an answer on its way may fill anew with the row that is shown."""
    for _ in range(10):
        field.fill(text)
        page.wait_for_timeout(2_000)
        if field.input_value() == text:
            return


def test_rows_are_pasted_and_several_files_are_one_dataset(
    page: Page, server: Server, tmp_path: Path
) -> None:
    page.goto(f"{server.url}/?tab=data")
    expect(page.locator("#check-report .fuata-report")).to_be_visible()
    open_box(page, "Or paste rows")
    page.locator("#pasted textarea").fill("question\tanswer\nWhy?\tBecause.\nWho?\tMe.\n")
    page.locator("#use-pasted").click()
    expect(page.locator("#check-report")).to_contain_text("question + answer tsv")
    expect(page.locator("#pasted textarea")).to_have_value("")
    paths = []
    for name in ("train.jsonl", "test.jsonl"):
        path = tmp_path / name
        path.write_text(json.dumps({"instruction": name, "output": f"It is {name}."}) + "\n")
        paths.append(str(path))
    page.locator("#upload input[type=file]").set_input_files(paths)
    expect(page.locator("#check-report")).to_contain_text("and 1 more.zip")
    expect(page.locator("#splits")).to_contain_text("1 rows to train on")
    bad = tmp_path / "bad.json"
    bad.write_text("{")
    dropped(page, bad)
    expect(page.locator("#data-problem")).to_contain_text("bad.json is not valid JSON")
    expect(page.locator("#check-report .fuata-report")).to_have_count(0)
    dropped(page, Path(paths[0]))  # the next file is taken at once
    expect(page.locator("#check-report")).to_contain_text("train.jsonl")
    expect(page.locator("#data-problem")).to_be_empty()
