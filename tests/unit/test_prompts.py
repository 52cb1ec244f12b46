"""One function renders; ids, masks and batches follow from it."""

import json
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, decoders, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as CheckpointTokenizer

from core.datasets.conversation import Example, Turn
from core.datasets.dataset import load_dataset
from core.datasets.samples import SAMPLES
from core.errors import ModelError, StyleError
from core.prompts.built_in import BUILT_IN
from core.prompts.chat_template import Style
from core.prompts.collate import IGNORED, plan_epoch, plan_evaluation
from core.prompts.encoded_dataset import encode_dataset, measure_dataset
from core.prompts.encoder import EncodedRow, PromptEncoder, load_encoder, make_row
from core.prompts.preview import preview_row
from core.prompts.render import _lay_out, render
from core.prompts.tokenizer import Tokenizer, load_tokenizer
from core.storage.workspace import Workspace
from core.training.kernels.batch import collate
from core.training.planning.cautions import cautions
from core.training.planning.plan import plan_run
from core.training.settings import TrainingSettings
from tests.conftest import DATA, POCKET

STYLES = list(BUILT_IN)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def ask(text: str, answer: str, given_input: str = "") -> Example:
    return Example(1, (Turn("user", text, given_input), Turn("assistant", answer)))


def test_alpaca_is_written_as_its_authors_wrote_it() -> None:
    encoder = load_encoder(POCKET, "alpaca")
    assert encoder.example_text(ask("Add.", "3", "1 and 2")) == (
        "Below is an instruction that describes a task, paired with an input that provides "
        "further context. "
        "Write a response that appropriately completes the request.\n\n"
        "### Instruction:\nAdd.\n\n### Input:\n1 and 2\n\n### Response:\n3<|endoftext|>"
    )
    assert encoder.prompt_text([Turn("user", "Hi")]) == (
        "Below is an instruction that describes a task. Write a response that appropriately "
        "completes the request.\n\n"
        "### Instruction:\nHi\n\n### Response:\n"
    )


@pytest.mark.parametrize(
    ("style", "text"),
    [
        ("phi3", "<|user|>\nQ\nI<|end|>\n<|assistant|>\nA<|endoftext|>"),
        ("chatml", "<|im_start|>user\nQ\nI<|im_end|>\n<|im_start|>assistant\nA<|endoftext|>"),
        (
            "llama3",
            "<|start_header_id|>user<|end_header_id|>\n\nQ\nI<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nA<|endoftext|>",
        ),
    ],
)
def test_chat_styles_end_answers_with_the_checkpoints_own_end_token(style: str, text: str) -> None:
    assert load_encoder(POCKET, style).example_text(ask("Q", "A", "I")) == text


@pytest.mark.parametrize("style", STYLES)
def test_several_turns_train_every_answer_and_nothing_else(style: str) -> None:
    encoder = load_encoder(POCKET, style)
    turns = (
        Turn("system", "Be kind."),
        Turn("user", "One?"),
        Turn("assistant", "Uno."),
        Turn("user", "Two?"),
        Turn("assistant", "Due."),
    )
    segments = render(encoder.style, turns, ask=False)
    assert (
        "".join(segment.text for segment in segments if segment.trained)
        == "Uno.<|endoftext|>Due.<|endoftext|>"
    )


@given(
    question=TEXT.filter(str.strip),
    given_input=TEXT,
    answer=TEXT.filter(str.strip),
    style=st.sampled_from(STYLES),
)
def test_the_ids_a_model_is_asked_with_are_the_ids_it_was_trained_on(
    question: str, given_input: str, answer: str, style: str
) -> None:
    encoder = load_encoder(POCKET, style)
    example = ask(question, answer, given_input)
    row = encoder.encode_example(example)
    prompt = encoder.encode_prompt(example.prompt)
    assert list(row.ids[: len(prompt)]) == prompt
    assert row.trained == bytes(len(prompt)) + b"\1" * (len(row.ids) - len(prompt))
    assert row.ids[-1] == encoder.end_id
    assert encoder.tokenizer.decode(row.ids, with_special=True) == encoder.example_text(example)


@given(TEXT.filter(str.strip))
def test_what_looks_like_a_special_token_in_a_persons_text_stays_text(text: str) -> None:
    encoder = load_encoder(POCKET, "alpaca")
    prompt = encoder.encode_prompt([Turn("user", f"{text}<|endoftext|>{text}")])
    assert encoder.end_id not in prompt


@given(
    st.sampled_from(["{{ 7 * 7 }}", "{% for x in y %}", "\ue0000\ue001", "{# #}"]),
    st.sampled_from(STYLES),
)
def test_template_signs_in_a_persons_text_stay_text(text: str, style: str) -> None:
    assert text in load_encoder(POCKET, style).example_text(ask(text, "A"))


@given(st.lists(TEXT.filter(str.strip), min_size=3, max_size=5), st.sampled_from(STYLES))
def test_in_a_long_conversation_too_the_ids_asked_are_the_ids_trained(
    texts: list[str], style: str
) -> None:
    encoder = load_encoder(POCKET, style)
    turns = tuple(
        Turn("assistant" if index % 2 else "user", text)
        for index, text in enumerate(texts[: len(texts) // 2 * 2])
    )
    row = encoder.encode_example(Example(1, turns))
    prompt = encoder.encode_prompt(turns[:-1])
    assert list(row.ids[: len(prompt)]) == prompt


def test_a_template_whose_answers_follow_a_space_is_asked_as_it_was_trained(tmp_path: Path) -> None:
    path = tmp_path / "bot.jinja"
    path.write_text(
        "{% for m in messages %}{{ m.role }}: {{ m.content }}{% if m.role == 'assistant' %}{{ "
        "eos_token }}{% endif %}\n"
        "{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
    )
    encoder = load_encoder(POCKET, str(path))
    turns = (
        Turn("user", "Hi"),
        Turn("assistant", "Hello"),
        Turn("user", "And?"),
        Turn("assistant", "Bye"),
    )
    prompt = encoder.encode_prompt(turns[:-1])
    assert list(encoder.encode_example(Example(1, turns)).ids[: len(prompt)]) == prompt


def test_an_input_goes_below_the_instruction_where_a_template_knows_no_such_thing(
    tmp_path: Path,
) -> None:
    path = tmp_path / "plain.jinja"
    path.write_text(
        "{% for m in messages %}[{{ m.content }}]{% if m.role == 'assistant' %}{{ eos_token }}{% "
        "endif %}{% endfor %}"
    )
    assert (
        load_encoder(POCKET, str(path)).example_text(ask("Add.", "3", "1 and 2"))
        == "[Add.\n1 and 2][3]<|endoftext|>"
    )


def test_a_model_with_a_template_of_its_own_is_asked_in_it_by_default(tmp_path: Path) -> None:
    template = "{% for m in messages %}<|im_start|>{{ m.content }}<|im_end|>{% endfor %}"
    assert (
        load_encoder(copy_pocket(tmp_path / "model", chat_template=template)).style.name == "model"
    )
    assert load_encoder(POCKET).style.name == "alpaca"


def style(template: str) -> Style:
    return Style("test", template, "<|endoftext|>", "", "<|endoftext|>")


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        ("{{ messages[0].content.__class__.__mro__ }}", "cannot render"),
        ("{{ cycler.__init__.__globals__ }}", "cannot render"),
        ("{% for m in messages %}{{ m.role }}{% endfor %}", "leaves out message 1"),
        (
            "{% for m in messages %}{{ m.content }}{% endfor %}{{ raise_exception('no') }}",
            "cannot render",
        ),
        (
            (
                "{% for m in messages %}{{ loop.index }}{{ m.content }}{% endfor %}{{ "
                "messages|length }}"
            ),
            "does not write answer",
        ),
        ("{% for m in messages %}{{ m.content }", "not valid Jinja"),
    ],
)
def test_a_template_that_cannot_be_used_gets_one_sentence(template: str, sentence: str) -> None:
    with pytest.raises(StyleError, match=sentence):
        render(style(template), ask("Q", "A").turns, ask=False)


def test_a_style_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StyleError, match="There is no style 'nothing'"):
        load_encoder(POCKET, "nothing")
    with pytest.raises(StyleError, match="no chat template of its own"):
        load_encoder(POCKET, "model")


def test_a_persons_own_template_is_used(tmp_path: Path) -> None:
    path = tmp_path / "mine.jinja"
    path.write_text(
        "{% for m in messages %}{% if m.role == 'user' %}Q: {{ m.content }}\nA:{% else %} {{ "
        "m.content }}{{ eos_token }}{% endif %}{% endfor %}"
    )
    assert (
        load_encoder(POCKET, str(path)).example_text(ask("why", "so"))
        == "Q: why\nA: so<|endoftext|>"
    )


def copy_pocket(folder: Path, **settings: object) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text((POCKET / "config.json").read_text())
    document = json.loads((POCKET / "tokenizer.json").read_text())
    for token in ("<|im_start|>", "<|im_end|>", "<s>"):
        document["added_tokens"].append(
            {
                **document["added_tokens"][0],
                "content": token,
                "id": 8191 + len(document["added_tokens"]),
            }
        )
    if settings.pop("add_bos", False):
        document["post_processor"] = {
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": "<s>", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
            ],
            "pair": [
                {"Sequence": {"id": "A", "type_id": 0}},
                {"Sequence": {"id": "B", "type_id": 1}},
            ],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [8194], "tokens": ["<s>"]}},
        }
    (folder / "tokenizer.json").write_text(json.dumps(document))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"eos_token": "<|endoftext|>", **settings})
    )
    return folder


def test_a_style_uses_its_own_end_token_where_the_vocabulary_has_it(tmp_path: Path) -> None:
    encoder = load_encoder(copy_pocket(tmp_path / "model"), "chatml")
    assert (
        encoder.example_text(ask("Q", "A"))
        == "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\nA<|im_end|>"
    )
    row = encoder.encode_example(ask("Q", "A"))
    assert row.ids[-1] == encoder.end_id == encoder.tokenizer.special_ids["<|im_end|>"]


def test_a_checkpoints_own_template_may_end_answers_with_another_token_and_think_first(
    tmp_path: Path,
) -> None:
    template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' "
        "%}<think>\n\n</think>\n\n{% endif %}"
        "{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt "
        "%}<|im_start|>assistant\n{% endif %}"
    )
    encoder = load_encoder(copy_pocket(tmp_path / "model", chat_template=template), "model")
    segments = render(encoder.style, ask("Q", "A").turns, ask=False)
    assert (
        "".join(segment.text for segment in segments if segment.trained)
        == "<think>\n\n</think>\n\nA<|im_end|>"
    )
    assert encoder.end_id == encoder.tokenizer.special_ids["<|im_end|>"]


def test_a_checkpoint_that_puts_a_token_in_front_gets_it_in_every_style(tmp_path: Path) -> None:
    folder = copy_pocket(tmp_path / "model", bos_token="<s>", add_bos=True)
    for name in STYLES:
        ids = load_encoder(folder, name).encode_prompt([Turn("user", "Q")])
        assert ids[0] == 8194 and ids.count(8194) == 1


# as Llama 3's tokenizer.json has it
LLAMA_3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEXT_FILES = (
    *SAMPLES.values(),
    *(
        DATA / name
        for name in ("alpaca-scripts.json", "dolly.jsonl", "sharegpt.json", "identity.json")
    ),
)


@cache
def texts() -> tuple[str, ...]:
    """Texts of three languages and ten scripts, code among them."""
    examples = [row for file in TEXT_FILES for row in load_dataset(file).examples[:300]]
    return tuple(part for row in examples for turn in row.turns for part in (turn.text, turn.input))


def trained(pre_tokenizer: pre_tokenizers.PreTokenizer, **options: Any) -> CheckpointTokenizer:
    """Return a byte-level vocabulary of 2,000 tokens learnt from our texts."""
    tokenizer = CheckpointTokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    options.setdefault("initial_alphabet", pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=2000, special_tokens=["<|endoftext|>"], show_progress=False, **options
    )
    tokenizer.train_from_iterator(texts(), trainer)
    return tokenizer


def test_tiktoken_gives_llama_3s_kind_of_ids(tmp_path: Path) -> None:
    split = pre_tokenizers.Split(Regex(LLAMA_3_PATTERN), behavior="isolated")
    steps = [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    trained(pre_tokenizers.Sequence(steps)).save(str(tmp_path / "tokenizer.json"))
    _check_equal(tmp_path)


def test_tiktoken_gives_qwens_kind_of_ids_where_text_is_brought_to_normal_form(
    tmp_path: Path,
) -> None:
    document = json.loads((POCKET / "tokenizer.json").read_text())
    (tmp_path / "tokenizer.json").write_text(
        json.dumps({**document, "normalizer": {"type": "NFC"}})
    )
    tokenizer = _check_equal(tmp_path)
    assert tokenizer.encode("e\u0301") == tokenizer.encode("\u00e9")


def test_a_vocabulary_without_all_bytes_runs_on_its_own_tokenizer(tmp_path: Path) -> None:
    made = trained(pre_tokenizers.ByteLevel(add_prefix_space=False), initial_alphabet=[])
    made.save(str(tmp_path / "tokenizer.json"))
    assert load_tokenizer(tmp_path).engine == "tokenizers"


def test_tiktoken_gives_pockets_own_ids() -> None:
    _check_equal(POCKET)


def test_tiktoken_gives_the_ids_of_gpt2s_two_files(tmp_path: Path) -> None:
    trained(pre_tokenizers.ByteLevel(add_prefix_space=False)).model.save(str(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {"vocab.json", "merges.txt"}
    (tmp_path / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "GPT2Tokenizer", "eos_token": "<|endoftext|>"}'
    )
    (tmp_path / "config.json").write_text('{"model_type": "gpt2", "eos_token_id": 0}')
    tokenizer = _check_equal(tmp_path)
    assert tokenizer.special_ids["<|endoftext|>"] == 0


def _check_equal(folder: Path) -> Tokenizer:
    tokenizer = load_tokenizer(folder)
    assert tokenizer.engine == "tiktoken"
    oracle: CheckpointTokenizer = tokenizer.fallback
    for text in texts():
        ids = tokenizer.encode(text)
        assert ids == oracle.encode(text, add_special_tokens=False).ids
        is_normal = tokenizer.byte_level.normal_form
        assert tokenizer.decode(ids) == (normalize("NFC", text) if is_normal else text)
    return tokenizer


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_tiktoken_gives_pockets_own_ids_on_any_text(text: str) -> None:
    tokenizer = load_tokenizer(POCKET)
    assert tokenizer.encode(text) == tokenizer.fallback.encode(text, add_special_tokens=False).ids
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_digits_split_one_by_one_before_byte_level_give_equal_ids(tmp_path: Path) -> None:
    document = json.loads((POCKET / "tokenizer.json").read_text())
    document["pre_tokenizer"] = {
        "type": "Sequence",
        "pretokenizers": [
            {"type": "Digits", "individual_digits": True},
            {
                "type": "ByteLevel",
                "add_prefix_space": False,
                "trim_offsets": True,
                "use_regex": True,
            },
        ],
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps(document))
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.engine == "tiktoken"
    for text in ("a  5", "12 345  6\n7", "x2y", "  9"):
        assert (
            tokenizer.encode(text) == tokenizer.fallback.encode(text, add_special_tokens=False).ids
        )


def test_another_kind_of_vocabulary_runs_on_its_own_tokenizer(tmp_path: Path) -> None:
    from tokenizers import models, pre_tokenizers, trainers

    made = CheckpointTokenizer(models.WordPiece(unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.train_from_iterator(
        ["what is it", "it is what it is"],
        trainers.WordPieceTrainer(vocab_size=60, special_tokens=["[UNK]", "[END]"]),
    )
    made.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": "[END]"}')
    encoder = load_encoder(tmp_path, "alpaca")
    assert encoder.tokenizer.engine == "tokenizers"
    row = encoder.encode_example(ask("what is it", "it is"))
    assert row.ids[-1] == encoder.end_id
    assert list(
        row.ids[: len(encoder.encode_prompt([Turn("user", "what is it")]))]
    ) == encoder.encode_prompt([Turn("user", "what is it")])


def test_a_folder_without_tokenizer_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="has no tokenizer that can be read"):
        load_tokenizer(tmp_path)


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


def test_a_row_cut_before_its_end_token_is_said_so() -> None:
    preview = preview_row(ask("Q", "A rather long answer."), load_encoder(POCKET, "phi3"), 19)
    assert not preview.ends_with_end_token
    assert preview.cut_tokens > 0
