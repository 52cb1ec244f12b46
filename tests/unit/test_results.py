"""What a report says of a review, against hand-counted cases."""

from pathlib import Path

import pytest
from scipy.stats import t as student_t

from core.storage.workspace import Workspace
from review.domain.rating import make_rating
from review.judging.judge import Judge
from review.results.report import report_review
from review.results.text import (
    agreement_sentence,
    length_sentence,
    match_sentence,
    report_object,
    report_text,
    side_sentence,
)
from review.store.reviews import ReviewStore
from review.store.verdicts import Filters
from tests.reviews import make_empty, make_review, rate_all, side_of


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
