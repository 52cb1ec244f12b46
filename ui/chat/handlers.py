"""What the Chat screen's events do."""

import html
import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr

from core.datasets.collected import collect_row
from core.datasets.conversation import Turn
from core.errors import ModelError, WorkspaceError
from core.generation.chat_model import ChatModel
from core.generation.conversations import ConversationStore, Message, read_messages
from core.generation.models_thread import in_models_thread
from core.generation.openai_endpoint import find_endpoint
from core.generation.sampling import Sampling
from core.scoring.explain import explain_reply
from core.text import shortened, trimmed
from ui.chat.views import (
    as_turns,
    displayed,
    place_of,
    probabilities_markup,
    prompt_markup,
    reply_words,
    style_note,
)
from ui.error_messages import shows_user_errors
from ui.markup import alert, exact_text, paragraph
from ui.services import STYLE_CHOICES, Services

_PAINT_EVERY_S = 0.05
_SETTINGS = 8  # of sampling
NOTHING_ASKED = "Nothing was asked yet."
AS_TRAINED = ("As it was trained", "")
History = list[Message]


class ChatHandlers:
    """Works on the models and conversations of ``services``."""

    def __init__(self, services: Services) -> None:
        """Load nothing yet."""
        self.services = services
        self.conversations = ConversationStore(services.workspace)

    def take(
        self, text: str, past: History, beside: History, model_beside: str
    ) -> tuple[str, History, list[Any], History, list[Any]]:
        """Put what was written behind both conversations, where there are two."""
        if text.strip():
            asked: Message = {"role": "user", "text": trimmed(text)}
            past, text = [*past, asked], ""
            beside = [*beside, asked] if model_beside else beside
        return text, past, displayed(past), beside, displayed(beside)

    @shows_user_errors
    def answer(
        self, model: str, style: str, system: str, past: History, *values: Any
    ) -> Iterator[tuple[Any, ...]]:
        """Answer the last question; where that fails, it goes back to where it was written."""
        if not model or not past or past[-1]["role"] != "user":
            yield past, displayed(past), gr.skip(), gr.skip(), gr.skip()
            return
        try:
            yield from self._replies(model, style, system, past, _sampling(values), [])
        except Exception:
            yield past[:-1], displayed(past[:-1]), gr.skip(), past[-1]["text"], ""
            raise

    def answer_beside(
        self, model: str, style: str, system: str, past: History, *values: Any
    ) -> Iterator[tuple[Any, ...]]:
        """Answer beside, as ``answer`` does; with the same settings, or with its own."""
        yield from self.answer(model, style, *_own(system, past, values))

    def answer_beside_again(
        self, model: str, style: str, system: str, past: History, *values: Any
    ) -> Iterator[tuple[Any, ...]]:
        """Answer beside once more."""
        yield from self.answer_again(model, style, *_own(system, past, values))

    @shows_user_errors
    def answer_again(
        self, model: str, style: str, system: str, past: History, *values: Any
    ) -> Iterator[tuple[Any, ...]]:
        """Answer the last question once more; the earlier reply can be paged to."""
        has_reply = bool(past) and past[-1]["role"] == "assistant"
        asked = past[:-1] if has_reply else past
        if not asked or not model:
            yield past, displayed(past), gr.skip(), gr.skip(), gr.skip()
            return
        others = [*past[-1].get("others", []), past[-1]["text"]] if has_reply else []
        try:
            yield from self._replies(model, style, system, asked, _sampling(values), others)
        except Exception:  # the answer that was there stays
            yield past, displayed(past), gr.skip(), gr.skip(), gr.skip()
            raise

    def _replies(
        self, model: str, style: str, system: str, past: History, sampling: Sampling,
        others: list[str],
    ) -> Iterator[tuple[Any, ...]]:  # fmt: skip
        """Yield the conversation with the reply so far, as it is kept and as it is shown, the exact
        prompt, and how it came.
        """
        waiting: Message = {"role": "assistant", "text": "…"}
        is_here = "://" not in model and self.services.model_cache.is_loaded(model, style)
        told = "" if is_here or "://" in model else paragraph("Loading the model …")
        yield past, displayed([*past, waiting]), gr.skip(), gr.skip(), told
        turns = as_turns(system or "", past)
        if "://" in model:
            yield self._asked_elsewhere(model, turns, past, sampling, others)
            return
        chat_model = self.services.model_cache.get(model, style)
        turns, left_out, tokens = chat_model.fit(turns, sampling)
        prompt = _prompt(chat_model, turns)
        reading = paragraph(f"Reading {tokens:,} tokens …")
        yield past, displayed([*past, waiting]), prompt, gr.skip(), reading
        began, first_s, painted_at, count = time.monotonic(), 0.0, 0.0, 0
        reply = ""
        for reply in chat_model.stream(turns, sampling):
            count += 1
            first_s = first_s or time.monotonic() - began
            if time.monotonic() - painted_at >= _PAINT_EVERY_S:
                painted_at = time.monotonic()
                shown: Message = {"role": "assistant", "text": reply, "model": model}
                yield [*past, shown], displayed([*past, shown]), gr.skip(), gr.skip(), gr.skip()
        whole: Message = {
            "role": "assistant", "text": trimmed(reply), "model": model, "tokens": max(count - 1, 0),
            "seconds": round(time.monotonic() - began, 3), "first_s": round(first_s, 4),
        }  # fmt: skip
        if others:
            whole["others"] = others
        history = [*past, whole]
        words = reply_words(history, tokens + max(count - 1, 0), chat_model.context, left_out)
        yield history, displayed(history), gr.skip(), gr.skip(), paragraph(words)

    def _asked_elsewhere(
        self, model: str, turns: list[Turn], past: History, sampling: Sampling, others: list[str]
    ) -> tuple[Any, ...]:
        began = time.monotonic()
        endpoint = find_endpoint(model)
        [response] = endpoint.respond_all([turns], sampling, lambda: False)
        reply: Message = {
            "role": "assistant", "text": response.text, "model": endpoint.name,
            "tokens": response.tokens, "seconds": round(time.monotonic() - began, 3),
        }  # fmt: skip
        if others:
            reply["others"] = others
        history = [*past, reply]
        words = paragraph(reply_words(history, 0, 0, 0))
        return history, displayed(history), exact_text(response.prompt), gr.skip(), words

    def edit(
        self, past: History, beside: History, model_beside: str, event: gr.EditData
    ) -> tuple[History, list[Any], History, list[Any]]:
        """Put another text in place of a question; what followed it is gone, beside it, too."""
        place = place_of(past, event.index if isinstance(event.index, int) else 0)
        text = trimmed(html.unescape(str(event.value)))
        if not past or past[place]["role"] != "user" or not text:
            return past, displayed(past), beside, displayed(beside)
        asked: Message = {"role": "user", "text": text}
        history = [*past[:place], asked]
        is_alike = len(beside) > place and beside[place] == past[place]
        other = [*(beside[:place] if is_alike else []), asked] if model_beside else []
        return history, displayed(history), other, displayed(other)

    def other_reply(self, past: History) -> tuple[History, list[Any]]:
        """Show the reply before in place of the last, which becomes the oldest of the others."""
        if past and (others := past[-1].get("others")):
            last = past[-1]
            turned: Message = {**last, "text": others[-1], "others": [last["text"], *others[:-1]]}
            past = [*past[:-1], turned]
        return past, displayed(past)

    def drop_turn(self, past: History) -> tuple[History, list[Any], str]:
        """Take the last question back, to where it was written."""
        last = max((i for i, message in enumerate(past) if message["role"] == "user"), default=0)
        text = past[last]["text"] if past else ""
        return past[:last], displayed(past[:last]), text

    def clear(self) -> tuple[Any, ...]:
        """Begin anew; the conversation before stays kept."""
        return [], [], exact_text(NOTHING_ASKED), "", "", 0, [], []

    @shows_user_errors
    def show_note(self, model: str, style: str) -> str:
        """Name a style that does not fit."""
        if "://" in (model or ""):
            return ""
        words = style_note(style, self.services.model_cache.find(model or "").style)
        return alert(words) if words else ""

    def offer_styles(self) -> tuple[Any, Any]:
        """Offer the styles that there are now."""
        choices = [AS_TRAINED, *self.services.style_choices()]
        return gr.Dropdown(choices), gr.Dropdown(choices)

    def refresh(self, chosen: str, offered: list[str]) -> tuple[Any, list[str], Any, Any]:
        """Offer what was made since; a run that is new becomes the model, unless it was there when
        the page was last opened.
        """
        newest = self.services.newest_model()
        is_new = newest is not None and newest not in offered
        choices = self.services.model_choices()
        beside = gr.Dropdown([("None", ""), *choices])
        return (
            gr.Dropdown(choices, value=newest if is_new else chosen),
            [newest] if newest else offered,
            beside,
            gr.Dropdown(self._choices()),
        )

    # conversations

    def _choices(self) -> list[tuple[str, int]]:
        return [
            (f"{row['name']} · {row['changed_at'][:16].replace('T', ' ')}", row["id"])
            for row in self.conversations.all()
        ]

    @shows_user_errors
    def keep(self, number: int, model: str, system: str, past: History) -> tuple[int, Any]:
        """Keep the conversation as it is now."""
        if not any(message["role"] == "assistant" for message in past):
            return number, gr.skip()
        number = self.conversations.save(int(number or 0), model or "", system or "", past)
        return number, gr.Dropdown(self._choices(), value=number)

    @shows_user_errors
    def open(self, number: int | None) -> tuple[Any, ...]:
        """Show a conversation that was kept, with its model and system prompt."""
        if not number:
            return (gr.skip(),) * 8
        row = self.conversations.find(int(number))
        past = read_messages(row)
        return past, displayed(past), row["id"], row["model"], row["system"], row["name"], [], []

    @shows_user_errors
    def rename(self, number: int, name: str) -> Any:
        """Call the conversation otherwise."""
        self.conversations.rename(self._number(number), name)
        return gr.Dropdown(self._choices(), value=number)

    @shows_user_errors
    def delete(self, number: int | None) -> tuple[Any, ...]:
        """Remove the conversation, and begin anew."""
        if not number:  # it was not confirmed
            return (gr.skip(),) * 9
        self.conversations.delete(int(number))
        return *self.clear(), gr.Dropdown(self._choices(), value=None)

    @shows_user_errors
    def export(self, number: int) -> Any:
        """Write the conversation as a row of messages, to download."""
        row = self.conversations.find(self._number(number))
        messages = [
            {"role": message["role"], "content": message["text"]} for message in read_messages(row)
        ]
        if row["system"].strip():
            messages.insert(0, {"role": "system", "content": row["system"]})
        stem = "".join(c if c.isalnum() or c in " -_" else "_" for c in row["name"])[:60].strip()
        path = self.services.workspace.exports / f"{stem or 'conversation'}.jsonl"
        line = json.dumps({"messages": messages, "model": row["model"]}, ensure_ascii=False)
        path.write_text(f"{line}\n", encoding="utf-8")
        return gr.File(value=str(path), visible=True)

    def _number(self, number: int) -> int:
        if not number:
            raise WorkspaceError("This conversation is not kept yet: ask something first.")
        return int(number)

    # from chat to data

    def last_reply(self, past: History) -> str:
        """Return the last reply, to be corrected."""
        return past[-1]["text"] if past and past[-1]["role"] == "assistant" else ""

    @shows_user_errors
    def give_thumb(
        self, number: int, model: str, system: str, past: History, event: gr.LikeData
    ) -> tuple[History, str]:
        """Mark a reply as good or bad; a good one is kept as a row of a dataset."""
        place = place_of(past, event.index if isinstance(event.index, int) else 0)
        if not past or past[place]["role"] != "assistant":
            return past, ""
        is_good = event.liked is True or event.liked == "Like"
        marked: Message = {**past[place], "thumb": "up" if is_good else "down"}
        history = [*past[:place], marked, *past[place + 1 :]]
        if number:
            self.conversations.save(int(number), model or "", system or "", history)
        if not is_good:
            return history, paragraph(
                "Marked as bad. Under 'Correct the last reply' the last one can be put right."
            )
        turns = [*as_turns(system or "", past[: place + 1]), Turn("assistant", marked["text"])]
        return history, self._collected(turns, marked, "liked", "")

    @shows_user_errors
    def correct(self, system: str, past: History, text: str, tags: str = "") -> str:
        """Keep the conversation with the reply as it should be, as a row of a dataset."""
        if not past or past[-1]["role"] != "assistant":
            raise WorkspaceError("There is no reply yet: ask something first.")
        answer = trimmed(text or "")
        if not answer:
            raise WorkspaceError("Write the reply as it should be first.")
        is_same = answer == past[-1]["text"]
        turns = [*as_turns(system or "", past), Turn("assistant", answer)]
        return self._collected(
            turns, past[-1], "kept as it was" if is_same else "corrected", tags or ""
        )

    def _collected(self, turns: Sequence[Turn], reply: Message, kind: str, tags: str) -> str:
        """Keep a row, and say where."""
        source = f"chat with {shortened(reply.get('model', ''), 60)}"
        named = [shortened(tag.strip(), 40) for tag in tags.split(",") if tag.strip()]
        key = collect_row(self.services.datasets, turns, (kind, *named), source)
        count = self.services.datasets.load(key).row_count
        return paragraph(
            f"Kept as row {count:,} of the dataset 'From chat.jsonl': Data opens it, and the next "
            "run can be trained on it."
        )

    # how sure it was

    @shows_user_errors
    def explain(self, model: str, style: str, system: str, past: History) -> str:
        """Show how sure a model is of the last reply, token by token."""
        if not past or past[-1]["role"] != "assistant":
            return paragraph(NOTHING_ASKED)
        if "://" in (model or ""):
            raise ModelError("Only a model of this machine can be asked that: choose one.")
        chat_model = self.services.model_cache.get(model or "", style)
        turns, _, _ = chat_model.fit(as_turns(system or "", past), Sampling())
        prompt = chat_model.encoder.encode_prompt(turns)
        tokenizer = chat_model.encoder.tokenizer
        reply = tokenizer.encode(past[-1]["text"])[: max(chat_model.context - len(prompt), 0)]
        probabilities = in_models_thread(lambda: explain_reply(chat_model.model, prompt, reply))
        ids = {token for one in probabilities for token in (one.id, *(t for t, _ in one.likeliest))}
        return probabilities_markup(
            probabilities, {token: chat_model.token_text(token) for token in ids}
        )

    # memory

    def show_memory(self) -> str:
        """Say which models are in memory, and how large each is."""
        loaded = self.services.model_cache.loaded()
        if not loaded:
            return paragraph("No model is in memory.")
        return paragraph(" · ".join(f"{name}: {mib:,.0f} MiB" for name, mib in loaded))

    def free_memory(self) -> str:
        """Put all models away; the next question loads its own again."""
        self.services.model_cache.free()
        return self.show_memory()


def _own(system: str, past: History, values: Sequence[Any]) -> tuple[Any, ...]:
    """Return the system prompt, conversation and sampling of the model beside: of all that is given
    to both, or its own after that, as the first of these says.
    """
    shared, (has_own, own_system, *own) = values[:_SETTINGS], values[_SETTINGS:]
    return (own_system, past, *own) if has_own else (system, past, *shared)


def _prompt(chat_model: ChatModel, turns: Sequence[Turn]) -> str:
    encoder = chat_model.encoder
    special = set(encoder.tokenizer.special_ids.values())
    return prompt_markup(
        encoder.prompt_text(turns),
        [(one, chat_model.token_text(one), one in special) for one in encoder.encode_prompt(turns)],
    )


def _sampling(values: Sequence[Any]) -> Sampling:
    temperature, top_k, top_p, longest, seed, min_p, penalty, stop = values
    return Sampling(
        float(temperature or 0), int(top_k or 0), float(top_p or 0), int(longest or 0),
        int(seed or 0), float(min_p or 0), float(penalty or 0),
        tuple(line for line in (stop or "").splitlines() if line),
    )  # fmt: skip


STYLES = [AS_TRAINED, *STYLE_CHOICES]
