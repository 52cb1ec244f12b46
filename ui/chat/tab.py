"""The Chat screen: streamed answers from any base or tuned model or an address, one or two side by
side, kept, corrected into data, and looked into token by token.
"""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.generation.sampling import Sampling
from ui.chat.handlers import NOTHING_ASKED, STYLES, ChatHandlers
from ui.chat.programs import build_programs
from ui.gradio_events import FOLLOWING, QUIET, when_opened
from ui.markup import exact_text
from ui.services import Services

_STREAMING: dict[str, Any] = {
    "show_progress": "hidden",
    "concurrency_id": "model",
    "concurrency_limit": 4,
}


@dataclass(frozen=True)
class _Side:
    """One model's conversation."""

    history: gr.State
    model: gr.Dropdown
    style: gr.Dropdown
    chatbot: gr.Chatbot
    told: gr.HTML
    exact: Any  # where the exact prompt is shown, or kept from being shown
    back: Any  # where a question goes back to that could not be answered
    own: tuple[Any, ...] = ()  # whether it has settings of its own, and these


@dataclass(frozen=True)
class _Parts:
    offered: gr.State  # the newest run that this page has seen
    number: gr.State  # of the kept conversation, 0 for none
    note: gr.HTML
    box: gr.Textbox
    buttons: dict[str, gr.Button]  # send, stop, retry, other, undo, clear
    system: gr.Textbox
    sampling: tuple[Any, ...]
    beside: gr.Accordion  # settings of the model beside
    saved: gr.Dropdown
    name: gr.Textbox
    saving: dict[str, gr.Button]  # rename, delete, export
    file: gr.File
    correction: gr.Textbox
    tags: gr.Textbox
    correcting: dict[str, gr.Button]  # load, keep
    corrected: gr.HTML
    probabilities: gr.HTML
    explain: gr.Button
    memory: gr.HTML
    freeing: dict[str, gr.Button]  # look, free


def build_chat_tab(services: Services, tab: gr.Tab | None = None) -> None:
    """Lay the screen out and wire it; opening ``tab`` offers models made since."""
    handlers = ChatHandlers(services)
    left, right, conversation = _lay_out_conversation()
    parts = _Parts(
        **conversation,
        **_lay_out_settings(left.exact, conversation["beside"]),
        **_lay_out_correction(),
        **_lay_out_saved(),
    )
    streams = _wire_asking(parts, left, right, handlers)
    _wire_changes(parts, left, right, handlers, streams)
    _wire_saved(parts, left, right, handlers, streams)
    _wire_looking(parts, left, handlers)
    build_programs(services, tab)
    seen = [left.model, parts.offered]
    opened = when_opened(
        tab, handlers.refresh, [*seen, right.model, parts.saved], "refresh_chat", seen
    )
    styles = [left.style, right.style]
    opened.then(handlers.offer_styles, None, styles, api_visibility="private", **QUIET)


def _wire_asking(parts: _Parts, left: _Side, right: _Side, handlers: ChatHandlers) -> list[Any]:
    """Wire what asks a model, and return the streams, which whoever changes a conversation ends."""
    both = [left.history, left.chatbot, right.history, right.chatbot]
    taken = gr.on(
        [parts.box.submit, parts.buttons["send"].click], handlers.take,
        [parts.box, left.history, right.history, right.model], [parts.box, *both],
        api_name="take", **QUIET,
    )  # fmt: skip
    streams: list[Any] = []
    for side, name, answer, once_more in (
        (left, "", handlers.answer, handlers.answer_again),
        (right, "_beside", handlers.answer_beside, handlers.answer_beside_again),
    ):
        asked, told = _inputs(parts, side), _outputs(side)
        first = taken.then(answer, asked, told, api_name=f"answer{name}", **_STREAMING)
        again = parts.buttons["retry"].click(
            once_more, asked, told, api_name=f"answer_again{name}", **_STREAMING
        )
        streams += [first, again]
    edited = left.chatbot.edit(
        handlers.edit, [left.history, right.history, right.model], both, cancels=streams,
        api_name="edit_message", **QUIET,
    )  # fmt: skip
    kept = [streams[0], streams[1]]
    for side, name, answer in (
        (left, "answer_edited", handlers.answer),
        (right, "answer_edited_beside", handlers.answer_beside),
    ):
        first = edited.then(
            answer, _inputs(parts, side), _outputs(side), api_name=name, **_STREAMING
        )
        streams.append(first)
        kept += [first] if side is left else []
    for stream in kept:
        stream.then(
            handlers.keep, [parts.number, left.model, parts.system, left.history],
            [parts.number, parts.saved], api_visibility="private", **QUIET,
        )  # fmt: skip
    parts.buttons["stop"].click(None, None, None, cancels=streams)
    return streams


def _inputs(parts: _Parts, side: _Side) -> list[Any]:
    return [side.model, side.style, parts.system, side.history, *parts.sampling, *side.own]


def _outputs(side: _Side) -> list[Any]:
    return [side.history, side.chatbot, side.exact, side.back, side.told]


def _wire_changes(
    parts: _Parts, left: _Side, right: _Side, handlers: ChatHandlers, streams: list[Any]
) -> None:
    shown = [left.history, left.chatbot]
    ends = {**QUIET, "cancels": streams}
    parts.buttons["other"].click(
        handlers.other_reply, left.history, shown, api_name="other_reply", **ends
    )
    undo = parts.buttons["undo"]
    undo.click(handlers.drop_turn, left.history, [*shown, parts.box], api_name="drop_turn", **ends)
    undo.click(
        handlers.drop_turn, right.history, [right.history, right.chatbot, right.back],
        api_visibility="private", **QUIET,
    )  # fmt: skip
    gr.on(
        [parts.buttons["clear"].click, left.chatbot.clear], handlers.clear, None,
        _cleared(parts, left, right), api_name="clear_chat", **ends,
    )  # fmt: skip
    gr.on(
        [left.model.change, left.style.change], handlers.show_note, [left.model, left.style],
        parts.note, api_name="show_note", **FOLLOWING,
    )  # fmt: skip
    right.model.change(
        lambda model: (gr.Chatbot(visible=bool(model)), gr.Accordion(visible=bool(model))),
        right.model, [right.chatbot, parts.beside], api_visibility="private", **QUIET,
    )  # fmt: skip
    left.chatbot.like(
        handlers.give_thumb, [parts.number, left.model, parts.system, left.history],
        [left.history, left.told], api_name="give_thumb", **QUIET,
    )  # fmt: skip


def _cleared(parts: _Parts, left: _Side, right: _Side) -> list[Any]:
    return [
        left.history, left.chatbot, left.exact, left.told, right.told, parts.number, right.history,
        right.chatbot,
    ]  # fmt: skip


def _wire_saved(
    parts: _Parts, left: _Side, right: _Side, handlers: ChatHandlers, streams: list[Any]
) -> None:
    ends = {**QUIET, "cancels": streams}
    parts.saved.input(
        handlers.open, parts.saved,
        [left.history, left.chatbot, parts.number, left.model, parts.system, parts.name,
         right.history, right.chatbot],
        api_name="open_conversation", **ends,
    )  # fmt: skip
    parts.saving["rename"].click(
        handlers.rename, [parts.number, parts.name], parts.saved, api_name="rename_conversation",
        **QUIET,
    )  # fmt: skip
    sure = "(...given) => confirm('Delete this conversation?') ? given : [null]"
    parts.saving["delete"].click(
        handlers.delete, parts.saved, [*_cleared(parts, left, right), parts.saved], js=sure,
        api_name="delete_conversation", **ends,
    )  # fmt: skip
    parts.saving["export"].click(
        handlers.export, parts.number, parts.file, api_name="export_conversation", **QUIET
    )


def _wire_looking(parts: _Parts, left: _Side, handlers: ChatHandlers) -> None:
    parts.correcting["load"].click(
        handlers.last_reply, left.history, parts.correction, api_name="last_reply", **QUIET
    )
    parts.correcting["keep"].click(
        handlers.correct, [parts.system, left.history, parts.correction, parts.tags], parts.corrected,
        api_name="correct_reply", **QUIET,
    )  # fmt: skip
    parts.explain.click(
        handlers.explain, [left.model, left.style, parts.system, left.history], parts.probabilities,
        api_name="explain_reply", **_STREAMING,
    )  # fmt: skip
    parts.freeing["look"].click(
        handlers.show_memory, None, parts.memory, api_name="show_memory", **QUIET
    )
    parts.freeing["free"].click(
        handlers.free_memory, None, parts.memory, api_name="free_memory", **QUIET
    )


def _lay_out_conversation() -> tuple[_Side, _Side, dict[str, Any]]:
    with gr.Row():
        model = _model("Model", "A run, a base, or http://HOST:PORT/v1#MODEL", "chat-model")
        style = _style("Prompt style", "chat-style")
        beside = gr.Dropdown(
            [("None", "")], value="", label="Beside it", info="Another model, asked the same",
            allow_custom_value=True, elem_id="chat-beside",
        )  # fmt: skip
        beside_style = _style("Its prompt style", "chat-beside-style")
    note = gr.HTML(elem_id="chat-note")
    with gr.Row(equal_height=False):
        with gr.Column(min_width=300):
            chatbot = _chatbot(
                "Conversation", "chatbot", editable="user", feedback_options=("Like", "Dislike")
            )
            told = gr.HTML(elem_id="chat-told")
        with gr.Column(min_width=300):
            other = _chatbot(
                "Conversation beside it", "chatbot-beside", visible=False, feedback_options=None
            )
            other_told = gr.HTML(elem_id="chat-told-beside")
    box = gr.Textbox(
        label="Message", placeholder="Write an instruction and press Enter", lines=1, max_lines=6,
        elem_id="ask",
    )  # fmt: skip
    with gr.Row():
        send = gr.Button("Send", variant="primary", scale=0, min_width=110, elem_id="send")
        names = {"stop": "Stop", "retry": "Retry", "other": "Other reply", "undo": "Undo",
                 "clear": "New"}  # fmt: skip
        buttons = {
            name: gr.Button(
                title, scale=0, min_width=130 if name == "other" else 90, elem_id=f"chat-{name}"
            )
            for name, title in names.items()
        }
    exact = gr.HTML(exact_text(NOTHING_ASKED), elem_id="exact-prompt", render=False)
    left = _Side(gr.State([]), model, style, chatbot, told, exact, box)
    unseen = gr.State(""), gr.State("")
    settings, own = _lay_out_beside()
    right = _Side(gr.State([]), beside, beside_style, other, other_told, *unseen, own)
    return left, right, {
        "offered": gr.State([]), "number": gr.State(0), "note": note, "box": box,
        "buttons": {"send": send, **buttons}, "beside": settings,
    }  # fmt: skip


def _model(label: str, info: str, name: str) -> gr.Dropdown:
    return gr.Dropdown(
        value="pocket", label=label, info=info, allow_custom_value=True, elem_id=name
    )


def _style(label: str, name: str) -> gr.Dropdown:
    return gr.Dropdown(
        STYLES, value="", label=label, info="Leave it, unless you are curious",
        allow_custom_value=True, elem_id=name,
    )  # fmt: skip


def _chatbot(label: str, name: str, **more: Any) -> gr.Chatbot:
    return gr.Chatbot(
        label=label, height=420, render_markdown=False, buttons=["copy", "copy_all"],
        placeholder="Ask something", elem_id=name, **more,
    )  # fmt: skip


def _lay_out_settings(exact: gr.HTML, beside: gr.Accordion) -> dict[str, Any]:
    with gr.Accordion("Sampling and system prompt", open=False, elem_id="sampling"):
        system = gr.Textbox("", label="System prompt", lines=2, elem_id="system")
        sampling = _sampling_fields()
    beside.render()
    with gr.Accordion("The exact prompt", open=False, elem_id="exact"):
        exact.render()
    with gr.Accordion("How sure it was", open=False, elem_id="sure"):
        explain = gr.Button("Look into the last reply", scale=0, min_width=200, elem_id="explain")
        probabilities = gr.HTML(elem_id="probabilities")
    with gr.Accordion("Models in memory", open=False, elem_id="in-memory"):
        with gr.Row(elem_classes="fuata-line"):
            freeing = {
                "look": gr.Button("Look", scale=0, min_width=110, elem_id="look-memory"),
                "free": gr.Button("Free it", scale=0, min_width=110, elem_id="free-memory"),
            }
        memory = gr.HTML(elem_id="memory")
    return {
        "system": system, "sampling": sampling, "explain": explain,
        "probabilities": probabilities, "freeing": freeing, "memory": memory,
    }  # fmt: skip


def _sampling_fields() -> tuple[Any, ...]:
    """Lay out the fields of a sampling, in the order that handlers take them."""
    usual = Sampling()
    with gr.Row():
        return (
            gr.Number(usual.temperature, label="Temperature", step=0.1,
                      info="0: the likeliest token always"),
            gr.Number(usual.top_k, label="Top k", info="0: all tokens", precision=0),
            gr.Number(usual.top_p, label="Top p", info="share of probability", step=0.05),
            gr.Number(usual.max_new_tokens, label="Longest answer", info="tokens", precision=0),
            gr.Number(usual.seed, label="Seed", info="same seed, same answer", precision=0),
            gr.Number(usual.min_p, label="Min p", info="share of the likeliest's", step=0.05),
            gr.Number(usual.repetition_penalty, label="Repetition penalty", info="1: none",
                      step=0.1),
            gr.Textbox("", label="Stop at", info="texts, one a line", lines=1, max_lines=4),
        )  # fmt: skip


def _lay_out_beside() -> tuple[gr.Accordion, tuple[Any, ...]]:
    """Make the settings of the model beside, to be placed later."""
    with gr.Accordion(
        "Sampling and system prompt of the model beside", open=False, visible=False,
        elem_id="sampling-beside", render=False,
    ) as accordion:  # fmt: skip
        has_own = gr.Checkbox(False, label="Its own, instead of those above", elem_id="own-beside")
        system = gr.Textbox("", label="System prompt", lines=2, elem_id="system-beside")
        return accordion, (has_own, system, *_sampling_fields())


def _lay_out_correction() -> dict[str, Any]:
    with gr.Accordion("Correct the last reply", open=False, elem_id="correct"):
        correction = gr.Textbox(
            "", label="As it should be", lines=3, max_lines=12, elem_id="correction"
        )
        tags = gr.Textbox(
            "", label="Tags", info="optional, with commas between", elem_id="reply-tags"
        )
        with gr.Row(elem_classes="fuata-line"):
            correcting = {
                "load": gr.Button("Take the last reply", scale=0, min_width=170,
                                  elem_id="load-reply"),
                "keep": gr.Button("Keep it as data", variant="primary", scale=0, min_width=150,
                                  elem_id="keep-reply"),
            }  # fmt: skip
        corrected = gr.HTML(elem_id="corrected")
    return {
        "correction": correction, "tags": tags, "correcting": correcting, "corrected": corrected,
    }  # fmt: skip


def _lay_out_saved() -> dict[str, Any]:
    with gr.Accordion("Conversations", open=False, elem_id="conversations"):
        saved = gr.Dropdown(
            [], value=None, label="Kept conversations", info="Every one is kept; type to find one",
            elem_id="saved-conversations",
        )  # fmt: skip
        with gr.Row(elem_classes="fuata-line"):
            name = gr.Textbox(label="Name", elem_id="conversation-name", scale=3)
            saving = {
                "rename": gr.Button("Rename", scale=0, min_width=110, elem_id="rename-chat"),
                "delete": gr.Button("Delete", variant="stop", scale=0, min_width=110,
                                    elem_id="delete-chat"),
                "export": gr.Button("Write the file", scale=0, min_width=140,
                                    elem_id="export-chat"),
            }  # fmt: skip
        file = gr.File(label="Download", visible=False, elem_id="chat-file")
    return {"saved": saved, "name": name, "saving": saving, "file": file}
