"""What the Chat screen shows, as plain values.

The one place where chat text becomes Gradio's messages, escaped.
"""

import html
from collections.abc import Sequence
from typing import Any

from core.datasets.conversation import Turn

Message = dict[str, str]  # role and text, as the browser's state keeps it


def displayed(history: Sequence[Message]) -> list[dict[str, Any]]:
    """Return messages for the chatbot with every markup character made harmless."""
    return [
        {"role": message["role"], "content": html.escape(message["text"]) or "(no text)"}
        for message in history
    ]


def as_turns(system: str, history: Sequence[Message]) -> list[Turn]:
    """Return the conversation up to the last question, as the model is asked it."""
    asked = list(history[:-1] if history and history[-1]["role"] == "assistant" else history)
    opening = [Turn("system", system)] if system.strip() else []
    return opening + [
        Turn("user" if message["role"] == "user" else "assistant", message["text"])
        for message in asked
    ]


def style_note(chosen: str, trained_with: str) -> str:
    """Name a deliberate mismatch between the style a model was tuned with and the one it is asked
    in.
    """
    if not trained_with:
        return "This model was not tuned with Fuata: no style is known to fit it." if chosen else ""
    if chosen and chosen != trained_with:
        return f"This model was tuned with the style '{trained_with}' and is asked in '{chosen}': expect worse answers."
    return ""
