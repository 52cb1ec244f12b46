"""Judging goes on where it stood when the app dies or a page loads anew; each test has its own app."""

from contextlib import suppress
from pathlib import Path

import pytest
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Page, expect

from core.storage.workspace import Workspace
from tests.browser.test_judging import begin_judging
from tests.serving import Server

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_a_server_that_dies_leaves_the_pair_and_says_not_saved(
    page: Page, server: Server, small_file: Path
) -> None:
    progress = begin_judging(page, server, small_file, ("One.", "Two."), 4)
    page.keyboard.press("1")
    expect(progress).to_have_text("1 of 4 judged")
    server.kill()
    page.keyboard.press("1")
    expect(page.locator("#pair [data-part=notice]")).to_contain_text("Not saved")
    expect(progress).to_have_text("1 of 4 judged")
    server.start()
    # Gradio loads the page anew by itself when it sees the app again, and may be quicker
    with suppress(PlaywrightError):
        page.reload()
    expect(progress).to_have_text("1 of 4 judged")
    expect(page.locator("#pair [data-part=who]")).to_have_text("Amina judges r")
    page.keyboard.press("2")
    expect(progress).to_have_text("2 of 4 judged")


def test_a_verdict_on_its_way_when_the_page_loads_anew_is_sent_again(
    page: Page, server: Server, small_file: Path
) -> None:
    progress = begin_judging(page, server, small_file, ("One.", "Two."), 4)
    # nothing that is sent arrives any more
    page.evaluate("() => { window.fetch = () => new Promise(() => {}); }")
    page.keyboard.press("2")
    expect(progress).to_have_text("0 of 4 judged")
    page.reload()
    expect(progress).to_have_text("1 of 4 judged")
    workspace = Workspace(server.workspace)
    [row] = workspace.database.query("SELECT verdict, reviewer FROM verdicts")
    workspace.close()
    assert (row["verdict"], row["reviewer"]) == ("b", "Amina")
