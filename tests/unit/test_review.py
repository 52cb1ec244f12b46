"""Verdicts, statistics and exports against independent figures and hand-counted cases."""

import csv
import io
import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import betaln
from scipy.stats import binomtest
from scipy.stats import t as student_t
from sqlite_utils import Database

from core.datasets.splits import SplitSettings
from core.errors import ReviewError, WorkspaceError
from core.generation.sampling import Sampling
from core.storage.migrations import engine_tables
from core.storage.workspace import Workspace
from review.domain.contender import Entrant
from review.domain.plan import ReviewPlan
from review.domain.rating import make_rating
from review.exchange.export import FORMATS, export_review
from review.judging.judge import Judge
from review.judging.self_identification import named_model
from review.results.report import report_review
from review.results.stars_and_tags import Stars, mean_stars
from review.results.text import (
    agreement_sentence,
    length_sentence,
    match_sentence,
    report_object,
    report_text,
    side_sentence,
)
from review.statistics.intervals import (
    can_be_settled,
    evidence,
    prompts_still_needed,
    sign_test,
    wilson_interval,
)
from review.store.migrations import review_tables
from review.store.reviews import ReviewStore
from review.store.verdicts import Filters
from tests.reviews import write_review
from ui.review.markdown import render


@pytest.fixture
def store(workspace: Workspace, small_file: Path) -> ReviewStore:
    return make_review(workspace, small_file, ("base", "tuned"))


def make_review(
    workspace: Workspace, file: Path, contenders: tuple[str, ...], rows: int = 6
) -> ReviewStore:
    return write_review(
        workspace, file, {name: f"{name} says {{prompt}}" for name in contenders}, rows
    )


def side_of(text: str, a: str) -> str:
    return "a" if a.startswith(text) else "b"


def rate_all(store: ReviewStore, reviewer: str, winner: str) -> None:
    judge = Judge(store, "r", reviewer)
    while pairs := judge.next_pairs(1):
        verdict = winner if winner in {"tie", "both_bad"} else side_of(winner, pairs[0].a)
        judge.rate(pairs[0].id, make_rating(verdict))


@given(st.integers(0, 200), st.integers(0, 200))
def test_wilson_equals_scipys(wins: int, losses: int) -> None:
    if wins + losses == 0:
        assert wilson_interval(0, 0) == (0.0, 1.0)
        return
    expected = binomtest(wins, wins + losses).proportion_ci(method="wilson")
    assert wilson_interval(wins, wins + losses) == pytest.approx(
        (expected.low, expected.high), abs=1e-9
    )


def test_wilson_equals_the_published_example() -> None:
    low, high = wilson_interval(60, 100)
    assert (round(low, 3), round(high, 3)) == (0.502, 0.691)


@given(st.integers(0, 60), st.integers(0, 60))
def test_the_sign_test_equals_scipys(wins: int, losses: int) -> None:
    if wins + losses:
        assert sign_test(wins, losses) == pytest.approx(binomtest(wins, wins + losses).pvalue)


@given(st.integers(0, 300), st.integers(0, 300))
def test_evidence_equals_the_closed_form(wins: int, losses: int) -> None:
    import math

    expected = math.exp(float(betaln(wins + 1, losses + 1)) + (wins + losses) * math.log(2))
    assert evidence(wins, losses) == pytest.approx(expected, rel=1e-6)


def test_looking_after_every_vote_gives_false_alarms_in_at_most_five_percent() -> None:
    rng = random.Random(1)
    alarms = 0
    for _ in range(1000):
        wins = losses = 0
        for _ in range(300):
            wins, losses = (wins + 1, losses) if rng.random() < 0.5 else (wins, losses + 1)
            if evidence(wins, losses) >= 20:
                alarms += 1
                break
    assert alarms <= 50


def test_prompts_still_needed_are_told_only_where_somebody_is_ahead() -> None:
    assert prompts_still_needed(20, 2, 0) == (0, 0)
    assert prompts_still_needed(0, 0, 5) is None
    # who is better is open, and so is how long it takes to see it
    assert prompts_still_needed(11, 9, 0) is None
    needed = prompts_still_needed(15, 5, 0)
    assert needed is not None and 0 < needed[0] < needed[1]
    # every second prompt ends undecided
    assert prompts_still_needed(15, 5, 20) == (2 * needed[0], 2 * needed[1])
    assert can_be_settled(8, 2, 6) and not can_be_settled(8, 2, 4)


def test_a_report_counts_by_hand(store: ReviewStore) -> None:
    judge = Judge(store, "r", "amina")
    pairs = {pair.id: pair for pair in judge.next_pairs(6)}
    verdicts = ["base", "tuned", "tuned", "tuned", "tie", "both_bad"]
    for pair, wanted in zip(pairs.values(), verdicts, strict=True):
        judge.rate(
            pair.id,
            make_rating(
                wanted if wanted in {"tie", "both_bad"} else side_of(wanted, pair.a),
                a={"tags": ["wrong fact"]},
            ),
        )
    report = report_object(report_review(store, "r"))
    assert (
        report["wins"],
        report["losses"],
        report["ties"],
        report["both_bad"],
        report["ratings"],
    ) == (1, 3, 1, 1, 6)
    assert report["win_rate"] == 0.25
    assert report["score"] == pytest.approx((1 + 1) / 6)
    assert report["interval"] == pytest.approx([0.0456, 0.6994], abs=1e-3)
    assert sum(said["tags"].get("wrong fact", 0) for said in report["said"]) == 6
    assert report["reviewers"] == {"amina": 6}


def test_the_sentence_says_enough_only_when_it_is(workspace: Workspace, small_file: Path) -> None:
    store = make_review(workspace, small_file, ("base", "tuned"), rows=12)
    rate_all(store, "a", "tuned")
    assert (
        match_sentence(report_review(store, "r").matches[0])
        == "Enough evidence: tuned is better than base."
    )
    assert "No verdict" in match_sentence(report_review(make_empty(store), "r").matches[0])


def test_several_verdicts_on_one_prompt_are_no_further_evidence(store: ReviewStore) -> None:
    rate_all(store, "a", "tuned")
    alone = report_review(store, "r").matches[0]
    for person in ("b", "c", "d"):
        rate_all(store, person, "tuned")
    together = report_review(store, "r").matches[0]
    assert together.evidence == alone.evidence
    assert (alone.has_repeated_prompts, together.has_repeated_prompts) == (False, True)

    # all agree: four verdicts on a prompt tell no more than one
    assert together.interval == pytest.approx(alone.interval, abs=0.05)


def make_empty(store: ReviewStore) -> ReviewStore:
    with store.database.transaction() as tables:
        tables.execute("DELETE FROM verdicts")
    return store


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


def test_stars_and_tags_belong_to_the_contender_whichever_side_it_was_on(
    workspace: Workspace, small_file: Path
) -> None:
    store = make_review(workspace, small_file, ("base", "tuned"), rows=12)
    judge = Judge(store, "r", "amina")
    for number, pair in enumerate(judge.next_pairs(12)):
        said = {"base": {"stars": 2, "tags": ["wrong fact"]}, "tuned": {"stars": 4 + number % 2}}
        names = [name.split()[0] for name in (pair.a, pair.b)]
        judge.rate(
            pair.id, make_rating(side_of("tuned", pair.a), a=said[names[0]], b=said[names[1]])
        )
    base, tuned = report_review(store, "r").said
    assert base.tags == {"wrong fact": 12} and tuned.tags == {}
    assert (
        base.stars is not None
        and tuned.stars is not None
        and base.stars.interval
        and tuned.stars.interval
    )
    # by hand: twelve deviations of a half, and one prompt more with a verdict shared among all five
    # numbers of stars
    variance = (
        12 / 11 * (12 * 0.5**2 + sum((stars - 4.5) ** 2 for stars in range(1, 6)) / 5) / 12**2
    )
    half = float(student_t.ppf(0.975, 11)) * variance**0.5
    assert (tuned.stars.mean, 4.5 - tuned.stars.interval[0]) == pytest.approx((4.5, half))
    # twelve times the same is no certainty
    assert base.stars.mean == 2 and 0.2 < base.stars.interval[1] - 2 < 0.5
    low, high = base.stars.interval
    assert f"base: 2.0 of 5 stars ({low:.1f} to {high:.1f}) in 12; wrong fact 12" in report_text(
        report_review(store, "r")
    )


def test_the_interval_of_stars_is_that_of_a_clustered_mean_where_they_differ_much() -> None:
    stars = [(prompt, 1 + prompt * 7 % 5) for prompt in range(200)]
    found = mean_stars(stars)
    assert found is not None and found.interval is not None
    deviation = sum((given - found.mean) ** 2 for _, given in stars)
    assert found.interval[1] - found.mean == pytest.approx(
        float(student_t.ppf(0.975, 199)) * (200 / 199 * deviation) ** 0.5 / 200, rel=0.01
    )
    sure = mean_stars([(prompt, 5) for prompt in range(200)])
    assert (
        sure is not None
        and sure.interval is not None
        and sure.interval[1] == 5
        and 4.9 < sure.interval[0] < 5
    )


def test_stars_on_the_same_prompts_are_no_new_prompts() -> None:
    once = [(prompt, 3 + prompt % 3) for prompt in range(30)]
    alone, thrice = mean_stars(once), mean_stars(once * 3)
    assert (
        alone is not None
        and thrice is not None
        and thrice.interval == pytest.approx(alone.interval)
    )
    assert mean_stars(once[:9]) == Stars(9, 4.0, None) and mean_stars([]) is None


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


def exported(store: ReviewStore, form: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in export_review(store, "r", form).splitlines()]


def test_a_table_guards_against_spreadsheet_formulas(store: ReviewStore) -> None:
    judge = Judge(store, "r", "=cmd")
    pair = judge.next_pairs(1)[0]
    judge.rate(
        pair.id,
        make_rating("a", "=HYPERLINK(1)", "+1", b={"tags": ["repeats", "wrong fact"], "stars": 1}),
    )
    row = next(csv.DictReader(io.StringIO(export_review(store, "r", "csv"))))
    assert (row["reviewer"], row["comment"], row["correction"]) == (
        "'=cmd",
        "'=HYPERLINK(1)",
        "'+1",
    )
    assert (row["tags_a"], row["tags_b"], row["stars_b"]) == ("", "wrong fact, repeats", "1")
    assert row["winner"] == pair.a.split()[0]


def test_training_rows_follow_the_verdicts(store: ReviewStore) -> None:
    judge = Judge(store, "r", "amina")
    pairs = judge.next_pairs(4)
    for pair, verdict, correction in zip(
        pairs, ["a", "b", "tie", "both_bad"], ["", "", "", "Better."], strict=True
    ):
        judge.rate(pair.id, make_rating(verdict, correction=correction))
    dpo, kto, sft = (exported(store, form) for form in ("dpo", "kto", "sft"))
    assert [row["chosen"][0]["content"] for row in dpo] == [
        pairs[0].a,
        pairs[1].b,
        "Better.",
        "Better.",
    ]  # type: ignore[index]
    assert [row["rejected"][0]["content"] for row in dpo] == [
        pairs[0].b,
        pairs[1].a,
        pairs[3].a,
        pairs[3].b,
    ]  # type: ignore[index]
    assert [row["label"] for row in kto] == [True, False, True, False, False, False]
    assert sft == [
        {
            "messages": [
                {"role": "user", "content": pairs[3].prompt},
                {"role": "assistant", "content": "Better."},
            ]
        }
    ]
    assert all(set(row) == {"prompt", "chosen", "rejected"} for row in dpo)
    assert all(set(row) == {"prompt", "completion", "label"} for row in kto)
    assert len(exported(store, "jsonl")) == 4
    with pytest.raises(ReviewError, match="no format 'xml'"):
        export_review(store, "r", "xml")
    assert FORMATS == ("csv", "jsonl", "sft", "dpo", "kto")


def test_three_contenders_are_ranked_and_reviewers_compared(
    workspace: Workspace, small_file: Path
) -> None:
    store = make_review(workspace, small_file, ("base", "middle", "tuned"), rows=10)
    order = ["base", "middle", "tuned"]
    for person in ("amina", "juma"):
        judge = Judge(store, "r", person)
        while pairs := judge.next_pairs(1):
            [better, worse] = sorted(
                order, key=lambda name: f"{name} says" not in f"{pairs[0].a} {pairs[0].b}"
            )[:2]
            stronger, weaker = sorted((better, worse), key=order.index, reverse=True)
            judge.rate(
                pairs[0].id,
                make_rating(
                    side_of(weaker if pairs[0].row % 5 == len(person) % 4 else stronger, pairs[0].a)
                ),
            )
    report = report_review(store, "r")
    assert report.ranking is not None and report.ratings == 60
    assert [standing.name for standing in report.ranking.standings] == ["tuned", "middle", "base"]
    assert report.agreement.pairs == 30 and report.agreement.alpha is not None
    [(one, other, both, kappa)] = report.agreement.kappas
    assert {one, other} == {"amina", "juma"} and both == 30 and kappa is not None
    assert "30 pairs judged by more than one person" in agreement_sentence(report.agreement)
    for person in report.reviewers:
        assert person.chose_a + person.chose_b == 30
        assert side_sentence(person).startswith(f"{person.name}: 30 ratings, A in ")
    words = report_text(report)
    assert "tuned: 1" in words and "rank 1–" in words
    assert set(report_object(report)["sides"]) == {"amina", "juma"}
    alone = report_review(store, "r", Filters(reviewer="amina"))
    assert alone.ratings == 30 and alone.agreement.pairs == 0
    assert report_review(store, "r", Filters(tag="wrong fact")).ratings == 0


def test_a_reviewer_who_always_takes_one_side_is_told_of(store: ReviewStore) -> None:
    judge = Judge(store, "r", "amina")
    for pair in judge.next_pairs(6):
        judge.rate(pair.id, make_rating("a"))
    [person] = report_review(store, "r").reviewers
    assert "A in 100% of 6 decided, more one-sided than chance (p 0.031)" in side_sentence(person)


def test_length_is_spoken_of_only_where_verdicts_tell(
    workspace: Workspace, small_file: Path
) -> None:
    store = make_review(workspace, small_file, ("base", "tuned"), rows=34)
    assert length_sentence(report_review(store, "r").matches[0]) == ""
    with store.database.transaction() as tables:
        tables.execute(
            "UPDATE responses SET text = text || substr('so much more to say of it all', 1, id "
            "% 29)"
        )
    judge = Judge(store, "r", "amina")
    for pair in judge.next_pairs(34):
        longer = "a" if len(pair.a) > len(pair.b) else "b"
        judge.rate(
            pair.id, make_rating({"a": "b", "b": "a"}[longer] if pair.row % 9 == 0 else longer)
        )
    sentence = length_sentence(report_review(store, "r").matches[0])
    assert (
        "If both answers were equally long, base would win" in sentence
        and "the longer answer is preferred" in sentence
    )


def test_where_the_shorter_always_wins_nothing_is_claimed_of_equal_lengths(
    workspace: Workspace, small_file: Path
) -> None:
    store = make_review(workspace, small_file, ("base", "tuned"), rows=20)
    with store.database.transaction() as tables:
        tables.execute(
            """UPDATE responses SET text = text || substr('and so on and on and on', 1, 5 + id % 17)
               WHERE contender_id = (SELECT id FROM contenders WHERE name = 'base')"""
        )
    rate_all(store, "amina", "tuned")
    assert length_sentence(report_review(store, "r").matches[0]) in {
        ("What the win rate would be if both answers were equally long these verdicts cannot "
        "tell."), "",
    }  # fmt: skip


def test_three_contenders_meet_in_every_pairing(workspace: Workspace, small_file: Path) -> None:
    store = make_review(workspace, small_file, ("base", "tuned", "other"))
    report = report_review(store, "r")
    assert report.pairs == 18
    assert [(match.contender, match.against) for match in report.matches] == [
        ("base", "tuned"),
        ("base", "other"),
        ("tuned", "other"),
    ]
