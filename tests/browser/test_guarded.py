"""What a reviewer's window cannot do: judge unseen, leave their page, run what somebody typed."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from core.storage.workspace import Workspace
from tests.browser.test_judging import begin_judging
from tests.reviews import write_review
from tests.serving import Server, free_port

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def verdicts(server: Server) -> int:
    workspace = Workspace(server.workspace)
    count = len(list(workspace.database.query("SELECT id FROM verdicts")))
    workspace.close()
    return count


def test_on_a_phone_no_verdict_is_taken_before_both_responses_were_seen(
    page: Page, server: Server, small_file: Path
) -> None:
    page.set_viewport_size({"width": 390, "height": 500})
    long = "A line of an answer.\n\n" * 200
    progress = begin_judging(page, server, small_file, (long + "one", long + "two"), 3)
    notice = page.locator("#pair [data-part=notice]")
    assert page.locator("#pair [data-part=b]").bounding_box()["y"] > 500 - 90  # type: ignore[index]
    page.locator("#pair [data-verdict=a]").click()
    expect(notice).to_have_text("Read response B first.")
    expect(progress).to_have_text("0 of 3 judged")
    assert verdicts(server) == 0
    page.wait_for_function(
        "document.querySelector('#pair [data-part=b]').getBoundingClientRect().top < innerHeight "
        "- 90"
    )
    page.locator("#pair [data-verdict=a]").click()
    expect(progress).to_have_text("1 of 3 judged")
    assert verdicts(server) == 1
    page.locator(
        "#pair [data-verdict=b]"
    ).click()  # the next pair begins at its top and is read anew
    expect(notice).to_have_text("Read response B first.")
    assert verdicts(server) == 1


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "accounts").write_text(
        "owner rose:an owner's words\njuma:a reviewer's words\n", encoding="utf-8"
    )
    made = Server(tmp_path / "workspace", free_port(), ["--auth", str(tmp_path / "accounts")])
    made.start()
    yield made
    made.stop()


def sign_in(window: Page, server: Server, name: str, password: str) -> None:
    window.goto(server.url)
    window.get_by_label("Name").fill(name)
    window.get_by_label("Password").fill(password)
    window.get_by_role("button").click()


def test_a_reviewer_signs_in_judges_and_sees_no_other_screen(
    browser: Browser, guarded: Server, small_file: Path
) -> None:
    workspace = Workspace(guarded.workspace)
    write_review(workspace, small_file, {"base": "One.", "tuned": "Two."}, 3)
    workspace.close()
    window = browser.new_context(viewport={"width": 390, "height": 844}).new_page()
    sign_in(window, guarded, "juma", "not it")
    expect(window.get_by_role("alert")).to_be_visible()
    sign_in(window, guarded, "juma", "a reviewer's words")
    expect(window.locator("#review input")).to_have_value(re.compile("3 pairs"))
    window.locator("#judge").click()
    expect(window.locator("#pair [data-part=progress]")).to_have_text("0 of 3 judged")
    expect(window.locator("#pair [data-part=who]")).to_contain_text("juma")
    window.locator("#pair [data-part=b]").scroll_into_view_if_needed()
    window.keyboard.press("1")
    expect(window.locator("#pair [data-part=progress]")).to_have_text("1 of 3 judged")
    for address in ("/?tab=results", "/?tab=data", "/"):
        window.goto(f"{guarded.url}{address}")
        expect(window.locator("#judge")).to_be_visible()
        assert window.get_by_role("tab").count() == 0
    window.context.close()
    owner = browser.new_context().new_page()
    sign_in(owner, guarded, "rose", "an owner's words")
    expect(owner.get_by_role("tab", name="Results")).to_be_visible(timeout=90_000)
    owner.context.close()


def test_what_is_typed_is_no_markup_and_no_added_script_runs(
    calm_page: Page, calm_server: Server
) -> None:
    calm_page.goto(calm_server.url)
    expect(calm_page.locator(".fuata-report")).to_be_visible(timeout=30_000)
    typed = "<img src=x onerror='window.ran=1'><b id=typed>x</b>"
    field = calm_page.get_by_label("Find in rows")
    field.fill(typed)
    field.press("Enter")
    expect(calm_page.locator("#found")).to_contain_text(typed)
    assert calm_page.locator("#typed").count() == 0
    refused = calm_page.evaluate("""() => new Promise((done) => {
        document.addEventListener("securitypolicyviolation", (event) => done(event.effectiveDirective), { once: true });
        const script = document.createElement("script");
        script.textContent = "window.ran = 2";
        document.body.append(script);
        setTimeout(() => done("nothing was refused"), 3000);
    })""")
    assert refused == "script-src-elem"
    calm_page.evaluate(
        "document.body.insertAdjacentHTML('beforeend', '<img src=\"data:,\" onerror=\"window.ran "
        "= 3\">')"
    )
    calm_page.wait_for_timeout(300)
    assert calm_page.evaluate("window.ran") is None
