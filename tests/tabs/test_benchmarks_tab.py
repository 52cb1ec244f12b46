"""The Benchmarks screen: what will be asked, started, watched, compared, read question by question,
taken away; a benchmark of one's own.
"""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from core.evaluation.report import sentences_about
from tests.benchmark_data import write_mmlu
from tests.conftest import POCKET
from tests.tabs.conftest import Opened, upload, wait_until
from ui.benchmarks.tab import build_benchmarks_tab
from ui.services import Services

Open = Callable[..., Opened]


def form(**changes: Any) -> list[Any]:
    fields = {
        "models": ["pocket"], "suites": ["pocket_families"], "tasks": "", "data": "", "limit": 12,
        "few_shot": "", "chat_template": False, "as_turns": False, "system": "", "apart": False, "helm": False,
        "judge": "", "run_code": False,
    }  # fmt: skip
    return list((fields | changes).values())


def finished(page: Opened, name: str) -> dict[str, Any]:
    read = page.server_function("evaluation-board", "read_evaluation")
    found: dict[str, Any] = wait_until(
        lambda: read({"name": name}), lambda shown: not shown["going_on"], 120
    )
    return found


def test_models_are_asked_compared_and_read(
    services: Services, open_tab: Open, tmp_path: Path
) -> None:
    page = open_tab(build_benchmarks_tab)
    card = page.trigger("plan_evaluation", *form())
    assert "24 questions, 60 requests" in card and "pocket&#39;s families, written" in card
    chosen, name, _ = page.trigger("start_evaluation", "first", *form(models=["pocket", "pocket"]))
    assert (chosen.value, name) == ("first", "")
    shown = finished(page, "first")
    assert shown["state"] == "finished", shown["message"]
    titles = {line["title"]: line["cells"][0]["text"] for line in shown["lines"]}
    assert set(titles) == {
        "pocket's families", "pocket's families, choosing", "pocket's families, written",
    }  # fmt: skip
    assert shown["facts"].startswith("each task's own number of examples, the first 12 questions")
    value, _ = page.trigger("show_evaluation", "first", None)
    assert json.loads(value) == {"name": "first", "baseline": "pocket"}
    questions = page.server_function("evaluation-board", "read_questions")
    first = questions({"name": "first", "task": "pocket_choice", "page": 0, "which": ""})
    assert (first["title"], first["words"], first["more"]) == (
        "pocket's families, choosing: 12 questions", "1 to 10 of 12", True,
    )  # fmt: skip
    assert "Calculate 1 + 6." in first["questions"][0]["prompt"]
    assert first["questions"][0]["answers"][0]["right"] is True
    wrong = questions({"name": "first", "task": "pocket_exact", "page": 0, "which": "wrong"})
    assert all(not one["answers"][0]["right"] for one in wrong["questions"])
    for wanted in ("lm-eval", "csv", "html"):
        file = page.trigger("export_evaluation", "first", wanted)
        assert Path(file.value["path"] if isinstance(file.value, dict) else file.value).is_file()
    with zipfile.ZipFile(services.workspace.exports / "first-lm-eval.zip") as archive:
        results = archive.read("pocket/results_first.json")
    file = tmp_path / "results_first.json"
    file.write_bytes(results)
    brought, told = page.trigger("import_results", upload(services, file))
    assert brought.value == "evaluation-1" and "Brought in as evaluation-1" in told
    report = (services.workspace.exports / "first.html").read_text()
    assert "<script" not in report and "pocket&#39;s families, choosing" in report
    change = page.server_function("evaluation-board", "change_evaluation")
    assert change({"name": "first", "what": "delete"}) == {"done": "delete"}
    assert "There is no evaluation 'first'" in change({"name": "first", "what": "delete"})["error"]


def test_an_evaluation_is_stopped_and_goes_on(
    services: Services, open_tab: Open, tmp_path: Path
) -> None:
    write_mmlu(tmp_path / "data", questions=60)
    page = open_tab(build_benchmarks_tab)
    asked = form(
        suites=[], tasks="mmlu_anatomy, mmlu_astronomy", data=str(tmp_path / "data"), limit=0
    )
    page.trigger("start_evaluation", "stopped", *asked)
    change = page.server_function("evaluation-board", "change_evaluation")
    page.trigger("start_evaluation", "second", *asked)
    assert change({"name": "second", "what": "stop"}) == {"done": "stop"}
    assert services.evaluations.find("second")["message"] == "Taken out of the queue."
    wait_until(lambda: services.evaluation_jobs.progress("stopped"), bool, 60)
    change({"name": "stopped", "what": "stop"})
    shown = finished(page, "stopped")
    assert shown["state"] in {"stopped", "finished"}
    if shown["state"] == "stopped":
        assert "what is answered is kept" in shown["message"]
        change({"name": "stopped", "what": "go-on"})
    assert finished(page, "stopped")["state"] == "finished"
    assert {line["task"] for line in finished(page, "stopped")["lines"]} == {
        "mmlu_anatomy", "mmlu_astronomy",
    }  # fmt: skip


def test_a_folder_says_which_benchmarks_lie_in_it(open_tab: Open, tmp_path: Path) -> None:
    write_mmlu(tmp_path)
    page = open_tab(build_benchmarks_tab)
    offered = page.trigger("look_into_folder", str(tmp_path)).choices
    titles = {name: title for title, name in offered}
    assert titles["mmlu"] == "MMLU · in the folder" and titles["glue"] == "GLUE"
    assert (
        page.trigger("look_into_folder", "/nowhere").choices
        == page.trigger("look_into_folder", "").choices
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"models": [], "suites": []},
            "models: choose one at least; benchmarks: choose one at least",
        ),
        ({"data": "/nowhere/at/all"}, "There is no folder"),
        ({"limit": -1}, "limit: must be 1 or more"),
        ({"models": ["http://x"]}, "is no endpoint"),
    ],
)
def test_what_cannot_be_asked_is_told(
    open_tab: Open, changes: dict[str, Any], sentence: str
) -> None:
    page = open_tab(build_benchmarks_tab)
    with pytest.raises(gr.Error, match=sentence):
        page.trigger("plan_evaluation", *form(**changes))


def test_a_benchmark_of_one_s_own_is_kept_asked_and_deleted(
    services: Services, open_tab: Open
) -> None:
    page = open_tab(build_benchmarks_tab)
    pattern, code = page.trigger("show_check", "python")
    assert (pattern.visible, code.visible) == (False, True)
    dataset = services.dataset_choices()[0][1]
    fields = ["facts", dataset, "test", "contains", "", "", 32, False]
    told, suites = page.trigger("keep_benchmark", ["pocket_families"], *fields)
    assert "Kept: facts, 392 rows." in told
    assert suites.value == ["pocket_families", "own:facts"]
    assert ("facts (yours)", "own:facts") in suites.choices
    page.trigger("start_evaluation", "own", *form(suites=["own:facts"], limit=5))
    shown = finished(page, "own")
    [line] = shown["lines"]
    assert (line["title"], line["cells"][0]["questions"]) == ("facts", "5")
    with pytest.raises(gr.Error, match="name: give the benchmark one; dataset: choose one"):
        page.trigger("keep_benchmark", [], "", None, *fields[2:])
    told, suites = page.trigger("delete_benchmark", suites.value, "facts")
    assert "Deleted: facts" in told and suites.value == ["pocket_families"]


def test_a_board_asks_only_for_what_there_is(open_tab: Open) -> None:
    page = open_tab(build_benchmarks_tab)
    for name in ("read_evaluation", "change_evaluation", "read_questions"):
        function = page.server_function("evaluation-board", name)
        assert "error" in function({"name": 3}) and "error" in function(None)
        assert "error" in function({"name": "away", "what": "stop", "task": "x", "page": 0})
    assert json.loads(page.trigger("show_evaluation", None, None)[0]) == {}


def test_written_answers_become_a_review_and_results_say_whether_tuning_hurt(
    services: Services, open_tab: Open
) -> None:
    page = open_tab(build_benchmarks_tab)
    models = ["pocket", str(POCKET)]  # the same weights under two names
    prompt = "Answer with one word."
    asked = form(models=models, limit=6, system=prompt, apart=True)
    page.trigger("start_evaluation", "both", *asked)
    shown = finished(page, "both")
    assert shown["models"] == [*models, "pocket with the prompt"]
    assert "the first model once more with a system prompt" in shown["facts"]
    questions = page.server_function("evaluation-board", "read_questions")
    [first, *_] = questions({"name": "both", "task": "pocket_exact", "page": 0, "which": ""})[
        "questions"
    ]
    prompts = services.evaluations.samples("both", "pocket with the prompt", "pocket_exact", 1)
    assert prompt in prompts[0]["prompt"] and prompt not in first["prompt"]
    for task, written in (("pocket_exact", True), ("pocket_choice", False)):
        asked_for = {"name": "both", "task": task, "page": 0, "which": ""}
        assert questions(asked_for)["written"] is written
    judge = page.server_function("evaluation-board", "judge_questions")
    assert "no written answers" in judge({"name": "both", "task": "pocket_choice"})["error"]
    review = judge({"name": "both", "task": "pocket_exact"})["review"]
    wait_until(lambda: services.reviews.find(review), lambda row: row["state"] == "ready", 60)
    [row] = services.reviews.all()
    assert 0 < row["pairs"] <= 6 * 2  # two of the three are one model: alike, and not shown
    name, sentences = sentences_about(services.evaluations, set(models))
    assert name == "both" and any(
        "no difference that these 6 questions" in one for one in sentences
    )
    assert sentences_about(services.evaluations, {"pocket"}) == ("", [])
