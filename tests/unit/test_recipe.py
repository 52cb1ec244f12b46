"""Versions of a file: what is done to its rows, found worth a look, kept, named and undone."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.cli.main import main
from core.datasets.dataset import load_dataset
from core.datasets.export import export_rows
from core.datasets.findings import find_between_rows, find_in_rows
from core.datasets.near_duplicates import find_repeats
from core.datasets.personal_data import find_personal_data, mask_personal_data
from core.datasets.recipe import Recipe, RowEdit, apply_recipe, load_version, read_recipe
from core.datasets.store import DatasetStore
from core.errors import DataError, SettingsError, WorkspaceError
from core.models.encoder import encoder_of
from core.models.resolve import find_model
from core.prompts.encoder import make_row
from core.prompts.preview import preview_row
from core.storage.workspace import Workspace
from core.training.planning.plan import plan_run
from core.training.runs.runner import add_run
from core.training.settings import change_settings, default_settings

ROWS = [
    {"instruction": "What is red?", "output": "A rose."},
    {"instruction": "What is red?", "output": "Blood."},
    {"instruction": "Who are you?", "output": "As an AI language model, I have no name."},
    {"instruction": "Write to Amina", "output": "Write to amina@example.org or +254 712 345 678."},
    {"instruction": "Say", "output": "nan"},
    {"instruction": "Greet {{name}}", "output": "Hello there, my friend!"},
    {"instruction": "Copy: the whole sentence", "output": "The whole sentence"},
    {"instruction": "Make it bold", "output": "<b>bold</b>"},
    {"instruction": "Broken", "output": "It\u00e2\u20ac\u2122s caf\u00c3\u00a9"},
    {"instruction": "Marks", "output": "done <|im_end|>"},
    {"instruction": "Zero", "output": "wid\u200bth"},
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(ROWS), encoding="utf-8")
    return path


def test_every_kind_of_finding_names_its_rows_and_what_is_there(file: Path) -> None:
    found = {one.kind: dict(one.rows) for one in find_in_rows(load_dataset(file).examples)}
    assert {kind: sorted(rows) for kind, rows in found.items()} == {
        "answer_in_prompt": [7], "says_nothing": [5], "boilerplate": [3], "placeholder": [6],
        "personal": [4], "marks": [10], "html": [8], "mojibake": [9], "controls": [11],
        "drafted": [],
    }  # fmt: skip
    assert found["personal"][4] == "1 email, 1 phone: amina@example.org"
    assert "U+200B after “wid”" in found["controls"][11]


def test_contradictions_and_repeats_across_splits_are_found_beside_each_other(
    tmp_path: Path,
) -> None:
    rows = [{**ROWS[0], "split": "train"}, {**ROWS[1], "split": "test"}]
    path = tmp_path / "a.json"
    path.write_text(json.dumps(rows))
    examples = load_dataset(path).examples
    contradicting, across = find_between_rows(examples, find_repeats(examples))
    assert contradicting.rows == ((2, "another answer than row 1"),)
    assert across.rows == ((2, "asks in test what row 1 asks in train"),)


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("mail a.b-c@d-e.co.uk now", ["email"]),
        ("call +44 20 7946 0958", ["phone"]),
        ("call (212) 555-0123 now", ["phone"]),
        ("card 4111 1111 1111 1111", ["card"]),
        ("card 4111 1111 1111 1112", []),
        ("on 2026-11-27 and 12.05.2024", []),
        ("pi is 3.14159265358979", []),
        ("1,000,000,000 people", []),
        ("x@y and @name", []),
        ("order 1234567890", []),
    ],
)
def test_personal_data_is_told_from_other_numbers(text: str, kinds: list[str]) -> None:
    assert [kind for kind, _ in find_personal_data(text)] == kinds
    masked = mask_personal_data(text, ("email", "phone", "card"))
    assert [f"[{kind.upper()}]" in masked for kind in kinds] == [True] * len(kinds)
    assert kinds or masked == text
    assert find_personal_data(masked) == []


def test_a_recipe_changes_rows_counts_all_and_has_a_hash_of_its_own(file: Path) -> None:
    recipe = Recipe(
        masked=("email",),
        left_out={"boilerplate": (3,)},
        edits=(
            RowEdit(row=5, answer="Something."),
            RowEdit(row=12, prompt="New?", answer="Yes, new.", split="test"),
        ),
    )
    dataset = load_version(file, recipe)
    rows = {example.row: example for example in dataset.examples}
    assert rows[5].answer == "Something." and rows[12].split == "test"
    assert rows[4].answer == "Write to [EMAIL] or +254 712 345 678."
    assert [(one.row, one.reason) for one in dataset.refused] == [
        (3, "left out by you (boilerplate)")
    ]
    assert dataset.row_count == len(dataset.examples) + len(dataset.refused) == 12
    assert dataset.content_hash != dataset.source_hash == load_dataset(file).content_hash
    assert read_recipe(recipe.to_json()) == recipe
    assert load_version(file, read_recipe(recipe.to_json())) == dataset
    assert load_version(file, Recipe()) == load_dataset(file)


def test_a_refused_row_is_mended_where_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps([*ROWS, {"instruction": "Q"}]))
    mended = load_version(path, Recipe(edits=(RowEdit(row=12, prompt="Q", answer="A."),)))
    assert not mended.refused and mended.examples[-1].answer == "A."


@pytest.mark.parametrize(
    ("recipe", "error", "sentence"),
    [
        (Recipe(edits=(RowEdit(row=1, answer=" "),)), DataError, "must not be empty"),
        (Recipe(edits=(RowEdit(row=99, answer="A"),)), DataError, "needs an instruction and an"),
        (Recipe(left_out={"x": tuple(range(1, 12))}), DataError, "has no row left"),
        (Recipe(masked=("name",)), SettingsError, "'name' is none of email, phone, card"),
        (Recipe(mapping={"output": "nowhere"}), SettingsError, "there is no column 'nowhere'"),
    ],
)
def test_a_recipe_that_does_not_fit_gets_one_sentence(
    file: Path, recipe: Recipe, error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        load_version(file, recipe)


def test_only_the_last_answer_is_learnt_and_thoughts_are_left_out(tmp_path: Path) -> None:
    said = [("user", "Q"), ("assistant", "<think>hm</think>\n\nA"), ("user", "Q2"),
            ("assistant", "<think>well</think>B")]  # fmt: skip
    row = {"messages": [{"role": role, "content": text} for role, text in said]}
    path = tmp_path / "a.json"
    path.write_text(json.dumps([row]))
    dataset = load_version(path, Recipe(answers="last", thoughts="leave-out"))
    turns = dataset.examples[0].turns
    assert [(turn.text, turn.trained) for turn in turns if turn.role == "assistant"] == [
        ("A", False), ("B", True),
    ]  # fmt: skip
    encoder = encoder_of(find_model("pocket", None))
    row_ids = encoder.encode_example(dataset.examples[0])
    learnt = [i for i, t in zip(row_ids.ids, row_ids.trained, strict=True) if t]
    assert encoder.tokenizer.decode(learnt).strip() == "B"


def test_versions_are_kept_named_renamed_and_deleted_unless_used(
    file: Path, tmp_path: Path
) -> None:
    workspace = Workspace(tmp_path / "w")
    store = DatasetStore(workspace)
    first = store.keep(load_dataset(file))
    second = store.change(first, Recipe(masked=("email",)))
    third = store.change(second, store.recipe(second).leaving_out("marks", [10]))
    names = {row["content_hash"]: row["name"] for row in store.recent()}
    assert names == {
        first: "rows.json", second: "rows.json (version 2)", third: "rows.json (version 3)",
    }  # fmt: skip
    assert store.change(first, Recipe(masked=("email",))) == second  # nothing is kept twice
    again = DatasetStore(workspace)
    assert len(again.load(third).examples) == 10 and again.load(second).row_count == 11
    run = add_run(workspace, again.load(third), default_settings())
    with pytest.raises(WorkspaceError, match=f"is used by the run '{run}'"):
        store.delete(third)
    store.rename(second, "  Clean   rows ")
    assert store.load(second).name == "Clean rows"
    with pytest.raises(WorkspaceError, match="1 to 120 characters"):
        store.rename(second, " ")
    size = store.size_bytes(second)
    store.delete(second)
    assert size == file.stat().st_size == store.size_bytes(third)  # one file, shared
    assert {row["content_hash"] for row in store.recent()} == {first, third}
    workspace.close()


def test_what_is_exported_is_read_back_the_same(tmp_path: Path, file: Path) -> None:
    dataset = load_version(file, Recipe(masked=("email", "phone")))
    for form, name in (("messages", "a.jsonl"), ("alpaca", "b.json"), ("parquet", "c.parquet")):
        path = tmp_path / name
        path.write_bytes(export_rows(dataset, form))  # type: ignore[arg-type]
        back = load_dataset(path)
        assert [x.turns for x in back.examples] == [x.turns for x in dataset.examples]


def test_a_preference_and_a_text_are_exported_as_what_they_are(tmp_path: Path) -> None:
    rows = [{"prompt": "Q", "chosen": "A", "rejected": "B"}]
    for number, content in enumerate((rows, [{"text": "Once there was a lion."}])):
        path = tmp_path / f"{number}.json"
        path.write_text(json.dumps(content))
        dataset = load_dataset(path)
        with pytest.raises(DataError, match="export as messages"):
            export_rows(dataset, "alpaca")
        out = tmp_path / f"{number}.jsonl"
        out.write_bytes(export_rows(dataset, "messages"))
        back = load_dataset(out)
        assert (back.examples[0].turns, back.examples[0].rejected) == (
            dataset.examples[0].turns,
            dataset.examples[0].rejected,
        )


def test_the_command_line_maps_masks_leaves_out_and_writes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = tmp_path / "odd.csv"
    odd.write_text("Heading,Best verse\nRed?,a@example.org\nRed?,Roses are.\n")
    out, refused = tmp_path / "clean.jsonl", tmp_path / "refused.jsonl"
    words = ["check", str(odd), "--map", "instruction=heading", "output=Best verse",
             "--mask", "email", "--leave-out", "exact_repeats", "--out", str(out),
             "--refused-out", str(refused), "--json", "--workspace", str(tmp_path / "w")]  # fmt: skip
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["rows"], told["usable"], told["format"]) == (2, 1, "mapped csv")
    assert "[EMAIL]" in out.read_text() and json.loads(refused.read_text())["row"] == 2
    for wrong, sentence in (
        (["--map", "instruction"], "is not MEANING=COLUMN"),
        (["--leave-out", "colours"], "'colours' is none of"),
        (["--map", "output=Nowhere", "instruction=Heading"], "there is no column 'Nowhere'"),
    ):
        more = wrong if wrong[0] == "--map" else ["--map", "instruction=Heading",
                                                  "output=Best verse", *wrong]  # fmt: skip
        assert main(["check", str(odd), *more, "--workspace", str(tmp_path / "w")]) == 2
        assert sentence in capsys.readouterr().err


def test_several_files_are_one_dataset_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("train.json", "test.json"):
        (tmp_path / name).write_text(json.dumps([{**row, "x": name} for row in ROWS[:3]]))
    words = ["check", str(tmp_path / "train.json"), str(tmp_path / "test.json"), "--json"]
    assert main([*words, "--workspace", str(tmp_path / "w")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["rows"] == 6 and told["name"] == "train.json and 1 more.zip"
    assert {one["row"] for one in told["findings"]["across_splits"]} == {4, 5, 6} or told[
        "findings"
    ]["across_splits"]


@given(st.integers(2, 40), st.integers(1, 60), st.integers(1, 30), st.integers(0, 1))
def test_a_row_is_cut_to_its_length_at_either_end(
    most: int, prompt: int, answer: int, start: int
) -> None:
    row = make_row(1, range(prompt), range(100, 100 + answer))
    cut = row.without_start(most) if start else row.cut(most)
    assert len(cut.ids) == len(cut.trained) == min(most, prompt + answer)
    if start and answer + 2 <= most < prompt + answer:
        assert cut.ids[0] == 0 and list(cut.ids[-answer:]) == list(range(100, 100 + answer))
    if not start:
        assert list(cut.ids) == list(row.ids[:most])


@given(st.integers(2, 50), st.integers(1, 300))
def test_every_token_of_a_text_is_learnt_once_in_pieces(most: int, count: int) -> None:
    row = make_row(1, [], range(count))
    pieces = row.pieces(most)
    assert all(len(piece.ids) <= most for piece in pieces)
    targets = [token for piece in pieces for token in piece.ids[1:]]
    assert targets == list(range(1, count))


def test_long_rows_are_cut_or_left_out_as_the_settings_say(tmp_path: Path) -> None:
    long = {"instruction": "word " * 200, "output": "The end."}
    path = tmp_path / "a.json"
    path.write_text(json.dumps([*ROWS, long]))
    dataset, workspace = load_dataset(path), Workspace(tmp_path / "w")
    base = change_settings(default_settings(), {"max_tokens": 100, "test_share": 0.0,
                                                "validation_share": 0.0})  # fmt: skip
    found = {}
    for how in ("end", "start", "drop"):
        plan = plan_run(dataset, change_settings(base, {"long_rows": how}), workspace)
        kept = {row.row: row for row in plan.train}
        found[how] = (12 in kept, 12 in plan.cut_rows, 12 in plan.dropped_rows)
        if 12 in kept:
            assert plan.encoder.ends_whole(kept[12])
    assert found == {
        "end": (False, False, True), "start": (True, True, False), "drop": (False, False, True),
    }  # fmt: skip
    workspace.close()


def test_plain_text_is_learnt_whole_with_its_end_and_no_style(tmp_path: Path) -> None:
    path = tmp_path / "story.txt"
    path.write_text("The lion slept under the tree. " * 60 + "<|endoftext|>" + "A short one.")
    workspace = Workspace(tmp_path / "w")
    settings = change_settings(
        default_settings(),
        {"max_tokens": 64, "test_share": 0.0, "validation_share": 0.0, "style": "phi3"},
    )
    plan = plan_run(load_dataset(path), settings, workspace)
    end = plan.encoder.tokenizer.special_ids[plan.encoder.tokenizer.eos]
    ends = [row.ids[-1] == end for row in plan.train]
    assert ends.count(True) == 2 and len(plan.train) > 3 and not plan.cut_rows
    assert not any("<|user|>" in plan.encoder.tokenizer.decode(row.ids) for row in plan.train)
    workspace.close()


def test_an_unknown_split_of_an_edit_is_refused(file: Path) -> None:
    edit = RowEdit(row=1, split="somewhere")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="say train, validation or test"):
        apply_recipe(load_dataset(file), Recipe(edits=(edit,)))


def test_a_preview_says_what_is_odd_and_shows_its_batch(file: Path, tmp_path: Path) -> None:
    dataset = load_dataset(file)
    encoder = encoder_of(find_model("pocket", None), "phi3")
    preview = preview_row(dataset.examples[0], encoder, 128, beside=dataset.examples[1:3])
    [caution] = preview.cautions
    assert caution.endswith("learnt as several plain ones: <|user|>, <|end|>, <|assistant|>.")
    assert [row for row, _ in preview.batch] == [1, 2, 3]
    widths = {len(tokens) for _, tokens in preview.batch}
    assert widths == {len(preview.tokens)}
    assert any(token.padding for token in preview.batch[1][1])
    text = tmp_path / "a.txt"
    text.write_text("A lion.")
    said = preview_row(load_dataset(text).examples[0], encoder, 128)
    assert "plain text" in said.cautions[0] and said.ends_with_end_token
