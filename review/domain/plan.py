"""What a review is made of, before any response is there. Knows no table."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from core.datasets.conversation import Example
from core.datasets.splits import SplitSettings
from core.errors import ReviewError
from core.generation.sampling import Sampling
from review.domain.contender import Entrant
from review.domain.rating import ResponseMode
from review.domain.rubric import NO_RUBRIC, Rubric

MOST_REPEATS = 50  # percent
DEFAULT_REPEATS = 5.0  # percent of the pairs, on the page and on the command line


@dataclass(frozen=True, slots=True)
class ReviewPlan:
    """A review that somebody wishes for."""

    name: str
    content_hash: str
    split: str  # "train", "validation", "test" or "all"
    splits: SplitSettings
    sampling: Sampling
    contenders: tuple[Entrant, ...]
    examples: tuple[Example, ...]
    overlap: int = 0  # how many people judge each pair; 0 stands for everybody
    rubric: Rubric = NO_RUBRIC
    # what is judged: pairs, or single responses that pass or have stars
    response_mode: ResponseMode = "pairs"
    repeats: float = 0.0  # percent of the pairs that each reviewer is shown twice
    # by row: the contenders that were trained on its prompt
    seen: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    left_out: int = 0  # rows that are not asked, for some contender was trained on them

    @property
    def notice(self) -> str:
        """What is to be known of the prompts; '' for nothing."""
        if self.left_out:
            which = "1 prompt is" if self.left_out == 1 else f"{self.left_out:,} prompts are"
            return f"{which} left out, which a contender has learnt from another file."
        if self.seen:
            names = ", ".join(dict.fromkeys(name for seen in self.seen.values() for name in seen))
            return f"{names} learnt {len(self.seen):,} of these prompts: on them it proves nothing that it answers well."
        return ""

    def check(self) -> None:
        """Raise ReviewError when nothing could be judged so."""
        names = {entrant.name for entrant in self.contenders}
        least = 2 if self.response_mode == "pairs" else 1
        if len(names) < least or len(names) < len(self.contenders):
            raise ReviewError(
                f"A review needs {('one', 'two')[least - 1]} or more different contenders."
            )
        self.rubric.check()
        if not 0 <= self.repeats <= MOST_REPEATS:
            raise ReviewError(
                f"The share of pairs shown twice must lie between 0 and {MOST_REPEATS} %."
            )
        if self.overlap < 0:
            raise ReviewError(
                "The number of people who judge each pair must be 0 (everybody) or more."
            )
        if not self.examples:
            raise ReviewError(
                f"The {self.split} split has no rows to review: choose another split or file."
            )
