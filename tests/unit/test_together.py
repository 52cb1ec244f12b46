"""Several people, one review: unrated pairs first, what tells most, second looks, disagreements
settled.
"""

import json
import random
from collections import Counter
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from core.errors import ReviewError
from core.storage.workspace import Workspace
from review.domain.rating import make_rating
from review.exchange.export import export_review
from review.judging.judge import Judge
from review.results.drilldown import disputed_pairs
from review.results.report import report_review
from review.results.text import disputes_sentence, report_text, side_sentence
from review.statistics.active_sampling import expected_gains
from review.store.reviews import ReviewStore
from review.store.verdicts import Filters, read_votes
from tests.reviews import write_review
from ui.results.views import pairs_markup

TEXTS = {"base": "base", "tuned": "tuned"}


def side_of(name: str, a: str) -> str:
    return "a" if a == name else "b"


def with_repeats(store: ReviewStore, percent: float) -> ReviewStore:
    with store.database.transaction() as tables:
        tables.execute("UPDATE reviews SET repeats = ?", [percent])
    return store


def test_what_nobody_has_judged_comes_first(workspace: Workspace, small_file: Path) -> None:
    store = write_review(workspace, small_file, TEXTS, 20)
    amina, juma = Judge(store, "r", "amina"), Judge(store, "r", "juma")
    first = [pair.id for pair in amina.next_pairs(12)]
    for pair in first:
        amina.rate(pair, make_rating("a"))
    order = []
    while pairs := juma.next_pairs(1):
        juma.rate(pairs[0].id, make_rating("b"))
        order.append(pairs[0].id)
    assert set(order[:8]).isdisjoint(first) and set(order[8:]) == set(first)
    rest = []
    while pairs := amina.next_pairs(3):
        amina.rate(pairs[0].id, make_rating("a"))
        rest.append(pairs[0].id)
    assert sorted(rest + first) == sorted(order)


def test_gains_are_those_of_the_formula() -> None:
    tallies = {(1, 2): (8.0, 10), (2, 3): (5.0, 10), (1, 3): (0.0, 0)}
    gains = expected_gains(tallies)
    theta = np.zeros(3)  # by gradient ascent, slowly, instead of Newton's steps
    design = np.array([[1.0, -1, 0], [0, 1, -1], [1, 0, -1]])
    for _ in range(20_000):
        rng = 1 / (1 + np.exp(-design @ theta))
        theta += 0.02 * (
            design.T @ (np.array([8.0, 5, 0]) - np.array([10.0, 10, 0]) * rng) - 0.25 * theta
        )
    rng = 1 / (1 + np.exp(-design @ theta))
    information = design.T @ np.diag(
        np.array([10.0, 10, 0]) * rng * (1 - rng)
    ) @ design + 0.25 * np.eye(3)
    expected = rng * (1 - rng) * np.diag(design @ np.linalg.inv(information) @ design.T)
    assert [gains[meeting] for meeting in tallies] == pytest.approx(list(expected), rel=1e-6)
    assert max(gains, key=lambda meeting: gains[meeting]) == (1, 3)  # they have not met


def test_between_several_what_tells_most_is_asked_but_for_a_share_left_to_chance(
    workspace: Workspace, small_file: Path
) -> None:
    store = write_review(
        workspace, small_file, {name: name for name in ("weak", "good", "fair")}, 40
    )
    with store.database.transaction() as tables:  # the same chance every time
        tables.execute("UPDATE reviews SET side_seed = '7'")
        tables.execute(
            "UPDATE pairs SET shuffle_key = (id * 0.6180339887) - CAST(id * 0.6180339887 AS "
            "INTEGER)"
        )
    names = {contender.name: contender.id for contender in store.contenders(1)}
    meetings = [tuple(sorted((names[one], names[other]))) for one, other in combinations(names, 2)]
    judge, rng, met, told_most = (
        Judge(store, "r", "amina"),
        random.Random(1),
        Counter[tuple[int, ...]](),
        0,
    )
    for _ in range(60):
        tallies: dict[tuple[int, ...], tuple[float, int]] = dict.fromkeys(meetings, (0.0, 0))
        for vote in read_votes(store, 1):
            first, second = sorted((vote.a, vote.b), key=lambda name: names[name])
            score, count = tallies[names[first], names[second]]
            tallies[names[first], names[second]] = (score + vote.score(first), count + 1)
        gains = expected_gains(tallies)  # type: ignore[arg-type]
        [pair] = judge.next_pairs(1)
        meeting = tuple(sorted((names[pair.a], names[pair.b])))
        met[meeting] += 1
        told_most += gains[meeting] == pytest.approx(max(gains.values()))  # type: ignore[index]
        verdict = side_of("weak", pair.b) if "weak" in {pair.a, pair.b} else rng.choice("ab")
        judge.rate(pair.id, make_rating(verdict))
    assert 38 <= told_most < 60  # three of four, and of the rest a third by chance
    assert min(met.values()) >= 3 and len(met) == 3
    tallies = store.database.query(
        "SELECT sum(verdicts) AS n, sum(score) AS score FROM matchup_counts"
    )
    assert tallies[0]["n"] == 60
    for _ in range(60):
        judge.undo()
    assert all(
        row["verdicts"] == 0 and row["score"] == 0
        for row in store.database.query("SELECT * FROM matchup_counts")
    )


def test_what_others_have_judged_is_chosen_by_what_tells_most_too(
    workspace: Workspace, small_file: Path
) -> None:
    """After everything is judged once, and two of three meetings twice, the third is asked about."""
    store = write_review(
        workspace, small_file, {"base": "base", "tuned": "tuned", "other": "other"}, 40
    )
    first, again = Judge(store, "r", "amina"), Judge(store, "r", "neema")
    rng = random.Random(1)
    while pairs := first.next_pairs(1):
        [pair] = pairs
        first.rate(pair.id, make_rating(rng.choice(("a", "b"))))
        if "base" in {pair.a, pair.b}:
            again.rate(pair.id, make_rating(rng.choice(("a", "b"))))
    second, seen = Judge(store, "r", "juma"), list[int]()
    met: Counter[frozenset[str]] = Counter()
    while pairs := second.next_pairs(2):
        pair = pairs[len(seen) % len(pairs)]  # not always in the order they came
        if len(seen) < 40:
            met[frozenset((pair.a, pair.b))] += 1
        second.rate(pair.id, make_rating(rng.choice(("a", "b"))))
        seen.append(pair.id)
    assert met[frozenset(("tuned", "other"))] > 20
    assert len(seen) == len(set(seen)) == 120 == second.progress()[0]


def test_a_share_of_pairs_is_shown_twice_with_the_sides_exchanged(
    workspace: Workspace, small_file: Path
) -> None:
    store = with_repeats(write_review(workspace, small_file, TEXTS, 40), 20)
    judge, again, known = Judge(store, "r", "amina"), [], {}
    while pairs := judge.next_pairs(1, repeats=True):
        for pair in pairs:
            if pair.again:
                first = known[pair.id]
                assert (pair.a, pair.b) == (first.b, first.a)
                judge.rate_again(
                    pair.id, make_rating("a" if len(again) % 2 else side_of("tuned", pair.a))
                )
                again.append(pair)
            else:
                known[pair.id] = pair
                judge.rate(pair.id, make_rating(side_of("tuned", pair.a)))
        if len(known) == 40:
            break
    assert len({pair.id for pair in again}) == len(again) and 7 <= len(again) <= 8
    report = report_review(store, "r")
    # what was said again is not counted
    assert report.ratings == 40 and report.matches[0].losses == 40
    [person] = report.reviewers
    by_side = [pair for number, pair in enumerate(again) if number % 2]
    assert person.looked_again == len(again)
    assert person.said_the_same == len(again) - sum(pair.a != "tuned" for pair in by_side)
    assert person.took_the_side == sum(pair.a != "tuned" for pair in by_side)
    assert (
        f"of {len(again)} pairs seen again with the sides exchanged, the same verdict on"
        in side_sentence(person)
    )
    assert judge.progress() == (40, 40)


def test_a_second_look_is_taken_back_first_and_never_asked_for_by_the_command_line(
    workspace: Workspace, small_file: Path
) -> None:
    store = with_repeats(write_review(workspace, small_file, TEXTS, 20), 50)
    judge = Judge(store, "r", "amina")
    for pair in judge.next_pairs(12):
        judge.rate(pair.id, make_rating("tie"))
    *_, again = judge.next_pairs(2, repeats=True)
    assert again.again and not any(pair.again for pair in judge.next_pairs(2))
    assert all(pair.id != again.id for pair in judge.next_pairs(2, shown=[again.id], repeats=True))
    judge.rate_again(again.id, make_rating("tie"))
    assert report_review(store, "r").reviewers[0].said_the_same == 1
    undone = judge.undo()
    assert (undone.id, undone.again, judge.progress()[0]) == (again.id, True, 12)
    assert not judge.undo().again and judge.progress()[0] == 11
    with pytest.raises(ReviewError, match="not judged pair"):
        judge.rate_again(judge.next_pairs(1)[0].id, make_rating("a"))


def test_disagreements_are_settled_by_a_third_and_nothing_is_erased(
    workspace: Workspace, small_file: Path
) -> None:
    store = write_review(workspace, small_file, TEXTS, 10)
    judges = {person: Judge(store, "r", person) for person in ("amina", "juma")}
    for number, pair in enumerate(judges["amina"].next_pairs(10)):
        judges["amina"].rate(pair.id, make_rating(side_of("tuned", pair.a)))
        other = judges["juma"].pair(pair.id)
        judges["juma"].rate(
            pair.id, make_rating(side_of("base" if number < 3 else "tuned", other.a))
        )
    report = report_review(store, "r")
    assert (report.disputed, report.settled, report.ratings) == (3, 0, 20)
    assert "On 3 pairs reviewers differ" in report_text(report)
    assert [len(pair.said) for pair in disputed_pairs(store, "r").pairs] == [2, 2, 2]
    assert "data-disputed" in pairs_markup(report)
    assert Judge(store, "r", "amina", adjudicates=True).next_pairs(5) == []  # not by one of the two
    third = Judge(store, "r", "neema", adjudicates=True)
    assert third.progress() == (0, 3)
    pairs = third.next_pairs(5)
    assert len(pairs) == 3 and third.next_pairs(1, passed_over=[pairs[0].id])[0] != pairs[0]
    for pair in pairs[:2]:
        third.rate(pair.id, make_rating(side_of("tuned", pair.a)))
    assert third.progress() == (2, 3)
    report = report_review(store, "r")
    assert (report.disputed, report.settled, report.ratings) == (1, 2, 22)
    match = report.matches[0]
    # of base: the disagreement left, 14 agreed, and 2 settled count once
    assert (match.wins, match.losses) == (1, 2 + 15)
    assert report.agreement.pairs == 10  # of the first two alone
    assert "2 pairs were settled by a later verdict" in disputes_sentence(report)
    of_one = report_review(store, "r", Filters(reviewer="amina"))
    assert (of_one.disputed, of_one.settled) == (1, 2)  # as in the list, which knows no filters
    listed = disputed_pairs(store, "r").pairs
    # what is open first; nothing of what was said is gone
    assert [len(pair.said) for pair in listed] == [2, 3, 3]
    assert {name for name, _, _ in listed[0].said} == {"amina", "juma"}
    assert ("neema", "tuned better (settles it)", "") in listed[1].said
    assert third.undo().id == pairs[1].id
    assert report_review(store, "r").disputed == 2
    # thinks again
    judges["juma"].rate(
        pairs[2].id, make_rating(side_of("tuned", judges["juma"].pair(pairs[2].id).a))
    )
    assert report_review(store, "r").disputed == 1
    assert disputes_sentence(replace(report, disputed=0, settled=0)) == ""
    assert "data-disputed" not in pairs_markup(replace(report, disputed=0, settled=0))


def test_ones_own_verdict_or_an_undisputed_pair_is_settled_by_nobody(
    workspace: Workspace, small_file: Path
) -> None:
    store = write_review(workspace, small_file, TEXTS, 4)
    for person, verdict in (("amina", "a"), ("juma", "tie"), ("neema", "both_bad")):
        Judge(store, "r", person).rate(1, make_rating(verdict))
    Judge(store, "r", "amina").rate(2, make_rating("a"))
    own = Judge(store, "r", "neema", adjudicates=True)
    own.rate(1, make_rating("tie"))  # reopened: still a verdict like the others
    own.rate(2, make_rating("b"))  # nobody differs there
    assert store.database.query("SELECT * FROM verdicts WHERE adjudicates = 1") == []
    assert own.history(5) == []
    with pytest.raises(ReviewError, match="nothing to undo"):
        own.undo()
    third = Judge(store, "r", "asha", adjudicates=True)
    third.rate(1, make_rating("a"))
    # changed on the usual way, it settles all the same
    Judge(store, "r", "asha").rate(1, make_rating("b"))
    assert report_review(store, "r").settled == 1


def test_training_rows_leave_out_what_was_outvoted_or_not_blind(
    workspace: Workspace, small_file: Path
) -> None:
    store = write_review(workspace, small_file, TEXTS, 4)
    amina, juma, neema = (Judge(store, "r", name) for name in ("amina", "juma", "neema"))
    amina.rate(1, make_rating(side_of("base", amina.pair(1).a)))
    juma.rate(1, make_rating(side_of("tuned", juma.pair(1).a)))
    amina.rate(2, make_rating("a", unblinded=True))
    settling = Judge(store, "r", "neema", adjudicates=True)
    settling.rate(1, make_rating(side_of("tuned", neema.pair(1).a)))
    rows = [json.loads(line) for line in export_review(store, "r", "dpo").splitlines()]
    assert [(row["chosen"][0]["content"], row["rejected"][0]["content"]) for row in rows] == [
        ("tuned", "base")
    ]
    assert len(export_review(store, "r", "jsonl").splitlines()) == 4


def test_what_is_said_of_a_pair_seen_again_is_kept(workspace: Workspace, small_file: Path) -> None:
    store = with_repeats(write_review(workspace, small_file, TEXTS, 20), 50)
    judge = Judge(store, "r", "amina")
    for pair in judge.next_pairs(12):
        judge.rate(pair.id, make_rating("tie"))
    *_, again = judge.next_pairs(1, repeats=True)
    judge.rate_again(
        again.id, make_rating("a", "hm", a={"stars": 2, "tags": ["repeats"]}, flagged=True)
    )
    [row] = store.database.query(
        "SELECT verdict, comment, a_stars, a_tags, flagged FROM repeat_judgments"
    )
    assert row == {
        "verdict": "a",
        "comment": "hm",
        "a_stars": 2,
        "a_tags": '["repeats"]',
        "flagged": 1,
    }
    with pytest.raises(ReviewError, match="must be one of"):
        judge.rate_again(again.id, make_rating("pass"))


def test_people_are_told_of_by_how_much_they_judged_alone(
    workspace: Workspace, small_file: Path
) -> None:
    store = write_review(workspace, small_file, TEXTS, 10)
    for person, count in (("amina", 2), ("juma", 5)):
        judge = Judge(store, "r", person)
        for pair in judge.next_pairs(count):
            judge.rate(pair.id, make_rating("a"))
    people = store.people("r")
    assert people["people"] == [{"name": "juma", "judged": 5}, {"name": "amina", "judged": 2}]
    assert (people["pairs"], people["ratings"]) == (10, 7)
    assert store.reviewers("r") == ["amina", "juma"]


def test_a_pair_is_shown_again_only_after_five_others(
    workspace: Workspace, small_file: Path
) -> None:
    """Else the first verdict would just be remembered."""
    store = with_repeats(write_review(workspace, small_file, TEXTS, 20), 50)
    judge = Judge(store, "r", "amina")
    order: list[int] = []
    for _ in range(30):
        *_, pair = judge.next_pairs(1, repeats=True)
        judge.give(pair.id, make_rating("a"))
        order.append(pair.id)
    again = {pair: at for at, pair in enumerate(order) if pair in order[:at]}
    assert len(again) > 5
    first_time = [pair for at, pair in enumerate(order) if pair not in order[:at]]
    for pair, at in again.items():
        between = [one for one in order[order.index(pair) + 1 : at] if one in first_time]
        assert len(set(between)) >= 5, (pair, order)
