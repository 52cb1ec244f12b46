"""A conversation as ChatGPT exports it: a tree of messages, of which one branch was read last.

Knows no columns. (Claude's exports are lists of messages, which messages.py reads.)
"""

from collections.abc import Mapping
from typing import Any

from core.datasets.conversation import RowRefusedError

_DEEPEST = 10_000  # messages of a branch; a damaged tree may have a ring


def read_branch(row: Mapping[str, object]) -> list[dict[str, Any]]:
    """Return the messages of the branch that a ChatGPT conversation ends with, the first one first.

    What its user never saw is left out: empty messages, and those that are marked as hidden. Raises
    RowRefusedError where the tree has no such branch.
    """
    tree = row.get("mapping")
    if not isinstance(tree, Mapping) or not tree:
        raise RowRefusedError("its conversation is empty or no tree of messages")
    node = row.get("current_node")
    if node not in tree:  # of a conversation that was never shown to its end
        node = next(
            (key for key in reversed(list(tree)) if not _field(tree.get(key), "children")), None
        )
    messages = []
    for _ in range(_DEEPEST):
        entry = tree.get(node) if isinstance(node, str) else None
        if not isinstance(entry, Mapping):
            break
        if message := _message(entry.get("message")):
            messages.append(message)
        node = entry.get("parent")
    return messages[::-1]


def _field(value: object, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None


def _message(message: object) -> dict[str, Any] | None:
    """Return a message with its role and text; None for one that says nothing to its user."""
    role = _field(_field(message, "author"), "role")
    content = _field(message, "content")
    if role is None or _field(_field(message, "metadata"), "is_visually_hidden_from_conversation"):
        return None
    parts = _field(content, "parts")
    if isinstance(parts, list):
        said = [part if isinstance(part, str) else _other(part) for part in parts]
        return {"role": role, "content": said} if any(said) else None
    text = _field(content, "text")
    return {"role": role, "content": text} if isinstance(text, str) and text.strip() else None


def _other(part: object) -> dict[str, Any]:
    """Return a part that is no text so that the row is refused by what it is."""
    return {"type": _field(part, "content_type") or "something else"}
