"""Rows without an answer: drafted by a model, marked till a person has looked."""

import json
from pathlib import Path

import pytest

from core.cli.main import main
from core.datasets.dataset import load_dataset
from core.datasets.export import export_rows
from core.datasets.findings import find_in_rows
from core.datasets.recipe import Recipe, RowEdit, apply_recipe, load_version
from core.errors import DataError, StoppedError
from core.generation.drafts import draft_answers, find_open_rows
from core.generation.openai_endpoint import find_endpoint
from core.generation.sampling import Sampling
from tests.endpoints import answering

ROWS = [
    {"prompt": "Name a colour."},
    {"instruction": "Say hi", "output": "Hi!"},
    {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]},
    {"instruction": "Sum up.", "input": "Rain.", "output": ""},
    {"nothing": 1},
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "open.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def drafted_rows(path: Path) -> list[int]:
    return [row for one in find_in_rows(load_dataset(path).examples) if one.kind == "drafted"
            for row in one.numbers]  # fmt: skip


def test_rows_without_an_answer_are_asked_and_marked_and_others_stay(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "drafted.jsonl"
    with answering() as (address, asked):
        words = ["draft", str(file), "--model", f"{address}#large", "--out", str(out), "--json"]
        assert main([*words, "--workspace", str(tmp_path / "w")]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["answered"], facts["drafted"], facts["unusable"]) == (1, 3, 1)
    assert sorted([one["content"] for one in question["messages"]] for question in asked) == [
        ["Be brief.", "Why?"], ["Name a colour."], ["Sum up.\nRain."],
    ]  # fmt: skip
    dataset = load_dataset(out)
    assert [example.answer for example in dataset.examples] == [
        "NAME A COLOUR.", "Hi!", "WHY?", "SUM UP.\nRAIN.",
    ]  # fmt: skip
    assert drafted_rows(out) == [1, 3, 4] and dataset.unused_fields == ()


def test_a_row_is_drafted_no_more_once_somebody_has_saved_it(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "drafted.jsonl"
    with answering() as (address, _):
        respond = find_endpoint(f"{address}#large").respond_all
        assert list(draft_answers(find_open_rows(file), respond, Sampling(), out))[-1] == (3, 3)
    dataset = load_dataset(out)
    looked = apply_recipe(dataset, Recipe(edits=(RowEdit(row=1), RowEdit(row=3, answer="So."))))
    assert [example.drafted for example in looked.examples] == [False, False, False, True]
    assert looked.examples[0].answer == "NAME A COLOUR."
    left = load_version(out, Recipe(left_out={"drafted": (1, 3, 4)}))
    assert [example.answer for example in left.examples] == ["Hi!"]
    written = tmp_path / "written.jsonl"
    written.write_bytes(export_rows(looked, "messages"))
    assert drafted_rows(written) == [4]


def test_a_row_that_was_left_out_is_not_drafted(file: Path) -> None:
    dataset = load_version(file, Recipe(left_out={"by_hand": (2,)}, edits=(RowEdit(
        row=1, prompt="Name a colour.", answer="Red"),)))  # fmt: skip
    assert [one.row for one in find_open_rows(file, dataset).asked] == [3, 4]


def test_lines_of_text_are_prompts(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("One?\nTwo?\n")
    assert [one.prompt[-1].text for one in find_open_rows(path).asked] == ["One?", "Two?"]


def test_a_file_whose_rows_all_have_answers_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([ROWS[1]]))
    with pytest.raises(DataError, match="no row with a prompt and without an answer"):
        find_open_rows(path)


def test_stopped_or_failed_nothing_is_left(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "drafted.jsonl"
    with answering() as (address, _):
        respond = find_endpoint(f"{address}#large").respond_all
        with pytest.raises(StoppedError):
            list(draft_answers(find_open_rows(file), respond, Sampling(), out, lambda: True))
    words = ["draft", str(file), "--model", "http://127.0.0.1:9/v1#m", "--out", str(out)]
    assert main([*words, "--workspace", str(tmp_path / "w")]) == 2
    assert not out.exists()


def test_who_drafts_is_shown_what_the_version_shows_and_splits_stay(tmp_path: Path) -> None:
    path = tmp_path / "mail.jsonl"
    rows = [
        {"Question": "Write to amina@example.org", "Reply": "", "split": "test"},
        {"Question": "Say hi", "Reply": "Hi!"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = Recipe(mapping={"instruction": "Question", "output": "Reply"}, masked=("email",))
    [asked] = find_open_rows(path, load_version(path, recipe)).asked
    assert "amina@example.org" not in asked.prompt_text and asked.split in {"test", None}
    plain = load_version(path, Recipe(masked=("email",)))
    [asked] = find_open_rows(path, plain).asked
    assert "@" not in asked.prompt_text and asked.split == "test"
