"""What each tab's events answer, called as Gradio calls them."""

import json
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from core.datasets.dataset import load_dataset
from core.training.events import RunFinished, RunStarted, StepDone
from core.training.runs.runner import add_run
from core.training.settings import TrainingSettings
from review.domain.rating import make_rating
from review.judging.judge import Judge
from tests.reviews import write_review
from tests.tabs.conftest import Opened, upload
from ui.chat.tab import build_chat_tab
from ui.chat.views import as_turns, displayed, style_note
from ui.data.tab import build_data_tab
from ui.page import build_page
from ui.results.tab import build_results_tab
from ui.review.tab import build_review_tab
from ui.services import Services
from ui.train.loss_charts import (
    ChartOptions,
    draw_curves,
    draw_small_multiples,
    read_chart_options,
    smooth,
    training_warning,
)
from ui.train.metrics_cache import Histories, History
from ui.train.tab import build_train_tab
from ui.train.views import duration

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}${7*7}"
Open = Callable[..., Opened]


def test_every_tab_opens_alone_and_all_open_together(services: Services, open_tab: Open) -> None:
    for build in (
        build_data_tab,
        build_train_tab,
        build_chat_tab,
        build_review_tab,
        build_results_tab,
    ):
        open_tab(build)
    names = [event.api_name for event in build_page(services).fns.values() if event.fn is not None]
    assert all(names) and len(set(names)) == len(names)


def test_an_upload_is_kept_and_reported(services: Services, open_tab: Open, book: Path) -> None:
    page = open_tab(build_data_tab)
    dropdown, problem, chip = page.trigger("take_upload", upload(services, book))
    key = dropdown.value
    assert problem == "" and chip is None and list(services.workspace.uploads.iterdir()) == []
    report, train = page.trigger("show_report", key, "pocket")
    assert train.visible
    assert 'data-rows="1100"' in report and "Exact repeats of a prompt: <b>25</b>" in report
    assert services.datasets.recent()[0]["content_hash"] == key


def test_a_bad_upload_stays_on_the_page_as_one_sentence_and_leaves_nothing(
    services: Services, open_tab: Open, tmp_path: Path
) -> None:
    path = tmp_path / "<b>empty.json"
    path.write_text("")
    before = services.datasets.recent()
    page = open_tab(build_data_tab)
    dropdown, problem, chip = page.trigger("take_upload", upload(services, path))
    assert (dropdown.value, chip) == (None, None)  # what stood there before is true no longer
    assert (
        page.trigger("show_report", None, "pocket")[0]
        == page.trigger("show_left", None, "pocket", 1, "alpaca", True)
        == ""
    )
    assert page.trigger("show_rows", None, "", 1) == ([], "")
    assert "&lt;b&gt;empty.json is empty" in problem
    assert services.datasets.recent() == before


def test_hostile_rows_are_text_in_every_view(
    services: Services, open_tab: Open, tmp_path: Path
) -> None:
    path = tmp_path / "hostile.json"
    path.write_text(
        json.dumps(
            [{"instruction": HOSTILE, "input": "", "output": HOSTILE}, {"instruction": HOSTILE}]
        )
    )
    page = open_tab(build_data_tab)
    key = page.trigger("take_upload", upload(services, path))[0].value
    for markup in (
        page.trigger("show_report", key, "pocket")[0],
        page.trigger("show_left", key, "pocket", 1, "alpaca", True),
    ):
        assert "<script" not in markup and "<img" not in markup
    page = open_tab(build_train_tab)
    assert "<script" not in page.trigger("show_ready", key, *train_values(page))[0]


def test_a_preview_says_how_much_is_trained(services: Services, open_tab: Open) -> None:
    page, key = open_tab(build_data_tab), services.dataset_choices()[0][1]
    shown = page.trigger("show_left", key, "pocket", 3, "alpaca", True)
    assert (
        "7 of 42 tokens are trained" in shown
        and 'class="padding"' in shown
        and 'class="masked"' in shown
    )
    assert "41 of 42 tokens are trained" in page.trigger(
        "show_left", key, "pocket", 3, "alpaca", False
    )
    with pytest.raises(gr.Error, match="has rows 1 to 1570"):
        page.trigger("show_right", key, "pocket", 5000, "phi3", True)
    with pytest.raises(gr.Error, match="no style"):
        page.trigger("show_right", key, "pocket", 1, "<none>", True)


def test_a_chosen_split_is_remembered_and_used_for_training(
    services: Services, open_tab: Open, book: Path
) -> None:
    page = open_tab(build_data_tab)
    key = page.trigger("take_upload", upload(services, book))[0].value
    assert page.trigger("choose_split", key, 20, 10, 7).startswith(
        "770 rows to train on · 110 to validate · 220 to test"
    )
    assert page.trigger("show_split", key)[:3] == (20, 10, 7)
    with pytest.raises(gr.Error):
        page.trigger("choose_split", key, 95, 10, 7)
    train = open_tab(build_train_tab)
    assert (
        "770 rows to train on, 110 to validate, 220 kept for Review"
        in train.trigger("show_ready", key, *train_values(train))[0]
    )


def test_the_table_pages_and_finds(services: Services, open_tab: Open) -> None:
    page, key = open_tab(build_data_tab), services.dataset_choices()[0][1]
    rows, words = page.trigger("show_rows", key, "", 2)
    assert (len(rows), rows[0][0], words) == (100, 101, "1,570 rows, page 2 of 16")
    rows, words = page.trigger("show_rows", key, "CAPITAL OF C", 99)
    assert len(rows) >= 1 and "page 1 of 1" in words


def train_values(page: Opened) -> list[Any]:
    [event] = [event for event in page.page.fns.values() if event.api_name == "show_ready"]
    return [block.value for block in event.inputs[1:]]


def test_the_ready_card_names_every_reason_why_not(services: Services, open_tab: Open) -> None:
    page, key = open_tab(build_train_tab), services.dataset_choices()[0][1]
    ready = page.trigger("show_ready", key, *train_values(page))[0]
    assert (
        "1,058 rows to train on, 120 to validate, 392 kept for Review" in ready
        and "201 steps of 16 rows" in ready
    )
    assert "python -m core train sample --model pocket --style alpaca --method full" in ready
    values = train_values(page)
    values[3:5] = [0, 5.0]
    refused = page.trigger("show_ready", key, *values)[0]
    assert "epochs: must be" in refused and "learning rate: must lie" in refused
    values = train_values(page)
    values[0] = "/no/such/model"
    assert "There is no model" in page.trigger("show_ready", key, *values)[0]


def test_a_page_that_has_no_dataset_yet_is_told_to_choose_one(open_tab: Open) -> None:
    page = open_tab(build_train_tab)
    assert "Choose a dataset first." in page.trigger("show_ready", None, *train_values(page))[0]


@pytest.mark.slow
def test_a_run_started_on_the_page_is_drawn_stopped_resumed_and_deleted(
    services: Services, open_tab: Open, small_file: Path, tiny_models: dict[str, Path]
) -> None:
    page, key = open_tab(build_train_tab), services.datasets.keep(load_dataset(small_file))
    values = train_values(page)
    values[0], values[3] = str(tiny_models["llama"]), 300
    monitor, _ = page.trigger("begin", key, "run", *values)
    assert json.loads(monitor) == {"run": "run"}
    watch, change = (page.server_function("monitor", name) for name in ("watch_runs", "change_run"))
    seen = wait_until(lambda: watch({"run": None}), lambda answer: answer["run"]["points"] >= 3)
    assert (
        seen["run"]["name"] == "run"
        and seen["run"]["state"] == "training"
        and "left" in seen["run"]["progress"]
    )
    assert [trace["name"] for trace in seen["run"]["figure"]["data"]][:4] == [
        "train",
        "train, smoothed",
        "validation",
        "base model",
    ]
    with pytest.raises(gr.Error, match="already"):
        page.trigger("begin", key, "run", *values)
    assert "is going on" in change({"run": "run", "action": "discard"})["error"]
    assert change({"run": "run", "action": "pause"}) == {"done": "pause"}
    assert watch({})["run"]["paused"]
    assert change({"run": "run", "action": "stop"}) == {"done": "stop"}
    stopped = wait_until(lambda: watch({}), lambda answer: answer["run"]["state"] == "stopped")
    assert stopped["run"]["can_resume"]
    assert ("run", "run") in services.model_choices()
    assert change({"run": "run", "action": "resume"}) == {"done": "resume"}
    wait_until(
        lambda: watch({}),
        lambda answer: (
            answer["run"]["state"] == "training"
            and answer["run"]["points"] > stopped["run"]["points"]
        ),
    )
    change({"run": "run", "action": "stop"})
    wait_until(lambda: watch({}), lambda answer: answer["run"]["state"] == "stopped")
    assert change({"run": "run", "action": "note", "note": " a <b>first</b> try "}) == {
        "done": "note"
    }
    assert watch({})["run"]["note"] == "a <b>first</b> try"
    assert "are kept" in change({"run": "run", "action": "note", "note": "x" * 2001})["error"]
    assert page.trigger("reuse", monitor)[1:5] == [values[0], "alpaca", "full", 300]
    report = page.server_function("monitor", "report_run")({"run": "run"})["html"]
    assert (
        "a &lt;b&gt;first&lt;/b&gt; try" in report
        and report.count("<svg ") == 2
        and "http" not in without_scripts(report)
    )
    wait_until(
        lambda: change({"run": "run", "action": "discard"}),
        lambda answer: answer == {"done": "discard"},
    )
    assert watch({"run": "run"}) == {"runs": [], "run": None}
    assert "no action" in change({"run": "run", "action": "dance"})["error"]


def test_a_run_is_renamed_and_what_cannot_be_done_is_said(
    services: Services, open_tab: Open, small_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, watch = (
        open_tab(build_train_tab).server_function("monitor", name)
        for name in ("change_run", "watch_runs")
    )
    add_run(services.workspace, load_dataset(small_file), TrainingSettings(), "first")
    assert (
        "stop it first" in change({"run": "first", "action": "rename", "value": "second"})["error"]
    )
    services.runs.record("first", RunStarted("first", 0, 9, 3, 34, 2, 1, 1, "cpu"))
    services.runs.record("first", StepDone(9, 3, 1.0, 1e-4, 1.0, 90, 900.0, 600.0, 3))
    services.runs.record("first", RunFinished(9, "completed", 9, 1.0, 3.0))
    store = write_review(services.workspace, small_file, {"first@9": "one", "base": "other"}, 3)
    with store.database.transaction() as tables:
        tables.execute("UPDATE reviews SET state = 'stopped'")
    refused = change({"run": "first", "action": "rename", "value": "second"})["error"]
    assert (
        "The review 'r' still wants answers of 'first'" in refused
        and store.waiting_for("firs") == ""
    )
    with store.database.transaction() as tables:
        tables.execute("UPDATE reviews SET state = 'ready'")
    assert change({"run": "first", "action": "rename", "value": " second "}) == {"done": "rename"}
    view = watch({"run": "second"})["run"]
    assert (view["name"], view["epochs"], view["can_extend"], view["can_merge"]) == (
        "second",
        3,
        False,
        False,
    )
    for value, words in (
        ("many", "Give the number of epochs"),
        (4, "made room for a later run's"),
        (3, "more than the 3"),
    ):
        assert words in change({"run": "second", "action": "extend", "value": value})["error"]
    assert "has no model yet" in change({"run": "second", "action": "merge"})["error"]
    assert "is not being merged" in change({"run": "second", "action": "stop_merge"})["error"]
    assert (
        watch({"run": "second"})["run"]["merge"],
        watch({"run": "second"})["run"]["can_stop_merge"],
    ) == ("", False)
    monkeypatch.setattr(services.merges, "is_going_on", lambda _: True)
    assert watch({"run": "second"})["run"]["can_stop_merge"]
    for action in ("resume", "extend", "rename", "discard"):
        assert (
            "is being merged: wait for it, or stop it"
            in change({"run": "second", "action": action, "value": 9})["error"]
        )


@pytest.mark.slow
def test_runs_wait_for_each_other_and_a_waiting_one_can_leave(
    services: Services, open_tab: Open, small_file: Path, tiny_models: dict[str, Path]
) -> None:
    page, key = open_tab(build_train_tab), services.datasets.keep(load_dataset(small_file))
    values = train_values(page)
    values[0], values[3] = str(tiny_models["llama"]), 300
    for name in ("one", "two"):
        page.trigger("begin", key, name, *values)
    wait_until(lambda: services.runs.find("one"), lambda row: row["state"] == "running")
    assert services.runs.find("two")["state"] == "queued"
    services.queue.stop("two")
    assert services.runs.find("two")["state"] == "stopped"
    services.queue.stop("one")
    wait_until(lambda: services.runs.find("one"), lambda row: row["state"] == "stopped")


def without_scripts(report: str) -> str:
    """Return a report, which is small and holds no script."""
    assert "<script" not in report and len(report) < 100_000
    return report


def wait_until(ask: Callable[[], Any], enough: Callable[[Any], bool], timeout_s: float = 60) -> Any:
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        answer = ask()
        if enough(answer):
            return answer
        time.sleep(0.1)
    raise AssertionError(f"not within {timeout_s} s: {answer}")


@pytest.mark.slow
def test_chat_streams_longer_and_longer_text_and_shows_the_exact_prompt(
    open_tab: Open, tiny_models: dict[str, Path]
) -> None:
    page = open_tab(build_chat_tab)
    _, past, shown = page.trigger("take", f" {HOSTILE} ", [])
    assert "<script" not in shown[0]["content"] and past == [{"role": "user", "text": HOSTILE}]
    *_, last = list(
        page.trigger(
            "answer", str(tiny_models["llama"]), "chatml", "Be brief.", past, 0, 0, 1, 12, 1
        )
    )
    history, messages, prompt, _ = last
    assert history[-1]["role"] == "assistant" and len(messages) == 2
    assert (
        "&lt;|im_start|&gt;system\nBe brief.&lt;|im_end|&gt;" in prompt and "<script" not in prompt
    )
    *_, (again, *_) = list(
        page.trigger(
            "answer_again",
            str(tiny_models["llama"]),
            "chatml",
            "Be brief.",
            history,
            0,
            0,
            1,
            12,
            1,
        )
    )
    assert again == history  # the same seed
    kept: list[Any] = []
    with pytest.raises(gr.Error, match="There is no model"):
        kept.extend(page.trigger("answer_again", "/no/model", "", "", history, 0, 0, 1, 12, 1))
    assert kept[-1][0] == history  # a good answer is not given up for none
    assert page.trigger("drop_turn", history) == ([], [], HOSTILE)
    with pytest.raises(gr.Error, match="top p: must lie"):
        list(page.trigger("answer", str(tiny_models["llama"]), "", "", past, 0, 0, 0, 12, 1))
    told: list[Any] = []
    with pytest.raises(gr.Error, match="There is no model"):
        told.extend(page.trigger("answer", "/no/model", "", "", past, 0, 0, 1, 12, 1))
    asked, seen, _, box = told[-1]
    # it is no part of what is asked next, and stands where it was written
    assert (asked, seen, box) == ([], [], HOSTILE)


def test_chat_text_is_escaped_in_the_one_adapter() -> None:
    assert displayed([{"role": "user", "text": "<b>&"}]) == [
        {"role": "user", "content": "&lt;b&gt;&amp;"}
    ]


def test_the_last_question_is_what_the_model_is_asked() -> None:
    history = [
        {"role": "user", "text": "a"},
        {"role": "assistant", "text": "b"},
        {"role": "user", "text": "c"},
    ]
    assert [(turn.role, turn.text) for turn in as_turns(" ", history)] == [
        ("user", "a"),
        ("assistant", "b"),
        ("user", "c"),
    ]
    assert as_turns("s", [*history, {"role": "assistant", "text": "half"}])[-1].text == "c"


def test_a_style_mismatch_is_named() -> None:
    assert "tuned with the style 'alpaca' and is asked in 'phi3'" in style_note("phi3", "alpaca")
    assert style_note("", "alpaca") == style_note("alpaca", "alpaca") == ""


@pytest.fixture
def ready_review(services: Services, small_file: Path) -> str:
    write_review(
        services.workspace, small_file, {name: f"{HOSTILE} {name}" for name in ("base", "tuned")}, 5
    )
    return "r"


def test_pairs_are_judged_through_the_page_and_counted(
    services: Services, open_tab: Open, ready_review: str
) -> None:
    page = open_tab(build_review_tab)
    assert json.loads(page.trigger("judge", "r", " Amina  B ", "all")) == {
        "review": "r",
        "reviewer": "Amina B",
    }
    fetch, save, undo = (
        page.server_function("pair", name)
        for name in ("fetch_pairs", "save_verdict", "undo_verdict")
    )
    who = {"review": "r", "reviewer": "Amina B"}
    answer = fetch({**who, "count": 3, "known": [], "skipped": []})
    assert (len(answer["pairs"]), answer["done"], answer["total"]) == (3, 0, 5)
    first, second, _ = answer["pairs"]
    more = fetch({**who, "count": 3, "known": [first["id"]], "skipped": [second["id"]]})
    assert (
        first["id"] not in [pair["id"] for pair in more["pairs"]]
        and more["pairs"][-1]["id"] != first["id"]
    )
    assert (
        save(
            {**who, "pair": first["id"], "verdict": "a", "b": {"tags": ["repeats"]}, "comment": "x"}
        )["done"]
        == 1
    )
    assert undo(who)["pair"]["id"] == first["id"]
    save({**who, "pair": first["id"], "verdict": "both_bad"})
    assert (
        "judged this pair already, perhaps in another window"
        in save({**who, "pair": first["id"], "verdict": "a"})["error"]
    )
    save({**who, "pair": second["id"], "verdict": "a", "flagged": True, "unblinded": True})
    history, reopen = (
        page.server_function("pair", name) for name in ("list_verdicts", "open_verdict")
    )
    listed = history(who)
    assert [
        (given["pair"], given["flagged"], given["unblinded"]) for given in listed["verdicts"]
    ] == [
        (second["id"], True, True),
        (first["id"], False, False),
    ]
    assert not listed["more"] and history({**who, "before": first["id"]})["verdicts"] == []
    opened = reopen({**who, "pair": second["id"]})
    assert (opened["pair"], opened["rating"]["verdict"]) == (second, "a")
    unjudged = ({1, 2, 3} - {first["id"], second["id"]}).pop()
    assert (
        "not judged" in reopen({**who, "pair": unjudged})["error"]
        and "'pair' is no whole number" in reopen({**who, "pair": "4"})["error"]
    )
    results = open_tab(build_results_tab)
    shown = results.trigger("show_result", "r", "", "", "", "")[0]
    assert 'data-ratings="1"' in shown and "<script" not in shown
    assert 'data-ratings="0"' in results.trigger("show_result", "r", "", "repeats", "", "")[0]
    assert "more one-sided" not in shown and "Amina B: 1 ratings, none decided" in shown
    review, reviewer, _, _, _ = results.trigger("refresh_results")
    assert review.value == "r" and ("Amina B", "Amina B") in [
        tuple(choice) for choice in reviewer.choices
    ]
    file = results.trigger("export", "r", "csv")
    assert (
        Path(str(file.value["path"] if isinstance(file.value, dict) else file.value))
        .read_text()
        .count("both_bad")
        == 2
        and "1 rating is left out" in shown
    )


def test_three_contenders_are_ranked_on_the_page(
    services: Services, open_tab: Open, small_file: Path
) -> None:
    store = write_review(
        services.workspace, small_file, {name: name for name in ("<b>one", "two", "three")}, 12
    )
    results = open_tab(build_results_tab)
    assert "<table" not in results.trigger("show_result", "r", "", "", "", "")[0]
    judge, rng = Judge(store, "r", "Amina"), random.Random(1)
    for number in range(36):
        [pair] = judge.next_pairs(1)
        judge.rate(pair.id, make_rating("tie" if number % 3 else rng.choice("ab")))
        if number == 0:
            assert (
                "A ranking needs verdicts on 10 prompts"
                in results.trigger("show_result", "r", "", "", "", "")[0]
            )
    shown = results.trigger("show_result", "r", "", "", "", "")[0]
    assert (
        shown.count('class="place"') == 3 and "&lt;b&gt;one" in shown and "Bradley–Terry" in shown
    )
    assert "No pair was judged by two people yet" in shown


@pytest.mark.parametrize(
    "question",
    [
        {"review": "r", "reviewer": "A", "pair": 1, "verdict": "c"},
        {"review": "r", "reviewer": "A", "pair": "1", "verdict": "a"},
        {"review": "r", "reviewer": "A", "pair": 99, "verdict": "a"},
        {"review": "r", "reviewer": "", "pair": 1, "verdict": "a"},
        {"review": "none", "reviewer": "A", "pair": 1, "verdict": "a"},
        {"review": "r", "reviewer": "A", "pair": 1, "verdict": "a", "a": {"tags": ["<b>"]}},
        {"review": "r", "reviewer": "A", "pair": 1, "verdict": "a", "comment": {"x": 1}},
        {},
    ],
)
def test_what_a_page_sends_is_checked_and_answered_not_raised(
    services: Services, open_tab: Open, ready_review: str, question: dict[str, Any]
) -> None:
    save = open_tab(build_review_tab).server_function("pair", "save_verdict")
    assert set(save(question)) == {"error"}
    assert services.reviews.database.query("SELECT * FROM verdicts") == []


@pytest.mark.slow
def test_a_review_is_made_in_the_background_with_progress(
    services: Services, open_tab: Open, small_file: Path, tiny_models: dict[str, Path]
) -> None:
    page, key = open_tab(build_review_tab), services.datasets.keep(load_dataset(small_file))
    names = [str(tiny_models["llama"]), str(tiny_models["gpt2"])]
    name, _, making, form = page.trigger(
        "make_review", key, "test", 3, "", names, 0, "", "", 0, "pairs", 8, 0, 42
    )
    assert name == "review-1" and "0 of 6 responses" in making and not form.open
    wait_until(lambda: services.reviews.find(name), lambda row: row["state"] == "ready")
    making, dropdown, watched = page.trigger("watch_review", name)
    assert (
        "6 of 6 responses. Ready to judge." in making and dropdown.value == name and watched == ""
    )
    # its thread ends a moment later
    wait_until(lambda: services.review_jobs.current, lambda current: current is None)
    with pytest.raises(gr.Error, match="two or more"):
        page.trigger("make_review", key, "test", 3, "", names[:1], 0, "", "", 0, "pairs", 8, 0, 42)
    with pytest.raises(gr.Error, match="There is no model"):
        page.trigger(
            "make_review", key, "test", 3, "", [*names, "/nowhere"], 0, "", "", 0, "pairs", 8, 0, 42
        )
    row = services.reviews.database.one("SELECT facts FROM contenders WHERE name = ?", [names[0]])
    assert row is not None and json.loads(row["facts"])["folder"] == names[0]


def points(*losses: float, every: int = 1) -> list[dict[str, Any]]:
    return [
        {
            "step": at * every,
            "epoch": at * every / 10,
            "loss": loss,
            "seen_tokens": None if every > 1 else at * 100,
            "learning_rate": 1e-3,
            "gradient_norm": 1.0,
            "tokens_per_s": 500.0,
            "peak_memory_mib": 600.0,
        }
        for at, loss in enumerate(losses)
    ]


def history(
    train: list[dict[str, Any]],
    validation: list[dict[str, Any]],
    base: float | None = None,
    name: str = "run",
) -> History:
    return History(name, base, len(train), train, validation)


def test_curves_mark_the_best_and_shade_what_overfits() -> None:
    train = points(*[3 - 0.02 * i for i in range(100)])
    figure = draw_curves(history(train, points(3, 2, 1.5, 1.7, 1.9, every=20), 3.0), ChartOptions())
    best = next(trace for trace in figure["data"] if trace["name"] == "best")
    assert (best["x"], best["y"]) == ([40], [1.5])
    assert (figure["layout"]["shapes"][0]["x0"], figure["layout"]["shapes"][0]["x1"]) == (40, 80)
    assert "template" not in figure["layout"]


def test_figures_are_what_plotly_takes() -> None:
    import plotly.graph_objects as go

    run = history(
        points(*[3 - 0.02 * i for i in range(100)]), points(3, 2, 1.5, 1.7, 1.9, every=20), 3.0
    )
    for figure in (
        draw_curves(run, ChartOptions("tokens", log=True), [run]),
        draw_small_multiples(run, ChartOptions()),
    ):
        assert len(go.Figure(figure).data) == len(figure["data"])  # raises for anything unknown


def test_curves_are_drawn_across_epochs_and_tokens_on_either_scale() -> None:
    run = history(points(3, 2, 1, 1, 1), points(3, 2, 1.5, every=2), 3.0)
    for axis, last in (("steps", 4), ("epochs", 0.4), ("tokens", 400)):
        figure = draw_curves(run, ChartOptions(axis, 0.5, log=True))
        traces = {trace["name"]: trace for trace in figure["data"]}
        assert traces["train"]["x"][-1] == traces["validation"]["x"][-1] == pytest.approx(last)
        assert (
            figure["layout"]["yaxis"]["type"] == "log"
            and figure["layout"]["xaxis"]["title"]["text"] == axis
        )
    assert traces["train, smoothed"]["y"][1] == pytest.approx((0.5 * 3 + 2) / 1.5)


def test_other_runs_are_laid_over_with_names_and_fewer_points() -> None:
    other = history(points(*[2.0] * 5000), points(2, 1, every=2000), name="other")
    names = [
        trace["name"]
        for trace in draw_curves(history(points(3, 2), []), ChartOptions(), [other])["data"]
    ]
    assert names[-2:] == ["other: train", "other: validation"]
    figure = draw_curves(history([], []), ChartOptions(), [other])
    assert max(len(trace["x"]) for trace in figure["data"]) <= 301


def test_a_page_that_asks_for_nonsense_gets_the_usual_look() -> None:
    assert read_chart_options({"axis": "hours", "smoothing": 7, "log": "yes"}) == ChartOptions()
    assert read_chart_options({"axis": "tokens", "smoothing": 0, "log": True}) == ChartOptions(
        "tokens", 0.0, log=True
    )


def test_small_charts_show_what_else_was_noted() -> None:
    details = draw_small_multiples(history(points(*[3.0] * 2000), []), ChartOptions())
    assert [trace["name"] for trace in details["data"]] == [
        "learning rate", "gradient norm", "tokens/s", "memory, MiB",
    ]  # fmt: skip
    assert all(len(trace["x"]) <= 301 and trace["x"][-1] == 1999 for trace in details["data"])


def test_overfitting_is_said_in_words_only_when_it_is_so() -> None:
    train = points(*[3 - 0.02 * i for i in range(100)])
    rising = points(3, 2, 1.5, 1.7, 1.9, every=20)
    going, ended = (
        training_warning(history(train, rising), goes_on=goes_on) for goes_on in (True, False)
    )
    assert "has risen 2 times in a row since step 40" in going and going.endswith(
        "stopping now loses nothing."
    )
    assert ended.endswith("The best model is kept.")  # there is nothing left to stop
    assert (
        training_warning(history(train, points(3, 2, 1.5, 1.4, 1.9, every=20)), goes_on=True) == ""
    )
    diverging = history(points(*[1 + 0.02 * i for i in range(100)]), rising)
    assert training_warning(diverging, goes_on=True) == ""
    assert training_warning(history([], []), goes_on=True) == ""
    assert draw_curves(history(train, rising), ChartOptions())["layout"]["shapes"]
    assert not draw_curves(diverging, ChartOptions())["layout"]["shapes"]


def test_a_run_that_is_worse_than_its_base_model_is_told_of() -> None:
    worse = History(
        "r", base_loss=1.4, train=points(5, 6, 7), validation=points(1.4, 2, 1.5, every=20)
    )
    assert training_warning(worse, goes_on=False).startswith(
        "No evaluation is better than the base model: 1.5000 at best, 1.4000 before."
    )
    assert training_warning(worse, goes_on=True).startswith("So far no evaluation")
    assert training_warning(replace(worse, base_loss=1.6), goes_on=False) == ""


def test_a_long_run_sends_a_bounded_number_of_points() -> None:
    figure = draw_curves(history(points(*[1.0] * 25_000), []), ChartOptions())
    assert len(figure["data"][0]["x"]) <= 1001
    assert figure["data"][0]["x"][-1] == 24_999


def test_smoothing_starts_at_the_first_value() -> None:
    assert smooth([2.0, 2.0, 2.0], 0.9) == pytest.approx([2.0, 2.0, 2.0])


def test_times_are_said_as_people_say_them() -> None:
    assert [duration(s) for s in (4.4, 75, 3725)] == ["4 s", "1 min 15 s", "1 h 02 min"]


def test_runs_that_differ_say_in_what(services: Services, open_tab: Open, small_file: Path) -> None:
    dataset = load_dataset(small_file)
    for name, rate, epochs in (("one", 1e-3, 2), ("two", 1e-4, 2)):
        add_run(
            services.workspace,
            dataset,
            replace(TrainingSettings(), learning_rate=rate, epochs=epochs),
            name,
        )
    watch = open_tab(build_train_tab).server_function("monitor", "watch_runs")
    answer = watch({"run": "one", "compare": ["two", "one", "none"]})["run"]
    assert answer["compared"] == ["two"]
    assert answer["differences"] == [{"setting": "learning rate", "values": ["0.001", "0.0001"]}]
    assert watch({"run": "one", "compare": "two"})["run"]["differences"] == []


def test_a_poll_reads_only_what_is_new_and_forgets_what_is_done_again(
    services: Services, small_file: Path
) -> None:
    name = add_run(services.workspace, load_dataset(small_file), TrainingSettings())
    runs, histories = services.runs, Histories(services.runs)
    runs.record(name, RunStarted(name, 0, 9, 9, 8, 2, 1, 1, "cpu"))
    for step in range(1, 6):
        runs.record(name, StepDone(step, step / 9, 3.0 - step, 1e-3, 1.0, step, 1.0, 1.0, 1.0))
    assert [row["step"] for row in histories.read(runs.find(name)).train] == [1, 2, 3, 4, 5]
    runs.record(name, StepDone(6, 0.7, 1.0, 1e-3, 1.0, 6, 1.0, 1.0, 1.0))
    asked: list[int] = []
    metrics = runs.metrics
    runs.metrics = lambda name, kind, after=-1: (asked.append(after), metrics(name, kind, after))[1]  # type: ignore[method-assign]
    assert len(histories.read(runs.find(name)).train) == 6
    assert asked[0] == 5
    runs.record(name, RunStarted(name, 2, 9, 9, 8, 2, 1, 1, "cpu"))
    assert [row["step"] for row in histories.read(runs.find(name)).train] == [1, 2]
