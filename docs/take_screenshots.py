"""Takes the pictures of the documents: a fresh workspace, the bundled sample, one real run, one
real review.

    python docs/take_screenshots.py [FOLDER]

Needs Chromium. Writes every screen to ``docs/<screen>.png`` and what the README shows of four of
them to ``docs/readme/<screen>.png``. With FOLDER, also takes every tab at 1280 and 390 pixels, light
and dark, for looking at.
"""

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.browser.conftest import CHROMIUM, FLAGS
from tests.serving import Server, free_port

DOCS = Path(__file__).parent
TABS = ("data", "train", "chat", "review", "results", "benchmarks", "arena")
_LONG_MS = 300_000
_README_WIDTH = 900  # pixels, about what a README is shown in
_MARGIN = 14


def main() -> None:
    """Walk through the app and take a picture of every screen."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = Server(Path(folder), free_port())
        server.start()
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            page = browser.new_page(viewport={"width": 1280, "height": 860})
            walk(page, server)
            crop(browser, server)
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
    battle(page, server)
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
        replies = page.locator("#chatbot [data-testid=bot]")
        expect(replies).to_have_count(number, timeout=60_000)
        expect(replies.last).to_contain_text(".", timeout=60_000)
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
    page.goto(f"{server.url}/?tab=benchmarks")
    expect(page.locator("#evaluation-models")).to_contain_text("first-run", timeout=60_000)
    page.locator("#start-evaluation").click()
    board = page.locator("#evaluation-board")
    expect(board.locator("[data-part=state]")).to_contain_text("finished", timeout=_LONG_MS)
    page.wait_for_timeout(1500)
    page.screenshot(path=DOCS / "benchmarks.png", full_page=True)


def battle(page: Page, server: Server) -> None:
    """Let the tuned model and its base meet in the arena."""
    page.goto(f"{server.url}/?tab=arena")
    expect(page.locator("#leaderboard .fuata-result")).to_be_visible(timeout=60_000)
    models = page.locator("#arena-models input")
    for name in ("pocket", "first-run"):
        models.fill(name)
        models.press("Enter")
        expect(page.locator("#arena-models")).to_contain_text(name)
    page.get_by_label("Your name").last.fill("Amina")
    page.wait_for_timeout(1000)
    prompt, notice = (page.locator(f"#arena-battle {part}") for part in ("textarea", ".notice"))
    questions = (
        "Name three fruits.", "What is the capital of Kenya?", "Give the past tense of buy.",
        "What is the opposite of hot?", "Sort the words alphabetically: sun, apple, dog",
        "How many legs has a spider?", "What kind of thing is a sock?", "Name a colour.",
        "What is the capital of Peru?", "Give the plural of child.", "Translate water to Swahili.",
    )  # fmt: skip
    for question in questions:
        prompt.fill(question)
        prompt.press("Enter")
        expect(notice).to_contain_text("Which is better?", timeout=60_000)
        a, b = page.locator("#arena-battle .text").all_inner_texts()
        page.keyboard.press("1" if len(a) < len(b) else "2")
        expect(notice).to_contain_text("A was")
    expect(page.locator("#leaderboard")).to_contain_text("11 battles")
    page.wait_for_timeout(1000)
    page.screenshot(path=DOCS / "arena.png", full_page=True)


def crop(browser: Browser, server: Server) -> None:
    """Take the parts of four screens that the README shows, at its width and in twice the pixels."""
    page = browser.new_page(
        viewport={"width": _README_WIDTH, "height": 1400}, device_scale_factor=2
    )
    page.goto(server.url)
    expect(page.locator("#tokens-right .fuata-tokens")).to_be_visible(timeout=60_000)
    take_part(page, "data", ".fuata-legend", "#tokens-left .tokens", "#tokens-right .tokens")
    page.goto(f"{server.url}/?tab=train")
    expect(page.locator("#monitor [data-part=plot] .legend")).to_be_visible(timeout=60_000)
    page.wait_for_timeout(1500)
    take_part(page, "train", "#monitor header", "#monitor [data-part=plot]")
    page.goto(f"{server.url}/?tab=review")
    page.get_by_label("Your name").fill("Juma")
    page.locator("#judge").click()
    expect(page.locator("#pair [data-part=progress]")).to_have_text("0 of 21 judged")
    take_part(page, "review", "#pair section")
    page.goto(f"{server.url}/?tab=results")
    expect(page.locator("#result [data-ratings]")).to_be_visible(timeout=60_000)
    take_part(page, "results", "#result .fuata-result", below=_MARGIN)
    page.close()


def take_part(page: Page, name: str, *selectors: str, below: int = 4) -> None:
    """Take a picture of the smallest rectangle around some elements; ``below`` is its lower margin."""
    page.wait_for_timeout(500)
    boxes = [page.locator(selector).first.bounding_box() for selector in selectors]
    shown = [box for box in boxes if box]
    left, top = (min(box[edge] for box in shown) - _MARGIN for edge in ("x", "y"))
    right = max(box["x"] + box["width"] for box in shown) + _MARGIN
    bottom = max(box["y"] + box["height"] for box in shown) + below
    (DOCS / "readme").mkdir(exist_ok=True)
    page.screenshot(
        path=DOCS / "readme" / f"{name}.png",
        clip={"x": left, "y": top, "width": right - left, "height": bottom - top},
        full_page=True,
    )


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
