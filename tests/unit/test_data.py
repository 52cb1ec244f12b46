"""Files become examples; every bad row is named."""

import gzip
import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.datasets.check import RowLength, check_dataset
from core.datasets.conversation import Example, Turn
from core.datasets.dataset import load_dataset
from core.datasets.near_duplicates import find_repeats
from core.datasets.samples import SAMPLE
from core.datasets.splits import SplitSettings, split_examples
from core.errors import DataError, SettingsError
from tests.conftest import DATA

GOOD = {"instruction": "Say yes.", "input": "", "output": "Yes."}


def write(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def example(row: int, question: str, answer: str = "x", split: str | None = None) -> Example:
    return Example(row, (Turn("user", question), Turn("assistant", answer)), split)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("row", "shape", "turns"),
    [
        (GOOD, "alpaca", [("user", "Say yes.", ""), ("assistant", "Yes.", "")]),
        (
            {**GOOD, "input": "Now."},
            "alpaca",
            [("user", "Say yes.", "Now."), ("assistant", "Yes.", "")],
        ),
        (
            {"instruction": "Q", "context": "C", "response": "A", "category": "x"},
            "dolly",
            [("user", "Q", "C"), ("assistant", "A", "")],
        ),
        (
            {"prompt": "Q", "completion": "A"},
            "prompt-completion",
            [("user", "Q", ""), ("assistant", "A", "")],
        ),
        (
            {
                "messages": [
                    {"role": "system", "content": "S"},
                    {"role": "user", "content": [{"type": "text", "text": "Q"}]},
                    {"role": "assistant", "content": "A"},
                ]
            },
            "messages",
            [("system", "S", ""), ("user", "Q", ""), ("assistant", "A", "")],
        ),
        (
            {
                "conversations": [
                    {"from": "human", "value": "Q"},
                    {"from": "gpt", "value": "A"},
                    {"from": "human", "value": "bye"},
                ]
            },
            "sharegpt",
            [("user", "Q", ""), ("assistant", "A", "")],
        ),
    ],
)
def test_every_shape_is_recognised_by_itself(
    tmp_path: Path, row: dict[str, object], shape: str, turns: list[tuple[str, str, str]]
) -> None:
    dataset = load_dataset(write(tmp_path / "rows.json", [row]))
    assert dataset.row_format == shape
    assert [(turn.role, turn.text, turn.input) for turn in dataset.examples[0].turns] == turns


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"instruction": "Q", "input": ""}, "no answer: the field 'output' is missing"),
        ({"instruction": "Q", "output": ""}, "no answer: the field 'output' is empty"),
        (
            {"instruction": "Q", "output": "  "},
            "no answer: the field 'output' holds only white space",
        ),
        ({"instruction": "", "output": "A"}, "no instruction: the field 'instruction' is empty"),
        (
            {"instruction": "Q\ud800", "output": "A"},
            "has half a character (a lone UTF-16 surrogate)",
        ),
        ("just text", "is not an object with fields"),
    ],
)
def test_a_bad_row_is_refused_with_its_number_and_reason_and_stops_no_other(
    tmp_path: Path, row: object, reason: str
) -> None:
    dataset = load_dataset(write(tmp_path / "rows.json", [GOOD, row, GOOD]))
    assert [(refusal.row, refusal.reason) for refusal in dataset.refused] == [(2, reason)]
    assert [kept.row for kept in dataset.examples] == [1, 3]


def test_a_broken_line_of_jsonl_is_one_refused_row(tmp_path: Path) -> None:
    lines = [json.dumps(GOOD)] * 60
    lines[56] = '{"instruction": "Q", "output": '
    dataset = load_dataset(write(tmp_path / "rows.jsonl", "\n".join(lines)))
    assert len(dataset.examples) == 59
    assert dataset.refused[0].row == 57
    assert dataset.refused[0].reason.startswith("broken JSON in line 57: ")


def test_lines_in_a_json_file_are_read_as_lines(tmp_path: Path) -> None:
    assert (
        load_dataset(write(tmp_path / "rows.json", "\n".join([json.dumps(GOOD)] * 3))).kind
        == "jsonl"
    )


@pytest.mark.parametrize(("name", "delimiter"), [("a.csv", ","), ("b.csv", ";"), ("c.tsv", "\t")])
def test_csv_and_tsv_are_read_with_quotes_and_line_ends_inside(
    tmp_path: Path, name: str, delimiter: str
) -> None:
    text = (
        delimiter.join(["instruction", "input", "output"])
        + "\n"
        + delimiter.join(["Q", "", '"A, ""b""\nc"'])
        + "\n"
    )
    dataset = load_dataset(write(tmp_path / name, "\ufeff" + text))
    assert dataset.examples[0].answer == 'A, "b"\nc'


def test_gzip_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(GOOD).encode()))
    assert len(load_dataset(path).examples) == 1


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("empty.json", b"", "empty.json is empty"),
        ("list.json", b"[]", "is an empty list"),
        (
            "broken.json",
            b"[\n"
            + b'{"instruction": "Q", "output": "A"},\n' * 55
            + b'{"instruction": "Q" "output": 1}\n]',
            "in line 57,",
        ),
        ("image.json", b"\x89PNG\r\n\x1a\n\x00\x00", "is a PNG image, not text"),
        ("noise.json", bytes(range(1, 256)) * 40, "noise.json "),
        (
            "other.json",
            b'[{"headline": "Q", "verse": "A"}]',
            "has the fields 'headline', 'verse', and no names that say what is asked",
        ),
        ("columns.csv", b"headline,verse\nQ,A\n", "has the fields 'headline', 'verse'"),
        (
            "half.csv",
            b"instruction,input\nQ,\n",
            "has no usable row: row 1 no answer: the field 'output' is missing",
        ),
        ("header.csv", b"instruction,output\n", "has a header and no rows"),
        ("twice.csv", b"output,output\nA,B\n", "has the column 'output' twice"),
        ("number.json", b"42", "holds no list of rows"),
        ("damaged.json.gz", b"\x1f\x8b\x00\x00", "is a damaged gzip file"),
        ("words.doc", b"hello", "has an unknown ending"),
        ("deep.json", b"[" * 100_000, "nested too deeply"),
        (
            "digits.json",
            b'[{"instruction": "Q", "output": ' + b"9" * 5000 + b"}]",
            "thousands of digits",
        ),
    ],
)
def test_a_file_that_cannot_be_used_gets_one_sentence(
    tmp_path: Path, name: str, content: bytes, sentence: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError) as raised:
        load_dataset(path)
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_books_rows_are_all_usable_and_25_repeat_a_prompt(book: Path) -> None:
    dataset = load_dataset(book)
    assert (
        dataset.row_count,
        len(dataset.examples),
        len(find_repeats(dataset.examples).exact),
    ) == (1100, 1100, 25)


def test_files_of_every_row_format_are_read() -> None:
    usable = {
        "dolly.jsonl": 5,
        "alpaca-scripts.json": 10,
        "sharegpt.json": 4,
        "sharegpt-tools.json": 2,
        "messages.json": 1,
    }
    datasets = {name: load_dataset(DATA / name) for name in usable}
    assert {name: len(dataset.examples) for name, dataset in datasets.items()} == usable
    assert [refusal.row for refusal in datasets["sharegpt.json"].refused] == [5]
    assert datasets["sharegpt.json"].examples[2].answer == "Ask it."  # what follows is left open
    assert datasets["messages.json"].examples[0].prompt_text == "Spell cat."
    called = datasets["sharegpt-tools.json"].examples[0]
    assert [turn.text for turn in called.turns[1:3]] == [
        '<tool_call>\n{"name": "weather"}\n</tool_call>',
        "<tool_response>\n29 °C\n</tool_response>",
    ]


def test_placeholders_are_found_wherever_they_stand() -> None:
    dataset = load_dataset(DATA / "identity.json")
    report = check_dataset(dataset, [RowLength(x.row, 10, 5) for x in dataset.examples], 512)
    assert report.rows_of("placeholder") == (1, 2, 3, 4, 5)


def test_a_report_names_long_rows_and_what_they_lose(tmp_path: Path) -> None:
    dataset = load_dataset(
        write(tmp_path / "rows.json", [GOOD, {**GOOD, "instruction": "Say yes again."}])
    )
    report = check_dataset(
        dataset, [RowLength(x.row, 100 * x.row, 50) for x in dataset.examples], 128
    )
    assert [(long.row, long.tokens, long.lost_tokens) for long in report.too_long] == [(2, 200, 72)]
    assert (report.tokens.total, report.tokens.trained) == (300, 100)


def test_an_answer_that_stands_in_its_prompt_is_named(tmp_path: Path) -> None:
    row = {"instruction": "Repeat: the sea is wide and blue", "output": "The sea is wide and blue"}
    report = check_dataset(
        load_dataset(write(tmp_path / "rows.json", [GOOD, row])),
        [RowLength(1, 9, 3), RowLength(2, 9, 3)],
        99,
    )
    assert report.rows_of("answer_in_prompt") == (2,)


def test_near_repeats_are_found_with_their_similarity() -> None:
    words = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
    repeats = find_repeats(
        [example(1, words), example(2, "quite another thing"), example(3, words + " twenty")]
    )
    assert [(near.row, near.earlier_row) for near in repeats.near] == [(3, 1)]
    assert repeats.near[0].similarity == pytest.approx(19 / 20)


@given(
    st.lists(
        st.lists(st.sampled_from("abcdefghijklmnopqrstuvwxyz"), min_size=1, max_size=14).map(
            " ".join
        ),
        min_size=1,
        max_size=25,
    )
)
def test_near_repeats_are_those_that_comparing_all_pairs_finds(prompts: list[str]) -> None:
    distinct = list(dict.fromkeys(prompts))
    found = {
        repeat.row
        for repeat in find_repeats(
            [example(row, text) for row, text in enumerate(distinct, start=1)]
        ).near
    }
    sets = [set(text.split()) for text in distinct]
    expected = {
        later + 1
        for later in range(len(sets))
        for earlier in range(later)
        if len(sets[later] & sets[earlier]) / len(sets[later] | sets[earlier]) >= 0.9
    }
    assert found == expected


def test_data_written_after_one_pattern_still_has_test_and_validation_rows() -> None:
    pattern = " ".join(f"word{n}" for n in range(30))
    inline = [example(row, f"{pattern} number{row}") for row in range(1, 301)]
    inputs = [
        Example(row, (Turn("user", pattern, f"number{row}"), Turn("assistant", "x")))
        for row in range(1, 301)
    ]
    for examples in (inline, inputs):
        splits = split_examples(examples, SplitSettings())
        assert 25 <= len(splits.test) <= 30
        assert 10 <= len(splits.validation) <= 15
    assert find_repeats(inputs).near == ()


def test_a_near_repeat_of_a_near_repeat_stays_on_its_side() -> None:
    words = [f"w{n}" for n in range(40)]
    chain = [
        example(1, " ".join(words)),
        example(2, " ".join(words[1:])),
        example(3, " ".join(words[2:]) + " new"),
    ]
    others = [example(row, f"quite another question {row}") for row in range(4, 301)]
    for seed in range(12):
        splits = split_examples([*chain, *others], SplitSettings(seed=seed))
        assert (
            sum(
                any(row.row <= 3 for row in part)
                for part in (splits.train, splits.validation, splits.test)
            )
            == 1
        )


def test_default_splits_are_85_10_5_and_the_same_every_time() -> None:
    examples = [example(row, f"question {row * row}") for row in range(1, 1001)]
    splits = split_examples(examples, SplitSettings())
    assert (len(splits.train), len(splits.test), len(splits.validation)) == (850, 100, 50)
    assert split_examples(examples, SplitSettings()) == splits
    assert split_examples(examples, SplitSettings(seed=1)) != splits


@given(
    st.lists(st.integers(0, 12), min_size=4, max_size=60),
    st.floats(0, 0.4),
    st.floats(0, 0.4),
    st.integers(0, 5),
)
def test_no_row_is_lost_and_no_repeat_stands_on_two_sides(
    questions: list[int], test: float, validation: float, seed: int
) -> None:
    examples = [
        example(row, f"{'word ' * question}?{question}", str(row))
        for row, question in enumerate(questions, start=1)
    ]
    splits = split_examples(examples, SplitSettings(test, validation, seed))
    parts = [splits.train, splits.validation, splits.test]
    assert sorted(kept.row for part in parts for kept in part) == list(range(1, len(questions) + 1))
    prompts = [{kept.prompt for kept in part} for part in parts]
    assert (
        not prompts[0] & prompts[1] and not prompts[0] & prompts[2] and not prompts[1] & prompts[2]
    )


def test_large_shares_of_few_rows_leave_something_to_train_on() -> None:
    examples = [example(row, text) for row, text in enumerate(["a", "b", "c", "c"], start=1)]
    for seed in range(20):
        assert split_examples(examples, SplitSettings(0.375, 0.375, seed)).train


def test_rows_that_the_file_assigns_stay_where_it_says() -> None:
    splits = split_examples(load_dataset(SAMPLE).examples, SplitSettings())
    assert len(splits.test) == 392
    assert {row.split for row in splits.test} == {"test"}
    assert len(splits.validation) == 120
    assert {row.split for row in splits.validation} == {"validation"}


@pytest.mark.parametrize(
    "settings",
    [SplitSettings(test_share=-0.1), SplitSettings(0.9, 0.09), SplitSettings(validation_share=2)],
)
def test_impossible_shares_are_refused(settings: SplitSettings) -> None:
    with pytest.raises(SettingsError):
        split_examples([example(1, "a"), example(2, "b")], settings)


def test_the_sample_is_sound() -> None:
    """Shape, uniqueness and no test prompt among the training rows."""
    dataset = load_dataset(SAMPLE)
    assert dataset.refused == ()
    assert find_repeats(dataset.examples).exact == ()
    train = {x.prompt for x in dataset.examples if x.split == "train"}
    test = {x.prompt for x in dataset.examples if x.split == "test"}
    assert (len(train), len(test), train & test) == (1058, 392, set())


def test_long_answers_that_stand_nowhere_in_their_prompt_are_not_named() -> None:
    turns = (Turn("user", "Tell me of the sea."), Turn("assistant", "It is deep, salty and wide."))
    short = (Turn("user", "Yes or no: say yes."), Turn("assistant", "yes"))
    dataset = load_dataset(DATA / "dolly.jsonl")
    examples = (Example(1, turns), Example(2, short))
    report = check_dataset(
        replace(dataset, examples=examples), [RowLength(1, 9, 3), RowLength(2, 9, 3)], 512
    )
    assert report.rows_of("answer_in_prompt") == ()


def test_test_and_validation_rows_are_drawn_independently_of_each_other() -> None:
    """With one seed for both draws the validation rows would follow from the test rows."""
    rows = [
        Example(n, (Turn("user", f"w{n} x{n} y{n}"), Turn("assistant", "a"))) for n in range(200)
    ]
    parts = split_examples(rows, SplitSettings(0.3, 0.3, 7))
    order = random.Random(7).sample(range(200), 200)
    assert {row.row for row in parts.test} == set(order[:60])
    left = [n for n in range(200) if n not in set(order[:60])]
    drawn = random.Random(8).sample(range(140), 140)
    assert {row.row for row in parts.validation} == {left[n] for n in drawn[:60]}
    same_seed = random.Random(7).sample(range(140), 140)
    assert {row.row for row in parts.validation} != {left[n] for n in same_seed[:60]}
