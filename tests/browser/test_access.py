"""What a screen reader and a keyboard find, by axe-core's rules: nothing serious on any tab."""

import re
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from core.storage.workspace import Workspace
from review.domain.rating import make_rating
from review.judging.judge import Judge
from tests.reviews import write_review
from tests.serving import Server

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_tab_has_a_serious_obstacle(
    browser: Browser, server: Server, small_file: Path, scheme: Any
) -> None:
    workspace = Workspace(server.workspace)
    store = write_review(
        workspace,
        small_file,
        {"base": "One {prompt}", "tuned": "Two {prompt}", "third": "Three"},
        12,
    )
    for person in ("Amina", "Juma"):
        judge = Judge(store, "r", person)
        for number, pair in enumerate(judge.next_pairs(30)):
            verdict = ("a", "b", "tie", "both_bad")[(number + len(person)) % 4]
            judge.rate(pair.id, make_rating(verdict, a={"stars": 3, "tags": ["repeats"]}))
    workspace.close()
    window = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
    found: list[str] = []
    for tab, ready in TABS.items():
        window.goto(f"{server.url}/?tab={tab}")
        expect(window.locator(ready).first).to_be_visible()
        # Gradio makes what is being asked for anew translucent
        expect(window.locator(".pending")).to_have_count(0)
        if tab == "review":
            open_details(window)
        if tab == "results":
            window.locator("#judges-section .label-wrap").first.click()
        if tab == "data":
            for box in window.locator("#tab-data .label-wrap, [id$=-box] .label-wrap").all():
                box.click()
        found += _obstacles(window, tab)
    window.close()
    assert found == []


def _obstacles(window: Page, tab: str) -> list[str]:
    """Return what axe finds twice: what is asked for anew is translucent for a moment."""
    found: list[str] = []
    for _ in range(2):
        result = Axe().run(window).response
        assert len(result["passes"]) > 10, "axe looked at nothing"
        found = [
            f"{tab}: {rule['id']} at {node['target']}"
            for rule in result["violations"]
            if rule["impact"] in {"serious", "critical"}
            for node in rule["nodes"]
        ]
        if not found:
            break
        window.wait_for_timeout(5_000)
    return found


TABS = {
    "data": ".fuata-tokens",
    "train": ".fuata-ready",
    "chat": "#tab-chat",
    "review": "#review",
    "results": "#result .fuata-result",
    "benchmarks": "#evaluation-models",
    "arena": "#leaderboard .fuata-result",
}


def open_details(window: Page) -> None:
    """Judge a pair, with everything unfolded that can be."""
    expect(window.locator("#review input")).to_have_value(re.compile("pairs"))
    window.get_by_label("Your name").fill("Neema")
    window.locator("#judge").click()
    expect(window.locator("#pair [data-part=work]")).to_be_visible()
    window.keyboard.press("c")
    expect(window.locator("#pair [data-part=details]")).to_be_visible()
    window.keyboard.press("Escape")
