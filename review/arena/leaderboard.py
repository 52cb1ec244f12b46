"""The leaderboard: strengths from battles, with what style explains taken out on request."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from review.arena.store import Battle
from review.statistics.bradley_terry import Bout, Effect, Ranking, rank
from review.statistics.intervals import wilson_interval
from review.statistics.logistic_regression import Array
from review.statistics.style import STYLES, style_features, style_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """Two models against each other."""

    first: str
    second: str
    battles: int
    score: float  # wins of the first and half the undecided
    low: float  # 95 % interval of its share
    high: float

    @property
    def share(self) -> float:
        """The win rate of the first."""
        return self.score / self.battles


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaderboard:
    """What battles say."""

    battles: int  # that count
    leaked: int  # left out: a reply named a model
    people: int
    ranking: Ranking
    styles: tuple[tuple[str, Effect], ...]  # what style does, where it is taken out
    meetings: tuple[Meeting, ...]

    @property
    def models(self) -> tuple[str, ...]:
        """All models, the strongest first."""
        if self.ranking.standings:
            return tuple(one.name for one in self.ranking.standings)
        return tuple(sorted({name for one in self.meetings for name in (one.first, one.second)}))

    def meeting(self, first: str, second: str) -> Meeting | None:
        """Return how two models met, from the side of the first."""
        for one in self.meetings:
            if (one.first, one.second) == (first, second):
                return one
            if (one.first, one.second) == (second, first):
                return Meeting(
                    first=first, second=second, battles=one.battles,
                    score=one.battles - one.score, low=1 - one.high, high=1 - one.low,
                )  # fmt: skip
        return None


def leaderboard(battles: Sequence[Battle], *, without_style: bool = False) -> Leaderboard:
    """Return what judged battles say; ``without_style`` takes length, headings, lists and bold out of
    the strengths, where texts are there.
    """
    counted = [one for one in battles if one.is_counted]
    if without_style:
        counted = [one for one in counted if one.turns]
    names = sorted({one.row[side] for one in counted for side in ("model_a", "model_b")})
    bouts = [
        Bout(one.row["model_a"], one.row["model_b"], one.score, one.row["id"]) for one in counted
    ]
    covariates = style_features([_styles(one) for one in counted]) if without_style else None
    ranking = rank(names, bouts, covariates)
    return Leaderboard(
        battles=len(counted),
        leaked=sum(bool(one.row["leak"]) for one in battles),
        people=len({one.row["person"] for one in counted}),
        ranking=ranking,
        styles=_effects_of(ranking.effects, covariates),
        meetings=_meetings(counted),
    )


def _effects_of(
    effects: Sequence[Effect], covariates: Array | None
) -> tuple[tuple[str, Effect], ...]:
    """Return the effects of those styles in which some battle's answers differ."""
    if covariates is None or not effects:
        return ()
    seen = [bool(column.any()) for column in covariates.T]
    return tuple(
        (name, effect)
        for name, effect, is_seen in zip(STYLES, effects, seen, strict=True)
        if is_seen
    )


def _styles(battle: Battle) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return (
        style_of([turn["response_a"] for turn in battle.turns]),
        style_of([turn["response_b"] for turn in battle.turns]),
    )


def _meetings(battles: Sequence[Battle]) -> tuple[Meeting, ...]:
    scores: dict[tuple[str, str], list[float]] = defaultdict(list)
    for one in battles:
        a, b = one.row["model_a"], one.row["model_b"]
        scores[min(a, b), max(a, b)].append(one.score if a < b else 1 - one.score)
    found = []
    for (first, second), known in sorted(scores.items()):
        low, high = wilson_interval(sum(known), float(len(known)))
        found.append(
            Meeting(
                first=first, second=second, battles=len(known), score=sum(known), low=low, high=high
            )
        )
    return tuple(found)
