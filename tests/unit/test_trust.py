"""What a sceptical colleague would try: whose response is whose, whose rating is where, what a
report concludes, what it exports.
"""

import csv
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from core.datasets.dataset import load_dataset
from core.datasets.store import DatasetStore
from core.errors import ReviewError
from core.generation.openai_endpoint import Endpoint
from core.generation.sampling import Sampling
from core.storage.workspace import Workspace
from core.training.runs.store import RunStore
from core.training.settings import TrainingSettings
from review.domain.contender import Entrant
from review.domain.rating import make_rating
from review.exchange.export import export_review
from review.exchange.import_ratings import import_ratings
from review.judging.judge import Judge
from review.results.drilldown import disputed_pairs, drill_down
from review.results.report import report_review
from review.results.text import match_sentence, report_object
from review.setup.contamination import learnt_rows
from review.setup.generate_responses import RowChoice, plan_review
from review.setup.response_files import read_responses
from review.statistics.intervals import ENOUGH_EVIDENCE
from review.store.reviews import ReviewStore
from review.store.verdicts import Filters
from tests.reviews import write_review
from ui.review.judge.api import pair_object

TEXTS = {"base": "base says {prompt}", "tuned": "tuned says {prompt}"}


def rate(store: ReviewStore, person: str, row: int, winner: str, **said: Any) -> None:
    """Let a person judge the pair of a row for a contender, a tie or both bad."""
    judge = Judge(store, "r", person)
    pair = next(pair for pair in judge.next_pairs(99) if pair.row == row)
    side = "a" if pair.a.startswith(winner) else "b"
    judge.rate(pair.id, make_rating(winner if winner in {"tie", "both_bad"} else side, **said))


def test_the_expected_answer_is_not_shown_where_it_would_tell_whose_a_response_is(
    workspace: Workspace, small_file: Path
) -> None:
    store = write_review(
        workspace, small_file, {"mine": "mine says {prompt}", "expected": "unused"}, 4
    )
    with store.database.transaction() as tables:
        tables.execute("UPDATE contenders SET kind = 'expected' WHERE name = 'expected'")
        tables.execute(
            """UPDATE responses SET text = (SELECT expected FROM prompts WHERE id = prompt_id)
               WHERE contender_id = (SELECT id FROM contenders WHERE name = 'expected')"""
        )
    for pair in Judge(store, "r", "amina").next_pairs(4):
        assert pair_object(pair)["expected"] == ""
    plain = write_review(workspace, small_file, TEXTS, 3, "plain")
    assert all(pair.expected for pair in Judge(plain, "plain", "amina").next_pairs(3))
    # a model that says letter by letter what is expected
    with plain.database.transaction() as tables:
        tables.execute(
            """UPDATE responses SET text = ' ' || (SELECT expected FROM prompts WHERE id = prompt_id) || char(10)
               WHERE contender_id = (SELECT max(id) FROM contenders)"""
        )
    assert all(pair.expected == "" for pair in Judge(plain, "plain", "juma").next_pairs(3))


def test_what_one_has_not_judged_is_left_out_of_what_stands_behind_a_number(
    workspace: Workspace, small_file: Path
) -> None:
    store = write_review(workspace, small_file, TEXTS, 4)
    for row in (1, 2, 3, 4):
        rate(store, "amina", row, "tuned", comment="secret")
    rate(store, "juma", 1, "base")
    seen = drill_down(store, "r", ("base", "tuned"), asked_by="Juma")
    assert (seen.total, seen.hidden, [pair.row for pair in seen.pairs]) == (1, 3, [1])
    assert disputed_pairs(store, "r", "juma").hidden == 0
    # she judges nothing here
    assert drill_down(store, "r", ("base", "tuned"), asked_by="neema").total == 4
    assert drill_down(store, "r", ("base", "tuned")).total == 4


def exported(store: ReviewStore, tmp_path: Path, name: str = "ratings.csv") -> Path:
    path = tmp_path / name
    path.write_text(export_review(store, "r", "csv"), encoding="utf-8", newline="")
    return path


def test_ratings_land_only_on_the_responses_that_they_were_given_for(
    tmp_path: Path, small_file: Path
) -> None:
    first = write_review(Workspace(tmp_path / "one"), small_file, TEXTS, 4)
    for row in (1, 2, 3, 4):
        rate(first, "amina", row, "tuned")
    file = exported(first, tmp_path)
    retrained = write_review(
        Workspace(tmp_path / "two"), small_file, {**TEXTS, "tuned": "tuned anew says {prompt}"}, 4
    )
    found = import_ratings(retrained, "r", file)
    assert (found.added, len(found.refused)) == (
        0,
        4,
    ) and "was given for another text" in found.refused[0][1]
    same = write_review(Workspace(tmp_path / "three"), small_file, TEXTS, 4)
    assert import_ratings(same, "r", file).added == 4
    bare = tmp_path / "bare.json"
    line = {"row": 1, "reviewer": "juma", "a": "base", "b": "tuned", "verdict": "a"}
    bare.write_text(json.dumps([line | {"review": "another"}, line | {"row": 2, "settles": 1}]))
    found = import_ratings(same, "r", bare)
    assert (found.added, len(found.refused)) == (
        1,
        1,
    ) and "was given in the review 'another'" in found.refused[0][1]
    # nobody differs there
    assert same.database.query("SELECT * FROM verdicts WHERE adjudicates = 1") == []


def test_a_stranger_settles_nothing_by_a_file_but_where_people_differ(
    tmp_path: Path, small_file: Path
) -> None:
    store = write_review(Workspace(tmp_path / "w"), small_file, TEXTS, 2)
    for person, winner in (("amina", "base"), ("juma", "tuned")):
        rate(store, person, 1, winner)
    file = tmp_path / "settling.json"
    line = {"reviewer": "stranger", "a": "base", "b": "tuned", "verdict": "a", "settles": 1}
    file.write_text(json.dumps([line | {"row": 1}, line | {"row": 2}]))
    assert import_ratings(store, "r", file).added == 2
    assert [
        row["adjudicates"]
        for row in store.database.query("SELECT adjudicates FROM verdicts ORDER BY id")
    ] == [0, 0, 1, 0]


def test_foreign_times_stars_and_nuls_are_refused_or_kept_by_row(
    tmp_path: Path, small_file: Path
) -> None:
    store = write_review(Workspace(tmp_path / "w"), small_file, TEXTS, 5)
    line = {"reviewer": "x", "a": "base", "b": "tuned", "verdict": "a"}
    times = ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "3026-01-01T00:00:00+00:00"]
    rows = [line | {"row": 1, "rated_at": when} for when in times]
    rows += [
        line | {"row": 2, "stars_a": "9" * 5000},
        line | {"row": 3, "reviewer": "a\nb\u0000"},
        line | {"row": 4},
    ]
    file = tmp_path / "x.json"
    file.write_text(json.dumps(rows))
    found = import_ratings(store, "r", file)
    assert (found.added, [row for row, _ in found.refused]) == (1, [1, 2, 3, 4, 5])
    with store.database.transaction() as tables:
        tables.execute(
            "UPDATE responses SET text = 'nul ' || char(0) || ' in ' || text WHERE id = 1"
        )
    other = write_review(Workspace(tmp_path / "v"), small_file, TEXTS, 5)
    with other.database.transaction() as tables:
        tables.execute(
            "UPDATE responses SET text = 'nul ' || char(0) || ' in ' || text WHERE id = 1"
        )
    for row in (1, 2, 3):
        rate(store, "amina", row, "tie")
    back = exported(store, tmp_path)
    assert back.read_bytes().startswith(b"\xef\xbb\xbf") and b"\0" not in back.read_bytes()
    assert import_ratings(other, "r", back).refused == ()


def test_a_whole_report_divides_the_chance_of_a_false_alarm_among_all_that_it_compares(
    workspace: Workspace, tmp_path: Path
) -> None:
    rows = [
        {"instruction": f"Say {n}.", "output": f"{n}", "category": f"kind {n % 4}"}
        for n in range(24)
    ]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    store = write_review(workspace, tmp_path / "rows.json", TEXTS, 24)
    for row in range(1, 9):
        rate(store, "amina", row, "tuned")
    [match] = report_review(store, "r").matches
    assert match.required == pytest.approx(
        ENOUGH_EVIDENCE / 0.8
    ) and match.evidence == pytest.approx(2**8 / 9)
    assert (
        match.is_enough and match_sentence(match) == "Enough evidence: tuned is better than base."
    )
    assert {one.required for _, [one] in report_review(store, "r").categories} == {
        ENOUGH_EVIDENCE * 4 / (1 - 0.8)
    }
    [part] = report_review(store, "r", Filters(reviewer="amina")).matches
    assert part.required is None and "nothing is concluded" in match_sentence(part)
    assert (
        report_object(report_review(store, "r", Filters(category="kind 1")))["enough_evidence"]
        is False
    )


def test_more_contenders_need_more_evidence_each(workspace: Workspace, small_file: Path) -> None:
    store = write_review(
        workspace, small_file, {**TEXTS, "third": "third {prompt}", "fourth": "fourth {prompt}"}, 3
    )
    assert {match.required for match in report_review(store, "r").matches} == {6 * ENOUGH_EVIDENCE}


def test_a_prompt_bets_once_by_its_first_decided_verdict(
    workspace: Workspace, small_file: Path
) -> None:
    store = write_review(workspace, small_file, TEXTS, 6)
    for row in range(1, 7):
        rate(store, "amina", row, "tie" if row == 6 else "tuned")
    for row in range(1, 7):
        for person in ("juma", "neema"):
            rate(store, person, row, "base")
    [match] = report_review(store, "r").matches
    # base, tuned: the sixth by its second verdict
    assert (match.prompts_won, match.prompts_lost) == (1, 5)
    assert (match.wins, match.losses) == (12, 5)
    assert match_sentence(match).startswith("No difference yet: counted by prompts tuned is ahead")


def test_prompts_that_are_left_and_cannot_settle_it_are_not_promised_to(
    workspace: Workspace, small_file: Path
) -> None:
    store = write_review(workspace, small_file, TEXTS, 12)
    for row in range(1, 11):
        rate(store, "amina", row, "base" if row in {1, 2, 3} else "tuned")
    [match] = report_review(store, "r").matches
    assert match.unjudged == 2 and not match.can_be_settled
    assert match_sentence(match).endswith(
        "and the 2 pairs that no one has judged cannot settle it: add rows to the review."
    )


def rows_of(store: ReviewStore, form: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in export_review(store, "r", form).splitlines()]


def test_training_rows_do_not_contradict_each_other(workspace: Workspace, small_file: Path) -> None:
    store = write_review(workspace, small_file, TEXTS, 5)
    for row, winners in ((1, "tbb"), (2, "tb"), (3, "tt"), (4, "==")):
        for person, winner in zip(("amina", "juma", "neema"), winners, strict=False):
            rate(store, person, row, {"t": "tuned", "b": "base", "=": "both_bad"}[winner])
    dpo, kto = rows_of(store, "dpo"), rows_of(store, "kto")
    # rows 1 and 3; 2 is open
    assert sorted(row["chosen"][0]["content"].split()[0] for row in dpo) == ["base", "tuned"]
    labels = Counter((json.dumps(row["prompt"]), row["completion"][0]["content"]) for row in kto)
    assert set(labels.values()) == {1} and len(kto) == 6
    assert sum(row["label"] for row in kto) == 2
    rate(store, "amina", 5, "tie", correction="As it should be.")
    rate(store, "juma", 5, "tie", correction="As it should be. ")
    assert len(rows_of(store, "sft")) == 1
    assert [
        row["rejected"]
        for row in rows_of(store, "dpo")
        if row["chosen"][0]["content"].startswith("As it")
    ] != []
    assert all(row["chosen"] != row["rejected"] for row in rows_of(store, "dpo"))


def test_responses_of_the_same_words_are_counted_and_nobody_is_asked(
    workspace: Workspace, small_file: Path
) -> None:
    store = write_review(workspace, small_file, TEXTS, 3)
    more = write_review(
        workspace,
        small_file,
        {"one": "Same {prompt}", "two": "Same {prompt}", "three": "Other"},
        4,
        "s",
    )
    assert (store.find("r")["pair_count"], more.find("s")["pair_count"]) == (3, 8)
    matches = {(one.contender, one.against): one for one in report_review(more, "s").matches}
    assert [
        matches[pair].identical for pair in (("one", "two"), ("one", "three"), ("two", "three"))
    ] == [4, 0, 0]
    twins = write_review(workspace, small_file, {"one": "Same", "two": " Same\n"}, 2, "twins")
    with pytest.raises(
        ReviewError, match="all contenders say the same, so there is nothing to judge"
    ):
        Judge(twins, "twins", "amina")


def test_a_file_of_references_and_responses_is_not_read_as_its_references(tmp_path: Path) -> None:
    row = {"instruction": "Q", "input": "", "output": "reference"}
    file = tmp_path / "x.json"
    file.write_text(json.dumps([row | {"model 1 response": "one", "model 2 response": "two"}]))
    with pytest.raises(
        ReviewError,
        match=r"several models \('model 1 response', 'model 2 response'\): make a file for each",
    ):
        read_responses(file)
    file.write_text(json.dumps([row | {"model 1 response": "one"}]))
    assert list(read_responses(file).by_prompt.values()) == ["one"]
    file.write_text(json.dumps([row]))
    assert list(read_responses(file).by_prompt.values()) == ["reference"]


def test_pair_numbers_and_payloads_tell_neither_who_meets_nor_what_was_seen(
    workspace: Workspace, small_file: Path
) -> None:
    store = write_review(
        workspace, small_file, {**TEXTS, "third": "\n\n third {prompt}  \n"}, 40, repeats=50.0
    )
    rows = store.database.query("SELECT contender_low_id, contender_high_id FROM pairs ORDER BY id")
    by_place = [
        Counter((row["contender_low_id"], row["contender_high_id"]) for row in rows[start::3])
        for start in range(3)
    ]
    # the number modulo the meetings tells nothing
    assert all(len(counts) == 3 for counts in by_place)
    judge, counted = Judge(store, "r", "amina"), []
    for _ in range(40):
        pairs = judge.next_pairs(1, repeats=True)
        shown = pair_object(pairs[-1])
        assert (
            "again" not in shown
            and not shown["a"].startswith("\n")
            and shown["b"] == shown["b"].rstrip()
        )
        counted.append(judge.shown_progress()[0])
        judge.give(pairs[-1].id, make_rating("tie"))
    assert counted == list(range(40))  # it moves on at a second look as at any other pair
    assert store.database.query("SELECT count(*) AS n FROM repeat_judgments")[0]["n"] > 5
    assert store.database.query("SELECT * FROM offered_repeats") == []


def test_a_second_window_does_not_replace_a_verdict_in_silence(
    workspace: Workspace, small_file: Path
) -> None:
    store = write_review(workspace, small_file, TEXTS, 2)
    one, other = Judge(store, "r", "amina"), Judge(store, "r", "amina")
    [pair, _] = one.next_pairs(2)
    one.give(pair.id, make_rating("a"))
    with pytest.raises(ReviewError, match="judged this pair already, perhaps in another window"):
        other.give(pair.id, make_rating("b"))
    assert other.judged(pair.id).rating.verdict == "a"
    other.give(pair.id, make_rating("b"), changes=True)
    assert one.judged(pair.id).rating.verdict == "b"


def test_amina_and_amina_are_one_person(workspace: Workspace, small_file: Path) -> None:
    store = write_review(workspace, small_file, TEXTS, 3)
    rate(store, "Amina", 1, "base")
    assert (
        Judge(store, "r", " amina ").progress() == (1, 3)
        and Judge(store, "r", "AMINA").reviewer == "Amina"
    )
    assert store.all_reviewers() == ["Amina"]


def test_history_goes_by_the_log_whatever_the_clock_says(
    workspace: Workspace, small_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = write_review(workspace, small_file, TEXTS, 5)
    judge = Judge(store, "r", "amina")
    pairs = judge.next_pairs(5)
    for number, pair in enumerate(pairs):
        monkeypatch.setattr(
            "review.judging.judge.now",
            lambda number=number: f"2026-01-01T00:00:{50 - number}.000000+00:00",
        )
        judge.rate(pair.id, make_rating("a"))
    assert [judged.pair.id for judged in judge.history(3)] == [pair.id for pair in pairs[:1:-1]]
    assert [judged.pair.id for judged in judge.history(9, before=pairs[2].id)] == [
        pairs[1].id,
        pairs[0].id,
    ]


def test_prompts_that_a_contender_has_learnt_from_another_file_are_left_out(
    workspace: Workspace, tmp_path: Path
) -> None:
    """As a run is that was trained on the corrections of a review's own test rows."""
    rows = [
        {"instruction": f"What is the {n}th word of the {n + 7}th song?", "output": f"word {n}"}
        for n in range(40)
    ]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    dataset = load_dataset(tmp_path / "rows.json")
    choice, sampling = RowChoice("test"), Sampling()
    asked = plan_review(workspace, dataset, "r", ["pocket", "expected"], choice, sampling).examples
    corrections = [
        {
            "messages": [
                {"role": "user", "content": one.prompt_text},
                {"role": "assistant", "content": "x"},
            ]
        }
        for one in asked
    ]
    corrections[0]["messages"][0]["content"] = f"  {asked[0].prompt_text.upper()} "
    (tmp_path / "corrections.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in corrections[:3])
    )
    store = DatasetStore(workspace)
    key = store.keep(load_dataset(tmp_path / "corrections.jsonl"))
    RunStore(workspace).create(
        "tuned", TrainingSettings(test_share=0.0, validation_share=0.0), key, {}
    )
    RunStore(workspace).create(
        "further", TrainingSettings(model="tuned", test_share=0.0, validation_share=0.0), key, {}
    )
    learnt = learnt_rows(workspace, "further", dataset.examples, dataset.content_hash)
    assert learnt == {one.row for one in asked[:3]}
    workspace.model_folder("tuned").parent.mkdir(parents=True)
    import shutil

    from tests.conftest import POCKET

    shutil.copytree(POCKET, workspace.model_folder("tuned"))
    plan = plan_review(workspace, dataset, "r", ["pocket", "tuned"], choice, sampling)
    assert [one.row for one in plan.examples] == [
        one.row for one in asked[3:]
    ] and plan.left_out == 3
    assert "3 prompts are left out" in plan.notice
    everything = plan_review(
        workspace, dataset, "r", ["pocket", "tuned"], RowChoice(None), sampling
    )
    assert (
        everything.seen == {one.row: ("tuned",) for one in asked[:3]}
        and "learnt 3 of these prompts" in everything.notice
    )


def test_a_key_goes_to_the_addresses_alone_that_the_owner_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FUATA_API_KEY", "topsecret")
    monkeypatch.setenv("FUATA_API_ADDRESSES", "https://API.example/v1/ http://127.0.0.1:8080/v1")
    named = ("https://api.example/v1", "https://api.example:443/v1", "http://127.0.0.1:8080/v1")
    others = (
        "http://api.example/v1",
        "https://api.example/v2",
        "https://api.example.evil/v1",
        "http://127.0.0.1:8081/v1",
        "https://x/v1",
    )
    assert [Endpoint(one, "m")._owns_key() for one in (*named, *others)] == [True] * 3 + [False] * 5
    monkeypatch.delenv("FUATA_API_ADDRESSES")
    assert not Endpoint(named[0], "m")._owns_key()


def test_the_table_is_one_that_a_spreadsheet_reads(workspace: Workspace, small_file: Path) -> None:
    store = write_review(workspace, small_file, TEXTS, 2)
    rate(store, "Zoë 王", 1, "base", comment="=1+1")
    text = export_review(store, "r", "csv")
    assert text.startswith("\ufeffreview,row,")
    [row] = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")))
    assert (row["reviewer"], row["comment"]) == ("Zoë 王", "'=1+1")


def test_the_result_is_told_from_the_side_of_the_one_that_was_tuned(
    workspace: Workspace, small_file: Path
) -> None:
    store = write_review(workspace, small_file, TEXTS, 3)
    with store.database.transaction() as tables:
        tables.execute("UPDATE contenders SET facts = '{\"run\": \"tuned\"}' WHERE name = 'tuned'")
    for row in (1, 2, 3):
        rate(store, "amina", row, "base" if row == 1 else "tuned")
    report = report_review(store, "r")
    [match] = report.matches
    told = report.told(match)
    assert (match.contender, match.wins, told.contender, told.wins, told.losses) == (
        "base",
        1,
        "tuned",
        2,
        1,
    )
    assert (
        told.interval[0] == pytest.approx(1 - match.interval[1]) and told.evidence == match.evidence
    )
    assert Entrant("x").kind == "model"
