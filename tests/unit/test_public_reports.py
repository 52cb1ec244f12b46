"""Data that people reported trouble with in other tools, one case each: read rightly, or refused
with the reason. The report's number stands beside each.
"""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from core.datasets.dataset import Dataset, load_dataset
from core.datasets.findings import find_in_rows

QA = [("user", "Q"), ("assistant", "A")]
CALL = '<tool_call>\n{"name": "clock", "arguments": {"city": "Voi"}}\n</tool_call>'


def load(folder: Path, content: Any, name: str = "rows.json", encoding: str = "utf-8") -> Dataset:
    path = folder / name
    text = content if isinstance(content, str | bytes) else json.dumps(content)
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    dataset = load_dataset(path)
    # no row vanishes, whatever the file
    assert dataset.row_count == len(dataset.examples) + len(dataset.refused)
    return dataset


def turns(dataset: Dataset, number: int = 0) -> list[tuple[str, str]]:
    example = dataset.examples[number]
    return [
        (turn.role, turn.text + (f" + {turn.input}" if turn.input else ""))
        for turn in example.turns
    ]


def chat(*texts: str, **more: Any) -> dict[str, Any]:
    roles = ("user", "assistant")
    return {
        "messages": [
            {"role": roles[number % 2], "content": text} for number, text in enumerate(texts)
        ],
        **more,
    }


def csv_text(rows: list[list[str]], **options: Any) -> str:
    text = io.StringIO()
    csv.writer(text, **options).writerows(rows)
    return text.getvalue()


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        # earlier turns dropped: LlamaFactory 4683, 3351
        ({"instruction": "Q", "output": "A", "history": [["Q0", "A0"]]},
         [("user", "Q0"), ("assistant", "A0"), *QA]),
        # a system prompt dropped beside other fields: LlamaFactory 3546, Qwen3 1314
        ({"system": "S", "conversations": [{"from": "human", "value": "Q"},
                                           {"from": "gpt", "value": "A"}]}, [("system", "S"), *QA]),
        ({"system": "S", "prompt": "Q", "completion": "A"}, [("system", "S"), *QA]),
        ({"system": "S", "question": "Q", "response": "A"}, [("system", "S"), *QA]),
        ({"system_prompt": "S", "question": "Q", "response": "A"}, [("system", "S"), *QA]),
        # the input dropped: LlamaFactory 3351
        ({"instruction": "Q", "input": "I", "response": "A"}, [("user", "Q + I"), QA[1]]),
        ({"instruction": "Q", "context": "I", "output": "A"}, [("user", "Q + I"), QA[1]]),
        # columns of other names: h2o-llmstudio 526, autotrain 226 and 411, torchtune 1099, Kiln 560
        ({"Question": "Q", "Answer": "A"}, QA),
        ({"human_question": "Q", "answer": "A"}, None),
        # tool calls, content null: LlamaFactory 2529, 9067, axolotl 3217
        ({"messages": [{"role": "user", "content": "Q"},
                       {"role": "assistant", "content": None, "tool_calls": [
                           {"function": {"name": "clock", "arguments": {"city": "Voi"}}}]},
                       {"role": "tool", "content": "noon"},
                       {"role": "assistant", "content": "A"}]},
         [("user", "Q"), ("assistant", CALL), ("user", "<tool_response>\nnoon\n</tool_response>"),
          ("assistant", "A")]),
        # a text beside a call: LlamaFactory 9107
        ({"messages": [{"role": "user", "content": "Q"},
                       {"role": "assistant", "content": "Wait.", "tool_calls": [
                           {"function": {"name": "clock", "arguments": {"city": "Voi"}}}]}]},
         [("user", "Q"), ("assistant", f"Wait.\n{CALL}")]),
        # role and content inside conversations, capital roles: axolotl 752, 1361
        ({"conversations": [{"role": "User", "content": "Q"},
                            {"role": "Assistant", "content": "A"}]}, QA),
        # TRL's conversational prompt and completion
        ({"prompt": [{"role": "user", "content": "Q"}],
          "completion": [{"role": "assistant", "content": "A"}]}, QA),
        # numbers, booleans, objects as answers: datasets 6106
        ({"instruction": "Q", "output": 7}, [QA[0], ("assistant", "7")]),
        ({"instruction": "Q", "output": False}, [QA[0], ("assistant", "false")]),
        ({"instruction": "Q", "output": {"a": 1}}, [QA[0], ("assistant", '{"a": 1}')]),
        # consecutive turns, the assistant first: LlamaFactory 2962
        ({"messages": [{"role": "assistant", "content": "Hi"}, {"role": "user", "content": "Q"},
                       {"role": "user", "content": "now"}, {"role": "assistant", "content": "A"}]},
         [("user", "Q\n\nnow"), QA[1]]),
        # DPO: unsloth 4750; in ShareGPT form an old turn was trained
        ({"prompt": "Q", "chosen": "A", "rejected": "B"}, QA),
        ({"conversations": [{"from": "human", "value": "Q0"}, {"from": "gpt", "value": "A0"},
                            {"from": "human", "value": "Q"}],
          "chosen": {"from": "gpt", "value": "A"}, "rejected": {"from": "gpt", "value": "B"}},
         [("user", "Q0"), ("assistant", "A0"), *QA]),
        # messages as JSON text in a cell
        ({"messages": json.dumps(chat("Q", "A")["messages"])}, QA),
    ],
)  # fmt: skip
def test_no_field_that_means_something_is_dropped(
    tmp_path: Path, row: dict[str, Any], expected: list[tuple[str, str]] | None
) -> None:
    if expected is None:
        with pytest.raises(Exception, match="say which columns|no usable row"):
            load(tmp_path, [row])
        return
    assert turns(load(tmp_path, [row])) == expected


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        # KTO: answers marked as bad were trained
        ({"prompt": "Q", "completion": "A", "label": False}, "marked as bad"),
        ({**chat("Q", "A"), "label": False}, "marked as bad"),
        ({"conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}],
          "kto_tag": "false"}, "marked as bad"),
        # chains of rows: h2o-llmstudio 17
        ({"instruction": "Q", "output": "A", "parent_id": "7"}, "follows another row"),
        ({"instruction": "Q", "output": None}, "no answer"),
    ],
)  # fmt: skip
def test_a_row_that_would_teach_what_it_does_not_mean_is_refused(
    tmp_path: Path, row: dict[str, Any], reason: str
) -> None:
    good = chat("Q2", "A2") if "messages" in row else {**row, "label": None, "kto_tag": None,
                                                       "parent_id": None}  # fmt: skip
    if "output" in row:
        good |= {"output": "A2"}
    dataset = load(tmp_path, [row, good])
    assert [(one.row, reason in one.reason) for one in dataset.refused] == [(1, True)]


@pytest.mark.parametrize("mark", ["weight", "loss"])
def test_a_turn_of_weight_0_is_read_and_not_learnt(tmp_path: Path, mark: str) -> None:
    """fw-ai cookbook 387, openai-cookbook 1270, LlamaFactory 2305."""
    row = chat("Q0", "A0", "Q", "A")
    row["messages"][1][mark] = 0
    example = load(tmp_path, [row]).examples[0]
    assert [turn.trained for turn in example.turns if turn.role == "assistant"] == [False, True]


def test_only_the_compared_answer_of_a_preference_is_learnt(tmp_path: Path) -> None:
    row = {"conversations": [{"from": "human", "value": "Q0"}, {"from": "gpt", "value": "A0"},
                             {"from": "human", "value": "Q"}],
           "chosen": {"from": "gpt", "value": "A"}, "rejected": {"from": "gpt", "value": "B"}}  # fmt: skip
    example = load(tmp_path, [row]).examples[0]
    learnt = [turn.text for turn in example.turns if turn.role == "assistant" and turn.trained]
    assert learnt == ["A"] and example.rejected == "B"


@pytest.mark.parametrize(
    "code", ["    return x", "\treturn x", "    if x:\n        return x", "\n\n    return x"]
)
def test_the_indentation_of_an_answer_stays(tmp_path: Path, code: str) -> None:
    for row in ({"instruction": "Q", "output": code + "\n"}, chat("Q", code + "  \n\n")):
        assert turns(load(tmp_path, [row]))[1] == ("assistant", code.lstrip("\n"))


def test_a_single_blank_before_an_answer_is_no_indentation(tmp_path: Path) -> None:
    assert turns(load(tmp_path, [{"prompt": "Q", "completion": " A"}])) == QA


@pytest.mark.parametrize("word", ["nan", "null", "None", "NaN"])
def test_the_words_that_pandas_writes_for_nothing_are_found(tmp_path: Path, word: str) -> None:
    """ms-swift 306."""
    examples = load(tmp_path, [{"instruction": "Q", "output": word}]).examples
    assert "says_nothing" in [one.kind for one in find_in_rows(examples) if one.rows]


def test_an_empty_cell_beside_others_costs_its_row_nothing(tmp_path: Path) -> None:
    """NaN as the input: openai-cookbook 73."""
    text = '[{"instruction": "Q", "input": NaN, "output": "A"}]'
    assert turns(load(tmp_path, text)) == QA


@pytest.mark.parametrize(
    ("word", "split"),
    [("dev", "validation"), ("eval", "validation"), ("train_sft", "train"), ("test_sft", "test"),
     ("train", "train"), ("validation", "validation"), ("val", "validation")],
)  # fmt: skip
def test_held_out_rows_stay_held_out_by_any_usual_name(
    tmp_path: Path, word: str, split: str
) -> None:
    """alignment-handbook 53; rows of ``split: train`` were drawn into test."""
    rows = [{"instruction": "Q", "output": "A", "split": word}]
    assert load(tmp_path, rows).examples[0].split == split


def test_one_bad_quotation_mark_costs_one_row(tmp_path: Path) -> None:
    """pandas 22140: no line number, and no rows."""
    text = 'instruction,output\nQ,A\n"Q2,A2\nQ3,A3\nQ4,A4\n'
    dataset = load(tmp_path, text, "rows.csv")
    assert len(dataset.examples) >= 2 and dataset.refused
    assert "line" in dataset.refused[0].reason or "quotation" in dataset.refused[0].reason


@pytest.mark.parametrize(
    ("name", "text", "encoding"),
    [
        ("rows.jsonl", json.dumps([{"instruction": "Q", "output": "A"}] * 2), "utf-8"),
        ("rows.json", json.dumps({"instruction": {"0": "Q", "1": "Q"}, "output": {"0": "A", "1": "A"}}),
         "utf-8"),
        # unsloth 5193
        ("rows.json", json.dumps({"train": [{"instruction": "Q", "output": "A"}],
                                  "test": [{"instruction": "Q", "output": "A"}]}), "utf-8"),
        ("rows.csv", "instruction,output\nQ,A\nQ,A\n", "utf-16"),
        ("rows.csv", "sep=;\ninstruction;output\nQ;A\nQ;A\n", "utf-8"),
        ("rows.jsonl", '{"instruction": "Q",\n "output": "A"}{"instruction": "Q", "output": "A"}',
         "utf-8"),
        ("rows.jsonl", '{"instruction": "Q", "output": "A"}\n\ufeff{"instruction": "Q", "output": "A"}',
         "utf-8"),
        ("rows.csv", "\ufeffinstruction,output\r\nQ,A\r\nQ,A\r\n", "utf-8"),
        ("rows.csv", "instruction,output\rQ,A\rQ,A\r", "utf-8"),
    ],
)  # fmt: skip
def test_files_as_other_programs_write_them_are_read_whole(
    tmp_path: Path, name: str, text: str, encoding: str
) -> None:
    dataset = load(tmp_path, text, name, encoding)
    assert [turns(dataset, number) for number in range(2)] == [QA, QA] and not dataset.refused


def test_a_letter_of_another_encoding_is_read_and_said(tmp_path: Path) -> None:
    text = csv_text([["instruction", "output"], ["Où?", "Près de l’église, à côté du café."]])
    dataset = load(tmp_path, text, "rows.csv", "cp1252")
    assert "l’église" in dataset.examples[0].answer
    assert any("encoding" in note or "1252" in note for note in dataset.notes)


def test_newlines_quotes_and_huge_texts_in_cells_stay(tmp_path: Path) -> None:
    long = 'say "hi"\n' + "x" * 200_000
    text = csv_text([["instruction", "output"], ["Q", long]])
    assert load(tmp_path, text, "rows.csv").examples[0].answer == long


def test_rows_of_two_shapes_in_one_file_are_both_read(tmp_path: Path) -> None:
    rows = [{"instruction": "Q", "output": "A"}, chat("Q", "A")]
    dataset = load(tmp_path, rows)
    assert [turns(dataset, number) for number in range(2)] == [QA, QA]


@pytest.mark.parametrize("text", ["Dear [Your Name]", "<noinput>", "[INSERT NAME]", "{{name}}"])
def test_unfilled_places_are_named(tmp_path: Path, text: str) -> None:
    examples = load(tmp_path, [{"instruction": f"Write: {text}", "output": "A"}]).examples
    assert "placeholder" in [one.kind for one in find_in_rows(examples) if one.rows]


def test_a_field_that_nothing_reads_is_listed(tmp_path: Path) -> None:
    rows = [{"instruction": "Q", "output": "A", "explanation": "because"}]
    assert load(tmp_path, rows).unused_fields == (("explanation", 1),)


def test_surrogates_emoji_and_line_separators_cost_nothing(tmp_path: Path) -> None:
    text = '{"instruction": "Q\\ud83d\\ude00", "output": "A\u2028B"}\n{"instruction": "Q", "output": "A"}'
    dataset = load(tmp_path, text, "rows.jsonl")
    assert dataset.examples[0].answer == "A\u2028B" and len(dataset.examples) == 2
    assert dataset.examples[0].prompt[-1].text == "Q😀"
