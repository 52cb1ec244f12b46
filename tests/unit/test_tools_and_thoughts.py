"""Tools and thoughts are written as a model's own template writes them: as transformers has it."""

import json
import time
from collections import Counter
from typing import Any

import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from core.datasets.conversation import Example, Turn
from core.datasets.formats import detect_format, read_example
from core.errors import StyleError
from core.prompts.chat_template import Style
from core.prompts.encoder import PromptEncoder, load_encoder
from core.prompts.render import render
from tests.conftest import POCKET

END = "<|endoftext|>"
# offers, calls and results, in the manner of ChatML models that know tools
TOOLS = """{%- if tools %}<sys>{% if messages[0].role == 'system' %}{{ messages[0].content }}
{% endif %}{% for tool in tools %}{{ tool | tojson }}
{% endfor %}</sys>{% elif messages[0].role == 'system' %}<sys>{{ messages[0].content }}</sys>{% endif -%}
{%- for m in messages if m.role != 'system' %}
{%- if m.role == 'tool' %}<tool>{{ m.content }}</tool>
{%- elif m.role == 'user' %}<user>{{ m.content }}</user>
{%- else %}<bot>{{ m.content or '' }}
{%- for call in m.tool_calls or [] %}<call>{"name": "{{ call.function.name }}", "arguments": \
{{ call.function.arguments | tojson }}}</call>{% endfor %}{{ eos_token }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}<bot>{% endif %}"""
# thoughts stand before the last answer alone, and an answer without any gets empty ones
THOUGHTS = """{%- set ns = namespace(last=0) %}
{%- for m in messages if m.role == 'user' %}{% set ns.last = loop.index0 * 2 %}{% endfor %}
{%- for m in messages %}
{%- if m.role == 'user' %}<user>{{ m.content }}</user>
{%- elif m.role == 'assistant' %}
{%- set thought = m.reasoning_content or '' %}{% set said = m.content %}
{%- if not thought and '</think>' in said %}
{%- set thought = said.split('</think>')[0].split('<think>')[-1].strip() %}
{%- set said = said.split('</think>')[-1].strip() %}{% endif -%}
<bot>{% if loop.index0 > ns.last %}<think>
{{ thought }}
</think>

{% endif %}{{ said }}{{ eos_token }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}<bot>{% endif %}"""
CLOCK = {"type": "function", "function": {"name": "clock", "description": "It's <noon> & “so”",
         "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}  # fmt: skip
ASKED = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "When?"},
    {"role": "assistant", "content": "", "tool_calls": [
        {"type": "function", "function": {"name": "clock", "arguments":
         {"city": 'Moshi "N"', "hours": 24, "zones": ["EAT", None]}}},
        {"type": "function", "function": {"name": "clock", "arguments": {"city": "Voi"}}}]},
    {"role": "tool", "content": "noon"},
    {"role": "tool", "content": '{"at": "one"}'},
    {"role": "assistant", "content": "It is noon in Moshi."},
    {"role": "user", "content": "Thanks"},
    {"role": "assistant", "content": "Welcome."},
]  # fmt: skip


def style(template: str) -> Style:
    return Style("own", template, END, "", END)


def read(row: dict[str, Any]) -> Example:
    file_format = detect_format([row])
    assert file_format is not None
    return read_example(1, row, file_format, Counter())


def by_transformers(template: str, messages: list[Any], tools: Any = None) -> str:
    filled, _ = render_jinja_template(
        [messages], chat_template=template, tools=tools, eos_token=END, bos_token=""
    )
    return str(filled[0])


def said(style: Style, example: Example) -> str:
    return "".join(part.text for part in render(style, example.turns, ask=False))


def learnt(style: Style, example: Example) -> str:
    return "".join(part.text for part in render(style, example.turns, ask=False) if part.trained)


@pytest.mark.parametrize("system", [True, False])
@pytest.mark.parametrize("offered", [True, False])
def test_tools_stand_as_transformers_writes_them(system: bool, offered: bool) -> None:
    messages = ASKED if system else ASKED[1:]
    tools = [CLOCK] if offered else None
    example = read({"messages": messages, **({"tools": tools} if tools else {})})
    assert said(style(TOOLS), example) == by_transformers(TOOLS, messages, tools)
    prompt = "".join(part.text for part in render(style(TOOLS), example.turns[:-1], ask=True))
    assert said(style(TOOLS), example) == f"{prompt}Welcome.{END}"


def test_of_a_call_everything_is_learnt_and_of_its_result_nothing() -> None:
    told = learnt(style(TOOLS), read({"messages": ASKED, "tools": [CLOCK]}))
    assert told == (
        '<call>{"name": "clock", "arguments": {"city": "Moshi \\"N\\"", "hours": 24, "zones": '
        '["EAT", null]}}</call><call>{"name": "clock", "arguments": {"city": "Voi"}}</call>'
        f"{END}It is noon in Moshi.{END}Welcome.{END}"
    )


def test_what_a_tool_says_is_never_read_as_a_special_token() -> None:
    messages = json.loads(json.dumps(ASKED).replace("noon", END).replace("Voi", END))
    encoder = PromptEncoder(load_encoder(POCKET).tokenizer, style(TOOLS))
    row = encoder.encode_example(read({"messages": messages}))
    assert list(row.ids).count(encoder.end_id) == 3  # of the three answers alone


def test_a_key_that_might_hold_a_mark_leaves_the_call_as_text() -> None:
    messages = json.loads(json.dumps(ASKED).replace('"hours"', f'"{END}"'))
    encoder = PromptEncoder(load_encoder(POCKET).tokenizer, style(TOOLS))
    example = read({"messages": messages})
    assert "<tool_call>" in encoder.example_text(example)
    assert list(encoder.encode_example(example).ids).count(encoder.end_id) == 3


@pytest.mark.parametrize("name", ["chatml", "alpaca"])
def test_styles_without_tools_have_them_as_text(name: str) -> None:
    text = load_encoder(POCKET, name).example_text(read({"messages": ASKED, "tools": [CLOCK]}))
    assert '<tool_call>\n{"name": "clock"' in text and "<tool_response>\nnoon" in text
    assert "<tools>" in text


def test_what_a_person_types_is_no_tools_result() -> None:
    typed = Turn("user", "<tool_response>\nnoon\n</tool_response>")
    example = Example(1, (typed, Turn("assistant", "A")))
    assert said(style(TOOLS), example).startswith("<user><tool_response>")


THOUGHT = "<think>\nhm\n</think>\n\nNow."


@pytest.mark.parametrize(
    "texts",
    [
        ["When?", THOUGHT],
        ["When?", THOUGHT, "Sure?", "<think>\nyes\n</think>\n\nYes."],
        ["When?", THOUGHT, "Sure?", "Yes."],
        ["When?", "Now.", "Sure?", "<think>\nyes\n</think>\n\nYes."],
    ],
)
def test_thoughts_stand_as_transformers_writes_them(texts: list[str]) -> None:
    turns = tuple(Turn("assistant" if n % 2 else "user", text) for n, text in enumerate(texts))
    messages = [{"role": turn.role, "content": turn.text} for turn in turns]
    example = Example(1, turns)
    assert said(style(THOUGHTS), example) == by_transformers(THOUGHTS, messages)
    prompt = "".join(part.text for part in render(style(THOUGHTS), turns[:-1], ask=True))
    assert said(style(THOUGHTS), example).startswith(prompt)


@pytest.mark.parametrize("template", [THOUGHTS, "chatml"])
def test_thoughts_that_are_only_read_are_not_learnt(template: str) -> None:
    own = load_encoder(POCKET, template).style if template == "chatml" else style(template)
    turns = (Turn("user", "When?"), Turn("assistant", THOUGHT, thought_trained=False))
    whole = Example(1, (turns[0], Turn("assistant", THOUGHT)))
    assert said(own, Example(1, turns)) == said(own, whole)
    assert learnt(own, Example(1, turns)) == f"Now.{END}"
    assert "hm" in learnt(own, whole)


def test_a_template_that_changes_a_call_refuses_the_row() -> None:
    shouting = TOOLS.replace("arguments | tojson", "arguments | tojson | upper")
    example = read({"messages": ASKED})
    assert "<tool_call>" in said(style(shouting), example)  # tried at once, and given up
    short = "{% if call.function.arguments | length < 2 %}<call>{"
    silent = TOOLS.replace("<call>{", short)
    silent = silent.replace("</call>{% endfor %}", "</call>{% endif %}{% endfor %}")
    with pytest.raises(StyleError, match="leaves out message 3|changes what is said"):
        said(style(silent), example)


def test_a_call_of_very_many_texts_stays_text_and_takes_no_other_turns_place() -> None:
    call = {"function": {"name": "clock", "arguments": {"of": [f"t{n}" for n in range(1200)]}}}
    messages = [ASKED[1], {"role": "assistant", "content": "", "tool_calls": [call]}]
    for more in ([], [{"role": "user", "content": "USER"}, {"role": "assistant", "content": "A"}]):
        text = said(style(TOOLS), read({"messages": [*messages, *more]}))
        assert "<tool_call>" in text and text.count("USER") == bool(more) and '"t1199"' in text


@pytest.mark.parametrize(
    "text",
    [" " * 200_000, "<tool_call>\n" * 20_000, "<tool_call>\n{}" + "\n</tool_call>x" * 20_000],
)
def test_a_tools_turn_of_any_length_takes_a_moment(text: str) -> None:
    turns = (Turn("user", "Hi"), Turn("assistant", f"a{text}b", tool=True))
    began = time.perf_counter()
    assert said(style(TOOLS), Example(1, turns))
    assert time.perf_counter() - began < 5
