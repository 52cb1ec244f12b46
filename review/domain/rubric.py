"""What reviewers are to judge by. Knows no table."""

from dataclasses import dataclass
from pathlib import Path

from core.errors import ReviewError

_LONGEST = 20_000
_LONGEST_NAME = 80


@dataclass(frozen=True, slots=True)
class Rubric:
    """A text with a name, shown beside every pair; empty for none."""

    name: str = ""
    text: str = ""

    def check(self) -> None:
        """Raise ReviewError when it is too long."""
        if len(self.name) > _LONGEST_NAME or len(self.text) > _LONGEST:
            raise ReviewError(
                f"A rubric has at most {_LONGEST:,} characters, and its name at most "
                f"{_LONGEST_NAME}: shorten it."
            )


NO_RUBRIC = Rubric()


def read_rubric(path: Path) -> Rubric:
    """Return the rubric in a text file, named like it.

    Raises ReviewError when it cannot be read.
    """
    try:
        return Rubric(path.stem, path.read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError) as error:
        raise ReviewError(
            f"The rubric {path} cannot be read as UTF-8 text: check the path."
        ) from error
