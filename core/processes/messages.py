"""What a process of ours reports to the one that started it: a JSON object on a line of a file.

A process that nobody supervises reports nothing. What libraries print goes to its log, so neither
can be taken for the other.
"""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

VARIABLE = "FUATA_MESSAGES"  # names the file, in the environment of a process that is supervised


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What a process is doing just now, and how far it is where that can be counted."""

    stage: str  # as it is shown: "Adding the adapter"
    done: int = 0
    total: int = 0  # 0 where there is nothing to count
    unit: str = ""  # of what is counted: "layer"

    def __str__(self) -> str:
        """Return it as text for a user."""
        return (
            f"{self.stage}: {self.unit} {self.done} of {self.total}" if self.total else self.stage
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a process gives up: the sentence of a UserError."""

    text: str


Message = Progress | Failure
_TAIL_BYTES = 16_384
_KINDS: dict[str, type[Message]] = {kind.__name__: kind for kind in (Progress, Failure)}


def report(message: Message) -> None:
    """Add a message to the supervisor's file, where there is a supervisor."""
    if path := os.environ.get(VARIABLE):
        line = json.dumps({"kind": type(message).__name__, **asdict(message)}, ensure_ascii=False)
        # one write of a whole line; a supervisor that has gone is nobody's loss
        with suppress(OSError), Path(path).open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")


def last_progress(path: Path) -> Progress | None:
    """Return what a process reported last of what it is doing; None for nothing yet.

    Only the end of the file is read: it grows as long as the process runs.
    """
    if not path.is_file():
        return None
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - _TAIL_BYTES, 0))
        lines = file.read().split(b"\n")[:-1]  # what follows the last end of line is half a line
    for line in reversed(lines):
        try:
            values = json.loads(line)
        except ValueError:  # the beginning of the first was cut off
            return None
        if values.pop("kind") == Progress.__name__:
            return Progress(**values)
    return None


def read_messages(path: Path) -> Iterator[Message]:
    """Yield what a process has reported so far, in order; half a line at the end is left out."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    for line in text.splitlines(keepends=True):
        if line.endswith("\n"):
            values = json.loads(line)
            yield _KINDS[values.pop("kind")](**values)
