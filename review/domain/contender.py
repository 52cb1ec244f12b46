"""Something whose responses are judged, before a review is written down. Knows no table."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["model", "expected", "file", "endpoint"]
# the contender that answers with the dataset's own answers
EXPECTED: Literal["expected"] = "expected"


@dataclass(frozen=True, slots=True)
class Entrant:
    """A contender before the review is written down."""

    name: str
    kind: Kind = "model"
    # what it takes to find it again, and that it is the same
    facts: Mapping[str, Any] = field(default_factory=dict)
    # by row of the dataset, where they are there already
    responses: Mapping[int, str] = field(default_factory=dict)
