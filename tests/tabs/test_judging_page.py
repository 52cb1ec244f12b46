"""What the Review and Results tabs answer to a page that judges."""

import json
import random
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from core.datasets.dataset import load_dataset
from review.domain.rating import make_rating
from review.judging.judge import Judge
from tests.reviews import write_review
from tests.tabs.conftest import (
    HOSTILE,
    Open,
    wait_until,
)
from ui.results.tab import build_results_tab
from ui.review.tab import build_review_tab
from ui.services import Services


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
