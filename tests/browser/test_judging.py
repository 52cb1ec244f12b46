"""Judging in a real browser: keys, what survives a death of the app, and responses that mean harm."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from core.storage.workspace import Workspace
from review.domain.rating import make_rating
from review.judging.judge import Judge
from tests.browser.conftest import running
from tests.reviews import write_review
from tests.serving import Server

pytestmark = [pytest.mark.browser, pytest.mark.slow]
HOSTILE = (
    "<script>window.PWNED=1</script><img src='http://evil.example/x.png' onerror='window.PWNED=2'>"
    "{{constructor.constructor('window.PWNED=3')()}}${window.PWNED=4}![x](http://evil.example/y.png)<iframe src='http://evil.example'>"
)


@pytest.fixture(scope="module")
def one_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("judging")) as made:
        yield made


@pytest.fixture
def server(one_server: Server) -> Iterator[Server]:
    """The app that these tests share, one after the other: each begins without a review."""
    yield one_server
    workspace = Workspace(one_server.workspace)
    with workspace.database.transaction() as tables:
        tables.execute("DELETE FROM reviews")
    workspace.close()


def begin_judging(
    page: Page,
    server: Server,
    file: Path,
    texts: tuple[str, str],
    rows: int,
    reviewer: str = "Amina",
) -> Locator:
    """Open a new review for a reviewer and return what tells how far they are."""
    workspace = Workspace(server.workspace)
    write_review(workspace, file, dict(zip(("base", "tuned"), texts, strict=True)), rows)
    workspace.close()
    page.goto(f"{server.url}/?tab=review")
    expect(page.locator("#review input")).to_have_value(re.compile(f"{rows} pairs"))
    page.get_by_label("Your name").fill(reviewer)
    page.locator("#judge").click()
    progress = page.locator("#pair [data-part=progress]")
    expect(progress).to_have_text(f"0 of {rows} judged")
    return progress


def test_hostile_responses_are_inert_text_and_fetch_nothing(
    page: Page, server: Server, small_file: Path
) -> None:
    begin_judging(page, server, small_file, (HOSTILE, "x" * 200_000 + "\u202eabc"), 3)
    sides = page.locator("#pair .sides .text")
    texts = sides.all_text_contents()
    expect(sides.filter(has_text="<script>window.PWNED=1</script>")).to_have_count(1)
    expect(page.get_by_role("button", name="Show all")).to_be_visible()
    page.get_by_role("button", name="Show all").click()
    expect(sides.filter(has_text="\\u202eabc")).to_have_count(1)
    for key in ("m", "d"):
        page.keyboard.press(key)
        expect(sides.filter(has_text="<script>window.PWNED=1</script>")).to_have_count(1)
    assert page.evaluate("window.PWNED") is None, texts
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def judge_the_first_again(page: Page) -> None:
    page.keyboard.press("h")
    history = page.get_by_role("dialog", name="Your verdicts")
    expect(history.get_by_role("listitem")).to_have_count(5)
    page.keyboard.press("1")  # keys judge nothing behind the history
    history.get_by_role("button", name="A better, comment").click()
    expect(page.locator("#pair [data-part=notice]")).to_have_text(
        "Reopened. Your verdict is: A better. The next one replaces it."
    )
    expect(page.get_by_label("Comment")).to_have_value("1 and 2 are text here")
    page.keyboard.press("k")
    page.keyboard.press("1")


def test_keys_judge_and_typing_does_not(page: Page, server: Server, small_file: Path) -> None:
    progress = begin_judging(page, server, small_file, ("One.", "Two."), 5, "1234us")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("1")
    page.keyboard.press("Escape")
    expect(progress).to_have_text("0 of 5 judged")
    page.keyboard.press("s")
    expect(page.locator("#pair [data-part=notice]")).to_contain_text("Skipped")
    page.keyboard.press("e")
    expect(page.locator("#pair [data-part=expected]")).to_be_visible()
    page.keyboard.press("c")
    page.get_by_label("Comment").fill("1 and 2 are text here")
    page.get_by_role("group", name="Tags for B").get_by_role("button", name="wrong fact").click()
    page.get_by_role("button", name="A: 4 of 5 stars").click()
    expect(progress).to_have_text("0 of 5 judged")
    page.keyboard.press("1")
    expect(progress).to_have_text("1 of 5 judged")
    for number, key in enumerate(("ArrowRight", "3", "4", "2"), start=2):
        page.keyboard.press(key)
        expect(progress).to_have_text(f"{number} of 5 judged")
    expect(page.locator("#pair .finished")).to_be_visible()
    judge_the_first_again(page)
    expect(page.locator("#pair .finished")).to_be_visible()
    workspace = Workspace(server.workspace)
    rows = workspace.database.query(
        "SELECT verdict, a_tags, b_tags, a_stars, b_stars, comment, unblinded FROM verdicts "
        "ORDER BY id"
    )
    workspace.close()
    assert [row["verdict"] for row in rows] == ["a", "b", "tie", "both_bad", "b"]
    first = {name: rows[0][name] for name in ("a_tags", "b_tags", "a_stars", "b_stars", "comment")}
    assert first == {
        "a_tags": "[]",
        "b_tags": '["wrong fact"]',
        "a_stars": 4,
        "b_stars": None,
        "comment": "1 and 2 are text here",
    }
    assert rows[1]["comment"] == ""
    assert [row["unblinded"] for row in rows] == [1, 0, 0, 0, 0]


def test_thirty_pairs_are_judged_by_keys_alone(
    page: Page, server: Server, small_file: Path
) -> None:
    workspace = Workspace(server.workspace)
    write_review(workspace, small_file, {"base": "base {prompt}", "tuned": "tuned {prompt}"}, 30)
    workspace.close()
    page.goto(f"{server.url}/?tab=review")
    expect(page.locator("#review input")).to_have_value(re.compile("30 pairs"))
    for _ in range(60):  # from the top of the page to the field of the name
        page.keyboard.press("Tab")
        if page.evaluate("() => Boolean(document.activeElement.closest('#reviewer'))"):
            break
    page.keyboard.type("Amina")
    page.keyboard.press("Enter")
    progress = page.locator("#pair [data-part=progress]")
    expect(progress).to_have_text("0 of 30 judged")
    seen = []
    for number in range(30):
        expect(progress).to_have_text(f"{number} of 30 judged")
        seen.append("1234"[number % 4])
        page.keyboard.press(seen[-1])
    expect(progress).to_have_text("30 of 30 judged")
    workspace = Workspace(server.workspace)
    rows = workspace.database.query("SELECT verdict, pair_id FROM verdicts ORDER BY id")
    workspace.close()
    assert [row["verdict"] for row in rows] == [
        {"1": "a", "2": "b", "3": "tie", "4": "both_bad"}[key] for key in seen
    ]
    assert len({row["pair_id"] for row in rows}) == 30


def test_answers_are_shown_with_differences_and_rendered(
    page: Page, server: Server, small_file: Path
) -> None:
    text = "# Head\n\nThe **same** words {prompt} <b>raw</b> [link](https://example.com)"
    begin_judging(
        page, server, small_file, (text, "The **same** other words {prompt}, says ChatGPT"), 2
    )
    sides = page.locator("#pair [data-part=a], #pair [data-part=b]")
    expect(page.locator("#pair [data-part=leak]")).to_contain_text("names a model (“ChatGPT”)")
    page.keyboard.press("d")
    expect(sides.locator("mark").filter(has_text="other")).to_have_count(1)
    assert page.locator("#pair mark").filter(has_text="**same**").count() == 0
    page.keyboard.press("m")
    expect(sides.locator("h1")).to_have_text("Head")
    expect(sides.locator("strong")).to_have_text(["same", "same"])
    expect(sides.filter(has_text="Head")).to_contain_text("<b>raw</b> [link](https://example.com)")
    assert sides.locator("a, b, mark").count() == 0
    page.reload()
    expect(sides.locator("h1")).to_have_text("Head")  # remembered
    page.keyboard.press("m")
    expect(sides.locator("h1")).to_have_count(0)


@pytest.mark.parametrize(("answers", "keys"), [("pass", "1212"), ("stars", "5314")])
def test_single_responses_are_judged_by_keys(
    page: Page, server: Server, small_file: Path, answers: str, keys: str
) -> None:
    workspace = Workspace(server.workspace)
    write_review(workspace, small_file, {"tuned": "It is {prompt}"}, 4, response_mode=answers)
    workspace.close()
    page.goto(f"{server.url}/?tab=review")
    expect(page.locator("#review input")).to_have_value(re.compile("4 responses"))
    page.get_by_label("Your name").fill("Amina")
    page.locator("#judge").click()
    progress = page.locator("#pair [data-part=progress]")
    expect(progress).to_have_text("0 of 4 judged")
    expect(page.locator("#pair [data-part=other]")).to_be_hidden()
    expect(page.get_by_role("button", name="A better")).to_be_hidden()
    for number, key in enumerate(keys, start=1):
        page.keyboard.press(key)
        expect(progress).to_have_text(f"{number} of 4 judged")
    page.keyboard.press("h")
    words = {
        "pass": ["Fail", "Pass", "Fail", "Pass"],
        "stars": ["4 stars", "1 star", "3 stars", "5 stars"],
    }[answers]
    expect(page.get_by_role("dialog", name="Your verdicts").get_by_role("listitem")).to_have_text(
        [re.compile(word) for word in words]
    )
    workspace = Workspace(server.workspace)
    rows = workspace.database.query("SELECT verdict, a_stars FROM verdicts ORDER BY id")
    workspace.close()
    assert [(row["verdict"], row["a_stars"]) for row in rows] == [
        ("stars", int(key)) if answers == "stars" else ({"1": "pass", "2": "fail"}[key], None)
        for key in keys
    ]


@pytest.mark.parametrize("answers", ["pairs", "stars"])
def test_results_list_where_reviewers_differ(
    page: Page, server: Server, small_file: Path, answers: str
) -> None:
    workspace = Workspace(server.workspace)
    store = write_review(
        workspace, small_file, {"base": "<b>One.</b>", "tuned": "Two."}, 3, response_mode=answers
    )
    pairs = [pair.id for pair in Judge(store, "r", "Amina").next_pairs(3)]
    for person, stars in (("Amina", 5), ("Juma", 2)):
        for pair in pairs:
            judge = Judge(store, "r", person)
            side = "a" if (judge.pair(pair).a == "Two.") == (stars == 5) else "b"
            judge.rate(
                pair,
                make_rating(side)
                if answers == "pairs"
                else make_rating("stars", a={"stars": stars}),
            )
    workspace.close()
    page.goto(f"{server.url}/?tab=results")
    what = "pairs" if answers == "pairs" else "responses"
    expect(page.locator("#result")).to_contain_text(f"On 3 {what} reviewers differ")
    page.get_by_role("button", name="Show them").click()
    listed = page.get_by_role("dialog", name="Pairs behind the number")
    expect(listed).to_contain_text("Where reviewers differ, or did: 3 pairs")
    expect(listed.locator("article")).to_have_count(3)
    words = (
        ("tuned better", "base better") if answers == "pairs" else ("5 of 5 stars", "2 of 5 stars")
    )
    for person, said in zip(("Amina", "Juma"), words, strict=True):
        expect(listed.locator("article").first).to_contain_text(f"{person}: {said}")
    if answers == "pairs":
        expect(listed.locator("article").first).to_contain_text("<b>One.</b>")
        listed.get_by_role("button", name="Close").click()
        page.get_by_role("button", name="base better: 3").click()
        expect(listed).to_contain_text("base against tuned, base better: 3 pairs")
