"""A text that holds a conversation with marks between the turns: ``[INST]``, ChatML and others.

Knows no columns.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from core.datasets.conversation import Role, Turn
from core.text import trimmed

_ROLES: dict[str, Role] = {
    "system": "system", "user": "user", "human": "user", "instruction": "user", "input": "user",
    "inst": "user", "assistant": "assistant", "response": "assistant", "output": "assistant",
    "model": "assistant", "/inst": "assistant",
}  # fmt: skip
_SYSTEM = re.compile(r"<<SYS>>\s*(.*?)\s*<</SYS>>\s*", re.DOTALL)
_NEEDED_SHARE = 0.9  # of a file's texts, for their marks to be meant
_LOOKED_AT = 2_000


@dataclass(frozen=True, slots=True)
class Marks:
    """One way of writing who speaks inside a text."""

    name: str
    mark: re.Pattern[str]  # its first group that is set names who speaks
    ends: tuple[str, ...] = ()  # what closes a turn or a text, and is not said


MARKS = (
    Marks("ChatML", re.compile(r"<\|im_start\|>\s*(system|user|assistant)\s*\n"),
          ("<|im_end|>", "<|endoftext|>")),
    Marks("Llama 3", re.compile(
        r"<\|start_header_id\|>\s*(system|user|assistant)\s*<\|end_header_id\|>"),
          ("<|eot_id|>", "<|begin_of_text|>", "<|end_of_text|>")),
    Marks("Gemma", re.compile(r"<start_of_turn>(user|model)\n"), ("<end_of_turn>", "<bos>")),
    Marks("Phi-3", re.compile(r"<\|(system|user|assistant)\|>"),
          ("<|end|>", "<|endoftext|>", "</s>", "<s>")),
    Marks("[INST]", re.compile(r"\[(/?INST)\]"), ("</s>", "<s>")),
    Marks("###", re.compile(
        r"(?:^|\n)\s*#{2,3}\s*(Human|User|Assistant|System|Instruction|Input|Response|Output)\s*:[ ]?"
    ), ("</s>", "<s>", "<|endoftext|>")),
    Marks("Human/Assistant", re.compile(r"(?:^|\n)[ ]*(Human|User|Assistant|System):[ ]")),
)  # fmt: skip


def find_marks(texts: Sequence[str]) -> Marks | None:
    """Return the marks that nearly all of some texts have, None for plain text."""
    texts = [text for text in texts[:_LOOKED_AT] if text.strip()]
    for marks in MARKS:
        count = sum(read_transcript(text, marks) is not None for text in texts)
        if texts and count >= _NEEDED_SHARE * len(texts):
            return marks
    return None


def read_transcript(text: str, marks: Marks | None = None) -> tuple[Turn, ...] | None:
    """Return the turns that stand in a text, by ``marks`` or any; None where nobody is answered."""
    if marks is None:
        found = (read_transcript(text, one) for one in MARKS)
        return next((turns for turns in found if turns is not None), None)
    places = list(marks.mark.finditer(text))
    turns: list[Turn] = []
    ends = [*(place.start() for place in places[1:]), len(text)]
    for place, end_of_turn in zip(places, ends, strict=False):
        said = text[place.end() : end_of_turn]
        for end in marks.ends:
            said = said.replace(end, "")
        _add(turns, place[1].lower(), trimmed(said))
    roles = {turn.role for turn in turns}
    return tuple(turns) if {"user", "assistant"} <= roles else None


def _add(turns: list[Turn], role: str, said: str) -> None:
    if role == "input" and turns and turns[-1].role == "user":
        turns[-1] = replace(turns[-1], input=said)
        return
    if role == "inst" and (system := _SYSTEM.match(said)):
        turns.append(Turn("system", system[1]))
        said = trimmed(said[system.end() :])
    if said or role != "system":
        turns.append(Turn(_ROLES[role], said))
