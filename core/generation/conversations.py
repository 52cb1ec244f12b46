"""Conversations with models, kept as they were. Knows no screen."""

import json
from collections.abc import Sequence
from typing import Any, NotRequired, TypedDict, cast

from core.errors import WorkspaceError
from core.storage.workspace import Workspace, now
from core.text import shortened

_LONGEST_NAME = 80


class Message(TypedDict):
    """One message, as the page and the database keep it; a reply says who gave it, and how."""

    role: str  # "user" or "assistant"
    text: str
    model: NotRequired[str]
    tokens: NotRequired[int]
    seconds: NotRequired[float]  # from the question to the end
    first_s: NotRequired[float]  # to the first token
    others: NotRequired[list[str]]  # earlier replies to the same question
    thumb: NotRequired[str]  # "up" or "down", where somebody gave one


class ConversationRow(TypedDict):
    """One conversation; a test compares it with the table."""

    id: int
    name: str
    model: str
    system: str
    messages: str  # JSON
    created_at: str
    changed_at: str


class ConversationStore:
    """The conversations of a workspace."""

    def __init__(self, workspace: Workspace) -> None:
        """Work in a workspace."""
        self._database = workspace.database

    def save(self, number: int, model: str, system: str, messages: Sequence[Message]) -> int:
        """Keep a conversation as it is now, a new one where ``number`` is 0; return its number.

        A new one is called as it begins.
        """
        row: dict[str, Any] = {
            "model": model,
            "system": system,
            "messages": json.dumps(list(messages), ensure_ascii=False),
            "changed_at": now(),
        }
        with self._database.transaction() as tables:
            table = tables.table("conversations")
            if number and self._row(number) is not None:
                table.update(number, row)
                return number
            name = shortened(messages[0]["text"], _LONGEST_NAME) if messages else "Empty"
            made = {**row, "name": name, "created_at": row["changed_at"]}
            return int(table.insert(made).last_pk or 0)

    def find(self, number: int) -> ConversationRow:
        """Return a conversation. Raises WorkspaceError where it is gone."""
        row = self._row(number)
        if row is None:
            raise WorkspaceError("This conversation is gone: choose another.")
        return row

    def all(self) -> list[ConversationRow]:
        """Return all conversations, the last changed first."""
        rows = self._database.query("SELECT * FROM conversations ORDER BY changed_at DESC, id DESC")
        return cast("list[ConversationRow]", rows)

    def rename(self, number: int, name: str) -> None:
        """Call a conversation otherwise. Raises WorkspaceError for an empty or too long name."""
        plain = " ".join(name.split())
        if not 0 < len(plain) <= _LONGEST_NAME:
            raise WorkspaceError(f"A conversation's name has 1 to {_LONGEST_NAME} characters.")
        self.find(number)
        with self._database.transaction() as tables:
            tables.table("conversations").update(number, {"name": plain})

    def delete(self, number: int) -> None:
        """Remove a conversation."""
        with self._database.transaction() as tables:
            tables.execute("DELETE FROM conversations WHERE id = ?", [number])

    def _row(self, number: int) -> ConversationRow | None:
        row = self._database.one("SELECT * FROM conversations WHERE id = ?", [number])
        return cast("ConversationRow | None", row)


def read_messages(row: ConversationRow) -> list[Message]:
    """Return a conversation's messages."""
    return cast("list[Message]", json.loads(row["messages"]))
