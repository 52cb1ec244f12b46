"""The Arena screen: what is drawn from, battles through the page, the table, files."""

import json
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from tests.endpoints import answering
from tests.tabs.conftest import HOSTILE, Open, upload, wait_until
from tests.unit.test_arena import battle
from ui.arena.tab import build_arena_tab
from ui.review.tab import build_judging
from ui.services import Services


def fight(page: Any, person: str, prompt: str, verdict: str) -> dict[str, Any]:
    call = {
        name: page.server_function("arena-battle", name)
        for name in ("begin_battle", "read_battle", "vote")
    }
    begun = call["begin_battle"]({"person": person, "prompt": prompt, "key": ""})
    if "error" in begun:
        found: dict[str, Any] = begun
        return found
    asked = {"person": person, "key": begun["key"]}
    shown = wait_until(
        lambda: call["read_battle"](asked), lambda now: now.get("is_done") or now.get("failure")
    )
    told = call["vote"]({**asked, "verdict": verdict})
    return {**shown, **told}


def test_battles_are_fought_and_counted(services: Services, open_tab: Open) -> None:
    page = open_tab(build_arena_tab)
    assert "No battle counts yet" in page.trigger("show_leaderboard", False)
    with answering() as (address, _):
        models = [f"{address}#one", f"{address}#two"]
        page.trigger("choose_models", models, 0, 64, False)
        assert "error" in fight(page, " ", "Hello", "a")
        found = fight(page, "Amina", HOSTILE, "a")
        assert {found["a"], found["b"]} == set(models)
        [shown] = found["rounds"]
        assert shown["prompt"] == HOSTILE and shown["a"] == HOSTILE.upper()
    [kept] = services.arena.store.judged()
    assert json.loads(kept.row["facts"])["sampling"]["max_new_tokens"] == 64
    table = page.trigger("show_leaderboard", True)
    assert "1 battle by 1 person." in table and "<script>" not in table
    offered = page.trigger("refresh_arena")
    assert offered[0].value == models and offered[1:] == (0, 64, False)
    file = page.trigger("export_battles").value["path"]
    assert json.loads(Path(file).read_text())["winner"] == "model_a"


def test_battles_of_a_file_are_ranked(services: Services, open_tab: Open, tmp_path: Path) -> None:
    page = open_tab(build_arena_tab)
    file = tmp_path / "battles.json"
    file.write_text(json.dumps([battle(n, "model_a" if n % 3 == 0 else "tie") for n in range(30)]))
    assert "30 battles were added" in page.trigger("import_battles", upload(services, file))
    table = page.trigger("show_leaderboard", False)
    assert table.index("first-model") < table.index("second-model")
    assert "Bradley–Terry strengths" in table and "100% <small>of 10</small>" in table
    file.write_text("[{}]")
    with pytest.raises(gr.Error, match="battle 1: model_a is missing"):
        page.trigger("import_battles", upload(services, file))


def test_an_empty_arena_writes_nothing(open_tab: Open) -> None:
    with pytest.raises(gr.Error, match="no battle with a verdict yet"):
        open_tab(build_arena_tab).trigger("export_battles")


def test_reviewers_battle_where_the_owner_lets_them(services: Services, open_tab: Open) -> None:
    owner, reviewers = open_tab(build_arena_tab), open_tab(build_judging)
    with answering() as (address, _):
        models = [f"{address}#one", f"{address}#two"]
        owner.trigger("choose_models", models, 0, 64, False)
        assert "does not share the arena" in fight(reviewers, "Juma", "Hello", "a")["error"]
        owner.trigger("choose_models", models, 0, 64, True)
        assert "error" not in fight(reviewers, "Juma", "Hello", "tie")
