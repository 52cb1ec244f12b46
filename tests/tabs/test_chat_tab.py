"""What the Chat tab's events answer, called as Gradio calls them."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from core.datasets.collected import NAME
from core.datasets.dataset import load_dataset
from tests.endpoints import answering
from tests.tabs.conftest import HOSTILE, Open
from ui.chat.handlers import ChatHandlers
from ui.chat.tab import build_chat_tab
from ui.chat.views import (
    as_turns,
    displayed,
    place_of,
    prompt_markup,
    reply_words,
    style_note,
)
from ui.services import Services

USUAL = (0, 0, 1, 12, 1, 0, 1, "")


@pytest.mark.slow
def test_chat_streams_longer_and_longer_text_and_shows_the_exact_prompt(
    open_tab: Open, tiny_models: dict[str, Path]
) -> None:
    page, model = open_tab(build_chat_tab), str(tiny_models["llama"])
    _, past, shown, beside, _ = page.trigger("take", f" {HOSTILE} ", [], [], "pocket")
    asked = [{"role": "user", "text": HOSTILE}]
    assert "<script" not in shown[0]["content"] and past == beside == asked
    steps = list(page.trigger("answer", model, "chatml", "Be brief.", past, *USUAL))
    history, messages, _, _, told = steps[-1]
    prompt = next(step[2] for step in steps if isinstance(step[2], str))
    reply = history[-1]
    assert reply["role"] == "assistant" and len(messages) == 2 and reply["model"] == model
    assert reply["tokens"] >= 1 and "tokens in" in told and "of 256 tokens of the context" in told
    assert (
        "&lt;|im_start|&gt;system\nBe brief.&lt;|im_end|&gt;" in prompt and "<script" not in prompt
    )
    *_, (again, *_) = page.trigger("answer_again", model, "chatml", "Be brief.", history, *USUAL)
    assert again[-1]["text"] == reply["text"]  # the same seed
    assert again[-1]["others"] == [reply["text"]]
    kept: list[Any] = []
    with pytest.raises(gr.Error, match="There is no model"):
        kept.extend(page.trigger("answer_again", "/no/model", "", "", history, *USUAL))
    assert kept[-1][0] == history  # a good answer is not given up for none
    assert page.trigger("drop_turn", history) == ([], [], HOSTILE)
    with pytest.raises(gr.Error, match="top p: must lie"):
        list(page.trigger("answer", model, "", "", past, 0, 0, 0, 12, 1, 0, 1, ""))
    told = []
    with pytest.raises(gr.Error, match="There is no model"):
        told.extend(page.trigger("answer", "/no/model", "", "", past, *USUAL))
    # it is no part of what is asked next, and stands where it was written
    assert (told[-1][0], told[-1][1], told[-1][3]) == ([], [], HOSTILE)


@pytest.mark.slow
def test_a_long_conversation_goes_on_without_its_oldest_messages(
    open_tab: Open, tiny_models: dict[str, Path]
) -> None:
    page, model = open_tab(build_chat_tab), str(tiny_models["gpt2"])
    past: list[Any] = []
    for number in range(12):
        _, past, *_ = page.trigger("take", f"Question {number} {'word ' * 20}", past, [], "")
        *_, (past, _, _, _, told) = page.trigger(
            "answer", model, "chatml", "Be brief.", past, 0, 0, 1, 5, 1, 0, 1, ""
        )
    assert len(past) == 24 and "messages are left out for room" in told
    with pytest.raises(gr.Error, match="takes 256"):
        list(page.trigger("answer", model, "chatml", "", [{"role": "user", "text": "word " * 400}],
                          *USUAL))  # fmt: skip


@pytest.mark.slow
def test_how_sure_a_reply_was_is_shown_token_by_token(
    open_tab: Open, tiny_models: dict[str, Path]
) -> None:
    page, model = open_tab(build_chat_tab), str(tiny_models["llama"])
    past = [{"role": "user", "text": "Hi"}, {"role": "assistant", "text": f"Hello {HOSTILE}"}]
    shown = page.trigger("explain_reply", model, "chatml", "", past)
    assert "Surprise of the whole reply" in shown and shown.count("likeliest: ") > 5
    assert "<script" not in shown
    assert "Nothing was asked yet" in page.trigger("explain_reply", model, "chatml", "", past[:1])
    assert "llama: " in page.trigger("show_memory") and "MiB" in page.trigger("show_memory")
    assert "No model is in memory" in page.trigger("free_memory")


def test_an_address_is_chatted_with(open_tab: Open) -> None:
    page = open_tab(build_chat_tab)
    with answering() as (address, asked):
        *_, (history, *_) = page.trigger(
            "answer", f"{address}#large", "", "Be brief.", [{"role": "user", "text": "hi"}], *USUAL
        )
    assert history[-1]["text"] == "HI" and history[-1]["model"].startswith("large at 127.0.0.1")
    assert [one["role"] for one in asked[0]["messages"]] == ["system", "user"]


def test_conversations_are_kept_opened_renamed_exported_and_deleted(
    services: Services, open_tab: Open
) -> None:
    handlers = ChatHandlers(services)
    past: Any = [{"role": "user", "text": "Hi there"}]
    assert handlers.keep(0, "pocket", "", past)[0] == 0  # nothing was answered yet
    past = [*past, {"role": "assistant", "text": "Hello", "model": "pocket"}]
    number, menu = handlers.keep(0, "pocket", "Be kind.", past)
    assert number and menu.choices[0][0].startswith("Hi there · ")
    more = [*past, {"role": "user", "text": "Again"}, {"role": "assistant", "text": "Yes"}]
    assert handlers.keep(number, "pocket", "Be kind.", more)[0] == number
    page = open_tab(build_chat_tab)
    opened = page.trigger("open_conversation", number)
    assert opened[0] == more and opened[2:6] == (number, "pocket", "Be kind.", "Hi there")
    assert page.trigger("rename_conversation", number, "Mine").choices[0][0].startswith("Mine")
    with pytest.raises(gr.Error, match="1 to 80 characters"):
        page.trigger("rename_conversation", number, " ")
    file = page.trigger("export_conversation", number)
    row = json.loads(
        Path(file.value["path"] if isinstance(file.value, dict) else file.value).read_text()
    )
    assert [one["role"] for one in row["messages"]] == [
        "system", "user", "assistant", "user", "assistant",
    ]  # fmt: skip
    page.trigger("delete_conversation", number)
    with pytest.raises(gr.Error, match="is gone"):
        page.trigger("open_conversation", number)


def test_a_corrected_reply_becomes_a_row_of_a_dataset(services: Services, open_tab: Open) -> None:
    page = open_tab(build_chat_tab)
    past = [
        {"role": "user", "text": "Say\n    x"},
        {"role": "assistant", "text": "y", "model": "mine"},
    ]
    assert "row 1" in page.trigger("correct_reply", "Be brief.", past, "    x\n")
    assert "row 2" in page.trigger("correct_reply", "", past, "y", " short , 中文,, ")
    [row] = [one for one in services.datasets.recent() if one["name"] == NAME]
    dataset = services.datasets.load(row["content_hash"])
    assert [one.answer for one in dataset.examples] == ["    x", "y"]
    assert [one.category for one in dataset.examples] == ["corrected", "中文"]
    lines = [json.loads(line) for line in dataset.path.read_text(encoding="utf-8").splitlines()]
    assert lines[1]["tags"] == ["kept as it was", "short", "中文"]
    assert lines[1]["source"] == "chat with mine"
    assert dataset.examples[0].turns[0].text == "Be brief." and dataset.unused_fields == ()
    for history, text in (([], "x"), (past[:1], "x"), (past, " ")):
        with pytest.raises(gr.Error):
            page.trigger("correct_reply", "", history, text)


def test_a_thumb_is_kept_and_a_good_reply_becomes_a_row(services: Services) -> None:
    handlers = ChatHandlers(services)
    past: Any = [
        {"role": "user", "text": "a"},
        {"role": "assistant", "text": "<think>hm</think>b", "model": "mine"},
        {"role": "user", "text": "c"},
        {"role": "assistant", "text": "d", "model": "mine"},
    ]
    number, _ = handlers.keep(0, "mine", "Be brief.", past)
    thumb: Any = SimpleNamespace(index=2, liked=True)  # the first reply stands there as two
    history, told = handlers.give_thumb(number, "mine", "Be brief.", past, thumb)
    assert history[1]["thumb"] == "up" and "row 1 of the dataset" in told
    [row] = [one for one in services.datasets.recent() if one["name"] == NAME]
    [kept] = services.datasets.load(row["content_hash"]).examples
    assert [turn.text for turn in kept.turns] == ["Be brief.", "a", "<think>hm</think>b"]
    assert kept.category == "liked"
    thumb = SimpleNamespace(index=4, liked="Dislike")
    history, told = handlers.give_thumb(number, "mine", "Be brief.", history, thumb)
    assert [one.get("thumb") for one in history] == [None, "up", None, "down"]
    assert "Marked as bad" in told
    assert handlers.open(number)[0] == history
    thumb = SimpleNamespace(index=0, liked=True)  # of a question
    assert handlers.give_thumb(0, "mine", "", past, thumb) == (past, "")


@pytest.mark.slow
def test_the_model_beside_is_asked_alike_or_with_settings_of_its_own(
    open_tab: Open, tiny_models: dict[str, Path]
) -> None:
    page, model = open_tab(build_chat_tab), str(tiny_models["llama"])
    past = [{"role": "user", "text": "Hi"}]
    own = (0, 0, 1, 3, 1, 0, 1, "")

    def ask(has_own: bool) -> tuple[str, int]:
        steps = list(
            page.trigger(
                "answer_beside",
                model,
                "chatml",
                "Be brief.",
                past,
                *USUAL,
                has_own,
                "Be long.",
                *own,
            )
        )
        prompt = next(step[2] for step in steps if isinstance(step[2], str))
        return prompt, steps[-1][0][-1]["tokens"]

    shared, alone = ask(has_own=False), ask(has_own=True)
    assert "Be brief." in shared[0] and "Be long." not in shared[0] and shared[1] == 12
    assert "Be long." in alone[0] and "Be brief." not in alone[0] and alone[1] == 3
    assert '<span class="odd" title="id ' in alone[0] and "tokens; special ones" in shared[0]
    *_, (again, *_) = page.trigger(
        "answer_again_beside", model, "chatml", "", past, *USUAL, True, "Be long.", *own
    )
    assert again[-1]["tokens"] == 3


def test_an_edited_question_is_asked_anew_and_replies_are_paged_through(
    services: Services,
) -> None:
    handlers = ChatHandlers(services)
    past: Any = [
        {"role": "user", "text": "a"},
        {"role": "assistant", "text": "<think>hm</think>b"},
        {"role": "user", "text": "c"},
        {"role": "assistant", "text": "d", "others": ["e", "f"]},
    ]
    event: Any = SimpleNamespace(index=3, value="&lt;c2&gt;")
    asked: Any = {"role": "user", "text": "<c2>"}
    edited = handlers.edit(past, past, "other", event)
    assert edited[0] == edited[2] == [*past[:2], asked]
    assert handlers.edit(past, [], "other", event)[2] == [asked]
    assert handlers.edit(past, [], "", event)[2] == []
    event.index = 1
    assert handlers.edit(past, [], "", event)[0] == past  # a reply is not to be written by hand
    texts = []
    for _ in range(3):
        past, _ = handlers.other_reply(past)
        texts.append(past[-1]["text"])
    assert texts == ["f", "e", "d"] and past[-1]["others"] == ["e", "f"]


def test_the_exact_prompt_is_told_in_tokens() -> None:
    told = prompt_markup("<s>a\n", [(1, "<s>", True), (7, "a\n", False), (9, "\u200b", False)])
    assert '<span class="special" title="id 1 · special token">&lt;s&gt;</span>' in told
    assert '<span class="even" title="id 7">a↵<br></span>' in told
    assert '<span class="odd" title="id 9">\\u200b</span>' in told and "3 tokens" in told


def test_chat_text_is_escaped_in_the_one_adapter() -> None:
    assert displayed([{"role": "user", "text": "<b>&"}]) == [
        {"role": "user", "content": "&lt;b&gt;&amp;"}
    ]


def test_thoughts_are_folded_and_models_named_where_several_spoke() -> None:
    history: Any = [
        {"role": "user", "text": "a"},
        {"role": "assistant", "text": "<think>\nhm <b>\n</think>\n\nb", "model": "one<"},
        {"role": "user", "text": "c"},
        {"role": "assistant", "text": "<think>still", "model": "two"},
    ]
    shown = displayed(history)
    assert [one["content"] for one in shown] == [
        "a", "hm &lt;b&gt;", "<small>one&lt;</small><br>b", "c", "still",
    ]  # fmt: skip
    assert shown[1]["metadata"]["title"] == "Thoughts"
    assert [place_of(history, index) for index in range(5)] == [0, 1, 1, 2, 3]


def test_the_last_question_is_what_the_model_is_asked() -> None:
    history: Any = [
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


def test_how_a_reply_came_is_said_in_words() -> None:
    reply: Any = {"role": "assistant", "text": "x", "tokens": 30, "seconds": 1.5, "first_s": 0.09,
                  "others": ["y"]}  # fmt: skip
    assert reply_words([reply], 80, 512, 2) == (
        "30 tokens in 1.5 s (20/s, the first after 90 ms) · 1 earlier reply · 80 of 512 tokens of "
        "the context · the oldest 2 messages are left out for room"
    )
    assert reply_words([], 0, 0, 0) == ""


def test_a_style_mismatch_is_named() -> None:
    assert "tuned with the style 'alpaca' and is asked in 'phi3'" in style_note("phi3", "alpaca")
    assert style_note("", "alpaca") == style_note("alpaca", "alpaca") == ""


def test_a_dataset_that_somebody_brought_under_that_name_is_left_alone(
    services: Services, open_tab: Open, tmp_path: Path
) -> None:
    theirs = tmp_path / NAME
    theirs.write_text('{"instruction": "Mine", "output": "stays"}\n')
    key = services.datasets.keep(load_dataset(theirs))
    past = [{"role": "user", "text": "Hi"}, {"role": "assistant", "text": "y", "model": "m"}]
    page = open_tab(build_chat_tab)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: page.trigger("correct_reply", "", past, f"x{n}"), range(8)))
    assert services.datasets.load(key).examples[0].answer == "stays"
    grown = [row for row in services.datasets.recent() if row["name"] == NAME]
    assert sorted(row["row_count"] for row in grown) == [1, 8]  # none of eight at once is lost
