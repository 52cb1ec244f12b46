"""One function renders; what a model is asked with is what it was trained on."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.datasets.conversation import Example, Turn
from core.errors import StyleError
from core.prompts.chat_template import Style
from core.prompts.encoder import load_encoder
from core.prompts.render import render
from tests.conftest import POCKET
from tests.prompts import STYLES, TEXT, ask


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
