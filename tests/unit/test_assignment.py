"""Which pair next: everything once, in one's own order, shared out among few, found without reading
all.
"""

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlite_utils import Database

from core.storage.migrations import engine_tables
from core.storage.workspace import Workspace
from review.domain.rating import make_rating
from review.judging.assignment import _OPEN, _UNRATED
from review.judging.judge import Judge
from review.store.migrations import review_tables
from review.store.reviews import ReviewStore
from tests.reviews import write_review

TEXTS = {"base": "base", "tuned": "tuned"}


def judge_all(store: ReviewStore, person: str) -> list[int]:
    judge, seen = Judge(store, "r", person), []
    while pairs := judge.next_pairs(1):
        judge.rate(pairs[0].id, make_rating("a"))
        seen.append(pairs[0].id)
    return seen


def counts(store: ReviewStore) -> None:
    """Compare what triggers keep with what is there."""
    [review] = store.database.query("SELECT * FROM reviews")
    [pairs] = store.database.query("SELECT count(*) AS n, sum(is_open) AS open FROM pairs")
    [verdicts] = store.database.query("SELECT count(*) AS n FROM verdicts")
    assert (review["pair_count"], review["open_count"], review["verdict_count"]) == (
        pairs["n"],
        pairs["open"],
        verdicts["n"],
    )
    for walk in store.database.query("SELECT * FROM reviewer_progress"):
        [own] = store.database.query(
            "SELECT count(*) AS n FROM verdicts WHERE reviewer = ?", [walk["reviewer"]]
        )
        assert walk["judged"] == own["n"]
    wrong = store.database.query(
        """SELECT id FROM pairs WHERE verdict_count <> (SELECT count(*) FROM verdicts WHERE pair_id = pairs.id)
           OR is_open <> (SELECT overlap = 0 OR pairs.verdict_count < overlap FROM reviews WHERE id = review_id)"""
    )
    assert wrong == []


def test_everybody_sees_every_pair_once_in_an_order_of_their_own(
    workspace: Workspace, small_file: Path
) -> None:
    store = write_review(workspace, small_file, TEXTS, 30)
    orders = [judge_all(store, person) for person in ("amina", "juma", "neema", "asha", "otieno")]
    for order in orders:
        assert sorted(order) == sorted(orders[0]) and len(order) == 30
    assert len({tuple(order) for order in orders}) > 1  # two may begin at the same pair
    assert all(order != sorted(order) for order in orders)
    counts(store)


def test_a_meeting_that_one_person_has_judged_alone_is_not_looked_through_again(
    workspace: Workspace, small_file: Path
) -> None:
    store = write_review(
        workspace, small_file, {"base": "base", "tuned": "tuned", "other": "other"}, 20
    )
    assert len(judge_all(store, "amina")) == 60
    ways = store.database.query("SELECT cursor FROM reviewer_cursors WHERE reviewer = 'amina'")
    assert [way["cursor"] for way in ways] == [1.0, 1.0, 1.0]
    Judge(store, "r", "amina").undo()
    assert len(judge_all(store, "amina")) == 1


@pytest.mark.parametrize("overlap", [1, 2])
def test_few_people_share_the_pairs_out_and_none_is_judged_too_often(
    workspace: Workspace, small_file: Path, overlap: int
) -> None:
    store = write_review(workspace, small_file, TEXTS, 34, overlap=overlap)
    with ThreadPoolExecutor(12) as pool:
        seen = list(pool.map(lambda number: judge_all(store, f"person {number}"), range(12)))
    judged = Counter(pair for order in seen for pair in order)
    assert set(judged.values()) == {overlap} and len(judged) == 34
    assert all(len(set(order)) == len(order) for order in seen)
    counts(store)
    judge = Judge(store, "r", "late")
    assert judge.next_pairs(1) == [] and judge.progress() == (0, 0)


def test_a_pair_that_is_shown_to_somebody_is_not_shown_to_another_until_they_are_gone(
    workspace: Workspace, small_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = write_review(workspace, small_file, TEXTS, 4, overlap=1)
    shown = {pair.id for pair in Judge(store, "r", "amina").next_pairs(3)}
    [other] = Judge(store, "r", "juma").next_pairs(4)
    assert other.id not in shown
    assert {pair.id for pair in Judge(store, "r", "amina").next_pairs(4)} == shown
    monkeypatch.setattr("review.judging.assignment.time.time", lambda: 1e12)  # long after
    assert len(Judge(store, "r", "juma").next_pairs(4)) == 4


def test_an_undone_pair_comes_back_and_opens_again(workspace: Workspace, small_file: Path) -> None:
    store = write_review(workspace, small_file, TEXTS, 8, overlap=1)
    judge = Judge(store, "r", "amina")
    order = judge_all(store, "amina")
    assert judge.progress() == (8, 8)
    assert judge.undo().id == order[-1] and judge.undo().id == order[-2]
    assert judge.progress() == (6, 8)
    assert [pair.id for pair in judge.next_pairs(5)] == order[-2:]
    counts(store)


def test_any_order_of_verdicts_and_undoings_keeps_the_counts(
    workspace: Workspace, small_file: Path
) -> None:
    store, rng = write_review(workspace, small_file, TEXTS, 12, overlap=2), random.Random(1)
    judges = [Judge(store, "r", person) for person in ("amina", "juma", "neema")]
    for _ in range(120):
        judge = rng.choice(judges)
        if rng.random() < 0.3 and judge.progress()[0]:
            judge.undo()
        elif pairs := judge.next_pairs(2, [rng.randrange(1, 13)]):
            judge.rate(pairs[0].id, make_rating(rng.choice(["a", "b", "tie"])))
    counts(store)
    with store.database.transaction() as tables:
        tables.execute("DELETE FROM verdicts WHERE reviewer = 'juma'")  # by hand, as in Datasette
    counts(store)


def test_wanted_pairs_are_found_by_the_index_alone(workspace: Workspace, small_file: Path) -> None:
    store = write_review(workspace, small_file, TEXTS, 3)
    asked = {
        "low_id": 1,
        "high_id": 2,
        "review": 1,
        "reviewer": "a",
        "overlap": 0,
        "now": 0,
        "low": 0,
        "high": 1,
        "without": "[]",
    }
    for sql, name in ((_OPEN, "open_meetings"), (_UNRATED, "unrated_pairs")):
        plan = " ".join(
            row["detail"] for row in store.database.query(f"EXPLAIN QUERY PLAN {sql}", asked)
        )
        assert (
            f"USING INDEX {name} (review_id=? AND contender_low_id=? AND contender_high_id=? AND shuffle_key>? AND shuffle_key<?)"
            in plan
        )
        assert "TEMP B-TREE" not in plan and "SCAN pairs" not in plan


def test_a_review_of_an_earlier_version_goes_on(tmp_path: Path, small_file: Path) -> None:
    """Tables as they were before, filled as they were filled, then opened by this version."""
    older = Database(tmp_path / "fuata.db")
    engine_tables.apply(older)
    review_tables.apply(older, stop_before="m003_order")
    older.execute(
        "INSERT INTO datasets (content_hash, name, path, format, row_count, usable, used_at) "
        "VALUES ('h','n','p','f',1,1,'')"
    )
    older.execute(
        """INSERT INTO reviews (id, name, state, content_hash, split, split_settings, sampling, versions, side_seed, created_at)
           VALUES (1, 'r', 'ready', 'h', 'test', '{}', '{}', '{}', 's', '')"""
    )
    for number, name in enumerate(("base", "tuned")):
        older.execute(
            "INSERT INTO contenders VALUES (?, 1, ?, ?, 'model', '{}')", [number + 1, number, name]
        )
    for number in range(1, 7):
        older.execute("INSERT INTO prompts VALUES (?, 1, ?, '[]', 'p', 'e')", [number, number])
        for contender in (1, 2):
            older.execute(
                "INSERT INTO responses VALUES (?, ?, ?, '', ?, 1, 'end', '')",
                [
                    2 * number + contender,
                    contender,
                    number,
                    "same" if number == 6 else f"text {contender}",
                ],
            )
        older.execute(
            "INSERT INTO pairs VALUES (?, 1, ?, ?, ?)",
            [number, number, 2 * number + 1, 2 * number + 2],
        )
    older.execute(
        """INSERT INTO verdicts (pair_id, reviewer, verdict, a_response_id, b_response_id, rated_at)
           VALUES (3, 'amina', 'a', 7, 8, '')"""
    )
    older.conn.commit()
    older.close()
    workspace = Workspace(tmp_path)
    store = ReviewStore(workspace)
    counts(store)
    # of the sixth both say the same: nobody is asked any more
    assert Judge(store, "r", "amina").progress() == (1, 5)
    assert sorted(judge_all(store, "amina")) == [1, 2, 4, 5]
    assert (
        len({row["shuffle_key"] for row in store.database.query("SELECT shuffle_key FROM pairs")})
        == 5
    )
    workspace.close()
