"""Templates of Ollama's made from styles, filled as Go would fill them."""

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from core.datasets.conversation import Turn
from core.export.ollama import ChatPieces, chat_pieces, go_template
from core.prompts.built_in import BUILT_IN
from core.prompts.encoder import load_encoder
from tests.conftest import POCKET


def fill(template: str, turns: list[Turn]) -> str:
    """Fill a template as Go would, as far as ours go; benchmarks/exports_in_llama_cpp.py asks Go."""
    system = "".join(turn.text for turn in turns if turn.role == "system")
    parts = re.split(r'(\{\{ "(?:[^"\\]|\\.)*" \}\}|\{\{.*?\}\})', template)

    def constants(text: list[str]) -> str:
        return "".join(json.loads(one[2:-2]) if one.startswith('{{ "') else one for one in text)

    heads = [part for part in parts if part.startswith("{{") and not part.startswith('{{ "')]
    assert heads == [
        "{{ if .System }}", "{{ .System }}", "{{ else }}", "{{ end }}",
        "{{ range $i, $m := .Messages }}", '{{ if eq $m.Role "user" }}', "{{ $m.Content }}",
        '{{ else if eq $m.Role "assistant" }}', "{{ $m.Content }}",
        "{{ if gt (len (slice $.Messages $i)) 1 }}", "{{ end }}", "{{ end }}", "{{ end }}",
    ]  # fmt: skip
    between, rest = [], parts
    for head in heads:
        at = rest.index(head)
        between.append(constants(rest[:at]))
        rest = rest[at + 1 :]
    text = between[1] + system + between[2] if system else between[3]
    for number, turn in enumerate(turns):
        if turn.role == "user":
            text += turn.text + between[7]
        elif turn.role == "assistant":
            text += turn.text + (between[10] if number < len(turns) - 1 else "")
    return text


_TEXT = st.text(min_size=1, max_size=20).map(str.strip).filter(bool)


@given(st.sampled_from(sorted(BUILT_IN)), _TEXT, st.lists(_TEXT, min_size=1, max_size=7))
def test_ollama_asks_as_the_style_asks(style: str, system: str, texts: list[str]) -> None:
    encoder = load_encoder(POCKET, style)
    texts = texts if len(texts) % 2 else texts[:-1]
    roles = ("user", "assistant")
    turns = [Turn(roles[number % 2], text) for number, text in enumerate(texts)]  # type: ignore[arg-type]
    turns = [Turn("system", system), *turns] if system else turns
    assert fill(go_template(chat_pieces(encoder)), turns) == encoder.prompt_text(turns)


def test_markup_of_go_in_a_style_stands_for_itself() -> None:
    pieces = ChatPieces('{{ say "hi" }}', 'a"', "b\\", "c}}", "d")
    turns = [Turn("system", "S"), Turn("user", "U"), Turn("assistant", "A"), Turn("user", "V")]
    assert fill(go_template(pieces), turns) == 'a"Sb\\Uc}}AdVc}}'
    assert fill(go_template(pieces), turns[1:]) == '{{ say "hi" }}Uc}}AdVc}}'
