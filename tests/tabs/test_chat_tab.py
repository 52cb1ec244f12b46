"""What the Chat tab's events answer, called as Gradio calls them."""

from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from tests.tabs.conftest import HOSTILE, Open
from ui.chat.tab import build_chat_tab
from ui.chat.views import as_turns, displayed, style_note


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
