"""A chat by mouse and keys: edited, corrected into data, looked into, reopened after a restart."""

import urllib.error
import urllib.request

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import _watched_window
from tests.serving import Server

pytestmark = pytest.mark.slow


def test_a_chat_is_edited_corrected_explained_and_found_again_after_a_restart(
    browser: Browser, server: Server
) -> None:
    with _watched_window(browser, server) as page:
        page.goto(f"{server.url}/?tab=chat")
        _choose(page, "#chat-beside", "pocket")
        _ask(page, "What is 中文 🙂?")
        expect(page.locator("#chat-told")).to_contain_text("tokens of the context")
        expect(page.locator("#chatbot [data-testid=user]")).to_contain_text("What is 中文 🙂?")
        expect(page.locator("#chatbot-beside [data-testid=user]")).to_contain_text("中文 🙂")
        expect(page.locator("#chat-told-beside")).to_contain_text("tokens of the context")
        _edit_the_question(page, "Name a colour.")
        expect(page.locator("#chatbot [data-testid=user]")).to_contain_text("Name a colour.")
        reply = page.locator("#chatbot [data-testid=bot]")
        expect(reply).to_have_count(1)
        expect(reply).not_to_have_text("…")
        expect(page.locator("#chat-told")).to_contain_text("tokens of the context")
        page.get_by_text("How sure it was").click()
        page.locator("#explain").click()
        expect(page.locator("#probabilities")).to_contain_text("Surprise of the whole reply")
        token = page.locator("#probabilities .tokens span").first
        assert "likeliest: " in (token.get_attribute("title") or "")
        page.get_by_text("Correct the last reply").click()
        page.locator("#correction textarea").fill("Green.")
        page.locator("#keep-reply").click()
        expect(page.locator("#corrected")).to_contain_text("row 1 of the dataset")
        page.locator("#chatbot button[aria-label=Like], #chatbot button[title=Like]").first.click()
        expect(page.locator("#chat-told")).to_contain_text("row 2 of the dataset")
        page.get_by_role("tab", name="Data").click()
        _choose(page, "#dataset", "From chat")
        expect(page.locator("#rows")).to_contain_text("Green.")
    server.stop()
    server.start()
    with _watched_window(browser, server) as page:
        page.goto(f"{server.url}/?tab=chat")
        page.get_by_text("Conversations", exact=True).click()
        _choose(page, "#saved-conversations", "What is 中文")
        expect(page.locator("#chatbot [data-testid=user]")).to_contain_text("Name a colour.")
        expect(page.locator("#conversation-name input, #conversation-name textarea")).to_have_value(
            "What is 中文 🙂?"
        )


def test_programs_are_answered_from_the_moment_they_are_let_in(
    browser: Browser, calm_server: Server
) -> None:
    with _watched_window(browser, calm_server) as page:
        page.goto(f"{calm_server.url}/?tab=chat")
        page.get_by_text("An address for other programs").click()
        expect(page.locator("#programs-told")).to_contain_text("Off.")
        page.locator("#programs-switch").click()
        expect(page.locator("#programs-told")).to_contain_text(f"On, at {calm_server.url}/v1")
        key = page.locator("#api-key").inner_text()
        assert _status(calm_server, key) == 200
        page.once("dialog", lambda dialog: dialog.dismiss())
        page.locator("#programs-key").click()
        expect(page.locator("#programs-told")).to_contain_text("only its hash is kept")
        assert _status(calm_server, key) == 200
        page.once("dialog", lambda dialog: dialog.accept())
        page.locator("#programs-key").click()
        expect(page.locator("#api-key")).to_contain_text("fuata-")
        assert _status(calm_server, key) == 401
        another = page.locator("#api-key").inner_text()
        assert _status(calm_server, another) == 200
        page.locator("#programs-switch").click()
        expect(page.locator("#programs-told")).to_contain_text("Off.")
        assert _status(calm_server, another) == 403


def _status(server: Server, key: str) -> int:
    asked = urllib.request.Request(
        f"{server.url}/v1/models", headers={"Authorization": f"Bearer {key}"}
    )
    try:
        with urllib.request.urlopen(asked) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def _choose(page: Page, where: str, word: str) -> None:
    field = page.locator(f"{where} input")
    field.click()
    field.fill(word)
    expect(page.get_by_role("option", name=word).first).to_be_attached()
    # by the keyboard: where something above grows while the list is open, it lies beyond the window
    field.press("ArrowDown")
    field.press("Enter")


def _ask(page: Page, text: str) -> None:
    page.locator("#ask textarea").fill(text)
    page.locator("#ask textarea").press("Enter")


def _edit_the_question(page: Page, text: str) -> None:
    page.locator("#chatbot [data-testid=user]").first.hover()
    page.locator("#chatbot button[aria-label*=dit], #chatbot button[title*=dit]").first.click()
    page.locator("#chatbot textarea").first.fill(text)
    page.locator("#chatbot button[aria-label*=ubmit], #chatbot button[title*=ubmit]").first.click()
