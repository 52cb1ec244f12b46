"""What the Chat screen shows, as plain values and safe markup.

The one place where chat text becomes Gradio's messages, escaped.
"""

import html
import math
import re
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from core.datasets.conversation import Turn
from core.generation.conversations import Message
from core.scoring.explain import TokenProbability
from ui.markup import fill_template, visible_lines

_THOUGHT = re.compile(r"\s*<think>(.*?)(?:</think>\s*|\Z)", re.DOTALL)
_UNSURE = 0.5  # nats of surprise at which a token is coloured at all
_SURPRISED = 4.0  # and from which it is coloured fully


def displayed(history: Sequence[Message]) -> list[dict[str, Any]]:
    """Return messages for the chatbot with every markup character made harmless, thoughts folded,
    and each reply under its model's name where several spoke.
    """
    several = len({message.get("model") for message in history if message.get("model")}) > 1
    return [
        shown
        for message in history
        for shown in _shown(message, message.get("model", "") if several else "")
    ]


def place_of(history: Sequence[Message], index: int) -> int:
    """Return which message of a history the chatbot shows at a place."""
    places = [number for number, message in enumerate(history) for _ in _shown(message, "")]
    return places[min(max(index, 0), len(places) - 1)] if places else 0


def _shown(message: Message, name: str) -> list[dict[str, Any]]:
    text, role = message["text"], message["role"]
    thought = _THOUGHT.match(text) if role == "assistant" else None
    found = []
    if thought and thought[1].strip():
        folded = {"title": "Thoughts", "status": "done"}
        found.append({"role": role, "content": html.escape(thought[1].strip()), "metadata": folded})
        text = text[thought.end() :]
    by = f"<small>{html.escape(name)}</small><br>" if name and role == "assistant" else ""
    if text or not found:
        found.append({"role": role, "content": by + (html.escape(text) or "(no text)")})
    return found


def as_turns(system: str, history: Sequence[Message]) -> list[Turn]:
    """Return the conversation up to the last question, as the model is asked it."""
    asked = list(history[:-1] if history and history[-1]["role"] == "assistant" else history)
    opening = [Turn("system", system)] if system.strip() else []
    return opening + [
        Turn("user" if message["role"] == "user" else "assistant", message["text"])
        for message in asked
    ]


def reply_words(history: Sequence[Message], tokens: int, context: int, left_out: int) -> str:
    """Say how full the context is, what is left out of it, and how the last reply came."""
    said = []
    last = history[-1] if history else None
    if last is not None and last.get("tokens") and last.get("seconds"):
        speed = last["tokens"] / last["seconds"]
        first = f", the first after {1000 * last['first_s']:,.0f} ms" if "first_s" in last else ""
        said.append(f"{last['tokens']:,} tokens in {last['seconds']:.1f} s ({speed:,.0f}/s{first})")
    if last is not None and (others := last.get("others")):
        said.append(f"{len(others)} earlier {'reply' if len(others) == 1 else 'replies'}")
    if tokens:
        said.append(f"{tokens:,} of {context:,} tokens of the context")
    if left_out:
        said.append(f"the oldest {left_out} messages are left out for room")
    return " · ".join(said)


def style_note(chosen: str, trained_with: str) -> str:
    """Name a deliberate mismatch between the style a model was tuned with and the one it is asked
    in.
    """
    if not trained_with:
        return "This model was not tuned with Fuata: no style is known to fit it." if chosen else ""
    if chosen and chosen != trained_with:
        return f"This model was tuned with the style '{trained_with}' and is asked in '{chosen}': expect worse answers."
    return ""


def prompt_markup(text: str, tokens: Sequence[tuple[int, str, bool]]) -> Markup:
    """Return the exact text that a model is asked with, and its tokens: the id of each, its text, and
    whether it is a special one.
    """
    listed = [{"id": one, "text": said, "is_special": special} for one, said, special in tokens]
    return fill_template("prompt_tokens", text=text, tokens=listed, visible_lines=visible_lines)


def probabilities_markup(
    probabilities: Sequence[TokenProbability], texts: dict[int, str]
) -> Markup:
    """Return a reply's tokens coloured by surprise; pointing at one shows what else was likely."""
    total = -sum(one.log_probability for one in probabilities)
    tokens = [
        {
            "text": texts[one.id],
            "strength": min(max((-one.log_probability - _UNSURE) / _SURPRISED, 0.0), 1.0),
            "title": _probability_words(one, texts),
        }
        for one in probabilities
    ]
    return fill_template(
        "token_probabilities",
        tokens=tokens,
        total=total,
        each=total / max(len(probabilities), 1),
        perplexity=math.exp(min(total / max(len(probabilities), 1), 50)),
    )


def _probability_words(token: TokenProbability, texts: dict[int, str]) -> str:
    likeliest = ", ".join(f"{texts[one]!r} {math.exp(value):.1%}" for one, value in token.likeliest)
    return f"{math.exp(token.log_probability):.1%} · likeliest: {likeliest}"
