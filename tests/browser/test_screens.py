"""Screens that survive what people and models do to them."""

import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from core.datasets.dataset import load_dataset
from core.storage.workspace import Workspace
from core.training.events import EvalDone, RunFinished, RunStarted, StepDone
from core.training.runs.runner import add_run
from core.training.runs.store import RunStore
from core.training.settings import TrainingSettings
from tests.conftest import POCKET, processes_of_run
from tests.serving import Server

pytestmark = [pytest.mark.browser, pytest.mark.slow]
TABS = ("data", "train", "chat", "review", "results")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_no_tab_scrolls_sideways_or_logs_an_error(
    browser: Browser, calm_server: Server, width: int, theme: str
) -> None:
    window = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=theme)  # type: ignore[arg-type]
    window.set_default_timeout(90_000)
    errors: list[str] = []
    window.on(
        "console", lambda message: errors.append(message.text) if message.type == "error" else None
    )
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
            b"[\n"
            + b'{"instruction": "Q", "output": "A"},\n' * 55
            + b'{"instruction": "Q" "x": 1}\n]',
            "in line 57",
        ),
        ("columns.csv", b"headline,verse\nQ,A\n", "has the fields 'headline', 'verse'"),
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
    # What was shown before is not this file's: nothing of it stays to be trained on by mistake.
    expect(calm_page.locator(".fuata-report")).to_be_hidden()
    expect(calm_page.get_by_label("Dataset", exact=True)).to_have_value("")


def test_a_wrong_model_or_style_is_named_where_start_would_be(
    calm_page: Page, calm_server: Server
) -> None:
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


def test_what_is_wrong_with_a_choice_is_told_in_a_notice_that_goes(
    browser: Browser, calm_server: Server
) -> None:
    """Of events past Gradio's queue the page itself must tell."""
    with browser.new_context(viewport={"width": 390, "height": 800}) as window:
        page = window.new_page()
        page.goto(f"{calm_server.url}/?tab=data")
        expect(page.locator(".fuata-report")).to_be_visible(timeout=30_000)
        notices = page.locator("#fuata-notices .fuata-alert")
        field = page.locator("#data-model input")
        field.fill("/no/model")
        field.press("Enter")
        expect(notices).to_contain_text("There is no model '/no/model'")
        expect(notices).to_have_count(1)  # three events asked for it
        expect(
            page.get_by_text("Error", exact=True).first
        ).to_be_hidden()  # Gradio's own word for it
        notices.get_by_label("Close").click()
        expect(notices).to_have_count(0)
        page.locator("#test-share input").fill("95")
        page.keyboard.press("Tab")
        expect(notices.filter(has_text="test share: must lie between 0 and 0.9")).to_be_visible()


def test_a_closed_notice_does_not_come_back_with_a_late_answer(
    browser: Browser, calm_server: Server
) -> None:
    with browser.new_context() as window:
        page = window.new_page()
        page.goto(f"{calm_server.url}/?tab=data")
        expect(page.locator(".fuata-report")).to_be_visible(timeout=30_000)
        notices = page.locator("#fuata-notices .fuata-alert")
        notice = "fuataTell({ error: 'No' })"
        page.evaluate(notice)
        notices.get_by_label("Close").click()
        page.evaluate(notice)  # of an event that was asked for by what the person did before
        assert notices.count() == 0
        page.keyboard.press("Tab")
        page.evaluate("fuataTell({ error: 'No' }, 0)")  # asked for before it was closed
        assert notices.count() == 0
        page.evaluate(notice)
        assert notices.count() == 1


def test_a_question_that_could_not_be_asked_goes_back_to_its_box(
    browser: Browser, calm_server: Server
) -> None:
    with browser.new_context() as window:
        page = window.new_page()
        page.goto(f"{calm_server.url}/?tab=chat")
        field = page.locator("#chat-model input")
        expect(field).to_have_value("pocket (base)")
        field.fill("/no/model")
        field.press("Enter")
        page.locator("#ask textarea").fill("Jambo")
        page.locator("#send").click()
        expect(page.get_by_text("There is no model '/no/model'").first).to_be_visible()
        expect(page.locator("#ask textarea")).to_have_value("Jambo")
        expect(page.locator("#chatbot .message")).to_have_count(0)


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
    page.get_by_label("Epochs").fill("1000")
    # many steps: there must be some left when the app is back
    page.get_by_label("Batch size").fill("1")
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
    expect(second.locator("#monitor [data-part=state]")).to_have_text(
        re.compile("waiting|training"), timeout=60_000
    )
    expect(state).to_have_text("training", timeout=60_000)
    second.get_by_role("button", name="Stop and keep the best").click()
    expect(state).to_have_text("stopped", timeout=60_000)
    second.close()


def export_and_fetch(page: Page, run: str) -> None:
    page.get_by_role("button", name="Export", exact=True).click()
    page.get_by_label("Take the model away as").select_option("gguf:q4_0")
    page.get_by_label("Export the model").get_by_role("button", name="Export").click()
    with page.expect_download() as download:
        page.get_by_role("link", name=f"{run}-q4_0.gguf").click()
    assert Path(download.value.path()).read_bytes().startswith(b"GGUF")
    expect(page.get_by_role("button", name="Stop the export")).to_be_hidden()


def rename(page: Page, name: str) -> None:
    page.get_by_role("button", name="Rename").click()
    page.get_by_label("New name").fill(name)
    page.get_by_role("button", name="OK").click()


def test_runs_are_compared_noted_reported_and_their_settings_used_again(
    page: Page, server: Server, small_file: Path, tmp_path: Path
) -> None:
    server.stop()
    workspace = Workspace(server.workspace)
    for name, rate in (("slow", 1e-4), ("fast", 1e-3)):
        add_run(
            workspace,
            load_dataset(small_file),
            replace(TrainingSettings(), learning_rate=rate, epochs=7),
            name,
        )
        record_run(RunStore(workspace), name, rate)
    shutil.copytree(POCKET, workspace.model_folder("fast"))
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
    page.wait_for_function(
        "document.querySelector('#monitor [data-part=plot]').layout.xaxis.title.text === 'tokens'"
    )
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
    export_and_fetch(page, "fast")
    rename(page, "slow")
    expect(page.locator("#monitor [data-part=refusal]")).to_contain_text(
        "There is a run 'slow' already"
    )
    page.get_by_role("button", name="Rename").click()
    page.get_by_label("New name").fill("quick")
    page.get_by_label("New name").press("Enter")
    expect(monitor.locator("[data-part=name]")).to_have_text("quick")
    expect(page.locator("#monitor [data-part=refusal]")).to_be_hidden()
    page.goto(f"file://{tmp_path}/report.html")
    expect(page.locator("figure svg polyline").first).to_be_visible()
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
        runs.record(
            name, StepDone(step, step / 10, 3 / step, rate, 1.0, 90 * step, 900.0, 600.0, step)
        )
    runs.record(name, EvalDone(40, 4, 1.0, is_best=True, elapsed_s=40))
    runs.record(name, RunFinished(40, "completed", 40, 1.0, 40))


def test_what_is_typed_while_a_methods_defaults_are_on_their_way_stays(
    calm_page: Page, calm_server: Server
) -> None:
    calm_page.goto(f"{calm_server.url}/?tab=train")
    expect(calm_page.locator("#ready")).to_contain_text("Ready.")
    held: list[Route] = []
    calm_page.route("**/gradio_api/run/**", lambda request: held.append(request))  # noqa: PLW0108 - Playwright marks what it is given
    calm_page.get_by_role("radio", name="lora", exact=True).click()
    # the card, and the defaults; should one never be asked for, the test's own limit ends this
    while len(held) < 2:
        calm_page.wait_for_timeout(20)
    calm_page.get_by_label("Epochs", exact=True).fill("7")
    calm_page.unroute("**/gradio_api/run/**")  # which lets go of what is held
    expect(calm_page.get_by_label("Learning rate", exact=True)).to_have_value("0.003")
    expect(calm_page.get_by_label("Epochs", exact=True)).to_have_value("7")
    calm_page.get_by_role(
        "radio", name="full", exact=True
    ).click()  # a choice after it brings all of its defaults again
    expect(calm_page.get_by_label("Epochs", exact=True)).to_have_value("3")
    expect(calm_page.get_by_label("Learning rate", exact=True)).to_have_value("0.0003")
    for method in ("lora", "qlora", "full"):  # quicker than the answers come
        calm_page.get_by_role("radio", name=method, exact=True).click()
    expect(calm_page.locator("#ready")).to_contain_text("Ready.")
    expect(calm_page.get_by_label("Learning rate", exact=True)).to_have_value("0.0003")
