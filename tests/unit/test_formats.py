"""Every shape of rows that people bring is read, or refused with the right reason."""

import json
from pathlib import Path

import pytest

from core.datasets.columns import make_mapping
from core.datasets.dataset import Dataset, UnknownColumnsError, load_dataset
from core.errors import DataError, SettingsError

Turns = list[tuple[str, str]]


def load(tmp_path: Path, rows: object, mapping: dict[str, str] | None = None) -> Dataset:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(rows), encoding="utf-8")
    return load_dataset(path, mapping)


def turns_of(dataset: Dataset, number: int = 0) -> Turns:
    return [(turn.role, turn.text) for turn in dataset.examples[number].turns]


PAIR = [("user", "Q"), ("assistant", "A")]
CALL = '<tool_call>\n{"name": "time", "arguments": {"at": "Moshi"}}\n</tool_call>'


@pytest.mark.parametrize(
    ("row", "name", "turns"),
    [
        ({"Instruction": "Q", "Response": "A"}, "dolly", PAIR),
        ({"Question": "Q", "Best answer": "A", "Topic": "t"}, "question + answer", PAIR),
        ({"input": "Q", "output": "A"}, "question + answer", PAIR),
        ({"prompt": "Q", "response": "A"}, "question + answer", PAIR),
        ({"query": "Q", "response": "A"}, "question + answer", PAIR),
        ({"question": "Q", "answer": "A"}, "question + answer", PAIR),
        ({" instruction ": "Q", "OUT-PUT": "A"}, "alpaca", PAIR),
        ({"instruction": "Q", "output": 42}, "alpaca", [("user", "Q"), ("assistant", "42")]),
        ({"instruction": "Q", "output": True}, "alpaca", [("user", "Q"), ("assistant", "true")]),
        (
            {"instruction": "Q", "output": {"a": [1]}},
            "alpaca",
            [("user", "Q"), ("assistant", '{"a": [1]}')],
        ),
        ({"conversation": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]},
         "messages", PAIR),
        ({"conversations": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]},
         "sharegpt", PAIR),
        ({"messages": [{"role": "User", "content": "Q"}, {"role": "ASSISTANT", "content": "A"}]},
         "messages", PAIR),
        ({"messages": '[{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]'},
         "messages", PAIR),
        ({"messages": [{"role": "developer", "content": "S"}, {"role": "user", "content": "Q"},
                       {"role": "assistant", "content": "A"}]},
         "messages", [("system", "S"), *PAIR]),
        ({"messages": [{"role": "assistant", "content": "Hello!"}, {"role": "user", "content": "Q"},
                       {"role": "assistant", "content": "A"}]}, "messages", PAIR),
        ({"messages": [{"role": "user", "content": "Q"}, {"role": "user", "content": "please"},
                       {"role": "assistant", "content": "A"}]},
         "messages", [("user", "Q\n\nplease"), ("assistant", "A")]),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "Q"}]},
                       {"role": "assistant", "content": "A"}]}, "messages", PAIR),
        ({"messages": [
            {"role": "user", "content": "Q"},
            {"role": "assistant", "content": None, "tool_calls": [
                {"function": {"name": "time", "arguments": '{"at": "Moshi"}'}}]},
            {"role": "tool", "content": "12:00"},
            {"role": "assistant", "content": "A"}]}, "messages",
         [("user", "Q"), ("assistant", CALL),
          ("user", "<tool_response>\n12:00\n</tool_response>"), ("assistant", "A")]),
        ({"messages": [{"role": "user", "content": "Q"},
                       {"role": "assistant", "content": "A", "reasoning_content": "Hm."}]},
         "messages", [("user", "Q"), ("assistant", "<think>\nHm.\n</think>\n\nA")]),
        ({"prompt": [{"role": "user", "content": "Q"}],
          "completion": [{"role": "assistant", "content": "A"}]}, "prompt-completion", PAIR),
        ({"prompt": "Q", "completion": "A", "label": True}, "prompt-completion", PAIR),
        ({"inputs": "Q", "targets": "A"}, "question + answer", PAIR),
        ({"source": "Q", "target": "A"}, "question + answer", PAIR),
        ({"input": [{"role": "system", "content": "S"}, {"role": "user", "content": "Q"}],
          "ideal": "A"}, "question + answer", [("system", "S"), *PAIR]),
        ({"question": "Q", "answers": {"text": ["A", "a"], "answer_start": [0, 0]}},
         "question + answer", PAIR),
        ({"question": "Q", "answers": ["A", "a"]}, "question + answer", PAIR),
        ({"conversation": [{"user": "Q", "assistant": "A"}]}, "messages", PAIR),
        ({"conversation": [{"human": "Q"}, {"assistant": "A"}]}, "messages", PAIR),
        ({"chat": [["Q", "A"], ["Q2", "A2"]]}, "messages",
         [*PAIR, ("user", "Q2"), ("assistant", "A2")]),
        ({"dialog": ["Q", "A"]}, "messages", PAIR),
        ({"messages": "[{'role': 'user', 'content': 'Q'}, {'role': 'assistant', 'content': 'A'}]"},
         "messages", PAIR),
        ({"prompt": "Q", "chosen": "A", "rejected": "B"}, "preference", PAIR),
        ({"prompt": "Q", "chosen": [{"role": "assistant", "content": "A"}],
          "rejected": [{"role": "assistant", "content": "B"}]}, "preference", PAIR),
        ({"chosen": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}],
          "rejected": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "B"}]},
         "preference", PAIR),
        ({"conversations": [{"from": "human", "value": "Q"}], "chosen": {"from": "gpt", "value": "A"},
          "rejected": {"from": "gpt", "value": "B"}}, "preference", PAIR),
        ({"chosen": "\n\nHuman: Q\n\nAssistant: A", "rejected": "\n\nHuman: Q\n\nAssistant: B"},
         "preference", PAIR),
        ({"text": "<s>[INST] Q [/INST] A </s>"}, "text with [INST] marks", PAIR),
        ({"text": "<s>[INST] <<SYS>>\nS\n<</SYS>>\n\nQ [/INST] A</s><s>[INST] Q2 [/INST] A2</s>"},
         "text with [INST] marks",
         [("system", "S"), *PAIR, ("user", "Q2"), ("assistant", "A2")]),
        ({"text": "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n"},
         "text with ChatML marks", PAIR),
        ({"text": "### Human: Q\n### Assistant: A"}, "text with ### marks", PAIR),
        ({"text": "Below is an instruction.\n\n### Instruction:\nQ\n\n### Response:\nA"},
         "text with ### marks", PAIR),
        ({"text": "<|user|>\nQ<|end|>\n<|assistant|>\nA<|end|>"}, "text with Phi-3 marks", PAIR),
        ({"text": "<start_of_turn>user\nQ<end_of_turn>\n<start_of_turn>model\nA<end_of_turn>\n"},
         "text with Gemma marks", PAIR),
        ({"text": "Once there was a lion."}, "text", [("assistant", "Once there was a lion.")]),
    ],
)  # fmt: skip
def test_a_shape_is_recognised_by_itself_and_says_why(
    tmp_path: Path, row: dict[str, object], name: str, turns: Turns
) -> None:
    dataset = load(tmp_path, [row])
    assert dataset.row_format == name
    assert turns_of(dataset) == turns
    assert dataset.because


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]},
                       {"role": "assistant", "content": "A"}]},
         "message 1 holds something other than text (image_url)"),
        ({"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": None}]},
         "message 2 has no text"),
        ({"messages": [{"role": "user", "content": "Q"},
                       {"role": "assistant", "content": "A", "weight": 0}]},
         "nothing is to be learnt"),
        ({"messages": [{"role": "user", "content": "Q"},
                       {"role": "assistant", "content": "A", "weight": 0},
                       {"role": "assistant", "content": "B", "weight": 1}]},
         "two assistant turns follow each other, of which one is not to be learnt"),
        ({"messages": [{"role": "assistant", "content": "A"}]}, "no user turn before"),
        ({"prompt": "Q", "completion": "A", "label": False}, "marked as bad"),
        ({"prompt": "Q", "chosen": "A", "rejected": "A"}, "are the same"),
        ({"prompt": "Q", "chosen": "A", "rejected": ""}, "no rejected answer"),
        ({"chosen": "A", "rejected": "B"}, "no user turn before|no prompt"),
        ({"instruction": "Q", "output": float("nan")}, "no answer: the field 'output' is empty"),
        ({"instruction": "Q", "output": []}, "no answer: the field 'output' is empty"),
    ],
)  # fmt: skip
def test_what_would_be_learnt_otherwise_than_meant_is_refused(
    tmp_path: Path, row: dict[str, object], reason: str
) -> None:
    good = {"instruction": "Q", "output": "A"}
    dataset = load(tmp_path, [good, row])
    assert [refusal.row for refusal in dataset.refused] == [2]
    assert any(part in dataset.refused[0].reason for part in reason.split("|"))


def test_other_names_for_two_speakers_are_told_by_who_begins(tmp_path: Path) -> None:
    rows = [
        {"conversations": [{"from": "Amina", "value": "Q"}, {"from": "Juma", "value": "A"}]}
    ] * 3
    dataset = load(tmp_path, rows)
    assert turns_of(dataset) == PAIR
    assert any("'Amina' was read as the user" in note for note in dataset.notes)
    three = [*rows, {"conversations": [{"from": "Zawadi", "value": "x"}]}]
    with pytest.raises(DataError, match="has the role 'Amina'"):
        load(tmp_path, three)


def test_what_is_read_otherwise_than_it_stands_is_counted_by_row(tmp_path: Path) -> None:
    rows = [{"instruction": "Q", "output": number} for number in (1, 2, "three")]
    assert load(tmp_path, rows).notes == ("2 rows: a number, true or false was read as its text",)


def test_rows_of_another_shape_in_one_file_are_read_by_their_own(tmp_path: Path) -> None:
    rows = [
        {"instruction": "Q", "output": "A"},
        {"instruction": "Q", "output": "A"},
        {"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]},
    ]
    dataset = load(tmp_path, rows)
    assert dataset.row_format == "alpaca" and len(dataset.examples) == 3
    assert turns_of(dataset, 2) == PAIR


def test_a_preference_keeps_what_was_not_chosen_and_learns_the_last_answer_alone(
    tmp_path: Path,
) -> None:
    said = [
        {"from": "human", "value": "Q"},
        {"from": "gpt", "value": "old"},
        {"from": "human", "value": "Q2"},
    ]
    row = {"conversations": said, "chosen": {"from": "gpt", "value": "new"},
           "rejected": {"from": "gpt", "value": "worse"}}  # fmt: skip
    example = load(tmp_path, [row]).examples[0]
    assert example.rejected == "worse"
    assert [turn.trained for turn in example.turns if turn.role == "assistant"] == [False, True]


def test_the_tools_on_offer_stand_in_the_system_prompt(tmp_path: Path) -> None:
    row = {
        "conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}],
        "tools": '[{"name": "time"}]',
    }
    (role, text), *rest = turns_of(load(tmp_path, [row]))
    assert role == "system" and '[{"name": "time"}]' in text and rest == PAIR


ODD = [{"Heading": "Q", "Body": "B", "Verse": "A", "kind of": "song"}]


def test_columns_that_say_nothing_are_named_and_mapped_by_hand(tmp_path: Path) -> None:
    with pytest.raises(UnknownColumnsError, match="has the fields 'Heading', 'Body', 'Verse'"):
        load(tmp_path, ODD)
    said = {"instruction": "{heading}: {Body}", "output": "verse", "category": "kind of"}
    dataset = load(tmp_path, ODD, said)
    assert turns_of(dataset) == [("user", "Q: B"), ("assistant", "A")]
    assert dataset.examples[0].category == "song" and dataset.row_format == "mapped"
    assert not dataset.unused_fields
    assert "output is 'Verse'" in dataset.because


def test_a_mapping_overrules_what_was_recognised(tmp_path: Path) -> None:
    rows = [{"instruction": "I", "output": "O", "better": "B"}]
    dataset = load(tmp_path, rows, {"instruction": "instruction", "output": "better"})
    assert turns_of(dataset) == [("user", "I"), ("assistant", "B")]
    assert dataset.unused_fields == (("output", 1),)


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (
            {"instruction": "Nowhere", "output": "Verse"},
            "there is no column 'Nowhere'; the file has",
        ),
        ({"instruction": "{Nowhere}!", "output": "Verse"}, "there is no column 'Nowhere'"),
        ({"instruction": "Heading"}, "say where the instruction and the answer"),
        ({"question": "Heading"}, "'question' is none of instruction, input, output"),
    ],
)
def test_a_mapping_that_does_not_fit_gets_one_sentence(said: dict[str, str], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        make_mapping(said, list(ODD[0]))


def test_no_instruction_is_never_taken_from_another_field(tmp_path: Path) -> None:
    rows = [{"instruction": "Q", "input": "x", "output": "A"},
            {"instruction": None, "input": "x", "output": "A"}]  # fmt: skip
    refused = load(tmp_path, rows).refused
    assert [(one.row, one.reason) for one in refused] == [
        (2, "no instruction: the field 'instruction' is empty")
    ]


def test_a_label_that_is_no_label_is_not_read_as_plain_text(tmp_path: Path) -> None:
    with pytest.raises(UnknownColumnsError):
        load(tmp_path, [{"text": "What a film", "label": "positive"}])


def node(parent: str, role: str, *parts: object, **metadata: object) -> dict[str, object]:
    content = {"content_type": "text", "parts": list(parts)}
    message = {"author": {"role": role}, "content": content, "metadata": metadata}
    return {"parent": parent, "message": message}


def test_a_chatgpt_export_is_read_along_the_branch_that_was_read_last(tmp_path: Path) -> None:
    tree = {
        "root": {"parent": None, "message": None},
        "s": node("root", "system", "", is_visually_hidden_from_conversation=True),
        "q": node("s", "user", "Q"),
        "old": node("q", "assistant", "an answer that was made anew"),
        "new": node("q", "assistant", "A"),
    }
    row = {"title": "Chat", "mapping": tree, "current_node": "new"}
    dataset = load(tmp_path, [row, {**row, "current_node": "gone"}])
    assert dataset.row_format == "chatgpt export" and turns_of(dataset) == PAIR
    picture = {**tree, "q": node("s", "user", {"content_type": "image_asset_pointer"}, "Q")}
    refused = load(tmp_path, [row, {**row, "mapping": picture}]).refused
    assert "something other than text (image_asset_pointer)" in refused[0].reason
    ring = {"a": {"parent": "b", "message": None}, "b": {"parent": "a", "message": None}}
    assert load(tmp_path, [row, {**row, "mapping": ring, "current_node": "a"}]).refused


def test_a_claude_export_is_read(tmp_path: Path) -> None:
    said = [("human", "Q", [{"type": "text", "text": "Q"}]),
            ("assistant", "A", [{"type": "thinking", "thinking": "hm"},
                                {"type": "text", "text": "A"}])]  # fmt: skip
    messages = [{"sender": who, "text": text, "content": parts} for who, text, parts in said]
    dataset = load(tmp_path, [{"uuid": "1", "name": "Chat", "chat_messages": messages}])
    assert turns_of(dataset) == PAIR


def test_a_question_beside_an_instruction_is_what_it_is_about(tmp_path: Path) -> None:
    rows = [{"instruction": "Answer briefly.", "question": "Why?", "answer": "So.", "id": 1}]
    dataset = load(tmp_path, rows)
    assert [(turn.text, turn.input) for turn in dataset.examples[0].turns] == [
        ("Answer briefly.", "Why?"), ("So.", ""),
    ]  # fmt: skip
    assert dataset.unused_fields == (("id", 1),)


@pytest.mark.parametrize(
    ("choices", "answer", "learnt"),
    [
        (["red", "blue"], 1, "B. blue"),
        (["red", "blue"], "1", "B. blue"),
        (["red", "blue"], "A", "A. red"),
        (["red", "blue"], "blue", "B. blue"),
        ({"text": ["red", "blue"], "label": ["1", "2"]}, "2", "2. blue"),
        (["red", "blue"], "both", "both"),
    ],
)
def test_choices_are_asked_and_the_right_one_is_learnt_with_its_letter(
    tmp_path: Path, choices: object, answer: object, learnt: str
) -> None:
    [example] = load(
        tmp_path, [{"question": "Which?", "choices": choices, "answer": answer}]
    ).examples
    assert example.answer == learnt
    assert "red" in example.turns[0].input and "blue" in example.turns[0].input


def test_a_text_that_is_called_a_dialogue_is_not_guessed_at(tmp_path: Path) -> None:
    with pytest.raises(UnknownColumnsError, match="'dialogue', 'summary'"):
        load(tmp_path, [{"dialogue": "Amina and Juma met.", "summary": "They met."}])


def test_without_any_answer_column_the_columns_are_asked_for(tmp_path: Path) -> None:
    rows = [{"prompt": "Q", "response_a": "A", "response_b": "B"}]
    with pytest.raises(UnknownColumnsError, match="no answer"):
        load(tmp_path, rows)
    assert turns_of(load(tmp_path, rows, {"instruction": "prompt", "output": "response_a"})) == PAIR
