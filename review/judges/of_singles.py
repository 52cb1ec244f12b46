"""What a judge says of single responses beside people who rate the same: means on people's scale, few
ratings and many judgements joined. Pure.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from review.domain.rating import MOST_STARS
from review.statistics.intervals import clustered_mean
from review.statistics.prediction_powered import PoweredMean, powered_mean
from review.store.verdicts import Vote, decisive

_MIDDLE = 0.5  # of a scale: neither good nor bad


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedMean:
    """A contender's mean by a judge, alone and with people; 0 is the worst of a scale, 1 the best."""

    contender: str
    responses: int
    mean: float  # of the judge alone
    low: float | None  # 95 % interval; None where too few prompts tell
    high: float | None
    powered: PoweredMean | None  # with people; None below twenty of their ratings
    human_responses: int
    stars: int  # that people give at most; 0 where they let pass or fail

    def on_scale(self, value: float) -> str:
        """Return a mean as people's scale has it."""
        return f"{1 + value * (self.stars - 1):.1f} stars" if self.stars else f"{value:.0%}"


def values_by_people(votes: Sequence[Vote]) -> dict[int, float]:
    """Return people's mean of each single response, by its number: pass and five stars are 1, fail and
    one star 0.
    """
    said: dict[int, list[float]] = defaultdict(list)
    for vote in decisive(votes):
        if vote.verdict in {"pass", "fail"}:
            said[vote.pair].append(float(vote.verdict == "pass"))
        elif (stars := vote.remarks[0].stars) is not None:
            said[vote.pair].append((stars - 1) / (MOST_STARS - 1))
    return {pair: sum(values) / len(values) for pair, values in said.items()}


def values_by_judge(
    scores: Mapping[int, float], pairs: Mapping[int, Mapping[str, Any]], scale: Sequence[float]
) -> dict[int, float]:
    """Return a judge's scores of responses, from 0 to 1, by the numbers under which people rate them."""
    lowest, width = scale[0], scale[-1] - scale[0]
    return {
        pair: (scores[row["first_response_id"]] - lowest) / width
        for pair, row in pairs.items()
        if row["first_response_id"] in scores
    }


def label_of(value: float) -> str:
    """Return whether a value from 0 to 1 is good (``first``), bad (``second``) or neither (``tie``)."""
    return "tie" if value == _MIDDLE else "first" if value > _MIDDLE else "second"


def judged_means(
    values: Mapping[int, float],
    human: Mapping[int, float],
    pairs: Mapping[int, Mapping[str, Any]],
    *,
    has_stars: bool,
) -> tuple[JudgedMean, ...]:
    """Return each contender's mean."""
    by_contender: dict[str, list[int]] = defaultdict(list)
    for pair in sorted(values):
        by_contender[pairs[pair]["first_contender"]].append(pair)
    found = []
    for contender, members in sorted(by_contender.items()):
        both = [pair for pair in members if pair in human]
        rest = [values[pair] for pair in members if pair not in human]
        known = [(pairs[pair]["prompt_id"], values[pair]) for pair in members]
        mean, interval = clustered_mean(known, (0.0, 1.0))
        low, high = interval or (None, None)
        powered = powered_mean(
            [human[pair] for pair in both], [values[pair] for pair in both], rest
        )
        found.append(
            JudgedMean(
                contender=contender, responses=len(members), mean=mean, low=low, high=high,
                powered=powered, human_responses=len(both), stars=MOST_STARS if has_stars else 0,
            )
        )  # fmt: skip
    return tuple(found)
