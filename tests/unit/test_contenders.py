"""Contenders that are no model of ours: imported responses, an endpoint; prompts without answers
and of several turns.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.datasets.conversation import Turn
from core.datasets.dataset import load_dataset
from core.datasets.prompt_lists import load_prompt_list
from core.datasets.store import DatasetStore
from core.errors import DataError, ModelError, ReviewError, UserError
from core.generation.model_cache import ModelCache
from core.generation.openai_endpoint import Endpoint, find_endpoint
from core.generation.sampling import Sampling
from core.storage.workspace import Workspace
from review.domain.rating import make_rating
from review.exchange.export import export_review
from review.judging.judge import Judge
from review.results.report import report_review
from review.setup.contenders import find_entrants
from review.setup.generate_responses import (
    RowChoice,
    add_contenders,
    answer_review,
    create_review,
    plan_review,
)
from review.setup.multi_turn import ask_in_rounds
from review.setup.response_files import read_responses
from review.store.reviews import ReviewStore
from review.store.verdicts import Filters
from tests.conftest import DATA
from tests.endpoints import answering
from tests.reviews import write_review

ALL = RowChoice(None)


def write(path: Path, rows: object) -> Path:
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def make(
    workspace: Workspace, file: Path, contenders: list[str], choice: RowChoice = ALL
) -> ReviewStore:
    dataset = load_prompt_list(file)
    create_review(
        workspace, dataset, plan_review(workspace, dataset, "r", contenders, choice, Sampling())
    )
    answer(workspace)
    return ReviewStore(workspace)


def answer(workspace: Workspace) -> None:
    answer_review(
        workspace,
        "r",
        ModelCache(workspace),
        lambda: False,
        lambda _done, _total: None,
    )


def test_finished_responses_are_judged_against_the_expected_answers(
    workspace: Workspace,
) -> None:
    file = DATA / "with-responses.json"
    store = make(workspace, file, ["expected", f"file:{file}"])
    rows = json.loads(file.read_text())
    judge = Judge(store, "r", "amina")
    pairs = judge.next_pairs(20)
    [match] = report_review(store, "r").matches
    # nobody is asked about answers of the same words
    assert len(pairs) == 8 and match.identical == 4
    for pair in pairs:
        row = rows[pair.row - 1]
        assert {pair.a, pair.b} == {row["output"].strip(), row["model_response"]}
    assert [(contender.name, contender.kind) for contender in store.contenders(1)] == [
        ("expected", "expected"), ("with-responses", "file"),
    ]  # fmt: skip


def test_rows_of_all_splits_can_be_told_apart(
    workspace: Workspace, small_file: Path, tmp_path: Path
) -> None:
    responses = write(
        tmp_path / "all.json", [{"row": n, "response": f"answer {n}"} for n in range(1, 41)]
    )
    store = make(workspace, small_file, ["expected", f"file:{responses}"])
    assert store.kinds("r") == ([], ["test", "train", "validation"])
    judge = Judge(store, "r", "amina")
    for pair in judge.next_pairs(40):
        judge.rate(pair.id, make_rating("a"))
    counts = {
        split: report_review(store, "r", Filters(split=split)).ratings
        for split in ("train", "validation", "test")
    }
    assert counts == {"train": 34, "validation": 2, "test": 4}


def test_rows_without_a_response_are_left_out_and_numbers_of_rows_are_understood(
    workspace: Workspace, small_file: Path, tmp_path: Path
) -> None:
    by_row = write(
        tmp_path / "numbered.json", [{"row": n, "response": f"answer {n}"} for n in range(3, 9)]
    )
    by_prompt = write(
        tmp_path / "asked.json",
        [{"prompt": f"What  comes after {n}?", "output": str(n)} for n in range(6)],
    )
    store = make(workspace, small_file, [f"file:{by_row}", f"file:{by_prompt}"])
    pairs = Judge(store, "r", "amina").next_pairs(10)
    # row n asks for n - 1, and a row with an input asks otherwise
    assert sorted(pair.row for pair in pairs) == [3, 4, 5]
    assert all({pair.a, pair.b} == {f"answer {pair.row}", str(pair.row - 1)} for pair in pairs)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([{"instruction": "What?"}], "has no responses"),
        ([{"response": "yes"}], "does not say what its responses answer"),
        ([{"prompt": "Something else?", "response": "yes"}], "answers none of these 40 prompts"),
    ],
)
def test_a_file_without_responses_gets_one_sentence(
    workspace: Workspace, small_file: Path, tmp_path: Path, rows: object, sentence: str
) -> None:
    examples = load_dataset(small_file).examples
    with pytest.raises(ReviewError, match=sentence):
        find_entrants(workspace, [f"file:{write(tmp_path / 'x.json', rows)}"], examples)


def test_a_contender_added_later_keeps_every_verdict(
    workspace: Workspace, small_file: Path, tmp_path: Path
) -> None:
    store = write_review(workspace, small_file, {"base": "base", "tuned": "tuned"}, 5)
    judge = Judge(store, "r", "amina")
    for pair in judge.next_pairs(5):
        judge.rate(pair.id, make_rating("a"))
    before = store.database.query("SELECT * FROM verdicts")
    later = write(
        tmp_path / "later.json", [{"row": n, "response": f"later {n}"} for n in range(1, 5)]
    )
    add_contenders(workspace, "r", [f"file:{later}"])
    assert judge.next_pairs(1) == []  # what is there can be looked at and judged meanwhile
    answer(workspace)
    assert store.find("r")["state"] == "ready" and store.find("r")["pair_count"] == 13
    assert store.database.query("SELECT * FROM verdicts") == before
    assert judge.progress() == (5, 13)
    report = report_review(store, "r")
    assert [match.ratings for match in report.matches] == [5, 0, 0]
    for words in (["file:" + str(later)], []):
        with pytest.raises(ReviewError, match="take part in this review already"):
            add_contenders(workspace, "r", words)


def test_an_endpoint_answers_like_a_model(
    workspace: Workspace, small_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FUATA_API_KEY", "secret")
    with answering() as (address, asked):
        monkeypatch.setenv("FUATA_API_ADDRESSES", f"https://elsewhere/v1 {address}/")
        store = make(workspace, small_file, ["expected", f"{address}#tiny"], RowChoice(None, 6))
    pairs = Judge(store, "r", "amina").next_pairs(6)
    assert all(pair.prompt.upper() in {pair.a, pair.b} for pair in pairs)
    assert len(asked) == 6 and {one["path"] for one in asked} == {"/v1/chat/completions"}
    assert {one["key"] for one in asked} == {"Bearer secret"}
    assert {
        (one["model"], one["temperature"], one["max_tokens"], one["seed"]) for one in asked
    } == {("tiny", 0.0, 128, 42)}
    everything = b"".join(
        path.read_bytes() for path in workspace.folder.rglob("*") if path.is_file()
    )
    assert b"secret" not in everything


@pytest.mark.parametrize(
    ("status", "body", "sentence"),
    [
        (401, {}, "wants a key: set FUATA_API_KEY to it and FUATA_API_ADDRESSES to http"),
        (404, {"error": "no such model"}, "answered 404: .*no such model"),
        (200, {"choices": []}, "answered without a message"),
        (200, [1], "answered 200"),
    ],
)
def test_an_endpoint_that_does_not_answer_gets_one_sentence(
    status: int, body: object, sentence: str
) -> None:
    with answering(status, body) as (address, _), pytest.raises(ModelError, match=sentence):
        list(Endpoint(address, "m").respond_all([[Turn("user", "Hi")]], Sampling(), lambda: False))


def test_an_address_where_nobody_listens_fails_the_review_and_it_can_be_continued(
    workspace: Workspace, small_file: Path
) -> None:
    dataset = load_dataset(small_file)
    with answering() as (address, _):
        pass
    create_review(
        workspace,
        dataset,
        plan_review(workspace, dataset, "r", ["expected", f"{address}#m"], ALL, Sampling()),
    )
    with pytest.raises(ModelError, match="does not answer"):
        answer(workspace)
    review = ReviewStore(workspace).find("r")
    assert review["state"] == "failed" and "does not answer" in review["message"]


@pytest.mark.parametrize(
    "words",
    [
        "ftp://x/v1#m",
        "http://x/v1",
        "http://x/v1#",
        "http://user:key@x/v1#m",
        "http:///v1#m",
        "http://h:abc/v1#m",
        "http://[bad#m",
        "http://:secret@h/v1#m",
    ],
)
def test_what_is_no_endpoint_is_refused(words: str) -> None:
    with pytest.raises(ModelError, match="is no endpoint") as refusal:
        find_endpoint(words)
    assert "secret" not in str(refusal.value)


def test_prompts_without_answers_are_asked_in_turn(workspace: Workspace, tmp_path: Path) -> None:
    rows = [
        {"question_id": 81, "category": "writing", "turns": ["Write.", "Again."]},
        {"question_id": 82, "category": "maths", "turns": ["Add."]},
    ]
    file = tmp_path / "mt.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with answering() as (address, asked):
        responses = write(
            tmp_path / "other.json",
            [{"row": 1, "response": "Else."}, {"row": 2, "response": "Else."}],
        )
        store = make(workspace, file, [f"{address}#one", f"file:{responses}"])
    texts = {row["text"] for row in store.database.query("SELECT text FROM responses")}
    assert texts == {"WRITE.\n\n── Then asked: Again.\n\nAGAIN.", "ADD.", "Else."}
    second = [one["messages"] for one in asked if one["messages"][-1]["content"] == "Again."]
    assert [message["role"] for message in second[0]] == ["user", "assistant", "user"]
    assert [
        row["category"]
        for row in store.database.query("SELECT category FROM prompts ORDER BY data_row")
    ] == [
        "writing",
        "maths",
    ]
    judge = Judge(store, "r", "amina")
    for pair in judge.next_pairs(2):
        judge.rate(pair.id, make_rating("a"))
    # a conversation is no answer to one prompt
    assert len(export_review(store, "r", "dpo").splitlines()) == 1
    assert len(export_review(store, "r", "jsonl").splitlines()) == 2
    assert DatasetStore(workspace).recent() == []  # nothing to train on
    [kept] = DatasetStore(workspace).recent(prompt_lists=True)
    assert (
        DatasetStore(workspace).load(kept["content_hash"]).examples
        == load_prompt_list(file).examples
    )
    with pytest.raises(ReviewError, match="no expected answers"):
        plan_review(
            workspace, load_prompt_list(file), "s", ["expected", f"{address}#one"], ALL, Sampling()
        )


def test_a_stop_in_the_middle_of_a_conversation_keeps_no_half_of_it() -> None:
    from core.generation.chat_model import Response

    calls = []

    def respond(
        prompts: Any, _sampling: Sampling, _should_stop: Any
    ) -> Iterator[tuple[int, Response]]:
        calls.append(len(prompts))
        said = (Response("", "x", 1, "end") for _ in (prompts if len(calls) == 1 else ()))
        yield from enumerate(said)

    turns = [Turn("user", "One?"), Turn("user", "Two?")]
    assert list(ask_in_rounds(respond, [turns, turns[:1]], Sampling(), lambda: False)) == []
    assert calls == [2, 1]


@pytest.mark.parametrize(
    ("name", "text", "prompts"),
    [
        ("lines.txt", "One?\n\n  Two?  \n", ["One?", "Two?"]),
        (
            "p.json",
            '[{"instruction": "Do.", "input": "it"}, {"instruction": "Go."}]',
            ["Do.\nit", "Go."],
        ),
        ("m.jsonl", '{"messages": [{"role": "user", "content": "Hi"}]}', ["Hi"]),
        ("q.csv", "question,topic\nWhy?,x\n", ["Why?"]),
    ],
)
def test_lists_of_prompts_come_in_many_shapes(
    tmp_path: Path, name: str, text: str, prompts: list[str]
) -> None:
    (tmp_path / name).write_text(text)
    dataset = load_prompt_list(tmp_path / name)
    assert [example.prompt_text for example in dataset.examples] == prompts
    assert dataset.row_format == "prompts" and not any(
        example.answer for example in dataset.examples
    )


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("e.txt", " \n", "is empty"),
        (
            "n.json",
            '[{"x": 1}]',
            "no prompt that can be asked: row 1 no prompt: the field 'prompt' is missing",
        ),
        ("a.json", '[{"messages": [{"role": "robot", "content": "Hi"}]}]', "has the role 'robot'"),
        ("t.json", '[{"turns": []}]', "its conversation is empty"),
    ],
)
def test_a_list_that_asks_nothing_gets_one_sentence(
    tmp_path: Path, name: str, text: str, sentence: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=sentence):
        load_prompt_list(tmp_path / name)


def test_a_file_of_rows_with_answers_keeps_them(small_file: Path) -> None:
    assert load_prompt_list(small_file) == load_dataset(small_file)


def test_a_missing_file_of_responses_gets_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no file"):
        read_responses(tmp_path / "none.json")
