"""The values that leave this package: one conversation per row. Knows no file format."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant"]
SplitName = Literal["train", "validation", "test"]
SPLIT_NAMES: tuple[SplitName, ...] = ("train", "validation", "test")


class RowRefusedError(Exception):
    """A row cannot become an example; the text is the reason a user reads.

    Never leaves this package.
    """


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation."""

    role: Role
    text: str
    input: str = ""  # Alpaca's optional second field of a user turn
    # of an answer: whether it is learnt; the data may say that it is only read
    trained: bool = True
    thought_trained: bool = True  # of an answer: whether the thoughts before it are, too
    # whether its <tools>, <tool_call> or <tool_response> are a tool's, not a person's words
    tool: bool = False


@dataclass(frozen=True, slots=True)
class Example:
    """One usable row: a conversation that ends with the answer to be learnt.

    A row of plain text has one turn, the assistant's: it is learnt without a prompt.
    """

    row: int  # counted from 1 in the file it came from
    turns: tuple[Turn, ...]
    split: SplitName | None = None  # set when the file itself assigns the row to a split
    category: str = ""  # what kind of row it is, where the file says so
    rejected: str = ""  # of a preference: the answer that was not chosen
    drafted: bool = False  # its answer is a model's, and no person has looked at it yet

    @property
    def is_text(self) -> bool:
        """Whether it is plain text, which no prompt style is put around."""
        return len(self.turns) == 1

    @property
    def prompt(self) -> tuple[Turn, ...]:
        """All turns before the answer."""
        return self.turns[:-1]

    @property
    def answer(self) -> str:
        """The text of the last turn."""
        return self.turns[-1].text

    @property
    def prompt_text(self) -> str:
        """What is asked, as a user reads it: the turns before the answer, one below the other."""
        return "\n\n".join(turn_text(turn, named=len(self.turns) > 2) for turn in self.prompt)


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that cannot be used, and why."""

    row: int
    reason: str


def turn_text(turn: Turn, *, named: bool) -> str:
    """Return a turn as plain text, with its role in front when several people speak."""
    body = f"{turn.text}\n{turn.input}" if turn.input else turn.text
    return f"{turn.role}: {body}" if named else body
