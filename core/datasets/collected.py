"""Rows that come one by one from elsewhere in the app, as a dataset that grows."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from core.datasets.conversation import Turn
from core.datasets.dataset import load_dataset
from core.datasets.store import DatasetStore
from core.errors import WorkspaceError

NAME = "From chat.jsonl"


def collect_row(store: DatasetStore, turns: Sequence[Turn], category: str, source: str) -> str:
    """Add a conversation that ends with the answer to be learnt; return the new version's hash.

    ``source`` says where it comes from. The version before is kept where a run or a review stands
    on it.
    """
    known = next((row for row in store.recent() if row["name"] == NAME), None)
    before = store.load(known["content_hash"]) if known else None
    messages = [{"role": turn.role, "content": turn.text} for turn in turns]
    row = {"messages": messages, "category": category, "source": source}
    text = before.path.read_text(encoding="utf-8") if before else ""
    with tempfile.TemporaryDirectory(prefix="fuata-") as folder:
        file = Path(folder) / NAME
        file.write_text(f"{text}{json.dumps(row, ensure_ascii=False)}\n", encoding="utf-8")
        made = store.keep(load_dataset(file))
    if before and before.content_hash != made:
        store.choose_split(made, store.split_settings(before.content_hash))
        try:
            store.delete(before.content_hash)
        except WorkspaceError:
            return made  # something stands on it
    return made
