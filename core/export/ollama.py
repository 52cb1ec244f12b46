"""The Modelfile that lets Ollama ask a model as it was tuned.

Ollama fills templates in Go's syntax. One is made from the style by looking at what the style writes
between texts, and it is compared with the style on conversations of several shapes before it is
used. Knows no weights.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from core.datasets.conversation import Turn
from core.errors import StyleError
from core.prompts.encoder import PromptEncoder

MODEL_FILE, MODELFILE = "model.gguf", "Modelfile"
_SYSTEM, _FIRST, _ANSWER, _SECOND = "\ue100", "\ue101", "\ue102", "\ue103"
_MOST_ROUNDS = 3
_RAW_IS_UNSAFE = ("{{", "}}", '"', "\\")


@dataclass(frozen=True, slots=True)
class ChatPieces:
    """What a style writes between the texts of a conversation that asks for an answer."""

    begin: str  # before the first question where there is no system prompt
    before_system: str
    after_system: str  # and before the first question
    after_question: str
    after_answer: str  # and before the next question

    def write(self, turns: Sequence[Turn]) -> str:
        """Return the text that asks for the next answer."""
        system = [turn.text for turn in turns if turn.role == "system"]
        text = f"{self.before_system}{system[0]}{self.after_system}" if system else self.begin
        for turn in turns:
            if turn.role == "user":
                text += turn.text + self.after_question
            elif turn.role == "assistant":
                text += turn.text + self.after_answer
        return text


def chat_pieces(encoder: PromptEncoder) -> ChatPieces:
    """Take a style apart. Raises StyleError where conversations are not written piece by piece."""
    question = Turn("user", _FIRST)
    rounds = [question, Turn("assistant", _ANSWER), Turn("user", _SECOND)]
    try:
        begin, after_question = encoder.prompt_text([question]).split(_FIRST)
        before, rest = encoder.prompt_text([Turn("system", _SYSTEM), question]).split(_SYSTEM)
        _, between = encoder.prompt_text(rounds).split(_ANSWER)
        pieces = ChatPieces(
            begin, before, rest.split(_FIRST)[0], after_question, between.split(_SECOND)[0]
        )
    except ValueError as error:  # a text stands there more than once, or not at all
        raise StyleError(_refusal(encoder)) from error
    for turns in _shapes():
        if pieces.write(turns) != encoder.prompt_text(turns):
            raise StyleError(_refusal(encoder))
    return pieces


def go_template(pieces: ChatPieces) -> str:
    """Return the pieces as a template of Ollama's."""
    return (
        "{{ if .System }}" + _literal(pieces.before_system) + "{{ .System }}"
        + _literal(pieces.after_system) + "{{ else }}" + _literal(pieces.begin) + "{{ end }}"
        '{{ range $i, $m := .Messages }}{{ if eq $m.Role "user" }}{{ $m.Content }}'
        + _literal(pieces.after_question)
        + '{{ else if eq $m.Role "assistant" }}{{ $m.Content }}'
        "{{ if gt (len (slice $.Messages $i)) 1 }}" + _literal(pieces.after_answer)
        + "{{ end }}{{ end }}{{ end }}"
    )  # fmt: skip


def modelfile(encoder: PromptEncoder, context: int) -> str:
    """Return the Modelfile of a model whose longest text is ``context`` tokens. Raises StyleError."""
    lines = [
        "# ollama create NAME -f Modelfile",
        f"FROM ./{MODEL_FILE}",
        f'TEMPLATE """{go_template(chat_pieces(encoder))}"""',
        f"PARAMETER num_ctx {context}",
        *(f"PARAMETER stop {json.dumps(end, ensure_ascii=False)}" for end in _ends(encoder)),
    ]
    return "\n".join(lines) + "\n"


def _ends(encoder: PromptEncoder) -> list[str]:
    """Return the texts that end an answer: the end token's, else what the next question begins
    with.
    """
    if encoder.style.end:
        return [encoder.style.end]
    heading = chat_pieces(encoder).after_answer.strip()
    return [heading] if heading else []


def _literal(text: str) -> str:
    """Return a text that stands in a template for itself."""
    if any(part in text for part in _RAW_IS_UNSAFE):
        return "{{ " + json.dumps(text, ensure_ascii=False) + " }}" if text else ""
    return text


def _shapes() -> list[list[Turn]]:
    shapes = []
    for rounds in range(1, _MOST_ROUNDS + 1):
        turns = [
            turn
            for number in range(rounds)
            for turn in (
                Turn("user", f"question {number}?"),
                Turn("assistant", f"answer {number}."),
            )
        ][:-1]
        shapes += [turns, [Turn("system", "Be kind."), *turns]]
    return shapes


def _refusal(encoder: PromptEncoder) -> str:
    return (
        f"The style '{encoder.style.name}' writes conversations in a way that Ollama's templates "
        "cannot: export as gguf, which carries the template itself."
    )
