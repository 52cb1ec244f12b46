"""Takes the screenshots of the README: a fresh workspace, the bundled sample, one real run, one
real review.

    python docs/take_screenshots.py [FOLDER]

Needs Chromium. With FOLDER, also takes every tab at 1280 and 390 pixels, light and dark, for
looking at.
"""

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.browser.conftest import CHROMIUM, FLAGS
from tests.serving import Server, free_port

DOCS = Path(__file__).parent
TABS = ("data", "train", "chat", "review", "results")
_LONG_MS = 300_000


def main() -> None:
    """Walk through the app and take a picture of every screen."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = Server(Path(folder), free_port())
        server.start()
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            page = browser.new_page(viewport={"width": 1280, "height": 860})
            walk(page, server)
            if len(sys.argv) > 1:
                take_all(browser, server, Path(sys.argv[1]))
        finally:
            browser.close()
            server.stop()


def walk(page: Page, server: Server) -> None:
    """Go from Data to Results as a person would."""
    page.goto(server.url)
    expect(page.locator("#tokens-right .fuata-tokens")).to_be_visible(timeout=60_000)
    expect(page.locator(".fuata-report")).to_be_visible(timeout=60_000)
    page.screenshot(
        path=DOCS / "data.png", clip={"x": 0, "y": 0, "width": 1280, "height": 1120}, full_page=True
    )
    page.goto(f"{server.url}/?tab=train")
    expect(page.locator("#ready")).to_contain_text("Ready.", timeout=60_000)
    page.get_by_label("Run name").fill("first-run")
    page.locator("#start").click()
    expect(page.locator("#monitor [data-part=state]")).to_have_text("finished", timeout=_LONG_MS)
    page.wait_for_timeout(1500)
    page.screenshot(path=DOCS / "train.png", full_page=True)
    chat(page, server)
    judge(page, server)
    page.goto(f"{server.url}/?tab=results")
    expect(page.locator("#result [data-ratings]")).to_be_visible(timeout=60_000)
    page.screenshot(path=DOCS / "results.png")


def chat(page: Page, server: Server) -> None:
    """Ask the tuned model two things it was not tuned on and one it cannot know."""
    page.goto(f"{server.url}/?tab=chat")
    page.get_by_label("Model", exact=True).click()
    page.get_by_role("option", name="first-run").click()
    for number, question in enumerate(
        ("What is the capital of Kenya?", "Give the past tense of buy.", "Why is the sea salty?"), 1
    ):
        page.get_by_label("Message", exact=True).fill(question)
        page.get_by_label("Message", exact=True).press("Enter")
        expect(page.locator("#chatbot [data-testid=bot]")).to_have_count(number, timeout=60_000)
        page.wait_for_timeout(1500)
    page.get_by_text("The exact prompt").click()
    page.wait_for_timeout(500)
    page.screenshot(path=DOCS / "chat.png", full_page=True)


def judge(page: Page, server: Server) -> None:
    """Make a review of base against tuned and judge some of its pairs."""
    page.goto(f"{server.url}/?tab=review")
    expect(page.locator("#contenders")).to_contain_text("first-run", timeout=60_000)
    page.locator("#review-rows input").fill("20")
    page.locator("#make-review").click()
    expect(page.locator("#making")).to_contain_text("Ready to judge.", timeout=_LONG_MS)
    page.get_by_label("Your name").fill("Amina")
    page.locator("#judge").click()
    progress = page.locator("#pair [data-part=progress]")
    # twenty, and one that is shown twice
    expect(progress).to_have_text("0 of 21 judged", timeout=60_000)
    for number in range(1, 14):
        a, b = (page.locator(f"#pair [data-part={side}]").text_content() or "" for side in "ab")
        page.keyboard.press("4" if "I am" in a and "I am" in b else "1" if len(a) < len(b) else "2")
        expect(progress).to_have_text(f"{number} of 21 judged")
    page.screenshot(path=DOCS / "review.png")


def take_all(browser: Browser, server: Server, folder: Path) -> None:
    """Take every tab at both widths and in both themes."""
    folder.mkdir(parents=True, exist_ok=True)
    for width in (1280, 390):
        for theme in ("light", "dark"):
            window = browser.new_page(viewport={"width": width, "height": 860}, color_scheme=theme)  # type: ignore[arg-type]
            for name in TABS:
                window.goto(f"{server.url}/?tab={name}")
                if name == "train":
                    expect(window.locator("#ready")).to_contain_text("Ready.", timeout=60_000)
                window.wait_for_timeout(4000)
                window.screenshot(path=folder / f"{name}-{width}-{theme}.png", full_page=True)
            window.close()


if __name__ == "__main__":
    main()
