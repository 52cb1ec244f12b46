"""Examples become train, validation and test: seeded, repeats kept together. Knows no tokens."""

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache

from core.datasets.conversation import SPLIT_NAMES, Example, SplitName
from core.datasets.near_duplicates import find_repeats, group_repeats
from core.errors import SettingsError


@dataclass(frozen=True, slots=True)
class SplitSettings:
    """How rows are shared out; what is neither test nor validation is train."""

    test_share: float = 0.10  # of all rows, 0 to 1
    validation_share: float = 0.05
    seed: int = 42

    def problems(self) -> dict[str, str]:
        """Return every wrong field with its reason."""
        found = {
            name: "must lie between 0 and 0.9"
            for name in ("test_share", "validation_share")
            if not self._is_share(name)
        }
        if not found and self.test_share + self.validation_share > 0.95:
            found["test_share"] = (
                "test and validation together leave less than 5 % of the rows to train on"
            )
        return found

    def _is_share(self, name: str) -> bool:
        share: float = asdict(self)[name]
        return 0 <= share <= 0.9


@dataclass(frozen=True, slots=True)
class Splits:
    """The three parts of a dataset, each in the order of the file."""

    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]

    def named(self, name: SplitName) -> tuple[Example, ...]:
        """Return one part by its name."""
        part: tuple[Example, ...] = getattr(self, name)
        return part


def split_examples(examples: Sequence[Example], settings: SplitSettings) -> Splits:
    """Share the examples out: the same rows and settings always give the same parts.

    Rows that ask the same thing stay together. A row that the file itself assigns goes where the
    file says; when a file names test rows of its own, no further ones are drawn.

    Raises SettingsError when a share is out of range or nothing would be left to train on.
    """
    return _split(tuple(examples), settings)


@lru_cache(maxsize=8)  # every screen asks for it again and again
def _split(examples: tuple[Example, ...], settings: SplitSettings) -> Splits:
    if problems := settings.problems():
        raise SettingsError(problems)
    parts: dict[SplitName, list[Example]] = {name: [] for name in SPLIT_NAMES}
    free, for_training = _place_assigned(examples, parts)
    for name, wanted in _wanted_counts(len(examples), settings, parts).items():
        if name == "validation":  # a file that names training rows and no others for it means these
            free, for_training = sorted([*free, *for_training], key=lambda group: group[0].row), []
        free = _fill(parts[name], wanted, free)
    parts["train"] += [example for group in (*free, *for_training) for example in group]
    if not parts["train"]:
        raise SettingsError(
            {"train": "no row is left to train on; lower the other shares or add rows"}
        )
    train, validation, test = (
        tuple(sorted(parts[name], key=lambda example: example.row)) for name in SPLIT_NAMES
    )
    return Splits(train, validation, test)


def _place_assigned(
    examples: Sequence[Example], parts: dict[SplitName, list[Example]]
) -> tuple[list[list[Example]], list[list[Example]]]:
    """Put test and validation rows where the file says; return the groups still free, and those
    that it names for training.

    A file that calls all its rows training rows only says what it is for: these are free.
    """
    groups = group_repeats(examples, find_repeats(examples))
    names_training = any(example.split != "train" for example in examples)
    free: list[list[Example]] = []
    for_training: list[list[Example]] = []
    for group in groups:
        assigned = [example.split for example in group if example.split in {"test", "validation"}]
        if assigned and assigned[0]:
            parts[assigned[0]] += group
        elif names_training and any(example.split == "train" for example in group):
            for_training.append(group)
        else:
            free.append(group)
    return free, for_training


def _wanted_counts(
    total: int, settings: SplitSettings, parts: dict[SplitName, list[Example]]
) -> dict[SplitName, tuple[int, int]]:
    """Return how many rows each part still wants, with the seed of its draw."""
    shares: dict[SplitName, float] = {
        "test": settings.test_share,
        "validation": settings.validation_share,
    }
    drawn = total
    # the file's own test rows replace the drawn ones; validation is a share of the rest
    if parts["test"]:
        drawn -= len(parts["test"])
        shares = {"validation": settings.validation_share / max(1 - settings.test_share, 0.05)}
    return {
        name: (max(round(drawn * share), 1), settings.seed + index)
        for index, (name, share) in enumerate(shares.items())
        if share > 0 and not parts[name]
    }


def _fill(
    part: list[Example], wanted: tuple[int, int], groups: list[list[Example]]
) -> list[list[Example]]:
    """Move random groups into ``part`` until it has the wanted rows; return the groups left over,
    at least one.
    """
    count, seed = wanted
    left: list[list[Example]] = []
    order = random.Random(seed).sample(range(len(groups)), len(groups))
    for position, index in enumerate(order, start=1):
        group = groups[index]
        is_last_left = position == len(order) and not left
        if len(part) + len(group) <= count and not is_last_left:
            part += group
        else:
            left.append(group)
    return sorted(left, key=lambda group: group[0].row)
