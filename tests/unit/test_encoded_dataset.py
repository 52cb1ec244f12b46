"""From rows to ids, targets, masks and batches."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.datasets.choices import LONG_ROWS, LongRows
from core.datasets.conversation import Example, Turn
from core.datasets.dataset import load_dataset
from core.errors import StyleError
from core.prompts.chat_template import Style
from core.prompts.collate import IGNORED, plan_epoch, plan_evaluation
from core.prompts.encoded_dataset import encode_dataset, measure_dataset
from core.prompts.encoder import EncodedRow, PromptEncoder, load_encoder, make_row
from core.prompts.preview import preview_row
from core.prompts.render import _lay_out
from core.storage.workspace import Workspace
from core.training.kernels.batch import collate
from core.training.planning.cautions import cautions
from core.training.planning.plan import _fit, plan_run
from core.training.settings import TrainingSettings, change_settings
from tests.conftest import POCKET
from tests.prompts import STYLES, ask


def test_a_dataset_is_encoded_once_for_all_who_ask(
    small_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    usual = PromptEncoder.encode_example
    monkeypatch.setattr(
        PromptEncoder,
        "encode_example",
        lambda self, example: (calls.append(example.row), usual(self, example))[1],
    )
    dataset, other = load_dataset(small_file), tmp_path / "other.json"
    other.write_text(json.dumps([{"instruction": "Say a word.", "output": "word"}]))
    rows = encode_dataset(dataset, load_encoder(POCKET, "alpaca"))
    assert list(rows) == calls == list(range(1, 41))
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(
            lambda _: encode_dataset(load_dataset(small_file), load_encoder(POCKET, "alpaca")),
            range(8),
        ):
            assert found is rows
    assert len(calls) == 40
    assert encode_dataset(dataset, load_encoder(POCKET, "phi3")) != rows and len(calls) == 80
    # the third: the first is forgotten
    encode_dataset(load_dataset(other), load_encoder(POCKET, "alpaca"))
    again = encode_dataset(dataset, load_encoder(POCKET, "alpaca"))
    assert again == rows and again is not rows and len(calls) == 121
    [measured, *_], unwritable = measure_dataset(dataset, load_encoder(POCKET, "alpaca"))
    first = rows[1]
    assert isinstance(first, EncodedRow) and unwritable == ()
    assert (measured.tokens, measured.trained_tokens) == (
        len(first.ids),
        first.targets(mask_prompt=True),
    )
    assert len(calls) == 121


def test_a_row_that_a_style_cannot_write_is_left_out_by_number_and_stops_no_other(
    tmp_path: Path, workspace: Workspace
) -> None:
    style, file = tmp_path / "plain.jinja", tmp_path / "rows.json"
    style.write_text(
        "{% for m in messages %}{% if loop.index > 2 %}{{ raise_exception('one question only') "
        "}}{% endif %}"
        "{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}{% endif %}"
    )
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"Say {n}."},
                {"role": "assistant", "content": f"{n}"},
            ]
        }
        for n in range(20)
    ]
    file.write_text(json.dumps([*rows, {"messages": rows[0]["messages"] * 2, "split": "train"}]))
    dataset, chosen = load_dataset(file), TrainingSettings(style=str(style))
    for _ in range(2):
        lengths, unwritable = measure_dataset(dataset, load_encoder(POCKET, str(style)))
        assert (
            len(lengths) == 20
            and [row.row for row in unwritable] == [21]
            and "one question only" in unwritable[0].reason
        )
    plan = plan_run(dataset, chosen, workspace)
    assert [row.row for row in plan.unwritable] == [21] and 21 not in {
        row.row for row in plan.train
    }
    assert any("row 21" in line and "one question only" in line for line in cautions(plan))
    file.write_text(json.dumps([{"messages": rows[n]["messages"] * 2} for n in range(3)]))
    with pytest.raises(StyleError, match="Row 1: .*one question only"):
        measure_dataset(load_dataset(file), load_encoder(POCKET, str(style)))


def test_a_system_turn_that_a_style_refuses_goes_in_front_of_the_first_question_and_that_is_said(
    tmp_path: Path, workspace: Workspace
) -> None:
    style, file = tmp_path / "plain.jinja", tmp_path / "rows.json"
    style.write_text(
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('System role not "
        "supported') }}{% endif %}"
        "<{{ m.role }}>{{ m.content }}{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}{% "
        "endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    file.write_text(
        json.dumps([{"messages": turns}] * 9 + [{"messages": turns, "system": "Be brief."}])
    )
    dataset = load_dataset(file)
    encoder = load_encoder(POCKET, str(style))
    assert (
        encoder.example_text(dataset.example(10))
        == "<user>Be brief.\n\nHi<assistant>Hello<|endoftext|>"
    )
    asked = encoder.encode_prompt(dataset.example(10).prompt)
    assert encoder.encode_example(dataset.example(10)).ids.tolist()[: len(asked)] == asked
    plan = plan_run(
        dataset, TrainingSettings(style=str(style), test_share=0.0, validation_share=0.0), workspace
    )
    assert plan.joins_system and any(
        "no place for a system prompt" in line for line in cautions(plan)
    )


def test_conversations_of_the_same_turns_are_laid_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A template sees marks alone, so what it writes around them is the same."""
    fills: list[int] = []
    usual = Style.fill
    monkeypatch.setattr(
        Style,
        "fill",
        lambda self, *values, **named: (fills.append(1), usual(self, *values, **named))[1],
    )
    _lay_out.cache_clear()
    encoder = load_encoder(POCKET, "chatml")
    texts = [
        encoder.example_text(
            Example(n, (Turn("user", f"Say {n}."), Turn("assistant", f"It is {n}.")))
        )
        for n in range(5)
    ]
    assert texts[3] == texts[4].replace("4", "3")
    assert len(fills) == 2  # the conversation, and the question alone
    encoder.example_text(Example(9, (Turn("user", "Say 9.", "9"), Turn("assistant", "9"))))
    assert len(fills) > 2


ROWS = (make_row(1, (5, 6), (7, 8, 0)), make_row(2, (5,), (9, 0)))


def test_targets_are_inputs_shifted_by_one_with_prompt_and_padding_hidden() -> None:
    batch = collate(ROWS, pad_id=0, mask_prompt=True)
    assert batch.inputs.tolist() == [[5, 6, 7, 8], [5, 9, 0, 0]]
    assert batch.targets.tolist() == [[-100, 7, 8, 0], [9, 0, -100, -100]]
    assert (batch.trained_tokens, batch.real_tokens) == (5, 8)


def test_without_the_mask_everything_but_padding_is_learnt() -> None:
    assert collate(ROWS, pad_id=0, mask_prompt=False).targets.tolist() == [
        [6, 7, 8, 0],
        [9, 0, IGNORED, IGNORED],
    ]


@given(
    st.lists(st.integers(1, 90), min_size=1, max_size=200),
    st.integers(1, 16),
    st.integers(0, 3),
    st.integers(0, 3),
)
def test_an_epoch_holds_every_row_once_and_is_the_same_each_time(
    lengths: list[int], size: int, seed: int, epoch: int
) -> None:
    batches = plan_epoch(lengths, size, seed, epoch)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    assert len(batches) == -(-len(lengths) // size)
    assert batches == plan_epoch(lengths, size, seed, epoch)
    evaluated = plan_evaluation(lengths, size)
    assert sorted(index for batch in evaluated for index in batch) == list(range(len(lengths)))


def test_batches_of_like_length_waste_little_on_padding() -> None:
    lengths = [10 + (i * 37) % 90 for i in range(640)]
    padded = sum(
        max(lengths[i] for i in batch) * len(batch) for batch in plan_epoch(lengths, 8, 0, 0)
    )
    assert padded / sum(lengths) < 1.10


def test_the_preview_is_what_the_batch_holds() -> None:
    encoder = load_encoder(POCKET, "alpaca")
    short, long = ask("Q", "A"), ask("Q", "A much longer answer than the other one.")
    preview = preview_row(short, encoder, 512, beside=[long])
    row, batch = (
        encoder.encode_example(short),
        collate([encoder.encode_example(short), encoder.encode_example(long)], 0, mask_prompt=True),
    )
    assert [token.id for token in preview.tokens][: batch.inputs.shape[1]] == batch.inputs[
        0
    ].tolist()
    assert [token.trained for token in preview.tokens[1:]] == [
        target != IGNORED for target in batch.targets[0].tolist()
    ]
    assert [token.padding for token in preview.tokens].count(True) == batch.inputs.shape[
        1
    ] + 1 - len(row.ids)
    assert preview.ends_with_end_token and preview.cut_tokens == 0


SHAPES = (
    (Turn("user", "Name a colour."), Turn("assistant", "Green, like the hills after the rain.")),
    (Turn("user", "Sum up.", "Rain fell all day."), Turn("assistant", "It rained.")),
    (Turn("system", "Be brief."), Turn("user", "Hi"), Turn("assistant", "Hello. How are you?")),
    (
        Turn("user", "One?"), Turn("assistant", "First.", trained=False),
        Turn("user", "Two?"), Turn("assistant", "<think>\nhm\n</think>\n\nSecond."),
    ),
    (
        Turn("user", "When?"),
        Turn("assistant", "<think>\nhm\n</think>\n\nNow.", thought_trained=False),
    ),
    (Turn("assistant", "Once upon a time a lion lived by a river, and it was thirsty."),),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    style=st.sampled_from(STYLES),
    numbers=st.lists(st.integers(0, len(SHAPES) - 1), min_size=1, max_size=4),
    max_tokens=st.integers(3, 80),
    long_rows=st.sampled_from(LONG_ROWS),
    mask_prompt=st.booleans(),
)
def test_the_preview_and_the_batch_that_is_trained_on_agree_token_by_token(
    style: str, numbers: list[int], max_tokens: int, long_rows: LongRows, mask_prompt: bool
) -> None:
    encoder = load_encoder(POCKET, style)
    examples = [Example(1 + n, SHAPES[number]) for n, number in enumerate(numbers)]
    preview = preview_row(
        examples[0], encoder, max_tokens, mask_prompt=mask_prompt, long_rows=long_rows,
        beside=examples[1:],
    )  # fmt: skip
    rows = {example.row: encoder.encode_example(example) for example in examples}
    chosen = change_settings(
        TrainingSettings(), {"mask_prompt": mask_prompt, "long_rows": long_rows}
    )
    learnt = {row.row: row for row in reversed(_fit(examples, rows, max_tokens, chosen).kept)}
    for number, tokens in preview.batch:
        own = [token for token in tokens if not token.padding]
        if number not in learnt:  # nothing is left of its answer, or it is left out
            assert not any(token.trained for token in own)
            continue
        batch = collate([learnt[number]], encoder.tokenizer.pad_id, mask_prompt=mask_prompt)
        is_target = [target != IGNORED for target in batch.targets[0].tolist()]
        assert [token.id for token in own] == learnt[number].ids.tolist()
        assert [token.trained for token in own] == [False, *is_target]
    if len(learnt) == len(examples):
        rows_learnt = [learnt[number] for number, _ in preview.batch]
        whole = collate(rows_learnt, encoder.tokenizer.pad_id, mask_prompt=mask_prompt)
        for index, (_, tokens) in enumerate(preview.batch):
            assert [token.id for token in tokens][:-1] == whole.inputs[index].tolist()


def test_a_row_cut_before_its_end_token_is_said_so() -> None:
    preview = preview_row(ask("Q", "A rather long answer."), load_encoder(POCKET, "phi3"), 19)
    assert not preview.ends_with_end_token
    assert preview.cut_tokens > 0
