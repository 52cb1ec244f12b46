"""The values that leave this package: one conversation per row. Knows no file format."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant"]
SplitName = Literal["train", "validation", "test"]
SPLIT_NAMES: tuple[SplitName, ...] = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation."""

    role: Role
    text: str
    input: str = ""  # Alpaca's optional second field of a user turn
    # of an answer: whether it is learnt; the data may say that it is only read
    trained: bool = True


@dataclass(frozen=True, slots=True)
class Example:
    """One usable row: a conversation that ends with the answer to be learnt."""

    row: int  # counted from 1 in the file it came from
    turns: tuple[Turn, ...]
    split: SplitName | None = None  # set when the file itself assigns the row to a split
    category: str = ""  # what kind of row it is, where the file says so

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
