"""Rows that come one by one from elsewhere in the app, as a dataset that grows."""

import json
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

from core.datasets.conversation import Turn
from core.datasets.dataset import Dataset, load_dataset
from core.datasets.store import DatasetRow, DatasetStore
from core.errors import WorkspaceError

NAME = "From chat.jsonl"
_lock = threading.Lock()  # of two that are added at once, neither is lost


def collect_row(
    store: DatasetStore, turns: Sequence[Turn], tags: Sequence[str], source: str
) -> str:
    """Add a conversation that ends with the answer to be learnt; return the new version's hash.

    ``tags`` say how it came to be, then what somebody calls it: the last is its category.
    ``source`` says where it comes from. The version before is kept where a run or a review stands
    on it.
    """
    with _lock:
        return _collect(store, turns, tags, source)


def _collect(store: DatasetStore, turns: Sequence[Turn], tags: Sequence[str], source: str) -> str:
    before = next(filter(None, (_collected(store, row) for row in store.recent())), None)
    messages = [{"role": turn.role, "content": turn.text} for turn in turns]
    row = {"messages": messages, "category": tags[-1], "tags": list(tags), "source": source}
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


def _collected(store: DatasetStore, row: DatasetRow) -> Dataset | None:
    """Return a version that grew here, None for one of that name which somebody brought or edited."""
    if row["name"] != NAME or row["recipe"] != "{}":
        return None
    dataset = store.load(row["content_hash"])
    lines = dataset.path.read_text(encoding="utf-8").splitlines()
    return (
        dataset if all('"source": ' in line and '"messages": ' in line for line in lines) else None
    )
