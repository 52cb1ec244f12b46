"""Judging: sides, verdicts, undo, history, and several reviewers at once."""

from pathlib import Path

import pytest
from sqlite_utils import Database

from core.datasets.splits import SplitSettings
from core.errors import ReviewError, WorkspaceError
from core.generation.sampling import Sampling
from core.storage.migrations import engine_tables
from core.storage.workspace import Workspace
from review.domain.contender import Entrant
from review.domain.plan import ReviewPlan
from review.domain.rating import make_rating
from review.exchange.export import export_review
from review.judging.judge import Judge
from review.judging.self_identification import named_model
from review.results.report import report_review
from review.results.text import (
    report_text,
)
from review.store.migrations import review_tables
from review.store.reviews import ReviewStore
from tests.reviews import make_review, rate_all, side_of
from ui.review.markdown import render


def test_sides_are_random_by_reviewer_and_pair_and_never_change(
    workspace: Workspace, small_file: Path
) -> None:
    store = make_review(workspace, small_file, ("base", "tuned"), rows=40)
    sides = {}
    for person in ("amina", "juma"):
        pairs = Judge(store, "r", person).next_pairs(40)
        assert [pair.id for pair in pairs] == [
            pair.id for pair in Judge(store, "r", person).next_pairs(40)
        ]
        sides[person] = {pair.id: side_of("base", pair.a) for pair in pairs}
    lefts = sum(side == "a" for side in sides["amina"].values())
    assert 8 <= lefts <= 32
    assert sides["amina"] != sides["juma"]
    # two may begin at the same pair by chance, eight do not
    people = [f"person {number}" for number in range(8)]
    assert (
        len(
            {
                tuple(pair.id for pair in Judge(store, "r", person).next_pairs(40))
                for person in people
            }
        )
        > 1
    )


def test_a_pair_says_nothing_of_who_wrote_it(store: ReviewStore) -> None:
    from ui.review.judge.api import pair_object

    pair = Judge(store, "r", "amina").next_pairs(1)[0]
    assert set(pair_object(pair)) == {
        "id",
        "response_mode",
        "prompt",
        "expected",
        "a",
        "b",
        "named",
        "rendered",
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("As an AI language model trained by OpenAI, I cannot.", "trained by OpenAI"),
        ("I'm Claude, an assistant.", "I'm Claude"),
        ("My name is Llama.", "My name is Llama"),
        ("GPT-4o says so.", "GPT-4o"),
        ("Qwen2.5-0.5B-Instruct here.", "Qwen2.5-0.5B-Instruct"),
        ("This was said by Run-7 itself.", "run-7"),
        ("Claude Monet painted the Gemini twins and a llama.", ""),
        ("Microsoft was founded in 1975. I put it into my pocket, at base.", ""),
        ("run-71 is another", ""),
    ],
)
def test_a_response_that_names_a_model_is_told_of(text: str, words: str) -> None:
    assert named_model(text, ["pocket", "base", "run-7"]) == words


def test_rendered_markdown_can_do_nothing() -> None:
    markup = render(
        "**b** <script>alert(1)</script> ![x](http://a.b/c.png) [l](javascript:alert(1)) "
        "<http://a.b>\n\n- {{x}}"
    )
    assert "<strong>b</strong>" in markup and "<li>{{x}}</li>" in markup
    assert all(word not in markup for word in ("<script", "<img", "<a ", "href", "src="))
    assert render("x" * 50_001) == ""


def test_undo_takes_back_the_last_whatever_the_clock_says(
    store: ReviewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = Judge(store, "r", "amina")
    pairs = [pair.id for pair in judge.next_pairs(4)]
    for number, pair_id in enumerate(pairs):  # the clock is set back before every verdict
        monkeypatch.setattr(
            "review.judging.judge.now",
            lambda number=number: f"2026-01-01T00:00:{59 - number}.000000+00:00",
        )
        judge.rate(pair_id, make_rating("a"))
    # and stands still
    monkeypatch.setattr("review.judging.judge.now", lambda: "2026-01-01T00:00:30.000000+00:00")
    judge.rate(pairs[1], make_rating("tie"))
    judge.rate(pairs[0], make_rating("b"))
    undone = [judge.undo().id for _ in range(4)]
    assert undone == [pairs[0], pairs[1], pairs[3], pairs[2]]
    assert [judge.judged(pair_id).rating.verdict for pair_id in pairs[:2]] == ["a", "a"]


def test_undo_takes_back_the_last_and_the_log_keeps_all(store: ReviewStore) -> None:
    judge = Judge(store, "r", "amina")
    first, second = judge.next_pairs(2)
    judge.rate(first.id, make_rating("a"))
    judge.rate(second.id, make_rating("b", comment=" because "))
    assert judge.undo().id == second.id
    judge.rate(first.id, make_rating("tie"))
    assert judge.progress() == (1, 6)
    log = [
        (row["action"], row["verdict"])
        for row in store.database.query("SELECT * FROM verdict_log ORDER BY id")
    ]
    assert log == [("rated", "a"), ("rated", "b"), ("undone", "b"), ("changed", "tie")]
    # the change, not the verdict
    assert judge.undo() and judge.judged(first.id).rating.verdict == "a"
    judge.undo()
    with pytest.raises(ReviewError, match="nothing to undo"):
        judge.undo()


def test_history_tells_ones_own_verdicts_and_they_can_be_changed(store: ReviewStore) -> None:
    judge = Judge(store, "r", "amina")
    pairs = judge.next_pairs(6)
    for pair in pairs[:4]:
        judge.rate(
            pair.id,
            make_rating(
                "a",
                "why",
                b={"tags": ["repeats"], "stars": 2},
                flagged=pair is pairs[1],
                unblinded=pair is pairs[2],
            ),
        )
    Judge(store, "r", "juma").rate(pairs[0].id, make_rating("b"))
    latest = judge.history(3)
    assert [judged.pair for judged in latest] == [pairs[3], pairs[2], pairs[1]]
    assert [(judged.rating.flagged, judged.rating.unblinded) for judged in latest] == [
        (False, False),
        (False, True),
        (True, False),
    ]
    assert [judged.pair for judged in judge.history(3, before=pairs[1].id)] == [pairs[0]]
    judge.rate(pairs[0].id, make_rating("tie"))
    assert [judged.pair.id for judged in judge.history(1)] == [pairs[0].id]
    assert judge.judged(pairs[0].id).rating == make_rating("tie")
    with pytest.raises(ReviewError, match="not judged pair"):
        judge.judged(pairs[5].id)
    log = [
        row["action"]
        for row in store.database.query(
            "SELECT action FROM verdict_log WHERE reviewer = 'amina' ORDER BY id"
        )
    ]
    assert log == ["rated"] * 4 + ["changed"]


def test_a_verdict_of_one_who_knows_is_kept_but_not_counted(store: ReviewStore) -> None:
    judge = Judge(store, "r", "amina")
    first, second, *_ = judge.next_pairs(6)
    judge.rate(first.id, make_rating("a"))
    judge.rate(second.id, make_rating("a", unblinded=True))
    report = report_review(store, "r")
    assert (report.ratings, report.left_out) == (1, 1)
    assert "1 rating is left out: their reviewers knew" in report_text(report)
    assert judge.progress() == (2, 6)
    assert '"knew": 1' in export_review(store, "r", "jsonl")


def test_a_database_of_the_first_version_is_taken_along(tmp_path: Path) -> None:
    older = Database(tmp_path / "fuata.db")
    engine_tables.apply(older)
    review_tables.apply(older, stop_before="m002_marks")
    assert "knew" not in older.table("verdicts").columns_dict
    write_first_verdicts(older)
    older.close()
    workspace = Workspace(tmp_path)
    ReviewStore(workspace)
    for table in ("verdicts", "verdict_log"):
        rows = workspace.database.query(
            f"SELECT verdict, a_tags, b_tags, a_stars, flagged, unblinded FROM {table} ORDER BY id"
        )
        assert [(row["verdict"], row["a_tags"], row["b_tags"]) for row in rows] == [
            ("a", "[]", '["repeats"]'),
            ("b", '["repeats"]', "[]"),
            ("both_bad", '["repeats"]', '["repeats"]'),
        ]
        assert all(
            (row["a_stars"], row["flagged"], row["unblinded"]) == (None, 0, 0) for row in rows
        )
    judge = Judge(ReviewStore(workspace), "r", "amina")
    assert judge.progress() == (3, 3)
    assert [judge.undo().id for _ in range(3)] == [3, 2, 1]
    workspace.close()


def write_first_verdicts(older: Database) -> None:
    """Write three verdicts as the first version did, each with a tag."""
    dataset = {
        "content_hash": "0",
        "name": "f",
        "path": "f",
        "format": "x",
        "row_count": 3,
        "usable": 3,
        "used_at": "t",
    }
    older.table("datasets").insert(dataset)
    texts = dict.fromkeys(
        ("state", "split", "split_settings", "sampling", "versions", "side_seed", "created_at"),
        "{}",
    )
    older.table("reviews").insert(
        {"id": 1, "name": "r", "content_hash": "0", **texts, "state": "ready"}
    )
    for number, name in enumerate(("base", "tuned"), start=1):
        older.table("contenders").insert(
            {
                "id": number,
                "review_id": 1,
                "position": number,
                "name": name,
                "kind": "model",
                "facts": "{}",
            }
        )
    for number, verdict in enumerate(("a", "b", "both_bad"), start=1):
        prompt = {
            "id": number,
            "review_id": 1,
            "data_row": number,
            "turns": "[]",
            "prompt": "p",
            "expected": "e",
        }
        older.table("prompts").insert(prompt)
        responses = (2 * number - 1, 2 * number)
        for contender, response in enumerate(responses, start=1):
            older.table("responses").insert(
                {
                    "id": response,
                    "contender_id": contender,
                    "prompt_id": number,
                    "asked": "",
                    "text": "t",
                    "tokens": 1,
                    "finish_reason": "end",
                    "created_at": "t",
                }
            )
        older.table("pairs").insert(
            {
                "id": number,
                "review_id": 1,
                "prompt_id": number,
                "first_response_id": responses[0],
                "second_response_id": responses[1],
            }
        )
        said = {
            "pair_id": number,
            "reviewer": "amina",
            "verdict": verdict,
            "tags": '["repeats"]',
            "comment": "",
            "correction": "",
        }
        shown = {
            "a_response_id": responses[0],
            "b_response_id": responses[1],
            "rated_at": f"2026-01-0{number}",
        }
        older.table("verdicts").insert({**said, **shown})
        older.table("verdict_log").insert({**said, "action": "rated", "at": f"2026-01-0{number}"})


def test_passed_over_pairs_come_last(store: ReviewStore) -> None:
    judge = Judge(store, "r", "amina")
    first = judge.next_pairs(1)[0].id
    order = [pair.id for pair in judge.next_pairs(6, {first})]
    assert order[-1] == first and len(order) == 6


def test_reviewers_do_not_see_each_others_verdicts(store: ReviewStore) -> None:
    rate_all(store, "amina", "tuned")
    assert Judge(store, "r", "juma").progress() == (0, 6)


def test_many_reviewers_at_once_lose_and_double_nothing(store: ReviewStore) -> None:
    from concurrent.futures import ThreadPoolExecutor

    people = [f"person {number}" for number in range(12)]
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda person: rate_all(store, person, "tuned"), people))
    rows = store.database.query(
        "SELECT reviewer, count(*) AS n, count(DISTINCT pair_id) AS pairs FROM verdicts GROUP BY "
        "reviewer"
    )
    assert sorted((row["reviewer"], row["n"], row["pairs"]) for row in rows) == sorted(
        (person, 6, 6) for person in people
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("c",), "verdict must be one of"),
        ((None,), "verdict must be one of"),
        (("a", 5), "must be text"),
        (("a", "x" * 100_001), "at most"),
    ],
)
def test_a_rating_from_outside_is_checked(arguments: tuple[object, ...], sentence: str) -> None:
    with pytest.raises(ReviewError, match=sentence):
        make_rating(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("remarks", "sentence"),
    [
        ({"tags": ["nice"]}, "no tag 'nice'"),
        ({"tags": "unsafe"}, "Tags must be a list"),
        ({"stars": 6}, "from 1 to 5"),
        ({"stars": True}, "from 1 to 5"),
        ("5 stars", "its stars and its tags"),
    ],
)
def test_what_is_said_of_one_response_is_checked(remarks: object, sentence: str) -> None:
    with pytest.raises(ReviewError, match=sentence):
        make_rating("a", b=remarks)


def test_wrong_names_get_one_sentence(
    store: ReviewStore, workspace: Workspace, small_file: Path
) -> None:
    with pytest.raises(ReviewError, match="no review 'other'"):
        Judge(store, "other", "amina")
    with pytest.raises(ReviewError, match="needs a name"):
        Judge(store, "r", "   ")
    with pytest.raises(ReviewError, match="has no pair 99"):
        Judge(store, "r", "amina").rate(99, make_rating("a"))
    with pytest.raises(ReviewError, match="already"):
        make_review(workspace, small_file, ("base", "tuned"))
    plan = ReviewPlan(
        "../x", "0", "test", SplitSettings(), Sampling(), (Entrant("a"), Entrant("b")), ()
    )
    with pytest.raises(WorkspaceError, match="cannot be a name"):
        store.create(plan, {})


def test_three_contenders_meet_in_every_pairing(workspace: Workspace, small_file: Path) -> None:
    store = make_review(workspace, small_file, ("base", "tuned", "other"))
    report = report_review(store, "r")
    assert report.pairs == 18
    assert [(match.contender, match.against) for match in report.matches] == [
        ("base", "tuned"),
        ("base", "other"),
        ("tuned", "other"),
    ]
