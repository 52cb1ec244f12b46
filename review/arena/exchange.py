"""Battles as FastChat's arena writes them: JSON objects of model_a, model_b, winner, judge,
conversations and a time, one a line or in a list; or as a table of who met whom and who won.
"""

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core.errors import DataError
from core.evaluation.layouts.folder import read_text
from core.text import holds_half_character
from review.arena.store import ArenaStore, Battle
from review.judging.self_identification import named_model, told_names

_WINNERS = {"model_a": "a", "model_b": "b", "tie": "tie", "tie (bothbad)": "both_bad"}
_WORDS = {verdict: winner for winner, verdict in _WINNERS.items()}
# of tables that name the sides otherwise
_COLUMNS = {"left": "model_a", "right": "model_b"}
_LONG_KEY = 16  # characters of an id that stands for a battle, not for a question
_LATEST = 32_503_680_000  # s, the year 3000: a time beyond is in other units


def export_battles(battles: Iterable[Battle]) -> str:
    """Return every judged battle as a line of JSON, as FastChat's arena does."""
    return "".join(f"{json.dumps(_as_battle(one), ensure_ascii=False)}\n" for one in battles)


def _as_battle(battle: Battle) -> dict[str, Any]:
    row = battle.row
    return {
        "question_id": row["key"], "model_a": row["model_a"], "model_b": row["model_b"],
        "winner": _WORDS[row["verdict"]], "judge": row["person"],
        "conversation_a": _conversation(battle, "response_a"),
        "conversation_b": _conversation(battle, "response_b"),
        "turn": len(battle.turns), "anony": not row["leak"],
        "tstamp": datetime.fromisoformat(row["voted_at"]).timestamp(),
    }  # fmt: skip


def _conversation(battle: Battle, side: str) -> list[dict[str, str]]:
    found = []
    for turn in battle.turns:
        found.append({"role": "user", "content": turn["prompt"]})
        found.append({"role": "assistant", "content": str(turn[side])})  # type: ignore[literal-required]
    return found


def import_battles(store: ArenaStore, path: Path) -> int:
    """Add a file's battles, all or none, and return how many were not there already.

    Replies that name a model are looked for here, too. Raises DataError for a file that is broken.
    """
    rows = list(_rows(path))
    if not rows:
        raise DataError(f"{path.name} holds no battle.")
    names = told_names({str(row[side]) for _, row in rows for side in ("model_a", "model_b")})
    alike: Counter[str] = Counter()
    # all of it is read before the database is held, which training writes to
    return store.bring([_read(path, number, row, names, alike) for number, row in rows])


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield each battle with its number in the file. Raises DataError."""
    text = read_text(path)
    try:
        is_table = path.name.lower().removesuffix(".gz").endswith(".csv")
        found = _table(text) if is_table else _objects(text)
    except (ValueError, RecursionError, csv.Error) as error:
        raise DataError(f"{path.name} cannot be read: {error}.") from error
    for number, row in enumerate(found, start=1):
        _check(path, number, row)
        yield number, row


def _objects(text: str) -> list[Any]:
    if text.lstrip()[:1] == "[":
        return list(json.loads(text))
    return [json.loads(line) for line in text.split("\n") if line.strip()]


def _table(text: str) -> list[Any]:
    rows = []
    for row in csv.DictReader(io.StringIO(text)):
        named = {_COLUMNS.get(str(column), str(column)): value for column, value in row.items()}
        named["winner"] = _COLUMNS.get(str(named.get("winner")), named.get("winner"))
        rows.append(named)
    return rows


def _check(path: Path, number: int, row: Any) -> None:
    where = f"{path.name}, battle {number}"
    if not isinstance(row, dict):
        raise DataError(f"{where}: it is no object.")
    for field in ("model_a", "model_b"):
        if not isinstance(row.get(field), str) or not row[field].strip():
            raise DataError(f"{where}: {field} is missing.")
    if row["model_a"] == row["model_b"]:
        raise DataError(f"{where}: model_a and model_b are the same.")
    if holds_half_character(dict(row)):
        raise DataError(f"{where}: a text has half a character in it.")
    winner = row.get("winner")
    if not isinstance(winner, str) or winner not in _WINNERS:
        raise DataError(
            f"{where}: the winner {json.dumps(winner)[:40]} is none of {', '.join(_WINNERS)}."
        )


def _read(
    path: Path, number: int, row: Mapping[str, Any], names: Sequence[str], alike: Counter[str]
) -> tuple[dict[str, Any], list[tuple[str, str, str]]]:
    turns = _turns(path, number, row)
    leak = next(filter(None, (named_model(t, names) for _, a, b in turns for t in (a, b))), "")
    if row.get("anony") is False:
        leak = leak or "the names were shown"
    voted = _time(row.get("tstamp"))
    return {
        "key": _key(row, alike), "person": str(row.get("judge") or "somebody")[:100],
        "model_a": row["model_a"], "model_b": row["model_b"], "facts": "{}",
        "verdict": _WINNERS[row["winner"]], "leak": leak, "source": path.name,
        "created_at": voted, "voted_at": voted,
    }, turns  # fmt: skip


def _key(row: Mapping[str, Any], alike: Counter[str]) -> str:
    """Return the key of a battle: its own where it has one, else one of its content and of how many
    ``alike`` stood before it, so that a file brought in twice adds nothing.
    """
    text = json.dumps(row, sort_keys=True, ensure_ascii=False)
    alike[text] += 1
    own = row.get("question_id")
    if isinstance(own, str) and len(own) >= _LONG_KEY and alike[text] == 1:
        return own[:100]
    whole = f"{text}{alike[text]}"
    return hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def _turns(path: Path, number: int, row: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return (prompt, response of A, of B); none where the file has no conversations."""
    sides = []
    for field in ("conversation_a", "conversation_b"):
        said = row.get(field) or []
        if not isinstance(said, list) or not all(isinstance(one, dict) for one in said):
            raise DataError(f"{path.name}, battle {number}: {field} is no list of messages.")
        texts = [str(one.get("content") or "") for one in said if one.get("role") != "system"]
        sides.append(list(zip(texts[::2], texts[1::2], strict=False)))
    return [(a[0], a[1], b[1]) for a, b in zip(*sides, strict=False)]


def _time(stamp: Any) -> str:
    """Return a time of a file as ours are, of now where it has none."""
    is_time = isinstance(stamp, int | float) and not isinstance(stamp, bool)
    seconds = float(stamp) if is_time and 0 <= stamp < _LATEST else None
    moment = datetime.now(UTC) if seconds is None else datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds")
