"""The Chat screen: streamed answers from any base or tuned model, and the exact prompt it was asked
with.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.generation.sampling import Sampling
from ui.chat.views import Message, as_turns, displayed, style_note
from ui.error_messages import shows_user_errors
from ui.gradio_events import FOLLOWING, QUIET, when_opened
from ui.markup import alert, exact_text
from ui.services import STYLE_CHOICES, Services

_PAINT_EVERY_S = 0.05
_NOTHING_ASKED = "Nothing was asked yet."
History = list[Message]

_AS_TRAINED = ("As it was trained", "")


@dataclass(frozen=True)
class _Parts:
    history: gr.State
    offered: gr.State  # the newest run that this page has seen
    model: gr.Dropdown
    style: gr.Dropdown
    note: gr.HTML
    chatbot: gr.Chatbot
    box: gr.Textbox
    send: gr.Button
    stop: gr.Button
    retry: gr.Button
    undo: gr.Button
    clear: gr.Button
    system: gr.Textbox
    sampling: tuple[gr.Number, ...]  # temperature, top-k, top-p, longest answer, seed
    exact: gr.HTML


def build_chat_tab(services: Services, tab: gr.Tab | None = None) -> None:
    """Lay the screen out and wire it; opening ``tab`` offers models made since."""
    parts = _Parts(**_lay_out_conversation(), **_lay_out_settings())
    handlers = _Handlers(services)
    streaming: dict[str, Any] = {
        "show_progress": "hidden",
        "concurrency_id": "model",
        "concurrency_limit": 4,
    }
    asked = [parts.model, parts.style, parts.system, parts.history, *parts.sampling]
    shown = [parts.history, parts.chatbot]
    told = [*shown, parts.exact, parts.box]
    asking = [parts.box.submit, parts.send.click]
    taken = gr.on(
        asking,
        handlers.take,
        [parts.box, parts.history],
        [parts.box, *shown],
        api_name="take",
        **QUIET,
    )
    first = taken.then(handlers.answer, asked, told, api_name="answer", **streaming)
    again = parts.retry.click(
        handlers.answer_again, asked, told, api_name="answer_again", **streaming
    )
    parts.stop.click(None, None, None, cancels=[first, again])
    parts.undo.click(
        handlers.drop_turn, parts.history, [*shown, parts.box], api_name="drop_turn", **QUIET
    )
    gr.on(
        [parts.clear.click, parts.chatbot.clear],
        handlers.clear,
        None,
        [*shown, parts.exact],
        api_name="clear_chat",
        **QUIET,
    )
    changed = [parts.model.change, parts.style.change]
    gr.on(
        changed,
        handlers.show_note,
        [parts.model, parts.style],
        parts.note,
        api_name="show_note",
        **FOLLOWING,
    )
    seen = [parts.model, parts.offered]
    opened = when_opened(tab, handlers.refresh, seen, "refresh_chat", seen)
    opened.then(handlers.offer_styles, None, parts.style, api_visibility="private", **QUIET)


class _Handlers:
    """What the screen's events do."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def take(self, text: str, past: History) -> tuple[str, History, list[Any]]:
        if not text.strip():
            return text, past, displayed(past)
        past = [*past, {"role": "user", "text": text.strip()}]
        return "", past, displayed(past)

    @shows_user_errors
    def answer(
        self, model: str, style: str, system: str, past: History, *values: float
    ) -> Iterator[tuple[Any, ...]]:
        if not past or past[-1]["role"] != "user":
            yield past, displayed(past), gr.skip(), gr.skip()
            return
        try:
            yield from self._replies(model, style, system, past, values)
        except (
            Exception
        ):  # what was asked goes back to where it was written, and is no part of what is asked next
            yield past[:-1], displayed(past[:-1]), gr.skip(), past[-1]["text"]
            raise

    @shows_user_errors
    def answer_again(
        self, model: str, style: str, system: str, past: History, *values: float
    ) -> Iterator[tuple[Any, ...]]:
        asked = past[:-1] if past and past[-1]["role"] == "assistant" else past
        if not asked:
            yield past, displayed(past), gr.skip(), gr.skip()
            return
        try:
            yield from self._replies(model, style, system, asked, values)
        except Exception:  # the answer that was there stays
            yield past, displayed(past), gr.skip(), gr.skip()
            raise

    def _replies(
        self, model: str, style: str, system: str, past: History, values: Sequence[float]
    ) -> Iterator[tuple[Any, ...]]:
        """Yield the conversation with the reply so far, as it is kept and as it is shown, and the
        exact prompt.
        """
        sampling = _sampling(values)
        yield past, displayed([*past, {"role": "assistant", "text": "…"}]), gr.skip(), gr.skip()
        chat_model = self.services.model_cache.get(model or "", style)
        turns = as_turns(system or "", past)
        prompt = exact_text(chat_model.encoder.prompt_text(turns))
        reply, painted_at = "", 0.0
        for reply in chat_model.stream(turns, sampling):
            if time.monotonic() - painted_at >= _PAINT_EVERY_S:
                painted_at = time.monotonic()
                yield *_with_reply(past, reply), prompt, gr.skip()
        yield *_with_reply(past, reply.strip()), prompt, gr.skip()

    def drop_turn(self, past: History) -> tuple[History, list[Any], str]:
        last = max((i for i, message in enumerate(past) if message["role"] == "user"), default=0)
        text = past[last]["text"] if past else ""
        return past[:last], displayed(past[:last]), text

    def clear(self) -> tuple[History, list[Any], Any]:
        return [], [], exact_text(_NOTHING_ASKED)

    @shows_user_errors
    def show_note(self, model: str, style: str) -> str:
        words = style_note(style, self.services.model_cache.find(model or "").style)
        return alert(words) if words else ""

    def offer_styles(self) -> Any:
        return gr.Dropdown([_AS_TRAINED, *self.services.style_choices()])

    def refresh(self, chosen: str, offered: list[str]) -> tuple[Any, list[str]]:
        """Offer what was made since; a run that is new becomes the model, unless it was there when
        the page was last opened.
        """
        newest = self.services.newest_model()
        is_new = newest is not None and newest not in offered
        return gr.Dropdown(self.services.model_choices(), value=newest if is_new else chosen), [
            newest
        ] if newest else offered


def _lay_out_conversation() -> dict[str, Any]:
    history, offered = gr.State([]), gr.State([])
    with gr.Row():
        model = gr.Dropdown(
            value="pocket", label="Model", info="A base model or any run", allow_custom_value=True,
            elem_id="chat-model",
        )  # fmt: skip
        style = gr.Dropdown(
            [_AS_TRAINED, *STYLE_CHOICES],
            value="",
            label="Prompt style",
            info="Leave it, unless you are curious",
            allow_custom_value=True,
            elem_id="chat-style",
        )
    note = gr.HTML(elem_id="chat-note")
    chatbot = gr.Chatbot(
        label="Conversation",
        height=420,
        render_markdown=False,
        buttons=["copy", "copy_all"],
        placeholder="Ask something",
        feedback_options=None,
        elem_id="chatbot",
    )
    with gr.Row(equal_height=True):
        box = gr.Textbox(
            label="Message",
            placeholder="Write an instruction and press Enter",
            lines=1,
            max_lines=6,
            scale=8,
            elem_id="ask",
        )
    with gr.Row():
        send = gr.Button("Send", variant="primary", scale=0, min_width=110, elem_id="send")
        names = ("stop", "retry", "undo", "clear")
        buttons = {
            name: gr.Button(name.capitalize(), scale=0, min_width=90, elem_id=f"chat-{name}")
            for name in names
        }
    conversation = {
        "history": history,
        "offered": offered,
        "model": model,
        "style": style,
        "note": note,
        "chatbot": chatbot,
    }
    return {**conversation, "box": box, "send": send, **buttons}


def _lay_out_settings() -> dict[str, Any]:
    usual = Sampling()
    with gr.Accordion("Sampling and system prompt", open=False, elem_id="sampling"):
        system = gr.Textbox("", label="System prompt", lines=2, elem_id="system")
        with gr.Row():
            sampling = (
                gr.Number(
                    usual.temperature,
                    label="Temperature",
                    info="0: the likeliest token always",
                    step=0.1,
                ),
                gr.Number(usual.top_k, label="Top k", info="0: all tokens", precision=0),
                gr.Number(usual.top_p, label="Top p", info="share of probability", step=0.05),
                gr.Number(usual.max_new_tokens, label="Longest answer", info="tokens", precision=0),
                gr.Number(usual.seed, label="Seed", info="same seed, same answer", precision=0),
            )
    with gr.Accordion("The exact prompt", open=False, elem_id="exact"):
        exact = gr.HTML(exact_text(_NOTHING_ASKED), elem_id="exact-prompt")
    return {"system": system, "sampling": sampling, "exact": exact}


def _sampling(values: Sequence[float | None]) -> Sampling:
    temperature, top_k, top_p, longest, seed = (value or 0 for value in values)
    return Sampling(float(temperature), int(top_k), float(top_p), int(longest), int(seed))


def _with_reply(past: History, reply: str) -> tuple[History, list[Any]]:
    whole = [*past, {"role": "assistant", "text": reply}]
    return whole, displayed(whole)
