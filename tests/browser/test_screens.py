"""Screens that survive what people and models do to them."""

import json
import os
import re
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from playwright.sync_api import Error as PlaywrightError

from core.data.dataset import load_dataset
from core.storage.runs import RunStore
from core.storage.workspace import Workspace
from core.training.events import EvalDone, RunFinished, RunStarted, StepDone
from core.training.run import add_run
from core.training.settings import TrainingSettings
from tests.conftest import processes_of_run
from tests.reviews import write_review
from tests.serving import Server

pytestmark = [pytest.mark.browser, pytest.mark.slow]
TABS = ("data", "train", "chat", "review", "results")
HOSTILE = (
    "<script>window.PWNED=1</script><img src='http://evil.example/x.png' onerror='window.PWNED=2'>"
    "{{constructor.constructor('window.PWNED=3')()}}${window.PWNED=4}![x](http://evil.example/y.png)<iframe src='http://evil.example'>"
)


def add_review(folder: Path, file: Path, texts: tuple[str, str], rows: int) -> None:
    workspace = Workspace(folder)
    write_review(workspace, file, dict(zip(("x", "y"), texts, strict=True)), rows)
    workspace.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_no_tab_scrolls_sideways_or_logs_an_error(browser: Browser, calm_server: Server, width: int, theme: str) -> None:
    window = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=theme)  # type: ignore[arg-type]
    window.set_default_timeout(90_000)
    errors: list[str] = []
    window.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    window.on("pageerror", lambda error: errors.append(str(error)))
    for name in TABS:
        window.goto(f"{calm_server.url}/?tab={name}")
        expect(window.get_by_role("tab", selected=True)).to_have_text(name.capitalize())
        if name == "data":
            expect(window.locator(".fuata-report")).to_be_visible(timeout=30_000)
        if name == "train":
            expect(window.locator("#ready")).to_contain_text("Ready.")
        assert window.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
    window.close()
    assert [text for text in errors if not _is_of_leaving(text)] == []


def _is_of_leaving(text: str) -> bool:
    """Gradio says so when a page is left while its event stream is open."""
    return "AbortError" in text or "Connection errored out" in text


def test_tabs_answer_arrow_keys_and_the_address_bar(calm_page: Page, calm_server: Server) -> None:
    calm_page.goto(calm_server.url)
    calm_page.get_by_role("tab", name="Data").focus()
    calm_page.keyboard.press("ArrowRight")
    expect(calm_page.get_by_role("tab", name="Train")).to_be_focused()
    expect(calm_page).to_have_url(re.compile("tab=train"))
    calm_page.go_back()
    expect(calm_page.get_by_role("tab", selected=True)).to_have_text("Data")


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("empty.json", b"", "empty.json is empty"),
        (
            "broken.json",
            b"[\n" + b'{"instruction": "Q", "output": "A"},\n' * 55 + b'{"instruction": "Q" "x": 1}\n]',
            "in line 57",
        ),
        ("columns.csv", b"question,reply\nQ,A\n", "has the fields 'question', 'reply'"),
        ("image.json", b"\x89PNG\r\n\x1a\n\x00", "is a PNG image, not text"),
    ],
)
def test_a_bad_file_gets_one_sentence_on_the_page(
    calm_page: Page, calm_server: Server, name: str, content: bytes, sentence: str
) -> None:
    calm_page.goto(calm_server.url)
    expect(calm_page.locator(".fuata-report")).to_be_visible(timeout=30_000)
    calm_page.locator("#upload input[type=file]").set_input_files(
        {"name": name, "mimeType": "application/json", "buffer": content}
    )
    expect(calm_page.locator("#data-problem [role=alert]")).to_contain_text(sentence)
    expect(calm_page.locator(".fuata-report")).to_have_attribute("data-rows", "1570")


def test_a_wrong_model_or_style_is_named_where_start_would_be(calm_page: Page, calm_server: Server) -> None:
    calm_page.goto(f"{calm_server.url}/?tab=train")
    expect(calm_page.locator("#ready")).to_contain_text("Ready.")
    for label, word, sentence in (
        ("Base model", "/no/model", "There is no model"),
        ("Prompt style", "nothing", "There is no style"),
    ):
        field = calm_page.get_by_label(label)
        before = field.input_value()
        field.fill(word)
        field.press("Enter")
        expect(calm_page.locator("#ready")).to_contain_text(sentence)
        field.fill(before)
        field.press("Enter")
        expect(calm_page.locator("#ready")).not_to_contain_text(sentence)


def test_a_run_outlives_the_app_and_one_that_is_killed_is_marked_and_resumes(
    page: Page, browser: Browser, server: Server, small_file: Path, tiny_models: dict[str, Path]
) -> None:
    page.goto(server.url)
    expect(page.locator(".fuata-report")).to_be_visible(timeout=30_000)
    page.locator("#upload input[type=file]").set_input_files(small_file)
    expect(page.locator(".fuata-report")).to_have_attribute("data-rows", "40")
    page.goto(f"{server.url}/?tab=train")
    model = page.get_by_label("Base model")
    model.fill(str(tiny_models["llama"]))
    model.press("Enter")
    expect(page.locator("#ready")).to_contain_text("34 rows to train on")
    expect(page.get_by_label("Batch size")).to_have_value(
        "8"
    )  # the defaults for this model have come; later they would undo ours
    page.get_by_label("Epochs").fill("1000")
    page.get_by_label("Batch size").fill("1")  # many steps: there must be some left when the app is back
    page.get_by_label("Run name").fill("cut-off")
    page.locator("#start").click()
    state = page.locator("#monitor [data-part=state]")
    expect(state).to_have_text("training", timeout=60_000)
    expect(page.locator("#monitor [data-part=progress]")).to_contain_text("left", timeout=60_000)
    [process] = processes_of_run("cut-off", server.workspace)
    server.kill()
    progress = step_of_run(server, "cut-off")
    wait_until(lambda: step_of_run(server, "cut-off") > progress)  # with no app it goes on
    os.kill(process, signal.SIGSTOP)  # however long the app takes to start, the run has not ended
    server.start()
    second = browser.new_page()
    second.set_default_timeout(90_000)
    second.goto(f"{server.url}/?tab=train")
    for window in (second, page):
        expect(window.locator("#monitor [data-part=state]")).to_have_text("training")
    os.kill(process, signal.SIGKILL)
    for window in (second, page):
        expect(window.locator("#monitor [data-part=state]")).to_have_text("interrupted")
    second.get_by_role("button", name="Resume").click()
    expect(state).to_have_text("training", timeout=60_000)
    second.get_by_role("button", name="Stop and keep the best").click()
    expect(state).to_have_text("stopped", timeout=60_000)
    second.close()


def test_runs_are_compared_noted_reported_and_their_settings_used_again(
    page: Page, server: Server, small_file: Path, tmp_path: Path
) -> None:
    server.stop()
    workspace = Workspace(server.workspace)
    for name, rate in (("slow", 1e-4), ("fast", 1e-3)):
        add_run(workspace, load_dataset(small_file), replace(TrainingSettings(), learning_rate=rate, epochs=7), name)
        record_run(RunStore(workspace), name, rate)
    workspace.close()
    server.start()
    page.goto(f"{server.url}/?tab=train")
    monitor = page.locator("#monitor")
    expect(monitor.locator("[data-part=name]")).to_have_text("fast")
    traces = "document.querySelector('#monitor [data-part=plot]').data.map((trace) => trace.name)"
    page.get_by_label("Lay slow over the run that is shown").check()
    expect(monitor.locator("[data-part=differences]")).to_contain_text("learning rate")
    page.wait_for_function(f"{traces}.includes('slow: validation')")
    page.get_by_label("Horizontal axis").select_option("tokens")
    page.get_by_label("Logarithmic loss").check()
    page.get_by_label("Rate, gradient, speed and memory").check()
    expect(page.get_by_label("Four small charts of the run")).to_be_visible()
    page.wait_for_function("document.querySelector('#monitor [data-part=plot]').layout.xaxis.title.text === 'tokens'")
    page.get_by_label("Note").fill("<b>worth keeping</b>")
    page.get_by_label("Note").press("Tab")
    with page.expect_download() as download:
        page.get_by_role("button", name="Report").click()
    download.value.save_as(tmp_path / "report.html")
    page.get_by_role("button", name="Use these settings").click()
    expect(page.get_by_label("Epochs")).to_have_value("7")
    expect(page.get_by_label("Learning rate")).to_have_value("0.001")
    page.reload()
    expect(page.get_by_label("Note")).to_have_value("<b>worth keeping</b>")
    page.get_by_role("button", name="Rename").click()
    page.get_by_label("New name").fill("slow")
    page.get_by_role("button", name="OK").click()
    expect(page.locator("#monitor [data-part=refusal]")).to_contain_text("There is a run 'slow' already")
    page.get_by_role("button", name="Rename").click()
    page.get_by_label("New name").fill("quick")
    page.get_by_label("New name").press("Enter")
    expect(monitor.locator("[data-part=name]")).to_have_text("quick")
    expect(page.locator("#monitor [data-part=refusal]")).to_be_hidden()
    page.goto(f"file://{tmp_path}/report.html")
    page.wait_for_function("document.querySelectorAll('.plot .main-svg').length > 0")
    expect(page.locator("body")).to_contain_text("<b>worth keeping</b>")


def step_of_run(server: Server, name: str) -> int:
    workspace = Workspace(server.workspace)
    step = RunStore(workspace).find(name)["step"]
    workspace.close()
    return int(step)


def wait_until(true: Callable[[], bool], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, "nothing happened in time"
        time.sleep(0.1)


def record_run(runs: RunStore, name: str, rate: float) -> None:
    runs.record(name, RunStarted(name, 0, 40, 10, 8, 2, 1, 1, "cpu"))
    runs.record(name, EvalDone(0, 0, 3.0, is_best=False, elapsed_s=0))
    for step in range(1, 41):
        runs.record(name, StepDone(step, step / 10, 3 / step, rate, 1.0, 90 * step, 900.0, 600.0, step))
    runs.record(name, EvalDone(40, 4, 1.0, is_best=True, elapsed_s=40))
    runs.record(name, RunFinished(40, "completed", 40, 1.0, 40))


def test_hostile_responses_are_inert_text_and_fetch_nothing(page: Page, server: Server, small_file: Path) -> None:
    server.stop()
    add_review(server.workspace, small_file, (HOSTILE, "x" * 200_000 + "\u202eabc"), 3)
    server.start()
    page.goto(f"{server.url}/?tab=review")
    page.get_by_label("Your name").fill("Amina")
    page.locator("#judge").click()
    sides = page.locator("#pair .sides .text")
    texts = sides.all_text_contents()
    expect(sides.filter(has_text="<script>window.PWNED=1</script>")).to_have_count(1)
    expect(page.get_by_role("button", name="Show all")).to_be_visible()
    page.get_by_role("button", name="Show all").click()
    expect(sides.filter(has_text="\\u202eabc")).to_have_count(1)
    assert page.evaluate("window.PWNED") is None, texts
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def begin_judging(page: Page, server: Server, file: Path, rows: int, reviewer: str) -> Locator:
    """Open a new review for a reviewer and return what tells how far they are."""
    server.stop()
    add_review(server.workspace, file, ("One.", "Two."), rows)
    server.start()
    page.goto(f"{server.url}/?tab=review")
    page.get_by_label("Your name").fill(reviewer)
    page.locator("#judge").click()
    progress = page.locator("#pair [data-part=progress]")
    expect(progress).to_have_text(f"0 of {rows} judged")
    return progress


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
    progress = begin_judging(page, server, small_file, 5, "1234us")
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
    page.get_by_role("button", name="wrong fact").click()
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
    rows = workspace.database.query("SELECT verdict, tags, comment, knew FROM verdicts ORDER BY id")
    workspace.close()
    assert [row["verdict"] for row in rows] == ["a", "b", "tie", "both_bad", "b"]
    assert (json.loads(rows[0]["tags"]), rows[0]["comment"]) == (["wrong fact"], "1 and 2 are text here")
    assert rows[1]["comment"] == ""
    assert [row["knew"] for row in rows] == [1, 0, 0, 0, 0]


def test_a_server_that_dies_leaves_the_pair_and_says_not_saved(page: Page, server: Server, small_file: Path) -> None:
    progress = begin_judging(page, server, small_file, 4, "Amina")
    page.keyboard.press("1")
    expect(progress).to_have_text("1 of 4 judged")
    server.kill()
    page.keyboard.press("1")
    expect(page.locator("#pair [data-part=notice]")).to_contain_text("Not saved")
    expect(progress).to_have_text("1 of 4 judged")
    server.start()
    with suppress(PlaywrightError):  # Gradio loads the page anew by itself when it sees the app again, and may be quicker
        page.reload()
    expect(progress).to_have_text("1 of 4 judged")
    expect(page.locator("#pair [data-part=who]")).to_have_text("Amina judges r")
    page.keyboard.press("2")
    expect(progress).to_have_text("2 of 4 judged")


def test_a_verdict_on_its_way_when_the_page_loads_anew_is_sent_again(page: Page, server: Server, small_file: Path) -> None:
    progress = begin_judging(page, server, small_file, 4, "Amina")
    page.evaluate("() => { window.fetch = () => new Promise(() => {}); }")  # nothing that is sent arrives any more
    page.keyboard.press("2")
    expect(progress).to_have_text("0 of 4 judged")
    page.reload()
    expect(progress).to_have_text("1 of 4 judged")
    workspace = Workspace(server.workspace)
    [row] = workspace.database.query("SELECT verdict, reviewer FROM verdicts")
    workspace.close()
    assert (row["verdict"], row["reviewer"]) == ("b", "Amina")
