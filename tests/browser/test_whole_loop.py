"""A stranger's first sitting, from a file to a result, in a real browser."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from sqlite_utils import Database

from tests.serving import Server

pytestmark = [pytest.mark.browser, pytest.mark.slow]
_TRAINING_MS = 240_000


def test_a_person_goes_from_a_file_to_rated_pairs_in_one_sitting(
    page: Page, server: Server, book: Path
) -> None:
    _look_at_data(page, server, book)
    _train_and_reload(page, server)
    _chat(page)
    _make_review(page)
    kept = _rate_ten_and_undo_one(page)
    _read_result_and_export(page, kept)
    _the_database_holds_exactly(server, kept)


def _look_at_data(page: Page, server: Server, book: Path) -> None:
    page.goto(server.url)
    report = page.locator(".fuata-report")
    expect(report).to_be_visible(timeout=60_000)
    page.locator("#upload input[type=file]").set_input_files(book)
    expect(report).to_have_attribute("data-rows", "1100", timeout=60_000)
    repeats = report.locator("details", has_text="Exact repeats of a prompt")
    expect(repeats.locator("summary")).to_contain_text("25")
    repeats.locator("summary").click()
    expect(repeats.locator("li")).to_have_count(25)
    expect(repeats.locator("li").first).to_contain_text(re.compile(r"Row \d+ repeats row \d+"))
    for side, style in (("left", "Alpaca"), ("right", "Phi-3")):
        tokens = page.locator(f"#tokens-{side} .fuata-tokens")
        expect(tokens).to_contain_text(f"{style}: ")
        expect(tokens.locator(".tokens .trained").last).to_have_text("<|endoftext|>")
    expect(page.locator("#splits")).to_contain_text("untouched until Review")


def _train_and_reload(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/?tab=train")
    expect(page.locator("#ready")).to_contain_text("935 rows to train on", timeout=60_000)
    page.get_by_label("Epochs").fill("1")
    page.get_by_label("Run name").fill("first")
    page.locator("#start").click()
    _wait_for_points(page, 3)
    before = _points(page)
    page.reload()
    _wait_for_points(page, before)
    expect(page.locator("#monitor .plot svg.main-svg").first).to_be_visible()
    _wait_for_points(page, before + 3)
    expect(page.locator("#monitor [data-part=state]")).to_have_text(
        "finished", timeout=_TRAINING_MS
    )
    expect(page.locator("#monitor .answers article")).to_have_count(3)
    expect(page.locator("#monitor tbody tr")).to_have_count(1)


def _points(page: Page) -> int:
    return int(
        page.evaluate(
            "Number([...document.querySelectorAll('#monitor, #monitor *')].find(n => "
            "n.dataset.points)?.dataset.points || 0)"
        )
    )


def _wait_for_points(page: Page, least: int) -> None:
    page.wait_for_function(
        "least => [...document.querySelectorAll('#monitor, #monitor *')].some(n => "
        "Number(n.dataset.points || 0) >= least)",
        arg=least,
        timeout=_TRAINING_MS,
    )


def _chat(page: Page) -> None:
    page.get_by_role("tab", name="Chat").click()
    page.get_by_label("Model", exact=True).click()
    page.get_by_role("option", name="first").click()
    page.get_by_label("Message", exact=True).fill("What is the opposite of hot?")
    page.get_by_label("Message", exact=True).press("Enter")
    expect(page.locator("#chatbot")).to_contain_text("What is the opposite of hot?")
    expect(page.locator("#chatbot .bot.message, #chatbot [data-testid=bot]").first).to_contain_text(
        re.compile(r"\w{2,}"), timeout=60_000
    )
    page.get_by_text("The exact prompt").click()
    expect(page.locator("#exact-prompt")).to_contain_text(
        "### Instruction:\nWhat is the opposite of hot?\n\n### Response:"
    )


def _make_review(page: Page) -> None:
    page.get_by_role("tab", name="Review").click()
    contenders = page.locator("#contenders")
    expect(contenders).to_contain_text("pocket (base)")
    expect(contenders).to_contain_text("first")
    page.locator("#review-rows input").fill("12")
    page.locator("#review-name textarea, #review-name input").fill("base-or-tuned")
    page.locator("#make-review").click()
    expect(page.locator("#making")).to_contain_text("Ready to judge.", timeout=_TRAINING_MS)


def _rate_ten_and_undo_one(page: Page) -> list[tuple[int, str]]:
    """Judge ten pairs with keys, take one back, judge it again; return what should be in the
    database.
    """
    page.get_by_label("Your name").fill("Amina")
    page.locator("#judge").click()
    keys = {"1": "a", "2": "b", "3": "tie", "4": "both_bad"}
    given: list[tuple[int, str]] = []
    for number in range(10):
        pair = _pair(page, [pair for pair, _ in given])
        key = "1234"[number % 4]
        page.keyboard.press(key)
        given.append((pair, keys[key]))
        expect(page.locator("#pair [data-part=progress]")).to_have_text(
            f"{number + 1} of 12 judged"
        )
    page.keyboard.press("u")
    expect(page.locator("#pair [data-part=progress]")).to_have_text("9 of 12 judged")
    undone, _ = given.pop()
    assert _pair(page, []) == undone
    return given


def _pair(page: Page, done: list[int]) -> int:
    handle = page.wait_for_function(
        "done => { const n = [...document.querySelectorAll('#pair, #pair *')].find(n => "
        "n.dataset.pair);"
        " const id = Number(n?.dataset.pair || 0); return id && !done.includes(id) ? id : 0 }",
        arg=done,
    )
    return int(handle.json_value())


def _read_result_and_export(page: Page, kept: list[tuple[int, str]]) -> None:
    page.get_by_role("tab", name="Results").click()
    expect(page.locator("#result [data-ratings]")).to_have_attribute("data-ratings", str(len(kept)))
    expect(page.locator("#result")).to_contain_text("Wilson interval")
    page.get_by_label("Export as").click()
    page.get_by_role("option", name="JSON lines", exact=True).click()
    page.locator("#export").click()
    with page.expect_download() as download:
        page.locator("#exported a").first.click()
    lines = Path(download.value.path()).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["verdict"] for line in lines] == [verdict for _, verdict in kept]


def _the_database_holds_exactly(server: Server, kept: list[tuple[int, str]]) -> None:
    database = Database(server.workspace / "fuata.db")
    rows = list(database.query("SELECT pair_id, verdict, reviewer FROM verdicts ORDER BY id"))
    assert [(row["pair_id"], row["verdict"]) for row in rows] == kept
    assert {row["reviewer"] for row in rows} == {"Amina"}
    actions = [
        row["action"] for row in database.query("SELECT action FROM verdict_log ORDER BY id")
    ]
    assert actions == ["rated"] * 10 + ["undone"]
