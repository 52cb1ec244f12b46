"""Databases of every earlier version open, keep what was said, and count on from there."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database as SqliteUtils

from core.storage.migrations import engine_tables
from core.storage.workspace import Workspace
from review.domain.rating import make_rating
from review.judging.judge import Judge
from review.results.report import report_review
from review.store.migrations import review_tables
from review.store.reviews import ReviewStore

LATEST = len(list(review_tables.pending(SqliteUtils(memory=True))))
ROWS = 4


def old_database(path: Path, version: int) -> SqliteUtils:
    """Make the database that Fuata had after its ``version``-th review migration."""
    path.parent.mkdir(parents=True, exist_ok=True)
    database = SqliteUtils(path)
    names = [one.name for one in review_tables.pending(SqliteUtils(memory=True))]
    engine = [one.name for one in engine_tables.pending(SqliteUtils(memory=True))]
    # the engine's own migrations came beside: the first ones before the reviews' second
    engine_tables.apply(database, stop_before=None if version > 11 else engine[1])
    review_tables.apply(database, stop_before=names[version] if version < LATEST else None)
    return database


def insert(database: SqliteUtils, table: str, **values: Any) -> int:
    columns = database.table(table).columns_dict
    row = {name: value for name, value in values.items() if name in columns}
    return int(database.table(table).insert(row).last_pk or 0)


def fill(database: SqliteUtils) -> None:
    """Write a review of two contenders with a verdict of each kind, as every version could."""
    now = "2026-01-01T00:00:00.000000+00:00"
    insert(
        database, "datasets", content_hash="h", name="d.json", path="d", format="alpaca json",
        row_count=ROWS, usable=ROWS, used_at=now,
    )  # fmt: skip
    settings = json.dumps({"model": "pocket", "epochs": 7})
    insert(
        database, "runs", name="tuned", state="finished", content_hash="h", settings=settings,
        versions='{"torch": "2.9"}', created_at=now,
    )  # fmt: skip
    insert(
        database, "reviews", name="old", state="ready", content_hash="h", split="test",
        split_settings="{}", sampling="{}", versions="{}", side_seed="s", created_at=now,
    )  # fmt: skip
    for number, name in enumerate(("base", "tuned"), start=1):
        facts = json.dumps({"run": "tuned"} if name == "tuned" else {})
        insert(
            database, "contenders", id=number, review_id=1, position=number - 1, name=name,
            kind="model", facts=facts,
        )  # fmt: skip
    for row in range(1, ROWS + 1):
        insert(
            database, "prompts", id=row, review_id=1, data_row=row, expected="e",
            turns='[{"role": "user", "text": "q", "input": ""}]', prompt=f"q{row}",
        )  # fmt: skip
        for contender in (1, 2):
            insert(
                database, "responses", id=10 * row + contender, contender_id=contender,
                prompt_id=row, asked="q", text=f"answer {contender}", tokens=2,
                finish_reason="end", created_at=now,
            )  # fmt: skip
        insert(
            database, "pairs", id=row, review_id=1, prompt_id=row,
            first_response_id=10 * row + 1, second_response_id=10 * row + 2,
        )  # fmt: skip
    for pair, verdict in enumerate(("a", "b", "tie"), start=1):
        a, b = 10 * pair + 1, 10 * pair + 2
        winner = {"a": a, "b": b}.get(verdict)
        said = {
            "pair_id": pair, "reviewer": "amina", "verdict": verdict, "tags": "[]",
            "comment": f"c{pair}", "correction": "",
        }  # fmt: skip
        insert(
            database, "verdicts", **said, a_response_id=a, b_response_id=b,
            winner_response_id=winner, rated_at=now,
        )  # fmt: skip
        insert(database, "verdict_log", **said, action="rated", at=now)


@pytest.mark.parametrize("version", range(1, LATEST + 1))
def test_a_database_of_an_earlier_version_opens_and_counts_on(tmp_path: Path, version: int) -> None:
    database = old_database(tmp_path / "fuata.db", version)
    fill(database)
    database.conn.commit()
    database.close()

    store = ReviewStore(Workspace(tmp_path))
    [review] = store.all()
    assert (review["pairs"], review["ratings"], review["response_mode"]) == (ROWS, 3, "pairs")
    amina = Judge(store, "old", "Amina")
    assert amina.progress() == (3, 4)
    assert [one.rating.comment for one in amina.history(5)] == ["c3", "c2", "c1"]
    report = report_review(store, "old")
    [match] = report.matches
    assert (match.wins, match.losses, match.ties) == (1, 1, 1)
    counted = store.database.query("SELECT score, verdicts FROM matchup_counts")
    assert [(row["score"], row["verdicts"]) for row in counted] == [(1.5, 3)]
    [last] = amina.next_pairs(5)
    winner = "a" if last.a == "answer 2" else "b"
    amina.rate(last.id, make_rating(winner))
    juma = Judge(store, "old", "juma")
    for pair in juma.next_pairs(5):  # against amina wherever she preferred one
        preferred = {1: "answer 1", 2: "answer 2"}.get(pair.id, "answer 2")
        juma.rate(pair.id, make_rating("b" if pair.a == preferred else "a"))
    rows = store.database.query(
        "SELECT sum(score) AS score, sum(verdicts) AS n FROM matchup_counts"
    )
    assert rows[0]["n"] == 8 and 0 < rows[0]["score"] < 8
    disputed = store.database.query("SELECT id FROM pairs WHERE is_disputed ORDER BY id")
    assert [row["id"] for row in disputed] == [1, 2, 3, 4]
    amina.undo()
    assert amina.progress()[0] == 3


def test_how_a_contenders_run_was_trained_is_known_when_the_run_is_gone(tmp_path: Path) -> None:
    database = old_database(tmp_path / "fuata.db", 13)  # the fourteenth keeps what is asked here
    fill(database)
    database.conn.commit()
    database.close()
    workspace = Workspace(tmp_path)
    store = ReviewStore(workspace)
    with workspace.database.transaction() as tables:
        tables.execute("DELETE FROM runs")
    base, tuned = store.contenders(store.find("old")["id"])
    assert base.facts == {}
    assert tuned.facts == {
        "run": "tuned",
        "run_id": 1,
        "run_settings": {"model": "pocket", "epochs": 7},
        "run_versions": {"torch": "2.9"},
        "run_content_hash": "h",
    }
