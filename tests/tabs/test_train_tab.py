"""What the Train tab's events answer, called as Gradio calls them."""

import json
from dataclasses import replace
from pathlib import Path

import gradio as gr
import pytest

from core.datasets.dataset import load_dataset
from core.training.events import RunFinished, RunStarted, StepDone
from core.training.runs.runner import add_run
from core.training.settings import TrainingSettings
from tests.reviews import write_review
from tests.standin_hub import hub
from tests.tabs.conftest import (
    Open,
    train_values,
    wait_until,
    without_scripts,
)
from ui.services import Services
from ui.train.metrics_cache import Histories
from ui.train.tab import build_train_tab

__all__ = ["hub"]  # a fixture


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
    assert (view["name"], view["epochs"], view["can_extend"], view["has_adapter"]) == (
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
    export = {"run": "second", "action": "export"}
    assert "has no model yet" in change({**export, "value": "gguf:q8_0"})["error"]
    for value in ("", "pickle", "gguf:q9", "adapter:"):
        told = change({**export, "value": value})["error"]
        assert "what the model is to be taken away as" in told or "no model yet" in told
    assert "is not being exported" in change({"run": "second", "action": "stop_export"})["error"]
    view = watch({"run": "second"})["run"]
    assert (view["export"], view["is_exporting"], view["exported"]) == ("", False, [])
    monkeypatch.setattr(services.exports, "is_going_on", lambda _: True)
    assert watch({"run": "second"})["run"]["is_exporting"]
    for action in ("resume", "extend", "rename", "discard"):
        assert (
            "is being exported: wait for it, or stop it"
            in change({"run": "second", "action": action, "value": 9})["error"]
        )


@pytest.mark.usefixtures("hub")
def test_a_hub_model_is_told_of_fetched_and_ready(services: Services, open_tab: Open) -> None:
    page = open_tab(build_train_tab)
    key = services.datasets.recent()[0]["content_hash"]
    values = ["amina/pocket", *train_values(page)[1:]]
    card, start, fetch = page.trigger("show_ready", key, *values)
    assert "on the hub and not here yet (11 MiB, licence: apache-2.0)" in card
    assert not start.interactive and fetch.visible
    with pytest.raises(gr.Error, match="only for people whom its owners gave leave"):
        page.trigger("fetch_model", "amina/gated")
    page.trigger("fetch_model", "amina/pocket")
    card, start, fetch = page.trigger("show_ready", key, *values)
    assert "Ready." in card and start.interactive and not fetch.visible


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
